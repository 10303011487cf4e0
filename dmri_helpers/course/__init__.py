"""The course as its readers get it, made from the sources of the notebooks.

`notebooks` executes them. `site` makes pages of them, which `render` turns into HTML and a PDF. `handout` makes student
forms without solutions. `figures` copies what they drew and measured and brings the tables of the README up to date.
"""
