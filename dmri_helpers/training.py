"""Train a reconstruction and measure it (notebook 04): the loop, AdamW, losses, precision, evaluation.

A ``model`` or ``reconstruct`` is called with k-space and its `operators.ForwardModel` and returns a complex cine
``(b, t, y, x)``. ``training``, ``validation`` and ``cines`` are `data.UndersampledCines`.
"""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from tqdm import tqdm

from .metrics import cine_metrics
from .operators import ForwardModel
from .profiles import TrainConfig
from .state import State

LOSSES = {
    "l1": lambda error: error.abs().mean(),
    "l2": lambda error: (error.real**2 + error.imag**2).mean(),
    "charbonnier": lambda error: (error.real**2 + error.imag**2 + 1e-6).sqrt().mean(),  # quadratic below 1e-3
}


class Alone:
    """What `fit` asks of an `accelerate.Accelerator`, answered by the only process there is.

    An Accelerator itself does not fit: a process has one, which refuses a second device, and its import is slow.
    """

    process_index, num_processes, is_main_process = 0, 1, True
    main_process_first = nullcontext

    def __init__(self, device: str | torch.device = "cpu"):
        self.device = torch.device(device)

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        return tensor

    def end_training(self) -> None:
        pass


def fit(
    model: torch.nn.Module,
    training,
    validation,
    config: TrainConfig,
    run=None,
    team=None,
    max_minutes: float | None = None,
) -> list[dict]:
    """Train with AdamW; validate before the first epoch and after every one; leave the best weights in the model.

    Epoch 0 of the log is the untrained network: its PSNR is that of the network's start. Everything random is
    drawn from ``(seed, epoch)``, so a run that goes on after an interruption ends with the same weights. And ``n``
    processes with ``batch_size`` cines per step each do what one does with ``n`` times the batch, but for dropout.
    Where the loss explodes or is no longer finite, training goes back to its last good epoch and on at half the rate.

    Parameters
    ----------
    run
        a `runs.Run`, which keeps the log and the weights of every epoch and may hold an earlier part of them; None
        keeps nothing
    team
        of `runs.processes`; by default this process alone, on the CPU
    max_minutes
        stop after the epoch after which another one might not fit into so many minutes, at least one; the log then
        ends before ``config.epochs``, and a later call with the same run goes on as if nothing had happened

    Returns
    -------
        the log, one dictionary per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_psnr`` (dB, mean over
        frames and cines), ``learning_rate``, ``seconds``

    Raises
    ------
    FloatingPointError
        if training went back three times already; the message names epoch and rate, the model has its best weights
    """
    began, limit = time.perf_counter(), math.inf if max_minutes is None else 60 * max_minutes
    team = team or Alone()
    state = State(model.to(team.device), config)
    if run is not None:
        run.begin(state, config, team)
    if not state.log:
        untrained = {"epoch": 0, "train_loss": math.nan, "learning_rate": 0.0, "seconds": 0.0}
        state.note(untrained | _validate(state.kept, validation, config, team))
    parallel = team.prepare(model)
    first, shown = len(state.log), team.is_main_process
    with tqdm(
        desc="training", unit="epoch", initial=first - 1, total=config.epochs, disable=not shown
    ) as bar:
        while (epoch := len(state.log)) <= config.epochs:
            started, good = time.perf_counter(), copy.deepcopy(state.state_dict())
            row = {"epoch": epoch} | _epoch(parallel, state, training, epoch, config, team)
            row |= _validate(state.kept, validation, config, team)
            if state.diverged(row):
                said = state.go_back(good, row)
                tqdm.write(said, file=sys.stderr) if shown else None
                continue
            state.note(row | {"seconds": round(time.perf_counter() - started, 3)})
            bar.set_postfix(loss=f"{row['train_loss']:.2e}", val_psnr=f"{row['val_psnr']:.2f} dB")
            bar.update()
            if run is not None and team.is_main_process:
                run.save(state)
            lasted = max(row["seconds"] for row in state.log[first:][-3:])
            late = time.perf_counter() - began + 1.2 * lasted > limit
            if _sum(team, late)[0]:  # one clock is enough
                break
    model.load_state_dict(state.best)
    model.eval()
    return state.log


def _epoch(parallel, state: State, training, epoch: int, config: TrainConfig, team) -> dict[str, float]:
    """Every training cine once: the mean loss, and the last learning rate."""
    torch.manual_seed((config.seed * 1_000_003 + epoch + 500_009 * team.process_index) % 2**63)
    training.set_epoch(epoch, team.device)
    parallel.train()
    steps = math.ceil(len(training) / (config.batch_size * team.num_processes))
    losses, counts = [], []
    for number, (batch, mine, weight) in enumerate(_shares(training, config.batch_size, team)):
        progress = (epoch - 1 + number / steps) / config.epochs
        rate = state.share_of_rate * config.learning_rate * rate_factor(progress, config.schedule)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        losses.append(step(parallel, state.optimizer, batch, config, weight))
        counts.append(mine)
        if state.average:
            state.average.update_parameters(state.model)
    values = torch.stack(losses).tolist()  # the first time that anyone waits for the device
    (total,) = _sum(team, sum(loss * n for loss, n in zip(values, counts, strict=True)))
    return {"train_loss": total / len(training), "learning_rate": rate}


