"""Importing the package is light, and lets threads wait without spinning before torch reads how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POLICIES = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"


def said(code: str, **chosen: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in POLICIES}
    environment = kept | {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "TRUE"} | chosen
    command = [sys.executable, "-c", f"import os, sys, dmri_helpers; {code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_importing_loads_neither_torch_nor_numpy():
    assert said("print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))").startswith("set()")


@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP")
def test_threads_wait_passively():
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said("from dmri_helpers import fourier")


@pytest.mark.parametrize(
    "chosen", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "1000"}, {"KMP_BLOCKTIME": "1"}]
)
def test_a_choice_of_the_user_stays(chosen):
    found = f"{{name: os.environ[name] for name in {POLICIES} if name in os.environ}}"
    assert said(f"print({found} == {chosen})", **chosen).startswith("True")
