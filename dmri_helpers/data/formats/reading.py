"""Pick the reader of a file or folder by its first bytes (notebooks 01 to 07 read their cines through it).

`data.open_cine` and `data.import_cines`, and so every notebook and command, go through `read`; `formats.raw` says
what a reader is. Checking and scaling the values is left to `data.opening`. Whichever array axis becomes ``y`` is
the one along which lines of k-space will be left out, no matter how the scanner's own phase-encode direction lay.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from . import guard
from .arrays import hdf5, matlab, npy, npz
from .bart import bart, is_bart
from .dicom import begins_with_an_element, dicom
from .nifti import acdc, is_nifti, nifti, nifti_folder
from .raw import Raw, error, files_in, one_size, reading_error, refuse_dangling
from .strangers import stranger

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read(
    path: Path,
    *,
    n: int | None = None,
    key: str | None = None,
    axes: str | None = None,
    series: Sequence[int] = (),
    frames: int | None = None,
    size: int | None = None,
    per_frame: bool = False,
) -> Raw:
    """Read cines from any file or folder that there is a reader for.

    Parameters
    ----------
    path
        a file, or a folder of DICOM files, of NIfTI files or of ACDC's patients
    n
        at most the first so many cines, where that saves reading the others
    key
        of the array in a ``.npz``, MATLAB or HDF5 file, or of the group of ISMRMRD raw data; may be left out
        where only one fits
    axes
        what the axes of an array are, such as ``yxt``: ``t``, ``y`` and ``x``, and ``n`` (cines or slices)
        where there are four; by default ``ntyx`` or ``tyx``, of NIfTI ``yxnt``
    series
        the DICOM series to read, by number; by default all
    frames
        only the first so many frames; by default all, of ACDC 20
    size
        crop or zero-pad in the middle to so many lines and columns; by default as they are, of ACDC 192
    per_frame
        scale every frame to [0, 1] by its own minimum and maximum; always done to ACDC

    Returns
    -------
        cines of one size, shape ``(n, t, y, x)``

    Raises
    ------
    ValueError
        if ``frames`` or ``size`` is below 1
    """
    guard.source(path)
    reader, takes = _reader(path)
    given = {name: value for name, value in (("key", key), ("axes", axes), ("series", series)) if value}
    for name in given.keys() - set(takes):
        raise error(path, f"data in which the option {name} means nothing", f"no {name}")
    if reader is acdc:
        return acdc(path, n=n, frames=20 if frames is None else frames, size=192 if size is None else size)
    raw = reader(path, **given)
    if size is not None:
        guard.fits(path, (len(raw.cines), frames or max(map(len, raw.cines)), size, size), 4)
    return one_size(raw, frames, size, per_frame)


def _reader(path: Path) -> tuple[Callable[..., Raw], tuple[str, ...]]:
    """Find the reader of a file or folder by what it begins with, and the options that it takes."""
    if os.path.isdir(path):  # False, not an error, where one may not look
        names = [file.name.lower() for file in files_in(path)]
        if any(name.endswith(("_4d.nii", "_4d.nii.gz")) for name in names):
            return acdc, ()
        if any(name.endswith((".nii", ".nii.gz")) for name in names):
            return nifti_folder, ("axes",)
        return dicom, ("series",)
    refuse_dangling(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise error(path, "neither a file nor a folder")
    try:
        with path.open("rb") as file:
            head = file.read(520)
    except FileNotFoundError:
        raise error(path, "no such file") from None
    except (OSError, ValueError) as wrong:
        raise reading_error(path, wrong) from None
    if not head:
        raise error(path, "an empty file")
    if named := stranger(path, head):
        raise named
    if head.startswith(b"\x93NUMPY"):
        return npy, ("axes",)
    if head.startswith(b"PK"):
        return npz, ("key", "axes")
    if is_nifti(path) or path.name.lower().endswith((".nii", ".nii.gz")):
        return nifti, ("axes",)
    if head[128:132] == b"DICM" or begins_with_an_element(path):
        return dicom, ("series",)
    if head.startswith((_HDF5, b"MATLAB 7.3")) or head[512:] == _HDF5:
        return hdf5, ("key", "axes")
    if is_bart(path):
        return bart, ()
    if head.startswith(b"MATLAB 5.0"):
        return matlab, ("key", "axes")
    if head.startswith(b"\x1f\x8b"):
        raise error(path, "a file packed by gzip, with no NIfTI inside", "its files, unpacked into a folder")
    raise error(
        path, f"a file that is neither zip nor .npy nor another of these (it begins with {head[:6]!r})"
    )
