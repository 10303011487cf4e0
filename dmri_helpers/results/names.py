"""How methods and metrics are called in figures and tables."""

NAMES = {
    "psnr": "PSNR (dB)",
    "psnr_dynamic": "PSNR, moving pixels (dB)",
    "psnr_volume": "PSNR, whole cine (dB)",
    "ssim": "SSIM",
    "ssim_volume": "SSIM, whole cine",
    "nmse": "NMSE",
    "seconds_per_cine": "time per cine (s)",
    "zero_filled": "zero-filled",
    "temporal_mean": "temporal mean",
    "view_sharing": "view sharing",
    "conjugate_view_sharing": "view sharing, conjugates",
    "low_rank_sparse": "L + S",
    "kt_tv": "k-t TV",
    "dual_unet": "dual U-Net",
    "unrolled": "unrolled",
    "bart": "BART",
}
"""How metrics and methods are written in a figure; other names are shown as they are."""

LABELS = {
    "zero_filled": "zero-filled",
    "temporal_mean": "temporal mean",
    "view_sharing": "view sharing",
    "conjugate_view_sharing": "view sharing, conjugates",
    "low_rank_sparse": "low rank + sparse",
    "kt_tv": "k-t total variation",
    "bart": "BART, temporal TV + wavelets",
    "dual_unet": "dual U-Net",
    "dual_unet_long": "dual U-Net, trained longer",
    "dual_unet_view_sharing": "dual U-Net, fed with view sharing",
    "cascades_5": "5 cascades, trained in class",
    "unrolled": "unrolled network",
}
COLUMNS = {  # metric -> heading, digits
    "psnr": ("PSNR / dB", 2),
    "ssim": ("SSIM", 3),
    "psnr_dynamic": ("dynamic PSNR / dB", 2),
    "psnr_volume": ("volume PSNR / dB", 2),
}
