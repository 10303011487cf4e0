"""Open cines from a file or from the phantom, check them, split them by patient, undersample them."""

import errno
import math
import os
import shutil
import signal
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import current_process, get_context
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from . import importers, phantom
from .importers import DataError as DataError
from .importers import error as _error
from .operators import ForwardModel
from .results.files import cache_folder
from .sampling import ky_t_mask, line_density

PHANTOM_CINES = 28
_TOLERANCE = 1e-6  # rounding of magnitudes at the ends of [0, 1]
_PARALLEL_FROM = 8  # cines; below that starting processes costs more than it saves
_TRUTH = "labels", "lv_volume", "ejection_fraction", "group"
_AHEAD = 4  # phantoms per process that may wait to be fetched
_MASKS_AT_ONCE = 256  # drawing takes thirty times the memory of the masks


class Cines:
    """Cines of one size, checked, magnitudes in [0, 1].

    Parameters
    ----------
    array
        shape ``(n, t, y, x)``, float32 magnitude or complex64; memory-mapped it stays on disk
    source
        name without folder
    groups
        shape ``(n,)``, the patient of every cine; None where unknown
    notes
        what was done to the values on the way in
    phantom_seed
        of phantoms the seed of the set; None for other cines

    Attributes
    ----------
    source, groups, notes, phantom_seed
        as above
    shape
        ``(n, t, y, x)``
    indices
        shape ``(n,)``, which cines of the source these are
    """

    def __init__(
        self,
        array: np.ndarray,
        source: str,
        groups: np.ndarray | None = None,
        notes: Sequence[str] = (),
        phantom_seed: int | None = None,
    ):
        self._array, self.indices = array, np.arange(len(array))
        self.source, self.groups, self.notes = source, groups, list(notes)
        self.phantom_seed = phantom_seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Cine ``i``, shape ``(t, y, x)``: a copy, float32 magnitude or complex64."""
        return torch.from_numpy(np.array(self._array[self.indices[i]]))

    def __repr__(self) -> str:
        kind = "complex" if np.iscomplexobj(self._array) else "magnitude"
        return f"Cines({self.source!r}, {self.shape}, {kind})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self), *self._array.shape[1:])

    def strips(self, indices: Sequence[int], start: Sequence[int], width: int) -> torch.Tensor:
        """Of each of these cines ``width`` columns from ``start`` on, shape ``(b, t, y, width)``: a copy."""
        windows = np.lib.stride_tricks.sliding_window_view(self._array, width, axis=-1)
        rows = self.indices[np.asarray(indices)]
        return torch.from_numpy(np.ascontiguousarray(windows[rows, :, :, np.asarray(start)]))

    def subset(self, indices: Sequence[int]) -> "Cines":
        """Some of the cines, in the order given; shares memory with all of them."""
        part = Cines(self._array, self.source, None, self.notes, self.phantom_seed)
        part.indices = self.indices[np.asarray(indices, dtype=int)]
        part.groups = None if self.groups is None else self.groups[np.asarray(indices, dtype=int)]
        return part

    def tensor(self) -> torch.Tensor:
        """All cines at once, shape ``(n, t, y, x)``: a copy, float32 magnitude or complex64."""
        return torch.from_numpy(self._array[self.indices])


def open_cine(
    source: str | Path = "phantom",
    *,
    n: int | None = None,
    shape: tuple[int, int, int] = (20, 192, 192),
    seed: int = 0,
) -> Cines:
    """Open fully sampled cines.

    A file or folder is read through one of the doors of `importers`: ``.npz`` (key ``dataset``), ``.npy``, NIfTI,
    DICOM, MATLAB, HDF5, ISMRMRD raw data, ACDC's folder of patients; cines of any size, all of one. In a ``.npz``
    the key ``groups`` or ``patient``, shape ``(n,)``, may say which cines belong together. Values are brought to
    magnitudes in [0, 1]: a cine that exceeds 1 and every cine of integers is divided by its own largest
    magnitude; negative reals are kept, as the sign of a complex image. `Cines.notes` says what was done. Pickled
    objects are never loaded.

    Phantoms are generated once, one after the other onto the disk, and kept in the folder of the environment
    variable ``DMRI_CACHE`` (default ``~/.cache/dmri``) for each version of the phantom. They are memory-mapped, as
    is a ``.npy`` whose values need no conversion: a data set larger than memory can be opened and trained on.

    Parameters
    ----------
    source
        ``"phantom"`` or a path
    n
        at most the first ``n`` cines; by default all of a file, and 28 phantoms
    shape
        ``(t, y, x)``, of phantoms only
    seed
        of phantoms only; another seed gives other anatomies

    Returns
    -------
        the cines, `len` at least 1

    Raises
    ------
    DataError
        if the file is missing, is no such file or holds values that are no cine; the message is one line
    ValueError
        if ``n`` is below 1
    """
    if n is not None and n < 1:
        raise ValueError(f"the number of cines is at least 1, not {n}")
    if str(source) != "phantom":
        return checked(importers.read(Path(source), n=n), n)
    n = n or PHANTOM_CINES
    array, notes = _cached_phantoms(n, tuple(shape), seed)
    return Cines(array, "phantom", np.arange(n), notes, seed)


def split(cines: Cines, ratio: Sequence[float] = (4, 1, 2), seed: int = 0) -> tuple[Cines, Cines, Cines]:
    """Split into training, validation and test cines, never a patient on both sides.

    Groups are shuffled with the seed and dealt out in the given ratio, at least one to every part. Where
    groups are unknown every cine is a group of its own.

    Parameters
    ----------
    cines
        at least 3 groups
    ratio
        training : validation : test, counted in groups
    seed
        the same seed gives the same split on every machine

    Returns
    -------
        training, validation and test cines, each in the order they have in ``cines``

    Raises
    ------
    ValueError
        if the ratio is not three positive numbers
    DataError
        if there are fewer than 3 groups
    """
    if len(ratio) != 3 or not all(np.isfinite(r) and r > 0 for r in ratio):
        raise ValueError(
            f"expected three positive numbers training : validation : test, found {tuple(ratio)}"
        )
    groups = np.arange(len(cines)) if cines.groups is None else cines.groups
    patients = np.unique(groups)
    m = len(patients)
    if m < 3:
        kind = "cines" if cines.groups is None else f"groups ({len(cines)} cines)"
        raise _error(cines.source, f"{m} {kind}", "at least 3 to split into training, validation and test")
    patients = patients[torch.randperm(m, generator=_generator(seed)).numpy()]
    first, second = np.rint(np.cumsum(ratio)[:2] / np.sum(ratio) * m).astype(int)
    first = np.clip(first, 1, m - 2)
    second = np.clip(second, first + 1, m - 1)
    parts = patients[:first], patients[first:second], patients[second:]
    return tuple(cines.subset(np.flatnonzero(np.isin(groups, part))) for part in parts)


class UndersampledCines(Dataset):
    """Cines undersampled on the fly.

    For training every cine gets a fresh mask and a fresh readout crop in every epoch, drawn from
    ``(seed, epoch)`` alone: whichever way the samples are taken, and in whatever batches, they are the same.
    For validation and test masks are fixed and cines whole.

    A crop is exact: the readout is fully sampled, so a strip of columns is a smaller problem of its own.

    Parameters
    ----------
    cines
        the fully sampled cines
    acceleration, center_lines, density
        see `sampling.ky_t_mask`; the density ``"mixed"`` draws one of the two for every cine
    seed
        of masks, crops and order
    training
        fresh masks, crops, shuffled `batches`
    crop
        columns per training sample; all where None, 0 or more than there are
    mask
        one mask for all cines and epochs, shape ``(1, t, y, 1)``, instead of drawing any
    acceleration_to
        draw the acceleration of every cine between ``acceleration`` and this; 0: all have the same
    noise
        largest standard deviation, in units of the image, of complex white noise on the measured lines; every cine
        draws its own between 0 and this. The target stays clean
    augment
        for training: images upside down or mirrored, time from another frame on or backwards, each drawn for
        every cine. Exact: a cine is periodic and nothing is interpolated
    phase
        for training: standard deviation, in radians, of the six coefficients of a quadratic phase over the image

    Raises
    ------
    ValueError
        if the mask is impossible, the crop negative or the range of accelerations empty
    """

    def __init__(
        self,
        cines: Cines,
        acceleration: float = 5,
        center_lines: int = 11,
        density: str = "quadratic",
        seed: int = 0,
        training: bool = False,
        crop: int | None = None,
        mask: torch.Tensor | None = None,
        *,
        acceleration_to: float = 0,
        noise: float = 0,
        augment: bool = False,
        phase: float = 0,
    ):
        if crop is not None and crop < 0:
            raise ValueError(f"a crop has at least 1 column (0: all), not {crop}")
        if acceleration_to and acceleration_to < acceleration:
            raise ValueError(
                f"accelerations from {acceleration:g} to {acceleration_to:g}: the second is the larger (0: no range)"
            )
        if acceleration_to:  # possible too, and not only those that are drawn first
            ky_t_mask((1, cines.shape[2], 1), acceleration_to, center_lines)
        self.cines, self.seed, self.training, self.mask = cines, seed, training, mask
        self.acceleration, self.center_lines, self.density = acceleration, center_lines, density
        self.acceleration_to, self.noise, self.augment, self.phase = acceleration_to, noise, augment, phase
        self.width = min(crop or cines.shape[-1], cines.shape[-1]) if training else cines.shape[-1]
        self.set_epoch(0)

    def set_epoch(self, epoch: int, device: torch.device | str = "cpu") -> None:
        """Draw the masks, crops and order of an epoch; for validation and test nothing changes.

        The random numbers are the same for every device; masks are made of them there. With a torch ``DataLoader``
        call it before each epoch, and leave ``persistent_workers`` off.
        """
        n, columns = len(self.cines), self.cines.shape[-1]
        numbers = self.seed, epoch if self.training else 0
        generator = _generator(*numbers)
        self._order = torch.randperm(n, generator=generator) if self.training else torch.arange(n)
        self._start = torch.randint(columns - self.width + 1, (n,), generator=generator)
        options = _generator(*numbers, 1)  # so that no option changes what is drawn without it
        uniform = torch.rand(7, n, generator=options, dtype=torch.float64)
        self._phase = self.phase * torch.randn(n, 6, generator=options)
        self._noise_seed = torch.randint(2**62, (n,), generator=options)
        self._noise = self.noise * uniform[0]
        self._flips = uniform[1:4] < 0.5
        self._first_frame = (uniform[4] * self.cines.shape[1]).long()
        if self.mask is not None:
            self._masks = self.mask.expand(n, -1, -1, -1).to(device)
            return
        slowest = self.acceleration_to or self.acceleration
        accelerations = self.acceleration + uniform[5] * (slowest - self.acceleration)
        density = self.density
        if density == "mixed":
            both = torch.stack(
                [line_density(self.cines.shape[2], name) for name in ("quadratic", "gaussian")]
            )
            density = both[(uniform[6] < 0.5).long()]
        parts = []
        for start in range(0, n, _MASKS_AT_ONCE):
            part = slice(start, min(start + _MASKS_AT_ONCE, n))
            weights = density if isinstance(density, str) else density[part]
            shape = part.stop - start, *self.cines.shape[1:]
            sampling = accelerations[part], self.center_lines, weights
            parts.append(ky_t_mask(shape, *sampling, generator=generator, device=device))
        self._masks = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.cines)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample ``i``: k-space and target ``(t, y, x)`` complex64, mask ``(t, y, 1)`` bool in between."""
        kspace, mask, target = self._batch(torch.arange(len(self))[i][None], "cpu")
        return kspace[0], mask[0], target[0]

    def batches(
        self, batch_size: int, device: torch.device | str = "cpu", share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Every cine once, in batches; undersampled on the device, a whole batch at a time.

        Parameters
        ----------
        batch_size
            cines per batch; the last batch may be smaller
        device
            where the batches are made
        share
            ``(i, n)``: of every batch only the ``i``-th of ``n`` parts, as `torch.tensor_split` cuts it; where a
            part would be empty, the first cine of the batch, so that ``n`` processes take equally many steps

        Yields
        ------
            k-space ``(b, t, y, x)`` complex64, mask ``(b, t, y, 1)`` bool, target ``(b, t, y, x)`` complex64
        """
        part, parts = share
        for indices in self._order.split(batch_size):
            mine = indices.tensor_split(parts)[part]
            yield self._batch(mine if len(mine) else indices[:1], device)

    def _batch(self, indices: torch.Tensor, device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        target = self.cines.strips(indices, self._start[indices], self.width).to(device)
        if self.training and self.augment:
            target = self._augmented(target, indices)
        target = target.to(torch.complex64)
        if self.training and self.phase:
            target = target * self._phase_factor(indices, device)
        mask = self._masks[indices.to(self._masks.device)].to(device)
        kspace = ForwardModel(mask).forward(target)
        if self.noise:
            level = self._noise[indices].to(device, torch.float32)[:, None, None, None]
            kspace = kspace + level * mask * _complex_normal(
                self._noise_seed[indices].to(device), kspace.shape
            )
        return kspace, mask, target

    def _augmented(self, target: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        b, *sizes = target.shape
        t, y, x = (
            torch.where(flip[:, None], size - 1 - torch.arange(size), torch.arange(size))
            for flip, size in zip(self._flips[:, indices], sizes, strict=True)
        )
        t = (t + self._first_frame[indices, None]) % sizes[0]
        t, y, x = (
            of.to(target.device) for of in (t[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        )
        return target[torch.arange(b, device=target.device)[:, None, None, None], t, y, x]

    def _phase_factor(self, indices: torch.Tensor, device) -> torch.Tensor:
        """``exp(i p(y, x))`` with a polynomial of second order, y and x from -1 to 1; shape ``(b, 1, y, x)``."""
        lines, columns = self.cines.shape[2:]
        y = torch.linspace(-1, 1, lines)[None, :, None]
        x = (2 * (self._start[indices, None] + torch.arange(self.width)) / max(columns - 1, 1) - 1)[:, None]
        y, x = torch.broadcast_tensors(y, x)
        powers = torch.stack([torch.ones_like(x), y, x, y * y, y * x, x * x], -1)
        angle = (powers @ self._phase[indices, None, :, None]).squeeze(-1).to(device)
        return torch.polar(torch.ones_like(angle), angle)[:, None]


def phantom_arrays(
    n: int, shape: tuple[int, int, int] = (20, 192, 192), seed: int = 0, complex_valued: bool = False
) -> dict[str, np.ndarray]:
    """Generate ``n`` phantoms into memory, in parallel, with a progress bar on stderr.

    Phantom ``i`` of a seed does not depend on ``n``. Images alone, and more of them than memory holds: `open_cine`.

    Parameters
    ----------
    n
        number of phantoms
    shape
        ``(t, y, x)``
    seed
        another seed gives other anatomies
    complex_valued
        images with their phase

    Returns
    -------
        ``dataset`` ``(n, t, y, x)``, ``labels`` ``(n, t, y, x)``, ``lv_volume`` ``(n, t)``,
        ``ejection_fraction``, ``group`` (one of `phantom.GROUPS`) and ``groups`` (every cine its own patient) ``(n,)``;
        units as in `phantom.Phantom`

    Raises
    ------
    ValueError
        if the seed is negative or the phantom cannot have that size
    """
    if n < 1 or seed < 0:
        raise ValueError(f"phantoms need a number of at least 1 and a seed of at least 0, not {n} and {seed}")
    jobs = _phantom_jobs(range(n), shape, seed, complex_valued)
    return {**_stacked(jobs, ("dataset", *_TRUTH)), "groups": np.arange(n)}


def phantom_truth(cines: Cines) -> dict[str, np.ndarray]:
    """What is known of phantoms beside their images: generated again, for exactly these cines.

    Parameters
    ----------
    cines
        of `open_cine` ``("phantom")``, or some of them (`Cines.subset`, `split`)

    Returns
    -------
        ``labels`` ``(n, t, y, x)``, ``lv_volume`` ``(n, t)``, ``ejection_fraction`` ``(n,)`` and ``group`` ``(n,)``
        (one of `phantom.GROUPS`), in the order of the cines; units as in `phantom.Phantom`

    Raises
    ------
    DataError
        if the cines are no phantoms
    """
    if cines.phantom_seed is None:
        raise _error(cines.source, "cines without ground truth", "phantoms, from open_cine('phantom')")
    return _stacked(_phantom_jobs(cines.indices, cines.shape[1:], cines.phantom_seed), _TRUTH)


def checked(raw: importers.Raw, n: int | None = None) -> Cines:
    """Check what a door of `importers` handed on, and bring it to magnitudes in [0, 1] as `open_cine` says.

    Parameters
    ----------
    raw
        cines of one size
    n
        at most the first so many

    Returns
    -------
        the cines; their notes begin with those of the door

    Raises
    ------
    DataError
        if a cine is constant or not finite, or the groups do not fit
    """
    groups = None if raw.groups is None else _group_numbers(raw.path, raw.groups, len(raw.cines))[:n]
    array, notes = _to_unit_magnitude(raw.path, raw.cines[:n])
    return Cines(array, os.path.basename(os.path.abspath(raw.path)), groups, [*raw.notes, *notes])


def _group_numbers(path: Path, groups: np.ndarray, n: int) -> np.ndarray:
    if groups.shape not in ((n,), ()) or groups.size != n:
        raise _error(path, f"groups of shape {groups.shape} for {n} cines", f"shape ({n},)")
    groups = groups.reshape(n)
    return groups if groups.dtype.kind in "iu" else np.unique(groups, return_inverse=True)[1]


def _to_unit_magnitude(path: Path, raw: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Check one cine after the other and bring all to magnitudes in [0, 1]; at most one copy of the whole."""
    n, integer = len(raw), raw.dtype.kind in "iu"
    peak, lowest = np.empty(n), np.zeros(n)
    for i, cine in enumerate(tqdm(raw, desc="checking", unit="cine", delay=2)):
        parts = [cine.real, cine.imag] if raw.dtype.kind == "c" else [cine]
        low, high = [float(part.min()) for part in parts], [float(part.max()) for part in parts]
        with np.errstate(over="ignore", invalid="ignore"):
            peak[i] = np.abs(cine).max() if raw.dtype.kind == "c" else max(abs(low[0]), abs(high[0]))
        if not np.isfinite(peak[i]):
            bad = cine.size - np.count_nonzero(np.isfinite(cine))
            raise _error(path, f"{bad} values that are NaN or infinite in cine {i}", "finite numbers")
        scale = max(peak[i], 1)
        if all(np.float32(a / scale) == np.float32(b / scale) for a, b in zip(low, high, strict=True)):
            raise _error(
                path, f"a constant cine (number {i}, {cine.flat[0]:g} everywhere)", "an image that varies"
            )
        lowest[i] = low[0] if raw.dtype.kind != "c" else 0

    large, negative = peak > 1 + _TOLERANCE, lowest < -_TOLERANCE
    dtype = np.dtype(np.complex64 if raw.dtype.kind == "c" or negative.any() else np.float32)
    scale = np.where(large | integer, peak, 1.0)
    notes = []
    if integer:
        notes.append(
            f"integers ({raw.dtype}): every cine divided by its largest magnitude (up to {peak.max():g})"
        )
    elif large.any():
        notes.append(
            f"{large.sum()} of {n} cines exceed 1 (up to {peak.max():g}): divided by their largest magnitudes"
        )
    if negative.any():
        notes.append(
            f"{negative.sum()} of {n} cines have negative values (down to {lowest.min():g}): "
            "kept as the sign of a complex image; a mean that was subtracted has to be added back first"
        )
    if not integer and raw.dtype not in (np.float32, np.complex64):
        notes.append(f"{raw.dtype} converted to {dtype}")
    if peak.max() < 0.5 and not integer:
        notes.append(f"the largest magnitude is only {peak.max():g}: PSNR and SSIM take the peak to be 1")

    if raw.dtype == dtype and raw.dtype.isnative and (scale == 1).all():
        return raw, notes
    out = (
        raw
        if raw.dtype == dtype and raw.dtype.isnative and raw.flags.writeable
        else np.empty(raw.shape, dtype)
    )
    for i in range(n):
        out[i] = raw[i] / scale[i]
    return out, notes


def _cached_phantoms(n: int, shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, list[str]]:
    """The first ``n`` phantoms of a seed, from the cache or into it; into memory, with a note, where it fails."""
    if seed < 0:
        raise ValueError(f"phantoms need a seed of at least 0, not {seed}")
    jobs = _phantom_jobs(range(n), shape, seed)
    name = f"phantom-v{phantom.VERSION}-{'x'.join(map(str, shape))}-seed{seed}-n"
    sizes = [path.stem.removeprefix(name) for path in cache_folder().glob(f"{name}*.npy")]
    for size in sorted(int(size) for size in sizes if size.isdigit() and int(size) >= n):
        array = _read_cached(cache_folder() / f"{name}{size}.npy", n, shape)
        if array is not None:
            return array, []
    path = cache_folder() / f"{name}{n}.npy"
    try:
        _write_cached(path, jobs, shape)
        return np.load(path, mmap_mode="r", allow_pickle=False), []
    except OSError as error:
        note = f"kept in memory, not in the cache folder ({error.strerror or error})"
        return _stacked(jobs, ("dataset",))["dataset"], [note]


def _read_cached(path: Path, n: int, shape: tuple[int, int, int]) -> np.ndarray | None:
    """The first ``n`` cines, memory-mapped; None if the file is not whole, or they are not as they were written."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        checksums = np.fromfile(path, "<u4", offset=array.offset + array.nbytes)
    except Exception:  # whatever a damaged file makes numpy raise
        return None
    if array.shape != (len(checksums), *shape) or array.dtype != np.float32 or len(array) < n:
        return None
    pairs = zip(array[:n], checksums, strict=False)
    bar = tqdm(pairs, desc="phantom cache", total=n, unit="cine", delay=2)
    return array[:n] if all(zlib.crc32(cine) == checksum for cine, checksum in bar) else None


def _write_cached(path: Path, jobs: list[tuple], shape: tuple[int, int, int]) -> None:
    """Write a ``.npy`` phantom by phantom, followed by the CRC-32 of each: beside its place, then renamed.

    Plain writing says that a disk is full; writing to a memory map would end the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(jobs), *shape)}
    if shutil.disk_usage(path.parent).free < 4 * math.prod(header["shape"]):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    checksums = []
    try:
        with beside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for heart in _generate_all(jobs):
                cine = np.ascontiguousarray(heart["dataset"], "<f4")
                file.write(cine)
                checksums.append(zlib.crc32(cine))
            file.write(np.array(checksums, "<u4"))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _phantom_jobs(
    indices: Iterable[int], shape: Sequence[int], seed: int, complex_valued: bool = False
) -> list[tuple]:
    """What `_generate` needs for the phantoms of these indices, each with a seed of its own."""
    if shape[0] < 1 or min(shape[1:]) < phantom.MIN_SIDE:
        least = (1, phantom.MIN_SIDE, phantom.MIN_SIDE)
        raise ValueError(f"phantoms have a shape (t, y, x) of at least {least}, not {tuple(shape)}")
    seeds = [int(np.random.SeedSequence([seed, int(i)]).generate_state(1)[0]) for i in indices]
    return [(s, tuple(shape), complex_valued) for s in seeds]


