"""The course as its readers get it, made from the sources of the notebooks.

`notebooks` executes them. `site` makes pages of them, and `paper` the report that one hands in; `render` turns both
into HTML and PDFs. `slides` makes a deck for every session, `handout` student forms without solutions. `figures` copies
what the notebooks drew and measured and brings the tables of the README up to date.
"""
