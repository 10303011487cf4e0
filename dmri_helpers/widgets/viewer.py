"""The viewer of all notebooks: several cines under one frame slider."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import Image

from .. import plotting
from .live import Live
from .poster import encode_image, error_colors, strip, to_bytes

WIDEST = 16_383
"""Pixels of a side of a WebP image."""


def cine_viewer(
    cines: Mapping[str, Any] | Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    window: tuple[float, float] = (0, 1),
    errors_against: str | None = None,
    error_scale: float = 5,
    frame: int = 0,
    column: int | None = None,
    milliseconds: int = 60,
) -> Live:
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
    milliseconds
        time per frame when playing

    Raises
    ------
    ValueError
        if shapes differ, an index is out of range, the window is empty, the reference is not among the cines, or there
        is not one title for each cine
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
    sprite, step = _sprite(rows)
    name = f"film-{sha256(sprite).hexdigest()[:12]}"
    shape = frames, -(-height // step), -(-width // step)
    settings = {
        "kind": "viewer",
        "titles": list(arrays),
        "shape": shape,
        "cell": _cell(*shape[1:]),
        "frame": frame,
        "column": None if column is None else column // step,
        "step": step,
        "errors": errors,
        "errorText": f"|error| × {error_scale:g}" if errors_against is not None else "",
        "errorMax": f"{(high - low) / error_scale:g}",
        "pause": milliseconds,
        "black": low,
        "white": high,
        "sprite": name,
    }
    text = (
        f"{len(arrays)} cines of {frames} frames, {height} x {width} pixels: "
        + ", ".join(arrays)
        + (f"; errors against {errors_against}" if errors_against is not None else "")
        + (f"; every {step} x {step} pixels shown as one" if step > 1 else "")
    )
    later = (frame + frames // 2) % frames
    shown = [(title, rows[n][frame], f"frame {frame}") for n, title in enumerate(arrays)]
    below = [
        None if n is None else ("", error_colors()[rows[n][frame]], f"frame {frame}, |error|") for n in errors
    ]
    films = [("", rows[n][later], f"frame {later}") for n in range(len(arrays))]
    return Live(settings, {name: sprite}, strip([shown, below if any(below) else films], size=132), text)


def _sprite(rows: list[np.ndarray]) -> tuple[bytes, int]:
    """All frames in one WebP image, with a row for each cine and a column for each frame.

    Where that image is larger than the format allows, the resolution is halved. Returns the image and the number of
    pixels shown as one.
    """
    frames, height, width = rows[0].shape
    step = 1
    while max(_cell(1, width // step)[1] * frames, _cell(height // step, 1)[0] * len(rows)) > WIDEST:
        step *= 2
    tall, wide = _cell(-(-height // step), -(-width // step))
    sheet = Image.new("L", (frames * wide, len(rows) * tall))
    for place, row in enumerate(rows):
        for at, image in enumerate(row):
            small = np.asarray(Image.fromarray(image).reduce(step))
            filled = np.pad(small, ((0, tall - small.shape[0]), (0, wide - small.shape[1])), mode="edge")
            sheet.paste(Image.fromarray(filled), (at * wide, place * tall))
    return encode_image(sheet, "WEBP", quality=80), step


def _cell(height: int, width: int) -> tuple[int, int]:
    """Pixels of a frame in the sprite, a multiple of 16, the block of the format, so that no frame bleeds."""
    return -(-height // 16) * 16, -(-width // 16) * 16
