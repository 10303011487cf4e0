"""The house keeps its shape: which part may import which, and how long files and functions may become.

The library import-linter checks imports as well, but it needs a section of its own for every row of the table below,
it checks no lengths, and it would be one more dependency.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dmri_helpers"
CORE = "fourier sampling operators classical networks unrolled training metrics"
"""The eight modules that the notebooks teach. None of them imports a folder.

Behind them stand `solvers`, the iterations of `classical`, `state`, what `training` changes, and `calibration`, what
notebook 07 estimates from the data.
"""
MAY_IMPORT = {
    "fourier": "",
    "sampling": "",
    "metrics": "",
    "networks": "",
    "profiles": "",
    "operators": "fourier",
    "calibration": "fourier",
    "solvers": "fourier operators",
    "classical": "fourier operators solvers",
    "unrolled": "fourier operators",
    "state": "profiles",
    "training": "metrics operators profiles state",
    "results": "",
    "methods": f"{CORE} profiles results",
    "data": "fourier sampling operators calibration profiles results",
    "plotting": "results",
    "widgets": "fourier sampling operators classical metrics results plotting",
    "runs": "state training methods profiles data results",
    "exercises": f"{CORE} methods profiles data",
    "studies": f"{CORE} methods profiles data results plotting widgets runs",
    "course": "networks profiles data results widgets",
    "cli": f"{CORE} methods profiles data results plotting runs studies course",
}
"""Part of the package -> what it may import, which stands in a row above it."""
CORE_LINES, CORE_FUNCTION, FUNCTION, FILE = 1_600, 60, 90, 450
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The folder or module, right below the package, that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> set[str]:
    """Every part of the package that a file imports, at its top or inside a function."""
    here = ["dmri_helpers", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) + 1 - node.level] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            names = [f"{module}.{name.name}" for name in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("dmri_helpers.")}
    return found - {part_of(path)}


def function_lengths(path: Path) -> dict[str, int]:
    """Name and line of every function -> its lines without the docstring."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            lengths[f"{node.name}, line {node.lineno}"] = lines
    return lengths


def test_the_table_names_every_part_in_an_order_without_circles():
    parts = {part_of(path) for path in FILES} - {"__init__", "__main__"}
    assert parts == MAY_IMPORT.keys()
    seen = set()
    for part, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= seen, f"{part} stands above a part that it may import"
        seen.add(part)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_no_other_than_the_table_allows(part):
    allowed = set(MAY_IMPORT[part].split())
    for path in FILES:
        if part_of(path) == part:
            found = imported_parts(path) - allowed
            assert not found, f"{path.relative_to(PACKAGE)} imports {sorted(found)}, which its row lacks"


def test_the_table_keeps_its_promises():
    rows = {part: set(allowed.split()) for part, allowed in MAY_IMPORT.items()}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert not [name for name in CORE.split() if rows[name] & folders]
    assert not [part for part, row in rows.items() if row & {"cli", "exercises"}]
    assert [part for part, row in rows.items() if "course" in row] == ["cli"]


def test_the_core_is_short():
    files = [PACKAGE / f"{name}.py" for name in CORE.split()]
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert sum(lines.values()) <= CORE_LINES, lines
    for path in files:
        too_long = {name: size for name, size in function_lengths(path).items() if size > CORE_FUNCTION}
        assert not too_long, f"{path.name}: expected at most {CORE_FUNCTION} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_and_no_function_is_long(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert part_of(path) == "exercises" or lines <= FILE
    too_long = {name: size for name, size in function_lengths(path).items() if size > FUNCTION}
    assert not too_long, f"expected at most {FUNCTION} lines"
