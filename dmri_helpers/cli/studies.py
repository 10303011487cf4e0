"""The commands ``dmri bench``, ``dmri fingerprint`` and ``dmri sweep``, which run `studies` and write their results."""

import json as jsonlib
import math
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from .. import profiles
from ..results.files import finite, lists_on_one_line
from .output import (
    EVALUATION_SEED,
    ChoosesSeries,
    UsageError,
    check_output,
    is_main_process,
    open_source,
    writing_to,
)


@dataclass(frozen=True, kw_only=True)
class Bench(ChoosesSeries):
    """Measure this machine: quality and seconds of every method, training throughput, memory, start-up.

    Example: dmri bench --quick

    Example: dmri bench --data cine.npz --limit 8 --json bench.json --png bench.png
    """

    data: str = field(default_factory=profiles.data_source)
    """'phantom', or a file or folder of cines (all that `dmri import` reads)"""
    limit: int = 8
    """only the first so many cines"""
    quick: bool = False
    """under two minutes: 2 cines, fewer rounds, fewer cascades"""
    json: Path | None = None
    """where to write the numbers"""
    md: Path | None = None
    """where to write the tables"""
    png: Path | None = None
    """where to draw quality against time, the training ladder and memory against cascades"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        for path in (self.json, self.md, self.png):
            check_output(path, self.force)
        from .. import plotting
        from ..results.files import write_text
        from ..studies import bench, bench_report

        limit = min(self.limit, 2) if self.quick else self.limit
        cines = open_source(self.data, limit, seed=EVALUATION_SEED, series=self.series)
        result = bench.run(cines, self.quick)
        if self.json is not None:
            with writing_to(self.json):
                write_text(self.json, jsonlib.dumps(finite(result), indent=1, allow_nan=False) + "\n")
        if self.png is not None:
            with writing_to(self.png):
                plotting.save(bench_report.figure(result), self.png)
        if self.md is not None:
            with writing_to(self.md):
                write_text(self.md, bench_report.tables(result) + "\n")
        print(bench_report.tables(result))


@dataclass(frozen=True)
class Fingerprint(ChoosesSeries):
    """Compare cines with real ones: brightness, spectrum, motion and what undersampling does to them.

    The reference are short-axis cines of 20 frames of 192 x 192; most rows depend on that size. The distance z is
    that of the means, in standard deviations of the real ones.

    Example: dmri fingerprint phantom --limit 64 --json fingerprint.json --png fingerprint.png
    """

    data: Annotated[Positional[str], arg(metavar="DATA")]
    """'phantom', or a file of cines"""
    limit: int | None = None
    """only the first so many cines"""
    phantom_seed: int = EVALUATION_SEED
    """another seed gives other phantoms"""
    json: Path | None = None
    """where to write every row of every cine"""
    png: Path | None = None
    """where to draw both distributions"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        check_output(self.json, self.force)
        check_output(self.png, self.force)
        from .. import plotting
        from ..data.phantom import phantom
        from ..results.files import write_text
        from ..results.records import machine
        from ..results.tables import render
        from ..studies import fingerprint

        cines = open_source(self.data, self.limit, seed=self.phantom_seed, series=self.series)
        if cines.shape[1:] != fingerprint.REAL_SHAPE:
            sizes = (" x ".join(map(str, shape)) for shape in (cines.shape[1:], fingerprint.REAL_SHAPE))
            print("dmri: note: {}, the real cines {}: most rows depend on it".format(*sizes), file=sys.stderr)
        rows, reference = fingerprint.fingerprint(cines), fingerprint.real()
        compared = fingerprint.compare(rows, reference)
        if self.json is not None:
            result = {
                "command": "dmri fingerprint",
                "data": cines.source,
                "n_cines": len(cines),
                "shape": list(cines.shape[1:]),
                "notes": cines.notes,
                **machine(),
            }
            if cines.phantom_seed is not None:
                result |= {"phantom_version": phantom.VERSION, "phantom_seed": cines.phantom_seed}
            result["rows"] = {
                name: compared[name] | {"values": values.tolist()} for name, values in rows.items()
            }
            with writing_to(self.json):
                write_text(self.json, lists_on_one_line(finite(result, digits=5)) + "\n")
        if self.png is not None:
            with writing_to(self.png):
                plotting.save(fingerprint.figure(rows, reference, cines.source), self.png)

        lines = []
        for name, label in fingerprint.ROWS.items():
            pair = (f"{row['mean']:.3g} ± {row['std']:.2g}" for row in (compared[name], reference[name]))
            z = compared[name]["z"]
            lines.append([label, *pair, f"{z:+.2f}", "<- more than one sd away" if abs(z) > 1 else ""])
        print(render(["", f"{cines.source} ({len(cines)})", "real", "z", ""], lines, "simple"))
        known = [row["z"] for row in compared.values() if math.isfinite(row["z"])]
        within = sum(abs(z) <= 1 for z in known)
        print(f"\n{within} of {len(known)} rows within one standard deviation of the real mean")
        if self.png is not None:
            print(f"{self.png}: dots are cines, diamonds their means, the gray band is one sd of real cines")


