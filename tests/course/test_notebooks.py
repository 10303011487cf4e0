"""Each notebook and its source in step, executed, free of errors and machine paths, small, in short cells.

That they run is tested by nbval, in `make test`.
"""

import ast
import json
import re
import statistics
from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
NAMES = [
    "01_sampling",
    "02_aliasing",
    "03_network",
    "04_training",
    "05_ablations",
    "06_unrolled_dc",
    "07_scanner",
]

each = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def executed(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def code(source: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in executed(source).cells if cell.cell_type == "code"]


def test_all_seven_are_there():
    assert [source.stem for source in SOURCES] == NAMES
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@each
def test_pair_is_in_step(source):
    def shape(notebook):
        return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]

    assert shape(executed(source)) == shape(jupytext.read(source)), "make notebooks"


@each
def test_notebook_is_valid(source):
    nbformat.validate(executed(source))


@each
def test_every_cell_was_executed_in_order(source):
    counts = [cell.execution_count for cell in code(source) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_outputs_hold_no_errors(source):
    assert not [output for cell in code(source) for output in cell.outputs if output.output_type == "error"]


@each
def test_outputs_name_no_machine(source):
    for cell in code(source):
        for output in cell.outputs:
            shown = {"text": output.get("text", ""), **output.get("data", {})}
            text = json.dumps({kind: value for kind, value in shown.items() if not kind.startswith("image/")})
            text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
            found = re.search(r"/(home|root|work|tmp|Users|opt|usr)/|[A-Z]:\\\\", text)
            assert not found, f"{found[0]} in the output of: {cell.source[:80]}"


@each
def test_notebook_is_small(source):
    assert source.with_suffix(".ipynb").stat().st_size < 1.5e6


@each
def test_compared_cells_have_something_to_compare(source):
    marked = [cell for cell in code(source) if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert marked
    for cell in marked:
        assert cell.outputs, cell.source


@each
def test_code_cells_are_short(source):
    lengths = [len(cell.source.strip().splitlines()) for cell in code(source)]
    assert statistics.median(lengths) <= 8
    assert max(lengths) <= 25


@each
def test_source_has_no_magic(source):
    ast.parse(source.read_text(encoding="utf-8"))
