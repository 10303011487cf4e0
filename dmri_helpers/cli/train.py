"""``dmri train``."""

import hashlib
import math
import os
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import AvoidSubcommands, OmitArgPrefixes

from .. import profiles
from ..profiles import DualUNetConfig, TrainConfig, UnrolledConfig
from .output import (
    PROFILES,
    ChoosesSeries,
    UsageError,
    check_writable,
    is_main_process,
    open_source,
    too_few_to_split,
    writing_to,
)

IMAGES_OF = 4  # test cines, at most


@dataclass(frozen=True)
class Train(ChoosesSeries):
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
        if is_main_process():
            _check_run_folder(self.out, self.resume)
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise UsageError(f"--max-minutes {self.max_minutes:g}: expected more than 0")
        import torch

        from .. import classical, methods, metrics, plotting, training
        from ..data import samples, split
        from ..results.tables import table
        from ..runs import Run, describe_data, processes

        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("--device cuda: found no GPU that torch can use; expected auto or cpu")
        device = "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"
        team = processes(device)
        profile, config = PROFILES[self.profile], self.training
        limit = profile.n_cines if self.limit is None and self.data == "phantom" else self.limit
        network = methods.build(self.network, config.seed)
        started = {} if self.weights is None else {"started_from": _load_weights(network, self.weights)}
        with team.main_process_first():
            options = {"shape": profile.shape, "seed": self.phantom_seed, "series": self.series}
            cines = open_source(self.data, limit, **options)
        if few := too_few_to_split(cines):
            raise UsageError(f"{cines.source}: found {few}")
        parts = split(cines, self.split, seed=config.seed)
        train, validation, test = samples(parts, config)
        description = {
            "network": methods.describe_network(self.network),
            "data": describe_data(train, validation),
            "sampling": {"training": train.describe(), "validation": validation.describe()},
        } | started
        ladder = {
            "zero_filled": classical.zero_filled,
            "view_sharing": classical.view_sharing,
            self.model: network,
        }
        with writing_to(self.out):
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
            if max(reversed(log), key=lambda row: row["val_psnr"])["epoch"] == 0:
                print("no epoch was better than the start: the weights are those that training began with")
            network.to("cpu")
            rows = {name: training.evaluate(method, test, title=name) for name, method in ladder.items()}
            scores = table({name: metrics.summarise(of) for name, of in rows.items()})
            _write_images(self.out / "images", network, test)
            _finish_output_txt(self.out / "output.txt", rows[self.model], scores)
        print(f"{scores}\n\n{self.out}: weights, log.csv, curves.png, output.txt, images")
        return False


def _load_weights(network, source: str) -> str:
    """Load the weights of a network of the same layers, with or without scales of the noise; their SHA-256."""
    from safetensors.torch import save

    from .. import methods

    loaded = methods.load(source)
    try:
        scales = {name: value for name, value in network.state_dict().items() if name.endswith("log_scale")}
        network.load_state_dict(scales | loaded.state_dict())
    except (AttributeError, RuntimeError):
        raise UsageError(
            f"--weights {source}: found another network; expected one of the same options"
        ) from None
    return f"SHA-256 {hashlib.sha256(save(network.state_dict())).hexdigest()}"


def command_to_go_on(argv: list[str]) -> str:
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1
    command = shlex.join([*argv, *([] if "--resume" in argv else ["--resume"])])
    return ("torchrun [as before] -m -- dmri_helpers " if several else "dmri ") + command


def _check_run_folder(path: Path, resume: bool) -> None:
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: found a file; expected a folder for the run")
    found = {entry.name for entry in path.iterdir()} if path.exists() else set()
    found = {name for name in found if name[0] != "."}  # but for what a killed process left half written
    if found == {"config.json"}:  # of a training that ended in its first epoch: there is nothing to lose
        found = set()
    if found and not resume:
        raise UsageError(
            f"{path}: found a folder that is not empty; expected a new one, or a run and --resume"
        )
    if found and "config.json" not in found:
        raise UsageError(f"{path}: found no run to resume; expected config.json and checkpoint.pt")
    check_writable(path)


def _finish_output_txt(path: Path, rows: list[dict], table: str) -> None:
    from ..results.files import write_text

    lines = path.read_text(encoding="utf-8").splitlines()
    epochs = [line for line in lines if line.startswith(("Epoch", "the loss"))]
    cines = [f"Test cine {row['cine']}: PSNR {row['psnr']:.3f} dB, SSIM {row['ssim']:.4f}" for row in rows]
    write_text(path, "\n".join([*epochs, "", *cines, "", table, ""]))


def _write_images(folder: Path, network, test) -> None:
    """All frames of the first test cines: undersampled, reconstructed, fully sampled, of both branches."""
    import torch

    from ..classical import zero_filled

    for i in range(min(len(test), IMAGES_OF)):
        kspace, A, target = test[i]
        with torch.no_grad():
            _save_frames(folder / f"undersampled_{i}.png", zero_filled(kspace, A).abs())
            _save_frames(folder / f"reconstruction_{i}.png", network(kspace, A).abs())
            _save_frames(folder / f"full_sampling_{i}.png", target.abs())
            if len(getattr(getattr(network, "network", None), "unets", ())):
                frames = torch.arange(network.network.frames) % target.shape[1]
                branches = network.network.branch_images(network.start(kspace, A)[:, frames])
                _save_frames(folder / f"branch_real_{i}.png", branches.real, lowest=-1)
                _save_frames(folder / f"branch_imaginary_{i}.png", branches.imag, lowest=-1)


def _save_frames(path: Path, cine, lowest: float = 0) -> None:
    """The frames of one cine ``(1, t, y, x)`` in rows, gray from ``lowest`` to 1."""
    import numpy as np
    from matplotlib.image import imsave

    from ..results.files import whole

    _, t, y, x = cine.shape
    columns = math.ceil(math.sqrt(t))
    rows = math.ceil(t / columns)
    frames = np.full((rows * columns, y, x), lowest, np.float32)
    frames[:t] = cine[0]
    tiles = frames.reshape(rows, columns, y, x).swapaxes(1, 2).reshape(rows * y, columns * x)
    with whole(path) as file:
        imsave(file, tiles, format="png", cmap="gray", vmin=lowest, vmax=1)
