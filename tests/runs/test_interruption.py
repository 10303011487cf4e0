"""kill -9 at any moment, then --resume: the weights of a run that nobody disturbed, bit for bit."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dmri_helpers.runs import read_log

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork and no kill -9 on this system")
ROOT = Path(__file__).resolve().parents[2]
OPTIONS = """--data cines.npz --model dual_unet --frames 4 --init-features 2 --depth 1 --resnet-features 2 --epochs 6
    --batch-size 2 --learning-rate 1e-2 --crop 12 --acceleration 3 --center-lines 3 --ema 0.8 --clip 1 --noise 0.01
    --augment --resume""".split()
FORKS = """
import os, signal, sys
import torch
from dmri_helpers import cli, data, methods, metrics, plotting, training

torch.optim.AdamW([torch.zeros(1)])  # its imports take longer than the run
replace = os.replace

def deadly(source, target):
    global count
    count -= 1
    if count == 0 and before:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = deadly
for attempt in sys.argv[1].split(","):
    child = os.fork()
    if child == 0:
        before, count = "before" in attempt, int("0" + attempt.lstrip("abeforntv"))
        os._exit(cli.main(sys.argv[2:]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    array = np.random.default_rng(0).random((7, 4, 24, 20), dtype=np.float32)
    np.savez(folder / "cines.npz", dataset=array)
    return folder


@pytest.fixture(scope="module")
def undisturbed(folder) -> Path:
    process = start(folder, "-m", "dmri_helpers", "train", *OPTIONS, "--out", "undisturbed")
    assert process.wait(60) == 0, (folder / "stderr").read_text()
    return folder / "undisturbed"


def start(folder: Path, *argv: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DMRI_PROFILE": "tiny"}
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        return subprocess.Popen([sys.executable, *argv], cwd=folder, env=environment, stdout=out, stderr=err)


def assert_same_run(run: Path, other: Path) -> None:
    for name in ("best.safetensors", "last.safetensors"):
        mine, theirs = load_file(run / name), load_file(other / name)
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
    logs = [read_log(folder / "log.csv") for folder in (run, other)]
    for a, b in zip(*logs, strict=True):
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, nan_ok=True, rel=0, abs=0)
    assert (run / "output.txt").read_text() == (other / "output.txt").read_text()
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} for folder in (run, other)]
    assert names[0] == names[1] and not [name for name in names[0] if name.startswith(".")]
    checkpoints = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (run, other)]
    states = [checkpoint["optimizer"]["state"] for checkpoint in checkpoints]
    assert all(torch.equal(states[0][i][key], states[1][i][key]) for i in states[0] for key in states[0][i])


def test_killed_before_and_after_each_file_is_in_its_place(folder, undisturbed):
    """The processes die one after the other around the first files, around later ones, and the last one goes on."""
    first = [f"{side}{count}" for count in range(1, 7) for side in ("before", "after")]
    later = ["before9", "after5", "after6", "before12", "before7", "before8"]
    process = start(
        folder, "-c", FORKS, ",".join([*first, *later, "never"]), "train", *OPTIONS, "--out", "between"
    )
    process.wait(120)
    codes = re.findall(r"^-?\d+$", (folder / "stdout").read_text(), re.MULTILINE)
    killed = str(-signal.SIGKILL)
    assert codes[: len(first)] == [killed] * len(first), (folder / "stderr").read_text()
    assert set(codes) == {killed, "0"} and codes[-1] == "0", (folder / "stderr").read_text()
    assert_same_run(folder / "between", undisturbed)


def test_killed_at_a_random_time(folder, undisturbed):
    out, moment = folder / "random", random.Random(0)
    process = start(folder, "-m", "dmri_helpers", "train", *OPTIONS, "--out", out.name)
    while process.poll() is None and not (out / "config.json").exists():
        time.sleep(0.001)
    time.sleep(moment.uniform(0, 0.3))
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it was faster than the signal"
    process = start(folder, "-m", "dmri_helpers", "train", *OPTIONS, "--out", out.name)
    assert process.wait(60) == 0, (folder / "stderr").read_text()
    assert_same_run(out, undisturbed)
