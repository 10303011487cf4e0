"""Student forms: no solution is left in them, stubs are valid Python, and their checks turn them away."""

import ast
import re
import zipfile
from pathlib import Path

import jupytext
import nbformat
import pytest

from dmri_helpers import exercises
from dmri_helpers.course import forms, handout

SOURCES = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9][0-9]_*.py"))
each = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def solutions(source: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in jupytext.read(source).cells if "solution" in cell.metadata.get("tags", [])]


def exercise_numbers(text: str) -> list[str]:
    return re.findall(r"^### Exercise (\d\.\d)", text, re.MULTILINE)


@each
def test_every_exercise_has_a_solution_a_hint_and_a_check(source):
    cells = jupytext.read(source).cells
    text = "\n".join(cell.source for cell in cells)
    numbers = exercise_numbers(text)
    assert 3 <= len(numbers) <= 5 and numbers == [
        f"{int(source.stem[:2])}.{n + 1}" for n in range(len(numbers))
    ]
    for number in numbers:
        check = f"check_{number.replace('.', '_')}"
        assert check in exercises.__all__
        assert len(re.findall(rf"^exercises\.{check}\(\w+\)$", text, re.MULTILINE)) == 1
        assert f"# Solution {number}" in text
        question = text.split(f"### Exercise {number}")[1].split("# Solution")[0]
        assert "*Hint:*" in question, number
    assert sum(name.startswith(f"check_{int(source.stem[:2])}_") for name in exercises.__all__) == len(
        numbers
    )


@each
def test_student_form_keeps_signatures_and_no_bodies(source):
    student = handout.student_form(jupytext.read(source))
    nbformat.validate(student)
    text = "\n".join(cell.source for cell in student.cells)
    assert "Solution" not in text
    numbers = exercise_numbers(text)
    stubs = [cell.source for cell in student.cells if cell.source.startswith("# Exercise")]
    assert len(stubs) == len(numbers)
    for stub in stubs:
        for node in ast.walk(ast.parse(stub)):
            if isinstance(node, ast.FunctionDef):
                *described, last = node.body
                assert ast.unparse(last) == "raise NotImplementedError" and len(described) <= 1
                assert ast.get_docstring(node), node.name
    for cell in solutions(source):
        if cell.cell_type == "markdown":
            assert cell.source not in text


@each
def test_what_follows_does_not_need_a_solution(source):
    """Names that only solutions define are used by no other cell, except by the checks."""
    defined, other = set(), ""
    for cell in jupytext.read(source).cells:
        if cell.cell_type != "code":
            continue
        if "solution" in cell.metadata.get("tags", []):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    defined.add(node.id)
        else:
            other += cell.source + "\n"
    stored = {
        n.id for n in ast.walk(ast.parse(other)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    stored |= {n.arg for n in ast.walk(ast.parse(other)) if isinstance(n, ast.arg)}
    loaded = {
        n.id for n in ast.walk(ast.parse(other)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    assert not (defined - stored) & loaded


@each
def test_stubs_run_and_their_checks_turn_them_away(source):
    student = handout.student_form(jupytext.read(source))
    cells = [cell.source for cell in student.cells if cell.cell_type == "code"]
    for stub, check in zip(cells, cells[1:], strict=False):
        if stub.startswith("# Exercise"):
            space = {"exercises": exercises}
            exec("import torch\nfrom torch import nn\n" + stub, space)
            with pytest.raises(exercises.NotYet, match="nothing here so far"):
                exec(check, space)


def test_core_form_leaves_out_what_is_deeper():
    new, tags = nbformat.v4, {"tags": ["deeper"]}
    cells = [new.new_code_cell("core = 1"), new.new_code_cell("deeper = 2", metadata=tags)]
    solved = {"tags": ["deeper", "solution"]}
    kernel = {"name": "python3", "display_name": "Python 3"}
    cells.append(new.new_code_cell("# Solution 1.1\ndef answer(): return 3", metadata=solved))
    notebook = new.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    core = handout.student_form(notebook, ("solution", "deeper"))
    assert [cell.source for cell in core.cells] == [forms.first_cell(), "core = 1"]
    assert len(handout.student_form(notebook).cells) == 4


def test_zip_has_all_that_the_notebooks_need(tmp_path):
    archive = handout.write_handout(tmp_path / "handout")
    names = zipfile.ZipFile(archive).namelist()
    for needed in (
        "notebooks/01_sampling.ipynb",
        "notebooks-core/01_sampling.ipynb",
        "site/conventions.md",
        "dmri_helpers/data/cines.py",
        "requirements.lock",
        "README.md",
        "Makefile",
    ):
        assert f"dynamic-mri/{needed}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith("solution")]
    names = [s.stem for s in SOURCES]
    assert sorted(path.stem for path in (tmp_path / "handout").glob("*.ipynb")) == names
    for folder in (tmp_path / "handout-otter", tmp_path / "handout-nbgrader" / "source"):
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            names + [f"{name}-core" for name in names]
        )
        assert all((folder / name / f"{name}.ipynb").exists() for name in names)
    tests = tmp_path / "handout-otter" / "01_sampling-core" / "tests"
    assert sorted(path.name for path in tests.iterdir()) == ["q1_1.py", "q1_2.py", "q1_4.py"]
    assert {path.name for path in (tmp_path / "handout-lecturer").iterdir()} == {"answers.md", "goals.md"}
    assert not list(tmp_path.glob(".*"))
