"""The explorers of the course: k-space and masks (notebook 01), data consistency and reconstruction (06).

Every one takes functions that the notebook has written, so that a reader sees the effect of the lines in the notebook.
Images have the shape ``(y, x)`` and cines ``(t, y, x)``; tensors and arrays are both welcome. Settings to start from
that are not among the values offered, or that are impossible, raise a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from .. import plotting
from ..fourier import fft2c, ifft2c
from ..metrics import cine_metrics, psnr
from .page import error_colors, to_bytes
from .panels import Explorer, Panel, explorer


def _decibel(error: np.ndarray) -> str:
    return f"{psnr(np.square(error).mean()):.1f} dB"


def _logarithmic(kspace: np.ndarray, peak: float) -> np.ndarray:
    """Scale the magnitude of k-space to bytes, with 100 dB from black to white."""
    return to_bytes(20 * np.log10(np.maximum(kspace / peak, 1e-9)), -100, 0)


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
    """Show mask, point-spread function and aliased image as acceleration, centre lines, density and seed change.

    Parameters
    ----------
    make_mask
        ``make_mask(acceleration=, center_lines=, density=, seed=)`` -> mask, ``(t, y, 1)`` or ``(1, t, y, 1)``, True
        where sampled; the message of a ValueError is shown in place of the picture
    undersample
        ``undersample(mask, frame)`` -> the aliased image of that frame, magnitudes in [0, 1]
    reference
        the fully sampled cine
    acceleration, center_lines, density, seed, frame
        the settings to start from
    densities
        the densities offered
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
            Panel("mask in ky-t", "frame →   ky ↓", to_bytes(mask, 0, 1)),
            Panel(f"mask of frame {frame}", "kx →   ky ↓", to_bytes(np.repeat(sampled[:, None], 8, 1), 0, 1)),
            Panel("point-spread function", "y →   −60 to 0 dB ↑", np.asarray(curve)),
            Panel(f"aliased frame {frame}", "x →   y ↓", to_bytes(image, 0, 1)),
        ]
        achieved = mask.size / max(int(mask.sum()), 1)
        sentence = f"{int(sampled.sum())} of {lines} lines, acceleration {achieved:.2f} achieved"
        return f"{sentence}; zero-filled frame {frame}: {_decibel(image - truth[frame])}", panels

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
    """Show what remains of an image when only some lines at the centre or at the edge of k-space are kept.

    Parameters
    ----------
    keep
        ``keep(part, lines)`` -> k-space with only the kept lines, a tensor ``(y, x)``; part is ``centre`` or ``edge``
    reference
        the whole image, a tensor
    lines
        the number of lines to start from
    """
    truth = plotting.magnitude(reference)
    peak = plotting.magnitude(fft2c(reference)).max()

    def draw(keep_the: str, lines: int) -> tuple[str, list[Panel]]:
        kept = keep(keep_the, lines)
        kspace, image = plotting.magnitude(kept), plotting.magnitude(ifft2c(kept))
        energy = (kspace**2).sum() / (truth**2).sum()
        panels = [
            Panel("k-space that is kept", "kx →   ky ↓, 100 dB", _logarithmic(kspace, peak)),
            Panel("its image", "x →   y ↓", to_bytes(image, 0, max(1e-6, min(1, image.max())))),
            Panel(
                "what is missing × 3",
                "x →   y ↓",
                error_colors()[to_bytes(np.abs(image - truth), 0, 1 / 3)],
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
    """Show how a wrong image and its errors in k-space change with the weight of the measured data.

    Parameters
    ----------
    consistent
        ``consistent(name, weight)`` -> the wrong image of that name after a step of data consistency of that weight (0
        ignores the data, infinity is hard consistency), a tensor
    names
        names of the wrong images
    reference
        the true image, a tensor
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
            Panel("image", "x →   y ↓", to_bytes(plotting.magnitude(image), 0, 1)),
            Panel("|error| × 5", "x →   y ↓", error_colors()[to_bytes(np.abs(difference), 0, 0.2)]),
            Panel("|error| in k-space", "kx →   ky ↓, 100 dB", _logarithmic(error, kspace.max())),
        ]
        sentence = f"{_decibel(difference)}; k-space error: {100 * parts[0]:.2f} % on measured lines"
        return f"{sentence}, {100 * parts[1]:.2f} % on the others", panels

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
    """Show the reconstruction of a method at an acceleration, with its errors and metrics; each is computed once.

    Parameters
    ----------
    reconstruct
        ``reconstruct(method, acceleration)`` -> cine ``(t, y, x)`` or ``(1, t, y, x)``
    methods, accelerations
        the values that the reader can choose
    reference
        the true cine
    frame
        the frame shown
    column
        readout position whose profile over time is shown; None takes the middle
    """
    truth = plotting.one_cine(reference, "reference")
    column = truth.shape[2] // 2 if column is None else plotting.check_index("column", column, truth.shape[2])
    plotting.check_index("frame", frame, len(truth))

    @lru_cache(None)
    def measured(method: str, acceleration: float) -> tuple[str, list[Panel]]:
        cine = plotting.one_cine(reconstruct(method, acceleration), method)
        scores = cine_metrics(cine, truth)
        quality = f"{scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}"
        sentence = f"{method} at acceleration {acceleration:g}: {quality}"
        profile = np.repeat(cine[:, :, column].T, max(1, truth.shape[1] // len(cine)), 1)
        errors = error_colors()[to_bytes(np.abs(cine[frame] - truth[frame]), 0, 0.2)]
        return f"{sentence}, where it moves {scores['psnr_dynamic']:.2f} dB", [
            Panel(f"frame {frame}", "x →   y ↓", to_bytes(cine[frame], 0, 1)),
            Panel("|error| × 5", "x →   y ↓", errors),
            Panel(f"column {column} over time", "frame →   y ↓", to_bytes(profile, 0, 1)),
            Panel(f"frame {frame}, fully sampled", "x →   y ↓", to_bytes(truth[frame], 0, 1)),
        ]

    controls = {"method": list(methods), "acceleration": list(accelerations)}
    start = {"method": methods[0], "acceleration": accelerations[0]}
    return explorer(measured, controls, start, controls)
