"""Forms of a notebook: as a student gets it, and the same with points, for otter-grader and for nbgrader.

An exercise is worth as many points as its heading has stars. Its check, which the student runs, is its test as well: a
check that raises costs all points of its exercise. otter-grader reads the tests from a folder, and from the metadata of
a check when to run it. nbgrader reads from the metadata of a cell whether it is an answer or a test, and cuts the
solutions between its two marks out of the answers.
"""

import ast
import re
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from .notebooks import ROOT

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
"""The marks between which `nbgrader generate_assignment` replaces a solution by a stub."""
OF_THE_SERVER = ("ipykernel", "ipywidgets", "jupyterlab", "jupytext")
"""What a hosted notebook brings itself, and what must not change below it."""
FIRST_CELL = """# Where the course is not installed, as on Colab: upload handout.zip and run this cell first.
import importlib.util, subprocess, sys

if importlib.util.find_spec("dmri_helpers") is None:
    install = [sys.executable, "-m", "pip", "install", "--quiet"]
    needed = [
NEEDED
    ]
    subprocess.run([*install, *needed], check=True)
    subprocess.run([*install, "--no-deps", "handout.zip"], check=True)"""


def first_cell() -> str:
    """Code that installs the course, and what it needs in the ranges of versions of `pyproject.toml`."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = project.split("\ndependencies = [\n")[1].split("\n]")[0]
    needs = [
        need for need in re.findall(r'"(.+)"', listed) if re.split("[<>=]", need)[0] not in OF_THE_SERVER
    ]
    lines, indent = [""], " " * 8
    for need in needs:
        if len(lines[-1]) + len(need) > 90:
            lines.append("")
        lines[-1] += f'"{need}", '
    needed = "\n".join(indent + line.rstrip() for line in lines)
    return FIRST_CELL.replace("NEEDED", needed)


def student_form(notebook: NotebookNode, without: tuple[str, ...] = ("solution",)) -> NotebookNode:
    """Copy a notebook without the cells of these tags; of a solution in code its stub remains, see `stub_of`."""
    student = nbformat.from_dict(notebook)
    student.metadata = {"kernelspec": notebook.metadata.kernelspec}
    student.cells = [nbformat.v4.new_code_cell(first_cell(), id="install")]
    for number, cell in enumerate(notebook.cells):
        source, tags = cell.source, set(cell.metadata.get("tags", [])) & set(without)
        if tags:
            source = stub_of(source) if tags == {"solution"} and cell.cell_type == "code" else ""
        if source:
            new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
            student.cells.append(new(source, id=f"cell-{number}"))
    return student


def stub_of(solution: str) -> str:
    """Reduce a solution to its imports and to its functions with signature and docstring.

    The stub is empty if the cell does not start with ``# Solution N.M``, since it then belongs to a solution above it.
    """
    titled = re.match(r"# Solution (\d\.\d)\n", solution)
    if not titled:
        return ""
    kept = [f"# Exercise {titled[1]}: your answer"]
    for node in ast.parse(solution).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            functions = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in functions:
                if isinstance(function, ast.FunctionDef):
                    described = function.body[:1] if ast.get_docstring(function) else []
                    function.body = [*described, ast.parse("raise NotImplementedError").body[0]]
            kept.append(f"\n\n{ast.unparse(node)}")
    return "\n".join(kept)


class Exercise(NamedTuple):
    """One exercise of a notebook, with its reference solution and the name that its check is handed."""

    number: str
    title: str
    points: int
    solution: str
    answer: str

    @property
    def question(self) -> str:
        """Its name in otter-grader and in nbgrader."""
        return f"q{self.number.replace('.', '_')}"


def exercises_in(notebook: NotebookNode, without: tuple[str, ...] = ()) -> list[Exercise]:
    """List the exercises of a notebook, apart from those in cells of these tags."""
    cells = [cell for cell in notebook.cells if not set(cell.metadata.get("tags", [])) & set(without)]
    text = "\n".join(cell.source for cell in cells)
    found = []
    for number, title, stars in re.findall(r"^### Exercise (\d\.\d) · (.+?) (★+)$", text, re.MULTILINE):
        (solution,) = (cell.source for cell in cells if cell.source.startswith(f"# Solution {number}\n"))
        (answer,) = re.findall(rf"^exercises\.check_{number.replace('.', '_')}\((\w+)\)$", text, re.MULTILINE)
        found.append(Exercise(number, title, len(stars), solution, answer))
    return found


def graded_form(
    notebook: NotebookNode, without: tuple[str, ...] = ("solution",), solved: bool = False
) -> NotebookNode:
    """The student form of a notebook with the metadata of both graders.

    Parameters
    ----------
    notebook
        a notebook as it is written, with its solutions
    without
        tags of the cells that are left out; of solutions the stubs remain
    solved
        put the reference solutions between nbgrader's marks in place of the stubs: nbgrader's *source version*
    """
    form = student_form(notebook, without)
    for exercise in exercises_in(notebook, tuple(tag for tag in without if tag != "solution")):
        number = exercise.number.replace(".", "_")
        (answer,) = (
            cell
            for cell in form.cells
            if cell.source.startswith(f"# Exercise {exercise.number}: your answer")
        )
        (check,) = (
            cell for cell in form.cells if cell.source == f"exercises.check_{number}({exercise.answer})"
        )
        if solved:
            answer.source = marked(exercise.solution)
        answer.metadata["nbgrader"] = _nbgrader(f"a{number}", solution=True)
        check.metadata["nbgrader"] = _nbgrader(
            exercise.question, grade=True, locked=True, points=exercise.points
        )
        check.metadata["otter"] = {"tests": [exercise.question]}
    return form


def _nbgrader(grade_id: str, **settings: bool | int) -> dict[str, Any]:
    """Metadata of a cell in version 3 of nbgrader's schema."""
    kinds = {"grade": False, "locked": False, "solution": False, "task": False}
    return {"schema_version": 3, "grade_id": grade_id, **kinds, **settings}


def marked(solution: str) -> str:
    """Put nbgrader's marks around the body of every function of a solution; signature and docstring stay visible."""
    lines = solution.replace("# Solution", "# Exercise", 1).splitlines()
    lines[0] += ": your answer"
    places: list[tuple[int, str]] = []
    for node in ast.parse(solution).body:
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(function, ast.FunctionDef):
                body = function.body[1:] if ast.get_docstring(function) else function.body
                indent = " " * body[0].col_offset
                places += [(body[0].lineno - 1, indent + BEGIN), (body[-1].end_lineno or 0, indent + END)]
    for place, mark in sorted(places, reverse=True):
        lines.insert(place, mark)
    return "\n".join(lines)


def otter_test(exercise: Exercise) -> str:
    """The test of an exercise as otter-grader reads it: a Python file with one doctest, all points or none."""
    number = exercise.number.replace(".", "_")
    code = (
        ">>> from dmri_helpers import exercises\n"
        f">>> exercises.check_{number}({exercise.answer})  # doctest: +ELLIPSIS\n"
        "Right: ...\n"
    )
    case = {"code": code, "hidden": False, "locked": False}
    suite = {"cases": [case], "scored": True, "setup": "", "teardown": "", "type": "doctest"}
    test = {"name": exercise.question, "points": exercise.points, "suites": [suite]}
    return f"OK_FORMAT = True\n\ntest = {test!r}\n"
