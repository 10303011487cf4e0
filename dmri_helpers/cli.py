"""The command line: ``dmri`` or ``python -m dmri_helpers``.

Whatever is wrong with the input is one line on stderr and exit code 2. Output files are never overwritten
without ``--force`` and appear whole or not at all. Heavy imports wait until a command runs, so help is quick.
"""

import argparse
import hashlib
import io
import json as jsonlib
import math
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import (
    AvoidSubcommands,
    FlagCreatePairsOff,
    OmitArgPrefixes,
    Positional,
    UseAppendAction,
    arg,
    subcommand,
)

from . import profiles
from .profiles import DualUNetConfig, TrainConfig, UnrolledConfig
from .results.files import finite, lists_on_one_line

DESCRIPTION = """Undersample, reconstruct and measure dynamic MRI; train the networks of the course.

Example: dmri info cine.npz

Example: dmri import scans/ cine.npz

Example: dmri evaluate --data cine.npz --method view_sharing --json view_sharing.json

Example: dmri train --out runs/first

Options of a command: dmri evaluate --help"""
PROFILES = {profile.name: profile for profile in (profiles.TINY, profiles.DEMO, profiles.FULL)}
EVALUATION_SEED = 2  # of phantoms: notebooks train on those of seed 0, the shipped cascade on those of seed 1
IMAGES_OF = 4  # test cines, at most
SEED_CINES = 200  # of the seed report's data set


class UsageError(ValueError):
    """A command that cannot be done as it was given; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Undersampling:
    """What `evaluate` and `reconstruct` share."""

    method: str
    """zero_filled, temporal_mean, view_sharing, conjugate_view_sharing, low_rank_sparse, kt_tv, dual_unet, unrolled,
    a run folder or a weights file; bart, where the BART toolbox is installed"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD; see dmri import"""
    acceleration: float = 5
    """phase-encode lines over sampled lines"""
    center_lines: int = 11
    """fully sampled lines in the middle of k-space"""
    density: Literal["quadratic", "gaussian"] = "quadratic"
    """how the other lines are drawn"""
    mask_seed: int = 42
    """of the one mask for all cines"""
    limit: int | None = None
    """only the first so many cines"""
    force: bool = False
    """overwrite what is there"""

    def open(self) -> tuple[Callable, Any]:
        """The reconstruction, and the cines undersampled with one mask for all."""
        from .data import UndersampledCines
        from .methods import load
        from .sampling import ky_t_mask

        if not 0 <= self.mask_seed < 2**63:
            raise UsageError(f"--mask-seed {self.mask_seed}: expected a number from 0 to 2^63 - 1")
        reconstruct = _bart() if self.method == "bart" else load(self.method)
        cines = _open(self.data, self.limit, seed=EVALUATION_SEED)
        mask = ky_t_mask(
            cines.shape[1:], self.acceleration, self.center_lines, self.density, seed=self.mask_seed
        )
        return reconstruct, UndersampledCines(cines, mask=mask)

    def describe(self, undersampled) -> dict[str, Any]:
        """What was done, to be written beside the results; names without folders."""
        from .results.records import machine
        from .sampling import achieved_acceleration

        return {
            "method": self.name,
            "data": undersampled.cines.source,
            "n_cines": len(undersampled),
            "acceleration": self.acceleration,
            "achieved_acceleration": achieved_acceleration(undersampled.mask),
            "center_lines": self.center_lines,
            "density": self.density,
            "mask_seed": self.mask_seed,
            "notes": undersampled.cines.notes,
            **machine(),
        }

    @property
    def name(self) -> str:
        """The method without folders."""
        return Path(self.method).name


