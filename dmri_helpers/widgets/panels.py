"""An explorer shows how a picture depends on its settings: some panels in a row, with a slider for every setting.

With a kernel it is an ipywidgets view that computes every picture anew. Without one it is HTML that holds the pictures
of a small grid of settings. For print it is the picture of the first settings. `explorers` has those of the course.
"""

import base64
import html
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .page import BUDGET, asset, data_uri, encode_fast, encode_image, font, page_html

_STYLE = asset("explorer.css")


@dataclass(frozen=True)
class Panel:
    """One of the pictures that an explorer shows side by side."""

    title: str
    """text above the picture"""
    below: str
    """text below the picture, which names the axes"""
    pixels: np.ndarray
    """the picture as bytes, gray ``(h, w)`` or coloured ``(h, w, 3)``"""

    @property
    def aspect(self) -> float:
        """Width over height on the screen: that of the picture, but 1 if it is very thin, as some masks are."""
        height, width = self.pixels.shape[:2]
        return round(width / height, 3) if 0.3 < width / height < 3 else 1.0


_SCRIPT = asset("explorer.js")


class Explorer:
    """The object that :func:`explorer` returns and that a notebook displays in the best form it can show."""

    def __init__(
        self,
        draw: Callable[..., tuple[str, list[Panel]]],
        controls: Mapping[str, Sequence[Any]],
        start: Mapping[str, Any],
        grid: Mapping[str, Sequence[Any]],
    ) -> None:
        import ipywidgets

        self._draw = draw
        sentence, panels = draw(**start)  # may raise: impossible settings to start from are an error
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "420px"}}
        self.controls = {}
        for name, values in controls.items():
            kind = ipywidgets.Dropdown if isinstance(start[name], str) else ipywidgets.SelectionSlider
            options = [(_word(value), value) for value in values]
            self.controls[name] = kind(options=options, value=start[name], description=_label(name), **wide)
        self.picture = ipywidgets.HTML(panels_html(sentence, panels))
        self.view = ipywidgets.VBox([*self.controls.values(), self.picture])
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        self.text = f"{sentence}: " + ", ".join(panel.title for panel in panels)
        poster = _poster(sentence, panels)
        self.png = encode_image(poster, "PNG")
        grid = {name: [*grid.get(name, [start[name]])] for name in controls}
        self.html = _static(draw, grid, start, poster, self.text)

    def _redraw(self, change: Any = None) -> None:
        try:
            self.picture.value = panels_html(
                *self._draw(**{name: control.value for name, control in self.controls.items()})
            )
        except ValueError as problem:
            self.picture.value = f'<b role="alert">Not possible: {html.escape(str(problem))}</b>'

    def __repr__(self) -> str:
        return f"sliders for {', '.join(map(_label, self.controls))}; {self.text}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            **self.view._repr_mimebundle_(),
            "text/html": self.html,
            "image/png": base64.b64encode(self.png).decode("ascii"),
            "text/plain": repr(self),
        }


def explorer(
    draw: Callable[..., tuple[str, list[Panel]]],
    controls: Mapping[str, Sequence[Any]],
    start: Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
) -> Explorer:
    """Make an explorer: a slider or a menu for every setting, and the pictures that follow from the settings.

    Parameters
    ----------
    draw
        ``draw(**settings)`` -> a sentence about the picture, and its panels. If it raises a ValueError, the reader sees
        the message in place of the picture.
    controls
        setting -> the values that a slider (numbers) or a menu (words) offers
    start
        setting -> the value to start from
    grid
        setting -> the values that the page without a kernel offers; a setting that is not named keeps its start value

    Returns
    -------
        an object that the notebook displays, of at most `page.BUDGET` bytes

    Raises
    ------
    ValueError
        if the settings to start from are impossible or not among the values, or the grid is too large for a page
    """
    for name, values in [*controls.items(), *grid.items()]:
        if start[name] not in values:
            raise ValueError(f"{_label(name)}: {start[name]!r} to start from is not among {list(values)}")
    return Explorer(draw, controls, start, grid)


def _label(name: str) -> str:
    return name.replace("center", "centre").replace("_", " ")


def _word(value: Any) -> str:
    return "∞" if value == np.inf else value if isinstance(value, str) else f"{value:g}"


