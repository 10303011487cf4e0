"""Imports between the helpers run one way."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dmri_helpers"
ALLOWED = {
    "fourier": set(),
    "sampling": set(),
    "metrics": set(),
    "phantom": set(),
    "networks": set(),
    "profiles": set(),
    "plotting": set(),
    "operators": {"fourier"},
    "classical": {"operators", "fourier"},
    "unrolled": {"operators", "fourier"},
    "importers": set(),
    "data": {"importers", "operators", "sampling", "phantom", "profiles"},
    "fetch": {"profiles"},
    "fingerprint": {"classical", "fourier", "metrics", "sampling"},
    "sweep": {"classical", "data", "metrics"},
    "training": {"metrics", "profiles"},
    "widgets": {"fourier", "metrics", "plotting"},
    "methods": {"classical", "networks", "phantom", "unrolled", "profiles", "training"},
    "report": {"profiles"},
    "handout": {"report"},
    "bench": {
        "data",
        "methods",
        "metrics",
        "networks",
        "operators",
        "phantom",
        "profiles",
        "sampling",
        "training",
        "widgets",
    },
}
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))


def siblings(module: str) -> set[str]:
    """Every sibling a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.ImportFrom) and (node.level or source.startswith("dmri_helpers")):
            inside = source.removeprefix("dmri_helpers").removeprefix(".")
            found |= {inside.split(".")[0]} if inside else {name.name for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("dmri_helpers.")}
    return found & set(MODULES)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "cli"])
def test_imports_run_one_way(module):
    assert siblings(module) <= ALLOWED[module]


def test_nobody_imports_the_command_line():
    assert not [module for module in MODULES if "cli" in siblings(module)]


def test_exercises_see_helpers_and_no_helper_sees_them():
    for path in PACKAGE.rglob("*.py"):
        inside = path.parent.name == "exercises"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                named = {(node.module or "").split(".")[0], *(name.name for name in node.names)}
                assert not named & ({"cli", "report", "handout", "bench"} if inside else {"exercises"}), path
