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
from ..training import State, copy_of_weights
from .processes import Team


def read_log(path: Path) -> list[dict]:
    """Read ``log.csv`` as the rows that `fit` returned."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [row | {"epoch": int(row["epoch"])} for row in rows]


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
        on `begin`, if the run to resume had another configuration or no readable checkpoint
    """

    def __init__(self, path: Path, description: dict | None = None, resume: bool = False):
        self.path, self.resume = Path(path), resume
        self.description = description or {}

    def begin(self, state: State, config: TrainConfig, team: Team) -> None:
        """Restore the state of an interrupted run; then the main process of the team writes the configuration."""
        self.config = {**self.description, "training": asdict(config)}
        checkpoint = self.path / "checkpoint.pt"
        if self.resume and checkpoint.exists():
            state.load_state_dict(self._checkpoint(checkpoint))
        elif not self.resume and (self.path / "log.csv").exists():
            raise FileExistsError(f"{self.path} holds a run already: resume it, or choose another folder")
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
        columns = ["epoch", "train_loss", "val_loss", "val_psnr", "learning_rate", "seconds"]
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(state.log)
        write_text(self.path / "log.csv", text.getvalue())
        epochs = self.config["training"]["epochs"]
        lines = (
            f"Epoch {row['epoch']}/{epochs}, Train Loss: {row['train_loss']:.6g}, "
            f"Validation Loss: {row['val_loss']:.6g}, Validation PSNR: {row['val_psnr']:.3f} dB\n"
            for row in state.log
        )
        write_text(self.path / "output.txt", "".join(lines))
        with whole(self.path / "checkpoint.pt") as file:
            torch.save(state.state_dict() | {"config": config}, file)

    def _checkpoint(self, path: Path) -> dict:
        """Read the state in a checkpoint, which has to be of the same configuration as this run."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            before, now = json.loads(saved["config"]), jsonable(self.config)
            defaults = jsonable(asdict(TrainConfig()))
            before["training"] = defaults | before["training"]  # an older checkpoint lacks newer options
        except Exception as error:
            raise ValueError(f"{path}: found no readable checkpoint ({type(error).__name__})") from None
        if before != now:
            changed = [name for name in now if before.get(name) != now[name]]
            raise ValueError(
                f"{path}: found a run with another {' and '.join(changed)} configuration; nothing resumed"
            )
        return saved