@dataclass(frozen=True, kw_only=True)
class Evaluate(Undersampling):
    """Undersample cines, reconstruct them, compare with the fully sampled ones.

    Example: dmri evaluate --data cine.npz --method view_sharing --json view_sharing.json
    """

    json: Path | None = None
    """where to write the results"""

    def __call__(self) -> None:
        _check_output(self.json, self.force)
        from . import metrics, training
        from .results.files import write_text
        from .results.tables import table

        reconstruct, undersampled = self.open()
        rows = training.evaluate(reconstruct, undersampled, title=self.name)
        summary = metrics.summarise(rows)
        if self.json is not None:
            seconds = sum(row["seconds"] for row in rows) / len(rows)
            result = self.describe(undersampled) | {"seconds_per_cine": seconds} | summary | {"cines": rows}
            text = jsonlib.dumps(finite(result), indent=1, allow_nan=False) + "\n"
            with _writing(self.json):
                write_text(self.json, text)
        print(table({self.name: summary}, ("psnr", "ssim", "nmse", "psnr_dynamic")), end="\n\n")
        print(table({self.name: summary}, ("psnr_volume", "ssim_volume")))


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Undersampling):
    """Undersample cines, reconstruct them, keep the images.

    Example: dmri reconstruct --data cine.npz --method kt_tv --out kt_tv.npz
    """

    out: Path
    """.npz to write: 'dataset' (n, t, y, x), 'mask', and in 'description' (JSON) what was done"""
    complex: bool = False
    """keep the phase: complex64 instead of float32 magnitude"""

    def __call__(self) -> None:
        _check_output(self.out, self.force)
        import numpy as np
        import torch
        from tqdm import tqdm

        from .results.files import save_npz
        from .training import native_precision

        reconstruct, undersampled = self.open()
        dataset = np.empty(undersampled.cines.shape, np.complex64 if self.complex else np.float32)
        with torch.no_grad(), native_precision():
            batches = tqdm(undersampled.batches(1), self.name, len(dataset), unit="cine")
            for i, (kspace, mask, _) in enumerate(batches):
                image = reconstruct(kspace, mask)[0]
                dataset[i] = image if self.complex else image.abs()
        description = np.array(jsonlib.dumps(self.describe(undersampled)))
        arrays = {"dataset": dataset, "mask": undersampled.mask[0].numpy(), "description": description}
        if undersampled.cines.groups is not None:
            arrays["groups"] = undersampled.cines.groups
        with _writing(self.out):
            save_npz(self.out, arrays)
        print(f"{self.out}: {len(dataset)} cines")


