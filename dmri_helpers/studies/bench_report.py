"""The figure and the tables of the bench."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..plotting.style import BLUE, house_style, wrap_title
from ..results.names import METRICS, NAMES, heading
from ..results.tables import half_width, render, score


@house_style
def figure(result: Mapping[str, Any]) -> Figure:
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
        name, mean = NAMES.get(row["method"], row["method"]), row["psnr_volume"]["mean"]
        std = half_width(row["psnr_volume"])
        quality.errorbar(row["seconds"], mean, yerr=std, color=BLUE, marker="o", markersize=8, capsize=3)
        near = [
            (other["seconds"], other["psnr_volume"]["mean"])
            for other in result["methods"]
            if 0.5 < other["seconds"] / row["seconds"] < 2 and abs(other["psnr_volume"]["mean"] - mean) < 2
        ]
        slower, better = (max(values) for values in zip(*near, strict=True))
        if len(name) > 14:  # above or below its bar, away from the neighbour
            side = 1 if mean == better else -1
            place, offset = mean + side * std, (0, 4 * side)
            align = {"ha": "center", "va": "bottom" if side > 0 else "top"}
        else:  # to its left or right
            side = -1 if row["seconds"] < slower else 1
            place, offset = mean, (9 * side, 0)
            align = {"ha": "left" if side > 0 else "right", "va": "center"}
        label = wrap_title(name, 14)
        quality.annotate(label, (row["seconds"], place), offset, textcoords="offset points", **align)
    quality.set(xscale="log", xlabel="time per cine (s)", ylabel=heading("psnr_volume"), title="Methods")
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


def tables(result: dict) -> str:
    """What `run` measured, as Markdown: ratios first.

    Parameters
    ----------
    result
        of `run`, also after a way through JSON

    Returns
    -------
        tables of methods, training measures, cascades and the rest, and where they were measured
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
        "From a moved slider of the mask explorer to its picture: "
        + ", ".join(
            f"{name.replace('_', ' ')} {1e3 * seconds:.0f} ms" for name, seconds in result["sliders"].items()
        )
        + ".",
        "Start-up: " + ", ".join(f"`{name}` {seconds:.2f} s" for name, seconds in started.items()) + ".",
        "",
        f"{result['n_cines']} cines of {result['data']}, {'x'.join(map(str, result['shape']))}; {result['machine']}; "
        f"{result['versions']}; {result['date']}{'; quick' if result['quick'] else ''}.",
    ]
    return "\n".join(lines)
