"""Images and k-space of the BART toolbox: sizes in NAME.hdr, values in NAME.cfl (no notebook; see `formats.raw`)."""

import math
from pathlib import Path

import numpy as np

from . import guard
from .kspace import MIDDLE, energy_of, kspace, shares
from .raw import Raw, error, put_in_order, reading_file, size_text

_COIL, _TIME, _SLICE = 3, 10, 13  # which of the 16 dimensions


def is_bart(path: Path) -> bool:
    """Whether a file is one of the two that BART writes together."""
    if path.suffix not in (".cfl", ".hdr") or not _header(path).is_file():
        return False
    with _header(path).open("rb") as file:
        return file.read(12) == b"# Dimensions"


def bart(path: Path) -> Raw:
    """Read images or k-space of BART [1]_: 10 counts frames, 13 slices, and of k-space 3 the coils.

    Of images dimension 0 becomes ``y`` and 1 ``x``. Of k-space 0 is the readout, ``x``, and 1 the phase encode, ``y``.
    Which of both it is, the energy tells: that of k-space lies in the middle.

    References
    ----------
    .. [1] https://mrirecon.github.io/bart, and its `doc/dimensions-and-strides.txt`.
    """
    guard.plain(path.with_suffix(".cfl"))
    with reading_file(path):
        sizes = [int(word) for word in _header(path).read_text().splitlines()[1].split()]
        sizes += [1] * (16 - len(sizes))
        values = np.memmap(path.with_suffix(".cfl"), "<c8", "r")
        if len(values) != math.prod(sizes):
            raise error(path, f"{len(values)} values", f"{math.prod(sizes)}, as the header says")
    others = [size for axis, size in enumerate(sizes) if axis not in (0, 1, _COIL, _TIME, _SLICE)]
    if math.prod(others) != 1 or sizes[_TIME] == 1:
        expected = "dimensions 0 and 1, coils in 3, several frames in 10, slices in 13, all others 1"
        raise error(path, f"an array of BART of {size_text(sizes)}", expected)
    array = values.reshape([sizes[axis] for axis in (0, 1, _COIL, _TIME, _SLICE)], order="F")
    first = np.moveaxis(array[..., 0], (0, 1), (-1, -2))
    if sizes[_COIL] > 1 or (first.any() and shares(energy_of(first)).get("middle", 0) > MIDDLE):
        raw = kspace(path, path.stem, array, "xyctn", groups=np.zeros(sizes[_SLICE], int))
        raw.notes[0] += "; dimensions 0, 1, 3, 10 and 13 of BART"
        return raw
    array = array[:, :, 0]
    note = f"array of BART, {size_text(array.shape)}: dimensions 0, 1, 10 and 13 taken as (y, x, t, n)"
    return Raw(path, put_in_order(path, array, "yxtn"), np.zeros(sizes[_SLICE], int), notes=[note])


def _header(path: Path) -> Path:
    return path.with_suffix(".hdr")
