"""Graded forms: the reference solution has full marks, a mistake costs its question, and both graders read the form."""

import ast
import doctest
import functools
import io
import os
import re
from contextlib import redirect_stdout
from pathlib import Path

import jsonschema
import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from dmri_helpers.course import forms, handout

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
each = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
MISTAKES = {
    "1.1": ("first + center_lines] = True", "first + center_lines // 2 * 2] = True"),
    "1.2": ("~mask.any(dim=0)", "~mask.all(dim=0)"),
    "1.3": ("- torch.arange(frames)", "+ torch.arange(frames)"),
    "1.4": ("first + center_lines]", "first + center_lines // 2 * 2]"),
    "2.1": ("torch.randn(kspace_shape, dtype=torch.complex128, generator=generator)", "forward(m)"),
    "2.2": ("torch.full(mask.shape, torch.inf)", "torch.full(mask.shape, 0.0)"),
    "2.3": ("~skipped", "skipped"),
    "2.4": ("[..., minus_x].conj()", "[..., minus_x]"),
    "3.1": ("1 + 2 * blocks", "2 * blocks"),
    "3.2": ("to_complex(conv_t(self.last, h))", "to_complex(torch.sigmoid(conv_t(self.last, h)))"),
    "3.3": ("2**d", "2 * d"),
    "3.4": ('padding_mode="circular"', 'padding_mode="zeros"'),
    "4.1": ("difference.std()", "first.std()"),
    "4.2": ("psnr[slow] - psnr[fast]", "psnr[fast] - psnr[slow]"),
    "4.3": ("/ kspace.norm()", "/ image.norm()"),
    "4.4": ("torch.isin(groups, part).nonzero().flatten()", "part"),
    "5.1": ("(fewer, other)]", "(fewer, recipe)]"),
    "5.2": ("2 * math.sqrt(2)", "2"),
    "5.3": ("0.025, 0.975", "0.05, 0.95"),
    "5.4": ("network(kspace, A) for", "network(kspace, A).abs() for"),
    "6.1": ("1 - 1 / (1 + torch.as_tensor(weight))", "weight / (1 + torch.as_tensor(weight))"),
    "6.2": ("(error / noise) ** 2", "error / noise"),
    "6.3": ("(network(kspace, A) + network(kspace.flip(1), backwards).flip(1)) / 2", "network(kspace, A)"),
    "6.4": ("* kernel + 1", "* kernel"),
    "7.1": ("torch.linalg.pinv(pairs)", "pairs.mH"),
    "7.2": ("coils.conj()", "coils"),
    "7.3": (".sqrt().permute", ".permute"),
    "7.4": ("torch.linalg.inv(torch.linalg.cholesky(covariance))", "torch.linalg.inv(covariance)"),
}
"""For every exercise one planted mistake: what it replaces in the reference solution, and by what."""
SLOW = {"6.3"}  # it reconstructs for seconds; tests/exercises has it with many mistakes
NBGRADER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema_version", "grade", "locked", "solution", "task", "grade_id"],
    "properties": {
        "schema_version": {"const": 3},
        "grade": {"type": "boolean"},
        "locked": {"type": "boolean"},
        "solution": {"type": "boolean"},
        "task": {"type": "boolean"},
        "grade_id": {"type": "string", "pattern": r"^[a-zA-Z0-9_\-]+$"},
        "points": {"type": "number", "exclusiveMinimum": 0},
    },
}
"""What version 3 of nbgrader's schema allows in a cell, as far as these forms use it."""


@functools.cache
def notebook_of(source: Path) -> nbformat.NotebookNode:
    return jupytext.read(source)


def definitions(source: Path) -> dict:
    """What the imports, functions and lists of words of a notebook define, apart from its solutions."""
    space: dict = {}
    for cell in notebook_of(source).cells:
        if cell.cell_type == "code" and "solution" not in cell.metadata.get("tags", []):
            body = [
                node
                for node in ast.parse(cell.source).body
                if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
                or isinstance(node, ast.Assign)
                and re.fullmatch(r"\['\w+'(, '\w+')*\]", ast.unparse(node.value))
            ]
            exec(compile(ast.Module(body, []), source.name, "exec"), space)
    return space


