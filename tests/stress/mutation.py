"""`python tests/stress/mutation.py`: small mistakes in the taught core, met by its tests.

With ``--exercises``: mistakes in the solutions of the exercises, met by their checks; what those say is listed.

A mutant is the source with one change: an operator, a number, a comparison, a condition, an option left out, a
statement left out. Of all mutants of a part so many are drawn. A test that fails, or takes too long, kills one; those
that survive are listed with their line. Docstrings, hints of types and messages of errors are not mutated.
"""

import argparse
import ast
import collections
import copy
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from record import record

ROOT = Path(__file__).resolve().parents[2]
OF_TRAINING = [
    "test_training.py -k 'not shipped and not ramp and not flipped and not another_first and not peak and not costs'",
    "runs/test_damaged.py runs/test_distributed.py -k 'explo or damaged or every_cine'",
]
TESTS = {  # module -> tests that meet its mutants, in rounds; the later ones meet only those that survived
    "fourier": ["test_operators.py"],
    "sampling": ["test_sampling.py"],
    "operators": ["test_operators.py", "test_unrolled.py test_classical.py"],
    "calibration": ["test_operators.py"],
    "metrics": ["test_metrics.py"],
    "networks": ["test_networks.py", "test_unrolled.py"],
    "unrolled": ["test_unrolled.py", "test_networks.py"],
    "classical": ["test_classical.py"],
    "solvers": ["test_classical.py"],
    "state": OF_TRAINING,
    "training": OF_TRAINING,
}
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.And: ast.Or, ast.Or: ast.And, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NAMES = {
    "amax": "amin", "amin": "amax", "maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max",
    "mean": "sum", "real": "imag", "imag": "real", "ifft2c": "fft2c", "fft2c": "ifft2c", "fftshift": "ifftshift",
    "ifftshift": "fftshift", "ones": "zeros", "zeros": "ones", "argmin": "argmax", "mH": "mT", "any": "all",
    "all": "any",
}  # fmt: skip
UNWRAPPED = {"conj", "abs", "sqrt", "square", "log", "exp"}


def mutants(source: str) -> list[tuple[int, str, str]]:
    """Every mutant: its line, what was changed, and the whole source."""
    tree, found = ast.parse(source), []
    for node, field, index in _places(tree):
        old = getattr(node, field) if index is None else getattr(node, field)[index]
        for new in _changes(old, field):
            changed = _replaced(tree, node, field, index, new)
            line = getattr(old, "lineno", getattr(node, "lineno", 0))
            said = f"{_text(old)} -> {_text(new)}"
            found.append((line, said, changed))
    return found


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every node below the tree that is mutated: its owner, the name of the field and the index in that."""
    for field, value in ast.iter_fields(tree):
        skipped = field in ("annotation", "returns", "decorator_list", "ctx", "type_comment")
        if skipped or isinstance(tree, (ast.Raise, ast.JoinedStr)) or _is_shown(tree):
            continue
        if isinstance(tree, ast.keyword) and tree.arg == "strict":
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if (
                isinstance(child, ast.AST)
                and not docstring
                and not isinstance(child, (ast.Import, ast.ImportFrom))
            ):
                yield tree, field, index
                yield from _places(child)


def _is_shown(node: ast.AST) -> bool:
    """Whether a call only moves a progress bar."""
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    return called.startswith(("tqdm", "bar."))


def _changes(node: ast.AST, field: str) -> Iterator[ast.AST]:
    if type(node) in SWAPS:
        yield SWAPS[type(node)]()
    elif isinstance(node, ast.Constant) and node.value is not None and node.value is not Ellipsis:
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, str):
            yield ast.Constant(f"XX{node.value}")
        elif isinstance(node.value, (int, float, complex)):
            yield ast.Constant(node.value + 1 if isinstance(node.value, int) else 2 * node.value)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, (ast.If, ast.IfExp)):
        other = copy.copy(node)
        other.test = ast.UnaryOp(ast.Not(), node.test)
        yield other
    elif isinstance(node, (ast.AugAssign, ast.Raise)) or (
        isinstance(node, ast.Expr) and field in ("body", "orelse") and not _is_shown(node.value)
    ):
        if "NotImplementedError" not in ast.unparse(node):
            yield ast.Pass()
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict") and not _is_shown(node):
                yield ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :])
        if isinstance(node.func, ast.Attribute) and node.func.attr in UNWRAPPED and not node.args:
            yield node.func.value
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Pass()


def _replaced(tree, node, field, index, new) -> str:
    value = getattr(node, field)
    kept = value if index is None else value[index]
    try:
        if index is None:
            setattr(node, field, new)
        else:
            value[index] = new
        return ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
    finally:
        if index is None:
            setattr(node, field, kept)
        else:
            value[index] = kept


def _text(node: ast.AST) -> str:
    text = (
        type(node).__name__ if isinstance(node, (ast.operator, ast.cmpop, ast.boolop)) else ast.unparse(node)
    )
    return " ".join(text.split())[:70]


def in_child(work, seconds: float) -> int | None:
    """The status of work in a forked process; None if it took longer."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
            status = int(work())
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(done[1])


