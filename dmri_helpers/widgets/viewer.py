"""The viewer of all notebooks: several cines under one frame slider, as HTML and as a strip for print."""

import base64
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .. import plotting
from .page import BUDGET, asset, data_uri, encode_image, error_colors, font, page_html, to_bytes

_STYLE = asset("viewer.css")
_SCRIPT = asset("viewer.js")


class CineViewer:
    """The object that :func:`cine_viewer` returns; a notebook displays it as HTML, as a PNG strip or as text.

    The same cines give the same bytes.
    """

    def __init__(self, text_html: str, image_png: bytes, text_plain: str) -> None:
        self.html, self.png, self.text = text_html, image_png, text_plain

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/html": self.html,
            "image/png": base64.b64encode(self.png).decode("ascii"),
            "text/plain": self.text,
        }


def cine_viewer(
    cines: Mapping[str, Any] | Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    window: tuple[float, float] = (0, 1),
    errors_against: str | None = None,
    error_scale: float = 5,
    frame: int = 0,
    column: int | None = None,
    zoom: float | None = None,
    milliseconds: int = 60,
) -> CineViewer:
    """Show several cines under one frame slider, with a play button, level and window, and a profile over time.

    Parameters
    ----------
    cines
        title -> cine ``(t, y, x)`` or ``(1, t, y, x)``, tensor or array, complex or real, all of one shape; or a
        sequence of such cines
    titles
        the titles, if the cines are a sequence
    window
        magnitudes shown as black and white at first; the reader can change them
    errors_against
        title of the reference; below every other cine its error ``|x - reference|`` is shown
    error_scale
        errors are shown this many times brighter than the images
    frame
        the frame shown first
    column
        readout position whose y-t profile is shown below every cine, with a slider of its own; None shows no profile
    zoom
        screen pixels per image pixel; None takes the least whole number that makes a panel 220 pixels wide
    milliseconds
        time per frame when playing

    Returns
    -------
        an object that the notebook displays, of at most `page.BUDGET` bytes

    Raises
    ------
    ValueError
        if shapes differ, an index is out of range, the window is empty, the reference is not among the cines, there is
        not one title for each cine, or the cines are too many for one viewer
    """
    if not isinstance(cines, Mapping):
        if titles is None or len(set(titles)) != len(cines):
            raise ValueError(f"expected a title of its own for each of {len(cines)} cines, found {titles}")
        cines = dict(zip(titles, cines, strict=True))
    arrays = plotting.same_cines(cines)
    frames, height, width = next(iter(arrays.values())).shape
    frame = plotting.check_index("frame", frame, frames)
    if column is not None:
        column = plotting.check_index("column", column, width)
    low, high = map(float, window)
    if not low < high:
        raise ValueError(f"expected a window (black, white) with black < white, found {window}")
    if not error_scale > 0:
        raise ValueError(f"expected error_scale > 0, found {error_scale}")
    if errors_against is not None and errors_against not in arrays:
        raise ValueError(f"errors_against {errors_against!r} is not among the cines {list(arrays)}")

    rows = [to_bytes(cine, low, high) for cine in arrays.values()]
    errors: list[int | None] = []
    for title, cine in arrays.items():
        compared = errors_against is not None and title != errors_against
        errors.append(len(rows) if compared else None)
        if compared:
            rows.append(to_bytes(np.abs(cine - arrays[errors_against]), 0, (high - low) / error_scale))

    strip = _strip(rows, list(arrays), errors, frame)
    png, poster = encode_image(strip, "PNG"), encode_image(strip.convert("RGB"), "JPEG", quality=50)
    sprite, rows, step = _sprite(rows, BUDGET - 16_000 - (len(png) + len(poster)) * 4 // 3)
    height, width = rows[0].shape[1:]
    error_text = f"|error| × {error_scale:g}" if errors_against is not None else ""
    display = round(step * width * zoom) if zoom else width * -(-220 // width)
    settings = {
        "titles": list(arrays),
        "frames": frames,
        "height": height,
        "width": width,
        "cell": _cell(rows[0]),
        "frame": frame,
        "column": None if column is None else column // step,
        "step": step,
        "errors": errors,
        "errorText": error_text,
        "errorMax": f"{(high - low) / error_scale:g}",
        "display": display,
        "pause": milliseconds,
        "black": low,
        "white": high,
        "sprite": data_uri(sprite, "webp"),
        "colors": base64.b64encode(error_colors().tobytes()).decode("ascii") if errors_against else "",
    }
    text = (
        f"{len(arrays)} cines of {frames} frames, {height} x {width} pixels: "
        + ", ".join(arrays)
        + (f"; errors against {errors_against}" if errors_against is not None else "")
        + (f"; every {step} x {step} pixels shown as one" if step > 1 else "")
    )
    style = _STYLE.replace("COMPACT", str(len(arrays) * 228 - 9))
    page = page_html("dmri-slider", style, _SCRIPT, settings, poster, text)
    return CineViewer(page, png, text)


def _sprite(rows: list[np.ndarray], budget: int) -> tuple[bytes, list[np.ndarray], int]:
    """Put all frames into one WebP image, with a row for each cine and a column for each frame.

    The quality is the best that the budget, in bytes of the page, allows. If even the lowest quality is too large, the
    resolution is halved until it fits. Returns the image, the rows it shows and the number of pixels shown as one.
    """
    step = 1
    while True:
        cell = _cell(rows[0])
        if cell[1] * rows[0].shape[0] < 16_384 and cell[0] * len(rows) < 16_384:  # the format's limit
            sheet = Image.fromarray(
                np.concatenate(
                    [
                        np.pad(
                            row,
                            ((0, 0), (0, cell[0] - row.shape[1]), (0, cell[1] - row.shape[2])),
                            mode="edge",
                        )
                        .transpose(1, 0, 2)
                        .reshape(cell[0], -1)
                        for row in rows
                    ]
                )
            )
            smallest = encode_image(sheet, "WEBP", quality=20)
            if len(smallest) * 4 / 3 <= budget:
                for quality in (80, 65, 50, 35):
                    content = encode_image(sheet, "WEBP", quality=quality)
                    if len(content) * 4 / 3 <= budget:
                        return content, rows, step
                return smallest, rows, step
        if min(rows[0].shape[1:]) < 32:
            raise ValueError(
                f"{len(rows)} panels of {rows[0].shape[0]} frames do not fit one slider; show fewer"
            )
        step *= 2
        rows = [np.asarray([Image.fromarray(image).reduce(2) for image in row]) for row in rows]


def _cell(row: np.ndarray) -> tuple[int, int]:
    """Height and width of a frame in the sprite: multiples of 16, the block of the format, so that no frame bleeds."""
    return -(-row.shape[1] // 16) * 16, -(-row.shape[2] // 16) * 16


def _strip(
    rows: Sequence[np.ndarray], titles: Sequence[str], errors: Sequence[int | None], frame: int
) -> Image.Image:
    """Draw a column for each cine: the chosen frame, and below it its error or else the frame half a cycle later."""
    frames, height, width = rows[0].shape
    wide, high = 132, max(1, round(132 * height / width))
    compared = any(place is not None for place in errors)
    later = (frame + frames // 2) % frames
    lines = [(frame, list(range(len(titles))))] + (
        [(frame, errors)] if compared else [(later, range(len(titles)))]
    )
    names = [textwrap.wrap(title, 18) or [""] for title in titles]
    top = 6 + 16 * max(map(len, names))
    canvas = Image.new("RGB", (len(titles) * (wide + 6) + 6, top + len(lines) * (high + 22)), "white")
    pen = ImageDraw.Draw(canvas)
    for column, name in enumerate(names):
        pen.text((6 + column * (wide + 6), 4), "\n".join(name), "black", font(13))
    for line, (at, places) in enumerate(lines):
        for column, place in enumerate(places):
            if place is None:
                continue
            corner = (6 + column * (wide + 6), top + line * (high + 22))
            is_error = place >= len(titles)
            values = Image.fromarray(rows[place][at]).resize((wide, high), Image.Resampling.BOX)
            levels = np.asarray(values) // 8 * 8  # 32 levels: half the bytes, no visible steps
            picture = Image.fromarray(error_colors()[levels] if is_error else levels)
            canvas.paste(picture.convert("RGB"), corner)
            pen.text(
                (corner[0], corner[1] + high + 2), f"frame {at}" + ", |error|" * is_error, "black", font(12)
            )
    return canvas.quantize(256, dither=Image.Dither.NONE)
