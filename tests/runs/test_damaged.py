"""Explosions are undone, damaged runs are refused in one line and never begun anew, what is no number is said."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dmri_helpers import cli, methods, profiles, training
from dmri_helpers.data import samples, split
from dmri_helpers.data.cines import Cines
from dmri_helpers.profiles import TrainConfig, UnrolledConfig
from dmri_helpers.runs import Run, read_log
from dmri_helpers.state import State

NETWORK = UnrolledConfig(cascades=1, features=4)
CONFIG = TrainConfig(
    epochs=4, batch_size=1, learning_rate=5e-3, acceleration=3, center_lines=3, loss="l1", schedule="constant"
)
RATE = 1e9


def sets():
    rng = np.random.default_rng(0)
    still = rng.random((5, 1, 24, 20)).cumsum(2) / 24
    cines = Cines((still * (1 + 0.1 * np.sin(np.arange(4)))[:, None, None] / 1.2).astype(np.float32), "still")
    return samples(split(cines, (3, 1, 1)), CONFIG)[:2]


def in_epoch(monkeypatch, epochs, spoil):
    """Let a step of training be spoilt in the first step of these epochs, each once."""
    undisturbed, seen, left = training.step, training._epoch, list(epochs)
    now = []

    def epoch(parallel, state, cines, number, *rest):
        now[:] = [number]
        return seen(parallel, state, cines, number, *rest)

    def step(model, optimizer, batch, *rest):
        if now[0] in left:
            left.remove(now[0])
            return spoil(undisturbed, model, optimizer, batch, *rest)
        return undisturbed(model, optimizer, batch, *rest)

    monkeypatch.setattr(training, "_epoch", epoch)
    monkeypatch.setattr(training, "step", step)


def nan_weights(step, model, *rest):
    loss = step(model, *rest)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    return loss


def huge_cine(step, model, optimizer, batch, *rest):
    kspace, A, target = batch
    return step(model, optimizer, (1e6 * kspace, A, 1e6 * target), *rest)


def far_step(step, model, optimizer, batch, *rest):
    optimizer.param_groups[0]["lr"] = 100.0
    return step(model, optimizer, batch, *rest)


@pytest.mark.parametrize("spoil", [nan_weights, huge_cine, far_step])
def test_an_explosion_is_undone(spoil, monkeypatch, tmp_path, capsys):
    in_epoch(monkeypatch, [2, 3], spoil)
    run = Run(tmp_path / "run")
    log = training.fit(methods.build(NETWORK), *sets(), CONFIG, run)
    assert [row["epoch"] for row in log] == [0, 1, 2, 3, 4]
    assert [row["learning_rate"] for row in log[1:]] == [
        CONFIG.learning_rate * share for share in (1, 0.5, 0.25, 0.25)
    ]
    assert log[-1]["val_psnr"] > max(log[0]["val_psnr"], log[1]["val_psnr"])
    said = (run.path / "output.txt").read_text()
    assert said.count("back to the end of epoch 1, at half the rate") == 1
    assert "back to the end of epoch 2, at half the rate" in capsys.readouterr().err
    resumed = training.fit(methods.build(NETWORK), *sets(), CONFIG, Run(run.path, resume=True))
    assert resumed[1:] == log[1:] and (run.path / "output.txt").read_text() == said


def test_an_explosion_is_ten_times_the_lowest_loss_so_far():
    state = State(methods.build(NETWORK), CONFIG)
    assert not state.diverged({"train_loss": 1e9, "val_loss": 1.0}), "nothing to compare with"
    for loss in (torch.nan, 2.0, 3.0):
        state.note({"train_loss": loss, "val_loss": 0.5 * loss, "val_psnr": 20.0})
    assert not state.diverged({"train_loss": 19.9, "val_loss": 9.9})
    assert state.diverged({"train_loss": 20.1, "val_loss": 1.0}) and state.diverged(
        {"train_loss": 2.0, "val_loss": 10.1}
    )


def test_a_rate_that_always_explodes_ends_with_the_best_weights(monkeypatch, tmp_path):
    model, config = methods.build(NETWORK), TrainConfig(**{**vars(CONFIG), "learning_rate": RATE})
    with pytest.raises(
        FloatingPointError, match="epoch 1 .* after 3 returns .* expected a lower learning rate"
    ):
        training.fit(model, *sets(), config, Run(tmp_path / "run"))
    start = methods.build(NETWORK).state_dict()
    assert all(torch.equal(values, start[name]) for name, values in model.state_dict().items())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "run"
    training.fit(
        methods.build(NETWORK), *sets(), CONFIG, Run(folder, {"network": methods.describe_network(NETWORK)})
    )
    return folder


def damaged(path: Path, change) -> None:
    saved = torch.load(path / "checkpoint.pt", weights_only=True)
    change(saved)
    torch.save(saved, path / "checkpoint.pt")


def nan(values: dict) -> None:
    values[next(iter(values))].flatten()[0] = torch.nan


DAMAGES = {
    "log of text": lambda path: damaged(path, lambda saved: saved.update(log="epoch 1, epoch 2")),
    "no log": lambda path: damaged(path, lambda saved: saved.update(log=[])),
    "rows of text": lambda path: damaged(path, lambda saved: saved.update(log=["a"])),
    "no optimizer": lambda path: damaged(path, lambda saved: saved.pop("optimizer")),
    "optimizer without moments": lambda path: damaged(
        path, lambda saved: saved["optimizer"]["state"].clear()
    ),
    "moments of other shapes": lambda path: damaged(
        path, lambda saved: saved["optimizer"]["state"][0].update(exp_avg=torch.zeros(3))
    ),
    "other shapes": lambda path: damaged(
        path, lambda saved: saved.update(model={name: value[:1] for name, value in saved["model"].items()})
    ),
    "best of other shapes": lambda path: damaged(
        path, lambda saved: saved.update(best={name: value[:1] for name, value in saved["best"].items()})
    ),
    "nan": lambda path: damaged(path, lambda saved: nan(saved["model"])),
    "nan in the best": lambda path: damaged(path, lambda saved: nan(saved["best"])),
    "cut": lambda path: (path / "checkpoint.pt").write_bytes((path / "checkpoint.pt").read_bytes()[:-500]),
    "empty": lambda path: (path / "checkpoint.pt").write_bytes(b""),
    "gone": lambda path: (path / "checkpoint.pt").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_refused_and_never_begun_anew(damage, run, tmp_path):
    for file in run.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    DAMAGES[damage](tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = Run(tmp_path, {"network": methods.describe_network(NETWORK)}, resume=True)
    with pytest.raises(ValueError) as caught:
        training.fit(methods.build(NETWORK), *sets(), CONFIG, again)
    assert str(caught.value).startswith(f"{tmp_path / 'checkpoint.pt'}: found no") and "\n" not in str(
        caught.value
    )
    assert "expected the whole one of the run, or another folder" in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_log_of_text_is_named(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,val_psnr\n1,much better\n")
    with pytest.raises(ValueError, match="log.csv: found no log of epochs"):
        read_log(tmp_path / "log.csv")


def test_weights_that_are_no_numbers_are_refused(run, tmp_path):
    state = load_file(run / "best.safetensors")
    nan(state)
    save_file(state, tmp_path / "w.safetensors", methods.safe_open(run / "best.safetensors", "pt").metadata())
    with pytest.raises(ValueError, match="w.safetensors.*NaN or infinite"):
        methods.load(tmp_path / "w.safetensors")


def test_results_that_are_no_numbers_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.random.default_rng(0).random((2, 4, 24, 20), np.float32))
    monkeypatch.setitem(methods.CLASSICAL, "zero_filled", lambda kspace, A: A.adjoint(kspace) * torch.nan)
    for command in ("evaluate", "reconstruct --out r.npz"):
        command = f"{command} --data a.npy --method zero_filled --acceleration 3 --center-lines 3"
        assert cli.main(command.split()) == 0
        assert (
            "dmri: warning: zero_filled: found NaN or infinity in the reconstruction of 2 cines (number 0, 1)"
            in (capsys.readouterr().err)
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -1.0, "1", None, True])
@pytest.mark.parametrize("option", ["learning_rate", "noise", "ema", "acceleration", "epochs", "seed"])
def test_impossible_options_are_refused_by_the_configuration(option, value):
    with pytest.raises(profiles.OptionError, match=f"^{option} .*: expected "):
        TrainConfig(**{option: value})


def test_options_at_their_limits():
    for seed in (2**63, 10**20, -1, 1.5):
        with pytest.raises(profiles.OptionError, match="^seed"):
            TrainConfig(seed=seed)
    with pytest.raises(profiles.OptionError, match="^hint .* one of none, view_sharing"):
        UnrolledConfig(hint="nonsense")
    with pytest.raises(profiles.OptionError, match="^depth"):
        profiles.DualUNetConfig(depth=10**20)
    assert UnrolledConfig(data_weight=float("inf")) and TrainConfig(learning_rate=0)
    config = TrainConfig(**{**vars(CONFIG), "seed": 2**63 - 1, "epochs": 1})
    assert len(training.fit(methods.build(NETWORK), *sets(), config)) == 2


def test_the_corrected_command_is_not_refused(tmp_path, monkeypatch):
    """A training that failed in its first epoch leaves nothing that the next one trips over."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.random.default_rng(0).random((3, 4, 24, 20), np.float32))
    train = "train --data a.npy --out new/run --model unrolled --cascades 1 --features 2 --epochs 1 --crop 12".split()
    train += "--acceleration 3 --center-lines 3 --schedule constant --learning-rate".split()
    assert cli.main([*train, "inf"]) == 2 and os.listdir() == ["a.npy"]
    assert cli.main([*train, "1e9"]) == 2
    assert cli.main([*train, "1e-3"]) == 0 and Path("new/run/best.safetensors").exists()