def _stacked(jobs: list[tuple], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Some of what `_generate` gives, of all jobs, in memory."""
    arrays = {}
    for i, heart in enumerate(_generate_all(jobs)):
        for name in names:
            values = heart[name]
            arrays.setdefault(name, np.empty((len(jobs), *values.shape), values.dtype))[i] = values
    return arrays


def _generate_all(jobs: list[tuple]) -> Iterator[dict[str, np.ndarray]]:
    """Phantom after phantom, from several processes where that pays and where processes are to be had.

    Only a few are made ahead of the one that is asked for, so memory does not grow with their number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = 0
    with tqdm(total=len(jobs), desc="phantom", unit="cine", delay=2) as bar:
        if len(jobs) >= _PARALLEL_FROM and cores > 1 and not current_process().daemon:
            context = get_context("fork" if sys.platform == "linux" else "spawn")
            workers = min(cores, len(jobs))
            try:
                with ProcessPoolExecutor(workers, context, _start_worker) as pool:
                    waiting = iter(jobs)
                    ahead = deque(pool.submit(_generate, job) for job in islice(waiting, _AHEAD * workers))
                    while ahead:
                        heart = ahead.popleft().result()
                        ahead.extend(pool.submit(_generate, job) for job in islice(waiting, 1))
                        yield heart
                        done += 1
                        bar.update()
            except (BrokenProcessPool, OSError, ImportError):
                pass  # no processes here (a sandbox, a script without a main guard): the rest one by one
        for job in jobs[done:]:
            yield _generate(job)
            bar.update()


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)


