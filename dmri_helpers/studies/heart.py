"""Does it matter to the heart? Area of the left ventricle in reconstructions of phantoms (notebook 04).

The area is that of notebook 04: in the region that the cavity ever covers, blood is what is brighter than half way
between typical blood and typical muscle. Largest and smallest area, fractional area change and wall thickening of a
reconstruction are compared with those of the full data [1]_ and of the labels. The outer contour of the wall is that of
the labels, for all. A cine is one slice, so there are areas and no volumes.

References
----------
.. [1] Bland & Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
   327:307 (1986).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import methods, metrics, plotting
from ..data import UndersampledCines, open_cine, phantom_truth
from ..operators import ForwardModel
from ..plotting import COLORS
from ..plotting.style import house_style
from ..results.files import write_text
from ..results.names import NAMES
from ..results.records import record
from ..results.tables import of_lines
from ..training import native_precision
from .study import WORLDS

METHODS = ("zero_filled", "temporal_mean", "view_sharing", "kt_tv", "dual_unet_view_sharing", "unrolled")
PHANTOM_SEED = 21  # no network that is shipped was trained on these
CAVITY, MUSCLE = 1, 2  # labels


def areas(cine: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Largest and smallest area of the left ventricle, in pixels, from magnitudes ``(t, y, x)``."""
    region = (labels == CAVITY).any(0)
    threshold = (cine[labels == CAVITY].median() + cine[labels == MUSCLE].median()) / 2
    area = ((cine > threshold) & region).sum((1, 2))
    return float(area.max()), float(area.min())


def area_change(areas: tuple[float, float]) -> float:
    """Fractional area change, in percent."""
    largest, smallest = areas
    return 100 * (1 - smallest / largest) if largest else float("nan")


def thickening(areas: tuple[float, float], labels: torch.Tensor) -> float:
    """How much thicker the wall becomes from largest to smallest cavity, in percent: a ring of the same areas."""
    of_wall = (labels == MUSCLE).sum((1, 2)).float()
    cavity = (labels == CAVITY).sum((1, 2))
    wide, narrow = (
        ((of_wall[at] + cavity[at]) / torch.pi).sqrt().item() - (area / np.pi) ** 0.5
        for area, at in zip(areas, (cavity.argmax(), cavity.argmin()), strict=True)
    )
    return 100 * (narrow / wide - 1) if wide > 0 else float("nan")


def run(n: int = 100, acceleration: float = 5) -> list[dict[str, Any]]:
    """Reconstruct ``n`` phantoms by every method, in both worlds.

    Returns
    -------
        a dictionary per world, method and phantom: ``psnr`` (dB), ``area_change``, ``thickening`` (percent),
        ``largest``, ``smallest`` (pixels), the same of the full data (``..._full``) and of the labels
        (``..._labels``), and the ``group``
    """
    cines = open_cine("phantom", n=n, seed=PHANTOM_SEED)
    truth = phantom_truth(cines)
    labels = torch.from_numpy(truth["labels"])
    found = []
    loaded = {name: methods.load(name) for name in METHODS}
    for world, options in WORLDS.items():
        measured = UndersampledCines(cines, acceleration, seed=5, vary=False, **options)
        for i in tqdm(range(n), f"heart, {world}", unit="cine"):
            true = (labels[i] == CAVITY).sum((1, 2))
            for name, reconstruct in loaded.items():
                kspace, A, target = measured[i]
                image, full = magnitude(reconstruct, kspace, A), target[0].abs()
                row = {"world": world, "method": name, "phantom": i, "group": str(truth["group"][i])}
                row |= {"psnr": float(metrics.psnr(((image - full) ** 2).mean().item()))}
                of = {"": areas(image, labels[i]), "_full": areas(full, labels[i])}
                of["_labels"] = float(true.max()), float(true.min())
                for what, pair in of.items():
                    row |= {f"largest{what}": pair[0], f"smallest{what}": pair[1]}
                    row[f"area_change{what}"] = area_change(pair)
                    row[f"thickening{what}"] = thickening(pair, labels[i])
                found.append(row)
    return found


