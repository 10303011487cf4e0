"""The drawing of a network, block by block (notebook 03)."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .style import house_style, wrap_title


@house_style
def architecture(blocks: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a network from what was recorded when it ran.

    Parameters
    ----------
    blocks
        one dictionary per stage, in the order in which they ran:

        ``name``        unique text;
        ``label``       text in the box (default the name);
        ``shape``       shape of its output without the batch, ``(channels, y, x)`` or ``(channels, t, y, x)``;
        ``parameters``  number of its parameters (default 0, which is not written);
        ``level``       how often the image was halved (default 0); a deeper level is drawn lower;
        ``branch``      stages of one branch share a lane with this heading (default one lane for all);
        ``inputs``      names of the stages whose output it reads (default the one before it in its branch);
        ``skips``       names of the stages joined to it by a skip connection (default none)

    Raises
    ------
    ValueError
        if there are no blocks, two have one name, or an input or a skip is not the name of an earlier block
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
    """Find the place of every block, the arrows (source, target, is a skip), and the place of every branch's heading.

    A stage stands one column to the right of the stage it reads, or about half a column where the level changes.
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
        wrap_title(str(block.get("label", block["name"])), 15),
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