@dataclass(frozen=True)
class Sweep(ChoosesSeries):
    """Quality of the iterative classical methods against each of their parameters, the others at their defaults.

    Example: dmri sweep phantom cine.npz --json sweep.json --png sweep.png
    """

    data: Annotated[Positional[tuple[str, ...]], arg(metavar="DATA [DATA ...]")]
    """'phantom', or files of cines: one curve each"""
    limit: int = 4
    """only the first so many cines of each"""
    phantom_seed: int = 3
    """another seed gives other phantoms"""
    mask_seed: int = 0
    """seed of the masks; every cine has a mask of its own"""
    json: Path | None = None
    """where to write the numbers"""
    png: Path | None = None
    """where to draw them"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        check_output(self.json, self.force)
        check_output(self.png, self.force)
        from .. import plotting
        from ..data.phantom import phantom
        from ..results.files import write_text
        from ..results.records import machine
        from ..studies import sweep

        options = {"seed": self.phantom_seed, "series": self.series}
        opened = [
            open_source(
                source, self.limit, **(options if source != "phantom" else {"seed": self.phantom_seed})
            )
            for source in self.data
        ]
        sets = {cines.source: cines for cines in opened}
        if len(sets) < len(opened):
            names = ", ".join(cines.source for cines in opened)
            raise UsageError(f"found two sets of one name in {names}; expected different names")
        rows = sweep.sweep(sets, self.mask_seed)
        if self.json is not None:
            result = {
                "command": "dmri sweep",
                "sets": {
                    name: {"n_cines": len(cines), "shape": list(cines.shape[1:]), "notes": cines.notes}
                    for name, cines in sets.items()
                },
                "phantom_version": phantom.VERSION,
                "phantom_seed": self.phantom_seed,
                "mask_seed": self.mask_seed,
                **machine(),
                "parameters": rows,
            }
            with writing_to(self.json):
                write_text(self.json, lists_on_one_line(finite(result, 5)) + "\n")
        if self.png is not None:
            with writing_to(self.png):
                plotting.save(sweep.figure(rows), self.png)
        for row in rows:
            print(f"\n{row['method']}, {row['parameter']} (default {row['default']:g})")
            for name, quality in row["quality"].items():
                for metric in sweep.QUALITIES:
                    pairs = zip(row["values"], quality[metric], strict=True)
                    print(f"  {name}, {metric}:  " + "  ".join(f"{value:g}: {dB:.2f}" for value, dB in pairs))


@dataclass(frozen=True)
class Study:
    """Answer one question of the course with seeds, controls and intervals: networks in pairs, or hearts and lesions.

    A study of networks that was interrupted goes on where it was: every run is kept in the folder of the study.

    Example: dmri study consistency

    Example: dmri study pieces --seeds 5 --out build/study

    Example: torchrun --nproc-per-node 4 -m -- dmri_helpers study pieces

    Example: dmri study arena --seeds 3 --only ours "CRNN (Qin 2019)"

    Example: dmri study heart --n 100
    """

    name: Annotated[
        Positional[
            Literal[
                "consistency",
                "consistency_full_size",
                "pieces",
                "mistakes",
                "cascade_mistakes",
                "leakage",
                "without_truth",
                "arena",
                "heart",
                "failures",
                "robustness",
            ]
        ],
        arg(metavar="NAME"),
    ]
    """consistency: what the data step is worth, on cines of 96 x 96
    consistency_full_size: the same on 192 x 192
    pieces: attention, temporal stage, loss and more of the dual U-Net
    mistakes, cascade_mistakes: what the report's mistakes cost
    leakage: slices of test patients in the training set
    without_truth: learning from undersampled data alone
    arena: published networks, trained for the same time; one of them needs the package deepinv
    heart: area of the left ventricle in what every method makes
    failures: lesions that move, scans that go wrong, and whether the spread of images warns of errors
    robustness: the shipped cascade under other conditions, on phantoms and on the cines of --data"""
    seeds: int = 3
    """so many runs of every network"""
    only: tuple[str, ...] = ()
    """only these rows of a study of networks, by their names; the others keep the runs that they have"""
    n: int = 100
    """so many phantoms, of heart and failures; so many cines of each source, of robustness"""
    data: str | None = None
    """a file of real cines, of robustness"""
    out: Path = Path("build/study")
    """folder for the runs and the result: NAME.json, NAME.md, NAME.png"""
    force: bool = False
    """overwrite the result that is there"""

    def __call__(self) -> None:
        self._check_options()
        if not 1 <= self.seeds <= 100 or not 2 <= self.n <= 10_000:
            raise UsageError(f"--seeds {self.seeds} --n {self.n}: expected 1 to 100 and 2 to 10000")
        result = [self.out / f"{self.name}.{kind}" for kind in ("json", "md", "png")]
        for path in result:
            check_output(path, self.force)
        from ..studies import failures, grids, heart, robustness, study

        if self.name not in grids.STUDIES and not is_main_process():
            return  # networks are shared out among processes, cines are not
        with writing_to(self.out / "runs"):
            if self.name == "heart":
                heart.write(heart.run(self.n), *result)
            elif self.name == "failures":
                failures.write(failures.run(self.n), f"dmri study failures --n {self.n}", *result)
            elif self.name == "robustness":
                real = None if self.data is None else open_source(self.data, None)
                command = f"dmri study robustness --n {self.n}" + (
                    "" if real is None else f" --data {real.source}"
                )
                robustness.write(robustness.run(self.n, real), command, *result)
            else:
                chosen = grids.STUDIES[self.name]
                rows = study.run(chosen, range(self.seeds), self.out / self.name, self.only)
                if not is_main_process():
                    return
                study.write(chosen, rows, f"dmri study {self.name} --seeds {self.seeds}", *result)
        print(result[1].read_text(encoding="utf-8"))

    def _check_options(self) -> None:
        """What an option is not for, and what a rival needs, is said before anything is trained."""
        from ..studies.grids import STUDIES
        from ..studies.rivals import needs_deepinv

        rows = STUDIES[self.name].rows if self.name in STUDIES else ()
        if unknown := [name for name in self.only if name not in rows]:
            expected = f"some of {', '.join(rows)}" if rows else "a study of networks"
            raise UsageError(f"--only {unknown[0]}: expected {expected}")
        if self.data is not None and self.name != "robustness":
            raise UsageError(
                f"--data {self.data}: expected the study robustness; {self.name} has phantoms alone"
            )
        lacking = [name for name in self.only or rows if needs_deepinv(name)]
        if lacking and find_spec("deepinv") is None:
            raise UsageError(
                f"{lacking[0]} needs the package deepinv; expected it, or --only with other rows"
            )
