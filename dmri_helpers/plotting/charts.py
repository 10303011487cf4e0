"""Charts of numbers: lines over a variable, losses of a training, ladders of methods, paired scores (all notebooks).

A ValueError is raised where a series has not one value for each ``x``, or where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..results.names import NAMES, WORLDS, heading
from ..results.tables import half_width, score
from .arrays import magnitude
from .style import BLUE, COLORS, LINES, MARKERS, ORANGE, house_style, math_title, wrap_title


def _column(log: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs and values of one column of a log, without the epochs in which it was not measured."""
    if isinstance(log, Mapping):
        values = list(log.get(name, []))
        epochs = list(log.get("epoch", range(1, len(values) + 1)))[: len(values)]
    else:
        values = [row.get(name) for row in log]
        epochs = [row.get("epoch", number) for number, row in enumerate(log, 1)]
    y = np.array([np.nan if value in (None, "") else float(value) for value in values])
    x = np.array([float(epoch) for epoch in epochs])
    return x[np.isfinite(y)], y[np.isfinite(y)]


@house_style
def loss_curves(log: Any) -> Figure:
    """Draw losses (logarithmic), validation PSNR and learning rate over the epochs, of one run or of several.

    Parameters
    ----------
    log
        one run, as a list of rows ``{"epoch", "train_loss", "val_loss", "val_psnr", "learning_rate"}`` or as a
        dictionary of columns with these names; or several runs, as name -> run. What a run did not record (missing or
        None) is left out.
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
        ax.set(xlabel="epoch", title=math_title(label), ylabel=label)
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


@house_style
def ladder(
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Mapping[str, Any]]],
    metrics: Sequence[str] = ("psnr", "psnr_dynamic", "ssim"),
) -> Figure:
    """Draw methods from top to bottom, one panel per metric: mean and standard deviation over the cines.

    Parameters
    ----------
    rows
        ``{"method": name, "psnr": {"mean": 34.5, "std": 2.3}, …}``, in the order in which they are shown; or several
        worlds, as `results.ladder` takes them, ``{world: {method: summary}}``, each in its own colour
    metrics
        the metrics shown; one that no row has is left out
    """
    worlds = rows if isinstance(rows, Mapping) else {"": {row["method"]: row for row in rows}}
    methods = list(dict.fromkeys(method for summaries in worlds.values() for method in summaries))
    every = [summary for summaries in worlds.values() for summary in summaries.values()]
    shown = [name for name in metrics if any(name in summary for summary in every)]
    if not shown:
        raise ValueError(f"no row has any of the metrics {list(metrics)}")
    size = 1.8 + 2.8 * len(shown), 1.3 + (0.1 + 0.4 * len(worlds)) * len(methods)
    figure, axes = plt.subplots(1, len(shown), squeeze=False, sharey=True, figsize=size)
    for ax, name in zip(axes[0], shown, strict=True):
        for number, summaries in enumerate(worlds.values()):
            offset = 0.42 * (number - (len(worlds) - 1) / 2)
            _rungs(ax, [summaries.get(method, {}) for method in methods], name, offset, number)
        label = heading(name)
        ax.set(xlabel=label, title=wrap_title(math_title(label)))
        ax.margins(x=0.3)
        ax.grid(axis="x", alpha=0.3)
    axes[0, 0].set(
        yticks=range(len(methods)),
        yticklabels=[NAMES.get(method, method) for method in methods],
        ylim=(len(methods) - 0.5, -0.7),
    )
    if len(worlds) > 1:
        kinds = [plt.Line2D([], [], **_marked(number)) for number in range(len(worlds))]
        labels = [WORLDS.get(world, world) for world in worlds]
        figure.legend(kinds, labels, loc="outside lower center", ncols=len(worlds))
    return figure


def _rungs(ax, summaries: Sequence[Mapping[str, Any]], name: str, offset: float, number: int) -> None:
    """One metric of all methods in one world; what is not known is left out."""
    digits = 1 if name.startswith("psnr") else 2 if "dB" in name else 3
    for place, summary in enumerate(summaries):
        written = score(summary.get(name), digits)
        if written == score(None, digits):
            continue
        mean, at = summary[name]["mean"], place + offset
        ax.errorbar(mean, at, xerr=half_width(summary[name]), capsize=4, **_marked(number))
        ax.annotate(written, (mean, at), (0, 8), ha="center", textcoords="offset points", fontsize=12)


def _marked(number: int) -> dict[str, Any]:
    """How the methods of a world are drawn."""
    return {"color": COLORS[number], "marker": MARKERS[number], "markersize": 8, "linestyle": ""}


@house_style
def quality_against(
    x: Sequence[float], quantities: Mapping[str, Sequence[Any]], xlabel: str = "cascades"
) -> Figure:
    """Draw one small panel per quantity (quality, time, memory) against one variable.

    Parameters
    ----------
    x
        values of the variable
    quantities
        axis label or metric name -> one value per ``x``, each a number, or ``{"mean", "std"}`` to draw an error bar
    xlabel
        name of the variable
    """
    figure, axes = plt.subplots(1, len(quantities), squeeze=False, figsize=(0.8 + 2.9 * len(quantities), 3.3))
    for number, (ax, (name, values)) in enumerate(zip(axes[0], quantities.items(), strict=True)):
        if len(values) != len(x):
            raise ValueError(f"{name}: {len(values)} values for {len(x)} of {xlabel}")
        means = [value["mean"] if isinstance(value, Mapping) else float(value) for value in values]
        spread = [half_width(value) if isinstance(value, Mapping) else 0 for value in values]
        label = heading(name)
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
        ax.set(xlabel=xlabel, ylabel=label, title=wrap_title(math_title(label)), xticks=list(x))
        ax.grid(axis="y", alpha=0.3)
        ax.margins(x=0.12, y=0.15)
    return figure


@house_style
def curves(x: Sequence[float], panels: Mapping[str, Any], xlabel: str, share_y: bool = False) -> Figure:
    """Draw lines over one variable, one panel per quantity.

    Parameters
    ----------
    x
        values of the variable, ascending
    panels
        axis label -> one value per ``x``, or axis label -> name -> one value per ``x`` for several lines in one panel
    xlabel
        name of the variable
    share_y
        True gives all panels the same vertical axis
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
            ax.plot(x, line, label=NAMES.get(name, name))
        ax.set(xlabel=xlabel, ylabel=label, title=wrap_title(math_title(label), 26))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=all(float(value).is_integer() for value in x)))
        ax.grid(alpha=0.3)
        if isinstance(content, Mapping):  # many lines leave no room for names between them
            ax.legend(**({"loc": "upper left", "bbox_to_anchor": (1, 1)} if len(content) > 4 else {}))
    return figure


