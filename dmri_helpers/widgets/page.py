"""Self-contained HTML for a slider: pictures as bytes, a poster for whoever runs no scripts, script and style."""

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
"""Bytes one slider may take in a notebook, all its forms together."""


def asset(name: str) -> str:
    """A script or style sheet of this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


@lru_cache
def error_colors() -> np.ndarray:
    """The error map as ``(256, 3)`` bytes."""
    return (matplotlib.colormaps[plotting.ERROR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
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
    """Self-contained HTML: a poster for whoever runs no scripts, and a script that replaces it."""
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
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
