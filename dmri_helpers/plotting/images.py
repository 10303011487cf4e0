"""Figures of images: masks, cines side by side, profiles over time, k-space, maps and galleries (all notebooks).

A cine is ``(t, y, x)`` or ``(1, t, y, x)``; cines shown together have one shape. ``window`` holds the magnitudes that
are shown as black and as white.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .arrays import check_index, magnitude, one_cine, same_cines
from .style import BLUE, ERROR_MAP, MAP, ORANGE, PANEL, house_style, image_axes, wrap_title


@house_style
def masks(mask: Any, frame: int = 0, batch: int = 0, density: Any = None) -> Figure:
    """Draw the mask of one frame, the mask in ky-t, and how often every line was sampled.

    Parameters
    ----------
    mask
        shape ``(b, t, y, 1)`` or ``(t, y, 1)``, True where sampled
    frame
        the frame shown at the left
    batch
        the sample of the batch that is shown
    density
        shape ``(y,)``, the density from which the lines were drawn, in any unit; it is scaled to fit the lines that are
        not sampled in every frame
    """
    values = magnitude(mask)
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or values.shape[-1] != 1:
        raise ValueError(f"expected a mask (b, t, y, 1) or (t, y, 1), found shape {values.shape}")
    ky_t = values[check_index("batch", batch, values.shape[0]), :, :, 0]
    frames, lines = ky_t.shape
    frame = check_index("frame", frame, frames)
    frequency = ky_t.mean(0)

    figure, axes = plt.subplots(1, 3, figsize=(3.2 * PANEL, 3.4), sharey=True, width_ratios=(4, 3, 3))
    axes[0].imshow(np.repeat(ky_t[frame, :, None], lines, axis=1), vmin=0, vmax=1)
    image_axes(
        axes[0],
        f"Mask of frame {frame}\n{int(ky_t[frame].sum())} of {lines} lines",
        "kx (sample)",
        "ky (line)",
    )
    axes[1].imshow(ky_t.T, vmin=0, vmax=1, aspect="auto", extent=(-0.5, frames - 0.5, lines - 0.5, -0.5))
    axes[1].axvline(frame, color=ORANGE, linestyle="--", linewidth=1.5)
    image_axes(axes[1], "Mask in ky-t\nwhite: sampled", "frame", "")
    axes[2].plot(
        frequency, np.arange(lines), color=BLUE, linestyle="-", label="measured", drawstyle="steps-mid"
    )
    if density is not None:
        drawn_from = magnitude(density).ravel()
        if drawn_from.shape != (lines,):
            raise ValueError(f"expected a density of shape ({lines},), found {drawn_from.shape}")
        free = frequency < 1
        scale = frequency[free].sum() / max(drawn_from[free].sum(), np.finfo(np.float32).tiny)
        axes[2].plot(
            drawn_from * scale, np.arange(lines), color=ORANGE, linestyle="--", label="density (scaled)"
        )
        axes[2].legend(loc="lower right", handlelength=1.3, borderaxespad=0)
    axes[2].set(xlim=(0, 1.05), xlabel="share of frames", title="Sampling frequency\nof each line")
    return figure


def _score_text(scores: Mapping[str, float] | str) -> str:
    if isinstance(scores, str):
        return scores
    return "\n".join(
        f"{name.replace('_', ' ').upper()} {value:.1f} dB"
        if name.startswith("psnr")
        else f"{name.replace('_', ' ').upper()} {value:.3f}"
        for name, value in scores.items()
    )


@house_style
def cine_comparison(
    cines: Mapping[str, Any],
    frame: int = 0,
    mask: Any = None,
    window: tuple[float, float] = (0, 1),
    reference: str | None = None,
    scores: Mapping[str, Mapping[str, float] | str] | None = None,
    error_scale: float = 5,
) -> Figure:
    """Draw one frame of several cines side by side, with maps of their errors below if a reference is named.

    Parameters
    ----------
    cines
        title -> cine
    frame
        the frame shown
    mask
        shape ``(t, y, 1)`` or ``(1, t, y, 1)``; the mask of the frame is shown as the last panel
    reference
        title of the cine with which the others are compared: their errors are ``|x - reference|``; None shows no errors
    scores
        title -> ``{"psnr": 29.1, "ssim": 0.84}`` (or a text), written under the title
    error_scale
        errors are shown this many times brighter than the images
    """
    arrays = same_cines(cines)
    frames, lines, columns = next(iter(arrays.values())).shape
    frame = check_index("frame", frame, frames)
    if reference is not None and reference not in arrays:
        raise ValueError(f"reference {reference!r} is not among the cines {list(arrays)}")
    images = {title: cine[frame] for title, cine in arrays.items()}
    if mask is not None:
        sampled = one_cine(mask, "mask")
        if sampled.shape != (frames, lines, 1):
            raise ValueError(f"expected a mask of shape {(frames, lines, 1)}, found {sampled.shape}")

    panels = [*images] + ([None] if mask is not None else [])  # None stands for the mask
    bands = -(-len(panels) // 4)
    width = -(-len(panels) // bands)
    step = 1 if reference is None else 2
    headings = {
        title: "\n".join(
            [wrap_title(title)] + ([_score_text(scores[title])] if title in (scores or {}) else [])
        )
        for title in images
    }
    tallest = max(heading.count("\n") for heading in headings.values())
    height = bands * (step * (0.82 * PANEL * lines / columns + 0.35) + 0.2 * tallest) + 0.7
    figure, axes = plt.subplots(
        bands * step, width, squeeze=False, figsize=(PANEL * max(width, 2), min(height, 16))
    )
    for number, title in enumerate(panels):
        row, column = step * (number // width), number % width
        ax = axes[row, column]
        if title is None:
            ax.imshow(np.broadcast_to(sampled[frame], (lines, columns)), vmin=0, vmax=1)
            image_axes(ax, "Mask\nwhite: sampled", "kx (sample)", "ky (line)")
            continue
        ax.imshow(images[title], vmin=window[0], vmax=window[1])
        image_axes(ax, headings[title], "" if reference else "x (pixel)", "" if column else "y (pixel)")
        ax.tick_params(labelleft=not column, labelbottom=not reference)
        if reference is None:
            continue
        below = axes[row + 1, column]
        if title == reference:
            brightest = (window[1] - window[0]) / error_scale
            figure.colorbar(
                ScalarMappable(Normalize(0, brightest), ERROR_MAP),
                orientation="horizontal",
                cax=below.inset_axes((0.05, 0.5, 0.85, 0.08)),
                label=wrap_title(f"|x − {reference}|"),
                ticks=(0, brightest / 2, brightest),
            )
            continue
        below.imshow(
            np.abs(images[title] - images[reference]),
            cmap=ERROR_MAP,
            vmin=0,
            vmax=(window[1] - window[0]) / error_scale,
        )
        image_axes(below, f"|error| × {error_scale:g}", y="" if column else "y (pixel)")
        below.tick_params(labelleft=not column)
    for ax in axes.flat:
        if not ax.has_data():
            ax.set_axis_off()
    if frames > 1:
        figure.suptitle(f"Frame {frame}", x=0.01, ha="left")
    return figure


@house_style
def xt_profiles(cines: Mapping[str, Any], column: int, window: tuple[float, float] = (0, 1)) -> Figure:
    """Draw the profile of one column over time (y-t) for every cine, and mark the column in the first cine.

    Parameters
    ----------
    cines
        title -> cine
    column
        readout position ``x`` of the profile
    """
    arrays = same_cines(cines)
    first = next(iter(arrays))
    frames, lines, columns = arrays[first].shape
    column = check_index("column", column, columns)
    figure, axes = plt.subplots(
        1,
        len(arrays) + 1,
        figsize=(PANEL + 1.9 * len(arrays), 3.4),
        sharey=True,
        width_ratios=(1.5, *[1] * len(arrays)),
    )
    axes[0].imshow(arrays[first][0], vmin=window[0], vmax=window[1])
    axes[0].axvline(column, color=ORANGE, linestyle="--", linewidth=1.5)
    image_axes(axes[0], f"{first}\nframe 0, x = {column}")
    for ax, (title, cine) in zip(axes[1:], arrays.items(), strict=True):
        ax.imshow(
            cine[:, :, column].T,
            vmin=window[0],
            vmax=window[1],
            aspect="auto",
            extent=(-0.5, frames - 0.5, lines - 0.5, -0.5),
        )
        image_axes(ax, wrap_title(title, 15), "frame", "")
    return figure


@house_style
def kspace(kspaces: Any, frame: int = 0, decades: float = 5) -> Figure:
    """Draw the magnitude of k-space on a logarithmic scale, relative to the largest value shown.

    Parameters
    ----------
    kspaces
        k-space ``(t, y, x)``, or title -> k-space to show several side by side
    frame
        the frame shown
    decades
        how many powers of ten below the maximum are shown; smaller values, and zero, are black
    """
    named = same_cines(kspaces if isinstance(kspaces, Mapping) else {"k-space": kspaces})
    frames, lines, columns = next(iter(named.values())).shape
    frame = check_index("frame", frame, frames)
    peak = max(float(values[frame].max()) for values in named.values()) or 1.0
    figure, axes = plt.subplots(1, len(named), squeeze=False, figsize=(3.1 * len(named) + 1.2, 3.4))
    for ax, (title, values) in zip(axes[0], named.items(), strict=True):
        shown = ax.imshow(np.log10(np.maximum(values[frame] / peak, 10.0**-decades)), vmin=-decades, vmax=0)
        image_axes(ax, f"{title}\nframe {frame}", "kx (sample)", "ky (line)" if ax is axes[0, 0] else "")
    figure.colorbar(shown, ax=axes, label="log10 (magnitude / maximum)", shrink=0.8)
    return figure


@house_style
def first_look(cine: Any, kspace: Any) -> Figure:
    """Draw what shows a wrong axis at once: the middle frame, its middle column over time, and its k-space.

    Parameters
    ----------
    cine, kspace
        shape ``(t, y, x)``; of several coils the root of the sum of squares of k-space
    """
    cine, kspace = magnitude(cine), magnitude(kspace)
    t, y, x = cine.shape
    figure, axes = plt.subplots(1, 3, figsize=(3 * PANEL, 3.4))
    axes[0].imshow(cine[t // 2], cmap="gray")
    image_axes(axes[0], f"Frame {t // 2} of {t}\n{y} lines x {x} columns")
    axes[1].imshow(cine[:, :, x // 2].T, cmap="gray", aspect="auto")
    image_axes(axes[1], f"Column {x // 2}\nover time", "frame", "")
    decades = np.log10(kspace[t // 2] / kspace[t // 2].max() + 1e-5)
    axes[2].imshow(decades, cmap="gray", vmin=-5, vmax=0)
    image_axes(axes[2], "k-space of the frame\n5 decades", "kx (sample)", "ky (line)")
    return figure


@house_style
def gallery(images: Sequence[Any], titles: Sequence[str], across: int = 4) -> Figure:
    """Draw many images in rows, from black at 0 to white at 0.9, since hardly anything but fat is brighter.

    Parameters
    ----------
    images
        each ``(y, x)``, magnitude in [0, 1]
    titles
        one title per image
    across
        how many images stand in a row
    """
    if len(images) != len(titles) or not len(images):
        raise ValueError(f"expected as many titles as images, found {len(titles)} for {len(images)}")
    lines, columns = images[0].shape
    across = min(across, len(images))
    down = -(-len(images) // across)
    figure, axes = plt.subplots(
        down, across, squeeze=False, figsize=(3 * across, down * (0.4 + 3 * lines / columns))
    )
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, vmin=0, vmax=0.9)
        ax.set_title(title)
    return figure


@house_style
def maps(
    named: Mapping[str, Any],
    label: str,
    limits: tuple[float, float],
    axes: tuple[str, str] = ("x (pixel)", "y (pixel)"),
) -> Figure:
    """Draw maps of one quantity, such as coil maps or g-factors, with a colour bar that all of them share.

    Parameters
    ----------
    named
        title -> map ``(y, x)``; of complex maps the magnitude is shown, and what is not a number stays white
    label
        name of the quantity, written at the colour bar
    limits
        the values at both ends of the colour bar
    axes
        names of the axes
    """
    arrays = {title: magnitude(values) for title, values in named.items()}
    shapes = {values.shape for values in arrays.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
        raise ValueError(f"expected maps (y, x) of one shape, found {[v.shape for v in arrays.values()]}")
    lines, columns = shape
    height = min(PANEL * max(lines / columns, 0.8), 5) + 0.6
    figure, panels = plt.subplots(
        1, len(arrays), squeeze=False, sharey=True, figsize=(PANEL * len(arrays) + 1.2, height)
    )
    for ax, (title, values) in zip(panels[0], arrays.items(), strict=True):
        shown = ax.imshow(values, cmap=MAP, vmin=limits[0], vmax=limits[1])
        image_axes(ax, title, axes[0], "" if ax is not panels[0, 0] else axes[1])
    figure.colorbar(shown, ax=panels, label=label, shrink=0.8)
    return figure
