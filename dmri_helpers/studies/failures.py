"""Where reconstructions fail: lesions that move with the wall, scans that go wrong, and whether spread warns of it.

Everything is planted into phantoms that no shipped network was trained on, in the scanner's world, and counted.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from ..results.tables import of_lines
from .heart import CAVITY, MUSCLE, PHANTOM_SEED, magnitude

METHODS = ("temporal_mean", "view_sharing", "kt_tv", "dual_unet_view_sharing", "unrolled")
SCANNER: Mapping[str, Any] = {"phase": 1, "noise": 0.02, "vary": False}
RADII, CONTRASTS = (1.0, 2.0, 3.5), (0.15, 0.35)  # pixels; bright tissue is near 1, muscle near 0.3
ACCELERATIONS = (5, 8)
PLACES = 24  # around the wall, where a lesion that is not there may appear
_INTERVAL = 1.645  # standard deviations that hold 90 % of a normal distribution


def wall(labels: torch.Tensor, angle: float) -> torch.Tensor | None:
    """Where the middle of the wall is at this angle from the centre of the cavity, ``(t, 2)``; None if it has a gap."""
    places = []
    for frame in labels:
        cavity = (frame == CAVITY).nonzero().float()
        if not len(cavity):
            return None
        radii = torch.arange(0, 60, 0.5)
        ray = cavity.mean(0) + radii[:, None] * torch.tensor(
            [np.sin(angle), np.cos(angle)], dtype=torch.float32
        )
        inside = ((ray >= 0) & (ray <= torch.tensor(frame.shape) - 1)).all(-1)
        rows, columns = ray[inside].round().long().T
        muscle = frame[rows, columns] == MUSCLE
        if muscle.sum() < 4:
            return None
        places.append(ray[inside][muscle].mean(0))
    return torch.stack(places)


def disk(places: torch.Tensor, radius: float, shape: Sequence[int]) -> torch.Tensor:
    """A disk with a soft edge around a place in every frame, ``(t, y, x)``, at most 1."""
    y, x = (torch.arange(size, dtype=torch.float32) for size in shape)
    distance = (y[:, None] - places[:, :1, None]) ** 2 + (x[None] - places[:, 1:, None]) ** 2
    return (radius + 0.5 - distance.sqrt()).clamp(0, 1)


def _loaded() -> dict[str, Callable]:
    return {name: methods.load(name) for name in METHODS}


def lesions(n: int) -> list[dict[str, Any]]:
    """Draw a bright lesion into the wall, where it moves with it, and reconstruct with and without it.

    Returns
    -------
        a dictionary per phantom, acceleration, method, radius and contrast: ``survives``, the share of its contrast
        that is left; ``appears``, the share of the places of the wall where the error looks like half such a lesion
    """
    cines = open_cine("phantom", n=n, seed=PHANTOM_SEED)
    labels = torch.from_numpy(phantom_truth(cines)["labels"]).int()
    angles = np.linspace(0, 2 * np.pi, PLACES, endpoint=False)
    loaded, found = _loaded(), []
    for i in tqdm(range(n), "lesions", unit="cine"):
        tracks = [track for angle in angles if (track := wall(labels[i], angle)) is not None]
        if not tracks:
            continue
        where = tracks[i % len(tracks)]
        original = torch.from_numpy(np.asarray(cines[i]))
        for acceleration in ACCELERATIONS:
            plain = {name: _of(one, original, i, acceleration) for name, one in loaded.items()}
            for radius in RADII:
                shapes = [disk(track, radius, original.shape[1:]) for track in tracks]
                shape = disk(where, radius, original.shape[1:])
                for contrast in CONTRASTS:
                    drawn = (original + contrast * shape).clamp(max=1)
                    expected = drawn - original
                    for name, one in loaded.items():
                        with_it = _of(one, drawn, i, acceleration)
                        survives = _seen(with_it - plain[name], expected)
                        error = plain[name] - original
                        ghosts = [abs(_seen(error, contrast * other)) > 0.5 for other in shapes]
                        found.append(
                            {
                                "phantom": i,
                                "acceleration": acceleration,
                                "method": name,
                                "radius": radius,
                                "contrast": contrast,
                                "survives": survives,
                                "appears": float(np.mean(ghosts)),
                            }
                        )
    return found


def _seen(image: torch.Tensor, expected: torch.Tensor) -> float:
    """How much of an expected difference is in an image: 1 if it is there, 0 if not."""
    return float((image * expected).sum() / expected.square().sum().clamp(min=1e-12))


def _of(reconstruct: Callable, image: torch.Tensor, number: int, acceleration: float) -> torch.Tensor:
    """Reconstruct an image with the mask, phase and noise that this number always has."""
    cines = Cines(image[None].numpy(), "phantom")
    kspace, A, _ = UndersampledCines(cines, acceleration, seed=1000 + number, **SCANNER)[0]
    return magnitude(reconstruct, kspace, A)


def scans(n: int) -> list[dict[str, Any]]:
    """Scans that go wrong: another acceleration, a beat of another length, a patient who moves.

    Of the lines, a quarter are measured in a beat that is a third longer, or half of them after the patient has moved
    by three pixels along ``y`` and two along ``x``. What is asked for is the regular beat at the first place.

    Returns
    -------
        a dictionary per phantom, scan and method: ``psnr`` and ``psnr_dynamic`` (dB)
    """
    cines = open_cine("phantom", n=n, seed=PHANTOM_SEED)
    loaded, found = _loaded(), []
    for i in tqdm(range(n), "scans", unit="cine"):
        for scan, (kspace, A, target) in _scans_of(cines, i).items():
            for name, one in loaded.items():
                image = magnitude(one, kspace, A)
                scores = metrics.cine_metrics(image, target[0].abs())
                kept = {key: scores[key] for key in ("psnr", "psnr_dynamic")}
                found.append({"phantom": i, "scan": scan, "method": name, **kept})
    return found


def _scans_of(cines: Cines, i: int) -> dict[str, tuple]:
    """The scans of one phantom: name -> k-space, forward model, target."""
    one = cines.subset([i])
    regular = {R: UndersampledCines(one, R, seed=1000 + i, **SCANNER)[0] for R in (5, 8, 12)}
    kspace, A, target = regular[5]
    lines = torch.randperm(target.shape[2], generator=torch.Generator().manual_seed(i))
    longer = target[:, (torch.arange(target.shape[1]) * 0.75).round().long()]
    moved = target.roll((3, 2), (2, 3))

    def mixed(other: torch.Tensor, share: float) -> tuple:
        late = torch.zeros(target.shape[2], dtype=torch.bool)
        late[lines[: int(share * len(lines))]] = True
        return kspace + A(other - target) * late[:, None], A, target

    return {
        "as planned, acceleration 5": regular[5],
        "acceleration 8": regular[8],
        "acceleration 12": regular[12],
        "a longer beat in a quarter of the lines": mixed(longer, 0.25),
        "half of the lines after a movement": mixed(moved, 0.5),
    }


def spread(n: int) -> list[dict[str, Any]]:
    """How far apart four images of one network are, and whether this tells where it is wrong.

    The network reconstructs the cine, and the cine backwards in time, mirrored along ``x``, and both. The mean of the
    four is the image, and their standard deviation its spread.

    Returns
    -------
        a dictionary per phantom: ``holds``, the share of the pixels around the heart whose error is within 1.645 times
        the spread (90 % if the spread were the standard deviation of the error); ``factor`` by which the spread has to
        be multiplied so that 90 % hold; ``correlation`` of spread and error over these pixels; and, for the second half
        of the phantoms, ``holds_scaled`` with the mean factor of the first half
    """
    network = methods.load("unrolled")
    cines = open_cine("phantom", n=n, seed=PHANTOM_SEED)
    labels = torch.from_numpy(phantom_truth(cines)["labels"]).int()
    found, ratios = [], []
    for i in tqdm(range(n), "spread", unit="cine"):
        kspace, A, target = UndersampledCines(cines, 5, seed=1000 + i, **SCANNER)[i]
        images = torch.stack(
            [magnitude(partial(methods.turned, network, axes=axes), kspace, A) for axes in methods.FOUR]
        )
        around = (
            torch.nn.functional.max_pool2d((labels[i] > 0).float().amax(0)[None, None], 9, 1, 4)[0, 0] > 0
        )
        error = (images.mean(0) - target[0].abs()).abs()[:, around]
        deviation = images.std(0)[:, around].clamp(min=1e-6)
        ratio = error / deviation
        ratios.append(ratio)
        found.append(
            {
                "phantom": i,
                "holds": float((ratio < _INTERVAL).float().mean()),
                "factor": float(np.quantile(ratio.numpy(), 0.9) / _INTERVAL),
                "correlation": float(np.corrcoef(error.flatten(), deviation.flatten())[0, 1]),
            }
        )
    half = max(1, n // 2)
    factor = float(np.mean([row["factor"] for row in found[:half]]))
    for row, ratio in zip(found[half:], ratios[half:], strict=True):
        row["holds_scaled"] = float((ratio < factor * _INTERVAL).float().mean())
    return found


def summarise(found: Mapping[str, Sequence[Mapping]]) -> dict[str, list[dict[str, Any]]]:
    """Means over the phantoms: of ``lesions`` and ``scans`` for every method and setting, of ``spread`` as a whole."""
    summary = {
        "lesions": _means(
            found["lesions"], ("acceleration", "method", "radius", "contrast"), ("survives", "appears")
        ),
        "scans": _means(found["scans"], ("scan", "method"), ("psnr", "psnr_dynamic")),
    }
    holds = [{"of": "all", **row} for row in found["spread"]]
    summary["spread"] = _means(holds, ("of",), ("holds", "factor", "correlation", "holds_scaled"))
    return summary


def _means(rows: Sequence[Mapping], by: Sequence[str], of: Sequence[str]) -> list[dict[str, Any]]:
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    found = []
    for key, members in groups.items():
        values = {name: np.array([row[name] for row in members if name in row]) for name in of}
        means = {name: float(one.mean()) for name, one in values.items() if len(one)}
        stds = {f"{name}_std": float(one.std(ddof=1)) for name, one in values.items() if len(one) > 1}
        found.append(dict(zip(by, key, strict=True)) | means | stds | {"n": len(members)})
    return found


def tables(summary: Mapping[str, Sequence[Mapping]]) -> dict[str, str]:
    """The summary as three tables in Markdown: ``lesions``, ``scans``, ``spread``."""

    def method(row: Mapping) -> str:
        return NAMES.get(row["method"], row["method"])

    lesions_of: dict[tuple, dict[str, str]] = {}
    appear: dict[tuple, list[float]] = {}
    for row in summary["lesions"]:
        key = row["acceleration"], row["method"]
        line = lesions_of.setdefault(key, {"acceleration": row["acceleration"], "method": method(row)})
        line[f"radius {row['radius']:g}, contrast {row['contrast']:g}"] = f"{row['survives']:.2f}"
        appear.setdefault(key, []).append(row["appears"])
    for key, line in lesions_of.items():
        line["appear where none is (%)"] = f"{100 * np.mean(appear[key]):.0f}"
    scans_of: dict[str, dict[str, str]] = {}
    for row in summary["scans"]:
        line = scans_of.setdefault(row["method"], {"method": method(row)})
        line[row["scan"]] = f"{row['psnr']:.1f} / {row['psnr_dynamic']:.1f}"
    spread_of = [
        {
            "errors within 1.645 spreads (%)": f"{100 * row['holds']:.0f}",
            "factor to 90 %": f"{row['factor']:.2f}",
            "with this factor, on other phantoms (%)": f"{100 * row['holds_scaled']:.0f}",
            "correlation of spread and error": f"{row['correlation']:.2f}",
        }
        for row in summary["spread"]
        if "holds_scaled" in row
    ]
    lines = {"lesions": list(lesions_of.values()), "scans": list(scans_of.values()), "spread": spread_of}
    return {name: of_lines(rows) for name, rows in lines.items()}


@house_style
def figure(summary: Mapping[str, Sequence[Mapping]]) -> Figure:
    """What is left of a lesion that moves, by its radius: a panel for each acceleration and contrast."""
    drawn, axes = plt.subplots(
        len(ACCELERATIONS), len(CONTRASTS), sharex=True, sharey=True, squeeze=False, figsize=(8.4, 6)
    )
    for row, acceleration in enumerate(ACCELERATIONS):
        for column, contrast in enumerate(CONTRASTS):
            ax = axes[row, column]
            for color, name in zip(COLORS, METHODS, strict=False):
                chosen = [
                    one
                    for one in summary["lesions"]
                    if (one["acceleration"], one["contrast"], one["method"]) == (acceleration, contrast, name)
                ]
                ax.plot(
                    [one["radius"] for one in chosen],
                    [one["survives"] for one in chosen],
                    "o-",
                    color=color,
                    label=NAMES.get(name, name),
                )
            ax.axhline(1, color="0.3", linestyle="--", linewidth=1)
            ax.set_title(f"acceleration {acceleration}, contrast {contrast:g}")
    for ax in axes[-1]:
        ax.set_xlabel("radius (pixels)")
    for ax in axes[:, 0]:
        ax.set_ylabel("share that survives")
    drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return drawn


def run(n: int) -> dict[str, list[dict[str, Any]]]:
    """All three on ``n`` phantoms; lesions, which need many reconstructions, on a third of them."""
    return {"lesions": lesions(-(-n // 3)), "scans": scans(n), "spread": spread(n)}


def write(
    found: Mapping[str, Sequence[Mapping]], command: str, json_to: Path, md_to: Path, png_to: Path
) -> None:
    """Write results, tables and figure."""
    summary = summarise(found)
    record(json_to, command=command, phantom_seed=PHANTOM_SEED, summary=summary, rows=found)
    texts = tables(summary)
    titles = {
        "lesions": "Share of the contrast of a moving lesion that survives",
        "scans": "Scans that go wrong: PSNR / PSNR where it moves (dB)",
        "spread": "Does the spread of four images of the network say where it is wrong?",
    }
    parts = [f"{titles[name]}\n\n{text}\n" for name, text in texts.items()]
    write_text(md_to, f"Where does it fail? `{command}`\n\n" + "\n".join(parts))
    plotting.save(figure(summary), png_to)
