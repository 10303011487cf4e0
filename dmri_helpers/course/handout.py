"""The handout: the notebooks without their solutions, and a zip with all that they need, for a course platform."""

import io
import zipfile
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from ..results.files import write
from .forms import exercises_in, graded_form, otter_test, student_form
from .lecturer import goals_text, model_answers
from .notebooks import ROOT, package_files, sources

START = """# Dynamic MRI reconstruction: student notebooks

    make lab

sets everything up (Python 3.10 or newer; some minutes, once) and opens the first notebook in JupyterLab. Without make:

    python -m venv .venv
    .venv/bin/python -m pip install -r requirements.lock
    .venv/bin/python -m pip install --no-deps --no-build-isolation -e .
    .venv/bin/python -m jupyter lab notebooks/01_sampling.ipynb

In an exercise, write the function, run the check below it, and read what it says. `notebooks-core/` has the same
notebooks without the sections that the main line does not need.
"""


NBGRADER = """# `nbgrader generate_assignment 01_sampling` and so on, in this folder; grade with DMRI_PROFILE=tiny
c = get_config()
c.CourseDirectory.course_id = "dynamic-mri"
c.ExecutePreprocessor.timeout = 600
"""
WITHOUT = {"": ("solution",), "-core": ("solution", "deeper")}
"""Ending of a folder -> tags of the cells that its notebooks lack."""


def write_handout(out: str | Path = ROOT / "build" / "handout", notebooks: Path = ROOT / "notebooks") -> Path:
    """Write the student notebooks into a folder and, next to it, a zip of them with all that they need to run.

    Folders beside it have the same name with an ending: ``-core`` holds the notebooks without the sections that the
    main line does not need; ``-otter`` and ``-nbgrader`` hold both with points, an assignment for each notebook;
    ``-lecturer`` holds goals, points and model answers.

    Parameters
    ----------
    out
        folder of the student notebooks; older ones in it are replaced
    notebooks
        folder of the sources ``NN_name.py``

    Returns
    -------
        path of the zip
    """
    out, content = Path(out), io.BytesIO()
    archive, top = out.with_suffix(".zip"), Path("dynamic-mri")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sources(notebooks):
            notebook = jupytext.read(source)
            for ending, without in WITHOUT.items():
                text = nbformat.writes(student_form(notebook, without)) + "\n"
                write(out.with_name(out.name + ending) / f"{source.stem}.ipynb", text.encode())
                file.writestr(str(top / f"notebooks{ending}" / f"{source.stem}.ipynb"), text)
                _write_graded(out, source.stem, notebook, ending)
        file.writestr(str(top / "README.md"), START)
        names = ("LICENSE", "Makefile", "pyproject.toml", "requirements.lock", "environment.yml")
        for path in [*(ROOT / name for name in names), ROOT / "site" / "conventions.md", *package_files()]:
            file.write(path, top / path.relative_to(ROOT))
    write(archive, content.getvalue())
    write(out.with_name(f"{out.name}-nbgrader") / "nbgrader_config.py", NBGRADER.encode())
    lecturer = out.with_name(f"{out.name}-lecturer")
    write(lecturer / "goals.md", goals_text(notebooks).encode())
    write(lecturer / "answers.md", model_answers(notebooks).encode())
    print(f"student notebooks: {out}, the core: {out}-core\nwith all that they need: {archive}")
    print(f"with points, for otter-grader: {out}-otter\nwith points, for nbgrader: {out}-nbgrader")
    print(f"for the lecturer, goals with points and model answers: {lecturer}")
    return archive


def _write_graded(out: Path, name: str, notebook: NotebookNode, ending: str) -> None:
    """Write the assignments of one notebook: otter-grader's with its tests, nbgrader's source version."""
    without = WITHOUT[ending]
    otter = out.with_name(f"{out.name}-otter") / (name + ending)
    nbgrader = out.with_name(f"{out.name}-nbgrader") / "source" / (name + ending)
    for folder, solved in ((otter, False), (nbgrader, True)):
        form = graded_form(notebook, without, solved)
        write(folder / f"{name}.ipynb", (nbformat.writes(form) + "\n").encode())
    for exercise in exercises_in(notebook, without[1:]):
        write(otter / "tests" / f"{exercise.question}.py", otter_test(exercise).encode())
    write(otter / "otter_config.json", b'{"show_stdout": true}\n')
