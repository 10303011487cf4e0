"""Sliders that live in a notebook, in a page on disk and on paper.

All hand the notebook several forms of themselves and the reader's program takes the best it can show.
:func:`cine_viewer` is self-contained HTML (one sprite image and a little JavaScript, nothing is fetched) and a PNG
strip. An :func:`explorer` is live with a kernel; without, HTML that holds a small grid of its pictures; and a PNG.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from . import plotting
from .fourier import fft2c, ifft2c
from .metrics import cine_metrics, psnr

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
#ID{max-width:100%;color:inherit;font:14px/1.4 system-ui,sans-serif}
#ID .dmri-poster{max-width:100%;background:#fff}
#ID .dmri-panels{display:grid;gap:8px}
#ID figure{margin:0;min-width:0}
#ID figcaption{color:inherit;font-weight:600;min-height:1.4em;overflow-wrap:anywhere}
#ID label{display:flex;align-items:center;gap:8px;margin:6px 0;max-width:640px}
#ID label span{min-width:9.5em;font-variant-numeric:tabular-nums}
#ID input,#ID select{flex:1;min-width:60px;min-height:24px;accent-color:#0072B2;font:inherit}
#ID :focus-visible{outline:3px solid #E69F00;outline-offset:2px}
@media print{#ID .dmri-view{display:none}#ID .dmri-poster{display:block!important}}
"""

_VIEWER_STYLE = """
#ID{container-type:inline-size}
#ID .dmri-panels{grid-template-columns:repeat(var(--n),minmax(0,var(--w)))}
#ID canvas{display:block;width:100%;margin:0 0 4px;background:#000;image-rendering:pixelated}
#ID .dmri-scale{height:14px;image-rendering:auto}
#ID .dmri-window{display:flex;flex-wrap:wrap;align-items:center;gap:0 16px;max-width:640px}
#ID .dmri-window label{flex:1 1 170px}
#ID .dmri-window label span{min-width:6.5em}
#ID .dmri-panels canvas{cursor:crosshair}
#ID button{font:inherit;min-width:5em;min-height:32px;padding:2px 10px;border:1px solid currentColor;
border-radius:4px;background:transparent;color:inherit;cursor:pointer}
@container (max-width:COMPACTpx){#ID .dmri-panels{
grid-template-columns:repeat(var(--half),minmax(0,var(--w)))}}
@container (max-width:480px){#ID .dmri-panels{grid-template-columns:repeat(var(--few),minmax(0,1fr))}}
"""

_EXPLORER_STYLE = """
#ID .dmri-panels{grid-template-columns:repeat(auto-fill,minmax(min(150px,45%),220px))}
#ID figure img{display:block;width:100%;image-rendering:pixelated;background:#000}
#ID .dmri-told{min-height:1.4em;margin:4px 0}
"""

_SCRIPT = """
(() => {
  const here = document.currentScript && document.currentScript.closest(".KIND");
  const root = here || document.querySelector("#ID:not([data-ready])");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "loading";
  const D = DATA, view = document.createElement("div");
  const add = (parent, tag, set = {}, attributes = {}) => {
    const node = Object.assign(document.createElement(tag), set);
    for (const name in attributes) node.setAttribute(name, attributes[name]);
    return parent.appendChild(node);
  };
  const finish = () => {
    view.className = "dmri-view";
    root.querySelector(".dmri-poster").style.display = "none";
    root.prepend(view);
    root.dataset.ready = "true";
  };
  BODY
})();
"""

