"""Figures of the course, in one style.

Every function takes torch tensors or numpy arrays (complex values are shown by their magnitude, real ones
as they are) and returns a matplotlib ``Figure`` that pyplot has already forgotten. A notebook therefore
shows a figure exactly once: as the last expression of a cell, or with ``display(figure)`` anywhere else.
:func:`save` writes it.

Images are gray and drawn without interpolation, errors use a perceptually uniform map, curves the
colour-blind-safe palette of Okabe and Ito [1]_ with line styles and markers that survive a gray print.
``y`` is the phase-encode direction (vertical), ``x`` the readout (horizontal), both in pixels; time is
the frame index.

References
----------
.. [1] M. Okabe, K. Ito, Color universal design, 2008, https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from .results.names import NAMES

BLUE, ORANGE, BLACK, GREEN, PURPLE, VERMILLION, SKY = COLORS = (
    "#0072B2",
    "#E69F00",
    "#000000",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
)
LINES = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ERROR_MAP = "inferno"
STYLE = {
    "font.size": 12,
    "axes.titlesize": 13,
    "figure.titlesize": 13,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "lines.linewidth": 2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=LINES),
    "legend.frameon": False,
}
PANEL = 2.6
"""Width of one image panel in inches; four of them fill a page."""

"""How metrics and methods are written in a figure; other names are shown as they are."""


def _house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the house style and take the figure away from pyplot."""

    @functools.wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE):
            open_before = set(plt.get_fignums())
            try:
                figure = draw(*args, **kwargs)
                figure.draw_without_rendering()  # ticks and layout are made at the first draw: in this style,
                figure.set_layout_engine(
                    "none"
                )  # and once, so that the same figure is saved as the same bytes
            finally:
                for number in set(plt.get_fignums()) - open_before:
                    plt.close(number)
        return figure

    return styled


def magnitude(values: Any) -> np.ndarray:
    """Float32 numpy array of a tensor (any device) or array: magnitude if complex, else the values."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().resolve_conj().resolve_neg().numpy()
    values = np.asarray(values)
    return np.asarray(np.abs(values) if values.dtype.kind == "c" else values, dtype=np.float32)


def one_cine(values: Any, name: str = "cine") -> np.ndarray:
    """Magnitude of one cine as ``(t, y, x)``, from ``(t, y, x)`` or ``(1, t, y, x)``.

    Raises
    ------
    ValueError
        if it is not one cine; the message names the shape
    """
    cine = magnitude(values)
    if cine.ndim == 4 and cine.shape[0] == 1:
        cine = cine[0]
    if cine.ndim != 3 or 0 in cine.shape:
        raise ValueError(f"{name}: expected one cine (t, y, x), found shape {cine.shape}")
    return cine


def same_cines(cines: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Several cines as ``(t, y, x)`` magnitudes of one shape.

    Raises
    ------
    ValueError
        if there is none, or the shapes differ; the message names both
    """
    arrays = {title: one_cine(cine, title) for title, cine in cines.items()}
    if not arrays:
        raise ValueError("expected at least one cine, found none")
    first, *others = arrays
    for title in others:
        if arrays[title].shape != arrays[first].shape:
            raise ValueError(
                f"cines differ in shape: {first!r} {arrays[first].shape}, {title!r} {arrays[title].shape}"
            )
    return arrays


def check_index(name: str, index: int, size: int) -> int:
    """Index from 0, negative ones count from the end.

    Raises
    ------
    ValueError
        if it is out of range
    """
    if not -size <= index < size:
        raise ValueError(f"{name} {index} is out of range, there are {size}")
    return index % size


def _wrap(title: str, width: int = 22) -> str:
    return "\n".join(textwrap.fill(line, width) for line in title.splitlines())


def _title(label: str) -> str:
    """A title from an axis label: without the unit, with a capital where that is no symbol (``k-t``)."""
    title = label.split(" (")[0]
    return title if title[1:2] == "-" else title[:1].upper() + title[1:]


def _image_axes(ax: Axes, title: str, x: str = "x (pixel)", y: str = "y (pixel)") -> None:
    ax.set_title(_wrap(title))
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.spines[:].set_visible(False)


