"""Does it matter to the heart? Area of the left ventricle, and lesions, in reconstructions of phantoms (notebook 04).

The area is that of notebook 04: in the region that the cavity ever covers, blood is what is brighter than half way
between typical blood and typical muscle. The fractional area change of a reconstruction is compared with that of the
full data [1]_. A small bright lesion is drawn into the muscle of the same cines: how much of its contrast survives?

References
----------
.. [1] Bland & Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
   327:307 (1986).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import methods, metrics, plotting
from ..data import Cines, UndersampledCines, open_cine, phantom_truth
from ..plotting import COLORS
from ..plotting.style import house_style
from ..results.files import write_text
from ..results.names import NAMES
from ..results.records import record
from ..training import native_precision
from .study import WORLDS

METHODS = ("zero_filled", "temporal_mean", "view_sharing", "kt_tv", "dual_unet_view_sharing", "unrolled")
PHANTOM_SEED = 21  # no network that is shipped was trained on these
LESION = 2.0  # pixels, the radius of the lesion, whose edge is soft
_CAVITY, _MUSCLE = 1, 2


def area_change(cine: torch.Tensor, labels: torch.Tensor) -> float:
    """Fractional area change of the left ventricle, in percent, from magnitudes ``(t, y, x)``."""
    region = (labels == _CAVITY).any(0)
    threshold = (cine[labels == _CAVITY].median() + cine[labels == _MUSCLE].median()) / 2
    area = ((cine > threshold) & region).sum((1, 2)).float()
    return float(100 * (1 - area.min() / area.max())) if area.max() > 0 else float("nan")


def lesion_weights(labels: torch.Tensor) -> torch.Tensor | None:
    """A soft disk ``(y, x)`` in muscle that is muscle in every frame; None where no place is wide enough."""
    always = (labels == _MUSCLE).float().mean(0)
    around = torch.nn.functional.avg_pool2d(always[None, None], 3, 1, 1)[0, 0]
    if around.max() < 0.6:
        return None
    row, column = divmod(int(around.argmax()), labels.shape[-1])
    y, x = (torch.arange(size) for size in labels.shape[-2:])
    distance = ((y - row)[:, None] ** 2 + (x - column)[None] ** 2).sqrt()
    return (LESION + 0.5 - distance).clamp(0, 1)


def run(n: int = 100, acceleration: float = 5) -> list[dict[str, Any]]:
    """Reconstruct ``n`` phantoms with and without a lesion by every method, in both worlds.

    Returns
    -------
        a dictionary per world, method and phantom: ``area_change`` and that of the full data, ``area_change_full``
        (percent); ``psnr`` (dB); ``contrast``, the share of the lesion's contrast that survives; and ``ghost``, the
        contrast there where no lesion is, relative to it
    """
    cines = open_cine("phantom", n=n, seed=PHANTOM_SEED)
    truth = phantom_truth(cines)
    labels = torch.from_numpy(truth["labels"])
    weights = [lesion_weights(one) for one in labels]
    with_lesion = Cines(
        np.stack([_with_lesion(cine, w).numpy() for cine, w in zip(cines, weights, strict=True)]),
        "phantom with lesion",
    )
    found = []
    loaded = {name: methods.load(name) for name in METHODS}
    for world, options in WORLDS.items():
        sets = [
            UndersampledCines(part, acceleration, seed=5, vary=False, **options)
            for part in (cines, with_lesion)
        ]
        for i in tqdm(range(n), f"heart, {world}", unit="cine"):
            for name, reconstruct in loaded.items():
                (image, full), (lesion, _) = (_images(reconstruct, *one[i]) for one in sets)
                row = {"world": world, "method": name, "phantom": i, "group": str(truth["group"][i])}
                row |= {
                    "area_change": area_change(image, labels[i]),
                    "area_change_full": area_change(full, labels[i]),
                }
                row["psnr"] = float(metrics.psnr(((image - full) ** 2).mean().item()))
                if weights[i] is not None:
                    expected = _with_lesion(full, weights[i]) - full
                    where = weights[i].expand_as(expected)
                    row["contrast"] = float(((lesion - image) * where).sum() / (expected * where).sum())
                    row["ghost"] = float(((image - full) * where).sum() / (expected * where).sum())
                found.append(row)
    return found


def _with_lesion(cine: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The lesion is as bright as blood: 0.35 more than muscle."""
    return cine if weights is None else (cine + 0.35 * weights).clamp(max=1)