@dataclass(frozen=True)
class Train:
    """Train a network; the defaults are those of the profile (DMRI_PROFILE, or --profile).

    The folder gets the configuration, the weights, the log (log.csv, output.txt, curves.png) and images of test
    cines. A run that was interrupted, in whatever way, goes on with --resume and ends as if it had not been.

    Example: dmri train --out runs/first

    Example: dmri train --out runs/second --model unrolled --cascades 3 --data cine.npz

    Example: dmri train --out runs/long --profile full --max-minutes 55 --resume

    Example: torchrun --nproc-per-node 4 -m -- dmri_helpers train --out runs/large --profile full --ema 0.999

    Example: dmri train --out runs/tuned --model unrolled --profile tiny --weights runs/first --learning-rate 2e-4
    """

    out: Path
    """run folder"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD; see dmri import"""
    model: Literal["dual_unet", "unrolled"] = "dual_unet"
    """the network; its own options follow below"""
    profile: Literal["tiny", "demo", "full"] = "demo"
    """the size of the run: defaults of all options below, number and size of phantoms"""
    limit: int | None = None
    """only the first so many cines"""
    phantom_seed: int = 0
    """another seed gives other phantoms"""
    split: tuple[int, int, int] = (4, 1, 2)
    """training : validation : test, counted in patients"""
    weights: str | None = None
    """start from the weights of a shipped network, run folder or .safetensors file, instead of random ones"""
    resume: bool = False
    """go on where the run in that folder was interrupted; start it where there is none"""
    max_minutes: float | None = None
    """stop between two epochs before so many minutes are over, and say how to go on"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train; auto: a GPU where there is one"""
    network: AvoidSubcommands[OmitArgPrefixes[DualUNetConfig | UnrolledConfig]] = field(
        default_factory=DualUNetConfig
    )
    training: OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)

    def __call__(self) -> bool:
        """Train; True if the time was over before the last epoch."""
        began = time.perf_counter()
        if _is_main_process():
            _check_run_folder(self.out, self.resume)
        _check_options(self.network, self.training)
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise UsageError(f"--max-minutes {self.max_minutes:g}: expected more than 0")
        import torch

        from . import classical, methods, metrics, plotting, training
        from .data import UndersampledCines, split
        from .results.tables import table
        from .runs import Run, describe_data, processes

        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: found no GPU that torch can use; expected auto or cpu")
        device = "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"
        team = processes(device)
        profile, config = PROFILES[self.profile], self.training
        limit = profile.n_cines if self.limit is None and self.data == "phantom" else self.limit
        with team.main_process_first():
            cines = _open(self.data, limit, shape=profile.shape, seed=self.phantom_seed)
        parts = split(cines, self.split, seed=config.seed)
        names = ("acceleration", "center_lines", "density", "acceleration_to", "noise")
        sampling = {name: getattr(config, name) for name in names}
        drawn = {name: getattr(config, name) for name in ("crop", "augment", "phase")}
        train = UndersampledCines(parts[0], **sampling, **drawn, seed=config.seed, training=True)
        validation = UndersampledCines(parts[1], **sampling, seed=config.seed + 1)
        test = UndersampledCines(parts[2], **sampling, seed=config.seed + 2)
        description = {
            "network": methods.describe_network(self.network),
            "data": describe_data(train, validation),
        }
        network = methods.build(self.network, config.seed)
        if self.weights is not None:
            description["started_from"] = _load_weights(network, self.weights)
        ladder = {
            "zero_filled": classical.zero_filled,
            "view_sharing": classical.view_sharing,
            self.model: network,
        }
        with _writing(self.out):
            log = training.fit(
                network,
                train,
                validation,
                config,
                Run(self.out, description, self.resume),
                team,
                self.max_minutes and self.max_minutes - (time.perf_counter() - began) / 60,
            )
            team.end_training()
            if not team.is_main_process:
                return False
            plotting.save(plotting.loss_curves(log), self.out / "curves.png")
            if log[-1]["epoch"] < config.epochs:
                print(f"{self.out}: stopped after epoch {log[-1]['epoch']} of {config.epochs}")
                longest = max(row["seconds"] for row in log) / 60
                if longest > self.max_minutes:
                    print(f"an epoch takes {longest:.2g} minutes, so even one is over --max-minutes")
                return True
            network.to("cpu")
            rows = {name: training.evaluate(method, test, title=name) for name, method in ladder.items()}
            scores = table({name: metrics.summarise(of) for name, of in rows.items()})
            _write_images(self.out / "images", network, test)
            _finish_output_txt(self.out / "output.txt", rows[self.model], scores)
        print(f"{scores}\n\n{self.out}: weights, log.csv, curves.png, output.txt, images")
        return False


def _bart() -> Callable:
    if shutil.which("bart") is None:
        raise UsageError("--method bart: found no program bart; expected an installation of the BART toolbox")
    from .studies.bart import bart

    return bart


def _load_weights(network, source: str) -> str:
    """Load the weights of a network of the same configuration; their SHA-256."""
    from safetensors.torch import save

    from . import methods

    loaded = methods.load(source)
    try:
        network.load_state_dict(loaded.state_dict())
    except (AttributeError, RuntimeError):
        raise UsageError(
            f"--weights {source}: found another network; expected one of the same options"
        ) from None
    return f"SHA-256 {hashlib.sha256(save(network.state_dict())).hexdigest()}"