@_house_style
def masks(mask: Any, frame: int = 0, batch: int = 0, density: Any = None) -> Figure:
    """Mask of one frame, mask in ky-t, and how often every line was sampled.

    Parameters
    ----------
    mask
        shape ``(b, t, y, 1)`` or ``(t, y, 1)``, True where sampled
    frame
        the frame shown at the left, from 0
    batch
        the sample shown
    density
        shape ``(y,)``, the density the lines were drawn from, in any scale; shown scaled to the lines that
        are not sampled in every frame

    Raises
    ------
    ValueError
        if the shapes do not match or an index is out of range
    """
    values = magnitude(mask)
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or values.shape[-1] != 1:
        raise ValueError(f"expected a mask (b, t, y, 1) or (t, y, 1), found shape {values.shape}")
    ky_t = values[check_index("batch", batch, values.shape[0]), :, :, 0]
    frames, lines = ky_t.shape
    frame = check_index("frame", frame, frames)
    frequency = ky_t.mean(0)

    figure, axes = plt.subplots(1, 3, figsize=(3.2 * PANEL, 3.4), sharey=True, width_ratios=(4, 3, 3))
    axes[0].imshow(np.repeat(ky_t[frame, :, None], lines, axis=1), vmin=0, vmax=1)
    _image_axes(
        axes[0],
        f"Mask of frame {frame}\n{int(ky_t[frame].sum())} of {lines} lines",
        "kx (sample)",
        "ky (line)",
    )
    axes[1].imshow(ky_t.T, vmin=0, vmax=1, aspect="auto", extent=(-0.5, frames - 0.5, lines - 0.5, -0.5))
    axes[1].axvline(frame, color=ORANGE, linestyle="--", linewidth=1.5)
    _image_axes(axes[1], "Mask in ky-t\nwhite: sampled", "frame", "")
    axes[2].plot(
        frequency, np.arange(lines), color=BLUE, linestyle="-", label="measured", drawstyle="steps-mid"
    )
    if density is not None:
        drawn_from = magnitude(density).ravel()
        if drawn_from.shape != (lines,):
            raise ValueError(f"expected a density of shape ({lines},), found {drawn_from.shape}")
        free = frequency < 1
        scale = frequency[free].sum() / max(drawn_from[free].sum(), np.finfo(np.float32).tiny)
        axes[2].plot(
            drawn_from * scale, np.arange(lines), color=ORANGE, linestyle="--", label="density (scaled)"
        )
        axes[2].legend(loc="lower right", handlelength=1.3, borderaxespad=0)
    axes[2].set(xlim=(0, 1.05), xlabel="share of frames", title="Sampling frequency\nof each line")
    return figure


def _score_text(scores: Mapping[str, float] | str) -> str:
    if isinstance(scores, str):
        return scores
    return "\n".join(
        f"{name.replace('_', ' ').upper()} {value:.1f} dB"
        if name.startswith("psnr")
        else f"{name.replace('_', ' ').upper()} {value:.3f}"
        for name, value in scores.items()
    )


