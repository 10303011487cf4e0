"""Open cines from a file or from the phantom, check them, split them by patient, undersample them."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import current_process, get_context
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from . import phantom
from .operators import ForwardModel
from .sampling import ky_t_mask

EXPECTED = "a .npz with the key 'dataset', or a .npy, of shape (n, t, y, x) or (t, y, x)"
PHANTOM_CINES = 28
_TOLERANCE = 1e-6  # rounding of magnitudes at the ends of [0, 1]
_PARALLEL_FROM = 8  # cines; below that starting processes costs more than it saves


class DataError(ValueError):
    """Input that is no cine; the message is one line: file, what was found, what was expected."""


class Cines:
    """Cines of one size, checked, magnitudes in [0, 1].

    Parameters
    ----------
    array
        shape ``(n, t, y, x)``, float32 magnitude or complex64
    source
        name without folder
    groups
        shape ``(n,)``, the patient of every cine; None where unknown
    notes
        what was done to the values on the way in

    Attributes
    ----------
    source, groups, notes
        as above
    shape
        ``(n, t, y, x)``
    indices
        shape ``(n,)``, which cines of the source these are
    """

    def __init__(
        self, array: np.ndarray, source: str, groups: np.ndarray | None = None, notes: Sequence[str] = ()
    ):
        self._array, self.indices = array, np.arange(len(array))
        self.source, self.groups, self.notes = source, groups, list(notes)

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

    def subset(self, indices: Sequence[int]) -> "Cines":
        """Some of the cines, in the order given; shares memory with all of them."""
        part = Cines(self._array, self.source, None, self.notes)
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

    A file holds float, complex or integer numbers, cines of any size; in a ``.npz`` the key ``groups`` or
    ``patient``, shape ``(n,)``, may say which cines belong together. Values are brought to magnitudes in
    [0, 1]: a cine that exceeds 1 and every cine of integers is divided by its own largest magnitude; negative
    reals are kept, as the sign of a complex image. `Cines.notes` says what was done. Pickled objects are
    never loaded.

    Phantoms are generated once and kept in the folder of the environment variable ``DMRI_CACHE`` (default
    ``~/.cache/dmri``).

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
        return _open_file(Path(source), n)
    n = n or PHANTOM_CINES
    path = _cache_folder() / f"phantom-v{phantom.VERSION}-{'x'.join(map(str, shape))}-seed{seed}-n{n}.npz"
    try:
        cines = _open_file(path, n)
    except DataError:  # not there yet, or damaged
        arrays = phantom_arrays(n, shape, seed)
        cines = Cines(arrays["dataset"], "phantom", arrays["groups"])
        try:
            save_npz(path, arrays)
        except OSError:  # nowhere to keep them: they are made again next time
            pass
    cines.source = "phantom"
    return cines


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
        see `sampling.ky_t_mask`
    seed
        of masks, crops and order
    training
        fresh masks, crops, shuffled `batches`
    crop
        columns per training sample; all where None, 0 or more than there are
    mask
        one mask for all cines and epochs, shape ``(1, t, y, 1)``, instead of drawing any

    Raises
    ------
    ValueError
        if the mask is impossible or the crop negative
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
    ):
        if crop is not None and crop < 0:
            raise ValueError(f"a crop has at least 1 column (0: all), not {crop}")
        self.cines, self.seed, self.training, self.mask = cines, seed, training, mask
        self.acceleration, self.center_lines, self.density = acceleration, center_lines, density
        self.width = min(crop or cines.shape[-1], cines.shape[-1]) if training else cines.shape[-1]
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the masks, crops and order of an epoch; for validation and test nothing changes.

        With a torch ``DataLoader`` call it before each epoch, and leave ``persistent_workers`` off.
        """
        n, columns = len(self.cines), self.cines.shape[-1]
        generator = _generator(self.seed, epoch if self.training else 0)
        self._order = torch.randperm(n, generator=generator) if self.training else torch.arange(n)
        self._start = torch.randint(columns - self.width + 1, (n,), generator=generator)
        self._masks = (
            ky_t_mask(
                self.cines.shape, self.acceleration, self.center_lines, self.density, generator=generator
            )
            if self.mask is None
            else self.mask.expand(n, -1, -1, -1)
        )

    def __len__(self) -> int:
        return len(self.cines)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sample ``i``: k-space and target ``(t, y, x)`` complex64, mask ``(t, y, 1)`` bool in between."""
        kspace, mask, target = self._batch(torch.arange(len(self))[i][None], "cpu")
        return kspace[0], mask[0], target[0]

    def batches(
        self, batch_size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Every cine once, in batches; undersampled on the device, a whole batch at a time.

        Parameters
        ----------
        batch_size
            cines per batch; the last batch may be smaller
        device
            where the batches are made

        Yields
        ------
            k-space ``(b, t, y, x)`` complex64, mask ``(b, t, y, 1)`` bool, target ``(b, t, y, x)`` complex64
        """
        for indices in self._order.split(batch_size):
            yield self._batch(indices, device)

    def _batch(self, indices: torch.Tensor, device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        strips = [self.cines[i].narrow(-1, self._start[i].item(), self.width) for i in indices.tolist()]
        target = torch.stack(strips).to(device).to(torch.complex64)
        mask = self._masks[indices].to(device)
        return ForwardModel(mask).forward(target), mask, target


def phantom_arrays(
    n: int, shape: tuple[int, int, int] = (20, 192, 192), seed: int = 0, complex_valued: bool = False
) -> dict[str, np.ndarray]:
    """Generate ``n`` phantoms, in parallel, with a progress bar on stderr.

    Phantom ``i`` of a seed does not depend on ``n``.

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
        ``ejection_fraction`` and ``groups`` ``(n,)``; units as in `phantom.cine_phantom`

    Raises
    ------
    ValueError
        if the seed is negative or the phantom cannot have that size
    """
    if n < 1 or seed < 0:
        raise ValueError(f"phantoms need a number of at least 1 and a seed of at least 0, not {n} and {seed}")
    if shape[0] < 1 or min(shape[1:]) < phantom.MIN_SIDE:
        least = (1, phantom.MIN_SIDE, phantom.MIN_SIDE)
        raise ValueError(f"phantoms have a shape (t, y, x) of at least {least}, not {tuple(shape)}")
    seeds = [int(np.random.SeedSequence([seed, i]).generate_state(1)[0]) for i in range(n)]
    jobs = [(s, tuple(shape), complex_valued) for s in seeds]
    arrays = {"groups": np.arange(n)}
    for i, heart in enumerate(_generate_all(jobs)):
        for name, values in heart.items():
            arrays.setdefault(name, np.empty((n, *values.shape), values.dtype))[i] = values
    return arrays


def save_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a ``.npz``: beside its place first, then renamed, so that no half file is ever seen.

    Parameters
    ----------
    path
        the file; its folder is made where missing
    arrays
        by key

    Raises
    ------
    OSError
        if it cannot be written; nothing is left behind
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _error(source: str | Path, found: str, expected: str = EXPECTED) -> DataError:
    return DataError(" ".join(f"{source}: found {found}; expected {expected}".split()))


def _open_file(path: Path, n: int | None) -> Cines:
    raw, groups = _read(path)
    if raw.dtype.kind not in "fciu":
        raise _error(path, f"values of type {raw.dtype}", "float, complex or integer numbers")
    if raw.ndim not in (3, 4):
        raise _error(path, f"{raw.ndim} dimensions, shape {raw.shape}", "(n, t, y, x) or (t, y, x)")
    raw = raw[None] if raw.ndim == 3 else raw
    if raw.size == 0:
        raise _error(path, f"no values, shape {raw.shape}", "at least one cine, frame, line and column")
    if groups is not None:
        groups = _group_numbers(path, groups, len(raw))
    array, notes = _to_unit_magnitude(path, raw[:n])
    return Cines(array, path.name, None if groups is None else groups[:n], notes)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The raw cines and the raw groups; a ``.npy`` stays on disk (memory-mapped)."""
    if path.is_dir():
        raise _error(path, "a folder")
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except FileNotFoundError:
        raise _error(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise _error(
            path, f"a file that cannot be opened ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not magic.startswith((b"PK", b"\x93NUMPY")):
        found = (
            "an empty file"
            if not magic
            else f"a file that is neither zip nor .npy (it begins with {magic!r})"
        )
        raise _error(path, found)
    try:
        if magic.startswith(b"\x93NUMPY"):
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if "dataset" not in archive.files:
                keys = ", ".join(repr(key) for key in archive.files[:8]) + (
                    ", ..." if len(archive.files) > 8 else ""
                )
                raise _error(path, f"the keys {keys}" if keys else "no keys", "the key 'dataset'")
            key = next((key for key in ("groups", "patient") if key in archive.files), None)
            return np.asarray(archive["dataset"]), None if key is None else np.asarray(archive[key])
    except DataError:
        raise
    except Exception as error:  # whatever a damaged or hostile file makes numpy and zipfile raise
        if "object" in str(error).lower():
            raise _error(
                path, "pickled Python objects, which are never loaded", "arrays of numbers"
            ) from None
        raise _error(path, f"a damaged file ({type(error).__name__}: {str(error)[:120]})") from None


def _group_numbers(path: Path, groups: np.ndarray, n: int) -> np.ndarray:
    if groups.shape not in ((n,), ()) or groups.size != n:
        raise _error(path, f"groups of shape {groups.shape} for {n} cines", f"shape ({n},)")
    groups = groups.reshape(n)
    return groups if groups.dtype.kind in "iu" else np.unique(groups, return_inverse=True)[1]


def _to_unit_magnitude(path: Path, raw: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Check one cine after the other and bring all to magnitudes in [0, 1]; at most one copy of the whole."""
    n, integer = len(raw), raw.dtype.kind in "iu"
    peak, lowest = np.empty(n), np.zeros(n)
    for i, cine in enumerate(raw):
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


def _cache_folder() -> Path:
    return Path(os.environ.get("DMRI_CACHE") or Path.home() / ".cache" / "dmri")


def _generate_all(jobs: list[tuple]) -> Iterator[dict[str, np.ndarray]]:
    """Phantom after phantom, from several processes where that pays and where processes are to be had."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    done = 0
    with tqdm(total=len(jobs), desc="phantom", unit="cine", delay=2) as bar:
        if len(jobs) >= _PARALLEL_FROM and cores > 1 and not current_process().daemon:
            context = get_context("fork" if sys.platform == "linux" else "spawn")
            try:
                with ProcessPoolExecutor(min(cores, len(jobs)), context, _start_worker) as pool:
                    for heart in pool.map(_generate, jobs):
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
    }


def _generator(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers, the same on every machine."""
    numbers = [number % 2**64 for number in numbers]
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
    )
