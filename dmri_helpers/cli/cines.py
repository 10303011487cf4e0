"""``dmri phantom``, ``info``, ``fetch`` and ``import``: where cines come from."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from .output import ChoosesSeries, UsageError, check_output, too_few_to_split, writing_to

SEED_CINES = 200  # of the seed report's data set


@dataclass(frozen=True)
class Phantom:
    """Write beating-heart phantoms, with labels and volume curves.

    Example: dmri phantom --out phantom.npz --n 28 --seed 0

    Example: dmri phantom --out phantom.npz --n 16 --png phantom.png

    Example: dmri phantom --out scanner.npz --coils 8
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
    """with a scanner's phase: complex64 instead of float32 magnitude"""
    coils: int = 0
    """with a scanner's phase and this many receive coils, 1 to 32: also writes their sensitivities in 'coils' (c, y, x)
    and in 'noise_covariance' (c, c) the noise that they share; the images are the same for any number of coils"""
    noise: float = 0.01
    """standard deviation of the noise of every coil, which 'noise_covariance' describes; only with --coils"""
    png: Path | None = None
    """where to draw them: the first frame of each, then the coils"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        check_output(self.out, self.force)
        check_output(self.png, self.force)
        if not 0 < self.noise <= 1e9:
            raise UsageError(f"--noise {self.noise:g}: expected more than 0, at most 1e9")
        from ..data import phantom_arrays
        from ..data.formats import guard
        from ..data.phantom import coils
        from ..results.files import save_npz

        maps = {}
        guard.fits("phantom", (self.n * self.frames + self.coils, *self.size), 9, "fewer or smaller phantoms")
        if self.coils:
            covariance = self.noise**2 * coils.noise_covariance(self.coils, self.seed)
            maps["coils"] = coils.coil_maps(self.coils, self.size, self.seed)[0, :, 0].numpy()
            maps["noise_covariance"] = covariance.numpy()
        arrays = phantom_arrays(self.n, (self.frames, *self.size), self.seed, self.complex or self.coils > 0)
        with writing_to(self.out):
            save_npz(self.out, arrays | maps)
        having = f", {self.coils} coils" if self.coils else ""
        print(f"{self.out}: {self.n} phantoms, shape {arrays['dataset'].shape}{having}")
        if self.png is not None:
            from .. import plotting

            titles = [
                f"{group.replace('_', ' ').replace('rv', 'RV')}, EF {100 * fraction:.0f} %"
                for group, fraction in zip(arrays["group"], arrays["ejection_fraction"], strict=True)
            ]
            images = [*abs(arrays["dataset"][:, 0]), *abs(maps.get("coils", arrays["dataset"][:0, 0]))]
            titles += [f"coil {number + 1}" for number in range(self.coils)]
            with writing_to(self.png):
                plotting.save(plotting.gallery(images, titles), self.png)
            print(f"{self.png}: their first frames{having}")


@dataclass(frozen=True)
class Info(ChoosesSeries):
    """Say what a file holds, what was taken for which axis, and what would be done to its values.

    Example: dmri info cine.npz

    Example: dmri info raw.h5 --png raw.png
    """

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """a file or folder of cines or k-space (all that `dmri import` reads), or 'phantom'"""
    png: Path | None = None
    """where to draw the first cine: its middle frame, a column over time, and its k-space"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        check_output(self.png, self.force)
        from ..data import Measured, open_cine, open_data

        cines = open_cine(self.path) if self.path == "phantom" else open_data(self.path, series=self.series)
        n, t, y, x = cines.shape
        groups = "unknown" if cines.groups is None else f"{len(set(cines.groups.tolist()))}"
        print(f"{cines.source}: {n} cines of {t} frames, {y} phase-encode lines x {x} columns")
        if isinstance(cines, Measured):
            lines, always = cines.sampled.sum(-1), cines.sampled.all(1).sum(-1)
            print(
                f"values: undersampled k-space, {lines.min()} to {lines.max()} of {y} lines in a frame, {always.min()}"
            )
            print(f"to {always.max()} of them in every frame; dmri reconstruct makes images of it")
        else:
            low = min(cine.abs().min().item() for cine in cines)
            high = max(cine.abs().max().item() for cine in cines)
            kind = "complex64" if cines[0].is_complex() else "float32 magnitude"
            print(f"values: {kind}, magnitudes from {low:.4g} to {high:.4g}")
        print(f"groups: {groups}")
        if self.png is not None:
            _draw_first(cines, self.png)
        if cines.coils is not None:
            shared = "the same maps for all cines" if len(cines.coils) == 1 else "maps for every cine"
            print(f"coils: {cines.coils.shape[1]}, {shared}")
        print(
            "\n".join(f"note: {note}" for note in cines.notes)
            or "notes: none, the values are used as they are"
        )


