"""The bench: quality, time and memory of every method on one machine, and what speeds training up by how much.

Methods are timed alternately, cine by cine, and so are ways of training, round by round. If the machine slows down
meanwhile, all of them slow down alike. Ratios are taken within one run; they are what can be compared between machines.
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

from .. import data, methods, metrics, networks, training
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
    """Measures that make a training step faster. Without them, whole cines are trained on in float32, one by one."""

    crop: bool = False
    """train on strips of 32 readout columns instead of whole cines"""
    batched: bool = False
    """draw masks and undersample cines for a whole batch at once, with Fourier transforms along ky alone"""
    convolutions: bool = False
    """store channels last, stack the few channels of an image with those of its neighbours in time, and give the frames
    that are added cyclically a backward pass of their own"""
    fused: bool = False
    """update all parameters in one fused AdamW step"""
    bfloat16: bool = False
    """compute convolutions in bfloat16 where the processor has instructions for it"""


def reconstructions(cines: data.Cines, seed: int = 42) -> list[dict]:
    """Measure quality, seconds, parameters and memory of every method, and of BART where it is installed.

    Parameters
    ----------
    cines
        fully sampled cines
    seed
        seed of the mask that all cines share; its acceleration is 5, with 11 centre lines

    Returns
    -------
        a row for each method, the slowest last: ``method``, the metrics as mean and std, ``seconds`` (median over
        cines), ``parameters`` and ``peak_bytes`` (what torch allocates at one time; None for other programs)
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
        }  # this is also the first call of each method, which is slower and is not timed
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
    """Measure training samples per second, at first without any of the `Measures`, then adding one after the other.

    Parameters
    ----------
    cines
        cines to train on, at least ``batch_size``
    batch_size
        cines per step
    rounds, steps
        every way makes this many steps in each of this many rounds, after a round of one step that does not count

    Returns
    -------
        a row for each way: ``measure`` (the one that it adds), ``samples_per_second``, ``ratio`` to the plain way
    """
    ways = {"plain": Measures()}
    for name in Measures.__dataclass_fields__:
        ways[name] = replace(list(ways.values())[-1], **{name: True})
    loops = {name: _training(cines, way, batch_size) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for measured_round in tqdm(range(rounds + 1), desc="training", unit="round"):
        for name, loop in loops.items():
            started = time.perf_counter()
            for _ in range(steps if measured_round else 1):
                next(loop)
            if measured_round:
                seconds[name].append((time.perf_counter() - started) / steps)
    fastest = {name: batch_size / median(times) for name, times in seconds.items()}
    return [
        {"measure": name, "samples_per_second": rate, "ratio": rate / fastest["plain"]}
        for name, rate in fastest.items()
    ]


def cascades(cines: data.Cines, numbers: Sequence[int] = range(1, 9)) -> list[dict]:
    """Measure memory and time of one training step for several numbers of cascades, with and without checkpointing.

    Parameters
    ----------
    cines
        cines, of which a strip of the first is trained on
    numbers
        numbers of cascades

    Returns
    -------
        a row for each number and way: ``cascades``, ``checkpointing``, ``peak_bytes`` (what is allocated at one time),
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
                with training.native_precision(enabled=config.mixed_precision, gradients=True):
                    loss = training.LOSSES[config.loss](model(kspace, A) - target)
                loss.backward()

            peak = peak_memory(step)
            started = time.perf_counter()
            step()
            row = {"cascades": number, "checkpointing": checkpointing, "peak_bytes": peak}
            rows.append(row | {"seconds": time.perf_counter() - started})
    return rows


def generation(n: int = 16) -> dict[str, float]:
    """Measure seconds per phantom of the default size: in one process, and for ``n`` by `data.phantom_arrays`."""
    started = time.perf_counter()
    for seed in range(2):
        phantom.cine_phantom(seed)
    alone = (time.perf_counter() - started) / 2
    started = time.perf_counter()
    data.phantom_arrays(n)
    together = (time.perf_counter() - started) / n
    return {"one_process": alone, "all_processes": together, "ratio": alone / together, "n": n}


def run(cines: data.Cines, quick: bool = False) -> dict:
    """Measure everything, with progress bars; the functions of this module say what each part holds.

    Parameters
    ----------
    cines
        cines on which methods are compared; training is measured on the first of them
    quick
        True measures fewer rounds and fewer numbers of cascades

    Returns
    -------
        ``methods``, ``training``, ``cascades``, ``phantom`` and ``start_up``, with data, machine and date
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
        "start_up": start_up(),
    }


def start_up() -> dict[str, float]:
    """Measure how long a fresh interpreter takes to import torch or this package, and to answer ``dmri --help``."""
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
    """Count the parameters of a network; None for a method that has none."""
    return sum(p.numel() for p in method.parameters()) if isinstance(method, torch.nn.Module) else None


def _training(cines: data.Cines, way: Measures, batch_size: int) -> Iterator[None]:
    """Train the demo cascade with these measures; every ``next`` makes one step."""
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
            with training.native_precision(enabled=way.bfloat16, gradients=True):
                loss = training.LOSSES[config.loss](model(kspace, A) - target)
            loss.backward()
            optimizer.step()
            loss.item()
            yield


class _PlainConv3d(networks._Conv3d):
    """The convolution of the networks in its plain form: contiguous memory, cyclic padding, gradients by autograd."""

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
