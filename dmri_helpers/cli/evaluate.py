"""``dmri evaluate`` and ``dmri reconstruct``."""

import json as jsonlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import profiles
from ..results.files import finite
from .output import EVALUATION_SEED, UsageError, check_output, open_source, warn_of_results, writing_to


@dataclass(frozen=True, kw_only=True)
class Undersampling:
    """What `evaluate` and `reconstruct` share."""

    method: str
    """zero_filled, temporal_mean, view_sharing, conjugate_view_sharing, cg_sense, low_rank_sparse, kt_tv; dual_unet,
    unrolled or another shipped network; a run folder or a weights file; bart, where the BART toolbox is installed"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD; see dmri import"""
    acceleration: float = 5
    """phase-encode lines over sampled lines"""
    center_lines: int = 11
    """fully sampled lines in the middle of k-space"""
    density: Literal["quadratic", "gaussian"] = "quadratic"
    """how the other lines are drawn"""
    mask_seed: int = 42
    """of the one mask for all cines; phase, noise and coils follow from it, too"""
    magnitude: bool = False
    """take the magnitude of complex cines and one coil: the report's protocol"""
    phase: float = 0
    """strength of a scanner's phase on magnitude cines; 1 is up to 2.5 rad at the rim"""
    noise: float = 0
    """standard deviation of the noise on the measured lines; images reach 1"""
    coils: int = 0
    """simulated receive coils, 1 to 32; methods see maps that are estimated from the data; 0: those of
    the file, where it has coils, or else one, without a map"""
    limit: int | None = None
    """only the first so many cines"""
    force: bool = False
    """overwrite what is there"""

    def open(self) -> tuple[Callable, Any]:
        """The reconstruction, and the cines undersampled with one mask for all."""
        from ..data import UndersampledCines
        from ..methods import load
        from ..sampling import ky_t_mask

        if not 0 <= self.mask_seed < 2**63:
            raise UsageError(f"--mask-seed {self.mask_seed}: expected a number from 0 to 2^63 - 1")
        reconstruct = find_bart() if self.method == "bart" else load(self.method)
        cines = open_source(self.data, self.limit, seed=EVALUATION_SEED)
        mask = ky_t_mask(
            cines.shape[1:], self.acceleration, self.center_lines, self.density, seed=self.mask_seed
        )
        world = {"phase": self.phase, "noise": self.noise, "coils": self.coils}
        for name, value in world.items():
            if not 0 <= value < float("inf"):
                raise UsageError(f"--{name} {value}: expected at least 0")
        if self.magnitude:
            cines = cines.magnitudes()
        return reconstruct, UndersampledCines(
            cines, mask=mask, seed=self.mask_seed, vary=False, estimate_coils=True, **world
        )

    def describe(self, undersampled) -> dict[str, Any]:
        """What was done, to be written beside the results; names without folders."""
        from ..results.records import machine
        from ..sampling import achieved_acceleration

        return {
            "method": self.name,
            "data": undersampled.cines.source,
            "n_cines": len(undersampled),
            "acceleration": self.acceleration,
            "achieved_acceleration": achieved_acceleration(undersampled.mask),
            "center_lines": self.center_lines,
            "density": self.density,
            "mask_seed": self.mask_seed,
            "magnitude": self.magnitude,
            "phase": self.phase,
            "noise": self.noise,
            "coils": undersampled.number_of_coils,
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

    Example: dmri evaluate --method kt_tv --phase 1 --coils 8 --acceleration 8 --noise 0.01
    """

    json: Path | None = None
    """where to write the results"""

    def __call__(self) -> None:
        check_output(self.json, self.force)
        from .. import metrics, training
        from ..results.files import write_text
        from ..results.tables import table

        reconstruct, undersampled = self.open()
        rows = training.evaluate(reconstruct, undersampled, title=self.name)
        warn_of_results(self.name, (row["nmse"] < float("inf") for row in rows))
        summary = metrics.summarise(rows)
        if self.json is not None:
            seconds = sum(row["seconds"] for row in rows) / len(rows)
            result = self.describe(undersampled) | {"seconds_per_cine": seconds} | summary | {"cines": rows}
            text = jsonlib.dumps(finite(result), indent=1, allow_nan=False) + "\n"
            with writing_to(self.json):
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
        check_output(self.out, self.force)
        import numpy as np
        import torch
        from tqdm import tqdm

        from ..results.files import save_npz
        from ..training import native_precision

        reconstruct, undersampled = self.open()
        dataset = np.empty(undersampled.cines.shape, np.complex64 if self.complex else np.float32)
        with torch.no_grad(), native_precision():
            batches = tqdm(undersampled.batches(1), self.name, len(dataset), unit="cine")
            for i, (kspace, A, _) in enumerate(batches):
                image = reconstruct(kspace, A)[0]
                dataset[i] = image if self.complex else image.abs()
        warn_of_results(self.name, (np.isfinite(image).all() for image in dataset))
        description = np.array(jsonlib.dumps(self.describe(undersampled)))
        arrays = {"dataset": dataset, "mask": undersampled.mask[0].numpy(), "description": description}
        if undersampled.cines.groups is not None:
            arrays["groups"] = undersampled.cines.groups
        with writing_to(self.out):
            save_npz(self.out, arrays)
        print(f"{self.out}: {len(dataset)} cines")


def find_bart() -> Callable:
    if shutil.which("bart") is None:
        raise UsageError("--method bart: found no program bart; expected an installation of the BART toolbox")
    from ..studies.bart import bart

    return bart
