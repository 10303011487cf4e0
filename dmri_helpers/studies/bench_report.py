"""The figure and the tables of the bench: ``figures/benchmark.png`` and the tables of the README."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..plotting.style import BLUE, house_style, wrap_title
from ..results.names import METRICS, NAMES, heading
from ..results.tables import half_width, render, score


@house_style
def figure(result: Mapping[str, Any]) -> Figure:
    """Draw the quality of every method against its time, training speed by measure, and memory against cascades.

    Parameters
    ----------
    result
        what `bench.run` returned
    """
    figure, (quality, speed, memory) = plt.subplots(
        1, 3, figsize=(16, 5), gridspec_kw={"width_ratios": (1.5, 1, 1)}
    )
    _draw_methods(quality, result["methods"])

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


def _draw_methods(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the quality of every method against its time, with its name where it covers no neighbour."""
    times = [row["seconds"] for row in rows]
    for row in rows:
        name, mean = NAMES.get(row["method"], row["method"]), row["psnr_volume"]["mean"]
        std = half_width(row["psnr_volume"])
        ax.errorbar(row["seconds"], mean, yerr=std, color=BLUE, marker="o", markersize=8, capsize=3)
        near = [
            other["seconds"]
            for other in rows
            if 0.5 < other["seconds"] / row["seconds"] < 2 and abs(other["psnr_volume"]["mean"] - mean) < 2
        ]
        left = row["seconds"] < max(near)  # a slower neighbour needs the room at the right
        at_side = {"xytext": (-9 if left else 9, 0), "ha": "right" if left else "left", "va": "center"}
        above = {"xytext": (0, 4), "ha": "center", "va": "bottom"}  # a long name has no room at the side
        long = len(name) > 14
        ax.annotate(
            wrap_title(name, 14),
            (row["seconds"], mean + std if long else mean),
            textcoords="offset points",
            **(above if long else at_side),
        )
    ax.set(xscale="log", xlabel="time per cine (s)", ylabel=heading("psnr_volume"), title="Methods")
    ax.set_xlim(min(times) / 30, 15 * max(times))
    ax.grid(alpha=0.3)


def tables(result: dict) -> str:
    """Write what `bench.run` returned as tables in Markdown.

    Parameters
    ----------
    result
        what `bench.run` returned, also if it was written as JSON and read again

    Returns
    -------
        tables of methods, training measures and cascades, the other numbers in sentences, and the machine
    """
    rows = {row["method"]: row for row in result["methods"]}
    base = rows["bart" if "bart" in rows else "kt_tv"]
    measured = ("psnr_volume", "ssim_volume", "psnr_dynamic")
    methods = [
        [
            NAMES.get(name, name),
            f"{row['seconds'] / base['seconds']:.3g}",
            f"{row['seconds']:.3g}",
            *(score(row[metric], METRICS[metric].digits) for metric in measured),
            "" if row["parameters"] is None else f"{row['parameters']:,}",
            "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        for name, row in rows.items()
    ]
    relative = f"time relative to {NAMES[base['method']]}"
    columns = [
        relative,
        heading("seconds_per_cine"),
        *map(heading, measured),
        "parameters",
        "peak memory (MB)",
    ]
    training = [
        [
            ("+ " if i else "") + row["measure"].replace("_", "-"),
            f"{row['ratio']:.2f}",
            f"{row['samples_per_second']:.3g}",
        ]
        for i, row in enumerate(result["training"])
    ]
    cascades = []
    for number in dict.fromkeys(row["cascades"] for row in result["cascades"]):
        without, with_ = (
            next(r for r in result["cascades"] if r["cascades"] == number and r["checkpointing"] is kept)
            for kept in (False, True)
        )
        memory = [f"{row['peak_bytes'] / 1e6:.1f}" for row in (with_, without)]
        cascades.append([str(number), *memory, f"{with_['seconds'] / without['seconds']:.2f}"])
    lines = [
        render(["method", *columns], methods),
        "",
        render(["training step", "relative to the plain way", "samples per second"], training),
        "",
        render(
            ["cascades", "memory with checkpointing (MB)", "without (MB)", "time with / without"], cascades
        ),
    ]
    made, started = result["phantom"], result["start_up"]
    lines += [
        "",
        f"A phantom takes {made['one_process']:.2f} s in one process, {made['all_processes']:.2f} s in all of them.",
        "Start-up: " + ", ".join(f"`{name}` {seconds:.2f} s" for name, seconds in started.items()) + ".",
        "",
        f"{result['n_cines']} cines of {result['data']}, {'x'.join(map(str, result['shape']))}; {result['machine']}; "
        f"{result['versions']}; {result['date']}{'; quick' if result['quick'] else ''}.",
    ]
    return "\n".join(lines)
