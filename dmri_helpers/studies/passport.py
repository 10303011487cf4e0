"""The metric passport: one reconstruction, scored under the conventions of the field.

"PSNR" names a family. Papers differ in the peak, in whether frames or volumes are scored, in the window of the SSIM,
and in how reconstruction and reference are scaled and cropped first. A convention is here a scaling, then always the
same formulas with peak 1:

``PSNR = -10 log10 mean(|x - m|^2)``, SSIM with ``data_range=1`` [1]_, ``NMSE = ||x - m||^2 / ||m||^2``.

A peak ``p`` other than 1 is the same as dividing both images by ``p``. What was read of the published evaluators:

- fastMRI: repository ``facebookresearch/fastMRI``, file ``fastmri/evaluate.py``. PSNR and NMSE of the volume; SSIM of
  every slice, with the uniform window of 7 x 7 pixels that is scikit-image's default; the peak of all is the maximum of
  the target volume. Frames take the place of slices. The script first crops to a square with the side of the last
  axis, which its square targets do not need; here nothing is cropped.
- CMRxRecon 2023: repository ``CmrxRecon/CMRxRecon``, file ``Evaluation/Evaluation.py``. Every frame of both is divided
  by its own maximum. The window is the one of fastMRI.
- CMRxRecon 2024: repository ``CmrxRecon/CMRxRecon2025-snippets``, files ``Evaluation.py`` and ``Val_Score2024.py`` in
  ``evaluation-2024``. Every frame of both loses its mean and is divided by its standard deviation. The second file
  calls ``calmetric(gtmat, reconmat)`` where the first defines ``calmetric(pred_recon, gt_recon)``, so that the peak of
  PSNR and SSIM and the energy of the NMSE are those of the *reconstruction*. This is reproduced as it was published.
- The crop of CMRxRecon: repository ``CmrxRecon/CMRxRecon2024``, file ``CMRxReconDemo/run4Ranking.m`` (2023 has the same
  numbers), and its Python form ``ReconTutorial/run4ranking.py``. It keeps the first three frames, the middle third of
  the readout ``x`` and the middle half of ``y``. The test set of 2024 was scored without this crop.

CMRxRecon 2025 is left out: its formula was found (each frame over its own 99.5th percentile), its crop was not.

References
----------
.. [1] Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE Trans Image Process
   13:600 (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from skimage.metrics import structural_similarity

from .. import metrics
from ..plotting import COLORS, MARKERS

WINDOW = 7  # pixels, of the uniform window that is scikit-image's default
GAUSSIAN = "Gaussian, 1.5 pixels, population covariance"
UNIFORM = f"uniform, {WINDOW} x {WINDOW} pixels, sample covariance"

Scores = tuple[float, float, float]


@dataclass(frozen=True)
class Convention:
    """One way to score a cine: its function, and in words its peak, window and mean."""

    label: str
    score: Callable[[np.ndarray, np.ndarray], Scores]
    peak: str
    window: str
    mean: str


def passport(recon, reference) -> list[dict[str, str | float]]:
    """Score one cine under every one of the `CONVENTIONS`.

    Parameters
    ----------
    recon, reference
        one cine, shape ``(t, y, x)``, tensor or array; complex cines count by their magnitude

    Returns
    -------
        one row per convention: ``convention``, ``psnr`` (dB, infinite where the error is zero), ``ssim``, ``nmse``, and
        in words its ``peak``, ``window`` and ``mean``. A convention that divides by zero gives NaN, as the published
        evaluator does

    Raises
    ------
    ValueError
        if the shapes differ or are not ``(t, y, x)``, the crop of CMRxRecon cannot hold a window of 7 x 7 pixels, a
        value is not finite, or a frame of the reference is empty
    """
    recon, reference = _checked(recon, reference)
    rows = []
    for convention in CONVENTIONS.values():
        with np.errstate(divide="ignore", invalid="ignore"):
            psnr, ssim, nmse = convention.score(recon, reference)
        rows.append(
            {"convention": convention.label, "psnr": float(psnr), "ssim": float(ssim), "nmse": float(nmse)}
            | {"peak": convention.peak, "window": convention.window, "mean": convention.mean}
        )
    return rows


def figure(passports: Mapping[str, Sequence[Mapping]]) -> Figure:
    """How many decibels the definition alone moves: one row of dots per convention, one dot per reconstruction.

    Parameters
    ----------
    passports
        name of a reconstruction -> its rows of `passport`, all of the same reference

    Raises
    ------
    ValueError
        if there is no reconstruction, or they were not scored under the same conventions
    """
    if not passports:
        raise ValueError("expected at least one reconstruction, found none")
    labels = [[str(row["convention"]) for row in rows] for rows in passports.values()]
    if any(names != labels[0] for names in labels):
        raise ValueError(f"expected the same conventions for all of {list(passports)}, found different ones")
    drawn = Figure(figsize=(8.6, 1.8 + 0.42 * len(labels[0])), layout="constrained")
    ax = drawn.subplots()
    for number, (name, rows) in enumerate(passports.items()):
        psnr = np.array([row["psnr"] for row in rows], dtype=float)
        psnr[~np.isfinite(psnr)] = np.nan
        ax.plot(
            psnr,
            np.arange(len(psnr)),
            linestyle="",
            marker=MARKERS[number % len(MARKERS)],
            color=COLORS[number % len(COLORS)],
            markersize=8,
            label=f"{name}: {np.nanmin(psnr):.1f} to {np.nanmax(psnr):.1f} dB"
            if np.isfinite(psnr).any()
            else name,
        )
    ax.set(
        xlabel="PSNR (dB)",
        yticks=np.arange(len(labels[0])),
        title="The same reconstructions, other definitions",
    )
    ax.set_yticklabels(labels[0])
    ax.set_ylim(len(labels[0]) - 0.5, -0.5)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    drawn.legend(loc="outside lower center", ncols=min(len(passports), 3), frameon=False)
    return drawn


def _frames(recon: np.ndarray, reference: np.ndarray) -> Scores:
    """The course's convention: mean of the frames."""
    frames = metrics.frame_metrics(recon, reference)
    return tuple(frames[name].mean() for name in ("psnr", "ssim", "nmse"))


