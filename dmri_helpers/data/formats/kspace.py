"""K-space in arrays: its axes, its centre and the lines that were sampled (notebook 07; see `formats.raw`).

The letters of axes are those of `formats.raw`, and ``c`` for the coil. ``y`` is the phase encode, of which lines may be
missing; a line that is zero in every coil was not sampled.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import guard
from .raw import Raw, error, size_text

PLAIN = {3: "tyx", 5: "nctyx"}
MATLAB = {3: "xyt", 4: "xyct", 5: "xycnt"}  # as the CMRxRecon challenges write it, (kx, ky, coil, slice, t)
ONE_COIL = {3: "xyt", 4: "xynt"}  # their arrays kspace_single_...
MIDDLE, _LITTLE = (
    0.4,
    0.2,
)  # k-space has a larger share of its energy in the middle than the one, an image a smaller than the other


def is_kspace_name(key: str) -> bool:
    """Whether an array calls itself k-space: ``kspace_full``, ``kSpace``, ``kdata``."""
    return key.rpartition("/")[2].lower().replace("-", "").replace("_", "").startswith(("kspace", "kdata"))


def axes_of(path: Path, key: str, shape: Sequence[int], axes: str | None, from_matlab: bool) -> str:
    """The axes of an array of k-space: those that are given, or those of who wrote it."""
    if axes is not None:
        if (
            len(axes) != len(shape)
            or len(set(axes)) != len(axes)
            or not set("tyx") <= set(axes) <= set("nctyx")
        ):
            raise error(
                path,
                f"axes {axes!r} for k-space {size_text(shape)}",
                "a letter of nctyx for each, t, y and x among them",
            )
        return axes
    known = (ONE_COIL if "single" in key.lower() else MATLAB) if from_matlab else PLAIN
    if len(shape) not in known:
        found = f"k-space {key!r} of {len(shape)} axes, {size_text(shape)}, that nobody named"
        raise error(path, found, "(t, y, x), (n, c, t, y, x), or the name of every axis", "axes")
    return known[len(shape)]


def kspace(
    path: Path,
    key: str,
    array: np.ndarray,
    axes: str,
    mask: np.ndarray | None = None,
    coils: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    notes: Sequence[str] = (),
) -> Raw:
    """Hand on k-space with its sampled lines, in the order ``(n, c, t, y, x)``, zero frequency in the middle.

    Parameters
    ----------
    key, array, axes
        name, numbers and the letters of the axes
    mask
        shape ``(t, y)`` or ``(n, t, y)``, or ``(y,)``, where the file has one; by default the lines that are not zero
    coils
        maps of the coils, ``(1 or n, c, y, x)``, where the file has them
    """
    if array.dtype.kind not in "fciu" or array.size == 0:
        raise error(
            path, f"k-space {key!r}, {size_text(array.shape)} of type {array.dtype}", "complex numbers"
        )
    guard.fits(path, array.shape, 16)
    array = array.transpose([axes.index(letter) for letter in "nctyx" if letter in axes])
    missing = [i for i, letter in enumerate("nctyx") if letter not in axes]
    array = np.ascontiguousarray(np.expand_dims(array, missing), np.complex64)
    named = ", ".join(f"{letter} {size}" for letter, size in zip("nctyx", array.shape, strict=True))
    taken = [f"k-space {key!r}, axes taken as ({', '.join(axes)}): {named}"]
    if array.shape[2] == 1:
        raise error(path, f"k-space of a single frame ({named})", "several frames")
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise error(path, f"{bad} values of k-space that are NaN or infinite", "finite numbers")
    if not array.any():
        raise error(path, "k-space that is zero everywhere", "measured lines")
    array, moved = _centred(path, array)
    sampled = _sampled(path, array, mask)
    return Raw(path, [], groups, notes=[*notes, *taken, *moved], coils=coils, kspace=array, sampled=sampled)


def shares(energy: np.ndarray) -> dict[str, float]:
    """The shares of the energy ``(y, x)`` in its middle and in its corners, each an eighth of the lines and columns.

    Rows and columns of zeros around it are cut off. Of 32 real and 7 simulated cines the images have at most 11 % in
    the middle, their k-space at least 67 %. Empty where there are too few values to tell.
    """
    lines, columns = np.flatnonzero(energy.any(1)), np.flatnonzero(energy.any(0))
    energy = energy[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = energy.shape
    if min(y, x) < 16:
        return {}
    starts = {"middle": (y // 2 - y // 16, x // 2 - x // 16), "corners": (-(y // 16), -(x // 16))}
    rolled = {
        place: np.roll(energy, (-a, -b), (0, 1))[: y // 8, : x // 8] for place, (a, b) in starts.items()
    }
    return {place: float(part.sum() / energy.sum()) for place, part in rolled.items()}


def energy_of(array: np.ndarray) -> np.ndarray:
    """The energy of every pixel or sample ``(y, x)``, summed over all other axes, the largest value taken as 1."""
    magnitude = np.abs(array)
    scaled = (magnitude / magnitude.max()).astype(np.float32)
    return (scaled**2).sum(tuple(range(array.ndim - 2)), dtype=np.float64)


def _centred(path: Path, array: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Bring zero frequency into the middle; refuse what is no k-space."""
    share = shares(energy_of(array))
    if share.get("corners", 0) > MIDDLE:
        shifted = np.fft.fftshift(array, (-2, -1))
        return shifted, ["zero frequency was in the corner: moved to the middle"]
    if share and share["middle"] < _LITTLE:
        found = f"so-called k-space that has only {100 * share['middle']:.0f} % of its energy in the middle"
        raise error(
            path,
            found,
            "k-space with zero frequency in the middle or in the corner, or the name of every axis",
            "axes",
        )
    return array, []


def _sampled(path: Path, array: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Which lines were sampled, ``(n, t, y)``."""
    n, _, t, y, _ = array.shape
    measured = array.any((1, 4))
    columns = array.any((0, 1, 2, 3))
    if measured.all() and not columns.all() and len(np.unique(np.diff(np.flatnonzero(columns)))) > 1:
        found = f"k-space of which whole columns are missing ({columns.sum()} of {len(columns)} are there), but no line"
        raise error(path, found, "lines left out along y, the phase encode", "axes")
    if mask is not None:
        try:
            mask = np.broadcast_to(np.asarray(mask).astype(bool), (n, t, y)).copy()
        except ValueError:
            raise error(
                path, f"a mask of shape {np.shape(mask)}", f"({y},), ({t}, {y}) or ({n}, {t}, {y})"
            ) from None
        if (measured & ~mask).any():
            found = f"{(measured & ~mask).sum()} lines of k-space that the mask says were not sampled"
            raise error(path, found, "zeros there, or the mask of these data")
        measured = mask
    empty = ~measured.any(-1)
    if empty.any():
        raise error(path, f"{empty.sum()} of {empty.size} frames without a line", "lines in every frame")
    return measured
