"""Tables of results as Markdown."""

from collections.abc import Iterable
from typing import Any

from .names import COLUMNS, LABELS


def table(
    summaries: dict[str, dict], metrics: Iterable[str] = ("psnr", "ssim", "psnr_dynamic", "psnr_volume")
) -> str:
    """A Markdown table, one line per method: mean ± standard deviation over cines.

    Parameters
    ----------
    summaries
        ``{method: summary}`` with the summaries of `summarise`
    metrics
        the columns

    Returns
    -------
        the table, dB with two decimals, SSIM and NMSE with three or four
    """
    names = {
        "psnr": ("PSNR / dB", ".2f"), "ssim": ("SSIM", ".3f"), "nmse": ("NMSE", ".4f"),
        "psnr_volume": ("volume PSNR / dB", ".2f"), "ssim_volume": ("volume SSIM", ".3f"),
        "psnr_dynamic": ("dynamic PSNR / dB", ".2f"),
    }  # fmt: skip
    metrics = list(metrics)
    lines = [
        "| method | " + " | ".join(names[m][0] for m in metrics) + " |",
        "|---|" + "---:|" * len(metrics),
    ]
    for method, summary in summaries.items():
        cells = [f"{summary[m]['mean']:{names[m][1]}} ± {summary[m]['std']:{names[m][1]}}" for m in metrics]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markdown(ladder: dict[str, Any]) -> str:
    rows = [["method", *(COLUMNS[name][0] for name in measured(ladder)), "s per cine"]]
    rows.append(["---", *["---:"] * (len(rows[0]) - 1)])
    for row in ladder["rows"]:
        values = [number(row.get(name), COLUMNS[name][1]) for name in measured(ladder)]
        rows.append([LABELS.get(row["method"], row["method"]), *values, seconds(row)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def ladder_table(ladder: dict[str, Any]) -> str:
    """Align the results ladder as text: a line per method, mean ± standard deviation over the test cines."""
    rows = [["method", *(COLUMNS[name][0] for name in measured(ladder)), "s / cine"]]
    for row in ladder["rows"]:
        values = [number(row.get(name), COLUMNS[name][1]) for name in measured(ladder)]
        rows.append([LABELS.get(row["method"], row["method"]), *values, seconds(row)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def measured(ladder: dict[str, Any]) -> list[str]:
    return [name for name in COLUMNS if any(name in row for row in ladder["rows"])]


def number(value: dict[str, float] | None, digits: int) -> str:
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}" if value else "–"


def seconds(row: dict[str, Any]) -> str:
    return f"{row['seconds_per_cine']:.3g}" if row.get("seconds_per_cine") is not None else "–"