def _draw_first(cines, png: Path) -> None:
    """Draw the first cine: what was measured, or an image and its k-space."""
    from .. import plotting
    from ..data import Measured
    from ..fourier import fft2c

    if isinstance(cines, Measured):
        kspace, A = cines[0]
        image = A.adjoint(kspace)[0]
        kspace = kspace[0] if A.coils is None else kspace[0].abs().square().sum(0).sqrt()
    else:
        image = cines[0]
        kspace = fft2c(image.cfloat())
    with writing_to(png):
        plotting.save(plotting.first_look(image, kspace), png)
    print(f"{png}: the first cine")


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
        from ..data import fetch

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
class Import(ChoosesSeries):
    """Read cines from NIfTI, DICOM, MATLAB, HDF5, ISMRMRD, .npy or .npz, say what was done, and write a .npz.

    Other commands read all these as well; here is where frames are dropped, images cropped and arrays chosen.
    The data set ACDC has a command of its own, `dmri import acdc`; its options follow `dmri import acdc --help`.

    Example: dmri import patient.nii.gz cine.npz --frames 20 --size 192

    Example: dmri import dicom_folder/ cine.npz --series 5

    Example: dmri import patient1.nii.gz patient2.nii.gz patient3/ cine.npz

    Example: dmri import cine.mat cine.npz --key images --axes yxt

    Example: dmri import acdc ACDC/ cine.npz --seed-recipe
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="SRC [SRC ...] OUT.npz")]
    """files, or folders of DICOM or NIfTI files (searched to the bottom), each of several a patient or as many as it
    knows of; last the .npz to write: 'dataset' (n, t, y, x) or, of raw data, 'kspace' (n, c, t, y, x) and 'mask'
    (n, t, y); 'groups', the patient of every cine by number; 'coils' where there are"""
    frames: int | None = None
    """only the first so many; by default all"""
    size: int | None = None
    """crop or zero-pad in the middle to so many lines and columns; by default as they are"""
    per_frame: bool = False
    """scale every frame to [0, 1] by its own minimum and maximum, not every cine by its largest magnitude"""
    key: str | None = None
    """of the array in a .npz, MATLAB or HDF5 file; may be left out where only one fits"""
    axes: str | None = None
    """what the axes of an array are, such as yxt or yxnt; by default tyx or ntyx, of NIfTI yxnt; with c, the coil, the
    array is k-space, such as tcyx"""
    force: bool = False
    """overwrite what is there"""

    def __call__(self) -> None:
        *sources, out = self.paths or [Path()]
        if not sources or out.suffix.lower() != ".npz":
            found = " ".join(map(str, self.paths)) or "nothing"
            raise UsageError(
                f"dmri import: found {found}; expected SRC [SRC ...] OUT.npz, the file to write last"
            )
        check_output(out, self.force)
        from ..data import import_cines

        choices = {"key": self.key, "axes": self.axes, "series": self.series}
        options = choices | {"frames": self.frames, "size": self.size, "per_frame": self.per_frame}
        _write_imported(import_cines(*sources, **options), out)


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
        check_output(self.out, self.force)
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed {self.seed}: expected at least 0 and below 2^63")
        from ..data import import_acdc

        shuffled = {"n": SEED_CINES, "shuffle": self.seed} if self.seed_recipe else {}
        scaling = {"frames": self.frames, "size": self.size, "per_frame": not self.per_cine}
        _write_imported(import_acdc(self.source, **scaling, **shuffled), self.out)


def _write_imported(cines, out: Path) -> None:
    """Write imported cines or k-space and print the account of what was done to them."""
    from ..data import Measured
    from ..results.files import save_npz

    arrays = {
        "groups": cines.groups,
        "patient": cines.patients,
        "coils": None if cines.coils is None else cines.coils[:, :, 0].numpy(),
    }
    if isinstance(cines, Measured):
        arrays |= {"kspace": cines.kspace, "mask": cines.sampled}
    elif cines.measured:
        arrays["kspace"] = cines.kspace(range(len(cines))).numpy()
    else:
        arrays["dataset"] = cines.array()
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with writing_to(out):
        save_npz(out, arrays)
    print("\n".join(cines.notes + [few for few in [too_few_to_split(cines)] if few]))
    name = "dataset" if "dataset" in arrays else "kspace"
    print(f"{out}: {len(cines)} cines, {name} of shape {arrays[name].shape}, {arrays[name].dtype}")
