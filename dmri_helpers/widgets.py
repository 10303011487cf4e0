"""Sliders that live in a notebook, in a page on disk and on paper.

Both widgets hand the notebook several forms of themselves and the reader's program takes the best it can
show: :func:`frame_slider` is self-contained HTML (one sprite image and a little JavaScript, nothing is
fetched) and a PNG strip; :func:`mask_explorer` is live with a kernel and a picture without.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from . import plotting

BUDGET = 300_000
"""Bytes one slider may take in a notebook, all its forms together."""


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


@lru_cache
def _error_colors() -> np.ndarray:
    """The error map as ``(256, 3)`` bytes."""
    return (matplotlib.colormaps[plotting.ERROR_MAP](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = np.nan_to_num((values - low) / (high - low))
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return buffer.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


_STYLE = """
#ID{max-width:100%;color:inherit;font:14px/1.4 system-ui,sans-serif;container-type:inline-size}
#ID .dmri-poster{max-width:100%;background:#fff}
#ID .dmri-panels{display:grid;gap:8px;grid-template-columns:repeat(var(--n),minmax(0,var(--w)))}
#ID figure{margin:0;min-width:0}
#ID figcaption{font-weight:600;min-height:1.4em;overflow-wrap:anywhere}
#ID canvas{display:block;width:100%;margin:0 0 4px;background:#000;image-rendering:pixelated}
#ID .dmri-scale{height:14px;image-rendering:auto}
#ID label{display:flex;align-items:center;gap:8px;margin:6px 0;max-width:640px}
#ID label span{min-width:9.5em;font-variant-numeric:tabular-nums}
#ID input{flex:1;min-width:60px;height:24px;accent-color:#0072B2}
#ID button{font:inherit;min-width:5em;min-height:32px;padding:2px 10px;border:1px solid currentColor;
border-radius:4px;background:transparent;color:inherit;cursor:pointer}
#ID :focus-visible{outline:3px solid #E69F00;outline-offset:2px}
@container (max-width:COMPACTpx){#ID .dmri-panels{
grid-template-columns:repeat(var(--half),minmax(0,var(--w)))}}
@container (max-width:480px){#ID .dmri-panels{grid-template-columns:repeat(var(--few),minmax(0,1fr))}}
@media print{#ID .dmri-view{display:none}#ID .dmri-poster{display:block!important}}
"""

_SCRIPT = """
(() => {
  const here = document.currentScript && document.currentScript.closest(".dmri-slider");
  const root = here || document.querySelector("#ID:not([data-ready])");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "loading";
  const D = DATA, sprite = new Image(), view = document.createElement("div");
  const add = (parent, tag, set = {}, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), set);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    return parent.appendChild(node);
  };
  const colors = Uint8Array.from(atob(D.colors), c => c.charCodeAt(0));
  const colored = context => {
    const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height), p = image.data;
    for (let i = 0; i < p.length; i += 4) for (let c = 0, v = p[i]; c < 3; c++) p[i + c] = colors[3 * v + c];
    context.putImageData(image, 0, 0);
  };
  sprite.onload = () => {
    view.className = "dmri-view";
    const control = (text, max, value, step) => {
      const label = add(view, "label"), shown = add(label, "span");
      const input = add(label, "input", {}, {type: "range", min: 0, max: max, step: 1, value: value,
        "aria-label": text, "data-lm-suppress-shortcuts": "true"});
      input.value = value;
      const show = () => {
        const at = input.value * step, end = max * step;
        shown.textContent = text + " " + at + " / " + end;
        input.setAttribute("aria-valuetext", text + " " + at + " of " + end);
      };
      return {label: label, input: input, show: show, get at() { return +input.value; }};
    };
    const frame = control("frame", D.frames - 1, D.frame, 1);
    const column = D.column === null ? null : control("column x", D.width - 1, D.column, D.step);
    const play = add(frame.label, "button", {type: "button", textContent: "Play"},
      {"aria-pressed": "false", "data-lm-suppress-shortcuts": "true"});
    view.style.setProperty("--n", D.titles.length);
    view.style.setProperty("--half", Math.ceil(D.titles.length / 2));
    view.style.setProperty("--few", Math.min(2, D.titles.length));
    view.style.setProperty("--w", D.display + "px");
    const panels = add(view, "div", {className: "dmri-panels"}), draws = [];
    D.titles.forEach((title, n) => {
      const figure = add(panels, "figure");
      add(figure, "figcaption", {textContent: title});
      const paint = (row, profile, text) => {
        const canvas = add(figure, "canvas", {width: profile ? 6 * D.frames : D.width, height: D.height},
          {role: "img", "aria-label": title + ", " + text});
        if (profile) canvas.style.aspectRatio = D.width + " / " + D.height;
        const context = canvas.getContext("2d", {willReadFrequently: row >= D.titles.length});
        context.imageSmoothingEnabled = false;
        draws.push((t, x) => {
          const top = row * D.cell[0];
          if (profile) for (let f = 0; f < D.frames; f++)
            context.drawImage(sprite, f * D.cell[1] + x, top, 1, D.height, 6 * f, 0, 6, D.height);
          else context.drawImage(sprite, t * D.cell[1], top, D.width, D.height, 0, 0, D.width, D.height);
          if (row >= D.titles.length) colored(context);
          if (x === null) return;
          context.fillStyle = "#E69F00";
          if (profile) context.fillRect(6 * t, 0, 1, D.height);
          else context.fillRect(x, 0, 1, D.height);
        });
        return canvas;
      };
      paint(n, false, "y against x");
      if (column) paint(n, true, "y against frame at the chosen column");
      if (D.errors[n] !== null) {
        add(figure, "div", {textContent: D.errorText});
        paint(D.errors[n], false, D.errorText);
      } else if (D.errorText) {
        add(figure, "div", {textContent: D.errorText + ": 0 to " + D.errorMax});
        const scale = add(figure, "canvas", {width: 256, height: 1, className: "dmri-scale"},
          {role: "img", "aria-label": "colour scale from 0 to " + D.errorMax}).getContext("2d");
        const image = scale.createImageData(256, 1);
        for (let v = 0; v < 256; v++) image.data.set([...colors.slice(3 * v, 3 * v + 3), 255], 4 * v);
        scale.putImageData(image, 0, 0);
      }
    });
    const draw = () => {
      frame.show();
      if (column) column.show();
      draws.forEach(paint => paint(frame.at, column ? column.at : null));
    };
    let playing = false, then = 0;
    const step = now => {
      if (!playing || !root.isConnected) return;
      if (now - then >= D.pause) { then = now; frame.input.value = (frame.at + 1) % D.frames; draw(); }
      requestAnimationFrame(step);
    };
    play.onclick = () => {
      playing = !playing;
      play.textContent = playing ? "Pause" : "Play";
      play.setAttribute("aria-pressed", playing);
      if (playing) requestAnimationFrame(step);
    };
    frame.input.addEventListener("input", draw);
    if (column) column.input.addEventListener("input", draw);
    draw();
    root.querySelector(".dmri-poster").style.display = "none";
    root.prepend(view);
    root.dataset.ready = "true";
  };
  sprite.src = D.sprite;
})();
"""


class FrameSlider:
    """Several cines under one frame slider; see :func:`frame_slider`.

    Its MIME bundle has ``text/html`` (live where scripts run, else a poster), ``image/png`` (a strip of
    frames, for print) and ``text/plain``. The same cines give the same bytes.
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