def tested(tests: str) -> int:
    """Run tests in this process until the first that fails; 0 if all pass."""
    import pytest

    words = [f"tests/{word}" if word.endswith(".py") else word for word in shlex.split(tests)]
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *words])


def core(number: int, seed: int, only: str, seconds: float) -> list[str]:
    """So many mutants of the taught core, drawn from all of them together, met by the tests of their module.

    They are met in random order, so that what there is after so many seconds is a fair sample, too.
    """
    import accelerate  # noqa: F401  # what every test imports is imported once, and the package itself never
    import h5py  # noqa: F401
    import hypothesis  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import nibabel  # noqa: F401
    import pydicom  # noqa: F401
    import pytest  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.io  # noqa: F401
    import sigpy.mri.app  # noqa: F401
    import skimage.metrics  # noqa: F401
    import torch
    import tyro  # noqa: F401

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # the imports of these two take long
    torch.testing.assert_close(torch.zeros(1), torch.zeros(1))
    everything = []
    for module in TESTS:
        source = (ROOT / "dmri_helpers" / f"{module}.py").read_text(encoding="utf-8")
        everything += [(module, *mutant) for mutant in mutants(source)]
    drawn = random.Random(seed).sample(everything, number) if number else everything
    drawn = [mutant for mutant in drawn if only in mutant[0]]
    lines, end = [], time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as top:
        for name in ("dmri_helpers", "tests", "figures"):
            shutil.copytree(
                ROOT / name, f"{top}/{name}", ignore=shutil.ignore_patterns("__pycache__", "*.ipynb")
            )
        shutil.copy(ROOT / "pyproject.toml", top)
        os.chdir(top)
        sys.path[:0] = [top, f"{top}/tests"]
        os.environ["PYTHONPATH"] = top
        for module, line, said, changed in drawn:
            if time.monotonic() > end:
                break
            path = Path(f"dmri_helpers/{module}.py")
            source = path.read_text(encoding="utf-8")
            path.write_text(changed, encoding="utf-8")
            began, killed = time.monotonic(), False
            for tests in TESTS[module]:
                killed = killed or in_child(lambda tests=tests: tested(tests), 300) != 0
            path.write_text(source, encoding="utf-8")
            lasted = time.monotonic() - began
            lines.append(f"{'killed  ' if killed else 'SURVIVED'} {lasted:5.1f} s {module}.py:{line} {said}")
            print(lines[-1], flush=True)
        os.chdir(ROOT)
    return lines


def report(lines: list[str], command: str) -> None:
    """Write what became of the mutants of the core: figures/reliability/mutation.json, and the page's table."""
    found = [re.match(r"(\S+) +\S+ s (\w+)\.py:(\d+) (.*)", line).groups() for line in lines]
    met = collections.Counter(row[1] for row in found)
    killed = collections.Counter(row[1] for row in found if row[0] == "killed")
    survivors = [f"{module}.py:{line} {said}" for outcome, module, line, said in found if outcome != "killed"]
    rows = [[module, met[module], killed[module]] for module in TESTS if met[module]]
    rows.append(["all", met.total(), killed.total()])
    said = f"{met.total()} mutants, {killed.total() / met.total():.0%} killed"
    result = {"met": met, "killed": killed, "survivors": survivors}
    record("mutation", command, said, ["module", "mutants", "killed"], rows, result)


