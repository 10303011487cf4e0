"""Tables of results, as Markdown, aligned text or HTML.

A score is what `metrics.summarise` gives of a metric: ``{"mean", "std", "n"}``. What it cannot know is NaN,
or null after a way through JSON.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from .names import METRICS, NAMES, WORLDS, heading

LADDER = ("psnr", "ssim", "psnr_dynamic", "psnr_volume", "seconds_per_cine")
TIME = "seconds_per_cine"
RUNG = ("psnr_volume", "ssim_volume", TIME)


def table(
    summaries: Mapping[str, Mapping[str, Any]], metrics: Iterable[str] = LADDER, style: str = "pipe"
) -> str:
    """A table with one line per method: mean ± standard deviation (n - 1) over cines, and n.

    Parameters
    ----------
    summaries
        ``{method: summary}`` with the summaries of `metrics.summarise`; ``seconds_per_cine`` is a number
    metrics
        the columns; one that no method has is left out
    style
        of `render`
    """
    return ladder({"": summaries}, metrics, style)


def ladder(
    worlds: Mapping[str, Mapping[str, Mapping[str, Any]]],
    metrics: Iterable[str] = RUNG,
    style: str = "pipe",
) -> str:
    """A table with one line per method, and one block of columns per world.

    Parameters
    ----------
    worlds
        ``{world: {method: summary}}``, summaries as for `table`; worlds are spelled as `names.WORLDS` says, and the
        name ``""`` is not written. A method that was not measured in a world has dashes there
    metrics
        the columns of each block; one that no method has in any world is left out. The time stands once, at the end,
        and is that of the first world
    style
        of `render`
    """
    return render(*cells(worlds, metrics), style)


def cells(
    worlds: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Iterable[str] = RUNG
) -> tuple[list[str], list[list[str]]]:
    """The headings and the rows of `ladder`.

    A cell says its own n where fewer cines count, such as for the dynamic PSNR of a cine in which nothing moves.
    """
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for summaries in worlds.values():
        for method, summary in summaries.items():
            methods.setdefault(method, []).append(summary)
    shown = [name for name in metrics if any(name in one for found in methods.values() for one in found)]
    columns = [(world, name) for world in worlds for name in shown if name != TIME]
    columns += [(world, TIME) for world in list(worlds)[:1] if TIME in shown]
    counts = {method: max(map(_largest_n, found)) for method, found in methods.items()}
    counted = any(counts.values())
    rows = []
    for method in methods:
        row = [NAMES.get(method, method)]
        for world, name in columns:
            value = worlds[world].get(method, {}).get(name)
            n = value.get("n") if isinstance(value, Mapping) else None
            fewer = f" (n = {n})" if n and n < counts[method] else ""
            row.append(score(value, METRICS[name].digits) + fewer)
        rows.append([*row, *([str(counts[method] or "–")] if counted else [])])
    return ["method", *(_heading(*column) for column in columns), *(["n"] if counted else [])], rows


def _heading(world: str, name: str) -> str:
    named = world and name != TIME
    return f"{heading(name)}, {WORLDS.get(world, world)}" if named else heading(name)


def render(headings: Sequence[str], rows: Iterable[Sequence[str]], style: str = "pipe", left: int = 1) -> str:
    """Align a table of texts.

    Parameters
    ----------
    headings, rows
        one text per column
    style
        a format of `tabulate`: ``pipe`` is Markdown, ``simple`` aligned text, ``unsafehtml`` HTML
    left
        so many columns are aligned to the left, the others to the right
    """
    sides = ["left"] * left + ["right"] * (len(headings) - left)
    return tabulate(rows, headings, style, disable_numparse=True, colalign=sides)


def of_lines(lines: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown of dictionaries, a line each; their keys are the headings."""
    return tabulate(lines, "keys", "github", disable_numparse=True)


def score(value: Mapping[str, Any] | float | None, digits: int) -> str:
    """Mean ± standard deviation with so many decimals, or a plain number with so many significant digits."""
    if isinstance(value, Mapping):
        mean, std = value["mean"], value.get("std")
        spread = f" ± {std:.{digits}f}" if _known(std) else ""
        return f"{mean:.{digits}f}{spread}" if _known(mean) else "–"
    return f"{value:.{digits}g}" if _known(value) else "–"


def half_width(value: Mapping[str, Any]) -> float:
    """The standard deviation of a score, for an error bar: 0 where one cine alone has none."""
    return value["std"] if _known(value.get("std")) else 0.0


def _known(number: float | None) -> bool:
    return number is not None and not math.isnan(number)


def _largest_n(summary: Mapping[str, Any]) -> int:
    return max((value.get("n", 0) for value in summary.values() if isinstance(value, Mapping)), default=0)
