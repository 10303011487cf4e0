"""Does the shipped cascade hold where a scan differs from its training? Both worlds, real cines beside phantoms.

Each condition changes one thing of the course's protocol (acceleration 5, 11 centre lines, 20 frames of 192 x 192, no
noise, one coil). The network is compared, cine by cine, with the best method that learns nothing under that condition.
BART is one of them where there are several coils; with one, it is a decibel below k-t TV (`figures/real-cines`).
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import methods, plotting
from ..data import Cines, UndersampledCines, open_cine
from ..plotting import COLORS
from ..plotting.style import house_style
from ..results.files import write_text
from ..results.names import NAMES
from ..results.records import record
from ..results.tables import of_lines
from ..training import evaluate
from .bart import bart

WORLDS: Mapping[str, Mapping[str, Any]] = {"magnitudes": {}, "phase": {"phase": 1}}
CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "as trained: acceleration 5": {},
    "acceleration 3": {"acceleration": 3},
    "acceleration 8": {"acceleration": 8},
    "acceleration 10": {"acceleration": 10},
    "5 centre lines": {"center_lines": 5},
    "Gaussian density": {"density": "gaussian"},
    "noise .02": {"noise": 0.02},
    "noise .05": {"noise": 0.05},
    "8 coils, acceleration 8, noise .01": {"coils": 8, "acceleration": 8, "noise": 0.01},
}
SHAPES = {"12 frames": (12, 192, 192), "30 frames": (30, 192, 192), "256 x 256": (20, 256, 256)}
PHANTOM_SEED, MASK_SEED = 3, 5
_NOT_LEARNT = ("view_sharing", "conjugate_view_sharing", "kt_tv")


def run(n: int, real: Cines | None = None) -> list[dict[str, Any]]:
    """Measure ``n`` cines of each source under every condition; sizes other than the usual one with phantoms alone.

    Returns
    -------
        a dictionary per source, world and condition: ``psnr`` (over the volume) and ``psnr_dynamic``, each
        method -> a number for every cine (dB)
    """
    jobs = [(source, cines, name) for source, cines in _usual(n, real).items() for name in CONDITIONS]
    jobs += [
        ("phantoms", open_cine("phantom", n=n, shape=shape, seed=PHANTOM_SEED), name)
        for name, shape in SHAPES.items()
    ]
    found = []
    for source, cines, name in tqdm(jobs, "robustness", unit="condition"):
        for world, options in WORLDS.items():
            condition = {"vary": False, "seed": MASK_SEED, **options, **CONDITIONS.get(name, {})}
            measured = UndersampledCines(cines, **condition)
            rows = {of: evaluate(one, measured, title=of) for of, one in _methods(measured).items()}
            scores = {
                key: {of: [round(row[of_row], 3) for row in of_rows] for of, of_rows in rows.items()}
                for key, of_row in (("psnr", "psnr_volume"), ("psnr_dynamic", "psnr_dynamic"))
            }
            found.append({"source": source, "world": world, "condition": name, **scores})
    return found


def _usual(n: int, real: Cines | None) -> dict[str, Cines]:
    cines = {"phantoms": open_cine("phantom", n=n, seed=PHANTOM_SEED)}
    if real is not None:
        apart = np.linspace(0, len(real), min(n, len(real)), endpoint=False).astype(int)
        cines = {real.source: real.subset(apart.tolist())} | cines
    return cines


def _methods(measured: UndersampledCines) -> dict[str, Callable]:
    names = (*_NOT_LEARNT, *(("cg_sense",) if measured.coils else ()), "unrolled")
    found: dict[str, Callable] = {name: methods.load(name) for name in names}
    return found | ({"bart": bart} if measured.coils and shutil.which("bart") else {})


def compare(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The network against the best method that learns nothing: mean and least gain of a cine (dB)."""
    found = []
    for row in rows:
        psnr = {name: np.array(values) for name, values in row["psnr"].items()}
        network = psnr.pop("unrolled")
        best = max(psnr, key=lambda name: psnr[name].mean())
        gains = network - psnr[best]
        moving = {name: float(np.mean(values)) for name, values in row["psnr_dynamic"].items()}
        found.append(
            {key: row[key] for key in ("source", "world", "condition")}
            | {"best": best, "psnr_best": float(psnr[best].mean()), "psnr": float(network.mean())}
            | {"gain": float(gains.mean()), "least": float(gains.min()), "n": len(gains)}
            | {"moving_gain": moving["unrolled"] - moving[best]}
        )
    return found


def table(compared: Sequence[Mapping[str, Any]]) -> str:
    """A line for each source, world and condition, in Markdown."""
    lines = [
        {
            "condition": one["condition"],
            "cines": f"{one['n']}, {one['source']}",
            "world": one["world"],
            "best without learning (dB)": f"{one['psnr_best']:.2f} ({NAMES.get(one['best'], one['best'])})",
            "unrolled": f"{one['psnr']:.2f}",
            "gain": f"{one['gain']:+.2f}",
            "least gain of a cine": f"{one['least']:+.2f}",
            "gain where it moves": f"{one['moving_gain']:+.2f}",
        }
        for one in compared
    ]
    return of_lines(lines)


@house_style
def figure(compared: Sequence[Mapping[str, Any]]) -> Figure:
    """Gain over the best method that learns nothing; the line goes down to the least gain of a cine."""
    worlds = list(dict.fromkeys(one["world"] for one in compared))
    sources = list(dict.fromkeys(one["source"] for one in compared))
    conditions = list(dict.fromkeys(one["condition"] for one in compared))[::-1]
    drawn, axes = plt.subplots(1, len(worlds), sharex=True, sharey=True, squeeze=False, figsize=(9.5, 4.6))
    for ax, world in zip(axes[0], worlds, strict=True):
        for shift, (source, color) in enumerate(zip(sources, COLORS, strict=False)):
            chosen = [one for one in compared if (one["world"], one["source"]) == (world, source)]
            places = [conditions.index(one["condition"]) + 0.25 * shift for one in chosen]
            ax.hlines(places, [one["least"] for one in chosen], [one["gain"] for one in chosen], color=color)
            ax.plot([one["gain"] for one in chosen], places, "o", color=color, label=source)
        ax.axvline(0, color="0.3", linestyle="--", linewidth=1)
        ax.set_yticks(range(len(conditions)), conditions)
        ax.set(title=world, xlabel="gain (dB)")
    drawn.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(sources))
    return drawn


def write(rows: Sequence[Mapping], command: str, json_to: Path, md_to: Path, png_to: Path) -> None:
    """Write results, table and figure."""
    compared = compare(rows)
    record(
        json_to, command=command, phantom_seed=PHANTOM_SEED, mask_seed=MASK_SEED, compared=compared, rows=rows
    )
    text = f"Does the shipped cascade hold where a scan differs from its training? `{command}`\n\n{table(compared)}\n"
    write_text(md_to, text)
    plotting.save(figure(compared), png_to)