_VIEWER_SCRIPT = """
  const sprite = new Image();
  const colors = Uint8Array.from(atob(D.colors), c => c.charCodeAt(0));
  const colored = context => {
    const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height), p = image.data;
    for (let i = 0; i < p.length; i += 4) for (let c = 0, v = p[i]; c < 3; c++) p[i + c] = colors[3 * v + c];
    context.putImageData(image, 0, 0);
  };
  sprite.onload = () => {
    const control = (parent, text, range, value, words) => {
      const label = add(parent, "label"), shown = add(label, "span");
      const input = add(label, "input", {}, {type: "range", min: range[0], max: range[1], step: range[2],
        "aria-label": text, "data-lm-suppress-shortcuts": "true"});
      input.value = value;
      const show = () => {
        shown.textContent = text + " " + words(+input.value);
        input.setAttribute("aria-valuetext", text + " " + words(+input.value).replace("/", "of"));
      };
      input.addEventListener("input", () => draw());
      return {label: label, input: input, show: show, get at() { return +input.value; }};
    };
    const frame = control(view, "frame", [0, D.frames - 1, 1], D.frame, at => at + " / " + (D.frames - 1));
    const column = D.column === null ? null : control(view, "column x", [0, D.width - 1, 1], D.column,
      at => at * D.step + " / " + (D.width - 1) * D.step);
    const button = (parent, text) => add(parent, "button", {type: "button", textContent: text},
      {"data-lm-suppress-shortcuts": "true"});
    const play = button(frame.label, "Play");
    play.setAttribute("aria-pressed", "false");
    const tones = add(view, "div", {className: "dmri-window"}), span = D.white - D.black;
    const magnitude = at => (+at).toPrecision(2);
    const level = control(tones, "level", [D.black, D.white, span / 100], D.black + span / 2, magnitude);
    const width = control(tones, "window", [span / 50, span, span / 50], span, magnitude);
    const reset = button(tones, "Reset");
    reset.onclick = () => { level.input.value = D.black + span / 2; width.input.value = span; draw(); };
    const gray = new Uint8ClampedArray(256);
    const toned = context => {
      if (width.at >= span && Math.abs(level.at - D.black - span / 2) < span / 1000) return;
      const image = context.getImageData(0, 0, context.canvas.width, context.canvas.height), p = image.data;
      for (let i = 0; i < p.length; i += 4) p[i] = p[i + 1] = p[i + 2] = gray[p[i]];
      context.putImageData(image, 0, 0);
    };
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
        const context = canvas.getContext("2d", {willReadFrequently: true});
        context.imageSmoothingEnabled = false;
        draws.push((t, x) => {
          const top = row * D.cell[0];
          if (profile) for (let f = 0; f < D.frames; f++)
            context.drawImage(sprite, f * D.cell[1] + x, top, 1, D.height, 6 * f, 0, 6, D.height);
          else context.drawImage(sprite, t * D.cell[1], top, D.width, D.height, 0, 0, D.width, D.height);
          if (row >= D.titles.length) colored(context); else toned(context);
          if (x === null) return;
          context.fillStyle = "#E69F00";
          if (profile) context.fillRect(6 * t, 0, 1, D.height);
          else context.fillRect(x, 0, 1, D.height);
        });
        canvas.onclick = event => {
          const at = Math.floor(event.offsetX / canvas.clientWidth * (profile ? D.frames : D.width));
          if (profile) frame.input.value = at; else if (column) column.input.value = at; else return;
          draw();
        };
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
      for (const each of [frame, column, level, width]) if (each) each.show();
      for (let v = 0; v < 256; v++)
        gray[v] = 255 * ((D.black + v / 255 * span - level.at) / width.at + 0.5);
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
    draw();
    finish();
  };
  sprite.src = D.sprite;
"""


