"""Studies behind the course, each with its own figure.

`fingerprint` compares phantoms with real hearts (notebook 01), `sweep` chooses the defaults of the classical methods,
`bench` measures quality, time and memory, and `passport` and `crimes` show what metrics and data can hide.
"""
