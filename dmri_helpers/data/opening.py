"""Open or import cines and bring them to magnitudes in [0, 1] (notebooks 01 to 07 open theirs here).

Values are checked and scaled in one place, whatever they come from: a cine that exceeds 1 and every cine of
integers is divided by its own largest magnitude; negative reals are kept, as the sign of a complex image. The
notes of the cines say what was done. Pickled objects are never loaded. What is no cine raises `DataError`, whose
message is one line.
"""

import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from tqdm import tqdm

from .cines import Cines
from .formats import guard, reading
from .formats.kspace import MIDDLE, energy_of, shares
from .formats.nifti import acdc, are_labels, no_image_by_its_name
from .formats.nifti import is_nifti as is_nifti_file
from .formats.raw import Raw, count_text, list_text, size_text
from .formats.raw import error as _error
from .measured import Measured, cines_of
from .phantom.cache import cached_phantoms

PHANTOM_CINES = 28
_LABELS, _MANY = 16, 4096  # so few different values among so many are labels
_PHASE = np.pi, 4096  # the largest values of phase images
_FAINT = 0.1  # largest magnitude of cines that were never scaled
_OUTSHONE = 0.05  # of the largest magnitude: all but one in a thousand values are smaller
_TOLERANCE = 1e-6  # rounding of magnitudes at the ends of [0, 1]


def open_cine(
    source: str | Path = "phantom",
    *,
    n: int | None = None,
    shape: tuple[int, int, int] = (20, 192, 192),
    seed: int = 0,
    series: Sequence[int] = (),
) -> Cines:
    """Open fully sampled cines.

    A file or folder is read through one of the readers of `formats`: ``.npz`` (key ``dataset``), ``.npy``, NIfTI,
    DICOM, MATLAB, HDF5, ISMRMRD raw data, ACDC's folder of patients; cines of any size, all of one. In a ``.npz``
    the key ``groups`` or ``patient``, shape ``(n,)``, may say which cines belong together, and the key ``coils``,
    shape ``(c, y, x)`` or ``(n, c, y, x)``, hold the sensitivities of the receive coils. `import_cines` takes options
    where a file needs them.

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
    series
        of DICOM only: the numbers of the series to read

    Returns
    -------
        the cines, `len` at least 1

    Raises
    ------
    ValueError
        if ``n`` is below 1
    """
    if n is not None and n < 1:
        raise ValueError(f"the number of cines is at least 1, not {n}")
    if str(source) != "phantom":
        cines = open_data(source, n=n, series=series)
        if isinstance(cines, Measured):
            lines = f"{cines.sampled.sum()} of {cines.sampled.size} lines"
            raise _error(
                source, f"undersampled k-space ({lines})", "every line of every frame", "reconstruct"
            )
        return cines
    if series:
        raise _error("phantom", "data in which the option series means nothing", "no series")
    n = n or PHANTOM_CINES
    array, notes = cached_phantoms(n, tuple(shape), seed)
    return Cines(array, "phantom", np.arange(n), notes, seed)


def open_data(source: str | Path, *, n: int | None = None, **options) -> Cines | Measured:
    """Open a file or folder as `open_cine` does, and k-space of which lines are missing as well.

    Parameters
    ----------
    source, n
        as of `open_cine`
    options
        as of `import_cines`

    Returns
    -------
        cines, or, if lines of k-space are missing, what was measured
    """
    return _checked(reading.read(_path(source), n=n, **options), n)


def import_cines(path: str | Path, *others: str | Path, **options) -> Cines | Measured:
    """Read cines with the options that their file needs, and check them.

    Parameters
    ----------
    path
        a file or folder
    others
        more of them: every source is then a patient, or as many as it knows of; label files among them are left out
    options
        ``key``, ``axes``, ``series``, ``frames``, ``size``, ``per_frame``: see `formats.reading.read`

    Returns
    -------
        the cines; their notes begin with those of the reader. Of one source k-space of which lines are missing, too

    Raises
    ------
    DataError
        also if sources differ in size, are the same, or hold the same images
    """
    paths = [_path(source) for source in (path, *others)]
    if len(paths) == 1:
        return open_data(path, **options)
    seen: dict[str, Path] = {}
    for one in paths:
        if (same := seen.setdefault(os.path.realpath(one), one)) is not one:
            raise _error(one, f"the same source as {same}", "each once, a patient each")
    with tempfile.TemporaryFile() as on_disk:
        return _joined(*_parts(paths, options, on_disk), on_disk)