@dataclass(frozen=True)
class Phantom:
    """Write beating-heart phantoms, with labels and volume curves.

    Example: dmri phantom --out phantom.npz --n 28 --seed 0

    Example: dmri phantom --out phantom.npz --n 16 --png phantom.png
    """

    out: Path
    """.npz to write: 'dataset' (n, t, y, x), 'labels', 'lv_volume' (mL), 'ejection_fraction', 'group', and in
    'groups' the patient of every cine; all of it is in memory first"""
    n: int = 28
    """number of phantoms"""
    seed: int = 0
    """another seed gives other anatomies"""
    frames: int = 20
    """of one heart beat"""
    size: tuple[int, int] = (192, 192)
    """phase-encode lines and readout columns"""
    complex: bool = False
    """with phase: complex64 instead of float32 magnitude"""
    png: Path | None = None
    """where to draw them: the first frame of each"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        _check_output(self.out, self.force)
        _check_output(self.png, self.force)
        from .data import phantom_arrays
        from .results.files import save_npz

        arrays = phantom_arrays(self.n, (self.frames, *self.size), self.seed, self.complex)
        with _writing(self.out):
            save_npz(self.out, arrays)
        print(f"{self.out}: {self.n} phantoms, shape {arrays['dataset'].shape}")
        if self.png is not None:
            from . import plotting

            titles = [
                f"{group.replace('_', ' ').replace('rv', 'RV')}, EF {100 * fraction:.0f} %"
                for group, fraction in zip(arrays["group"], arrays["ejection_fraction"], strict=True)
            ]
            with _writing(self.png):
                plotting.save(plotting.gallery(abs(arrays["dataset"][:, 0]), titles), self.png)
            print(f"{self.png}: their first frames")


@dataclass(frozen=True, kw_only=True)
class Bench:
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
            _check_output(path, self.force)
        from . import plotting
        from .results.files import write_text
        from .studies import bench, bench_report

        result = bench.run(
            _open(self.data, min(self.limit, 2) if self.quick else self.limit, seed=EVALUATION_SEED),
            self.quick,
        )
        if self.json is not None:
            with _writing(self.json):
                write_text(self.json, jsonlib.dumps(finite(result), indent=1, allow_nan=False) + "\n")
        if self.png is not None:
            with _writing(self.png):
                plotting.save(bench_report.figure(result), self.png)
        if self.md is not None:
            with _writing(self.md):
                write_text(self.md, bench_report.tables(result) + "\n")
        print(bench_report.tables(result))


@dataclass(frozen=True)
class Info:
    """Say what a file holds and what would be done to its values.

    Example: dmri info cine.npz
    """

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """a file or folder of cines (all that `dmri import` reads), or 'phantom'"""

    def __call__(self) -> None:
        from .data import open_cine

        cines = open_cine(self.path)
        n, t, y, x = cines.shape
        low = min(cine.abs().min().item() for cine in cines)
        high = max(cine.abs().max().item() for cine in cines)
        kind = "complex64" if cines[0].is_complex() else "float32 magnitude"
        groups = "unknown" if cines.groups is None else f"{len(set(cines.groups.tolist()))}"
        print(f"{cines.source}: {n} cines of {t} frames, {y} phase-encode lines x {x} columns")
        print(f"values: {kind}, magnitudes from {low:.4g} to {high:.4g}")
        print(f"groups: {groups}")
        print(
            "\n".join(f"note: {note}" for note in cines.notes)
            or "notes: none, the values are used as they are"
        )


@dataclass(frozen=True)
class Fetch:
    """Download a public set of real cines, each file checked; without a name, list what there is.

    Files that are there already are not fetched again, so after an error or Ctrl-C the same command goes on. The
    folder is that of DMRI_CACHE (default ~/.cache/dmri); DMRI_MIRROR names a server to fetch from instead.

    Example: dmri fetch

    Example: dmri fetch ep-dataset --view short-axis --limit 4
    """

    name: Annotated[Positional[str | None], arg(metavar="[NAME]")] = None
    """of the set"""
    view: Literal["all", "short-axis", "long-axis"] = "all"
    """only these cines"""
    limit: int | None = None
    """only so many cines of each view, from the middle of the stack"""

    def __call__(self) -> None:
        from .data import fetch

        if self.name is None:
            print(fetch.table())
            return
        n = len(fetch.choose(self.name, self.view, self.limit))
        cines = fetch.SETS[self.name]
        size = f"{n} files, about {n * cines.file_bytes / 1e6:.0f} MB"
        print(f"{self.name}: {cines.what}", f"licence: {cines.licence}", sep="\n")
        print(f"source: {cines.source}", f"to fetch: {size}", sep="\n", flush=True)
        folders = fetch.fetch(self.name, self.view, self.limit)
        print(f"all {n} files are here, each with its SHA-256; next:")
        for view, folder in folders.items():
            print(f"dmri import {shlex.quote(str(folder))} {self.name}-{view}.npz")


@dataclass(frozen=True)
class Fingerprint:
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
        _check_output(self.json, self.force)
        _check_output(self.png, self.force)
        from . import plotting
        from .data.phantom import phantom
        from .results.files import write_text
        from .results.records import machine
        from .studies import fingerprint

        cines = _open(self.data, self.limit, seed=self.phantom_seed)
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
            result["rows"] = {name: compared[name] | {"values": of.tolist()} for name, of in rows.items()}
            with _writing(self.json):
                write_text(self.json, lists_on_one_line(finite(result, digits=5)) + "\n")
        if self.png is not None:
            with _writing(self.png):
                plotting.save(fingerprint.figure(rows, reference, cines.source), self.png)

        width = max(map(len, fingerprint.ROWS.values()))
        print(f"{'':{width}}  {f'{cines.source} ({len(cines)})':^19}  {'real':^19}      z")
        for name, label in fingerprint.ROWS.items():
            pair = (f"{of['mean']:9.3g} ± {of['std']:<7.2g}" for of in (compared[name], reference[name]))
            z = compared[name]["z"]
            flag = "  <- more than one sd away" if abs(z) > 1 else ""
            print(f"{label:{width}}  {'  '.join(pair)}  {z:+5.2f}{flag}")
        known = [of["z"] for of in compared.values() if math.isfinite(of["z"])]
        within = sum(abs(z) <= 1 for z in known)
        print(f"\n{within} of {len(known)} rows within one standard deviation of the real mean")
        if self.png is not None:
            print(f"{self.png}: dots are cines, diamonds their means, the gray band is one sd of real cines")


@dataclass(frozen=True)
class Sweep:
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
    """of the masks, one per cine"""
    json: Path | None = None
    """where to write the numbers"""
    png: Path | None = None
    """where to draw them"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        _check_output(self.json, self.force)
        _check_output(self.png, self.force)
        from . import plotting
        from .data.phantom import phantom
        from .results.files import write_text
        from .results.records import machine
        from .studies import sweep

        opened = [_open(source, self.limit, seed=self.phantom_seed) for source in self.data]
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
            with _writing(self.json):
                write_text(self.json, lists_on_one_line(finite(result, 5)) + "\n")
        if self.png is not None:
            with _writing(self.png):
                plotting.save(sweep.figure(rows), self.png)
        for row in rows:
            print(f"\n{row['method']}, {row['parameter']} (default {row['default']:g})")
            for name, quality in row["quality"].items():
                for of in sweep.QUALITIES:
                    pairs = zip(row["values"], quality[of], strict=True)
                    print(f"  {name}, {of}:  " + "  ".join(f"{value:g}: {dB:.2f}" for value, dB in pairs))


