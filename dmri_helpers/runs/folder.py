"""The folder of one training run: `training.fit` starts, saves and resumes it there; notebook 04 reads its log."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

from ..profiles import TrainConfig
from ..results.files import jsonable, whole, write, write_text
from ..results.records import commit, machine
from ..state import State, copy_of_weights
from .processes import Team

COLUMNS = ["epoch", "train_loss", "val_loss", "val_psnr", "learning_rate", "seconds"]
REMEDY = "nothing was changed; expected the whole one of the run, or another folder to train in"


def read_log(path: Path) -> list[dict]:
    """Read ``log.csv`` as the rows that `fit` returned."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        return [row | {"epoch": int(row["epoch"])} for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error) as wrong:
        raise ValueError(f"{path}: found no log of epochs ({wrong}); expected rows of numbers") from None


class Run:
    """The folder of one training run, handed to `training.fit`.

    It holds ``config.json`` (network, training with its seed, data, machine, versions, date, commit), ``log.csv``,
    ``output.txt``, ``best.safetensors`` and ``last.safetensors`` (with the configuration inside), and
    ``checkpoint.pt``, from which an interrupted run continues.

    Parameters
    ----------
    path
        the folder; it is made if it does not exist
    description
        network and data, which are written to ``config.json`` together with the training configuration
    resume
        True continues from the checkpoint if there is one

    Raises
    ------
    FileExistsError
        on `begin`, if the folder holds a run and ``resume`` is False
    ValueError
        on `begin`, if the run to resume had another configuration or no readable checkpoint: it is never begun anew
    """

    def __init__(self, path: Path, description: dict | None = None, resume: bool = False):
        self.path, self.resume = Path(path), resume
        self.description = description or {}

    def begin(self, state: State, config: TrainConfig, team: Team) -> None:
        """Restore the state of an interrupted run; then the main process of the team writes the configuration."""
        self.config = {**self.description, "training": asdict(config)}
        checkpoint = self.path / "checkpoint.pt"
        if self.resume and checkpoint.exists():
            self._restore(checkpoint, state)
        elif not self.resume and (self.path / "log.csv").exists():
            raise FileExistsError(f"{self.path} holds a run already: resume it, or choose another folder")
        elif (self.path / "log.csv").exists() and len(
            read_log(self.path / "log.csv")
        ) > 2:  # more than one epoch
            raise ValueError(f"{checkpoint}: found none, but a log of epochs; {REMEDY}")
        if not team.is_main_process:
            return
        text = json.dumps(
            jsonable({**self.config, "processes": team.num_processes, **machine(), **commit()}), indent=1
        )
        write_text(self.path / "config.json", text + "\n")

    def save(self, state: State) -> None:
        """Write all files, each whole or not at all; the checkpoint, from which a run continues, comes last."""
        config = json.dumps(jsonable(self.config))
        for name, weights in (("best", state.best), ("last", copy_of_weights(state.kept))):
            write(self.path / f"{name}.safetensors", save(weights, {"config": config}))
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(state.log)
        write_text(self.path / "log.csv", text.getvalue())
        epochs = self.config["training"]["epochs"]
        lines = (
            f"Epoch {row['epoch']}/{epochs}, Train Loss: {row['train_loss']:.6g}, "
            f"Validation Loss: {row['val_loss']:.6g}, Validation PSNR: {row['val_psnr']:.3f} dB\n"
            for row in state.log
        )
        said = "".join(f"{setback}\n" for setback in state.setbacks)
        write_text(self.path / "output.txt", "".join(lines) + said)
        with whole(self.path / "checkpoint.pt") as file:
            torch.save(state.state_dict() | {"config": config}, file)

    def _restore(self, path: Path, state: State) -> None:
        """Go back to the state in a checkpoint, which has to be whole and of the same configuration as this run."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            before, now = json.loads(saved["config"]), jsonable(self.config)
            defaults = jsonable(asdict(TrainConfig()))
            before["training"] = defaults | before["training"]  # an older checkpoint lacks newer options
            if before == now:
                _check(saved, state)
                state.load_state_dict(saved)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise ValueError(f"{path}: found no readable checkpoint ({reason}); {REMEDY}") from None
        if before != now:
            changed = [name for name in now if before.get(name) != now[name]]
            raise ValueError(
                f"{path}: found a run with another {' and '.join(changed)} configuration; nothing resumed"
            )


def _check(saved: dict, state: State) -> None:
    """Refuse a checkpoint that would go wrong later: its log, its numbers, its shapes."""
    if not saved["log"] or any(set(COLUMNS) != set(row) for row in saved["log"]):
        raise ValueError("its log is no list of epochs")
    moments = saved["optimizer"]["state"]
    weights = dict(enumerate(state.model.parameters()))
    if not moments or any(moments[i]["exp_avg"].shape != weights[i].shape for i in moments):
        raise ValueError("its optimizer is of another network")
    for part in (saved["model"], saved["best"], *moments.values()):
        if not all(value.isfinite().all() for value in part.values()):
            raise ValueError("it has values that are NaN or infinite")
    state.kept.load_state_dict(saved["best"])  # of the same shapes as the network