def _volume(recon: np.ndarray, reference: np.ndarray) -> Scores:
    """The seed's convention: the cine is one volume."""
    scores = metrics.cine_metrics(recon, reference)
    return scores["psnr_volume"], scores["ssim_volume"], _nmse(recon, reference)


def _uniform(recon: np.ndarray, reference: np.ndarray) -> Scores:
    """Mean of the frames, with the peaks of the reference's frames and scikit-image's default window."""
    recon, reference = _divided(recon, reference, _frame_peaks(reference))
    pairs = list(zip(recon, reference, strict=True))
    scores = [(_psnr(x, m), _uniform_ssim(x, m), _nmse(x, m)) for x, m in pairs]
    return tuple(np.mean(scores, 0))


def _fastmri(recon: np.ndarray, reference: np.ndarray) -> Scores:
    recon, reference = _divided(recon, reference, reference.max())
    ssim = np.mean([_uniform_ssim(x, m) for x, m in zip(recon, reference, strict=True)])
    return _psnr(recon, reference), ssim, _nmse(recon, reference)


def _cmrxrecon_2023(recon: np.ndarray, reference: np.ndarray) -> Scores:
    recon, reference = (cine / _frame_peaks(cine) for cine in (_cropped(recon), _cropped(reference)))
    return _uniform(recon, reference)


def _cmrxrecon_2024(recon: np.ndarray, reference: np.ndarray) -> Scores:
    recon, reference = (
        (cine - cine.mean((1, 2), keepdims=True)) / cine.std((1, 2), keepdims=True)
        for cine in (_cropped(recon), _cropped(reference))
    )
    return _uniform(reference, recon)  # in this order, see the top


def _psnr(recon: np.ndarray, reference: np.ndarray) -> float:
    return metrics.psnr(np.mean((recon - reference) ** 2))


