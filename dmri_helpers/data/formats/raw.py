"""What readers have in common: what they hand on, their errors, and how cines become one size (no notebook).

A reader takes the path of a file or folder, puts numbers in order, slice by slice and frame by frame, and
returns them as `Raw`, with an account of what it did. It raises `DataError`, one line, where the file is damaged
or holds no such cines. It knows nothing of the command line.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

EXPECTED = (
    "cines of shape (n, t, y, x) or (t, y, x) in a .npz (key 'dataset') or .npy, 4-D NIfTI (file or folder), DICOM "
    "(file or folder), ACDC's folder of patients, MATLAB, HDF5, BART's .cfl; "
    "or k-space of ISMRMRD, MATLAB, HDF5, BART or .npz"
)


class DataError(ValueError):
    """Input that is no cine; the message is one line: the source, what was found, what was expected.

    Attributes
    ----------
    remedy
        the option of `data.import_cines` that helps: ``"axes"``, ``"key"``, ``"series"`` or
        ``"size"``; None where no option does. The command line says in its own words how to give it.
    """

    def __init__(self, source: str | Path, found: str, expected: str = EXPECTED, remedy: str | None = None):
        super().__init__(source, found, expected, remedy)
        self.source, self.found, self.expected, self.remedy = source, found, expected, remedy

    def __str__(self) -> str:
        return " ".join(f"{self.source}: found {self.found}; expected {self.expected}".split())


error = DataError  # `raise error(path, found, expected)` reads as what it says


@dataclass
class Raw:
    """What a reader hands on: numbers in order, neither checked nor scaled.

    Attributes
    ----------
    path
        the file or folder
    cines
        shape ``(n, t, y, x)``, or ``n`` arrays of shape ``(t, y, x)``; integers, floats or complex
    groups
        shape ``(n,)``, the patient of every cine, as the file has it or numbered; None where unknown
    patients
        shape ``(n,)``, the names of public data sets (``patient001``); None otherwise
    notes
        the account of what was done, line by line
    coils
        maps of the coils' sensitivities, shape ``(1 or n, c, y, x)``; None where there are none
    kspace
        instead of cines: measured k-space, shape ``(n, c, t, y, x)``, zero frequency in the middle
    sampled
        with k-space: which lines were sampled, shape ``(n, t, y)``
    """

    path: Path
    cines: np.ndarray | list[np.ndarray]
    groups: np.ndarray | None = None
    patients: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    coils: np.ndarray | None = None
    kspace: np.ndarray | None = None
    sampled: np.ndarray | None = None


def one_size(raw: Raw, frames: int | None = None, size: int | None = None, per_frame: bool = False) -> Raw:
    """Bring cines to one size: the first frames, cropped or zero-padded in the middle.

    Parameters
    ----------
    raw
        what a reader returned
    frames
        per cine; by default as many as there are
    size
        lines and columns; by default as many as there are
    per_frame
        scale every frame to [0, 1] by its own minimum and maximum

    Returns
    -------
        cines of shape ``(n, t, y, x)``

    Raises
    ------
    ValueError
        if ``frames`` or ``size`` is below 1
    """
    check_at_least_one(frames, size)
    if raw.kspace is not None:
        return _first_frames(raw, frames, size is not None or per_frame)
    if isinstance(raw.cines, np.ndarray) and frames is size is None and not per_frame:
        return raw
    shapes = Counter(cine.shape for cine in raw.cines)
    fewest = min(t for t, _, _ in shapes)
    if frames is not None and fewest < frames:
        raise error(raw.path, f"a cine of {fewest} frames", f"at least {frames}")
    fitted = {(frames or t, size or y, size or x) for t, y, x in shapes}
    if len(fitted) > 1:
        found = ", ".join(
            f"{count_text(n, 'cine')} of {size_text(shape)}" for shape, n in shapes.most_common(6)
        )
        raise error(raw.path, found, "one size", "size")
    dtype = np.float32 if per_frame else np.result_type(*{cine.dtype for cine in raw.cines})
    cines = np.empty((len(raw.cines), *fitted.pop()), dtype)
    for i, cine in enumerate(raw.cines):
        cines[i] = fitted_cine(raw.path, cine, frames, size, per_frame)
    notes = raw.notes + fitting(shapes, frames, size, per_frame)
    coils = raw.coils
    if coils is not None and size is not None:
        coils = np.stack([fitted_cine(raw.path, maps, None, size, False) for maps in coils])
    return Raw(raw.path, cines, raw.groups, raw.patients, notes, coils)


def _first_frames(raw: Raw, frames: int | None, changes_images: bool) -> Raw:
    """Of k-space, which has no pixels to crop or scale, only frames can be left out."""
    if changes_images:
        raise error(
            raw.path,
            "k-space, which cannot be cropped or scaled frame by frame",
            "no --size and no --per-frame",
        )
    found = raw.kspace.shape[2]
    if frames is not None and found < frames:
        raise error(raw.path, f"k-space of {found} frames", f"at least {frames}")
    notes = raw.notes + [f"the first {frames} frames kept, of {found}"] * (
        frames is not None and frames < found
    )
    part = {"kspace": raw.kspace[:, :, :frames], "sampled": raw.sampled[:, :frames], "notes": notes}
    return replace(raw, **part)


def check_at_least_one(frames: int | None, size: int | None) -> None:
    """Refuse a number of frames or a size below 1."""
    if any(number is not None and number < 1 for number in (frames, size)):
        raise ValueError(f"frames and size are at least 1, not {frames} and {size}")


def fitted_cine(
    path: Path, cine: np.ndarray, frames: int | None, size: int | None, scaled: bool
) -> np.ndarray:
    """Bring one cine to its size as `one_size` says; ``scaled`` is its ``per_frame``."""
    cine = cine[:frames]
    if size is not None:
        source, target = [slice(None)], [slice(None)]
        for length in cine.shape[1:]:
            start, n = length // 2 - size // 2, min(length, size)  # the middle pixel stays in the middle
            source.append(slice(max(start, 0), max(start, 0) + n))
            target.append(slice(max(-start, 0), max(-start, 0) + n))
        whole, cine = cine, np.zeros((len(cine), size, size), cine.dtype)
        cine[tuple(target)] = whole[tuple(source)]
    if not scaled:
        return cine
    if np.iscomplexobj(cine):
        raise error(path, "complex values", "magnitudes to scale frame by frame")
    cine = cine.astype(np.float32) - cine.min((1, 2), keepdims=True).astype(np.float32)
    return cine / np.maximum(cine.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)


def fitting(shapes: Counter, frames: int | None, size: int | None, scaled: bool) -> list[str]:
    """Account for what `fitted_cine` did to cines of these shapes."""
    notes = []
    if frames is not None and any(t > frames for t, _, _ in shapes):
        had = sorted({t for t, _, _ in shapes})
        notes.append(
            f"the first {frames} frames kept, of {had[0] if len(had) == 1 else f'{had[0]} to {had[-1]}'}"
        )
    changed = Counter()
    for (_, y, x), n in shapes.items():
        if size is not None and (y, x) != (size, size):
            done = ["cropped"] * (max(y, x) > size) + ["zero-padded"] * (min(y, x) < size)
            changed[f"of {y} x {x} {' and '.join(done)}"] += n
    if changed:
        listed = ", ".join(f"{count_text(n, 'cine')} {what}" for what, n in changed.most_common())
        notes.append(f"in the middle to {size} x {size}: {listed}")
    return notes + ["every frame scaled to [0, 1] by its own minimum and maximum"] * scaled


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile file makes a reader raise into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except MemoryError as wrong:
        found = f"more than memory holds ({wrong})" if str(wrong) else "more than memory holds"
        raise error(path, found, "fewer or smaller cines") from None
    except PermissionError as wrong:
        raise reading_error(path, wrong) from None
    except Exception as wrong:
        if "allow_pickle" in str(wrong) or "Python objects" in str(wrong):
            found = "pickled Python objects, which are never loaded"
            raise error(path, found, "arrays of numbers") from None
        found = f"a damaged file ({type(wrong).__name__}: {str(wrong)[:120]})"
        raise error(path, found, "a whole one") from None


def reading_error(path: Path, wrong: Exception) -> DataError:
    return error(path, f"a file that cannot be opened ({getattr(wrong, 'strerror', None) or wrong})")


def refuse_dangling(path: Path) -> None:
    """Refuse a link whose file is not there."""
    if os.path.islink(path) and not os.path.exists(path):
        found = f"a link to {os.readlink(path)}, where nothing is"
        raise error(path, found, "the file itself (git annex get, datalad get, or a copy)")


def files_in(folder: Path) -> list[Path]:
    """List all files in a folder and below, also behind links, hidden ones left out."""

    def refuse(wrong: OSError) -> None:
        raise error(wrong.filename, f"a folder that cannot be read ({wrong.strerror})", "one that can be")

    files, seen = [], set()
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.realpath(root) in seen:  # a link that leads in a circle
            folders.clear()
            continue
        seen.add(os.path.realpath(root))
        files += [Path(root, name) for name in names if not name.startswith(".")]
    for file in files:
        refuse_dangling(file)
    files = sorted(file for file in files if os.path.isfile(file))
    if not files:
        raise error(folder, "a folder without files")
    return files


def put_in_order(path: Path, array: np.ndarray, axes: str | None, doubt: bool = True) -> np.ndarray:
    """Put the axes of an array of numbers in the order ``(n, t, y, x)``; ``axes`` as `reading.read` takes them.

    Where nobody named the axes and they give more frames than lines or columns, the array is refused: it is
    rather an array ``(y, x, slice, t)`` than a film of stripes. Without ``doubt`` it is taken as it is.
    """
    if array.dtype.kind not in "fciu":
        raise error(path, f"values of type {array.dtype}", "float, complex or integer numbers")
    if array.ndim not in (3, 4):
        raise error(path, f"{array.ndim} dimensions, shape {array.shape}", "(n, t, y, x) or (t, y, x)")
    if array.size == 0:
        raise error(path, f"no values, shape {array.shape}", "at least one cine, frame, line and column")
    wanted = "ntyx"[-array.ndim :]
    if axes is None and array.ndim == 4 and array.shape[-1] in (3, 4) and min(array.shape[1:3]) > 4:
        found = f"an array {size_text(array.shape)}: a last axis of {array.shape[-1]}, as colours have"
        raise error(path, found, "grey values, or the name of every axis", "axes")
    if axes is not None:
        if sorted(axes) != sorted(wanted):
            raise error(path, f"axes {axes!r} for shape {array.shape}", f"the letters of {wanted}, each once")
        array = array.transpose([axes.index(letter) for letter in wanted])
    elif doubt and (found := axes_in_doubt(array.shape)):
        raise error(path, found, "no more frames than lines or columns, or the name of every axis", "axes")
    return array if array.ndim == 4 else array[None]


def axes_in_doubt(shape: Sequence[int]) -> str:
    """Say what is odd about an array whose axes nobody named; empty if nothing is."""
    t, y, x = shape[-3:]
    names = ", ".join("ntyx"[-len(shape) :])
    return f"an array {size_text(shape)}, as ({names}) {t} frames of {y} x {x}" if t > min(y, x) else ""


def choose_key(
    path: Path,
    key: str | None,
    held: list[str],
    fits: list[str],
    listed,
    first: Callable = lambda name: False,
) -> str:
    """Choose the key asked for, or the only one that fits; those that ``first`` is true of go before all others."""
    found = list_text(listed, "keys")
    if key is not None:
        if key.strip("/") not in held:
            raise error(path, found, f"the key {key!r}", "key")
        return key.strip("/")
    chosen = [name for name in fits if first(name)] or fits
    if len(chosen) != 1:
        raise error(path, found, "one array of 3 or 4 dimensions, or one of k-space", "key")
    return chosen[0]


def axes_note(key: str, array: np.ndarray, axes: str | None) -> str:
    """Account for the axes that an array was taken to have."""
    taken = ", ".join(axes or "ntyx"[-array.ndim :])
    return f"array {key!r}, {size_text(array.shape)}: axes taken as ({taken})"


def size_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def count_text(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def list_text(items, what: str) -> str:
    items = list(items)
    return f"the {what} {', '.join(items[:8])}{', ...' if len(items) > 8 else ''}" if items else f"no {what}"
