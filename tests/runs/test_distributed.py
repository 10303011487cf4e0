"""Two processes on one machine: the run of one process with the doubled batch, one log, one checkpoint."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dmri_helpers import cli, data, training
from dmri_helpers.runs import processes, read_log
from dmri_helpers.studies import study

pytest.importorskip("accelerate", reason="accelerate is not installed: [test]")
ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = "-m torch.distributed.run --standalone --nproc-per-node 2 -m -- dmri_helpers".split()
OPTIONS = """train --data cines.npz --split 7 3 1 --model unrolled --cascades 1 --features 3 --epochs 4
    --start view_sharing --learning-rate 1e-2 --crop 12 --acceleration 3 --center-lines 3 --ema 0.8 --clip 1e-2
    --noise 0.01 --augment --density mixed --acceleration-to 5 --no-mixed-precision --device cpu""".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    array = np.random.default_rng(0).random((11, 4, 24, 20))  # float64: said in a note
    np.savez(folder / "cines.npz", dataset=array)
    return folder


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DMRI_PROFILE": "tiny"}
    return subprocess.run(
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_two_processes_are_one_with_the_doubled_batch(folder, monkeypatch):
    """7 training cines: a step with 2 and 1; 3 for validation: a round with 1 and none."""
    monkeypatch.chdir(folder)
    assert cli.main([*OPTIONS, "--out", "one", "--batch-size", "4"]) == 0
    two = run(folder, *TORCHRUN, *OPTIONS, "--out", "two", "--batch-size", "2", "--max-minutes", "1e-9")
    assert two.returncode == 0, two.stderr
    assert "stopped after epoch 1 of 4\n" in two.stdout and two.stdout.count("go on with: torchrun ") == 1
    assert two.stderr.count("dmri: note:") == two.stderr.count("0/4 [00:00<?, ?epoch/s]") == 1
    assert "Warning" not in two.stderr
    two = run(folder, *TORCHRUN, *OPTIONS, "--out", "two", "--batch-size", "2", "--resume")
    assert two.returncode == 0 and two.stdout.count("| unrolled ") == 1, two.stderr
    logs = [read_log(folder / name / "log.csv") for name in ("one", "two")]
    assert len(logs[0]) == 5
    for a, b in zip(*logs, strict=True):
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, nan_ok=True, rel=1e-5)
    files = [sorted(path.name for path in (folder / name).iterdir()) for name in ("one", "two")]
    assert files[0] == files[1] and files[0].count("checkpoint.pt") == 1
    tables = [(folder / name / "output.txt").read_text().count("Epoch ") for name in ("one", "two")]
    assert tables == [5, 5]
    config = json.loads((folder / "two" / "config.json").read_text())
    assert config["training"]["batch_size"] == 2 and config["processes"] == 2


def test_the_slurm_script_goes_on_until_the_run_is_complete(folder):
    """The script of the page on training: stand-ins for SLURM, two processes here, slices of an epoch."""
    page = (ROOT / "site" / "training.md").read_text(encoding="utf-8")
    script = next(part for part in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if "#SBATCH" in part)
    small = " ".join(OPTIONS[1:]).replace("--epochs 4", "--epochs 2")
    script = script.replace("--profile full --model unrolled", small).replace("$first:29500", "localhost:0")
    script = script.replace("--max-minutes 50", "--max-minutes 1e-9")
    assert small in script and "1e-9" in script
    stand_ins = folder / "bin"
    stand_ins.mkdir()
    for name, text in {
        "srun": 'exec "$@"',
        "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
        "scontrol": 'if [ $1 = requeue ]; then echo "again $2" >> queue; else echo here; echo there; fi',
    }.items():
        (stand_ins / name).write_text(f"#!/bin/sh\n{text}\n")
        (stand_ins / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{stand_ins}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "DMRI_PROFILE": "tiny",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "1",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_JOB_ID": "7",
    }
    for slices in (1, 2):
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert len(read_log(folder / "runs/cascade/log.csv")) == 1 + slices
        assert (folder / "queue").read_text() == "again 7\n", "queued again after the first slice alone"


def test_two_processes_evaluate_what_one_does(folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = (
        "evaluate --data cines.npz --method view_sharing --acceleration 3 --center-lines 3 --limit 5".split()
    )
    assert cli.main([*options, "--json", "alone.json"]) == 0
    done = run(folder, *TORCHRUN, *options, "--json", "shared.json")
    assert done.returncode == 0 and done.stdout.count("| view sharing ") == 2, done.stderr
    rows = [json.loads((folder / f"{name}.json").read_text())["cines"] for name in ("alone", "shared")]
    for a, b in zip(*rows, strict=True):
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, rel=1e-6)


def test_processes_share_the_rows_of_a_study(tmp_path, monkeypatch):
    """The second of two makes the second row; the first waits for it, and knows all."""
    made, seeds = [], (0, 1)

    def train(_, name, row, seed, folder):
        made.append((name, seed))
        path = study._kept(folder, name, seed)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"runs": [{"row": name, "seed": seed}]}))

    monkeypatch.setattr(study, "_train_one", train)
    monkeypatch.setenv("WORLD_SIZE", "2")
    some = study.Study(rows=dict.fromkeys("abc"), reference="a", question="?", training=None)
    expected = {"1": [("b", 0), ("b", 1)], "0": [("a", 0), ("c", 0), ("a", 1), ("c", 1)]}
    for rank, mine in expected.items():
        made.clear()
        monkeypatch.setenv("RANK", rank)
        runs = study.run(some, seeds, tmp_path / "runs")
        assert made == mine
    assert [(row["row"], row["seed"]) for row in runs] == [(name, seed) for seed in seeds for name in "abc"]


def test_bad_input_is_said_once(folder):
    done = run(folder, *TORCHRUN, *OPTIONS, "--out", "new", "--data", "absent.npz")
    assert done.returncode == 1 and done.stderr.count("dmri: error: absent.npz") == 1
    assert not (folder / "new").exists()


@pytest.mark.parametrize("batch, parts", [(2, 2), (3, 2), (4, 3), (9, 4)])
def test_every_cine_counts_once_and_in_one_process(batch, parts):
    """Whatever the batch and the number of processes: the weighted means of the parts are the mean of the whole."""

    class Team:
        num_processes, device = parts, torch.device("cpu")

    cines = data.Cines(
        np.arange(1, 8, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 8, 4), np.float32), ""
    )
    samples = data.UndersampledCines(cines, 2, 2, training=True)
    shares = []
    for Team.process_index in range(parts):
        shares.append(list(training._shares(samples, batch, Team)))
    seen = []
    for step in zip(*shares, strict=True):
        counted = [target[:mine].flatten(1)[:, 0].real for (*_, target), mine, _ in step]
        seen += torch.cat(counted).tolist()
        means = [weight * target.real.mean() for (*_, target), _, weight in step]
        assert sum(means) / parts == pytest.approx(torch.cat(counted).mean().item(), rel=1e-6)
    assert sorted(seen) == list(range(1, 8))


def test_several_processes_without_accelerate(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ValueError, match=r"found no package accelerate; expected .*\[cluster\]"):
        processes()


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "64")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    with pytest.raises(ValueError, match=r"started 64 processes on a machine with \d+ GPUs"):
        processes("cuda")


def test_accelerate_waits_until_it_is_needed():
    code = (
        "import sys; from dmri_helpers import runs; runs.processes(); assert 'accelerate' not in sys.modules"
    )
    assert run(ROOT, "-c", code).returncode == 0
