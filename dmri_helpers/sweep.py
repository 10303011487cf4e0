"""Quality of the classical methods against each of their parameters: how the defaults were chosen."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from tqdm import tqdm

from . import classical, metrics
from .data import Cines, UndersampledCines

GRID: dict[str, dict[str, tuple[float, ...]]] = {
    "kt_tv": {
        "spatial": (0, 0.03, 0.06, 0.1, 0.2, 0.4),
        "data_weight": (30, 300, 3000, math.inf),
        "tolerance": (4e-3, 2e-3, 1e-3, 5e-4, 2e-4),
    },
    "low_rank_sparse": {
        "sparse": (0.5, 1, 2, 3, 5),
        "still": (1, 2, 4, math.inf),
        "data_weight": (30, 300, 3000, math.inf),
        "tolerance": (4e-3, 2e-3, 1e-3, 5e-4, 2e-4),
    },
}
"""method -> parameter -> values; the default is among them"""
QUALITIES = ("psnr_volume", "psnr_dynamic")


def sweep(
    sets: Mapping[str, Cines], seed: int = 0, grid: Mapping[str, Mapping[str, tuple[float, ...]]] = GRID
) -> list[dict[str, Any]]:
    """Reconstruct every cine with every value of every parameter, the other parameters at their defaults.

    Parameters
    ----------
    sets
        name -> cines; they are undersampled with the acceleration and centre lines of the course, free of noise
    seed
        of the masks, one per cine
    grid
        method -> parameter -> values

    Returns
    -------
        a dictionary per parameter: ``method``, ``parameter``, ``default``, ``values``, and in ``quality`` for every
        set the ``psnr_volume`` and ``psnr_dynamic`` (dB), mean over the cines, and the ``iterations``, one each per
        value
    """
    undersampled = {name: UndersampledCines(cines, seed=seed) for name, cines in sets.items()}
    measured: dict[tuple, dict] = {}
    rows = []
    points = [(method, *point) for method, parameters in grid.items() for point in parameters.items()]
    with tqdm(total=sum(len(values) for *_, values in points), desc="sweep", unit="value", delay=2) as bar:
        for method, parameter, values in points:
            reconstruct = getattr(classical, method)
            default = inspect.signature(reconstruct).parameters[parameter].default
            quality = {name: {of: [] for of in (*QUALITIES, "iterations")} for name in sets}
            for value in values:
                point = (method,) if value == default else (method, parameter, value)
                for name, cines in undersampled.items():
                    if (name, point) not in measured:
                        measured[name, point] = _measure(reconstruct, cines, {parameter: value})
                    for of, number in measured[name, point].items():
                        quality[name][of].append(number)
                bar.update()
            rows.append(
                {"method": method, "parameter": parameter, "default": default, "values": list(values)}
            )
            rows[-1]["quality"] = quality
    return rows


def _measure(reconstruct, cines: UndersampledCines, options: dict[str, float]) -> dict[str, float]:
    iterations, rows = [], []
    for kspace, mask, reference in cines.batches(1):
        with torch.no_grad():
            cine = reconstruct(
                kspace, mask, **options, callback=lambda iteration, _: iterations.append(iteration)
            )
        rows.append(metrics.cine_metrics(cine[0], reference[0]))
    means = metrics.summarise(rows)
    return {name: means[name]["mean"] for name in QUALITIES} | {"iterations": len(iterations) / len(rows)}