def points(exercise: forms.Exercise, solution: str, space: dict) -> int:
    """What otter-grader would give for this answer: its test is a doctest of the standard library."""
    exec(solution, space)
    test: dict = {}
    exec(forms.otter_test(exercise), test)
    code = test["test"]["suites"][0]["cases"][0]["code"]
    examples = doctest.DocTestParser().get_doctest(code, space, exercise.question, None, None)
    with redirect_stdout(io.StringIO()):
        failed = doctest.DocTestRunner().run(examples, clear_globs=False).failed
    return 0 if failed else test["test"]["points"]


@each
def test_solutions_have_full_marks_and_a_mistake_costs_its_question(source):
    for exercise in forms.exercises_in(notebook_of(source)):
        old, new = MISTAKES[exercise.number]
        assert exercise.solution.count(old) == 1, exercise.number
        if exercise.number not in SLOW:
            space = definitions(source)
            assert points(exercise, exercise.solution, space) == exercise.points > 0, exercise.number
            assert points(exercise, exercise.solution.replace(old, new), space) == 0, exercise.number
            stub = forms.stub_of(exercise.solution)
            assert points(exercise, stub, space) == 0, exercise.number


@each
@pytest.mark.parametrize("without", handout.WITHOUT.values(), ids=["whole", "core"])
def test_forms_are_what_the_graders_read(source, without):
    expected = forms.exercises_in(notebook_of(source), without[1:])
    for solved in (False, True):
        form = forms.graded_form(notebook_of(source), without, solved)
        nbformat.validate(form)
        marked = [cell.metadata.nbgrader for cell in form.cells if "nbgrader" in cell.metadata]
        for metadata in marked:
            jsonschema.validate(metadata, NBGRADER)
        assert len({metadata.grade_id for metadata in marked}) == len(marked) == 2 * len(expected)
        assert [m.points for m in marked if m.grade] == [exercise.points for exercise in expected]
        assert all(m.locked and "points" in m if m.grade else m.solution for m in marked)
        tests = [cell.metadata.otter.tests for cell in form.cells if "otter" in cell.metadata]
        assert tests == [[exercise.question] for exercise in expected]
        text = "\n".join(cell.source for cell in form.cells if cell.cell_type == "code")
        ast.parse(text)
        assert (forms.BEGIN in text) == (forms.END in text) == solved


@each
def test_what_nbgrader_cuts_out_leaves_the_stub(source):
    """nbgrader puts the same line in place of each solution; then signature and docstring are those of the stub."""
    for exercise in forms.exercises_in(notebook_of(source)):
        cut = re.sub(
            rf"^( *){forms.BEGIN}.*?{forms.END}$",
            r"\1raise NotImplementedError",
            forms.marked(exercise.solution),
            flags=re.MULTILINE | re.DOTALL,
        )
        assert ast.unparse(ast.parse(cut)) == ast.unparse(ast.parse(forms.stub_of(exercise.solution)))


def test_no_later_cell_takes_the_name_of_an_answer():
    """otter-grader may look at the names at the end of a notebook."""
    for source in SOURCES:
        cells = [
            cell.source for cell in forms.student_form(notebook_of(source)).cells if cell.cell_type == "code"
        ]
        for exercise in forms.exercises_in(notebook_of(source)):
            at = next(
                i for i, text in enumerate(cells) if f"({exercise.answer})" in text and "check_" in text
            )
            for text in cells[at + 1 :]:
                names = {
                    node.id
                    for node in ast.walk(ast.parse(text))
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                }
                assert exercise.answer not in names, f"{exercise.number}: {text[:60]}"


def test_a_kernel_gives_the_solutions_of_01_full_marks():
    """The source version of nbgrader runs as it is; what no answer needs is left out to save time."""
    form = forms.graded_form(notebook_of(SOURCES[0]), handout.WITHOUT["-core"], solved=True)
    form.cells = [
        cell
        for cell in form.cells
        if cell.cell_type == "code"
        and ("nbgrader" in cell.metadata or "from dmri_helpers import" in cell.source)
    ]
    client = NotebookClient(form, timeout=120, kernel_name="python3", allow_errors=True)
    client.execute(env=os.environ | {"DMRI_PROFILE": "tiny", "DMRI_DATA": "phantom"})
    checks = {
        cell.metadata.nbgrader.grade_id: cell
        for cell in form.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert set(checks) == {"q1_1", "q1_2", "q1_4"}
    for name, cell in checks.items():
        assert [output.get("text", "")[:6] for output in cell.outputs] == ["Right:"], name
