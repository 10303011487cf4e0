"""How methods, metrics and worlds are written in figures and tables: one spelling of each."""

from typing import NamedTuple

NAMES = {
    "zero_filled": "zero-filled",
    "temporal_mean": "temporal mean",
    "view_sharing": "view sharing",
    "conjugate_view_sharing": "conjugate view sharing",
    "cg_sense": "CG-SENSE",
    "low_rank_sparse": "low rank + sparse",
    "kt_tv": "k-t TV",
    "bart": "BART (temporal TV + wavelets)",
    "dual_unet": "dual U-Net",
    "dual_unet_long": "dual U-Net, trained longer",
    "dual_unet_view_sharing": "dual U-Net from view sharing",
    "cascades_5": "5 cascades, trained in class",
    "cascades_5_both_worlds": "5 cascades, both worlds",
    "unrolled": "unrolled",
}
"""Methods; a name that is not among them is written as it is."""

WORLDS = {"magnitude": "magnitudes", "phase": "with a phase"}
"""Worlds in which a ladder is measured: cines stored as magnitudes (the report's protocol), and the same cines with the
phase of a scanner's images."""


class Metric(NamedTuple):
    heading: str
    digits: int


METRICS = {
    "psnr": Metric("PSNR (dB)", 2),
    "ssim": Metric("SSIM", 3),
    "nmse": Metric("NMSE", 4),
    "psnr_dynamic": Metric("dynamic PSNR (dB)", 2),
    "psnr_volume": Metric("volume PSNR (dB)", 2),
    "ssim_volume": Metric("volume SSIM", 3),
    "seconds_per_cine": Metric("time per cine (s)", 3),
}
"""Metrics: the heading of a column or an axis, and the decimals of a score (of a time: the significant digits)."""


def heading(metric: str) -> str:
    """The heading of a metric; another name is its own heading."""
    return METRICS[metric].heading if metric in METRICS else metric
