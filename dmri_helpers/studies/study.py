"""Networks trained with several seeds and compared in pairs: the evidence behind the sentences of notebooks 04 to 06.

All rows of a study share phantoms, masks, initial seeds and training; one thing changes from row to row. Every run is
kept as one JSON file, so that a study that was interrupted goes on. The networks are small, so that two cores can train
them a few times over: a conclusion holds for this size and this training. `grids` has the studies.
"""

import json
import os
import time
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
from ..data import Cines, UndersampledCines, open_cine, samples
from ..plotting import COLORS
from ..plotting.style import house_style
from ..profiles import TrainConfig
from ..results.files import write_text
from ..results.records import record
from ..results.tables import of_lines
from ..training import evaluate, fit, native_precision, step

SCORES = ("psnr_volume", "ssim_volume", "psnr_dynamic")
WORLDS = {"magnitudes": {}, "phase and noise .02": {"phase": 1, "noise": 0.02}}
_MOST_SEEDS = 100
_AT_ONCE = 6  # steps by which the time of a step is measured


def phantoms(study: "Study") -> tuple[Cines, Cines, Cines]:
    """Training, validation and test phantoms of a study, every one a patient of its own."""
    sizes = zip(study.cines, (11, 12, 13), strict=True)
    train, validation, test = (open_cine("phantom", n=n, shape=study.shape, seed=seed) for n, seed in sizes)
    return train, validation, test


def _as_it_is(thing: Any) -> Any:
    return thing


@dataclass(frozen=True)
class Row:
    """One way to reconstruct that is trained and tested.

    Attributes
    ----------
    network
        its configuration, or a function that makes it
    training
        what is changed in the training of the study
    alter
        what is changed in the network that was built
    learn_from
        what is changed in the training samples
    cines
        training, validation and test cines where the row has its own
    also
        other reconstructions that are tested with it: name -> (the trained network -> reconstruction)
    """

    network: methods.NetworkConfig | Callable[[], torch.nn.Module]
    training: Mapping[str, Any] = field(default_factory=dict)
    alter: Callable[[torch.nn.Module], torch.nn.Module] = _as_it_is
    learn_from: Callable[[UndersampledCines], Any] = _as_it_is
    cines: Callable[["Study"], tuple[Cines, Cines, Cines]] = phantoms
    also: Mapping[str, Callable[[torch.nn.Module], Callable]] = field(default_factory=dict)

    def build(self, seed: int) -> torch.nn.Module:
        """The untrained network, with what is changed in it."""
        torch.manual_seed(seed)
        return self.alter(self.network() if callable(self.network) else methods.build(self.network, seed))


@dataclass(frozen=True)
class Study:
    """What is compared: rows, the row that all others are compared with, and what they share.

    Attributes
    ----------
    rows
        name -> row
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
    seconds
        every run is trained for so much time of one core, in as many whole epochs as fit; 0: for the epochs of
        ``training``
    rates
        learning rates that the first seed tries for each row; the one with the best validation is that of all its runs
    """

    rows: Mapping[str, Row]
    reference: str
    question: str
    training: TrainConfig
    shape: tuple[int, int, int] = (16, 96, 96)
    cines: tuple[int, int, int] = (48, 4, 16)
    seconds: float = 0
    rates: tuple[float, ...] = ()


