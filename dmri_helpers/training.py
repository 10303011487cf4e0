"""Train a reconstruction, measure it, keep it.

A run folder says all: ``config.json`` (network, training with its seed, data, machine, versions, date, commit),
``log.csv``, ``output.txt``, ``best.safetensors`` and ``last.safetensors`` (with the configuration inside), and
``checkpoint.pt``, from which a run that was interrupted goes on.
"""

import csv
import io
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from .metrics import cine_metrics
from .profiles import TrainConfig
from .results.files import jsonable, write_text
from .results.records import commit, machine

LOSSES = {
    "l1": lambda error: error.abs().mean(),
    "l2": lambda error: (error.real**2 + error.imag**2).mean(),
    "charbonnier": lambda error: (error.real**2 + error.imag**2 + 1e-6).sqrt().mean(),  # quadratic below 1e-3
}


def fit(
    model: torch.nn.Module,
    training,
    validation,
    config: TrainConfig,
    out: Path | None = None,
    *,
    description: dict | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    max_minutes: float | None = None,
) -> list[dict]:
    """Train with AdamW; validate before the first epoch and after every one; leave the best weights in the model.

    Epoch 0 of the log is the untrained network: its PSNR is that of the network's start. Everything random is
    drawn from ``(seed, epoch)``, so a run that goes on after an interruption ends with the same weights. Started
    by ``torchrun`` each of ``n`` processes takes ``batch_size`` cines per step (see `processes`): the run is that of
    one process with ``n`` times the batch, but for dropout.

    Parameters
    ----------
    model
        ``model(kspace, mask) -> cine``, complex, shape ``(b, t, y, x)``
    training, validation
        `data.UndersampledCines`
    config
        epochs, rate, loss and so on
    out
        run folder, made where missing; None keeps nothing
    description
        of network and data, written beside the training configuration
    resume
        go on from ``out/checkpoint.pt`` where there is one
    device
        where to train
    max_minutes
        stop after the epoch after which another one might not fit into so many minutes, at least one; the log then
        ends before ``config.epochs``, and a later call with ``resume`` goes on as if nothing had happened

    Returns
    -------
        the log, one dictionary per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_psnr`` (dB, mean over
        frames and cines), ``learning_rate``, ``seconds``

    Raises
    ------
    FileExistsError
        if the folder holds a run and ``resume`` is False
    ValueError
        if the run to resume had another configuration
    FloatingPointError
        if the loss is no longer finite; the message names epoch and rate
    """
    began, limit = time.perf_counter(), math.inf if max_minutes is None else 60 * max_minutes
    team = processes(device)
    run = {**(description or {}), "training": asdict(config)}
    model = model.to(team.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema)) if config.ema else None
    kept = average.module if average else model
    log, best = [], None
    if out is not None:
        out = Path(out)
        if resume and (out / "checkpoint.pt").exists():
            log, best = _load_checkpoint(out / "checkpoint.pt", run, model, optimizer, average)
        elif not resume and (out / "log.csv").exists():
            raise FileExistsError(f"{out} holds a run already: resume it, or choose another folder")
        if team.is_main_process:
            _start_folder(out, run, team.num_processes)
    if not log:
        log.append(
            _validate(kept, validation, config, team) | {"epoch": 0, "train_loss": math.nan, "seconds": 0.0}
        )
        log[0]["learning_rate"] = 0.0
        best = _copy(kept)

    parallel = team.prepare(model)
    whole_batch = config.batch_size * team.num_processes
    steps = math.ceil(len(training) / whole_batch)
    epochs = range(len(log), config.epochs + 1)
    lasted = []
    with tqdm(
        epochs,
        desc="training",
        unit="epoch",
        initial=len(log) - 1,
        total=config.epochs,
        disable=not team.is_main_process,
    ) as bar:
        for epoch in bar:
            started = time.perf_counter()
            torch.manual_seed(config.seed * 1_000_003 + epoch + 500_009 * team.process_index)
            training.set_epoch(epoch, team.device)
            parallel.train()
            losses, counts = [], []
            for number, (batch, mine, weight) in enumerate(_shares(training, config.batch_size, team)):
                rate = config.learning_rate * rate_factor(
                    (epoch - 1 + number / steps) / config.epochs, config.schedule
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                losses.append(step(parallel, optimizer, batch, config, weight))
                counts.append(mine)
                if average:
                    average.update_parameters(model)
            values = torch.stack(losses).tolist()  # the first time that anyone waits for the device
            (total,) = _sum(team, sum(loss * n for loss, n in zip(values, counts, strict=True)))
            row = {"epoch": epoch, "train_loss": total / len(training), "learning_rate": rate}
            if not math.isfinite(row["train_loss"]):
                raise FloatingPointError(
                    f"the loss is no longer finite in epoch {epoch} (learning rate {rate:.1e})"
                )
            row |= _validate(kept, validation, config, team)
            row["seconds"] = round(time.perf_counter() - started, 3)
            if row["val_psnr"] >= max(r["val_psnr"] for r in log):
                best = _copy(kept)
            log.append(row)
            bar.set_postfix(loss=f"{row['train_loss']:.2e}", val_psnr=f"{row['val_psnr']:.2f} dB")
            if out is not None and team.is_main_process:
                _save(out, run, model, kept, optimizer, average, log, best, config)
            lasted.append(time.perf_counter() - started)
            late = time.perf_counter() - began + 1.2 * max(lasted[-3:]) > limit
            if _sum(team, late)[0]:  # one clock is enough
                break
    model.load_state_dict(best)
    model.eval()
    return log


def step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    config: TrainConfig,
    weight: float = 1.0,
) -> torch.Tensor:
    """Take one step of training, as `fit` does.

    Parameters
    ----------
    model
        ``model(kspace, mask) -> cine``
    optimizer
        of its parameters; the rate is set by the caller
    batch
        k-space, mask and target, as of `data.UndersampledCines.batches`
    config
        loss, precision and clipping
    weight
        of the gradients

    Returns
    -------
        the loss without its weight, shape ``()``, still on the device: nothing has waited for it
    """
    kspace, mask, target = batch
    optimizer.zero_grad()
    with native_precision(target.device, config.mixed_precision):
        loss = LOSSES[config.loss](model(kspace, mask) - target)
    (weight * loss).backward()
    if config.clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.step()
    return loss.detach()