@torch.no_grad()
def magnitude(reconstruct: Callable, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
    """The magnitude ``(t, y, x)`` of what a method makes of one cine."""
    with native_precision():
        return reconstruct(kspace, A)[0].abs().float()


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bias and limits of agreement (1.96 standard deviations) against the full data, for all phantoms and each group.

    Returns
    -------
        a dictionary per world, method and group (``all`` first): ``psnr``; ``bias``, ``limits`` of the area change
        (points), also of ``thickening`` (points), of ``largest`` and ``smallest`` area (percent of that of the full
        data); ``bias_labels``, ``limits_labels`` of the area change against the labels; ``n``
    """
    found = []
    groups = ("all", *sorted({row["group"] for row in rows}))
    for world, name, group in itertools.product(WORLDS, METHODS, groups):
        chosen = [
            row
            for row in rows
            if (row["world"], row["method"]) == (world, name) and group in ("all", row["group"])
        ]
        psnr = float(np.mean([row["psnr"] for row in chosen]))
        one: dict[str, Any] = {"world": world, "method": name, "group": group, "psnr": psnr, "n": len(chosen)}
        for what in ("full", "labels"):
            of = [row["area_change"] - row[f"area_change_{what}"] for row in chosen]
            one |= _agreement("" if what == "full" else "_labels", of)
        one |= _agreement("_thickening", [row["thickening"] - row["thickening_full"] for row in chosen])
        for what in ("largest", "smallest"):
            one |= _agreement(f"_{what}", [100 * (row[what] / row[f"{what}_full"] - 1) for row in chosen])
        found.append(one)
    return found


def _agreement(name: str, differences: Sequence[float]) -> dict[str, float]:
    values = np.array(differences)
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    return {f"bias{name}": float(values.mean()), f"limits{name}": float(1.96 * spread)}


def table(summary: Sequence[Mapping[str, Any]]) -> str:
    """The summary of all phantoms as a table in Markdown."""
    lines = [
        {
            "world": one["world"],
            "method": NAMES.get(one["method"], one["method"]),
            "volume PSNR (dB)": f"{one['psnr']:.2f}",
            "area change (points)": f"{one['bias']:+.1f} ± {one['limits']:.1f}",
            "wall thickening (points)": f"{one['bias_thickening']:+.1f} ± {one['limits_thickening']:.1f}",
            "largest area (%)": f"{one['bias_largest']:+.1f} ± {one['limits_largest']:.1f}",
            "smallest area (%)": f"{one['bias_smallest']:+.1f} ± {one['limits_smallest']:.1f}",
            "area change against the labels": f"{one['bias_labels']:+.1f} ± {one['limits_labels']:.1f}",
            "n": one["n"],
        }
        for one in summary
        if one["group"] == "all"
    ]
    return of_lines(lines)


@house_style
def figure(rows: Sequence[Mapping[str, Any]], world: str) -> Figure:
    """Bland-Altman plots of the area change of one world, a panel for each method."""
    drawn, axes = plt.subplots(2, len(METHODS) // 2, sharex=True, sharey=True, figsize=(9, 5.2))
    for ax, name in zip(axes.flat, METHODS, strict=True):
        chosen = [row for row in rows if (row["world"], row["method"]) == (world, name)]
        change, full = (np.array([row[key] for row in chosen]) for key in ("area_change", "area_change_full"))
        difference = change - full
        ax.plot((change + full) / 2, difference, ".", color=COLORS[0], alpha=0.6)
        bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
        for level, style in ((bias, "-"), (bias - spread, "--"), (bias + spread, "--")):
            ax.axhline(level, color="0.3", linestyle=style, linewidth=1)
        ax.set_title(f"{NAMES.get(name, name)}\n{bias:+.1f} ± {spread:.1f}")
    for ax in axes[-1]:
        ax.set_xlabel("mean of both (%)")
    for ax in axes[:, 0]:
        ax.set_ylabel("minus full data (points)")
    return drawn


def write(rows: Sequence[Mapping[str, Any]], json_to: Path, md_to: Path, png_to: Path) -> None:
    """Write results, table and Bland-Altman plots of the scanner's world."""
    summary = summarise(rows)
    command = f"dmri study heart --n {summary[0]['n']}"
    record(json_to, command=command, phantom_seed=PHANTOM_SEED, summary=summary, rows=rows)
    text = f"Bias ± limits of agreement, against the full data. `{command}`\n\n{table(summary)}\n"
    write_text(md_to, f"Does it matter to the heart? {text}")
    plotting.save(figure(rows, "phase and noise .02"), png_to)
