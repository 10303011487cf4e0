"""Quality of the classical methods against each of their parameters: how the defaults were chosen."""

import inspect
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import classical, metrics
from ..data import Cines, UndersampledCines
from ..plotting import COLORS
from ..plotting.style import house_style
from ..results.names import NAMES

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
    for kspace, A, reference in cines.batches(1):
        with torch.no_grad():
            cine = reconstruct(
                kspace, A, **options, callback=lambda iteration, _: iterations.append(iteration)
            )
        rows.append(metrics.cine_metrics(cine[0], reference[0]))
    means = metrics.summarise(rows)
    return {name: means[name]["mean"] for name in QUALITIES} | {"iterations": len(iterations) / len(rows)}


@house_style
def figure(rows: Sequence[Mapping[str, Any]], reach: tuple[float, float] = (-2, 0.5)) -> Figure:
    """Quality against each parameter, one row of panels per method, as the difference to the default.

    Parameters
    ----------
    rows
        of `figure.sweep`: ``method``, ``parameter``, ``default``, ``values`` and ``quality``, set -> metric -> one
        number per value
    reach
        differences shown, in dB; what lies beyond leaves the panel
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    wide = max(sum(row["method"] == method for row in rows) for method in methods)
    figure = plt.figure(figsize=(1 + 3.4 * wide, 0.6 + 3.6 * len(methods)))
    for part, method in zip(figure.subfigures(len(methods), 1, squeeze=False)[:, 0], methods, strict=True):
        shown = [row for row in rows if row["method"] == method]
        axes = part.subplots(1, wide, squeeze=False, sharey=True)[0]
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
        at_default = []
        for ax, row in zip(axes, shown, strict=False):
            places, default = range(len(row["values"])), list(row["values"]).index(row["default"])
            ax.axvline(default, color="0.85", linewidth=9, linestyle="-", zorder=0, label="default")
            for color, (name, quality) in zip(itertools.cycle(COLORS), row["quality"].items(), strict=False):
                of = {"volume": quality["psnr_volume"], "dynamic": quality["psnr_dynamic"]}
                for metric, dashes, marker in (("volume", "-", "o"), ("dynamic", "--", "s")):
                    difference = np.array(of[metric]) - of[metric][default]
                    ax.plot(
                        places, difference, dashes, color=color, marker=marker, label=f"{name}, {metric} PSNR"
                    )
                if row is shown[0]:
                    at_default.append(f"{name} {of['volume'][default]:.2f}, {of['dynamic'][default]:.2f} dB")
            labels = ["∞" if value == np.inf else f"{value:g}" for value in row["values"]]
            ax.set(xticks=places, xticklabels=labels, xlabel=row["parameter"], ylim=reach)
            ax.grid(axis="y", alpha=0.3)
        axes[0].set_ylabel("difference to default (dB)")
        name = NAMES.get(method, method)
        part.suptitle(
            f"{name}   volume and dynamic PSNR at the default: {'; '.join(at_default)}", x=0.01, ha="left"
        )
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5)
    return figure
