"""One widget for all sliders: `live.js`, the module of the page, and what it asks for, its assets.

With a kernel the module is an anywidget, and the kernel sends the assets. Without one `shim.js` starts the same module
in a page, where every asset is a script beside the shim, loaded when it is needed. A picture, the poster, stands there
for print, for readers without scripts, and in the notebook's file.
"""

import base64
import gzip
import html
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from ..results.files import write
from .poster import encode_image, error_colors

HERE = Path(__file__).parent
FOLDER = "DMRI_LIVE"
"""Name of the environment variable with the folder into which every widget writes its assets, as scripts of a page."""
PIECE = 384_000
"""Bytes of an asset in one script."""
NETWORKS = "cascades_5", "unrolled"
"""Shipped networks that the page can run: cascades whose regularisers have one residual block."""


@cache
def module() -> str:
    """The module of the page: physics, worker, files and the widgets themselves."""
    parts = [_text(f"{name}.js") for name in ("physics", "worker", "files")]
    return "\n".join([*parts, f"const ERROR_COLORS = {error_colors().ravel().tolist()};", _text("live.js")])


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def assets() -> dict[str, Path | bytes]:
    """What every page may ask for, as bytes or where it lies: the module, ONNX Runtime, and the trained networks."""
    packed = {name: HERE / "runtime" / f"{name}.gz" for name in ("ort.mjs", "ort.wasm")}
    trained = {name: HERE.parent / "weights" / name / "best.safetensors" for name in NETWORKS}
    return {"module": module().encode(), **packed, "residual": HERE / "runtime" / "residual.onnx", **trained}


def scripts(content: Mapping[str, bytes | Path]) -> dict[str, bytes]:
    """Assets as scripts, which a page on disk can load from beside it: name of the file -> content.

    A large one comes in pieces, of which each names the next: a browser compiles a script at a stretch, and the page
    should not stand still meanwhile.
    """
    files = {}
    for name, asset in content.items():
        data = asset.read_bytes() if isinstance(asset, Path) else asset
        pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        names = [name, *(f"{name}.{n}" for n in range(1, len(pieces)))]
        for piece, own, after in zip(pieces, names, [*names[1:], ""], strict=True):
            text = base64.b64encode(piece).decode("ascii")
            files[f"{own}.js"] = f'dmriAsset("{name}", "{text}", "{after}");\n'.encode()
    return files


def page_files() -> dict[str, bytes]:
    """Name -> content of all that a page needs beside it: shim, style and the assets of every page."""
    return {"shim.js": _text("shim.js").encode(), "live.css": _text("live.css").encode(), **scripts(assets())}


def packed(array: np.ndarray) -> bytes:
    return gzip.compress(np.ascontiguousarray(array).tobytes(), mtime=0)


class Live(anywidget.AnyWidget):
    """The object that a notebook displays: as a widget, as HTML for a page, as a picture or as text.

    Parameters
    ----------
    settings
        what the module is told: its ``kind`` and what that needs
    own
        the assets of this widget alone
    poster
        the picture for print and for readers without scripts
    text
        the same in words
    """

    _esm = module()
    _css = _text("live.css")
    settings = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self, settings: Mapping[str, Any], own: Mapping[str, bytes], poster: Image.Image, text: str
    ) -> None:
        super().__init__(settings=dict(settings), state=dict(settings.get("start", {})))
        self.own, self.text = own, text
        self.png = encode_image(poster, "PNG")
        picture = base64.b64encode(encode_image(poster.convert("RGB"), "WEBP", quality=60)).decode("ascii")
        said = html.escape(json.dumps(self.settings, ensure_ascii=True))
        self.html = Template(_text("static.html")).substitute(
            settings=said, poster=picture, text=html.escape(text)
        )
        self.on_msg(self._answer)
        if folder := os.environ.get(FOLDER):
            for name, content in scripts(own).items():
                write(Path(folder) / name, content)

    def _answer(self, _: Any, message: dict[str, str], __: Any) -> None:
        content = {**assets(), **self.own}.get(message.get("want", ""))
        if content is not None:
            data = content.read_bytes() if isinstance(content, Path) else content
            self.send({"name": message["want"]}, [data])

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        view, *_ = super()._repr_mimebundle_(**options)
        return {
            **view,
            "text/html": self.html,
            "image/png": base64.b64encode(self.png).decode("ascii"),
            "text/plain": self.text,
        }