def step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, ForwardModel, torch.Tensor],
    config: TrainConfig,
    weight: float = 1.0,
) -> torch.Tensor:
    """Take one step of training, as `fit` does; ``weight`` scales the gradients, the caller sets the rate.

    Returns the loss without its weight, still on the device, so that nothing has waited for it.
    """
    kspace, A, target = batch
    optimizer.zero_grad()
    with native_precision(target.device, config.mixed_precision, gradients=True):
        loss = LOSSES[config.loss](model(kspace, A) - target)
    (weight * loss).backward()
    if config.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    return loss.detach()


def evaluate(reconstruct: Callable, cines: Any, *, title: str = "evaluate", team=None) -> list[dict]:
    """Reconstruct cine after cine, in `native_precision`, and measure each; the processes of a team share them.

    Returns
    -------
        one dictionary per cine: ``cine`` (its number), the metrics of `metrics.cine_metrics`, ``seconds``
    """
    team = team or Alone()
    rows, mine = [], range(team.process_index, len(cines), team.num_processes)
    if isinstance(reconstruct, torch.nn.Module):
        reconstruct.eval()
    with torch.no_grad(), native_precision():
        for i in tqdm(mine, desc=title, unit="cine", disable=not team.is_main_process):
            kspace, A, target = cines[i]
            started = time.perf_counter()
            recon = reconstruct(kspace, A)
            seconds = time.perf_counter() - started
            rows.append({"cine": i, **cine_metrics(recon[0], target[0]), "seconds": seconds})
    if team.num_processes > 1:
        from accelerate.utils import gather_object

        rows = sorted(gather_object(rows), key=lambda row: row["cine"])
    return rows


def rate_factor(progress: float, schedule: str = "cosine") -> float:
    """Learning rate relative to its peak, at a share ``progress`` of the run.

    ``cosine``: linear warm-up from zero over the first twentieth, then half a cosine down to zero [1]_.

    References
    ----------
    .. [1] Loshchilov & Hutter, SGDR, ICLR (2017), equation 5, without restarts.
    """
    if schedule == "constant":
        return 1.0
    warm_up = 0.05
    if progress < warm_up:
        return progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def native_precision(
    device: str | torch.device = "cpu", enabled: bool = True, gradients: bool = False
) -> torch.autocast:
    """Context in which convolutions run in bfloat16 where the device computes in it natively, else in float32.

    Emulated bfloat16 would be slower than float32. Fourier transforms and data consistency stay in float32: only the
    residual of a network is rounded. With ``gradients`` it is float32 on processors with matrix units (AMX): there the
    bfloat16 gradient of the weights of `Conv3d` overruns memory in PyTorch 2.13, for some shapes.
    """
    device = torch.device(device)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and _has("avx512_bf16") and not (gradients and _has("amx_tile"))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and bool(native))


def _has(feature: str) -> bool:
    """Whether the processor has a feature that torch can name."""
    return getattr(torch.cpu, f"_is_{feature}_supported", lambda: False)()


def _shares(cines, batch_size: int, team) -> Iterator[tuple[tuple, int, float]]:
    """This process's part of each batch of all: k-space, model and target; how many of them count; their weight.

    A mean over processes of weighted means over parts is the mean over the whole batch, of parts of any sizes.
    """
    size = batch_size * team.num_processes
    share = team.process_index, team.num_processes
    for number, batch in enumerate(cines.batches(size, team.device, share)):
        whole = min(size, len(cines) - number * size)
        mine = whole // share[1] + (share[0] < whole % share[1])
        yield batch, mine, mine * share[1] / whole


def _sum(team, *numbers: float) -> list[float]:
    """The sums of such numbers over all processes."""
    return team.reduce(torch.tensor(numbers, dtype=torch.float64, device=team.device), "sum").tolist()


def _validate(model, validation, config: TrainConfig, team) -> dict:
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=team.device)
    with torch.no_grad(), native_precision(team.device, config.mixed_precision):
        for (kspace, A, target), mine, _ in _shares(validation, 1, team):
            recon = model(kspace, A)
            squared = (recon.abs() - target.abs()).square().mean((2, 3)).clamp(min=1e-20)
            sums += mine * torch.stack([LOSSES[config.loss](recon - target), (-10 * squared.log10()).mean()])
    loss, psnr = _sum(team, *sums.tolist())
    return {"val_loss": loss / len(validation), "val_psnr": psnr / len(validation)}
