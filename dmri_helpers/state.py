"""What training changes, and how it goes back where an epoch destroyed it (notebook 04: `training.fit`)."""

import math

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .profiles import TrainConfig

EXPLODED, SETBACKS = 10, 3


class State:
    """What training changes: model, optimizer, the moving average of the weights if there is one, log, best weights."""

    def __init__(self, model: torch.nn.Module, config: TrainConfig):
        self.model = model
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
        )
        self.log: list[dict] = []
        self.setbacks: list[str] = []
        self.best: dict[str, torch.Tensor] = {}

    @property
    def kept(self) -> torch.nn.Module:
        """The network that is validated and kept: the moving average of the weights where there is one."""
        return self.average.module if self.average else self.model

    def note(self, row: dict) -> None:
        """Append a row to the log; keep the weights if no earlier row has a higher PSNR on the validation cines."""
        self.log.append(row)
        known = [earlier["val_psnr"] for earlier in self.log if not math.isnan(earlier["val_psnr"])]
        if not self.best or row["val_psnr"] >= max(known, default=math.inf):
            self.best = copy_of_weights(self.kept)

    def state_dict(self) -> dict:
        """Everything that a run needs to go on, as tensors, numbers and strings."""
        saved = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.average:
            saved["average"] = self.average.state_dict()
        return saved | {"best": self.best, "log": self.log, "setbacks": self.setbacks}

    def load_state_dict(self, saved: dict) -> None:
        """Go back to what `state_dict` gave."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average:
            self.average.load_state_dict(saved["average"])
        self.log, self.best = saved["log"], saved["best"]
        self.setbacks = saved.get("setbacks", [])

    @property
    def share_of_rate(self) -> float:
        """What is left of the learning rate: every time that training went back it was halved."""
        return 0.5 ** len(self.setbacks)

    def diverged(self, row: dict) -> bool:
        """Whether a loss of this epoch is not finite, or `EXPLODED` times the lowest of the epochs before.

        In the logs of the shipped networks a loss is at most 1.6 times the lowest before.
        """
        for name in ("train_loss", "val_loss"):
            before = [earlier[name] for earlier in self.log if math.isfinite(earlier[name])]
            if not math.isfinite(row[name]) or row[name] > EXPLODED * max(
                min(before, default=math.inf), 1e-12
            ):
                return True
        return False

    def go_back(self, good: dict, row: dict) -> str:
        """Undo an epoch that diverged and halve the rate, at most `SETBACKS` times; return what to say.

        Raises
        ------
        FloatingPointError
            if it was undone so often already; the model then has its best weights
        """
        self.load_state_dict(good)
        said = (
            f"the loss exploded or is no longer finite in epoch {row['epoch']} (training {row['train_loss']:.2g}, "
            f"validation {row['val_loss']:.2g}, learning rate {row['learning_rate']:.1e})"
        )
        if len(self.setbacks) == SETBACKS:
            self.model.load_state_dict(self.best)
            raise FloatingPointError(
                f"{said}, after {SETBACKS} returns at half the rate; the best weights so far are kept; "
                "expected a lower learning rate"
            )
        self.setbacks.append(f"{said}: back to the end of epoch {row['epoch'] - 1}, at half the rate")
        return self.setbacks[-1]


def copy_of_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a model as tensors of their own, on the CPU."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