def _page(kind: str, style: str, script: str, settings: Mapping[str, Any], poster: bytes, text: str) -> str:
    """Self-contained HTML: a poster for whoever runs no scripts, and a script that replaces it."""
    data = json.dumps(settings, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e")
    name = "dmri-" + hashlib.sha256(data.encode()).hexdigest()[:12]
    code = (
        _SCRIPT.replace("BODY", script).replace("KIND", kind).replace("#ID", f"#{name}").replace("DATA", data)
    )
    return (
        f'<div class="{kind}" id="{name}">'
        f'<img class="dmri-poster" src="{_data_uri(poster, "jpeg")}" alt="{html.escape(text)}">'
        f"<style>{(_STYLE + style).replace('#ID', f'#{name}')}</style><script>{code}</script></div>"
    )


class CineViewer:
    """Several cines under one frame slider; see :func:`cine_viewer`.

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
    """Look through several cines with one frame slider and a play button, level and window, and a temporal profile.

    Parameters
    ----------
    cines
        title -> cine ``(t, y, x)`` or ``(1, t, y, x)``, tensor or array, complex or real, all of one shape; or such
        cines in a row, with their titles
    titles
        of the cines in a row
    window
        magnitudes shown as black and white at first; the reader narrows them
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
        titles lack or are not as many as the cines, or there are too many cines for one viewer
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

    rows = [_to_bytes(cine, low, high) for cine in arrays.values()]
    errors: list[int | None] = []
    for title, cine in arrays.items():
        compared = errors_against is not None and title != errors_against
        errors.append(len(rows) if compared else None)
        if compared:
            rows.append(_to_bytes(np.abs(cine - arrays[errors_against]), 0, (high - low) / error_scale))

    strip = _strip(rows, list(arrays), errors, frame)
    png, poster = _encode(strip, "PNG"), _encode(strip.convert("RGB"), "JPEG", quality=50)
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
        "sprite": _data_uri(sprite, "webp"),
        "colors": base64.b64encode(_error_colors().tobytes()).decode("ascii") if errors_against else "",
    }
    text = (
        f"{len(arrays)} cines of {frames} frames, {height} x {width} pixels: "
        + ", ".join(arrays)
        + (f"; errors against {errors_against}" if errors_against is not None else "")
        + (f"; every {step} x {step} pixels shown as one" if step > 1 else "")
    )
    style = _VIEWER_STYLE.replace("COMPACT", str(len(arrays) * 228 - 9))
    page = _page("dmri-slider", style, _VIEWER_SCRIPT, settings, poster, text)
    return CineViewer(page, png, text)


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


@dataclass(frozen=True)
class Panel:
    """One picture of an explorer."""

    title: str
    """above it"""
    below: str
    """what the axes are"""
    pixels: np.ndarray
    """bytes, gray ``(h, w)`` or coloured ``(h, w, 3)``"""

    @property
    def aspect(self) -> float:
        """Width over height on the screen: that of an image; a square for what is thin, such as a mask."""
        height, width = self.pixels.shape[:2]
        return round(width / height, 3) if 0.3 < width / height < 3 else 1.0


_EXPLORER_SCRIPT = """
  const places = D.controls.map(one => one.start);
  const shows = D.controls.map((one, n) => {
    const label = add(view, "label"), shown = add(label, "span");
    const common = {"aria-label": one.name, "data-lm-suppress-shortcuts": "true"};
    const input = add(label, one.slides ? "input" : "select", {}, common);
    if (one.slides) Object.assign(input, {type: "range", min: 0, max: one.words.length - 1, step: 1});
    if (!one.slides) for (const [at, word] of one.words.entries()) add(input, "option", {value: at, textContent: word});
    input.value = one.start;
    input.addEventListener("input", () => { places[n] = +input.value; draw(); });
    return () => {
      shown.textContent = one.name + (one.slides ? " " + one.words[places[n]] : "");
      input.setAttribute("aria-valuetext", one.name + " " + one.words[places[n]]);
    };
  });
  const told = add(view, "div", {className: "dmri-told"}, {"aria-live": "polite"});
  const panels = add(view, "div", {className: "dmri-panels"});
  const draw = () => {
    shows.forEach(show => show());
    const state = D.states[places.reduce((at, place, n) => at * D.controls[n].words.length + place, 0)];
    told.textContent = state.told;
    while (panels.children.length > state.panels.length) panels.lastChild.remove();
    state.panels.forEach(([title, below, image, aspect], n) => {
      let figure = panels.children[n];
      if (!figure) {
        figure = add(panels, "figure");
        add(figure, "figcaption");
        add(figure, "img");
        add(figure, "div");
      }
      figure.children[0].textContent = title;
      figure.children[1].src = D.images[image];
      figure.children[1].style.aspectRatio = aspect;
      figure.children[1].alt = title + "; " + state.told;
      figure.children[2].textContent = below;
    });
  };
  draw();
  finish();
"""