@house_style
def paired_scores(
    before: Sequence[float],
    after: Sequence[float],
    label: str = "PSNR (dB)",
    names: tuple[str, str] = ("before", "after"),
) -> Figure:
    """Draw the score of every test slice before and after something, and both distributions.

    Parameters
    ----------
    before, after
        one score per slice, in the same order
    label
        the score and its unit
    names
        what stands for "before" and "after" in the legend
    """
    pair = [magnitude(before).ravel(), magnitude(after).ravel()]
    if pair[0].size != pair[1].size or pair[0].size == 0:
        raise ValueError(f"expected as many scores before as after, found {pair[0].size} and {pair[1].size}")
    slices = np.arange(pair[0].size)
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 3.8), width_ratios=(3, 1.2))
    axes[0].vlines(slices, *pair, color="0.7", linewidth=1.2)
    for scores, name, color, marker in zip(pair, names, (ORANGE, BLUE), ("o", "s"), strict=True):
        digits = 2 if scores.mean() > 1 else 3
        spread = scores.std(ddof=1) if scores.size > 1 else 0
        axes[0].plot(
            slices,
            scores,
            color=color,
            marker=marker,
            linestyle="",
            markersize=6,
            label=f"{name}: {scores.mean():.{digits}f} ± {spread:.{digits}f}",
        )
    axes[0].set(xlabel="test slice", ylabel=label, title=f"{math_title(label)} of every test slice")
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
