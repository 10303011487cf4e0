"""``dmri evaluate`` and ``dmri reconstruct``."""

import gzip
import json as jsonlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import profiles
from ..results.files import finite
from .output import (
    EVALUATION_SEED,
    ChoosesSeries,
    UsageError,
    check_output,
    open_source,
    warn_of_results,
    writing_to,
)


@dataclass(frozen=True, kw_only=True)
class Undersampling(ChoosesSeries):
    """What `evaluate` and `reconstruct` share."""

    method: str
    """zero_filled, temporal_mean, view_sharing, conjugate_view_sharing, cg_sense, low_rank_sparse, kt_tv; dual_unet,
    unrolled or another shipped network; a run folder or a weights file; bart, where the BART toolbox is installed"""
    mean_of_four: bool = False
    """the mean of four images: of the cine, of the cine backwards in time, mirrored, and both; four times the time"""
    data: str = field(default_factory=profiles.data_source)
    """'phantom', or cines or k-space: .npz, .npy, NIfTI, DICOM (file or folder), MATLAB, HDF5, ISMRMRD, BART; see
    dmri import"""
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

    def open(self, measured: bool = False) -> tuple[Callable, Any]:
        """The reconstruction, and the cines undersampled with one mask for all, or k-space that was ``measured`` so."""
        from ..data import UndersampledCines
        from ..methods import load, mean_of_four
        from ..sampling import ky_t_mask

        if not 0 <= self.mask_seed < 2**63:
            raise UsageError(f"--mask-seed {self.mask_seed}: expected a number from 0 to 2^63 - 1")
        reconstruct = find_bart() if self.method == "bart" else load(self.method)
        if self.mean_of_four:
            reconstruct = mean_of_four(reconstruct)
        cines = open_source(self.data, self.limit, measured, seed=EVALUATION_SEED, series=self.series)
        if self.is_measured(cines):
            print(f"dmri: note: {cines.source}: the lines are those that were measured", file=sys.stderr)
            return reconstruct, cines
        mask = ky_t_mask(
            cines.shape[1:], self.acceleration, self.center_lines, self.density, seed=self.mask_seed
        )
        world = {"phase": self.phase, "noise": self.noise, "coils": self.coils}
        for name, value in world.items():
            if not 0 <= value < float("inf"):
                raise UsageError(f"--{name} {value}: expected at least 0")
        if cines.measured and not self.magnitude and (self.phase or self.coils):
            option = "phase" if self.phase else "coils"
            raise UsageError(
                f"--{option}: {cines.source} is k-space that has its own; expected no such option, or --magnitude"
            )
        if self.magnitude:
            cines = cines.magnitudes()
        return reconstruct, UndersampledCines(
            cines, mask=mask, seed=self.mask_seed, vary=False, estimate_coils=True, **world
        )

    def describe(self, undersampled) -> dict[str, Any]:
        """What was done, to be written beside the results; names without folders."""
        from ..results.records import machine
        from ..sampling import achieved_acceleration

        if self.is_measured(undersampled):
            return {
                "method": self.name,
                "data": undersampled.source,
                "n_cines": len(undersampled),
                "achieved_acceleration": achieved_acceleration(undersampled.masks),
                "undersampled": "as measured",
                "coils": undersampled.number_of_coils,
                "notes": undersampled.notes,
                **machine(),
            }
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

    @staticmethod
    def is_measured(source) -> bool:
        """Whether lines of the k-space are missing, so that nobody knows the image."""
        from ..data import Measured

        return isinstance(source, Measured)

    @property
    def name(self) -> str:
        """The method without folders."""
        return Path(self.method).name + (", mean of four" if self.mean_of_four else "")


@dataclass(frozen=True, kw_only=True)
class Evaluate(Undersampling):
    """Undersample cines, reconstruct them, compare with the fully sampled ones.

    Example: dmri evaluate --data cine.npz --method view_sharing --json view_sharing.json

    Example: dmri evaluate --method kt_tv --phase 1 --coils 8 --acceleration 8 --noise 0.01

    Example: torchrun --nproc-per-node 4 -m -- dmri_helpers evaluate --method unrolled
    """

    json: Path | None = None
    """where to write the results"""

    def __call__(self) -> None:
        check_output(self.json, self.force)
        from .. import metrics, training
        from ..results.files import write_text
        from ..results.tables import table
        from ..runs import processes

        team = processes()
        with team.main_process_first():
            reconstruct, undersampled = self.open()
        rows = training.evaluate(reconstruct, undersampled, title=self.name, team=team)
        team.end_training()
        if not team.is_main_process:
            return
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
    """Undersample cines, reconstruct them, keep the images; or reconstruct k-space that was measured undersampled.

    Example: dmri reconstruct --data cine.npz --method kt_tv --out kt_tv.npz

    Example: dmri reconstruct --data raw.h5 --method unrolled --out images.npz --maps --nifti images.nii.gz
    """

    out: Path
    """.npz to write: 'dataset' (n, t, y, x), 'mask', and in 'description' (JSON) what was done"""
    complex: bool = False
    """keep the phase: complex64 instead of float32 magnitude"""
    maps: bool = False
    """write the maps of the coils that were used as well: 'coils' (n, c, y, x)"""
    nifti: Path | None = None
    """where to write the magnitudes as NIfTI, too, (y, x, n, t); pixels count as 1 mm, since raw data are not asked"""

    def __call__(self) -> None:
        check_output(self.out, self.force)
        check_output(self.nifti, self.force)
        if self.nifti is not None and not self.nifti.name.endswith((".nii", ".nii.gz")):
            raise UsageError(f"--nifti {self.nifti}: expected a name that ends in .nii or .nii.gz")
        import numpy as np
        import torch
        from tqdm import tqdm

        from ..results.files import save_npz
        from ..training import native_precision

        reconstruct, source = self.open(measured=True)
        if self.is_measured(source):
            samples, cines, mask = source, source, source.masks
        else:
            samples, cines, mask = source.batches(1), source.cines, source.mask[0]
        dataset = np.empty(cines.shape, np.complex64)
        coils = []
        with torch.no_grad(), native_precision():
            for i, (kspace, A, *_) in enumerate(tqdm(samples, self.name, len(dataset), unit="cine")):
                dataset[i] = reconstruct(kspace, A)[0]
                coils += [] if A.coils is None else [A.coils[0, :, 0].numpy()]
        warn_of_results(self.name, (np.isfinite(image).all() for image in dataset))
        description = np.array(jsonlib.dumps(self.describe(source)))
        arrays = {"dataset": dataset if self.complex else np.abs(dataset), "description": description}
        arrays["mask"] = mask.numpy()
        arrays |= {} if cines.groups is None else {"groups": cines.groups}
        arrays |= {"coils": np.stack(coils)} if self.maps and coils else {}
        with writing_to(self.out):
            save_npz(self.out, arrays)
        print(f"{self.out}: {len(dataset)} cines")
        if self.nifti is not None:
            with writing_to(self.nifti):
                _save_nifti(self.nifti, np.abs(dataset).transpose(2, 3, 0, 1))
            print(f"{self.nifti}: {len(dataset)} slices")


def _save_nifti(path: Path, array) -> None:
    import nibabel
    import numpy as np

    from ..results.files import whole

    image = nibabel.Nifti1Image(array, np.eye(4))
    with whole(path) as file:
        data = image.to_bytes()
        file.write(gzip.compress(data) if path.name.endswith(".gz") else data)


def find_bart() -> Callable:
    if shutil.which("bart") is None:
        raise UsageError("--method bart: found no program bart; expected an installation of the BART toolbox")
    from ..studies.bart import bart

    return bart
