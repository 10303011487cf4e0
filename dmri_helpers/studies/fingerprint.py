"""The fingerprint of a set of cines: the statistics by which phantoms are compared with real hearts (notebook 01).

How well an undersampled cine can be reconstructed depends on a few of its properties: how bright it is, how fast its
spectrum falls, how much of it moves, how fast and where. Each row measures one of them for every cine, so that two sets
of cines can be compared as distributions. The distance between their means is counted in standard deviations of the
real cines.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tqdm import tqdm

from ..classical import temporal_mean, view_sharing, zero_filled
from ..fourier import fft2c
from ..metrics import cine_metrics
from ..operators import ForwardModel
from ..plotting.style import BLUE, house_style, math_title
from ..sampling import line_density

PANELS = {
    "images": {
        "intensity_q05": "intensity, 5 % quantile",
        "intensity_q25": "intensity, 25 % quantile",
        "intensity_q50": "intensity, median",
        "intensity_q75": "intensity, 75 % quantile",
        "intensity_q95": "intensity, 95 % quantile",
        "intensity_mean": "intensity, mean",
        "slope_2_10": "spectrum: slope, 2-10 cycles/FOV",
        "slope_10_40": "spectrum: slope, 10-40 cycles/FOV",
        "slope_40_90": "spectrum: slope, 40-90 cycles/FOV",
        "zero_filled_psnr": "zero-filled: PSNR (dB)",
        "zero_filled_ssim": "zero-filled: SSIM",
        "temporal_mean_psnr": "temporal mean: PSNR (dB)",
        "view_sharing_psnr": "view sharing: PSNR (dB)",
    },
    "motion": {
        "dynamic_energy": "dynamic energy (share)",
        "moving_above_05": "pixels with sd over time > 0.05",
        "moving_above_10": "pixels with sd over time > 0.1",
        "harmonic_1": "harmonic 1 (share of dynamics)",
        "harmonic_2": "harmonic 2 (share of dynamics)",
        "harmonic_3": "harmonic 3 (share of dynamics)",
        "harmonic_4": "harmonic 4 (share of dynamics)",
        "harmonic_5": "harmonic 5 (share of dynamics)",
        "difference_neighbours": "frame difference²: neighbours",
        "difference_last_first": "frame difference²: last to first",
        "difference_first_ninth": "frame difference²: first to ninth",
        "motion_slope_2_10": "motion: slope, 2-10 cycles/FOV",
        "motion_slope_10_40": "motion: slope, 10-40 cycles/FOV",
        "motion_radius": "motion: rms radius (share of FOV)",
    },
}
"""Part of the fingerprint -> name of a row -> how the row is labelled."""

ROWS = {name: label for rows in PANELS.values() for name, label in rows.items()}

PUBLISHED = {
    "intensity_q05": (0.008, 0.012),
    "intensity_q25": (0.054, 0.035),
    "intensity_q50": (0.131, 0.049),
    "intensity_q75": (0.267, 0.087),
    "intensity_q95": (0.546, 0.103),
    "intensity_mean": (0.185, 0.049),
    "slope_2_10": (-2.0, None),
    "slope_10_40": (-2.9, None),
    "slope_40_90": (-3.8, None),
    "zero_filled_psnr": (22.8, 1.8),
    "zero_filled_ssim": (0.553, 0.072),
    "temporal_mean_psnr": (33.4, 2.2),
    "view_sharing_psnr": (34.5, 2.3),
    "dynamic_energy": (0.0155, 0.0098),
    "moving_above_05": (0.076, None),
    "moving_above_10": (0.022, None),
    "harmonic_1": (0.575, None),
    "harmonic_2": (0.167, None),
    "harmonic_3": (0.080, None),
    "harmonic_4": (0.051, None),
    "harmonic_5": (0.033, None),
    "difference_neighbours": (5.3e-4, None),
    "difference_last_first": (2.2e-3, None),
    "difference_first_ninth": (3.6e-3, None),
}
"""Row -> mean and standard deviation over the 44 real cines of the seed report (the last two PSNR: over 32 of them)."""

MEASURED = Path(__file__).parent / "real_fingerprint.json"
"""The rows of 32 of those cines, as ``dmri fingerprint`` wrote them. No image can be made from them."""

REAL_SHAPE = (20, 192, 192)
_STILL = 1e-10  # a dynamic energy below this is rounding error
_ACCELERATION, _CENTER_LINES, _MASK_SEED = 5, 11, 42


def fingerprint(cines: Sequence) -> dict[str, np.ndarray]:
    """Measure every row of `ROWS` on every cine, with a progress bar on stderr.

    The magnitude is ``m``, and ``d_t = m_t - mean_t m`` is the part of it that moves.

    - Intensity: quantiles and mean of ``m``.
    - Spectrum: the slope of ``log`` power over ``log`` radius. The power ``|F m_t|^2`` is averaged over frames and over
      rings of one cycle/FOV, where each axis has its own field of view. The motion slope is the same of ``d``.
    - Dynamic energy: ``||d||^2 / ||m||^2``. Harmonic ``h``: the share of ``||d||^2`` in the temporal frequency of
      ``h`` cycles per series. Frame difference²: the mean of ``(m_s - m_t)^2``.
    - Motion radius: the root mean square distance from the centroid of the motion, weighted with the variance over
      time, as a share of the FOV.
    - Reconstructions: PSNR and 3-D SSIM of the whole cine, with the mask of the seed report (acceleration 5, 11 centre
      lines, seed 42 of numpy's legacy generator, drawn for the size of the cines). The mask of
      ``sampling.ky_t_mask(seed=42)`` comes from torch's generator and has other lines. On 32 real cines the mean PSNR
      of both agrees to 0.02 dB and the mean SSIM to 0.013.

    Parameters
    ----------
    cines
        `data.Cines`, array or tensor of shape ``(n, t, y, x)``, magnitudes in [0, 1] or complex; one cine at a time is
        read into memory

    Returns
    -------
        row -> shape ``(n,)``, in the order of `ROWS`. A number is NaN where a cine does not have it: a difference over
        more frames than there are, a harmonic beyond half the frames, a slope beyond half the lines or columns, a
        reconstruction of fewer than 55 lines, anything about motion where nothing moves

    Raises
    ------
    ValueError
        if the shape is not ``(n, t, y, x)`` or one of its axes is empty
    """
    shape = tuple(cines.shape)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"expected cines of shape (n, t, y, x), found {shape}")
    mask = _seed_mask(*shape[1:3]) if shape[2] // _ACCELERATION >= _CENTER_LINES else None
    measured = [
        _measure(np.abs(np.asarray(cines[i])).astype(np.float32), mask)
        for i in tqdm(range(shape[0]), desc="fingerprint", unit="cine", delay=2)
    ]
    values = np.array([[row[name] for name in ROWS] for row in measured], dtype=float)
    values[~np.isfinite(values)] = np.nan
    return dict(zip(ROWS, values.T, strict=True))


def real() -> dict[str, dict]:
    """Return the fingerprint of real short-axis cines of 20 frames of 192 x 192.

    Mean and standard deviation are those of `PUBLISHED`. Where a row has none, they are of the 32 cines of `MEASURED`.

    Returns
    -------
        row -> ``panel`` and ``label`` as in `PANELS`, ``mean``, ``std``, and ``values`` of the 32, shape ``(32,)``
    """
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]
    reference = {}
    for panel, rows in PANELS.items():
        for name, label in rows.items():
            values = np.array(measured[name]["values"])
            mean, std = PUBLISHED.get(name, (values.mean(), None))
            std = values.std() if std is None else std
            reference[name] = {"panel": panel, "label": label, "mean": mean, "std": std, "values": values}
    return reference


def compare(
    rows: Mapping[str, np.ndarray], reference: Mapping[str, Mapping] | None = None
) -> dict[str, dict[str, float]]:
    """Compute mean and (population) standard deviation of every row, and their distance from the reference.

    Parameters
    ----------
    rows
        the rows that `fingerprint` returned; a cine whose number is NaN does not count
    reference
        in the form of `real`, which is the default

    Returns
    -------
        row -> ``mean``, ``std`` and ``z = (mean - mean_ref) / std_ref``; NaN where no cine has a number
    """
    reference = real() if reference is None else reference
    compared = {}
    for name, values in rows.items():
        values = values[np.isfinite(values)]
        mean, std = (values.mean(), values.std()) if values.size else (np.nan, np.nan)
        z = (mean - reference[name]["mean"]) / reference[name]["std"]
        compared[name] = {"mean": float(mean), "std": float(std), "z": float(z)}
    return compared


def _measure(m: np.ndarray, mask: torch.Tensor | None) -> dict[str, float]:
    """Measure all rows of one cine, shape ``(t, y, x)``."""
    t = len(m)
    with np.errstate(divide="ignore", invalid="ignore"):
        quantiles = np.quantile(m, (0.05, 0.25, 0.5, 0.75, 0.95))
        row = dict(zip(list(ROWS)[:5], quantiles, strict=True)) | {"intensity_mean": m.mean(dtype=float)}

        kspace = fft2c(torch.from_numpy(m))
        spectrum, moving = _rings(kspace), _rings(kspace - kspace.mean(0))
        for low, high in ((2, 10), (10, 40), (40, 90)):
            row[f"slope_{low}_{high}"] = _slope(spectrum, low, high)
        for low, high in ((2, 10), (10, 40)):
            row[f"motion_slope_{low}_{high}"] = _slope(moving, low, high)

        variance = m.var(0, dtype=float)
        row["dynamic_energy"] = t * variance.sum() / (m**2).sum(dtype=float)
        row["moving_above_05"], row["moving_above_10"] = ((variance > sd**2).mean() for sd in (0.05, 0.1))
        row["motion_radius"] = _rms_radius(variance)
        for h, share in enumerate(_harmonics(m, 5), 1):
            row[f"harmonic_{h}"] = share
        row["difference_neighbours"] = _difference(m[1:], m[:-1])
        row["difference_last_first"] = _difference(m[-1:], m[: min(t - 1, 1)])
        row["difference_first_ninth"] = _difference(m[8:9], m[:1])
        if row["dynamic_energy"] < _STILL:
            row |= {name: np.nan for name in row if name.startswith(("harmonic", "motion"))}
        return row | _reconstructed(m, kspace, mask)


def _rings(kspace: torch.Tensor) -> np.ndarray:
    """Average the power over frames and over rings of one cycle per field of view, up to half the shorter side."""
    power = kspace.abs().square().mean(0).numpy().astype(float)
    y, x = (np.arange(size) - size // 2 for size in power.shape)
    ring = np.rint(np.hypot(y[:, None], x)).astype(int).ravel()
    rings = np.bincount(ring, power.ravel()) / np.bincount(ring)
    return rings[: min(power.shape) // 2 + 1]


def _slope(spectrum: np.ndarray, low: int, high: int) -> float:
    """Fit the slope of log power over log radius by least squares; NaN if the spectrum ends earlier or is zero."""
    if high >= len(spectrum):
        return np.nan
    radius = np.log(np.arange(low, high + 1))
    radius -= radius.mean()
    return radius @ np.log(spectrum[low : high + 1]) / (radius @ radius)


def _harmonics(m: np.ndarray, count: int) -> np.ndarray:
    """Share of the dynamic energy in each of the first harmonics; frequencies +h and -h count together."""
    t = len(m)
    power = (np.abs(np.fft.rfft(m, axis=0)) ** 2).sum((1, 2), dtype=float)
    power[1 : (t + 1) // 2] *= 2
    shares = np.full(count, np.nan)
    found = power[1 : count + 1] / power[1:].sum()
    shares[: len(found)] = found
    return shares


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return ((a - b) ** 2).mean(dtype=float) if len(a) and len(b) else np.nan


def _rms_radius(weight: np.ndarray) -> float:
    """Root mean square distance from the centroid, where each axis is measured as a share of its field of view."""
    weight = weight / weight.sum()
    square = 0.0
    for along in (weight.sum(1), weight.sum(0)):
        place = np.arange(len(along)) / len(along)
        square += along @ (place - along @ place) ** 2
    return square**0.5


def _reconstructed(m: np.ndarray, kspace: torch.Tensor, mask: torch.Tensor | None) -> dict[str, float]:
    """Reconstruct the undersampled cine in three simple ways and measure how good they are."""
    names = "zero_filled_psnr", "zero_filled_ssim", "temporal_mean_psnr", "view_sharing_psnr"
    if mask is None:
        return dict.fromkeys(names, np.nan)
    A = ForwardModel(mask)
    zero, mean, view = (
        method(kspace[None], A)[0].abs().numpy() for method in (zero_filled, temporal_mean, view_sharing)
    )
    quality = cine_metrics(zero, m)
    others = (-10 * np.log10(_difference(image, m)) for image in (mean, view))
    return dict(zip(names, (quality["psnr_volume"], quality["ssim_volume"], *others), strict=True))


def _seed_mask(t: int, lines: int) -> torch.Tensor:
    """Draw the mask of the seed report, shape ``(1, t, y, 1)``, bool, with numpy's frozen legacy generator."""
    rng = np.random.RandomState(_MASK_SEED)
    centre = slice(lines // 2 - _CENTER_LINES // 2, lines // 2 - _CENTER_LINES // 2 + _CENTER_LINES)
    density = line_density(lines).numpy().copy()
    density[centre] = 0
    density /= density.sum()
    mask = np.zeros((t, lines), bool)
    mask[:, centre] = True
    for frame in mask:
        frame[rng.choice(lines, lines // _ACCELERATION - _CENTER_LINES, replace=False, p=density)] = True
    return torch.from_numpy(mask)[None, :, :, None]


@house_style
def figure(
    rows: Mapping[str, Sequence[float]],
    reference: Mapping[str, Mapping[str, Any]],
    name: str = "phantom",
    reach: float = 4,
) -> Figure:
    """Draw every row of two sets of cines on a line, in standard deviations of the reference around its mean.

    Parameters
    ----------
    rows
        row -> one value per cine; NaN where a cine has none
    reference
        row -> ``panel`` and ``label`` to write, ``mean``, ``std`` and ``values``, one per cine of the reference
    name
        name of the set that is compared
    reach
        standard deviations shown to either side; what lies beyond is drawn as a triangle at the edge

    Raises
    ------
    ValueError
        if no row is in the reference
    """
    panels: dict[str, list[str]] = {}
    for row in rows:
        if row in reference:
            panels.setdefault(str(reference[row]["panel"]), []).append(row)
    if not panels:
        raise ValueError(f"no row is in the reference: found {list(rows)}")
    lines = [len(shown) for shown in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        squeeze=False,
        figsize=(8.5, 1.2 * len(panels) + 0.34 * sum(lines)),
        height_ratios=lines,
    )
    for ax, (panel, shown) in zip(axes[:, 0], panels.items(), strict=True):
        ax.axvspan(-1, 1, color="0.9", label="within one sd of the real mean")
        ax.axvline(0, color="0.4", linestyle="-", linewidth=1)
        for place, row in enumerate(shown):
            _draw_row(ax, place, rows[row], reference[row], name, reach)
        ax.set(
            xlim=(-reach - 0.3, reach + 0.3),
            ylim=(len(shown) - 0.5, -0.6),
            yticks=range(len(shown)),
            yticklabels=[reference[row]["label"] for row in shown],
            xlabel="distance from the real mean (real sd)",
            title=math_title(panel),
        )
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.hlines(np.arange(len(shown) - 1) + 0.5, -reach, reach, color="0.85", linewidth=0.8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2)
    return figure


def _draw_row(
    ax: Axes, place: int, values: Sequence[float], real: Mapping[str, Any], name: str, reach: float
) -> None:
    """Draw the cines of both sets as dots, the mean of the compared set as a diamond, and its number at the right."""
    sets = (
        ("real", real["values"], -0.2, {"mec": "0.35", "mfc": "none"}),
        (name, values, 0.2, {"mec": "none", "mfc": BLUE, "alpha": 0.55}),
    )
    for label, numbers, shift, look in sets:
        z = (np.asarray(numbers, dtype=float) - real["mean"]) / real["std"]
        z = z[np.isfinite(z)]
        for marker, part in (("o", z[np.abs(z) <= reach]), ("<", z[z < -reach]), (">", z[z > reach])):
            ax.plot(
                part.clip(-reach, reach),
                np.full(part.size, place + shift),
                linestyle="",
                marker=marker,
                markersize=6,
                label=label if marker == "o" else None,
                **look,
            )
    mean = z.mean() if z.size else np.nan
    ax.plot(
        np.clip(mean, -reach, reach),
        place + 0.2,
        color="white",
        mec="black",
        mew=1.8,
        linestyle="",
        marker="D",
        markersize=8,
        label=f"mean of {name}, in numbers at the right",
    )
    ax.annotate(
        f"{mean:+.2f}".replace("-", "−") if z.size else "–",
        (1.02, place),
        xycoords=("axes fraction", "data"),
        va="center",
        weight="bold" if abs(mean) > 1 else "normal",
    )
