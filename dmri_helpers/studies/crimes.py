"""Data crimes: how much PSNR moves when a cine is not what a scanner measured.

Whoever undersamples stored images instead of raw data changes the problem without a word in the paper [1]_. Every study
here changes one thing about fully sampled complex cines, undersamples and reconstructs them, and compares the PSNR with
that of the control: the same cines and masks without the change. PSNR is that of the volume with peak 1.

The cines have to be innocent themselves: a cine that was stored as a magnitude, interpolated or scaled frame by frame
cannot show what that did to it. Phantoms drawn with ``noise=0`` and ``per_frame=False`` are, but for the outermost
lines of k-space, which many of them leave empty as many scanners do.

A magnitude has symmetric k-space, of which only some methods make use. View sharing with conjugates is one of the
methods here for that reason.

References
----------
.. [1] Shimron, Tamir, Wang & Lustig, Implicit data crimes: machine learning bias arising from misuse of public data,
   Proc Natl Acad Sci 119:e2117203119 (2022).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import stats
from tqdm import tqdm

from .. import classical, metrics
from ..fourier import fft2c, ifft2c
from ..operators import ForwardModel
from ..results.names import NAMES
from ..results.tables import render
from ..sampling import ky_t_mask

METHODS = ("zero_filled", "view_sharing", "conjugate_view_sharing", "kt_tv")
CRIMES = {
    "magnitude": "the magnitude was taken before undersampling",
    "zero_padded": "k-space was padded with zeros by a factor 1.5 before undersampling: the images are interpolated",
    "noisy_data": "no crime, the control of the next: noise in the measured lines, the reference is clean",
    "noisy_reference": "the same noise in the measured lines and in the reference",
    "frame_scaled": "every frame was divided by its own maximum before undersampling",
}
"""name -> what was done to the cines"""
PADDING = 1.5


def crimes(
    cines,
    methods: Sequence[str] = METHODS,
    acceleration: float = 5,
    center_lines: int = 11,
    noise: float = 0.02,
    seed: int = 0,
) -> list[dict]:
    """Measure every one of the `CRIMES` with every method.

    The control's cines are divided by their largest magnitude, one factor for a whole cine. Interpolated images have
    more lines, and so a mask of their own, drawn with the same seed, acceleration and number of centre lines, as
    somebody draws it who takes the images for data.

    Parameters
    ----------
    cines
        fully sampled, shape ``(n, t, y, x)``, complex, tensor or array
    methods
        names of functions in `classical`
    acceleration, center_lines
        see `sampling.ky_t_mask`; every cine has a mask of its own
    noise
        standard deviation of the complex white noise, relative to the largest magnitude of a cine
    seed
        of masks and noise

    Returns
    -------
        one row per crime and method: ``crime``, ``method``, ``n``, the means ``control`` and ``psnr`` (dB) over the
        cines, their difference ``change``, its standard deviation ``std`` (n - 1) and 95 % interval ``low`` to ``high``
        over the cines (paired, Student's t; NaN for one cine), and ``changes``, one per cine

    Raises
    ------
    ValueError
        if the cines are not complex or not ``(n, t, y, x)``, or the mask is impossible
    """
    cines = torch.as_tensor(cines)
    if cines.ndim != 4 or not cines.is_complex():
        raise ValueError(f"expected complex cines (n, t, y, x), found {tuple(cines.shape)} of {cines.dtype}")
    psnr = {crime: {method: [] for method in methods} for crime in ("control", *CRIMES)}
    for number, cine in enumerate(tqdm(cines, desc="crimes", unit="cine", delay=2)):
        cine = cine[None] / cine.abs().max()
        seeds = np.random.SeedSequence([seed, number]).generate_state(2)
        for crime, (data, reference) in _committed(cine, noise, int(seeds[1])).items():
            mask = ky_t_mask(data.shape, acceleration, center_lines, seed=int(seeds[0]))
            for method in methods:
                recon = _reconstruct(method, fft2c(data) * mask, mask)
                error = (recon.abs() - reference.abs()).double().square().mean()
                psnr[crime][method].append(float(metrics.psnr(error.item())))
    return [
        {"crime": crime, "method": method} | _compared(psnr[crime][method], psnr["control"][method])
        for crime in CRIMES
        for method in methods
    ]


def table(rows: Sequence[Mapping]) -> str:
    """The rows of `crimes` as a Markdown table: by how many dB each crime moves the PSNR of each method.

    Returns
    -------
        one line per crime: mean change and its 95 % interval over the cines; the first line is the PSNR of the control
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    control = {row["method"]: f"{row['control']:.2f} dB" for row in rows}
    lines: dict[str, dict[str, str]] = {"no crime (PSNR)": control}
    for row in rows:
        name = row["crime"].replace("_", " ")
        interval = f" ({row['low']:+.2f} to {row['high']:+.2f})" if row["n"] > 1 else ""
        lines.setdefault(name, {})[row["method"]] = f"{row['change']:+.2f}{interval}"
    headings = ["what was done", *(NAMES.get(method, method) for method in methods)]
    return render(headings, [[name, *(line[method] for method in methods)] for name, line in lines.items()])


def _reconstruct(method: str, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return getattr(classical, method)(kspace, ForwardModel(mask))


def _committed(cine: torch.Tensor, noise: float, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What is undersampled and what is the reference: for the control and for every crime."""
    generator = torch.Generator().manual_seed(seed)
    noisy = cine + noise * torch.randn(cine.shape, dtype=cine.dtype, generator=generator)
    magnitude = cine.abs().to(cine.dtype)
    interpolated = zero_padded(cine)
    frame_scaled = cine / cine.abs().amax((2, 3), keepdim=True)
    return {
        "control": (cine, cine),
        "magnitude": (magnitude, cine),
        "zero_padded": (interpolated, interpolated),
        "noisy_data": (noisy, cine),
        "noisy_reference": (noisy, noisy),
        "frame_scaled": (frame_scaled, frame_scaled),
    }


def zero_padded(cine: torch.Tensor, factor: float = PADDING) -> torch.Tensor:
    """Interpolate images by zeros around their k-space, as scanners do before they store them.

    Parameters
    ----------
    cine
        shape ``(..., y, x)``
    factor
        at least 1, of the number of pixels along ``y`` and along ``x``

    Returns
    -------
        shape ``(..., factor y, factor x)``, complex, of the same brightness
    """
    sizes = cine.shape[-2:]
    padded = [round(factor * n) for n in sizes]
    first = [larger // 2 - n // 2 for larger, n in zip(padded, sizes, strict=True)]
    kspace = torch.zeros(*cine.shape[:-2], *padded, dtype=torch.complex64, device=cine.device)
    kspace[..., first[0] : first[0] + sizes[0], first[1] : first[1] + sizes[1]] = fft2c(cine)
    return ifft2c(kspace) * math.sqrt(math.prod(padded) / math.prod(sizes))


def _compared(psnr: Sequence[float], control: Sequence[float]) -> dict:
    changes = np.subtract(psnr, control)
    n = len(changes)
    std = changes.std(ddof=1) if n > 1 else np.nan
    reach = stats.t.ppf(0.975, n - 1) * std / math.sqrt(n) if n > 1 else np.nan
    mean = changes.mean()
    return {
        "n": n,
        "control": float(np.mean(control)),
        "psnr": float(np.mean(psnr)),
        "change": float(mean),
        "std": float(std),
        "low": float(mean - reach),
        "high": float(mean + reach),
        "changes": changes.tolist(),
    }
