"""Quality of the iterative classical methods against each of their parameters: how their defaults were chosen.

The methods are those of notebook 02; the result is ``figures/classical``.
"""

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
"""Method -> parameter -> values to try. The default is one of them."""
QUALITIES = ("psnr_volume", "psnr_dynamic")


def sweep(
    sets: Mapping[str, Cines], seed: int = 0, grid: Mapping[str, Mapping[str, tuple[float, ...]]] = GRID
) -> list[dict[str, Any]]:
    """Reconstruct every cine with every value of every parameter, while the other parameters keep their defaults.

    Parameters
    ----------
    sets
        name -> cines; they are undersampled with the acceleration and centre lines of the course, without noise
    seed
        seed of the masks; every cine has a mask of its own
    grid
        method -> parameter -> values

    Returns
    -------
        a dictionary for each parameter: ``method``, ``parameter``, ``default``, ``values``, and ``quality``, which has
        for every set the ``psnr_volume``, the ``psnr_dynamic`` (dB) and the ``iterations``, each with one number per
        value, the mean over the cines
    """
    undersampled = {name: UndersampledCines(cines, seed=seed) for name, cines in sets.items()}
    measured: dict[tuple, dict] = {}
    rows = []
    points = [(method, *point) for method, parameters in grid.items() for point in parameters.items()]
    with tqdm(total=sum(len(values) for *_, values in points), desc="sweep", unit="value", delay=2) as bar:
        for method, parameter, values in points:
            reconstruct = getattr(classical, method)
            default = inspect.signature(reconstruct).parameters[parameter].default
            default = (
                math.inf if default is None else default
            )  # a weight from the noise, of which there is none
            quality = {name: {score: [] for score in (*QUALITIES, "iterations")} for name in sets}
            for value in values:
                point = (method,) if value == default else (method, parameter, value)
                for name, cines in undersampled.items():
                    if (name, point) not in measured:
                        measured[name, point] = _measure(reconstruct, cines, {parameter: value})
                    for score, number in measured[name, point].items():
                        quality[name][score].append(number)
                bar.update()
            rows.append(
                {"method": method, "parameter": parameter, "default": default, "values": list(values)}
            )
            rows[-1]["quality"] = quality
    return rows


def _measure(reconstruct, cines: UndersampledCines, options: dict[str, float]) -> dict[str, float]:
    """Reconstruct all cines with these options; return the mean qualities and the mean number of iterations."""
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
    """Draw the quality against each parameter as its difference to the default, with a row of panels for each method.

    Parameters
    ----------
    rows
        what `sweep` returned
    reach
        smallest and largest difference shown, in dB
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
                psnr = {"volume": quality["psnr_volume"], "dynamic": quality["psnr_dynamic"]}
                for metric, dashes, marker in (("volume", "-", "o"), ("dynamic", "--", "s")):
                    difference = np.array(psnr[metric]) - psnr[metric][default]
                    ax.plot(
                        places, difference, dashes, color=color, marker=marker, label=f"{name}, {metric} PSNR"
                    )
                if row is shown[0]:
                    both = ", ".join(f"{values[default]:.2f}" for values in psnr.values())
                    at_default.append(f"{name} {both} dB")
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