@_house_style
def cine_comparison(
    cines: Mapping[str, Any],
    frame: int = 0,
    mask: Any = None,
    window: tuple[float, float] = (0, 1),
    reference: str | None = None,
    scores: Mapping[str, Mapping[str, float] | str] | None = None,
    error_scale: float = 5,
) -> Figure:
    """One frame of several cines side by side, with error maps below when a reference is named.

    Parameters
    ----------
    cines
        title -> cine ``(t, y, x)``, all of one shape
    frame
        the frame shown, from 0
    mask
        shape ``(t, y, 1)`` or ``(1, t, y, 1)``; its frame is shown as the last panel
    window
        magnitudes shown as black and white
    reference
        title of the cine the errors ``|x - reference|`` are taken against; None shows no errors
    scores
        title -> ``{"psnr": 29.1, "ssim": 0.84}`` (or a text), written under the title
    error_scale
        errors are shown this many times brighter than the images

    Raises
    ------
    ValueError
        if shapes differ, the frame is out of range or the reference is not among the cines
    """
    arrays = same_cines(cines)
    frames, lines, columns = next(iter(arrays.values())).shape
    frame = check_index("frame", frame, frames)
    if reference is not None and reference not in arrays:
        raise ValueError(f"reference {reference!r} is not among the cines {list(arrays)}")
    images = {title: cine[frame] for title, cine in arrays.items()}
    if mask is not None:
        sampled = one_cine(mask, "mask")
        if sampled.shape != (frames, lines, 1):
            raise ValueError(f"expected a mask of shape {(frames, lines, 1)}, found {sampled.shape}")

    panels = [*images] + ([None] if mask is not None else [])  # None stands for the mask
    bands = -(-len(panels) // 4)
    width = -(-len(panels) // bands)
    step = 1 if reference is None else 2
    headings = {
        title: "\n".join([_wrap(title)] + ([_score_text(scores[title])] if title in (scores or {}) else []))
        for title in images
    }
    tallest = max(heading.count("\n") for heading in headings.values())
    height = bands * (step * (0.82 * PANEL * lines / columns + 0.35) + 0.2 * tallest) + 0.7
    figure, axes = plt.subplots(
        bands * step, width, squeeze=False, figsize=(PANEL * max(width, 2), min(height, 16))
    )
    for number, title in enumerate(panels):
        row, column = step * (number // width), number % width
        ax = axes[row, column]
        if title is None:
            ax.imshow(np.broadcast_to(sampled[frame], (lines, columns)), vmin=0, vmax=1)
            _image_axes(ax, "Mask\nwhite: sampled", "kx (sample)", "ky (line)")
            continue
        ax.imshow(images[title], vmin=window[0], vmax=window[1])
        _image_axes(ax, headings[title], "" if reference else "x (pixel)", "" if column else "y (pixel)")
        ax.tick_params(labelleft=not column, labelbottom=not reference)
        if reference is None:
            continue
        below = axes[row + 1, column]
        if title == reference:
            brightest = (window[1] - window[0]) / error_scale
            figure.colorbar(
                ScalarMappable(Normalize(0, brightest), ERROR_MAP),
                orientation="horizontal",
                cax=below.inset_axes((0.05, 0.5, 0.85, 0.08)),
                label=_wrap(f"|x − {reference}|"),
                ticks=(0, brightest / 2, brightest),
            )
            continue
        below.imshow(
            np.abs(images[title] - images[reference]),
            cmap=ERROR_MAP,
            vmin=0,
            vmax=(window[1] - window[0]) / error_scale,
        )
        _image_axes(below, f"|error| × {error_scale:g}", y="" if column else "y (pixel)")
        below.tick_params(labelleft=not column)
    for ax in axes.flat:
        if not ax.has_data():
            ax.set_axis_off()
    if frames > 1:
        figure.suptitle(f"Frame {frame}", x=0.01, ha="left")
    return figure


@_house_style
def xt_profiles(cines: Mapping[str, Any], column: int, window: tuple[float, float] = (0, 1)) -> Figure:
    """Profiles of one column over time (y-t), and where the column lies in the first cine.

    Parameters
    ----------
    cines
        title -> cine ``(t, y, x)``, all of one shape
    column
        readout position ``x`` of the profile, in pixels from 0
    window
        magnitudes shown as black and white

    Raises
    ------
    ValueError
        if shapes differ or the column is out of range
    """
    arrays = same_cines(cines)
    first = next(iter(arrays))
    frames, lines, columns = arrays[first].shape
    column = check_index("column", column, columns)
    figure, axes = plt.subplots(
        1,
        len(arrays) + 1,
        figsize=(PANEL + 1.9 * len(arrays), 3.4),
        sharey=True,
        width_ratios=(1.5, *[1] * len(arrays)),
    )
    axes[0].imshow(arrays[first][0], vmin=window[0], vmax=window[1])
    axes[0].axvline(column, color=ORANGE, linestyle="--", linewidth=1.5)
    _image_axes(axes[0], f"{first}\nframe 0, x = {column}")
    for ax, (title, cine) in zip(axes[1:], arrays.items(), strict=True):
        ax.imshow(
            cine[:, :, column].T,
            vmin=window[0],
            vmax=window[1],
            aspect="auto",
            extent=(-0.5, frames - 0.5, lines - 0.5, -0.5),
        )
        _image_axes(ax, _wrap(title, 15), "frame", "")
    return figure


@_house_style
def kspace(kspaces: Any, frame: int = 0, decades: float = 5) -> Figure:
    """Magnitude of k-space on a logarithmic scale, relative to the largest value shown.

    Parameters
    ----------
    kspaces
        k-space ``(t, y, x)``, or title -> k-space to show several side by side
    frame
        the frame shown, from 0
    decades
        powers of ten below the maximum that are shown; what is smaller, or zero, is black
    """
    named = same_cines(kspaces if isinstance(kspaces, Mapping) else {"k-space": kspaces})
    frames, lines, columns = next(iter(named.values())).shape
    frame = check_index("frame", frame, frames)
    peak = max(float(values[frame].max()) for values in named.values()) or 1.0
    figure, axes = plt.subplots(1, len(named), squeeze=False, figsize=(3.1 * len(named) + 1.2, 3.4))
    for ax, (title, values) in zip(axes[0], named.items(), strict=True):
        shown = ax.imshow(np.log10(np.maximum(values[frame] / peak, 10.0**-decades)), vmin=-decades, vmax=0)
        _image_axes(ax, f"{title}\nframe {frame}", "kx (sample)", "ky (line)" if ax is axes[0, 0] else "")
    figure.colorbar(shown, ax=axes, label="log10 (magnitude / maximum)", shrink=0.8)
    return figure


def _column(log: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values of one column of a log, without the epochs where it was not measured."""
    if isinstance(log, Mapping):
        values = list(log.get(name, []))
        epochs = list(log.get("epoch", range(1, len(values) + 1)))[: len(values)]
    else:
        values = [row.get(name) for row in log]
        epochs = [row.get("epoch", number) for number, row in enumerate(log, 1)]
    y = np.array([np.nan if value in (None, "") else float(value) for value in values])
    x = np.array([float(epoch) for epoch in epochs])
    return x[np.isfinite(y)], y[np.isfinite(y)]


@_house_style
def loss_curves(log: Any) -> Figure:
    """Losses (logarithmic), validation PSNR and learning rate over the epochs, of one run or of several.

    Parameters
    ----------
    log
        one run: a list of rows ``{"epoch", "train_loss", "val_loss", "val_psnr", "learning_rate"}`` or the
        same as columns; or several: name -> run. What a run did not record (missing, None) is left out.
    """
    several = (
        isinstance(log, Mapping)
        and bool(log)
        and all(
            isinstance(run, Mapping)
            or (isinstance(run, Sequence) and len(run) and isinstance(run[0], Mapping))
            for run in log.values()
        )
    )
    runs = log if several else {"": log}
    panels = [("loss", ("train_loss", "val_loss"))]
    panels += [
        (label, (name,))
        for label, name in (("validation PSNR (dB)", "val_psnr"), ("learning rate", "learning_rate"))
        if any(_column(run, name)[1].size for run in runs.values())
    ]
    figure, axes = plt.subplots(1, len(panels), squeeze=False, figsize=(1.2 + 2.9 * len(panels), 3.5))
    for ax, (label, names) in zip(axes[0], panels, strict=True):
        for number, (run_name, run) in enumerate(runs.items()):
            for name in names:
                x, y = _column(run, name)
                validation = name == "val_loss"
                kind = {"train_loss": "training", "val_loss": "validation"}.get(name, "")
                color = COLORS[number % len(COLORS)] if several or not validation else ORANGE
                line = (
                    ("--" if validation else "-")
                    if len(names) > 1 or not several
                    else LINES[number % len(LINES)]
                )
                marker = MARKERS[number % len(MARKERS)] if (several or validation) and x.size <= 400 else None
                ax.plot(
                    x,
                    y,
                    color=color,
                    linestyle=line,
                    marker=marker,
                    markevery=max(1, x.size // 8),
                    markersize=5,
                    label=" ".join(part for part in (run_name, kind) if part),
                )
        ax.set(xlabel="epoch", title=_title(label), ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if label == "loss" and any(_column(run, "train_loss")[1].size for run in runs.values()):
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
        if label == "learning rate":
            ax.ticklabel_format(axis="y", scilimits=(0, 0))
    if several:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(runs)))
    else:
        axes[0, 0].legend()
    return figure


@_house_style
def ladder(
    rows: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ("psnr", "psnr_dynamic", "ssim")
) -> Figure:
    """Methods from top to bottom, one panel per metric: mean and standard deviation over the cines.

    Parameters
    ----------
    rows
        ``{"method": name, "psnr": {"mean": 34.5, "std": 2.3}, …}``, in the order to be shown
    metrics
        the metrics shown; one that no row has is left out

    Raises
    ------
    ValueError
        if there are no rows, or none has any of the metrics
    """
    shown = [name for name in metrics if any(name in row for row in rows)]
    if not shown:
        raise ValueError(f"no row has any of the metrics {list(metrics)}")
    figure, axes = plt.subplots(
        1, len(shown), squeeze=False, sharey=True, figsize=(1.8 + 2.8 * len(shown), 1.3 + 0.5 * len(rows))
    )
    for ax, name in zip(axes[0], shown, strict=True):
        for place, row in enumerate(rows):
            if name not in row:
                continue
            mean, spread = row[name]["mean"], row[name].get("std") or 0
            ax.errorbar(
                mean, place, xerr=spread, color=BLUE, marker="o", markersize=8, capsize=4, linestyle=""
            )
            digits = 1 if name.startswith("psnr") else 2 if "dB" in name else 3
            ax.annotate(
                f"{mean:.{digits}f} ± {spread:.{digits}f}",
                (mean, place),
                (0, 8),
                ha="center",
                textcoords="offset points",
                fontsize=12,
            )
        label = NAMES.get(name, name)
        ax.set(xlabel=label, title=_wrap(_title(label)))
        ax.margins(x=0.3)
        ax.grid(axis="x", alpha=0.3)
    axes[0, 0].set(
        yticks=range(len(rows)),
        yticklabels=[NAMES.get(row["method"], row["method"]) for row in rows],
        ylim=(len(rows) - 0.5, -0.7),
    )
    return figure


@_house_style
def benchmark(result: Mapping[str, Any]) -> Figure:
    """Quality of every method against its time, training throughput measure by measure, memory against cascades.

    Parameters
    ----------
    result
        of `bench.run`: ``methods`` with ``method``, ``seconds`` and ``psnr_volume``; ``training`` with ``measure``
        and ``ratio``; ``cascades`` with ``cascades``, ``checkpointing`` and ``peak_bytes``
    """
    figure, (quality, speed, memory) = plt.subplots(
        1, 3, figsize=(16, 5), gridspec_kw={"width_ratios": (1.5, 1, 1)}
    )
    fastest, slowest = (of(row["seconds"] for row in result["methods"]) for of in (min, max))
    for row in result["methods"]:
        name, mean, std = NAMES.get(row["method"], row["method"]), *row["psnr_volume"].values()
        quality.errorbar(row["seconds"], mean, yerr=std, color=BLUE, marker="o", markersize=8, capsize=3)
        near = [
            of["seconds"]
            for of in result["methods"]
            if 0.5 < of["seconds"] / row["seconds"] < 2 and abs(of["psnr_volume"]["mean"] - mean) < 2
        ]
        left = row["seconds"] < max(near)  # away from the neighbour
        beside = {"xytext": (-9 if left else 9, 0), "ha": "right" if left else "left", "va": "center"}
        above = {"xytext": (0, 4), "ha": "center", "va": "bottom"}  # a long name has no room elsewhere
        long = len(name) > 14
        quality.annotate(
            _wrap(name, 14),
            (row["seconds"], mean + std if long else mean),
            textcoords="offset points",
            **(above if long else beside),
        )
    quality.set(xscale="log", xlabel="time per cine (s)", ylabel="volume PSNR (dB)", title="Methods")
    quality.set_xlim(fastest / 30, 15 * slowest)
    quality.grid(alpha=0.3)

    ways = result["training"]
    speed.barh(range(len(ways)), [row["ratio"] for row in ways], color=BLUE)
    for place, row in enumerate(ways):
        speed.annotate(
            f"{row['ratio']:.1f}", (row["ratio"], place), (4, 0), textcoords="offset points", va="center"
        )
    names = [("+ " if i else "") + row["measure"].replace("_", "-") for i, row in enumerate(ways)]
    speed.set(
        yticks=range(len(ways)),
        yticklabels=names,
        ylim=(len(ways) - 0.5, -0.5),
        xlabel="samples per second (plain way = 1)",
        title="Training, measure by measure",
    )
    speed.margins(x=0.15)

    for kept, label, marker in ((False, "everything kept", "o"), (True, "checkpointing", "s")):
        rows = [row for row in result["cascades"] if row["checkpointing"] is kept]
        memory.plot(
            [row["cascades"] for row in rows],
            [row["peak_bytes"] / 1e6 for row in rows],
            marker=marker,
            markersize=7,
            label=label,
        )
    memory.set(
        xlabel="cascades", ylabel="peak memory (MB)", ylim=(0, None), title="Memory of a training step"
    )
    memory.xaxis.set_major_locator(MaxNLocator(integer=True))
    memory.grid(alpha=0.3)
    memory.legend()
    return figure


@_house_style
def quality_against(
    x: Sequence[float], quantities: Mapping[str, Sequence[Any]], xlabel: str = "cascades"
) -> Figure:
    """One small panel per quantity (quality, time, memory) against one variable.

    Parameters
    ----------
    x
        values of the variable
    quantities
        axis label or metric name -> one value per ``x``: a number, or ``{"mean", "std"}`` (error bar)
    xlabel
        the variable

    Raises
    ------
    ValueError
        if a quantity has not one value per ``x``
    """
    figure, axes = plt.subplots(1, len(quantities), squeeze=False, figsize=(0.8 + 2.9 * len(quantities), 3.3))
    for number, (ax, (name, values)) in enumerate(zip(axes[0], quantities.items(), strict=True)):
        if len(values) != len(x):
            raise ValueError(f"{name}: {len(values)} values for {len(x)} of {xlabel}")
        means = [value["mean"] if isinstance(value, Mapping) else float(value) for value in values]
        spread = [(value.get("std") or 0) if isinstance(value, Mapping) else 0 for value in values]
        label = NAMES.get(name, name)
        ax.errorbar(
            x,
            means,
            yerr=spread if any(spread) else None,
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=7,
            capsize=4,
            linestyle="-",
        )
        ax.set(xlabel=xlabel, ylabel=label, title=_wrap(_title(label)), xticks=list(x))
        ax.grid(axis="y", alpha=0.3)
        ax.margins(x=0.12, y=0.15)
    return figure


@_house_style
def curves(x: Sequence[float], panels: Mapping[str, Any], xlabel: str, share_y: bool = False) -> Figure:
    """Lines over one variable, one panel per quantity.

    Parameters
    ----------
    x
        values of the variable, ascending
    panels
        axis label -> one value per ``x``, or name -> one value per ``x`` to draw several lines in the panel
    xlabel
        the variable
    share_y
        True gives all panels the same vertical axis

    Raises
    ------
    ValueError
        if there is no panel, or a line has not one value per ``x``
    """
    if not panels:
        raise ValueError("expected at least one panel, found none")
    figure, axes = plt.subplots(
        1, len(panels), squeeze=False, sharey=share_y, figsize=(1.2 + max(3.1 * len(panels), 4.2), 3.4)
    )
    for ax, (label, content) in zip(axes[0], panels.items(), strict=True):
        for name, values in (content if isinstance(content, Mapping) else {"": content}).items():
            line = np.array([float(value) for value in values])
            if line.size != len(x):
                raise ValueError(f"{name or label}: {line.size} values for {len(x)} of {xlabel}")
            ax.plot(x, line, label=name)
        ax.set(xlabel=xlabel, ylabel=label, title=_wrap(_title(label), 26))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=all(float(value).is_integer() for value in x)))
        ax.grid(alpha=0.3)
        if isinstance(content, Mapping):  # many lines leave no room for names between them
            ax.legend(**({"loc": "upper left", "bbox_to_anchor": (1, 1)} if len(content) > 4 else {}))
    return figure


@_house_style
def paired_scores(
    before: Sequence[float],
    after: Sequence[float],
    label: str = "PSNR (dB)",
    names: tuple[str, str] = ("before", "after"),
) -> Figure:
    """Score of every test slice before and after, and their distributions.

    Parameters
    ----------
    before, after
        one score per slice, in the same order
    label
        the score and its unit
    names
        what before and after are

    Raises
    ------
    ValueError
        if the two have different lengths or none
    """
    pair = [magnitude(before).ravel(), magnitude(after).ravel()]
    if pair[0].size != pair[1].size or pair[0].size == 0:
        raise ValueError(f"expected as many scores before as after, found {pair[0].size} and {pair[1].size}")
    slices = np.arange(pair[0].size)
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 3.8), width_ratios=(3, 1.2))
    axes[0].vlines(slices, *pair, color="0.7", linewidth=1.2)
    for scores, name, color, marker in zip(pair, names, (ORANGE, BLUE), ("o", "s"), strict=True):
        digits = 2 if scores.mean() > 1 else 3
        spread = scores.std(ddof=0) if scores.size > 1 else 0
        axes[0].plot(
            slices,
            scores,
            color=color,
            marker=marker,
            linestyle="",
            markersize=6,
            label=f"{name}: {scores.mean():.{digits}f} ± {spread:.{digits}f}",
        )
    axes[0].set(xlabel="test slice", ylabel=label, title=f"{_title(label)} of every test slice")
    axes[0].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    boxes = axes[1].boxplot(
        pair,
        tick_labels=names,
        widths=0.6,
        patch_artist=True,
        showmeans=True,
        medianprops={"color": "black", "linestyle": "-"},
        flierprops={"markersize": 4},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black"},
    )
    for box, color in zip(boxes["boxes"], (ORANGE, BLUE), strict=True):
        box.set(facecolor=color, alpha=0.5)
    axes[1].set(title="All slices", xlabel="diamond: mean")
    return figure


@_house_style
def fingerprint(
    rows: Mapping[str, Sequence[float]],
    reference: Mapping[str, Mapping[str, Any]],
    name: str = "phantom",
    reach: float = 4,
) -> Figure:
    """Statistics of two sets of cines, one line each, in standard deviations of the reference around its mean.

    Parameters
    ----------
    rows
        row -> one value per cine; NaN where a cine has none
    reference
        row -> ``panel`` and ``label`` to write, ``mean``, ``std`` and ``values``, one per cine of the reference
    name
        of the set that is compared
    reach
        standard deviations shown to either side; what lies beyond is drawn as a triangle at the edge

    Raises
    ------
    ValueError
        if no row is in the reference
    """
    panels: dict[str, list[str]] = {}
    for row in rows:
        if row in reference:
            panels.setdefault(str(reference[row]["panel"]), []).append(row)
    if not panels:
        raise ValueError(f"no row is in the reference: found {list(rows)}")
    lines = [len(shown) for shown in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        squeeze=False,
        figsize=(8.5, 1.2 * len(panels) + 0.34 * sum(lines)),
        height_ratios=lines,
    )
    for ax, (panel, shown) in zip(axes[:, 0], panels.items(), strict=True):
        ax.axvspan(-1, 1, color="0.9", label="within one sd of the real mean")
        ax.axvline(0, color="0.4", linestyle="-", linewidth=1)
        labels = []
        for place, row in enumerate(shown):
            real = reference[row]
            strips = (
                ("real", real["values"], -0.2, {"mec": "0.35", "mfc": "none"}),
                (name, rows[row], 0.2, {"mec": "none", "mfc": BLUE, "alpha": 0.55}),
            )
            for strip, values, shift, look in strips:
                z = (np.asarray(values, dtype=float) - real["mean"]) / real["std"]
                z = z[np.isfinite(z)]
                for marker, part in (
                    ("o", z[np.abs(z) <= reach]),
                    ("<", z[z < -reach]),
                    (">", z[z > reach]),
                ):
                    ax.plot(
                        part.clip(-reach, reach),
                        np.full(part.size, place + shift),
                        linestyle="",
                        marker=marker,
                        markersize=6,
                        label=strip if marker == "o" else None,
                        **look,
                    )
            away = z.mean() if z.size else np.nan
            ax.plot(
                np.clip(away, -reach, reach),
                place + 0.2,
                color="white",
                mec="black",
                mew=1.8,
                linestyle="",
                marker="D",
                markersize=8,
                label=f"mean of {name}, in numbers at the right",
            )
            outside = abs(away) > 1
            ax.annotate(
                f"{away:+.2f}".replace("-", "−") if z.size else "–",
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                weight="bold" if outside else "normal",
            )
            labels.append(real["label"])
        ax.set(
            xlim=(-reach - 0.3, reach + 0.3),
            ylim=(len(shown) - 0.5, -0.6),
            yticks=range(len(shown)),
            yticklabels=labels,
            xlabel="distance from the real mean (real sd)",
            title=_title(panel),
        )
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.hlines(np.arange(len(shown) - 1) + 0.5, -reach, reach, color="0.85", linewidth=0.8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)
    return figure


@_house_style
def gallery(images: Sequence[Any], titles: Sequence[str], across: int = 4) -> Figure:
    """Many images in rows, from black at 0 to white at 0.9, where little but fat is brighter.

    Parameters
    ----------
    images
        each ``(y, x)``, magnitude in [0, 1]
    titles
        one per image
    across
        images in a row

    Raises
    ------
    ValueError
        if there is not one title per image
    """
    if len(images) != len(titles) or not len(images):
        raise ValueError(f"expected as many titles as images, found {len(titles)} for {len(images)}")
    lines, columns = images[0].shape
    across = min(across, len(images))
    down = -(-len(images) // across)
    figure, axes = plt.subplots(
        down, across, squeeze=False, figsize=(3 * across, down * (0.4 + 3 * lines / columns))
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, vmin=0, vmax=0.9)
        ax.set_title(title)
    return figure


@_house_style
def sweep(rows: Sequence[Mapping[str, Any]], reach: tuple[float, float] = (-2, 0.5)) -> Figure:
    """Quality against each parameter, one row of panels per method, as the difference to the default.

    Parameters
    ----------
    rows
        of `sweep.sweep`: ``method``, ``parameter``, ``default``, ``values`` and ``quality``, set -> metric -> one
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


@_house_style
def architecture(blocks: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a network from what was recorded when it ran.

    Parameters
    ----------
    blocks
        one dictionary per stage, in the order they ran:

        ``name``        unique text;
        ``label``       text in the box (default the name);
        ``shape``       of its output without the batch, ``(channels, y, x)`` or ``(channels, t, y, x)``;
        ``parameters``  number of its parameters (default 0, then not written);
        ``level``       how often the image was halved (default 0), deeper is drawn lower;
        ``branch``      stages of one branch share a lane with this heading (default one lane for all);
        ``inputs``      names of the stages it reads (default the one before it in its branch);
        ``skips``       names of the stages joined to it by a skip connection (default none)

    Raises
    ------
    ValueError
        if there are no blocks, a name comes twice, or an input or skip names no earlier block
    """
    if not blocks:
        raise ValueError("expected at least one block, found none")
    places, arrows, branches = _layout(blocks)
    texts = {str(block["name"]): _block_text(block) for block in blocks}
    tall = 0.35 + 0.2 * max(text.count("\n") + 1 for text in texts.values())  # inches per level
    xs, ys = zip(*places.values(), strict=True)
    figure, ax = plt.subplots(
        figsize=(1.75 * (max(xs) - min(xs) + 1.1), tall * (max(ys) - min(ys) + 1.6) + 0.4)
    )
    ax.set(xlim=(min(xs) - 0.55, max(xs) + 0.55), ylim=(min(ys) - 0.5, max(ys) + 1.0))
    ax.set_axis_off()
    half, rise = 0.41, 0.4  # half the width and height of a box
    for source, target, skip in arrows:
        (x0, y0), (x1, y1) = places[source], places[target]
        if abs(x1 - x0) < 1 and y1 != y0:  # a step down or up in the U
            start, end = (x0 + 0.15, y0 + np.sign(y1 - y0) * rise), (x1 - 0.15, y1 - np.sign(y1 - y0) * rise)
        else:
            start, end = (x0 + half, y0), (x1 - half, y1)
        ax.annotate(
            "",
            end,
            start,
            zorder=1,
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.45" if skip else "black",
                "linewidth": 1.4,
                "shrinkA": 0,
                "shrinkB": 0,
                "linestyle": "--" if skip else "-",
            },
        )
    shades = dict(zip(branches, itertools.cycle(("#CFE5F3", "#FBE7C1", "#CDEBE1", "#F3DDE9")), strict=False))
    for block in blocks:
        name, branch = str(block["name"]), str(block.get("branch", ""))
        x, y = places[name]
        ax.add_patch(
            FancyBboxPatch(
                (x - half, y - rise),
                2 * half,
                2 * rise,
                facecolor=shades[branch],
                zorder=2,
                boxstyle="round,pad=0,rounding_size=0.06",
                edgecolor="black",
            )
        )
        ax.text(x, y, texts[name], ha="center", va="center", zorder=3)
    for branch, (x, y) in branches.items():
        ax.text(x - half, y + rise + 0.08, branch, ha="left", va="bottom", fontsize=13, weight="bold")
    total = sum(int(block.get("parameters", 0)) for block in blocks)
    ax.set_title(
        (f"{_count(total)} parameters" if total else "Network")
        + ("; dashed: skip connections" if any(skip for *_, skip in arrows) else "")
    )
    return figure


def _layout(
    blocks: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str, bool]], dict[str, tuple[float, float]]]:
    """Places of the blocks, arrows (source, target, is a skip), and the place of every branch's heading.

    A stage stands one column right of what it reads, or about half a column where the level changes.
    A lane that merges others starts half-way between them.
    """
    deepest: dict[str, int] = {}
    for block in blocks:
        branch = str(block.get("branch", ""))
        deepest[branch] = max(deepest.get(branch, 0), int(block.get("level", 0)))
    lanes, top = {}, 0.0
    for branch, depth in deepest.items():
        lanes[branch], top = top, top - depth - 1.4

    places: dict[str, tuple[float, float]] = {}
    arrows: list[tuple[str, str, bool]] = []
    branches: dict[str, tuple[float, float]] = {}
    last: dict[str, str] = {}
    for block in blocks:
        name, branch, level = str(block["name"]), str(block.get("branch", "")), int(block.get("level", 0))
        if name in places:
            raise ValueError(f"block {name!r} comes twice")
        inputs = list(block.get("inputs", [last[branch]] if branch in last else []))
        skips = list(block.get("skips", []))
        for source in inputs + skips:
            if source not in places:
                raise ValueError(f"block {name!r}: {source!r} names no earlier block")
        if branch not in last and len(inputs) > 1:
            heights = [places[source][1] for source in inputs]
            lanes[branch] = (max(heights) + min(heights)) / 2 + level
        y = lanes[branch] - level
        x = 0.0
        for source in inputs:
            gap = 1.3 if source != last.get(branch) else 1 if places[source][1] == y else 0.56
            x = max(x, places[source][0] + gap)
        places[name] = (x, y)
        branches.setdefault(branch, (x, lanes[branch]))
        arrows += [(source, name, False) for source in inputs] + [(source, name, True) for source in skips]
        last[branch] = name
    return places, arrows, branches


def _block_text(block: Mapping[str, Any]) -> str:
    channels, *size = (int(length) for length in block["shape"])
    lines = [
        _wrap(str(block.get("label", block["name"])), 15),
        f"{channels} channel{'s' * (channels != 1)}",
        "×".join(map(str, size)),
    ]
    if block.get("parameters"):
        lines.append(_count(int(block["parameters"])) + " par.")
    return "\n".join(line for line in lines if line)


def _count(number: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (150 dpi), whole or not at all, making its folder; returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    return path