def frame_slider(
    cines: Mapping[str, Any],
    *,
    window: tuple[float, float] = (0, 1),
    errors_against: str | None = None,
    error_scale: float = 5,
    frame: int = 0,
    column: int | None = None,
    zoom: float | None = None,
    milliseconds: int = 60,
) -> FrameSlider:
    """Look through several cines with one frame slider and a play button.

    Parameters
    ----------
    cines
        title -> cine ``(t, y, x)`` or ``(1, t, y, x)``, tensor or array, complex or real, all of one shape
    window
        magnitudes shown as black and white
    errors_against
        title of the reference; the others then show ``|x - reference|`` below
    error_scale
        errors are shown this many times brighter than the images
    frame
        the frame shown first
    column
        readout position whose y-t profile is shown below every cine, with a slider of its own; None: none
    zoom
        screen pixels per image pixel; None takes the least whole number that makes a panel 220 pixels wide
    milliseconds
        time per frame when playing

    Returns
    -------
        an object the notebook displays; at most 300 kB

    Raises
    ------
    ValueError
        if shapes differ, an index is out of range, the window is empty, the reference is not among the cines,
        or there are too many cines for one viewer
    """
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

    rows = [_to_bytes(cine, low, high) for cine in arrays.values()]
    errors: list[int | None] = []
    for title, cine in arrays.items():
        compared = errors_against is not None and title != errors_against
        errors.append(len(rows) if compared else None)
        if compared:
            rows.append(_to_bytes(np.abs(cine - arrays[errors_against]), 0, (high - low) / error_scale))

    strip = _strip(rows, list(arrays), errors, frame)
    png, poster = _encode(strip, "PNG"), _encode(strip.convert("RGB"), "JPEG", quality=50)
    sprite, rows, step = _sprite(rows, BUDGET - 14_000 - (len(png) + len(poster)) * 4 // 3)
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
        "sprite": _data_uri(sprite, "webp"),
        "colors": base64.b64encode(_error_colors().tobytes()).decode("ascii") if errors_against else "",
    }
    text = (
        f"{len(arrays)} cines of {frames} frames, {height} x {width} pixels: "
        + ", ".join(arrays)
        + (f"; errors against {errors_against}" if errors_against is not None else "")
        + (f"; every {step} x {step} pixels shown as one" if step > 1 else "")
    )
    data = json.dumps(settings, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
    name = "dmri-" + hashlib.sha256(data.encode()).hexdigest()[:12]
    page = (
        f'<div class="dmri-slider" id="{name}">'
        f'<img class="dmri-poster" src="{_data_uri(poster, "jpeg")}" alt="{html.escape(text)}">'
        f"<style>{_STYLE.replace('#ID', '#' + name).replace('COMPACT', str(len(arrays) * 228 - 9))}</style>"
        f"<script>{_SCRIPT.replace('#ID', '#' + name).replace('DATA', data)}</script></div>"
    )
    return FrameSlider(page, png, text)


def _sprite(rows: list[np.ndarray], budget: int) -> tuple[bytes, list[np.ndarray], int]:
    """All frames in one WebP image, a row per cine and a column per frame.

    It is as good as the budget, in bytes of the page, allows; what does not fit at a fair quality is shown at
    half resolution, and so on. Returns the image, the rows it shows and the step in pixels.
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
            smallest = _encode(sheet, "WEBP", quality=20)
            if len(smallest) * 4 / 3 <= budget:
                for quality in (80, 65, 50, 35):
                    content = _encode(sheet, "WEBP", quality=quality)
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
    """Height and width a frame has in the sprite: whole blocks of 16, so that none bleeds into the next."""
    return -(-row.shape[1] // 16) * 16, -(-row.shape[2] // 16) * 16


def _strip(
    rows: Sequence[np.ndarray], titles: Sequence[str], errors: Sequence[int | None], frame: int
) -> Image.Image:
    """A column per cine: the frame chosen, below it its error or else the frame half a cycle on."""
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
        pen.text((6 + column * (wide + 6), 4), "\n".join(name), "black", _font(13))
    for line, (at, places) in enumerate(lines):
        for column, place in enumerate(places):
            if place is None:
                continue
            corner = (6 + column * (wide + 6), top + line * (high + 22))
            is_error = place >= len(titles)
            values = Image.fromarray(rows[place][at]).resize((wide, high), Image.Resampling.BOX)
            levels = np.asarray(values) // 8 * 8  # 32 levels: half the bytes, no visible steps
            picture = Image.fromarray(_error_colors()[levels] if is_error else levels)
            canvas.paste(picture.convert("RGB"), corner)
            pen.text(
                (corner[0], corner[1] + high + 2), f"frame {at}" + ", |error|" * is_error, "black", _font(12)
            )
    return canvas.quantize(256, dither=Image.Dither.NONE)


class MaskExplorer:
    """Live sliders for the sampling pattern; see :func:`mask_explorer`.

    With a kernel it is an ipywidgets view; a page without one shows the picture of the first settings.
    """

    def __init__(
        self,
        make_mask: Callable[[float, int, str, int], Any],
        undersample: Callable[[Any, int], Any],
        start: Mapping[str, Any],
        densities: Sequence[str],
    ) -> None:
        import ipywidgets

        self._make_mask, self._undersample = make_mask, undersample
        self._mask, self._drawn = None, None
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "420px"}}
        self.controls = {
            "acceleration": ipywidgets.FloatSlider(
                value=start["acceleration"], min=1, max=12, step=0.5, description="acceleration", **wide
            ),
            "center_lines": ipywidgets.IntSlider(
                value=start["center_lines"], min=0, max=48, description="centre lines", **wide
            ),
            "density": ipywidgets.Dropdown(
                value=start["density"], options=list(densities), description="density", **wide
            ),
            "seed": ipywidgets.IntSlider(value=start["seed"], min=0, max=20, description="seed", **wide),
            "frame": ipywidgets.IntSlider(
                value=start["frame"], min=0, max=start["frames"] - 1, description="frame", **wide
            ),
        }
        self.message = ipywidgets.HTML()
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.view = ipywidgets.VBox([*self.controls.values(), self.message, self.image])
        self._redraw()
        self.png = bytes(self.image.value)
        for control in self.controls.values():
            control.observe(self._redraw, names="value")

    def _redraw(self, change: Any = None) -> None:
        settings = {name: control.value for name, control in self.controls.items()}
        frame = settings.pop("frame")
        try:
            if self._drawn != settings:
                self._mask, self._drawn = self._make_mask(**settings), settings
            mask = plotting.one_cine(self._mask, "mask")[:, :, 0].T > 0
            image = plotting.magnitude(self._undersample(self._mask, frame))
        except ValueError as problem:
            self._drawn = None
            self.message.value = f'<b role="alert">Not possible: {html.escape(str(problem))}</b>'
            self.image.layout.visibility = "hidden"
            return
        self.message.value = ""
        self.image.layout.visibility = "visible"
        self.image.value = _encode_fast(_draw_sampling(mask, image, frame, settings))

    def __repr__(self) -> str:
        return (
            "sliders for acceleration, centre lines, density, seed and frame (with a kernel), else a picture"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = self.view._repr_mimebundle_()
        return {**bundle, "image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": repr(self)}


def _encode_fast(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _draw_sampling(
    mask: np.ndarray, image: np.ndarray, frame: int, settings: Mapping[str, Any]
) -> Image.Image:
    """Mask in ky-t ``(y, t)``, mask, point-spread function and aliased image of one frame, side by side."""
    lines, frames = mask.shape
    size, top, gap = 240, 50, 14
    canvas = Image.new("L", (4 * size + 5 * gap, size + top + 26), 255)
    pen = ImageDraw.Draw(canvas)

    def panel(place: int, title: str, below: str, values: np.ndarray | None) -> int:
        left = gap + place * (size + gap)
        pen.text((left, top - 22), title, 0, _font(15))
        pen.text((left, top + size + 4), below, 0, _font(13))
        if values is not None:
            resized = Image.fromarray(values).resize((size, size), Image.Resampling.NEAREST)
            canvas.paste(resized, (left, top))
        return left

    sampled = mask[:, frame]
    panel(0, "mask in ky-t", "frame →   ky ↓", _to_bytes(mask, 0, 1))
    mark = gap + round((frame + 0.5) * size / frames)
    pen.line([(mark, top + size), (mark, top + size + 5)], 0, 2)
    panel(1, f"mask of frame {frame}", "kx →   ky ↓", _to_bytes(np.repeat(sampled[:, None], lines, 1), 0, 1))
    left = panel(2, "point-spread function", "y →   −60 to 0 dB ↑", None)
    spread = np.abs(np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(sampled))))
    decibel = np.clip(20 * np.log10(np.maximum(spread / max(spread.max(), 1e-12), 1e-3)), -60, 0)
    xs = left + np.arange(lines) * (size - 1) / max(lines - 1, 1)
    pen.line(list(zip(xs, top - decibel * size / 60, strict=True)), 0, 1)
    pen.rectangle([left, top, left + size, top + size], None, 150)
    panel(3, f"aliased frame {frame}", "x →   y ↓", _to_bytes(image, 0, 1))
    pen.text(
        (gap, 4),
        f"acceleration {settings['acceleration']:g}, {settings['center_lines']} centre lines, "
        f"{settings['density']}, seed {settings['seed']}: {int(sampled.sum())} of {lines} lines, "
        f"achieved {mask.size / max(int(mask.sum()), 1):.2f}",
        0,
        _font(15),
    )
    return canvas


def mask_explorer(
    make_mask: Callable[[float, int, str, int], Any],
    undersample: Callable[[Any, int], Any],
    *,
    acceleration: float = 5,
    center_lines: int = 11,
    density: str = "quadratic",
    seed: int = 0,
    frame: int = 0,
    densities: Sequence[str] = ("quadratic", "gaussian"),
) -> MaskExplorer:
    """Move acceleration, centre lines, density and seed; see mask, point-spread function and aliasing.

    Parameters
    ----------
    make_mask
        ``make_mask(acceleration=, center_lines=, density=, seed=)`` -> mask, ``(t, y, 1)`` or
        ``(1, t, y, 1)``, True where sampled; a ValueError is shown to the reader as a message
    undersample
        ``undersample(mask, frame)`` -> the aliased image ``(y, x)`` of that frame, magnitudes in [0, 1]
    acceleration, center_lines, density, seed, frame
        the settings to start from
    densities
        the densities offered

    Raises
    ------
    ValueError
        if the settings to start from are impossible
    """
    start = {"acceleration": acceleration, "center_lines": center_lines, "density": density, "seed": seed}
    mask = plotting.one_cine(make_mask(**start), "mask")
    frame = plotting.check_index("frame", frame, len(mask))
    return MaskExplorer(make_mask, undersample, {**start, "frame": frame, "frames": len(mask)}, densities)
