"""The command line: what it writes, what it says, how it refuses."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_cines import BAD_FILES
from safetensors.torch import load_file

from dmri_helpers import cli, methods, metrics, training
from dmri_helpers.cli.main import _parse
from dmri_helpers.cli.output import EVALUATION_SEED, PROFILES
from dmri_helpers.cli.train import IMAGES_OF
from dmri_helpers.data import open_cine
from dmri_helpers.results.files import finite
from dmri_helpers.sampling import achieved_acceleration, ky_t_mask

ROOT = Path(__file__).resolve().parents[2]
FAST = "--acceleration 4 --center-lines 4".split()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, tmp_path_factory):
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path_factory.getbasetemp() / "phantoms"))
    monkeypatch.setenv("DMRI_PROFILE", "tiny")
    monkeypatch.delenv("DMRI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cines(tmp_path) -> str:
    array = np.random.default_rng(0).random((7, 5, 33, 30), dtype=np.float32)
    array[:, :, 8:20, 8:20] += np.linspace(0, 1, 5)[:, None, None]
    np.savez(tmp_path / "cines.npz", dataset=array / array.max(), groups=np.array([3, 3, 1, 1, 2, 2, 2]))
    return str(tmp_path / "cines.npz")


def refused(capsys, *argv) -> str:
    """The one line on stderr with which a command is refused, having written nothing."""
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    code = cli.main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert code == 2 and out == ""
    assert err.startswith("dmri: error: ") and err.count("\n") == 1 and "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before
    return err


def test_evaluate_writes_what_it_measured(cines, capsys):
    command = [
        "evaluate",
        "--data",
        cines,
        "--method",
        "view_sharing",
        *FAST,
        "--json",
        "new/folder/out.json",
    ]
    assert cli.main(command) == 0
    table = capsys.readouterr().out
    text = Path("new/folder/out.json").read_text()
    result = json.loads(text, parse_constant=pytest.fail)
    assert [path.name for path in Path("new/folder").iterdir()] == ["out.json"]

    assert cli.main([*command[:-1], "four.json", "--mean-of-four"]) == 0
    capsys.readouterr()
    four = json.loads(Path("four.json").read_text())
    assert (
        four["method"] == "view_sharing, mean of four"
        and four["psnr"]["mean"] >= result["psnr"]["mean"] - 0.5
    )
    assert result["method"] == "view_sharing" and result["data"] == "cines.npz" and result["n_cines"] == 7
    assert result["acceleration"] == 4 and result["center_lines"] == 4 and result["mask_seed"] == 42
    assert result["seconds_per_cine"] > 0 and {"machine", "versions", "date", "notes"} <= result.keys()
    assert [row["cine"] for row in result["cines"]] == list(range(7))
    for name in metrics.METRICS:
        values = [row[name] for row in result["cines"]]
        assert result[name] == pytest.approx(
            {"mean": np.mean(values), "std": np.std(values, ddof=1), "n": len(values)}, rel=1e-5
        )
        assert result[name].keys() == {"mean", "std", "n"}
    assert f"{result['psnr_volume']['mean']:.2f} ± {result['psnr_volume']['std']:.2f}" in table
    assert str(Path.cwd()) not in text + table and os.uname().nodename not in text


def test_evaluate_is_one_mask_for_all_and_repeatable(cines):
    for name, options in {"a": [], "b": ["--limit", "3"], "c": ["--mask-seed", "43"]}.items():
        command = ["evaluate", "--data", cines, "--method", "zero_filled", *FAST, "--json", name, *options]
        assert cli.main(command) == 0
    psnr = {name: [row["psnr"] for row in json.loads(Path(name).read_text())["cines"]] for name in "abc"}
    assert psnr["a"][:3] == psnr["b"] and psnr["a"] != psnr["c"]

    kept = open_cine(cines)
    mask = ky_t_mask(kept.shape[1:], 4, 4, seed=42)
    from dmri_helpers.fourier import fft2c, ifft2c

    expected = [metrics.cine_metrics(ifft2c(mask[0] * fft2c(cine)), cine)["psnr"] for cine in kept]
    assert psnr["a"] == pytest.approx(expected, rel=1e-5)


def test_json_has_no_nan(tmp_path, monkeypatch):
    still = np.tile(np.random.default_rng(0).random((1, 1, 32, 32), dtype=np.float32), (1, 4, 1, 1))
    np.save("still.npy", still)
    command = "evaluate --data still.npy --method temporal_mean --json out.json --acceleration 1".split()
    assert cli.main(command) == 0  # nothing moves: no dynamic PSNR
    result = json.loads(Path("out.json").read_text(), parse_constant=pytest.fail)
    assert result["psnr_dynamic"] == {"mean": None, "std": None, "n": 0}
    assert result["cines"][0]["psnr_dynamic"] is None
    assert finite([{"a": (float("inf"))}, 1.0]) == [{"a": None}, 1.0]


def test_reconstruct_keeps_the_images(cines, capsys):
    assert (
        cli.main(["reconstruct", "--data", cines, "--method", "temporal_mean", *FAST, "--out", "r.npz"]) == 0
    )
    with np.load("r.npz") as archive:
        assert archive["dataset"].shape == (7, 5, 33, 30) and archive["dataset"].dtype == np.float32
        assert achieved_acceleration(torch.from_numpy(archive["mask"])) == 33 / 8
        assert archive["groups"].tolist() == [3, 3, 1, 1, 2, 2, 2]
        description = json.loads(str(archive["description"]))
        magnitude = archive["dataset"]
    assert description["method"] == "temporal_mean" and description["mask_seed"] == 42
    command = [
        "reconstruct",
        "--data",
        cines,
        "--method",
        "temporal_mean",
        *FAST,
        "--out",
        "c.npz",
        "--complex",
    ]
    assert cli.main([*command, "--limit", "2"]) == 0
    with np.load("c.npz") as archive:
        assert archive["dataset"].dtype == np.complex64
        np.testing.assert_allclose(np.abs(archive["dataset"]), magnitude[:2], atol=1e-6)
    assert cli.main(["info", "r.npz"]) == 0
    assert "7 cines of 5 frames, 33 phase-encode lines x 30 columns" in capsys.readouterr().out


def test_what_was_done_to_the_values_is_said(capsys):
    np.save("u8.npy", np.random.default_rng(0).integers(0, 256, (5, 33, 30), np.uint8))
    for command in (["evaluate", "--json", "u8.json"], ["reconstruct", "--out", "u8.npz"]):
        assert cli.main([*command, "--data", "u8.npy", "--method", "zero_filled", *FAST]) == 0
        assert "dmri: note: u8.npy: integers (uint8)" in capsys.readouterr().err
    (note,) = json.loads(Path("u8.json").read_text())["notes"]
    assert "divided by its largest magnitude" in note
    assert cli.main(["info", "u8.npy"]) == 0
    assert f"note: {note}" in capsys.readouterr().out


def test_phantom(capsys):
    assert cli.main("phantom --out p.npz --n 3 --seed 1 --frames 4 --size 40 32".split()) == 0
    with np.load("p.npz") as archive:
        shapes = {name: archive[name].shape for name in archive.files}
        dataset = archive["dataset"]
    assert shapes == {
        "dataset": (3, 4, 40, 32),
        "labels": (3, 4, 40, 32),
        "lv_volume": (3, 4),
        "ejection_fraction": (3,),
        "group": (3,),
        "groups": (3,),
    }
    assert torch.equal(open_cine("p.npz").tensor(), open_cine(n=3, shape=(4, 40, 32), seed=1).tensor())
    assert cli.main("phantom --out c.npz --n 1 --seed 1 --frames 4 --size 40 32 --complex".split()) == 0
    with np.load("c.npz") as archive:
        np.testing.assert_allclose(np.abs(archive["dataset"]), dataset[:1], atol=1e-6)


def test_a_phantom_with_coils_runs_every_method_in_both_worlds(capsys):
    made = "phantom --n 3 --frames 8 --size 64 64 --coils 4 --noise 0.02 --out x.npz --png x.png"
    assert cli.main(made.split()) == 0
    with np.load("x.npz") as archive:
        dataset, maps, covariance = (archive[name] for name in ("dataset", "coils", "noise_covariance"))
    assert dataset.shape == (3, 8, 64, 64) and dataset.dtype == maps.dtype == np.complex64
    assert maps.shape == (4, 64, 64) and covariance.shape == (4, 4)
    np.testing.assert_allclose((abs(maps) ** 2).sum(0), 1, atol=1e-5)
    np.testing.assert_allclose(np.diag(covariance), 0.02**2, rtol=1e-5)
    assert cli.main("info x.npz".split()) == cli.main("import x.npz y.npz".split()) == 0
    assert "coils: 4, the same maps for all cines\nnotes: none" in capsys.readouterr().out
    assert torch.equal(open_cine("y.npz").coils, open_cine("x.npz").coils)

    worlds = {
        "as it is": ([], 4),
        "magnitude": (["--magnitude"], 0),
        "phase": (["--magnitude", "--phase", "1"], 0),
    }
    psnr = {}
    for world, (options, coils) in worlds.items():
        for method in (*methods.CLASSICAL, "unrolled", "dual_unet"):
            command = f"evaluate --data x.npz --limit 1 --method {method} --json out.json --force".split()
            assert cli.main([*command, "--acceleration", "4", "--center-lines", "8", *options]) == 0
            result = json.loads(Path("out.json").read_text(), parse_constant=pytest.fail)
            assert result["coils"] == coils
            psnr[world, method] = result["psnr_volume"]["mean"]
    for world in worlds:
        assert psnr[world, "view_sharing"] > psnr[world, "zero_filled"] + 3
    assert psnr["as it is", "cg_sense"] > psnr["as it is", "zero_filled"]


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_data_is_refused(case, capsys, tmp_path):
    make, found = BAD_FILES[case]
    make(tmp_path / "bad.npz")
    for command in (
        ["info", "bad.npz"],
        ["evaluate", "--data", "bad.npz", "--method", "zero_filled", "--json", "new/out.json"],
        ["reconstruct", "--data", "bad.npz", "--method", "zero_filled", "--out", "new/out.npz"],
        ["train", "--data", "bad.npz", "--out", "new/run"],
        ["report", "--data", "bad.npz", "--out", "new/report"],
    ):
        message = refused(capsys, *command)
        assert "bad.npz" in message and found in message and "; expected " in message


EVALUATE = "evaluate --data cines.npz --method zero_filled"


@pytest.mark.parametrize(
    "command, said",
    {
        "": "Expected one of {evaluate, reconstruct, train, phantom, info, ",
        "nonsense": "nonsense; Available subcommands: evaluate",
        "evaluate": "--method",
        "info": "PATH",
        "evaluate --method zero_filled --bogus": "--bogus",
        "evaluate --method zero_filled --acceleration many": "'many'",
        "evaluate --method zero_filled --density flat": "'quadratic', 'gaussian'",
        "evaluate --method nonsense": "expected zero_filled, temporal_mean, view_sharing, conjugate_view_sharing",
        "evaluate --method cines.npz": "found no weights of this course",
        f"{EVALUATE} --acceleration 30": "possible are 0 to 1 centre lines",
        f"{EVALUATE} --acceleration 0.5": "at least 1",
        f"{EVALUATE} --acceleration nan": "at least 1",
        f"{EVALUATE} --center-lines -1": "possible are 0 to 6 centre lines",
        f"{EVALUATE} --center-lines 1 --limit 0": "at least 1",
        f"{EVALUATE} --mask-seed -1": "--mask-seed -1: expected",
        f"{EVALUATE} --json .": "found a folder",
        f"{EVALUATE} --json cines.npz": "--force",
        f"{EVALUATE} --json cines.npz/out.json": "cannot be written",
        "reconstruct --data cines.npz --method zero_filled": "--out",
        "reconstruct --data cines.npz --method zero_filled --out cines.npz": "--force",
        "phantom --out cines.npz": "--force",
        "phantom --out p.npz --n 0": "at least 1",
        "phantom --out p.npz --seed -1": "at least 0",
        "phantom --out p.npz --coils 33": "found 33 coils; expected 1 to 32",
        "phantom --out p.npz --coils 2 --noise 0": "--noise 0: expected more than 0",
        "phantom --out p.npz --n 1 --size 3 3": "at least (1, 16, 16)",
        "train --out cines.npz": "found a file",
        "train --out .": "not empty",
        "train --out . --resume": "no run to resume",
        "train --out new --model other": "'dual_unet', 'unrolled'",
        "train --out new --profile other": "'tiny', 'demo', 'full'",
        "train --out new --cascades 3": "--cascades",  # of the other network
        "train --out new --model unrolled --cascades 0": "--cascades 0: expected at least 1",
        "train --out new --epochs 0": "--epochs 0: expected at least 1",
        "train --out new --dropout 1": "--dropout 1.0: expected a probability below 1",
        "train --out new --learning-rate nan": "--learning-rate nan: expected at least 0",
        "train --out new --limit 2": "at least 3 to split",
        "train --out new --weights unrolled": "--weights unrolled: found another network; expected",
        "train --out new --weights kt_tv": "--weights kt_tv: found another network; expected",
        "train --out new --weights cines.npz": "found no weights of this course",
    }.items(),
)
def test_refusals(command, said, cines, capsys):
    open_cine(n=2, shape=(8, 64, 64))  # in the cache: no progress bar
    capsys.readouterr()
    assert said in refused(capsys, *command.split())


def test_wrong_environment_is_refused(cines, capsys, monkeypatch):
    monkeypatch.setenv("DMRI_PROFILE", "huge")
    assert "expected one of tiny, demo, full" in refused(capsys, "info", cines)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu(capsys):
    assert "--device cuda" in refused(capsys, "train", "--out", "new", "--device", "cuda")


def test_force_overwrites(cines):
    Path("out.json").write_text("old")
    assert cli.main([*EVALUATE.split(), *FAST, "--json", "out.json", "--force"]) == 0
    assert json.loads(Path("out.json").read_text())["n_cines"] == 7


@pytest.mark.parametrize(
    "error, code", [(KeyboardInterrupt(), 130), (MemoryError(), 2), (OSError(28, "full"), 2)]
)
def test_what_happens_on_the_way_is_one_line(cines, capsys, monkeypatch, error, code):
    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(training, "evaluate", interrupted)
    assert cli.main([*EVALUATE.split(), *FAST, "--json", "out.json"]) == code
    assert capsys.readouterr().err.strip().count("\n") == 0 and not Path("out.json").exists()


def test_a_disk_that_is_full_leaves_nothing_behind(cines, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    code = cli.main(["reconstruct", "--data", cines, "--method", "zero_filled", *FAST, "--out", "r.npz"])
    assert code == 2 and "r.npz: cannot be written (No space left on device)" in capsys.readouterr().err
    assert [path.name for path in Path.cwd().iterdir()] == ["cines.npz"]


TRAIN = "train --init-features 2 --depth 1 --resnet-features 2 --epochs 1".split()


def test_train_writes_the_seeds_folder_and_resumes(cines, capsys):
    command = [*TRAIN, "--frames", "3", "--data", cines, *FAST, "--out", "runs/first"]
    assert cli.main(command) == 0
    assert "| dual U-Net " in capsys.readouterr().out
    out = Path("runs/first")
    assert {"config.json", "log.csv", "output.txt", "best.safetensors", "images"} <= {
        p.name for p in out.iterdir()
    }
    text = (out / "output.txt").read_text()
    n_test = text.count("Test cine ")
    assert text.count("Epoch ") == 2 and n_test >= 2 and text.count("| dual U-Net ") == 1
    kinds = ("undersampled", "reconstruction", "full_sampling", "branch_real", "branch_imaginary")
    shown = range(min(n_test, IMAGES_OF))
    assert {path.name for path in (out / "images").iterdir()} == {
        f"{kind}_{i}.png" for kind in kinds for i in shown
    }

    written = json.loads((out / "config.json").read_text())
    assert written["network"]["init_features"] == 2 and written["training"]["epochs"] == 1
    assert "not empty" in refused(capsys, *command)
    assert "another training configuration" in refused(capsys, *command, "--resume", "--weight-decay", "1")
    assert cli.main([*command, "--resume"]) == 0
    assert (out / "output.txt").read_text() == text

    assert cli.main(["evaluate", "--data", cines, "--method", str(out), *FAST, "--json", "run.json"]) == 0
    assert json.loads(Path("run.json").read_text())["method"] == "first"


def test_training_goes_on_from_the_weights_of_another_run(cines):
    command = [*TRAIN, "--frames", "3", "--data", cines, *FAST]
    assert cli.main([*command, "--out", "first"]) == 0
    assert cli.main([*command, "--learning-rate", "0", "--weights", "first", "--out", "second"]) == 0
    first, second = (load_file(f"{run}/best.safetensors") for run in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert json.loads(Path("second/config.json").read_text())["started_from"].startswith("SHA-256 ")


def test_bart_is_a_method_where_it_is_installed(cines, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "found no program bart" in refused(capsys, "evaluate", "--data", cines, "--method", "bart")


def test_images_are_the_cines(cines):
    from matplotlib.image import imread

    command = "train --model unrolled --cascades 1 --features 2 --epochs 1 --out run".split()
    assert cli.main([*command, "--data", cines, *FAST, "--no-mixed-precision", "--seed", "3"]) == 0
    names = {path.name.rsplit("_", 1)[0] for path in Path("run/images").iterdir()}
    assert names == {"undersampled", "reconstruction", "full_sampling"}
    tiles = imread("run/images/full_sampling_0.png")[..., 0]
    assert tiles.shape == (2 * 33, 3 * 30) and (tiles[33:, 60:] == 0).all()
    first = tiles[:33, :30]
    assert min(np.abs(first - cine[0].numpy()).max() for cine in open_cine(cines)) < 1 / 128


def test_training_that_made_nothing_better_says_so(cines, capsys):
    command = ["train", "--out", "run", "--data", cines, "--model", "unrolled", "--profile", "tiny", *FAST]
    assert cli.main([*command, "--epochs", "1", "--learning-rate", "0.5", "--split", "1", "1", "1"]) == 0
    log = [row.split(",")[3] for row in Path("run/log.csv").read_text().splitlines()[1:]]
    assert float(log[1]) < float(log[0]), "choose a rate that spoils the network"
    assert "the weights are those that training began with" in capsys.readouterr().out
    config = json.loads(Path("run/config.json").read_text())
    assert config["sampling"]["validation"]["seed"] == config["training"]["seed"] + 1


def test_train_on_phantoms_by_default():
    assert cli.main([*TRAIN, "--limit", "3", "--out", "run"]) == 0
    assert json.loads(Path("run/config.json").read_text())["data"]["source"] == "phantom"


def test_profile_gives_the_defaults():
    command = _parse(["train", "--out", "x", "--profile", "demo", "--model", "unrolled", "--cascades", "2"])
    demo = PROFILES["demo"]
    assert command.network.cascades == 2 and command.network.features == demo.unrolled.features
    assert command.training == demo.unrolled_training
    assert _parse(["train", "--out", "x"]).network == PROFILES["tiny"].dual_unet


@pytest.mark.parametrize("command", ["", "evaluate", "reconstruct", "train", "phantom", "info", "report"])
def test_help_has_an_example(command, capsys):
    assert cli.main([*command.split(), "--help"]) == 0
    assert f"Example: dmri {command}" in " ".join(capsys.readouterr().out.split())


def run_dmri(*argv, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-X", "importtime", "-m", "dmri_helpers", *argv]
    return subprocess.run(command, env=environment, text=True, timeout=60, **options)


def test_help_does_not_wait_for_torch():
    done = run_dmri("--help", capture_output=True)
    assert done.returncode == 0 and "evaluate" in done.stdout
    assert "tyro" in done.stderr and " torch" not in done.stderr and " numpy" not in done.stderr


def test_a_reader_that_leaves(cines):
    reading, writing = os.pipe()
    os.close(reading)
    done = run_dmri("info", cines, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 141 and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    "method, expected", [("zero_filled", 23.0), ("temporal_mean", 33.4), ("view_sharing", 34.5)]
)
def test_the_seeds_protocol_on_real_cines(cine_dev, method, expected):
    command = ["evaluate", "--data", str(cine_dev), "--method", method, "--json", "out.json"]
    assert cli.main(command) == 0
    result = json.loads(Path("out.json").read_text())
    assert result["n_cines"] == 32 and result["psnr_volume"]["mean"] == pytest.approx(expected, abs=0.3)


def test_shipped_networks_are_not_evaluated_on_what_they_learnt_from():
    described = (methods.WEIGHTS / "README.md").read_text()
    trained_on = {int(seed) for seed in re.findall(r"--phantom-seed (\d+)", described)} | {0}
    assert EVALUATION_SEED not in trained_on