def run(study: Study, seeds: Sequence[int], folder: Path, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Train and test every row, or ``only`` some, with every seed, but for those whose file lies in ``folder``.

    Of the processes that ``torchrun`` started each takes some of the rows; the first waits for what the others write.

    Returns
    -------
        a dictionary per row and seed: ``row``, ``seed``, ``parameters``, ``seconds``, ``epochs``, ``learning_rate``,
        ``seconds_per_cine`` (of one core), and for every world the scores of every test cine; also those of earlier
        calls in this folder
    """
    process, processes = int(os.environ.get("RANK") or 0), int(os.environ.get("WORLD_SIZE") or 1)
    names = list(only or study.rows)
    mine = [(seed, name) for seed in seeds for name in names[process::processes]]
    for seed, name in tqdm(mine, "study", unit="run", disable=process > 0):
        if not _kept(folder, name, seed).is_file():
            _train_one(study, name, study.rows[name], seed, folder)
    while process == 0 and not all(_kept(folder, name, seed).is_file() for seed in seeds for name in names):
        time.sleep(1)
    of_rows = ((seed, name) for seed in range(_MOST_SEEDS) for name in study.rows)
    paths = [_kept(folder, name, seed) for seed, name in of_rows]
    return [
        run
        for path in paths
        if path.is_file()
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]
    ]


def _kept(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"


def _train_one(study: Study, name: str, row: Row, seed: int, folder: Path) -> None:
    cines = row.cines(study)
    config = replace(study.training, seed=seed, **row.training)
    tried = [
        _trained(study, row, cines, replace(config, learning_rate=rate))
        for rate in _rates(study, name, seed, folder) or (config.learning_rate,)
    ]
    model, log, config = max(tried, key=lambda one: max(epoch["val_psnr"] for epoch in one[1]))
    tested = {name: model} | {title: make(model) for title, make in row.also.items()}
    runs = []
    for title, reconstruct in tested.items():
        torch.manual_seed(seed)
        runs.append(
            {
                "row": title,
                "seed": seed,
                "parameters": _size(model),
                "seconds": round(sum(epoch["seconds"] for epoch in log), 1),
                "epochs": config.epochs,
                "learning_rate": config.learning_rate,
                "seconds_per_cine": _seconds(reconstruct, cines[2]),
                "worlds": {
                    world: _scores(reconstruct, cines[2], options) for world, options in WORLDS.items()
                },
            }
        )
    network = row.network if callable(row.network) else methods.describe_network(row.network)
    about = network.__doc__.splitlines()[0] if callable(row.network) else network
    record(
        _kept(folder, name, seed),
        runs=runs,
        shape=study.shape,
        cines=study.cines,
        network=about,
        training=asdict(config),
    )


def _rates(study: Study, name: str, seed: int, folder: Path) -> tuple[float, ...]:
    """The learning rates to try: all of the study, or the one that another seed has chosen."""
    others = [_kept(folder, name, other) for other in range(seed)]
    chosen = [json.loads(path.read_text(encoding="utf-8")) for path in others if path.is_file()]
    return (chosen[0]["training"]["learning_rate"],) if study.rates and chosen else study.rates


def _trained(study: Study, row: Row, cines, config: TrainConfig) -> tuple[torch.nn.Module, list, TrainConfig]:
    training, validation, _ = samples(cines, config)
    if study.seconds:
        of_an_epoch = len(training) * _seconds_of_a_step(row, training, config)
        config = replace(config, epochs=max(1, round(study.seconds / of_an_epoch)))
    model = row.build(config.seed)
    return model, fit(model, row.learn_from(training), validation, config), config


def _seconds_of_a_step(row: Row, training: UndersampledCines, config: TrainConfig) -> float:
    """Time of one core, the median of a few steps of a network of its own."""
    model = row.build(config.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9)
    lasted = []
    for batch in [training[i] for i in range(_AT_ONCE)]:
        began = time.process_time()
        step(model, optimizer, batch, config)
        lasted.append(time.process_time() - began)
    return float(np.median(lasted[1:]))


def _size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _seconds(reconstruct: Callable, cines: Cines) -> float:
    """Time of one core for a cine, the least of three."""
    kspace, A, _ = UndersampledCines(cines, seed=5)[0]
    lasted = []
    with torch.no_grad(), native_precision():
        for _ in range(3):
            began = time.process_time()
            reconstruct(kspace, A)
            lasted.append(time.process_time() - began)
    return round(min(lasted), 4)


def _scores(reconstruct: Callable, cines: Cines, options: Mapping[str, float]) -> dict[str, list[float]]:
    test = UndersampledCines(cines, seed=5, vary=False, **options)
    rows = evaluate(reconstruct, test, title="test")
    return {score: [round(row[score], 4) for row in rows] for score in SCORES}


def compare(
    rows: Sequence[Mapping], reference: str, score: str = "psnr_volume", draws: int = 4000
) -> list[dict]:
    """Differences from the reference, paired by cine and seed, with an interval of 95 % over both.

    The interval is that of a hierarchical bootstrap [1]_: seeds are drawn with replacement, and cines with replacement
    for all of them alike. A bootstrap over three seeds is too narrow. So a difference counts as one only if the
    interval excludes zero and the mean over the cines has the same sign for every seed.

    Returns
    -------
        a dictionary for each world and row: ``world``, ``row``, ``mean``, ``low``, ``high``, ``seeds`` (those that the
        row shares with the reference), ``cines``, and ``verdict``: better, worse, cannot tell, or one seed, if there is
        no more than that

    References
    ----------
    .. [1] Davison & Hinkley, Bootstrap methods and their application, section 3.8 (1997).
    """
    random = np.random.default_rng(0)
    found = []
    for world in WORLDS:
        for name in dict.fromkeys(row["row"] for row in rows):
            both = _seeds(rows, name) & _seeds(rows, reference)
            values, others = (_table(rows, one, world, score, both) for one in (name, reference))
            differences = values - others
            seeds, cines = differences.shape
            chosen = random.integers(seeds, size=(draws, seeds)), random.integers(cines, size=(draws, cines))
            means = differences[chosen[0][:, :, None], chosen[1][:, None, :]].mean((1, 2))
            low, high = np.percentile(means, [2.5, 97.5])
            by_seed = np.sign(differences.mean(1))
            agree = abs(by_seed.sum()) == seeds
            verdict = "better" if low > 0 and agree else "worse" if high < 0 and agree else "cannot tell"
            verdict = "one seed" if seeds == 1 else verdict
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


def _seeds(rows: Sequence[Mapping], name: str) -> set[int]:
    return {row["seed"] for row in rows if row["row"] == name}


def _table(rows: Sequence[Mapping], name: str, world: str, score: str, seeds: set[int]) -> np.ndarray:
    """Scores ``(seed, cine)`` of a row, with these seeds."""
    chosen = [row for row in rows if row["row"] == name and row["seed"] in seeds]
    chosen.sort(key=lambda row: row["seed"])
    return np.array([row["worlds"][world][score] for row in chosen])


def measured(name: str) -> dict[str, Any]:
    """A result that comes with the package, ``figures/study/NAME.json`` without its runs: what `write` wrote."""
    return json.loads((Path(__file__).parent / "measured" / f"{name}.json").read_text(encoding="utf-8"))


def table(found: Sequence[Mapping]) -> str:
    """The comparison as a table in Markdown."""
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
    return of_lines(lines)


@house_style
def figure(found: Sequence[Mapping]) -> Figure:
    """A forest plot: differences from the reference with their intervals, a panel for each world."""
    worlds = list(dict.fromkeys(one["world"] for one in found))
    height = 1.2 + 0.28 * sum(one["world"] == worlds[0] for one in found)
    drawn, axes = plt.subplots(1, len(worlds), squeeze=False, sharex=True, sharey=True, figsize=(9.9, height))
    for ax, world in zip(axes[0], worlds, strict=True):
        rows = [one for one in found if one["world"] == world][::-1]
        for place, one in enumerate(rows):
            color = COLORS[0] if one["verdict"] in ("better", "worse") else "0.5"
            error = [[one["mean"] - one["low"]], [one["high"] - one["mean"]]]
            ax.errorbar(one["mean"], place, xerr=error, fmt="o", color=color, capsize=3)
        ax.axvline(0, color="0.3", linestyle="--", linewidth=1)
        ax.set_yticks(range(len(rows)), [one["row"] for one in rows])
        ax.set(title=world, ylim=(-0.6, len(rows) - 0.4))
        ax.locator_params(axis="x", nbins=5)
    drawn.supxlabel("PSNR minus that of the reference (dB)")
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