class Explorer:
    """Settings to play with and the pictures they give; see :func:`explorer`.

    With a kernel it is an ipywidgets view, live over all settings. Without one it is HTML that has the pictures of a
    small grid of settings inside, and a PNG of the first for print and for viewers that run no scripts.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[str, list[Panel]]],
        controls: Mapping[str, Sequence[Any]],
        start: Mapping[str, Any],
        grid: Mapping[str, Sequence[Any]],
    ) -> None:
        import ipywidgets

        self._draw = draw
        told, panels = draw(**start)  # what is impossible at the start is an error
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "420px"}}
        self.controls = {}
        for name, values in controls.items():
            kind = ipywidgets.Dropdown if isinstance(start[name], str) else ipywidgets.SelectionSlider
            options = [(_word(value), value) for value in values]
            self.controls[name] = kind(options=options, value=start[name], description=_label(name), **wide)
        self.picture = ipywidgets.HTML(_panels(told, panels))
        self.view = ipywidgets.VBox([*self.controls.values(), self.picture])
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        self.text = f"{told}: " + ", ".join(panel.title for panel in panels)
        poster = _poster(told, panels)
        self.png = _encode(poster, "PNG")
        grid = {name: [*grid.get(name, [start[name]])] for name in controls}
        self.html = _static(draw, grid, start, poster, self.text)

    def _redraw(self, change: Any = None) -> None:
        try:
            self.picture.value = _panels(
                *self._draw(**{name: one.value for name, one in self.controls.items()})
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
    """Put a slider before every setting of a picture.

    Parameters
    ----------
    draw
        ``draw(**settings)`` -> a sentence and the panels; a ValueError is shown to the reader as a message
    controls
        setting -> the values that a slider (numbers) or a menu (words) offers
    start
        setting -> the value to start from
    grid
        setting -> the values that a page without a kernel offers; settings that it lacks stay at their start

    Returns
    -------
        an object the notebook displays; at most 300 kB

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


def _panels(told: str, panels: Sequence[Panel]) -> str:
    """Sentence and panels as HTML, for the live view."""
    figures = "".join(
        f'<figure style="margin:0;flex:0 1 230px"><figcaption><b>{html.escape(panel.title)}</b></figcaption>'
        f'<img alt="{html.escape(panel.title)}" '
        f'style="width:100%;aspect-ratio:{panel.aspect};image-rendering:pixelated" '
        f'src="{_data_uri(_encode_fast(Image.fromarray(panel.pixels)), "png")}">{html.escape(panel.below)}</figure>'
        for panel in panels
    )
    return f'<div>{html.escape(told)}</div><div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'