def _parts(paths: list[Path], options: dict, on_disk: BinaryIO) -> tuple[list[tuple[Path, Cines]], list[str]]:
    """The cines of each source, which lie on disk from then on, and what was left out."""
    parts, left_out = [], []
    for one in tqdm(paths, desc="sources", unit="source", delay=2):
        reason = no_image_by_its_name(one)
        if not reason:
            raw = reading.read(one, **options)
            reason = "labels by its values" if is_nifti_file(one) and are_labels(raw.cines) else ""
        if reason:
            left_out.append(f"{one.name} ({reason})")
        else:
            parts.append((one, _checked(raw)))
            if isinstance(parts[-1][1], Measured):
                raise _error(
                    one, "undersampled k-space", "sources of which every line is there, or one alone"
                )
            parts[-1][1].move_to(on_disk)
    if not parts:
        raise _error(paths[0], f"no image in {list_text(left_out, 'sources')}", "one at least")
    return parts, left_out


def _joined(parts: list[tuple[Path, Cines]], left_out: list[str], on_disk: BinaryIO) -> Cines:
    """Cines of several sources in one file, a patient each or as many as a source knows of."""
    first, one = parts[0]
    groups, notes, seen = [], {}, {}
    for path, cines in parts:
        if cines.shape[1:] != one.shape[1:]:
            found = f"cines of {size_text(cines.shape[1:])}, but of {size_text(one.shape[1:])} in {first}"
            raise _error(path, found, "one size", "size")
        if (cines.coils is None) != (one.coils is None) or (
            one.coils is not None and cines.coils.shape[1] != one.coils.shape[1]
        ):
            raise _error(path, f"other coils than in {first}", "as many coils in all sources, or none")
        for i in range(len(cines)):
            if (same := seen.setdefault(zlib.crc32(cines[i].numpy()), path)) is not path:
                raise _error(path, f"the same images as in {same} (cine {i})", "each patient once")
        own = (
            np.zeros(len(cines), int)
            if cines.groups is None
            else np.unique(cines.groups, return_inverse=True)[1]
        )
        groups.append(own + (groups[-1].max() + 1 if groups else 0))
        for note in cines.notes:
            notes.setdefault(note, []).append(path.name)
    array = _in_one([cines.array() for _, cines in parts], on_disk)
    patients = len({number for own in groups for number in own.tolist()})
    said = [
        f"{count_text(len(parts), 'source')}, {count_text(patients, 'patient')}: {count_text(len(array), 'cine')}"
    ]
    said += [f"left out: {list_text(left_out, 'sources')}"] if left_out else []
    said += [
        f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}: {note}" for note, names in notes.items()
    ]
    measured = [cines.kspace(range(len(cines))) for _, cines in parts if cines.measured]
    kspace = np.concatenate(measured) if len(measured) == len(parts) else None
    joined = Cines(array, one.source, np.concatenate(groups), said, kspace=kspace)
    if one.coils is not None:
        joined.coils = torch.cat([cines.coils.expand(len(cines), -1, -1, -1, -1) for _, cines in parts])
    if all(cines.patients is not None for _, cines in parts):
        joined.patients = np.concatenate([cines.patients for _, cines in parts])
    return joined


def _in_one(arrays: list[np.ndarray], on_disk: BinaryIO) -> np.ndarray:
    """Arrays as one: mapped where all of one type lie in this file without a gap, in memory otherwise."""
    n, size = sum(map(len, arrays)), sum(array.nbytes for array in arrays)
    if len({array.dtype for array in arrays}) == 1 and os.fstat(on_disk.fileno()).st_size == size:
        return np.memmap(on_disk, arrays[0].dtype, "r", 0, (n, *arrays[0].shape[1:]))
    return np.concatenate(arrays)