@dataclass(frozen=True)
class Import:
    """Read cines from NIfTI, DICOM, MATLAB, HDF5, ISMRMRD, .npy or .npz, say what was done, and write a .npz.

    Other commands read all these as well; here is where frames are dropped, images cropped and arrays chosen.
    The data set ACDC has a command of its own, `dmri import acdc`; its options follow `dmri import acdc --help`.

    Example: dmri import patient.nii.gz cine.npz --frames 20 --size 192

    Example: dmri import dicom_folder/ cine.npz --series 5

    Example: dmri import cine.mat cine.npz --key images --axes yxt

    Example: dmri import acdc ACDC/ cine.npz --seed-recipe
    """

    source: Annotated[Positional[Path], arg(metavar="SRC")]
    """file, folder of DICOM files (searched to the bottom) or ACDC's folder of patients"""
    out: Annotated[Positional[Path], arg(metavar="OUT.npz")]
    """to write: 'dataset' (n, t, y, x), and 'groups', the patient of every cine by number"""
    frames: int | None = None
    """only the first so many; by default all"""
    size: int | None = None
    """crop or zero-pad in the middle to so many lines and columns; by default as they are"""
    per_frame: bool = False
    """scale every frame to [0, 1] by its own minimum and maximum, not every cine by its largest magnitude"""
    key: str | None = None
    """of the array in a .npz, MATLAB or HDF5 file; may be left out where only one fits"""
    axes: str | None = None
    """what the axes of an array are, such as yxt or yxnt; by default tyx or ntyx, of NIfTI yxnt"""
    series: UseAppendAction[tuple[int, ...]] = ()
    """number of the DICOM series to read; by default all, if they agree in size"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        _check_output(self.out, self.force)
        from .data.formats import reading

        raw = reading.read(
            self.source,
            key=self.key,
            axes=self.axes,
            series=self.series,
            frames=self.frames,
            size=self.size,
            per_frame=self.per_frame,
        )
        _write_imported(raw, self.out)


@dataclass(frozen=True)
class ImportACDC:
    """Read the public data set ACDC as the seed report did, and write a .npz.

    Of every patient: slices without the first and last 3, the first 20 frames, cropped or zero-padded to
    192 x 192, every frame scaled to [0, 1]. Patients with too few frames or slices are left out, and named.

    Example: dmri import acdc ACDC/ cine.npz

    Example: dmri import acdc ACDC/ cine.npz --seed-recipe
    """

    source: Annotated[Positional[Path], arg(metavar="DIR")]
    """folder that holds patient001/patient001_4d.nii.gz and so on, at any depth"""
    out: Annotated[Positional[Path], arg(metavar="OUT.npz")]
    """to write: 'dataset' (n, t, y, x), 'groups', the patient of every cine by number, and 'patient', by name"""
    frames: int = 20
    """the first so many"""
    size: int = 192
    """lines and columns"""
    per_cine: bool = False
    """scale every cine by its largest magnitude, not every frame by its own minimum and maximum"""
    seed_recipe: bool = False
    """shuffle the slices and take 200, as many as the seed report had"""
    seed: int = 0
    """of the shuffling"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        _check_output(self.out, self.force)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected at least 0")
        from .data.formats.nifti import acdc

        shuffled = {"n": SEED_CINES, "shuffle": self.seed} if self.seed_recipe else {}
        scaling = {"frames": self.frames, "size": self.size, "per_frame": not self.per_cine}
        _write_imported(acdc(self.source, **scaling, **shuffled), self.out)