def _encode_fast(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _poster(told: str, panels: Sequence[Panel]) -> Image.Image:
    """Sentence and panels in a row, for print."""
    size, gap = 176, 10
    wide = len(panels) * (size + gap) + gap
    lines = textwrap.wrap(told, wide // 8)
    top = 26 + 18 * len(lines)
    canvas = Image.new("RGB", (wide, top + size + 22), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, 2), "\n".join(lines), "black", _font(13))
    for n, panel in enumerate(panels):
        left = gap + n * (size + gap)
        pen.text((left, top - 20), panel.title, "black", _font(13))
        high = min(size, round(size / panel.aspect))
        shown = Image.fromarray(panel.pixels).convert("RGB")
        canvas.paste(shown.resize((round(high * panel.aspect), high), Image.Resampling.BOX), (left, top))
        pen.text((left, top + size + 3), panel.below, "black", _font(12))
    return canvas.quantize(48, dither=Image.Dither.NONE)


def _static(
    draw: Callable, grid: Mapping[str, list], start: Mapping[str, Any], poster: Image.Image, text: str
) -> str:
    """The page without a kernel: the pictures of every combination of the grid, as good as the budget allows."""
    states, images = [], {}
    for values in product(*grid.values()):
        try:
            told, panels = draw(**dict(zip(grid, values, strict=True)))
        except ValueError as problem:
            told, panels = f"Not possible: {problem}", []
        shown = []
        for panel in panels:  # the same picture is kept once
            key = panel.pixels.shape, panel.pixels.tobytes()
            number, _ = images.setdefault(key, (len(images), panel.pixels))
            shown.append([panel.title, panel.below, number, panel.aspect])
        states.append({"told": told, "panels": shown})
    controls = [
        {"name": _label(name), "words": list(map(_word, values)), "start": values.index(start[name]),
         "slides": not isinstance(values[0], str)}
        for name, values in grid.items() if len(values) > 1
    ]  # fmt: skip
    settings = {"controls": controls, "states": states, "images": []}
    jpeg = _encode(poster.convert("RGB"), "JPEG", quality=50)
    page = partial(_page, "dmri-explorer", _EXPLORER_STYLE, _EXPLORER_SCRIPT, poster=jpeg, text=text)
    taken = len(page(settings=settings)) + len(_encode(poster, "PNG")) * 4 // 3 + 2 * len(text)
    return page(
        settings=settings
        | {"images": _within([pixels for _, pixels in images.values()], BUDGET - 1_000 - taken)}
    )


def _within(pictures: list[np.ndarray], budget: int) -> list[str]:
    """Data URIs of so many bytes at most; first quality is given up, then resolution."""

    def encoded(step: int, quality: int) -> list[str]:
        uris = []
        for pixels in pictures:
            image = Image.fromarray(pixels)
            two = pixels.ndim == 2 and len(np.unique(pixels)) < 3  # masks and curves stay sharp
            image = image if two else image.reduce(step)
            uris.append(_data_uri(_encode(image, "WEBP", quality=quality, lossless=two), "webp"))
        return uris if sum(map(len, uris)) + 3 * len(uris) <= budget else []

    for step in (1, 2, 4):
        if smallest := encoded(step, 20):
            return next(filter(None, (encoded(step, quality) for quality in (75, 55, 35))), smallest)
    raise ValueError(f"{len(pictures)} pictures do not fit one explorer; offer fewer settings in its grid")


def _decibel(error: np.ndarray) -> str:
    return f"{psnr(np.square(error).mean()):.1f} dB"


def _logarithmic(kspace: np.ndarray, peak: float) -> np.ndarray:
    """Magnitude of k-space as bytes, 100 dB from black to white."""
    return _to_bytes(20 * np.log10(np.maximum(kspace / peak, 1e-9)), -100, 0)


def mask_explorer(
    make_mask: Callable[[float, int, str, int], Any],
    undersample: Callable[[Any, int], Any],
    reference: Any,
    *,
    acceleration: float = 5,
    center_lines: int = 11,
    density: str = "quadratic",
    seed: int = 0,
    frame: int = 0,
    densities: Sequence[str] = ("quadratic", "gaussian"),
) -> Explorer:
    """Move acceleration, centre lines, density and seed; see mask, point-spread function, aliasing and its PSNR.

    Parameters
    ----------
    make_mask
        ``make_mask(acceleration=, center_lines=, density=, seed=)`` -> mask, ``(t, y, 1)`` or
        ``(1, t, y, 1)``, True where sampled; a ValueError is shown to the reader as a message
    undersample
        ``undersample(mask, frame)`` -> the aliased image ``(y, x)`` of that frame, magnitudes in [0, 1]
    reference
        the fully sampled cine ``(t, y, x)``
    acceleration, center_lines, density, seed, frame
        the settings to start from
    densities
        the densities offered

    Raises
    ------
    ValueError
        if the settings to start from are impossible
    """
    truth = plotting.one_cine(reference, "reference")
    frames, lines = truth.shape[:2]
    kept = lru_cache(1)(make_mask)

    def draw(frame: int, **settings: Any) -> tuple[str, list[Panel]]:
        mask = plotting.one_cine(kept(**settings), "mask")[:, :, 0].T > 0
        image = plotting.magnitude(undersample(kept(**settings), frame))
        sampled = mask[:, frame]
        spread = np.abs(np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(sampled))))
        decibel = np.clip(20 * np.log10(np.maximum(spread / max(spread.max(), 1e-12), 1e-3)), -60, 0)
        curve = Image.new("L", (lines, lines), 255)
        points = list(zip(range(lines), -decibel * (lines - 1) / 60, strict=True))
        ImageDraw.Draw(curve).line(points, 0, 1)
        panels = [
            Panel("mask in ky-t", "frame →   ky ↓", _to_bytes(mask, 0, 1)),
            Panel(
                f"mask of frame {frame}", "kx →   ky ↓", _to_bytes(np.repeat(sampled[:, None], 8, 1), 0, 1)
            ),
            Panel("point-spread function", "y →   −60 to 0 dB ↑", np.asarray(curve)),
            Panel(f"aliased frame {frame}", "x →   y ↓", _to_bytes(image, 0, 1)),
        ]
        told = f"{int(sampled.sum())} of {lines} lines, acceleration {mask.size / max(int(mask.sum()), 1):.2f} achieved"
        return f"{told}; zero-filled frame {frame}: {_decibel(image - truth[frame])}", panels

    start = dict(
        acceleration=acceleration, center_lines=center_lines, density=density, seed=seed, frame=frame
    )
    plotting.check_index("frame", frame, frames)
    controls = {
        "acceleration": sorted({*np.arange(1, 12.5, 0.5).tolist(), acceleration}),
        "center_lines": range(max(49, center_lines + 1)),
        "density": list(densities),
        "seed": sorted({*range(21), seed}),
        "frame": range(frames),
    }
    grid = {
        "acceleration": sorted({3, acceleration, 8, 12}),
        "center_lines": sorted({0, center_lines, 21}),
        "density": list(densities),
    }
    return explorer(draw, controls, start, grid)


