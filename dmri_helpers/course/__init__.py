"""The course as its readers get it, made from the sources of the notebooks.

`notebooks` executes them. `site` makes pages of them, which `render` turns into HTML and a PDF. `forms` makes student
forms without solutions, and graded ones; `lecturer` makes model answers, and `handout` writes them all. `quizzes` has
the questions at the end of each chapter, `translate` makes notebooks in other languages. `figures` copies what the
notebooks drew and measured and brings the tables of the README up to date.
"""
