"""Pictures for readers without scripts and for print: titled panels in rows."""

import io
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from .. import plotting

Panel = tuple[str, np.ndarray, str]
"""Title, pixels as bytes (gray ``(h, w)`` or coloured ``(h, w, 3)``), and the line below."""


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


@lru_cache
def error_colors() -> np.ndarray:
    """Return the colour map of errors as bytes, shape ``(256, 3)``."""
    return (matplotlib.colormaps[plotting.ERROR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def to_bytes(values: np.ndarray, low: float = 0, high: float = 1) -> np.ndarray:
    """Scale values to bytes: 0 at ``low`` and below, 255 at ``high`` and above."""
    scaled = np.nan_to_num((values - low) / (high - low))
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def error_image(image: np.ndarray, truth: np.ndarray, brighter: float) -> np.ndarray:
    """The error of an image in the colours of errors."""
    return error_colors()[to_bytes(np.abs(image - truth), 0, 1 / brighter)]


def logarithmic(kspace: np.ndarray, peak: float) -> np.ndarray:
    """Scale the magnitude of k-space to bytes, with 100 dB from black to white."""
    return to_bytes(20 * np.log10(np.maximum(kspace / peak, 1e-9)), -100, 0)


def encode_image(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def strip(rows: Sequence[Sequence[Panel | None]], sentence: str = "", size: int = 150) -> Image.Image:
    """Draw rows of panels, each as wide as the others, below a sentence; None leaves a place empty."""
    wide, gap = max(map(len, rows)) * (size + 6) + 6, 6
    lines = textwrap.wrap(sentence, wide // 8)
    heights = [max(min(size, size * p[1].shape[0] // p[1].shape[1]) for p in row if p) for row in rows]
    names = [[textwrap.wrap(panel[0], size // 7) if panel else [] for panel in row] for row in rows]
    tops = [16 * max(map(len, row)) + 4 for row in names]
    canvas = Image.new(
        "RGB", (wide, 18 * len(lines) + sum(heights) + sum(tops) + 20 * len(rows) + 4), "white"
    )
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, 2), "\n".join(lines), "black", _font(13))
    top = 18 * len(lines)
    for row, texts, high, above in zip(rows, names, heights, tops, strict=True):
        for n, (panel, name) in enumerate(zip(row, texts, strict=True)):
            if panel is None:
                continue
            left = gap + n * (size + gap)
            pen.text((left, top + 2), "\n".join(name), "black", _font(13))
            levels = panel[1] // 8 * 8 if panel[1].ndim == 2 else panel[1]  # 32 gray levels: half the bytes
            shown = Image.fromarray(levels).resize((size, high), Image.Resampling.BOX)
            canvas.paste(shown.convert("RGB"), (left, top + above))
            pen.text((left, top + above + high + 2), panel[2], "black", _font(12))
        top += above + high + 20
    return canvas.quantize(256, dither=Image.Dither.NONE)