def _path(source: str | Path) -> Path:
    return Path(os.path.expanduser(source))


def import_acdc(path: str | Path, **options) -> Cines:
    """Read the data set ACDC as the seed report did, and check it.

    Parameters
    ----------
    path
        the folder that holds the folders of the patients, at any depth
    options
        ``n``, ``frames``, ``size``, ``per_frame``, ``shuffle``: see `formats.nifti.acdc`

    Returns
    -------
        the cines, with the names of their patients
    """
    guard.source(_path(path))
    return _checked(acdc(_path(path), **options))


def _checked(raw: Raw, n: int | None = None) -> Cines | Measured:
    """Check and scale what a reader handed on, at most the first ``n`` cines."""
    if raw.kspace is not None:
        return _checked_kspace(raw, n)
    groups = None if raw.groups is None else _group_numbers(raw.path, raw.groups, len(raw.cines))[:n]
    guard.fits(raw.path, raw.cines[0].shape, 8)
    array, notes = _to_unit_magnitude(raw.path, raw.cines[:n])
    source = os.path.basename(os.path.abspath(raw.path))
    cines = Cines(array, source, groups, [*raw.notes, *notes])
    cines.patients = None if raw.patients is None else raw.patients[:n]
    if raw.coils is not None:
        cines.coils, changed = _to_unit_sensitivity(raw.path, _first(raw.coils, n))
        cines.notes += changed
    return cines


def _checked_kspace(raw: Raw, n: int | None) -> Cines | Measured:
    groups = None if raw.groups is None else _group_numbers(raw.path, raw.groups, len(raw.kspace))[:n]
    source, coils = os.path.basename(os.path.abspath(raw.path)), None
    raw = replace(raw, kspace=raw.kspace[:n], sampled=raw.sampled[:n])
    if raw.coils is not None:
        coils, notes = _to_unit_sensitivity(raw.path, _first(raw.coils, n))
        raw.notes += notes
    if raw.sampled.all():
        return cines_of(raw, source, groups, coils)
    return Measured(raw.kspace, raw.sampled, source, groups, raw.notes, coils)


def _first(maps: np.ndarray, n: int | None) -> np.ndarray:
    return maps if len(maps) == 1 else maps[:n]


def _to_unit_sensitivity(path: Path, maps: np.ndarray) -> tuple[torch.Tensor, list[str]]:
    """Check maps of coils, shape ``(1 or n, c, y, x)``, and divide them by their root sum of squares."""
    bad = maps.size - np.count_nonzero(np.isfinite(maps))
    if bad:
        raise _error(path, f"{bad} values that are NaN or infinite in the coils", "finite numbers")
    for i, one in enumerate(maps):
        if not one.any():
            raise _error(path, f"coils that are zero everywhere (maps {i})", "maps of sensitivities")
    root = np.sqrt((np.abs(maps) ** 2).sum(1, keepdims=True))
    there = root > 0
    notes = []
    if np.abs(root[there] - 1).max() > 1e-3:
        maps = maps / np.where(there, root, 1)
        found = f"{root[there].min():.3g} to {root[there].max():.3g}, now 1"
        notes.append(f"coils divided by their root sum of squares ({found})")
    return torch.from_numpy(maps.astype(np.complex64))[:, :, None], notes


def _group_numbers(path: Path, groups: np.ndarray, n: int) -> np.ndarray:
    if groups.shape not in ((n,), ()) or groups.size != n:
        raise _error(path, f"groups of shape {groups.shape} for {n} cines", f"shape ({n},)")
    groups = groups.reshape(n)
    return groups if groups.dtype.kind in "iu" else np.unique(groups, return_inverse=True)[1]