def _images(reconstruct, kspace, A, target) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad(), native_precision():
        return reconstruct(kspace, A)[0].abs().float(), target[0].abs()


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bias and limits of agreement (1.96 standard deviations) of the area change, and what is left of the lesion."""
    found = []
    for world in WORLDS:
        for name in METHODS:
            chosen = [row for row in rows if (row["world"], row["method"]) == (world, name)]
            differences = np.array([row["area_change"] - row["area_change_full"] for row in chosen])
            contrast, ghost = (
                np.array([row[key] for row in chosen if key in row]) for key in ("contrast", "ghost")
            )
            found.append(
                {
                    "world": world,
                    "method": name,
                    "psnr": float(np.mean([row["psnr"] for row in chosen])),
                    "bias": float(differences.mean()),
                    "limits": float(1.96 * differences.std(ddof=1)),
                    "contrast": float(contrast.mean()),
                    "contrast_std": float(contrast.std(ddof=1)),
                    "ghost_std": float(ghost.std(ddof=1)),
                    "n": len(chosen),
                    "lesions": len(contrast),
                }
            )
    return found


def table(summary: Sequence[Mapping[str, Any]]) -> str:
    """The summary as a table in Markdown."""
    from tabulate import tabulate

    lines = [
        {
            "world": one["world"],
            "method": NAMES.get(one["method"], one["method"]),
            "volume PSNR (dB)": f"{one['psnr']:.2f}",
            "area change, bias (points)": f"{one['bias']:+.1f}",
            "limits of agreement (points)": f"± {one['limits']:.1f}",
            "contrast of the lesion that survives": f"{one['contrast']:.2f} ± {one['contrast_std']:.2f}",
            "contrast where none is": f"± {one['ghost_std']:.2f}",
            "n": f"{one['n']} ({one['lesions']})",
        }
        for one in summary
    ]
    return tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)


@house_style
def figure(rows: Sequence[Mapping[str, Any]], world: str) -> Figure:
    """Bland-Altman plots of the area change of one world, a panel for each method."""
    drawn, axes = plt.subplots(2, len(METHODS) // 2, sharex=True, sharey=True, figsize=(9, 5.2))
    for ax, name in zip(axes.flat, METHODS, strict=True):
        chosen = [row for row in rows if (row["world"], row["method"]) == (world, name)]
        change, full = (np.array([row[key] for row in chosen]) for key in ("area_change", "area_change_full"))
        difference = change - full
        ax.plot((change + full) / 2, difference, ".", color=COLORS[0], alpha=0.6)
        bias, spread = difference.mean(), 1.96 * difference.std(ddof=1)
        for level, style in ((bias, "-"), (bias - spread, "--"), (bias + spread, "--")):
            ax.axhline(level, color="0.3", linestyle=style, linewidth=1)
        ax.set_title(f"{NAMES.get(name, name)}\n{bias:+.1f} ± {spread:.1f}")
    for ax in axes[-1]:
        ax.set_xlabel("mean of both (%)")
    for ax in axes[:, 0]:
        ax.set_ylabel("minus full data (points)")
    return drawn


def write(rows: Sequence[Mapping[str, Any]], json_to: Path, md_to: Path, png_to: Path) -> None:
    """Write results, table and Bland-Altman plots of the scanner's world."""
    summary = summarise(rows)
    command = f"dmri study heart --n {summary[0]['n']}"
    record(json_to, command=command, phantom_seed=PHANTOM_SEED, summary=summary, rows=rows)
    write_text(md_to, f"Does it matter to the heart? `{command}`\n\n{table(summary)}\n")
    plotting.save(figure(rows, "phase and noise .02"), png_to)
