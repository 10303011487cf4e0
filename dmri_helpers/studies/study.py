"""Networks trained with several seeds and compared in pairs: the evidence behind the sentences of notebooks 05 and 06.

All rows of a study share phantoms, masks, initial seeds and training; one thing changes from row to row. Every run is
kept as one JSON file, so that a study that was interrupted goes on. The networks are small, so that two cores can train
them a few times over: a conclusion holds for this size and this training.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from .. import methods, plotting
from ..data import UndersampledCines, open_cine, samples
from ..plotting import COLORS
from ..plotting.style import house_style
from ..profiles import DualUNetConfig, TrainConfig, UnrolledConfig
from ..results.files import write_text
from ..results.records import record
from ..training import evaluate, fit

SCORES = ("psnr_volume", "ssim_volume", "psnr_dynamic")
WORLDS = {"magnitudes": {}, "phase and noise .02": {"phase": 1, "noise": 0.02}}
_NO_DATA = 1e-9  # weight of the data: the step changes nothing


@dataclass(frozen=True)
class Study:
    """What is compared: rows, the row that all others are compared with, and what they share.

    Attributes
    ----------
    rows
        name -> network
    reference
        one of the names
    question
        one sentence
    training
        of all rows; the seed is that of the run
    shape
        of the phantoms, ``(t, y, x)``
    cines
        for training, validation and test
    """

    rows: Mapping[str, methods.NetworkConfig]
    reference: str
    question: str
    training: TrainConfig
    shape: tuple[int, int, int] = (16, 96, 96)
    cines: tuple[int, int, int] = (48, 4, 16)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_CASCADE = UnrolledConfig(cascades=3, features=12, start="view_sharing")
_BOTH = TrainConfig(
    epochs=16,
    batch_size=1,
    learning_rate=2e-3,
    loss="l1",
    crop=32,
    clip=0.03,
    phase=1.3,
    noise=0.05,
    augment=True,
)
_UNET = DualUNetConfig(frames=16, init_features=8, depth=2, resnet_features=16, start="zero_filled")
_REPORT = TrainConfig(
    epochs=16, batch_size=1, learning_rate=2e-3, crop=64, phase=1.3, noise=0.05, augment=True
)
STUDIES = {
    "consistency": Study(
        question="Is it the data step that makes a cascade better than a network alone?",
        reference="hard data step",
        rows={
            "hard data step": _CASCADE,
            "data step that knows the noise": replace(_CASCADE, noise_scale=0.1),
            "soft data step, weight 1": replace(_CASCADE, data_weight=1.0),
            "no data step": replace(_CASCADE, data_weight=_NO_DATA),
        },
        training=_BOTH,
    ),
    "pieces": Study(
        question="Which pieces of the dual U-Net matter?",
        reference="dual U-Net",
        rows={
            "dual U-Net": _UNET,
            "no attention": replace(_UNET, attention=False),
            "no temporal stage": replace(_UNET, resnet_blocks=0, resnet_features=0),
            "one U-Net": replace(_UNET, branches=1),
            "no dropout": replace(_UNET, dropout=0.0),
            "fed with view sharing": replace(_UNET, start="view_sharing"),
            "L1 loss": _UNET,
        },
        training=_REPORT,
        changes={"L1 loss": {"loss": "l1"}},
    ),
}


def run(study: Study, seeds: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """Train and test every row with every seed, but for those whose file lies in ``folder``.

    A network without data steps is also tested with one hard step behind it, which it was not trained for, and the
    start of the reference is tested as it is.

    Returns
    -------
        a dictionary per row and seed: ``row``, ``seed``, ``parameters``, ``seconds``, and for every world the scores of
        every test cine
    """
    train, validation, test = _cines(study)
    rows = []
    with tqdm(total=len(study.rows) * len(seeds), desc="study", unit="run") as bar:
        for seed in seeds:
            for name, network in study.rows.items():
                path = folder / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"
                if not path.is_file():
                    _train_one(study, name, network, seed, (train, validation, test), path)
                rows += json.loads(path.read_text(encoding="utf-8"))["runs"]
                bar.update()
    return rows


def _cines(study: Study):
    sizes = zip(study.cines, (11, 12, 13), strict=True)
    return [open_cine("phantom", n=n, shape=study.shape, seed=seed) for n, seed in sizes]


def _train_one(study: Study, name: str, network, seed: int, cines, path: Path) -> None:
    config = replace(study.training, seed=seed, **study.changes.get(name, {}))
    model = methods.build(network, seed)
    training, validation, _ = samples(cines, config)
    log = fit(model, training, validation, config)
    tested: dict[str, Callable] = {name: model}
    if getattr(network, "data_weight", None) == _NO_DATA:
        tested["no data step, but one at the end"] = _with_one_step(model)
    if name == study.reference:
        tested[f"start: {network.start.replace('_', ' ')}"] = methods.CLASSICAL[network.start]
    runs = []
    for title, reconstruct in tested.items():
        worlds = {world: _scores(reconstruct, cines[2], options) for world, options in WORLDS.items()}
        runs.append(
            {
                "row": title,
                "seed": seed,
                "parameters": sum(p.numel() for p in model.parameters()),
                "seconds": round(sum(row["seconds"] for row in log), 1),
                "worlds": worlds,
            }
        )
    description = {"network": methods.describe_network(network), "training": asdict(config)}
    record(path, runs=runs, shape=study.shape, cines=study.cines, **description)


def _scores(reconstruct: Callable, cines, options: Mapping[str, float]) -> dict[str, list[float]]:
    test = UndersampledCines(cines, seed=5, vary=False, **options)
    rows = evaluate(reconstruct, test, title="test")
    return {score: [round(row[score], 4) for row in rows] for score in SCORES}


def _with_one_step(model: torch.nn.Module) -> Callable:
    """The network, and behind it the nearest image that agrees with the data."""
    return lambda kspace, A: A.closest(model(kspace, A), A.adjoint(kspace), torch.inf)


def compare(
    rows: Sequence[Mapping], reference: str, score: str = "psnr_volume", draws: int = 4000
) -> list[dict]:
    """Differences from the reference, paired by cine and seed, with an interval of 95 % over both.

    The interval is that of a hierarchical bootstrap [1]_: seeds are drawn with replacement, and cines with replacement
    for all of them alike. A bootstrap over three seeds is too narrow. So a difference counts as one only if the
    interval excludes zero and the mean over the cines has the same sign for every seed.

    Returns
    -------
        a dictionary for each world and row: ``world``, ``row``, ``mean``, ``low``, ``high``, ``seeds``, ``cines``, and
        ``verdict``: better, worse or cannot tell

    References
    ----------
    .. [1] Davison & Hinkley, Bootstrap methods and their application, section 3.8 (1997).
    """
    random = np.random.default_rng(0)
    found = []
    for world in WORLDS:
        table = {name: _table(rows, name, world, score) for name in dict.fromkeys(row["row"] for row in rows)}
        for name, values in table.items():
            differences = values - table[reference]
            seeds, cines = differences.shape
            chosen = random.integers(seeds, size=(draws, seeds)), random.integers(cines, size=(draws, cines))
            means = differences[chosen[0][:, :, None], chosen[1][:, None, :]].mean((1, 2))
            low, high = np.percentile(means, [2.5, 97.5])
            by_seed = np.sign(differences.mean(1))
            agree = abs(by_seed.sum()) == seeds
            verdict = "better" if low > 0 and agree else "worse" if high < 0 and agree else "cannot tell"
            found.append(
                {
                    "world": world,
                    "row": name,
                    "score": float(values.mean()),
                    "mean": float(differences.mean()),
                    "low": float(low),
                    "high": float(high),
                    "seeds": seeds,
                    "cines": cines,
                    "verdict": "reference" if name == reference else verdict,
                }
            )
    return found


def _table(rows: Sequence[Mapping], name: str, world: str, score: str) -> np.ndarray:
    """Scores ``(seed, cine)`` of a row."""
    chosen = sorted((row for row in rows if row["row"] == name), key=lambda row: row["seed"])
    return np.array([row["worlds"][world][score] for row in chosen])


def measured(name: str) -> dict[str, Any]:
    """A result that comes with the package, ``figures/study/NAME.json`` without its runs: what `write` wrote."""
    return json.loads((Path(__file__).parent / "measured" / f"{name}.json").read_text(encoding="utf-8"))


def table(found: Sequence[Mapping]) -> str:
    """The comparison as a table in Markdown."""
    from tabulate import tabulate

    lines = [
        {
            "world": one["world"],
            "row": one["row"],
            "PSNR (dB)": f"{one['score']:.2f}",
            "difference (dB)": "" if one["verdict"] == "reference" else f"{one['mean']:+.2f}",
            "95 % interval": ""
            if one["verdict"] == "reference"
            else f"{one['low']:+.2f} to {one['high']:+.2f}",
            "verdict": one["verdict"],
            "seeds x cines": f"{one['seeds']} x {one['cines']}",
        }
        for one in found
    ]
    return tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)


@house_style
def figure(found: Sequence[Mapping]) -> Figure:
    """A forest plot: differences from the reference with their intervals, a panel for each world."""
    worlds = list(dict.fromkeys(one["world"] for one in found))
    drawn, axes = plt.subplots(
        1, len(worlds), squeeze=False, sharey=True, figsize=(4.2 * len(worlds) + 1.5, 3.4)
    )
    for ax, world in zip(axes[0], worlds, strict=True):
        rows = [one for one in found if one["world"] == world][::-1]
        for place, one in enumerate(rows):
            color = COLORS[0] if one["verdict"] in ("better", "worse") else "0.5"
            error = [[one["mean"] - one["low"]], [one["high"] - one["mean"]]]
            ax.errorbar(one["mean"], place, xerr=error, fmt="o", color=color, capsize=3)
        ax.axvline(0, color="0.3", linestyle="--", linewidth=1)
        ax.set_yticks(range(len(rows)), [one["row"] for one in rows])
        ax.set(title=world, xlabel="PSNR minus that of the reference (dB)")
    return drawn


def write(
    study: Study, rows: Sequence[Mapping], command: str, json_to: Path, md_to: Path, png_to: Path
) -> None:
    """Write results, table and forest plot of a study."""
    found = compare(rows, study.reference)
    record(
        json_to,
        question=study.question,
        reference=study.reference,
        command=command,
        compared=found,
        runs=rows,
    )
    write_text(md_to, f"{study.question} `{command}`\n\n{table(found)}\n")
    plotting.save(figure(found), png_to)