def _to_unit_magnitude(path: Path, raw: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Check one cine after the other and bring all to magnitudes in [0, 1]; at most one copy of the whole."""
    n, integer = len(raw), raw.dtype.kind in "iu"
    peak, lowest, highest = np.empty(n), np.zeros(n), np.zeros(n)
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
        lowest[i], highest[i] = (low[0], high[0]) if raw.dtype.kind != "c" else (0, 0)
        _refuse_kspace(path, cine, i)

    for end in _PHASE:  # of complex images by their angle, and of Siemens
        if all(abs(extreme / end - 1) < 0.01 for extreme in (-lowest.min(), highest.max())):
            found = f"values from {lowest.min():g} to {highest.max():g}, as phase images have"
            raise _error(path, found, "magnitudes, or complex images")
    large, negative = peak > 1 + _TOLERANCE, lowest < -_TOLERANCE
    dtype = np.dtype(np.complex64 if raw.dtype.kind == "c" or negative.any() else np.float32)
    faint = peak.max() < _FAINT and not integer
    scale = np.where(large | integer | faint, peak, 1.0)
    notes = _doubts(raw)
    if integer:
        notes.append(
            f"integers ({raw.dtype}): every cine divided by its largest magnitude (up to {peak.max():g})"
        )
    elif large.any():
        notes.append(
            f"{large.sum()} of {n} cines exceed 1 (up to {peak.max():g}): divided by their largest magnitudes"
        )
    elif faint:
        notes.append(f"the largest magnitude is only {peak.max():g}: every cine divided by its own")
    if negative.any():
        notes.append(
            f"{negative.sum()} of {n} cines have negative values (down to {lowest.min():g}): "
            "kept as the sign of a complex image; a mean that was subtracted has to be added back first, and "
            "phase images are no cines"
        )
    if not integer and raw.dtype not in (np.float32, np.complex64):
        notes.append(f"{raw.dtype} converted to {dtype}")
    if _FAINT <= peak.max() < 0.5 and not integer:
        notes.append(f"the largest magnitude is only {peak.max():g}: PSNR and SSIM take the peak to be 1")

    if raw.dtype == dtype and raw.dtype.isnative and (scale == 1).all():
        return raw, notes
    if raw.dtype == dtype and raw.dtype.isnative and raw.flags.writeable:
        out = raw
    else:
        guard.fits(path, raw.shape, dtype.itemsize)
        out = np.empty(raw.shape, dtype)
    for i in range(n):
        out[i] = raw[i] / scale[i]
    return out, notes


def _refuse_kspace(path: Path, cine: np.ndarray, i: int) -> None:
    """Refuse k-space: its energy lies in the middle of every frame, or in the corners where nobody shifted it."""
    for place, share in shares(energy_of(cine)).items():
        if share > MIDDLE:
            found = f"k-space, not images: {100 * share:.0f} % of the energy of cine {i} lies in the {place}"
            raise _error(path, found, "images; an array of k-space is named kspace, or has its axes named")


def _doubts(cines: np.ndarray) -> list[str]:
    """Note what is odd about cines that could be images all the same, of each kind the first."""
    notes: dict[str, str] = {}
    for i, cine in enumerate(cines):
        if cine.size < _MANY:
            continue
        step = max(1, int((cine.size / 2**16) ** 0.5))
        some = cine[:, ::step, ::step]
        if len(np.unique(some)) <= _LABELS and (values := len(np.unique(cine))) <= _LABELS:
            notes.setdefault(
                "labels", f"only {values} different values in cine {i}: labels or a mask, not an image?"
            )
        if len(cine) > 1 and all((frame == cine[0]).all() for frame in cine[1:]):
            notes.setdefault("still", f"nothing moves in cine {i}: all its {len(cine)} frames are the same")
        magnitude = np.abs(some.astype(np.result_type(some.dtype, np.float32)))
        if np.quantile(magnitude, 0.999) < _OUTSHONE * np.abs(cine).max():
            notes.setdefault(
                "outshone",
                f"a few values of cine {i} outshine all others, which are below {_OUTSHONE:g} of the largest: "
                "faulty pixels? PSNR and SSIM take the largest to be 1",
            )
    return list(notes.values())
