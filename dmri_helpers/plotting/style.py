"""The style that all figures of the course share: colours, line styles, sizes and titles; and how a figure is saved."""

import functools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..results.files import whole

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
MAP = "viridis"
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


def house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a drawing function draw in the style of the course, and take its figure away from pyplot."""

    @functools.wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with plt.rc_context(STYLE):
            open_before = set(plt.get_fignums())
            try:
                figure = draw(*args, **kwargs)
                # Ticks and layout are made at the first draw. It has to happen while this style is set, and only
                # once, so that the same figure is always saved as the same bytes.
                figure.draw_without_rendering()
                figure.set_layout_engine("none")
            finally:
                for number in set(plt.get_fignums()) - open_before:
                    plt.close(number)
        return figure

    return styled


def wrap_title(title: str, width: int = 22) -> str:
    return "\n".join(textwrap.fill(line, width) for line in title.splitlines())


def math_title(label: str) -> str:
    """Make a title from an axis label: without the unit, and with a capital unless a symbol comes first (``k-t``)."""
    title = label.split(" (")[0]
    return title if title[1:2] == "-" else title[:1].upper() + title[1:]


def image_axes(ax: Axes, title: str, x: str = "x (pixel)", y: str = "y (pixel)") -> None:
    ax.set_title(wrap_title(title))
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.spines[:].set_visible(False)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (150 dpi), whole or not at all, making its folder; returns the path."""
    path = Path(path)
    with whole(path) as file:
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
    return path