def processes(device: str | torch.device = "cpu"):
    """Who trains: this process alone or, started by ``torchrun``, several, each with an accelerator of its own.

    Parameters
    ----------
    device
        ``cpu``, or a kind of accelerator of which every process gets one

    Returns
    -------
        an `accelerate.Accelerator`, or what `fit` asks of one: ``device``, ``is_main_process`` and so on

    Raises
    ------
    ValueError
        if there are several processes, and no package accelerate or too few GPUs
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1:
        return _Alone(device)
    try:
        from accelerate import Accelerator
    except ModuleNotFoundError:
        raise ValueError(
            "torchrun started several processes: found no package accelerate; expected an installation with [cluster]"
        ) from None
    on_cpu, here = torch.device(device).type == "cpu", int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    if not on_cpu and here > torch.cuda.device_count():
        raise ValueError(
            f"torchrun started {here} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "expected at most one for each"
        )
    return Accelerator(cpu=on_cpu, mixed_precision="no")


class _Alone:
    """What is asked of an `accelerate.Accelerator`, answered by the only process there is."""

    process_index, num_processes, is_main_process = 0, 1, True
    main_process_first = nullcontext

    def __init__(self, device: str | torch.device):
        self.device = torch.device(device)

    def prepare(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def reduce(self, tensor: torch.Tensor, reduction: str) -> torch.Tensor:
        return tensor

    def end_training(self) -> None:
        pass


def evaluate(reconstruct: Callable, cines: Iterable, *, title: str = "evaluate") -> list[dict]:
    """Reconstruct cine after cine, in `native_precision`, and measure each.

    Parameters
    ----------
    reconstruct
        ``reconstruct(kspace, mask) -> cine``
    cines
        `data.UndersampledCines`, whole cines with fixed masks
    title
        in front of the progress bar

    Returns
    -------
        one dictionary per cine: ``cine`` (its number), the metrics of `metrics.cine_metrics`, ``seconds``
    """
    rows = []
    if isinstance(reconstruct, torch.nn.Module):
        reconstruct.eval()
    with torch.no_grad(), native_precision():
        for i, (kspace, mask, target) in enumerate(
            tqdm(cines.batches(1), desc=title, unit="cine", total=len(cines))
        ):
            started = time.perf_counter()
            recon = reconstruct(kspace, mask)
            seconds = time.perf_counter() - started
            rows.append({"cine": i, **cine_metrics(recon[0], target[0]), "seconds": seconds})
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


def native_precision(device: str | torch.device = "cpu", enabled: bool = True) -> torch.autocast:
    """Context in which convolutions run in bfloat16 where the device computes in it natively, else in float32.

    Emulated bfloat16 would be slower than float32. Fourier transforms and data consistency stay in float32: only the
    residual of a network is rounded. A test holds what that does to the PSNR of the shipped networks.
    """
    device = torch.device(device)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and bool(native))


def read_log(path: Path) -> list[dict]:
    """Read ``log.csv`` back: the rows that `fit` returned."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [row | {"epoch": int(row["epoch"])} for row in rows]


