"""What the viewer and the explorers share: pictures as bytes, and a self-contained piece of HTML.

The HTML holds its own style and script and loads nothing, so that it works in a notebook, in the site and on disk. A
picture, the poster, stands in it for programs that run no scripts; the script replaces it.
"""

import base64
import hashlib
import html
import io
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageFont

from .. import plotting

BUDGET = 300_000
"""Bytes that one slider may take in a notebook, its HTML, its PNG and its text together."""


def asset(name: str) -> str:
    """Read a script or a style sheet of this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


@lru_cache
def error_colors() -> np.ndarray:
    """Return the colour map of errors as bytes, shape ``(256, 3)``."""
    return (matplotlib.colormaps[plotting.ERROR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale values to bytes: 0 at ``low`` and below, 255 at ``high`` and above."""
    scaled = np.nan_to_num((values - low) / (high - low))
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def encode_image(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


_STYLE = asset("page.css")
_SCRIPT = asset("page.js")


def page_html(
    kind: str, style: str, script: str, settings: Mapping[str, Any], poster: bytes, text: str
) -> str:
    """Write a slider as a self-contained piece of HTML; its id is a hash of its settings."""
    data = json.dumps(settings, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
    name = "dmri-" + hashlib.sha256(data.encode()).hexdigest()[:12]
    code = (
        _SCRIPT.replace("BODY", script).replace("KIND", kind).replace("#ID", f"#{name}").replace("DATA", data)
    )
    return (
        f'<div class="{kind}" id="{name}">'
        f'<img class="dmri-poster" src="{data_uri(poster, "jpeg")}" alt="{html.escape(text)}">'
        f"<style>{(_STYLE + style).replace('#ID', f'#{name}')}</style><script>{code}</script></div>"
    )


def encode_fast(image: Image.Image) -> bytes:
    """Encode an image as PNG quickly: for the live view, where the size does not matter."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