def panels_html(sentence: str, panels: Sequence[Panel]) -> str:
    """Write the sentence and the panels as HTML, for the live view."""
    figures = "".join(
        f'<figure style="margin:0;flex:0 1 230px"><figcaption><b>{html.escape(panel.title)}</b></figcaption>'
        f'<img alt="{html.escape(panel.title)}" '
        f'style="width:100%;aspect-ratio:{panel.aspect};image-rendering:pixelated" '
        f'src="{data_uri(encode_fast(Image.fromarray(panel.pixels)), "png")}">{html.escape(panel.below)}</figure>'
        for panel in panels
    )
    return (
        f'<div>{html.escape(sentence)}</div><div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
    )


def _poster(sentence: str, panels: Sequence[Panel]) -> Image.Image:
    """Draw the sentence and the panels in a row, for print."""
    size, gap = 176, 10
    wide = len(panels) * (size + gap) + gap
    lines = textwrap.wrap(sentence, wide // 8)
    top = 26 + 18 * len(lines)
    canvas = Image.new("RGB", (wide, top + size + 22), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, 2), "\n".join(lines), "black", font(13))
    for n, panel in enumerate(panels):
        left = gap + n * (size + gap)
        pen.text((left, top - 20), panel.title, "black", font(13))
        high = min(size, round(size / panel.aspect))
        shown = Image.fromarray(panel.pixels).convert("RGB")
        canvas.paste(shown.resize((round(high * panel.aspect), high), Image.Resampling.BOX), (left, top))
        pen.text((left, top + size + 3), panel.below, "black", font(12))
    return canvas.quantize(48, dither=Image.Dither.NONE)


def _static(
    draw: Callable, grid: Mapping[str, list], start: Mapping[str, Any], poster: Image.Image, text: str
) -> str:
    """Write the page for readers without a kernel, with the picture of every combination of the values of the grid."""
    states, images = [], {}
    for values in product(*grid.values()):
        try:
            sentence, panels = draw(**dict(zip(grid, values, strict=True)))
        except ValueError as problem:
            sentence, panels = f"Not possible: {problem}", []
        shown = []
        for panel in panels:  # a picture that occurs several times is stored once
            key = panel.pixels.shape, panel.pixels.tobytes()
            number, _ = images.setdefault(key, (len(images), panel.pixels))
            shown.append([panel.title, panel.below, number, panel.aspect])
        states.append({"told": sentence, "panels": shown})
    controls = [
        {"name": _label(name), "words": list(map(_word, values)), "start": values.index(start[name]),
         "slides": not isinstance(values[0], str)}
        for name, values in grid.items() if len(values) > 1
    ]  # fmt: skip
    settings = {"controls": controls, "states": states, "images": []}
    jpeg = encode_image(poster.convert("RGB"), "JPEG", quality=50)
    page = partial(page_html, "dmri-explorer", _STYLE, _SCRIPT, poster=jpeg, text=text)
    taken = len(page(settings=settings)) + len(encode_image(poster, "PNG")) * 4 // 3 + 2 * len(text)
    return page(
        settings=settings
        | {"images": _within([pixels for _, pixels in images.values()], BUDGET - 1_000 - taken)}
    )


def _within(pictures: list[np.ndarray], budget: int) -> list[str]:
    """Encode pictures as data URIs that fit the budget in bytes: at lower quality, then at lower resolution."""

    def encoded(step: int, quality: int) -> list[str]:
        uris = []
        for pixels in pictures:
            image = Image.fromarray(pixels)
            sharp = pixels.ndim == 2 and len(np.unique(pixels)) < 3  # masks and curves have two gray values
            image = image if sharp else image.reduce(step)
            uris.append(data_uri(encode_image(image, "WEBP", quality=quality, lossless=sharp), "webp"))
        return uris if sum(map(len, uris)) + 3 * len(uris) <= budget else []

    for step in (1, 2, 4):
        if smallest := encoded(step, 20):
            return next(filter(None, (encoded(step, quality) for quality in (75, 55, 35))), smallest)
    raise ValueError(f"{len(pictures)} pictures do not fit one explorer; offer fewer settings in its grid")
