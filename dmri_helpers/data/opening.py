"""Open or import cines and bring them to magnitudes in [0, 1] (notebooks 01 to 07 open theirs here).

Values are checked and scaled in one place, whatever they come from: a cine that exceeds 1 and every cine of
integers is divided by its own largest magnitude; negative reals are kept, as the sign of a complex image. The
notes of the cines say what was done. Pickled objects are never loaded. What is no cine raises `DataError`, whose
message is one line.
"""

import os
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .cines import Cines
from .formats import guard, reading
from .formats.nifti import acdc
from .formats.raw import Raw
from .formats.raw import error as _error
from .phantom.cache import cached_phantoms

PHANTOM_CINES = 28
_KSPACE = 0.4  # share of the energy that no image has in its middle
_LABELS, _MANY = 8, 4096  # so few different values among so many are labels
_TOLERANCE = 1e-6  # rounding of magnitudes at the ends of [0, 1]


def open_cine(
    source: str | Path = "phantom",
    *,
    n: int | None = None,
    shape: tuple[int, int, int] = (20, 192, 192),
    seed: int = 0,
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
        return _checked(reading.read(Path(source), n=n), n)
    n = n or PHANTOM_CINES
    array, notes = cached_phantoms(n, tuple(shape), seed)
    return Cines(array, "phantom", np.arange(n), notes, seed)


class ImportedCines(Cines):
    """Cines whose patients may have names.

    Attributes
    ----------
    patients
        shape ``(n,)``, the names that a public set gives its patients (``patient001``); None where there are none
    """

    patients: np.ndarray | None = None


def import_cines(path: str | Path, **options) -> ImportedCines:
    """Read cines with the options that their file needs, and check them.

    Parameters
    ----------
    path
        a file or folder
    options
        ``key``, ``axes``, ``series``, ``frames``, ``size``, ``per_frame``: see `formats.reading.read`

    Returns
    -------
        the cines; their notes begin with those of the reader
    """
    return _checked(reading.read(Path(path), **options))


def import_acdc(path: str | Path, **options) -> ImportedCines:
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
    guard.source(Path(path))
    return _checked(acdc(Path(path), **options))


def _checked(raw: Raw, n: int | None = None) -> ImportedCines:
    """Check and scale what a reader handed on, at most the first ``n`` cines."""
    groups = None if raw.groups is None else _group_numbers(raw.path, raw.groups, len(raw.cines))[:n]
    guard.fits(raw.path, raw.cines[0].shape, 8)
    array, notes = _to_unit_magnitude(raw.path, raw.cines[:n])
    source = os.path.basename(os.path.abspath(raw.path))
    cines = ImportedCines(array, source, groups, [*raw.notes, *notes])
    cines.patients = None if raw.patients is None else raw.patients[:n]
    if raw.coils is not None:
        maps = raw.coils if len(raw.coils) == 1 else raw.coils[:n]
        cines.coils, changed = _to_unit_sensitivity(raw.path, maps)
        cines.notes += changed
    return cines


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
        _refuse_kspace(path, cine, i)

    large, negative = peak > 1 + _TOLERANCE, lowest < -_TOLERANCE
    dtype = np.dtype(np.complex64 if raw.dtype.kind == "c" or negative.any() else np.float32)
    scale = np.where(large | integer, peak, 1.0)
    notes = _doubts(raw[0])
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
    if raw.dtype == dtype and raw.dtype.isnative and raw.flags.writeable:
        out = raw
    else:
        guard.fits(path, raw.shape, dtype.itemsize)
        out = np.empty(raw.shape, dtype)
    for i in range(n):
        out[i] = raw[i] / scale[i]
    return out, notes


def _refuse_kspace(path: Path, cine: np.ndarray, i: int) -> None:
    """Refuse k-space: its energy lies in the middle of every frame, or in the corners where nobody shifted it.

    The middle is 1/8 of the lines and columns, once zero-padding is cut off. Of 32 real and 7 simulated cines the
    images have at most 11 % of their energy there, their k-space at least 67 %.
    """
    magnitude = np.abs(cine)
    energy = ((magnitude / magnitude.max()).astype(np.float32) ** 2).sum(0, dtype=np.float64)
    lines, columns = np.flatnonzero(energy.any(1)), np.flatnonzero(energy.any(0))
    energy = energy[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = energy.shape
    if min(y, x) < 16:  # too few values to tell
        return
    for place, start in (
        ("middle", (y // 2 - y // 16, x // 2 - x // 16)),
        ("corners", (-(y // 16), -(x // 16))),
    ):
        share = np.roll(energy, (-start[0], -start[1]), (0, 1))[: y // 8, : x // 8].sum() / energy.sum()
        if share > _KSPACE:
            found = f"k-space, not images: {100 * share:.0f} % of the energy of cine {i} lies in the {place}"
            raise _error(path, found, "images, its inverse Fourier transform")


def _doubts(cine: np.ndarray) -> list[str]:
    """Note what is odd about a cine that could be an image all the same."""
    values = len(np.unique(cine)) if cine.size >= _MANY else _MANY
    return [f"only {values} different values in cine 0: labels or a mask, not an image?"] * (
        values <= _LABELS
    )