def kspace_explorer(keep: Callable[[str, int], Any], reference: Any, *, lines: int = 11) -> Explorer:
    """Keep the centre or the edge of k-space, by so many lines; see what is left of the image.

    Parameters
    ----------
    keep
        ``keep(part, lines)`` -> the k-space that is left, a tensor ``(y, x)``; part is ``centre`` or ``edge``
    reference
        the whole image, a tensor ``(y, x)``
    lines
        how many lines to start from

    Raises
    ------
    ValueError
        if there are not so many lines
    """
    truth = plotting.magnitude(reference)
    peak = plotting.magnitude(fft2c(reference)).max()

    def draw(keep_the: str, lines: int) -> tuple[str, list[Panel]]:
        kept = keep(keep_the, lines)
        kspace, image = plotting.magnitude(kept), plotting.magnitude(ifft2c(kept))
        energy = (kspace**2).sum() / (truth**2).sum()
        panels = [
            Panel("k-space that is kept", "kx →   ky ↓, 100 dB", _logarithmic(kspace, peak)),
            Panel("its image", "x →   y ↓", _to_bytes(image, 0, max(1e-6, min(1, image.max())))),
            Panel(
                "what is missing × 3",
                "x →   y ↓",
                _error_colors()[_to_bytes(np.abs(image - truth), 0, 1 / 3)],
            ),
        ]
        return (
            f"{lines} of {len(truth)} lines, {100 * energy:.1f} % of the energy, {_decibel(image - truth)}",
            panels,
        )

    total = len(truth)
    few = sorted({lines, *(n for n in (1, 3, 5, 8, 20, 38, 60, 96, 140, 180) if n < total), total})
    controls = {"keep_the": ["centre", "edge"], "lines": range(1, total + 1)}
    return explorer(
        draw, controls, {"keep_the": "centre", "lines": lines}, {"keep_the": ["centre", "edge"], "lines": few}
    )


