"""One run on one machine: what every method gives and costs, what every measure of the training brings.

Methods and ways take turns, so that a machine that slows down meanwhile slows all alike; ratios are taken within one
run and are what to compare between machines.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import torch
from torch.nn import functional
from tqdm import tqdm

from .. import data, methods, metrics, networks, training, widgets
from ..data.phantom import phantom
from ..data.undersampled import Sample
from ..operators import ForwardModel
from ..profiles import DEMO, TrainConfig, UnrolledConfig
from ..results.memory import peak_memory
from ..results.records import machine
from ..sampling import ky_t_mask
from .bart import bart


@dataclass(frozen=True)
class Measures:
    """How a training step is made: all False is the plain way, whole width in float32, sample by sample."""

    crop: bool = False
    """strips of 32 readout columns instead of whole cines"""
    batched: bool = False
    """masks drawn and cines undersampled a whole batch at a time, along ky alone"""
    convolutions: bool = False
    """channels last, the few channels of an image stacked with those of its neighbours in time, and a backward pass
    of their own for the frames that are added cyclically"""
    fused: bool = False
    """one fused AdamW step for all parameters"""
    bfloat16: bool = False
    """convolutions in bfloat16 where the processor computes in it natively"""


def reconstructions(cines: data.Cines, seed: int = 42) -> list[dict]:
    """Quality, seconds, parameters and memory of every method; of BART too where it is installed.

    Parameters
    ----------
    cines
        fully sampled
    seed
        of the one mask: acceleration 5, 11 centre lines

    Returns
    -------
        per method ``method``, the metrics as mean and std, ``seconds`` (median over cines), ``parameters`` and
        ``peak_bytes`` (what torch allocates on the way; None for other programs), slowest last
    """
    chosen: dict[str, Callable] = {
        name: methods.load(name) for name in [*methods.CLASSICAL, *methods.NETWORKS]
    }
    if shutil.which("bart"):
        chosen["bart"] = bart
    undersampled = data.UndersampledCines(cines, mask=ky_t_mask(cines.shape[1:], seed=seed))
    measured: dict[str, list[dict]] = {name: [] for name in chosen}
    with torch.no_grad(), training.native_precision():
        kspace, A, _ = next(undersampled.batches(1))
        peaks = {
            name: None if name == "bart" else peak_memory(lambda method=method: method(kspace, A))
            for name, method in chosen.items()
        }  # and the first call, which is slower, is over
        bar = tqdm(undersampled.batches(1), desc="methods", unit="cine", total=len(cines))
        for kspace, A, target in bar:
            for name, method in chosen.items():
                started = time.perf_counter()
                image = method(kspace, A)
                seconds = time.perf_counter() - started
                measured[name].append({**metrics.cine_metrics(image[0], target[0]), "seconds": seconds})
    rows = [
        {
            "method": name,
            **{key: value for key, value in metrics.summarise(values).items() if key != "seconds"},
            "seconds": median(value["seconds"] for value in values),
            "parameters": _parameters(chosen[name]),
            "peak_bytes": peaks[name],
        }
        for name, values in measured.items()
    ]
    return sorted(rows, key=lambda row: row["seconds"])


def throughput(cines: data.Cines, batch_size: int = 2, rounds: int = 3, steps: int = 2) -> list[dict]:
    """Training samples per second, from the plain way to all `Measures`, one after the other.

    Parameters
    ----------
    cines
        to train on, at least ``batch_size``
    batch_size
        cines per step
    rounds, steps
        each way makes so many steps in each of so many rounds, after one that does not count

    Returns
    -------
        per way ``measure`` (what it adds), ``samples_per_second``, ``ratio`` to the plain way
    """
    ways = {"plain": Measures()}
    for name in Measures.__dataclass_fields__:
        ways[name] = replace(list(ways.values())[-1], **{name: True})
    loops = {name: _training(cines, way, batch_size) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in tqdm(range(rounds + 1), desc="training", unit="round"):
        for name, loop in loops.items():
            started = time.perf_counter()
            for _ in range(steps if turn else 1):
                next(loop)
            if turn:
                seconds[name].append((time.perf_counter() - started) / steps)
    fastest = {name: batch_size / median(times) for name, times in seconds.items()}
    return [
        {"measure": name, "samples_per_second": rate, "ratio": rate / fastest["plain"]}
        for name, rate in fastest.items()
    ]


def cascades(cines: data.Cines, numbers: Sequence[int] = range(1, 9)) -> list[dict]:
    """Memory and time of one training step against the number of cascades, with checkpointing and without.

    Parameters
    ----------
    cines
        the first is trained on, a strip of it
    numbers
        of cascades

    Returns
    -------
        per number and way ``cascades``, ``checkpointing``, ``peak_bytes`` (allocations that live at one time),
        ``seconds``
    """
    config = DEMO.unrolled_training
    sample = next(data.UndersampledCines(cines, training=True, crop=config.crop).batches(1))
    rows = []
    for number in tqdm(numbers, desc="cascades"):
        for checkpointing in (False, True):
            model = methods.build(replace(DEMO.unrolled, cascades=number, checkpointing=checkpointing))
            kspace, A, target = sample

            def step(model=model, kspace=kspace, A=A, target=target) -> None:
                with training.native_precision(enabled=config.mixed_precision):
                    loss = training.LOSSES[config.loss](model(kspace, A) - target)
                loss.backward()

            peak = peak_memory(step)
            started = time.perf_counter()
            step()
            row = {"cascades": number, "checkpointing": checkpointing, "peak_bytes": peak}
            rows.append(row | {"seconds": time.perf_counter() - started})
    return rows


def generation(n: int = 16) -> dict[str, float]:
    """Seconds per phantom of the default size: in one process, and of ``n`` as `data.phantom_arrays` makes them."""
    started = time.perf_counter()
    for seed in range(2):
        phantom.cine_phantom(seed)
    alone = (time.perf_counter() - started) / 2
    started = time.perf_counter()
    data.phantom_arrays(n)
    together = (time.perf_counter() - started) / n
    return {"one_process": alone, "all_processes": together, "ratio": alone / together, "n": n}


def sliders(cines: data.Cines, moves: int = 5) -> dict[str, float]:
    """Seconds from a moved slider of the mask explorer to its new picture, median over each moved there and back."""
    cine = cines[0].to(torch.complex64)

    def undersample(mask: torch.Tensor, frame: int) -> torch.Tensor:
        return ForwardModel(mask[:, frame : frame + 1]).normal(cine[None, frame : frame + 1])[0, 0].abs()

    explorer = widgets.mask_explorer(
        lambda **settings: ky_t_mask(cines.shape[1:], **settings), undersample, cine
    )
    latency = {}
    for name, control in explorer.controls.items():
        here, values = control.value, [value for _, value in control.options]
        there = values[values.index(here) - 1]
        times = []
        for move in range(2 * moves):
            started = time.perf_counter()
            control.value = here if move % 2 else there
            times.append(time.perf_counter() - started)
        latency[name] = median(times)
    return latency


def run(cines: data.Cines, quick: bool = False) -> dict:
    """Measure everything, with progress bars; see the functions of this module for what each part holds.

    Parameters
    ----------
    cines
        on which methods are compared; training is measured on the first of them
    quick
        fewer rounds and cascades

    Returns
    -------
        ``methods``, ``training``, ``cascades``, ``phantom``, ``sliders``, ``start_up``; what was measured on, machine,
        date
    """
    few = cines.subset(range(min(len(cines), 4)))
    return {
        "data": cines.source,
        "n_cines": len(cines),
        "shape": list(cines.shape[1:]),
        "mask": {"acceleration": 5, "center_lines": 11, "seed": 42},
        "quick": quick,
        "training_network": asdict(DEMO.unrolled),
        **machine(),
        "methods": reconstructions(cines),
        "training": throughput(few, min(2, len(few)), rounds=1 if quick else 3, steps=1 if quick else 2),
        "cascades": cascades(few, (1, 2, 3) if quick else range(1, 9)),
        "phantom": generation(4 if quick else 32),
        "sliders": sliders(few),
        "start_up": start_up(),
    }


def start_up() -> dict[str, float]:
    """Seconds of a fresh interpreter for torch alone, for all that notebooks import, and for ``dmri --help``."""
    commands = {
        "import torch": ["-c", "import torch"],
        "import dmri_helpers": ["-c", "from dmri_helpers import data, methods, plotting, training, widgets"],
        "dmri --help": ["-m", "dmri_helpers", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(3):
        for name, arguments in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    return {name: min(values) for name, values in times.items()}


def _parameters(method: Callable) -> int | None:
    return sum(p.numel() for p in method.parameters()) if isinstance(method, torch.nn.Module) else None


def _training(cines: data.Cines, way: Measures, batch_size: int) -> Iterator[None]:
    """Training steps of the demo cascade, one with every ``next``."""
    config: TrainConfig = DEMO.unrolled_training
    network: UnrolledConfig = DEMO.unrolled
    model = methods.build(network)
    if not way.convolutions:
        for module in model.modules():
            if isinstance(module, networks._Conv3d):
                module.__class__ = _PlainConv3d
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=way.fused or None)
    samples = data.UndersampledCines(cines, training=True, crop=config.crop if way.crop else None)
    epoch = 0
    while True:
        epoch += 1
        samples.set_epoch(epoch)
        for batch in samples.batches(batch_size) if way.batched else _one_by_one(samples, batch_size):
            kspace, A, target = batch
            if len(target) < batch_size:
                continue
            optimizer.zero_grad()
            with training.native_precision(enabled=way.bfloat16):
                loss = training.LOSSES[config.loss](model(kspace, A) - target)
            loss.backward()
            optimizer.step()
            loss.item()
            yield


class _PlainConv3d(networks._Conv3d):
    """The same convolution as one writes it at first: contiguous, padded, and all else left to autograd."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(features.contiguous(), (0, 0, 0, 0, 1, 1), mode="circular")
        return functional.conv3d(padded, self.weight, self.bias, padding=(0, 1, 1))


def _one_by_one(samples: data.UndersampledCines, batch_size: int) -> Iterator[Sample]:
    """The plain way to a batch: a mask and a 2-D FFT for every sample, then all stacked."""
    for start in range(0, len(samples), batch_size):
        batch = []
        for i in range(start, min(start + batch_size, len(samples))):
            cine = samples.cines[i].to(torch.complex64)
            first = int(torch.randint(cine.shape[-1] - samples.width + 1, ()))
            target = cine.narrow(-1, first, samples.width)
            mask = ky_t_mask(target.shape, samples.acceleration, samples.center_lines, samples.density)
            batch.append((ForwardModel(mask)(target[None])[0], mask[0], target))
        kspace, mask, target = (torch.stack(parts) for parts in zip(*batch, strict=True))
        yield kspace, ForwardModel(mask), target