@dataclass(frozen=True)
class Report:
    """Execute the notebooks and build the site.

    Example: dmri report --profile demo
    """

    out: Path = Path("build/report")
    """folder of the site"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD; see dmri import"""
    profile: Literal["tiny", "demo", "full"] = field(default_factory=lambda: profiles.current().name)
    """the size of networks, training and phantoms"""

    def __call__(self) -> None:
        try:
            from .course.site import build_report
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the report needs {error.name}; expected an installation with [report]"
            ) from None
        if self.data != "phantom":
            _open(self.data, None)
        build_report(self.out, self.data, self.profile)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        arguments; by default those of the process

    Returns
    -------
        exit code: 0 done, 2 wrong input (one line on stderr), 130 interrupted
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if _parse(argv)():
            print(f"go on with: {_command_to_go_on(argv)}")
        sys.stdout.flush()
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("\ndmri: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and type(error).__name__ == "ReportError":
            print(
                f"dmri: {error}", file=sys.stderr
            )  # a notebook or the renderer failed: not the input's fault
            return 1
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"dmri: error: {message}", file=sys.stderr)
        return 2
    return 0


def _parse(argv: list[str]) -> Callable[[], bool | None]:
    """The command, ready to be called. What tyro would say in a box is one line here."""
    if argv[:2] == ["import", "acdc"]:
        argv = ["import acdc", *argv[2:]]
    ahead = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ahead.add_argument("--model")
    ahead.add_argument("--profile")
    messages = io.StringIO()
    try:
        with redirect_stderr(messages):
            chosen = ahead.parse_known_args(argv if argv[:1] == ["train"] else [])[0]
            profile = PROFILES.get(chosen.profile) or profiles.current()
            model = "unrolled" if chosen.model == "unrolled" else "dual_unet"
            train = Train(
                out=tyro.MISSING,
                model=model,
                profile=profile.name,
                network=getattr(profile, model),
                training=getattr(profile, f"{model}_training"),
            )
            commands = (
                Annotated[Evaluate, subcommand("evaluate")]
                | Annotated[Reconstruct, subcommand("reconstruct")]
                | Annotated[Train, subcommand("train", default=train)]
                | Annotated[Phantom, subcommand("phantom")]
                | Annotated[Info, subcommand("info")]
                | Annotated[Import, subcommand("import")]
                | Annotated[ImportACDC, subcommand("import acdc")]
                | Annotated[Fingerprint, subcommand("fingerprint")]
                | Annotated[Sweep, subcommand("sweep")]
                | Annotated[Bench, subcommand("bench")]
                | Annotated[Fetch, subcommand("fetch")]
                | Annotated[Report, subcommand("report")]
            )
            return tyro.cli(
                commands, prog="dmri", description=DESCRIPTION, args=argv, config=(FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_one_line(messages.getvalue())) from None


def _is_main_process() -> bool:
    """Of the processes that ``torchrun`` started, the one that speaks and writes; or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _command_to_go_on(argv: list[str]) -> str:
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    command = shlex.join([*argv, *([] if "--resume" in argv else ["--resume"])])
    return ("torchrun [as before] -m -- dmri_helpers " if several else "dmri ") + command


def _one_line(box: str) -> str:
    """The sections of one of tyro's boxes that say what is wrong, and where help is."""
    lines = ["" if re.fullmatch(r"[ |│+╰╯─-]*", line) else line.strip("|│ ") for line in box.splitlines()[1:]]
    sections = [" ".join(section.split()) for section in "\n".join(lines).split("\n\n")]
    wrong = [text for text in sections if not text.startswith(("For full", "Argument help", "Perhaps"))]
    return "; ".join(text.rstrip(".") for text in wrong if text) + "; see dmri --help"


def _open(source: str, limit: int | None, **phantom):
    from .data import open_cine

    cines = open_cine(source, n=limit, **phantom)
    for note in cines.notes if _is_main_process() else ():
        print(f"dmri: note: {cines.source}: {note}", file=sys.stderr)
    return cines


def _write_imported(raw, out: Path) -> None:
    """Check and scale, write, and give the account of what was done."""
    from .data import checked
    from .results.files import save_npz

    cines = checked(raw)
    arrays = {"dataset": cines.tensor().numpy()}
    if cines.groups is not None:
        arrays["groups"] = cines.groups
    if raw.patients is not None:
        arrays["patient"] = raw.patients
    with _writing(out):
        save_npz(out, arrays)
    print("\n".join(cines.notes))
    print(f"{out}: {len(cines)} cines, shape {cines.shape}, {arrays['dataset'].dtype}")


def _check_output(path: Path | None, force: bool) -> None:
    """Say now what would go wrong after the work is done."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path}: found a folder; expected the name of a file to write")
    if path.exists() and not force:
        raise UsageError(f"{path}: found an existing file; expected a new name, or --force to overwrite it")
    _check_writable(path)


def _check_run_folder(path: Path, resume: bool) -> None:
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: found a file; expected a folder for the run")
    found = {entry.name for entry in path.iterdir()} if path.exists() else set()
    found = {name for name in found if name[0] != "."}  # but for what a killed process left half written
    if found and not resume:
        raise UsageError(
            f"{path}: found a folder that is not empty; expected a new one, or a run and --resume"
        )
    if found and "config.json" not in found:
        raise UsageError(f"{path}: found no run to resume; expected config.json and checkpoint.pt")
    _check_writable(path)


def _check_writable(path: Path) -> None:
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"{path}: cannot be written; expected a folder that can be written to")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make the folder of an output; where writing fails, name the output."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from None


def _check_options(*configs: DualUNetConfig | UnrolledConfig | TrainConfig) -> None:
    may_be_zero = {
        "branches",
        "resnet_features",
        "resnet_blocks",
        "blocks",
        "crop",
        "center_lines",
        "seed",
    }
    for config in configs:
        for option in fields(config):
            value = getattr(config, option.name)
            lowest = 1 if isinstance(value, int) and option.name not in may_be_zero else 0
            if not isinstance(value, (bool, str)) and not value >= lowest:
                raise UsageError(f"--{option.name.replace('_', '-')} {value}: expected at least {lowest}")
    dropout = getattr(configs[0], "dropout", 0)
    if dropout >= 1:
        raise UsageError(f"--dropout {dropout}: expected a probability below 1")
    ema = getattr(configs[-1], "ema", 0)
    if ema >= 1:
        raise UsageError(f"--ema {ema:g}: expected a decay below 1, such as 0.99")


def _finish_output_txt(path: Path, rows: list[dict], table: str) -> None:
    from .results.files import write_text

    epochs = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("Epoch")]
    cines = [f"Test cine {row['cine']}: PSNR {row['psnr']:.3f} dB, SSIM {row['ssim']:.4f}" for row in rows]
    write_text(path, "\n".join([*epochs, "", *cines, "", table, ""]))


def _write_images(folder: Path, network, test) -> None:
    """All frames of the first test cines: undersampled, reconstructed, fully sampled, of both branches."""
    import torch

    from .classical import zero_filled

    folder.mkdir(exist_ok=True)
    for half in folder.glob(".*.png.*"):  # of a process that was killed
        half.unlink()
    for i in range(min(len(test), IMAGES_OF)):
        kspace, mask, target = (tensor[None] for tensor in test[i])
        with torch.no_grad():
            _save_frames(folder / f"undersampled_{i}.png", zero_filled(kspace, mask).abs())
            _save_frames(folder / f"reconstruction_{i}.png", network(kspace, mask).abs())
            _save_frames(folder / f"full_sampling_{i}.png", target.abs())
            if len(getattr(getattr(network, "network", None), "unets", ())):
                frames = torch.arange(network.network.frames) % target.shape[1]
                branches = network.network.branch_images(network.start(kspace, mask)[:, frames])
                _save_frames(folder / f"branch_real_{i}.png", branches.real, lowest=-1)
                _save_frames(folder / f"branch_imaginary_{i}.png", branches.imag, lowest=-1)


def _save_frames(path: Path, cine, lowest: float = 0) -> None:
    """The frames of one cine ``(1, t, y, x)`` in rows, gray from ``lowest`` to 1."""
    import numpy as np
    from matplotlib.image import imsave

    _, t, y, x = cine.shape
    columns = math.ceil(math.sqrt(t))
    rows = math.ceil(t / columns)
    frames = np.full((rows * columns, y, x), lowest, np.float32)
    frames[:t] = cine[0]
    tiles = frames.reshape(rows, columns, y, x).swapaxes(1, 2).reshape(rows * y, columns * x)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    imsave(beside, tiles, format="png", cmap="gray", vmin=lowest, vmax=1)
    os.replace(beside, path)