def _nmse(recon: np.ndarray, reference: np.ndarray) -> float:
    return np.sum((recon - reference) ** 2) / np.sum(reference**2)


def _uniform_ssim(recon: np.ndarray, reference: np.ndarray) -> float:
    return structural_similarity(reference, recon, data_range=1.0, win_size=WINDOW)


def _divided(recon: np.ndarray, reference: np.ndarray, peak) -> tuple[np.ndarray, np.ndarray]:
    return recon / peak, reference / peak


def _frame_peaks(cine: np.ndarray) -> np.ndarray:
    return cine.max((1, 2), keepdims=True)


def _cropped(cine: np.ndarray) -> np.ndarray:
    """What CMRxRecon ranks: the first three frames, the middle half of y and the middle third of x."""
    lines, columns = (_middle(n, parts) for n, parts in zip(cine.shape[1:], (2, 3), strict=True))
    return cine[:3, lines, columns]


def _middle(n: int, parts: int) -> slice:
    """The middle of ``n`` samples as MATLAB's ``round`` and the crop of CMRxRecon cut it."""
    kept = (2 * n + parts) // (2 * parts)  # n / parts, a half rounded up
    first = n // 2 - kept // 2
    return slice(first, first + kept)


def _checked(recon, reference) -> tuple[np.ndarray, np.ndarray]:
    recon, reference = (
        np.abs(np.asarray(a.detach().cpu() if hasattr(a, "detach") else a)).astype(np.float64)
        for a in (recon, reference)
    )
    if recon.shape != reference.shape or reference.ndim != 3 or 0 in reference.shape:
        raise ValueError(
            f"expected two cines (t, y, x) of one shape, found {recon.shape} and {reference.shape}"
        )
    if min(_cropped(reference).shape[1:]) < WINDOW:
        raise ValueError(
            f"expected frames of at least 13 x 20 pixels, found {reference.shape[1]} x {reference.shape[2]}"
        )
    for name, cine in (("reconstruction", recon), ("reference", reference)):
        if not np.isfinite(cine).all():
            raise ValueError(
                f"expected finite values, found {(~np.isfinite(cine)).sum()} others in the {name}"
            )
    empty = np.flatnonzero(reference.max((1, 2)) == 0)
    if len(empty):
        raise ValueError(f"expected signal in every frame of the reference, found none in frame {empty[0]}")
    return recon, reference


_CROP = "first three frames, middle half of y and middle third of x; mean over the frames"
CONVENTIONS = {
    "frames": Convention("frames, peak 1", _frames, "1", GAUSSIAN, "mean over the frames"),
    "volume": Convention("volume, peak 1", _volume, "1", GAUSSIAN + ", in three dimensions", "one volume"),
    "frames_target_peak": Convention(
        "frames, peak of the target",
        lambda recon, reference: _frames(*_divided(recon, reference, _frame_peaks(reference))),
        "largest value of the target frame",
        GAUSSIAN,
        "mean over the frames",
    ),
    "volume_target_peak": Convention(
        "volume, peak of the target",
        lambda recon, reference: _volume(*_divided(recon, reference, reference.max())),
        "largest value of the target volume",
        GAUSSIAN + ", in three dimensions",
        "one volume",
    ),
    "fastmri": Convention(
        "fastMRI",
        _fastmri,
        "largest value of the target volume",
        UNIFORM,
        "PSNR and NMSE of the volume, SSIM as mean over the frames",
    ),
    "cmrxrecon_2023": Convention(
        "CMRxRecon 2023",
        _cmrxrecon_2023,
        "1, after each frame was divided by its own maximum",
        UNIFORM,
        _CROP,
    ),
    "cmrxrecon_2024": Convention(
        "CMRxRecon 2024",
        _cmrxrecon_2024,
        "largest value of the reconstructed frame, after each frame was scaled to mean 0 and standard deviation 1",
        UNIFORM,
        _CROP,
    ),
}
"""name -> convention; the order of the rows and of the figure"""
