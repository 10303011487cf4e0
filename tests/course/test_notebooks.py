"""Each notebook and its source in step, executed, free of errors and machine paths, small, and easy to read.

That they run is tested by nbval, in `make test`. Words, lines and links are counted in the sources.
"""

import ast
import functools
import json
import re
import statistics
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
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


@functools.cache
def cells_of(source: Path) -> list[nbformat.NotebookNode]:
    return jupytext.read(source).cells


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def prose(source: Path, *without: str) -> list[str]:
    """The text of all markdown cells that carry none of these tags; references are left out."""
    found = [c.source for c in cells_of(source) if c.cell_type == "markdown" and not tags(c) & set(without)]
    return [re.sub(r"^## References\n.*", "", text, flags=re.MULTILINE | re.DOTALL) for text in found]


@each
def test_prose_cells_are_short(source):
    words = [len(text.split()) for text in prose(source)]
    whole = [cell.source for cell in cells_of(source) if cell.cell_type == "markdown"]  # references, too
    assert statistics.median(words) <= 40 and not [text[:60] for text in whole if len(text.split()) > 120]


@each
def test_core_path_is_short(source):
    assert sum(len(text.split()) for text in prose(source, "deeper", "solution")) <= 2_000


@each
def test_code_cells_are_short(source):
    sources = [cell.source.strip() for cell in cells_of(source) if cell.cell_type == "code"]
    lengths = [len(text.splitlines()) for text in sources]
    assert statistics.median(lengths) <= 8
    assert max(lengths) <= 16, sources[lengths.index(max(lengths))]


@each
def test_sections_state_their_time(source):
    text = "\n\n".join(prose(source))
    assert re.search(
        r"^\*\*Time:\*\* reading and running about .*\d+ minutes, exercises about .*\d+", text, re.MULTILINE
    )
    headings = re.findall(r"^## \d\.\d+ .*$", text, re.MULTILINE)
    assert headings and not [line for line in headings if not re.search(r"\(\d+ min\)$", line)]


@each
def test_predictions_are_answered_below(source):
    chapter, asked, answered = int(source.stem[:2]), [], []
    for text in (cell.source for cell in cells_of(source) if cell.cell_type == "markdown"):
        answer = re.match(
            r"<details><summary>Answer to (\d\.\d+)</summary>\n\n.+\n\n</details>\Z", text, re.DOTALL
        )
        if answer:
            assert answer[1] in asked, f"the answer to {answer[1]} stands before its question"
            answered.append(answer[1])
        else:
            assert "<details" not in text, f"an answer has a cell of its own: {text[:60]}"
            asked += re.findall(r"^> \*\*Predict (\d\.\d+)\.\*\*", text, re.MULTILINE)
            assert len(re.findall(r"\*\*Predict \d", text)) == len(
                re.findall(r"^> \*\*Predict \d", text, re.MULTILINE)
            )
    assert asked == [f"{chapter}.{k + 1}" for k in range(len(asked))]
    assert sorted(answered) == sorted(asked)


@each
@pytest.mark.parametrize("kind", ["Figure", "Table"])
def test_captions_are_numbered_without_gaps(source, kind):
    found = re.findall(rf"^\*\*{kind} (\d\.\d+)\.\*\*", "\n".join(prose(source)), re.MULTILINE)
    assert found == [f"{int(source.stem[:2])}.{k + 1}" for k in range(len(found))]


@each
def test_deeper_sections_are_tagged_and_folded_whole(source):
    """A section "Deeper: ..." ends at the next heading that is not below it; its cells carry the tag, others do not."""
    level = 0  # of the heading of the deeper section that we are in
    for cell in cells_of(source):
        headings = []
        if cell.cell_type == "markdown":
            text = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
            headings = re.findall(r"^(#+) (.+)$", text, re.MULTILINE)
            begins = re.match(r"#", cell.source)
            for k, (marks, title) in enumerate(headings):
                turns = title.startswith("Deeper:") or (level and len(marks) <= level)
                assert not turns or (begins and k == 0), f"{title}: begins a cell of its own"
                if turns:
                    level = len(marks) if title.startswith("Deeper:") else 0
        assert ("deeper" in tags(cell)) == bool(level), f"tag of: {cell.source[:60]}"


def names_in(cells: list[nbformat.NotebookNode]) -> tuple[set[str], set[str]]:
    """Names that these cells define, and names that they use."""
    defined, used = set(), set()
    for node in ast.walk(ast.parse("\n".join(cell.source for cell in cells))):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).split(".")[0])
    return defined, used


@each
def test_core_path_runs_without_what_is_deeper(source):
    every = [cell for cell in cells_of(source) if cell.cell_type == "code"]
    deeper, core = ([c for c in every if ("deeper" in tags(c)) == kind] for kind in (True, False))
    defined, used = names_in(core)
    assert not (used - defined) & names_in(deeper)[0]


def glossary() -> set[str]:
    """The anchors of the terms that the glossary explains, as Sphinx makes them."""
    text = (
        (ROOT / "site" / "conventions.md")
        .read_text(encoding="utf-8")
        .split("```{glossary}\n")[1]
        .split("```")[0]
    )
    return {"term-" + term.replace(" ", "-") for term in re.findall(r"^(\S.*)$", text, re.MULTILINE)}


@each
def test_terms_are_linked_to_the_glossary_once(source):
    text = "\n".join(cell.source for cell in cells_of(source) if cell.cell_type == "markdown")
    linked = re.findall(r"\]\(\.\./site/conventions\.md#([^)]+)\)", text)
    assert len(linked) >= 3 and len(linked) == len(set(linked))
    assert set(linked) <= glossary(), set(linked) - glossary()


@each
def test_source_has_no_magic(source):
    ast.parse(source.read_text(encoding="utf-8"))


@each
def test_the_package_is_imported_before_torch(source):
    """It says that waiting threads do not spin, which torch hears of only while it loads."""
    lines = source.read_text(encoding="utf-8").splitlines()
    first = {
        name: next(i for i, line in enumerate(lines) if line.startswith(name))
        for name in ("import torch", "from dmri_")
    }
    assert first["from dmri_"] < first["import torch"]