def report_of_exercises(count: dict[str, dict[str, int]], accepted: list[str], command: str) -> None:
    """Write what the checks said of the mutants of the solutions: exercises.json there, and the page's table."""
    kinds = ["refused", "error", "crash", "too long", "passed"]
    rows = [[exercise, *(of.get(kind, 0) for kind in kinds)] for exercise, of in count.items()]
    rows.append(["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    said = f"{sum(rows[-1][1:])} mutants of {len(count)} solutions"
    record("exercises", command, said, ["exercise", *kinds], rows, {"met": count, "passed": accepted})


GIVEN = """
import dataclasses, math
import numpy as np, torch
from torch import nn
from torch.nn import functional
from dmri_helpers import classical, data, exercises, fourier, methods, metrics, networks, operators, sampling, training
my_fft2c = fourier.fft2c
to_channels, to_complex = networks._to_channels, networks._to_complex
def conv_t(layer, features):
    padded = functional.pad(features, (0, 0, 0, 0, 1, 1), mode="circular")
    return layer(functional.pad(padded, (1, 1, 1, 1)))
"""
"""what solutions use of their notebooks"""


def solutions() -> dict[str, str]:
    """Number of every exercise -> the function that solves it, from the notebooks."""
    import jupytext

    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.py")):
        for cell in jupytext.read(path).cells:
            number = re.match(r"# Solution (\d\.\d)\n", cell.source)
            if number:
                found[number[1]] = ast.unparse(ast.parse(cell.source))
    return found


def wrong_answers(number: int, seed: int, only: str) -> tuple[dict[str, dict[str, int]], list[str]]:
    """So many mutants of every solution, met by its check; where there are fewer, some with two changes.

    Returns what came of them, counted for every exercise, and those that were accepted.
    """
    sys.path[:0] = [str(ROOT)]
    given: dict = {}
    exec(GIVEN, given)
    said_by = Path(tempfile.mkdtemp()) / "said"
    count, accepted = {}, []
    for exercise, source in solutions().items():
        if only not in exercise:
            continue
        rng = random.Random(f"{seed} {exercise}")
        found = {changed: said for _, said, changed in mutants(source) if changed != source}
        chosen = dict(rng.sample(sorted(found.items()), min(number, len(found))))
        for _ in range(20 * number):
            if len(chosen) >= number:
                break
            first, said = rng.choice(sorted(found.items()))
            _, more, both = rng.choice(mutants(first) or [(0, "", source)])
            if both != source:
                chosen[both] = f"{said}; {more}"
        name = next(
            node.name for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        )
        check = getattr(given["exercises"], f"check_{exercise.replace('.', '_')}")
        names = collections.Counter()
        for changed, what in {source: "nothing", **chosen}.items():

            def work(changed=changed, check=check, name=name) -> int:
                here = dict(given)
                try:
                    exec(changed, here)
                    check(here[name])
                except Exception as error:
                    said_by.write_text(f"{type(error).__name__}: {error}")
                    return 1 if type(error).__name__ == "NotYet" else 2
                return 0

            said_by.write_text("")
            outcome = {0: "passed", 1: "refused", 2: "error", None: "too long"}.get(
                in_child(work, 120), "crash"
            )
            if what == "nothing" and outcome != "passed":
                sys.exit(f"{exercise}: the reference solution itself: {outcome}: {said_by.read_text()}")
            if what != "nothing":
                names[outcome] += 1
                accepted += [f"{exercise} {what}"] * (outcome == "passed")
            print(f"{exercise} {outcome:8} {what} | {said_by.read_text()}", flush=True)
        count[exercise] = dict(names)
    return count, accepted


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--number", type=int, default=200)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", default="")
    asked.add_argument("--seconds", type=float, default=float("inf"), help="stop then")
    asked.add_argument(
        "--exercises", action="store_true", help="solutions of the exercises instead; lists what is said"
    )
    options = asked.parse_args()
    command = f"python tests/stress/mutation.py --number {options.number} --seed {options.seed}"
    if options.exercises:
        said = wrong_answers(options.number, options.seed, options.only)
        if not options.only:
            report_of_exercises(*said, f"{command} --exercises")
        sys.exit()
    found = core(options.number, options.seed, options.only, options.seconds)
    if not options.only:
        report(found, command)
