"""Examples in docstrings give what they say; commands and code in the READMEs of figures/ can still be run as written.

The code of the READMEs trains and evaluates for minutes, so it is not run here: each command has to be one that the
command line accepts, and each name in the code has to exist and to take the arguments it is given.
"""

import ast
import doctest
import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import torch

from dmri_helpers import data, methods, runs, sampling, training
from dmri_helpers.cli.main import _parse
from dmri_helpers.profiles import TrainConfig, UnrolledConfig

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dmri_helpers"
EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if EXAMPLE.search(path.read_text("utf-8"))]
READMES = sorted((ROOT / "figures").glob("*/README.md"))


def commands(text: str) -> list[str]:
    """The indented ``dmri`` commands of a README; one in a loop counts once for each word of the loop."""
    found, words = [], [""]
    for line in text.splitlines():
        if loop := re.match(r" {4}for method in (.+); do$", line):
            words = loop[1].split()
        elif re.match(r" {4,}dmri ", line):
            found += [line.strip().replace("$method", word) for word in words]
        elif line.strip() == "done":
            words = [""]
    return list(dict.fromkeys(found))


COMMANDS = [
    (path.parent.name, line) for path in READMES for line in commands(path.read_text(encoding="utf-8"))
]
BLOCKS = [
    (path.parent.name, block)
    for path in READMES
    for block in re.findall(
        r"^```python\n(.+?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_in_docstrings(path):
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    given = {"torch": torch, "cine": torch.rand(1, 5, 60, 12), "mask": torch.rand(1, 5, 60, 1) < 0.3}
    result = doctest.testmod(module, extraglobs=given)
    assert result.attempted and not result.failed


@pytest.mark.parametrize("folder, line", COMMANDS)
def test_commands_of_readmes_are_accepted(folder, line):
    assert callable(_parse(shlex.split(line)[1:]))
    for path in re.findall(r"\bdmri_helpers/\S+", line):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("folder, block", BLOCKS)
def test_code_of_readmes_names_what_exists(folder, block):
    space = {module.__name__.split(".")[-1]: module for module in (data, methods, runs, sampling, training)}
    space |= {"TrainConfig": TrainConfig, "UnrolledConfig": UnrolledConfig}
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Attribute) and ast.unparse(node).split(".")[0] in space:
            eval(ast.unparse(node), space)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] in space:
            called = eval(ast.unparse(node.func), space)
            inspect.signature(called).bind(*node.args, **{word.arg: word.value for word in node.keywords})


def test_there_are_examples():
    assert WITH_EXAMPLES and len(COMMANDS) > 25 and BLOCKS


@pytest.mark.parametrize("line", ["dmri evaluate --methods kt_tv", "dmri sweeps phantom"])
def test_a_wrong_command_is_not_accepted(line):
    with pytest.raises(ValueError):
        _parse(shlex.split(line)[1:])