def _shares(cines, batch_size: int, team) -> Iterator[tuple[tuple, int, float]]:
    """This process's part of each batch of all: k-space, mask and target; how many of them count; their weight.

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
        for (kspace, mask, target), mine, _ in _shares(validation, 1, team):
            recon = model(kspace, mask)
            squared = (recon.abs() - target.abs()).square().mean((2, 3)).clamp(min=1e-20)
            sums += mine * torch.stack([LOSSES[config.loss](recon - target), (-10 * squared.log10()).mean()])
    loss, psnr = _sum(team, *sums.tolist())
    return {"val_loss": loss / len(validation), "val_psnr": psnr / len(validation)}


def _start_folder(out: Path, run: dict, processes: int) -> None:
    """Make the run folder, say in it what is run, and remove what a process that was killed left half written."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "best", "last", "log.csv", "output.txt", "checkpoint", "curves.png"):
        for half in out.glob(f".{name}.*"):
            half.unlink(missing_ok=True)
    text = json.dumps(jsonable({**run, "processes": processes, **machine(), **commit()}), indent=1)
    write_text(out / "config.json", text + "\n")


def _save(out: Path, run: dict, model, kept, optimizer, average, log, best, config: TrainConfig) -> None:
    """Everything of a run, each file whole or not at all; the checkpoint last, since it is what counts."""
    metadata = {"config": json.dumps(jsonable(run))}
    for name, state in (("best", best), ("last", _copy(kept))):
        beside = out / f".{name}.{os.getpid()}"
        beside.write_bytes(save(state, metadata))
        os.replace(beside, out / f"{name}.safetensors")
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", "train_loss", "val_loss", "val_psnr", "learning_rate", "seconds"])
    writer.writeheader()
    writer.writerows(log)
    write_text(out / "log.csv", text.getvalue())
    lines = (
        f"Epoch {row['epoch']}/{config.epochs}, Train Loss: {row['train_loss']:.6g}, "
        f"Validation Loss: {row['val_loss']:.6g}, Validation PSNR: {row['val_psnr']:.3f} dB\n"
        for row in log
    )
    write_text(out / "output.txt", "".join(lines))
    beside = out / f".checkpoint.{os.getpid()}"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best, "log": log}
    if average:
        state["average"] = average.state_dict()
    torch.save(state | {"config": json.dumps(jsonable(run))}, beside)
    os.replace(beside, out / "checkpoint.pt")


def _load_checkpoint(path: Path, run: dict, model, optimizer, average) -> tuple[list[dict], dict]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        before, now = json.loads(state["config"]), jsonable(run)
        before["training"] = jsonable(asdict(TrainConfig())) | before["training"]  # options of a later date
    except Exception as error:
        raise ValueError(f"{path}: found no readable checkpoint ({type(error).__name__})") from None
    if before != now:
        changed = [name for name in now if before.get(name) != now[name]]
        raise ValueError(
            f"{path}: found a run with another {' and '.join(changed)} configuration; nothing resumed"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if average:
        average.load_state_dict(state["average"])
    return state["log"], state["best"]


def _copy(model) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
