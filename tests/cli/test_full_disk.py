"""A disk that is full: every command that writes says so in one line, and leaves what was there, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from dmri_helpers import cli
from dmri_helpers.studies import bench, heart, study, sweep

resource = pytest.importorskip("resource", reason="Windows has no limits of a file's size")
ROOT = Path(__file__).resolve().parents[2]
FAST = "--acceleration 3 --center-lines 3"
TRAIN = (
    f"train --data cines.npz --model unrolled --cascades 1 --features 2 --epochs 1 --crop 12 {FAST} --out new"
)
COMMANDS = [
    "import cines.npz new.npz",
    "phantom --n 1 --frames 4 --size 32 32 --out new.npz",
    "info cines.npz --png new.png",
    f"evaluate --data cines.npz --method zero_filled --json new.json {FAST}",
    f"reconstruct --data cines.npz --method zero_filled --out new.npz {FAST}",
    TRAIN,
    f"{TRAIN} --resume",
    "fingerprint cines.npz --json new.json",
    "sweep cines.npz --json new.json",
    "bench --data cines.npz --md new.md",
    "study consistency --out new",
    "study heart --out new",
]


def measured(name: str):
    return json.loads((ROOT / "figures" / name).read_text(encoding="utf-8"))


MEASURED = [
    (bench, "run", measured("benchmark.json")),
    (heart, "run", measured("study/heart.json")["rows"]),
    (study, "run", measured("study/consistency.json")["runs"]),
    (sweep, "sweep", measured("classical/sweep.json")["parameters"]),
]


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A folder with cines, on a disk that takes no more than 50 bytes of a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "cache"))
    for module, name, result in MEASURED:  # what takes minutes was measured before
        monkeypatch.setattr(module, name, lambda *_, result=result: result)
    np.savez("cines.npz", dataset=np.random.default_rng(0).random((5, 4, 24, 20), np.float32))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))

    yield begin
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command, full, capsys):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    full()
    code = cli.main(command.split())
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if "error" in line]
    assert code == 2 and len(lines) == 1 and "new" in lines[0] and "File too large" in lines[0]
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert not list(Path().glob("new*"))
