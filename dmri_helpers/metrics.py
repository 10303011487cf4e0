"""Image quality: PSNR, SSIM and NMSE, per frame, per cine, over the volume and in the moving heart (notebook 02).

Peak and data range are 1 by convention (magnitudes lie in [0, 1]); they are never guessed from the prediction. In all
functions ``recon`` and ``reference`` are one cine each, shape ``(t, y, x)``, tensor or array; complex cines count by
their magnitude. A ``ValueError`` for other shapes names both.
"""

from collections.abc import Iterable

import numpy as np
from skimage.metrics import structural_similarity

MOTION_THRESHOLD = 0.05
METRICS = ("psnr", "ssim", "nmse", "psnr_volume", "ssim_volume", "psnr_dynamic")
_SSIM = dict(data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def frame_metrics(recon, reference) -> dict[str, np.ndarray]:
    """PSNR, SSIM and NMSE of every frame.

    ``PSNR = -10 log10 mean(|x - m|^2)`` in dB with peak 1; SSIM as in Wang et al. [1]_ (Gaussian window of
    1.5 pixels, population covariance); ``NMSE = ||x - m||^2 / ||m||^2``.

    Returns
    -------
        ``psnr`` (dB), ``ssim``, ``nmse``, each of shape ``(t,)``; PSNR is infinite where the error is zero

    References
    ----------
    .. [1] Wang et al., Image quality assessment: from error visibility to structural similarity,
       IEEE Trans Image Process 13:600 (2004).
    """
    recon, reference = _magnitudes(recon, reference)
    error = ((recon - reference) ** 2).mean((1, 2))
    energy = (reference**2).mean((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "psnr": psnr(error),
            "ssim": np.array([_ssim(x, m) for x, m in zip(recon, reference, strict=True)]),
            "nmse": error / energy,
        }


def cine_metrics(recon, reference) -> dict[str, float]:
    """All metrics of one cine.

    ``psnr``, ``ssim``, ``nmse`` are means over the frames. ``psnr_volume`` and ``ssim_volume`` treat the cine as
    one volume, as the seed report does. ``psnr_dynamic`` looks only at the pixels that move: temporal standard
    deviation of the reference above 0.05.

    Returns
    -------
        the six metrics, PSNR in dB; ``psnr_dynamic`` is NaN where nothing moves
    """
    frames = frame_metrics(recon, reference)
    recon, reference = _magnitudes(recon, reference)
    squared = (recon - reference) ** 2
    moving = reference.std(0) > MOTION_THRESHOLD
    return {
        **{name: float(values.mean()) for name, values in frames.items()},
        "psnr_volume": float(psnr(squared.mean())),
        "ssim_volume": _ssim(recon, reference),
        "psnr_dynamic": float(psnr(squared[:, moving].mean())) if moving.any() else float("nan"),
    }


def summarise(rows: Iterable[dict]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of every metric over cines, the latter estimated with n - 1.

    Parameters
    ----------
    rows
        one dictionary per cine, as `cine_metrics` gives it; other entries are passed over

    Returns
    -------
        ``{metric: {"mean": ..., "std": ..., "n": ...}}``; the ``n`` cines whose value is finite count; mean of none
        and standard deviation of fewer than two are NaN
    """
    rows = list(rows)
    summary = {}
    for name in METRICS:
        values = np.array([row[name] for row in rows if name in row and np.isfinite(row[name])])
        mean = values.mean() if values.size else np.nan
        std = values.std(ddof=1) if values.size > 1 else np.nan
        summary[name] = {"mean": float(mean), "std": float(std), "n": values.size}
    return summary


def psnr(mean_squared_error):
    """PSNR in dB, peak 1, of a mean squared error or an array of them; infinite where it is zero."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mean_squared_error)


def _ssim(recon: np.ndarray, reference: np.ndarray) -> float:
    """SSIM with the options of the course; on axes below the usual 11 samples the border that is left out shrinks."""
    shortest = min(reference.shape)
    window = {} if shortest >= 11 else {"win_size": shortest - 1 + shortest % 2}
    return float(structural_similarity(reference, recon, **_SSIM, **window))


def _magnitudes(recon, reference) -> tuple[np.ndarray, np.ndarray]:
    recon, reference = (
        np.abs(np.asarray(a.detach().cpu() if hasattr(a, "detach") else a)) for a in (recon, reference)
    )
    if recon.shape != reference.shape or reference.ndim != 3:
        raise ValueError(
            f"expected two cines (t, y, x) of one shape, found {recon.shape} and {reference.shape}"
        )
    return recon, reference
