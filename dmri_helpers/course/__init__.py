"""The course as its readers get it, made from the sources of the notebooks.

`notebooks` executes them. `site` makes pages of them, and `paper` the report that one hands in; `render` turns both
into HTML and PDFs. `slides` makes a deck for every session. `forms` makes student forms without solutions, and graded
ones; `lecturer` makes model answers, and `handout` writes them all. `quizzes` has the questions at the end of each
chapter, `translate` makes notebooks in other languages. `figures` copies what the notebooks drew and measured and
brings the tables of the README up to date.
"""