def consistency_explorer(
    consistent: Callable[[str, float], Any], names: Sequence[str], reference: Any, mask: Any
) -> Explorer:
    """Weigh the data against a wrong image, from not at all to hard; see the image and the errors in k-space.

    Parameters
    ----------
    consistent
        ``consistent(name, weight)`` -> the image of that name with the data weighed so, a tensor ``(y, x)``
    names
        of the wrong images to start from
    reference
        the true image, a tensor ``(y, x)``
    mask
        which lines were measured, ``(y,)`` or ``(y, 1)``
    """
    sampled = plotting.magnitude(mask).ravel() > 0
    truth, kspace = plotting.magnitude(reference), plotting.magnitude(fft2c(reference))

    def draw(start_from: str, weight: float) -> tuple[str, list[Panel]]:
        image = consistent(start_from, weight)
        error = plotting.magnitude(fft2c(image - reference))
        parts = [np.linalg.norm(error[lines]) / np.linalg.norm(kspace) for lines in (sampled, ~sampled)]
        difference = plotting.magnitude(image) - truth
        panels = [
            Panel("image", "x →   y ↓", _to_bytes(plotting.magnitude(image), 0, 1)),
            Panel("|error| × 5", "x →   y ↓", _error_colors()[_to_bytes(np.abs(difference), 0, 0.2)]),
            Panel("|error| in k-space", "kx →   ky ↓, 100 dB", _logarithmic(error, kspace.max())),
        ]
        told = f"{_decibel(difference)}; k-space error: {100 * parts[0]:.2f} % on measured lines"
        return f"{told}, {100 * parts[1]:.2f} % on the others", panels

    controls = {"start_from": list(names), "weight": [0, 0.1, 0.3, 1, 3, 10, 100, np.inf]}
    return explorer(draw, controls, {"start_from": names[0], "weight": 0}, controls)


def reconstruction_explorer(
    reconstruct: Callable[[str, float], Any],
    methods: Sequence[str],
    accelerations: Sequence[float],
    reference: Any,
    *,
    frame: int = 0,
    column: int | None = None,
) -> Explorer:
    """Choose method and acceleration; see the reconstruction, its errors and its metrics. Each is computed once.

    Parameters
    ----------
    reconstruct
        ``reconstruct(method, acceleration)`` -> cine ``(t, y, x)`` or ``(1, t, y, x)``
    methods, accelerations
        to choose from
    reference
        the true cine
    frame
        the frame shown
    column
        readout position whose profile over time is shown; None: the middle
    """
    truth = plotting.one_cine(reference, "reference")
    column = truth.shape[2] // 2 if column is None else plotting.check_index("column", column, truth.shape[2])
    plotting.check_index("frame", frame, len(truth))

    @lru_cache(None)
    def measured(method: str, acceleration: float) -> tuple[str, list[Panel]]:
        cine = plotting.one_cine(reconstruct(method, acceleration), method)
        scores = cine_metrics(cine, truth)
        told = (
            f"{method} at acceleration {acceleration:g}: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}"
        )
        profile = np.repeat(cine[:, :, column].T, max(1, truth.shape[1] // len(cine)), 1)
        errors = _error_colors()[_to_bytes(np.abs(cine[frame] - truth[frame]), 0, 0.2)]
        return f"{told}, where it moves {scores['psnr_dynamic']:.2f} dB", [
            Panel(f"frame {frame}", "x →   y ↓", _to_bytes(cine[frame], 0, 1)),
            Panel("|error| × 5", "x →   y ↓", errors),
            Panel(f"column {column} over time", "frame →   y ↓", _to_bytes(profile, 0, 1)),
            Panel(f"frame {frame}, fully sampled", "x →   y ↓", _to_bytes(truth[frame], 0, 1)),
        ]

    controls = {"method": list(methods), "acceleration": list(accelerations)}
    start = {"method": methods[0], "acceleration": accelerations[0]}
    return explorer(measured, controls, start, controls)