def _generate(job: tuple[int, tuple[int, int, int], bool]) -> dict[str, np.ndarray]:
    seed, shape, complex_valued = job
    heart = phantom.cine_phantom(seed, shape)
    return {
        "dataset": np.asarray(heart.complex_image if complex_valued else heart.image),
        "labels": np.asarray(heart.labels),
        "lv_volume": np.asarray(heart.lv_volume),
        "ejection_fraction": np.asarray(heart.ejection_fraction),
        "group": np.asarray(heart.group, f"U{max(map(len, phantom.GROUPS))}"),
    }


def _complex_normal(seeds: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Complex normal numbers ``(b, ...)`` of variance 1, from one seed per sample: the same in whatever batch.

    SplitMix64 [1]_ of a counter gives 64 random bits per number; half of them make a radius, half an angle [2]_.

    References
    ----------
    .. [1] Steele, Lea & Flood, Fast splittable pseudorandom number generators, OOPSLA (2014), figure 16.
    .. [2] Box & Muller, A note on the generation of random normal deviates, Ann Math Stat 29:610 (1958).
    """
    counter = torch.arange(1, math.prod(shape[1:]) + 1, device=seeds.device)
    bits = seeds[:, None] - 0x61C8864680B583EB * counter  # 64 bits, modulo 2^64 as in the paper
    bits = (bits ^ (bits >> 30) & (1 << 34) - 1) * -0x40A7B892E31B1A47
    bits = (bits ^ (bits >> 27) & (1 << 37) - 1) * -0x6B2FB644ECCEEE15
    bits = bits ^ (bits >> 31) & (1 << 33) - 1
    low, high = bits & 0xFFFFFFFF, (bits >> 32) & 0xFFFFFFFF
    radius = (-((low.double() + 1) / 2**32).log()).sqrt()
    return torch.polar(radius, high.double() * (2 * math.pi / 2**32)).to(torch.complex64).reshape(shape)


def _generator(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers, the same on every machine."""
    numbers = [number % 2**64 for number in numbers]
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )
