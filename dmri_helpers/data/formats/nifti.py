"""NIfTI files, packed by gzip or not; folders of them, ACDC's among them (no notebook; see `formats.raw`)."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from . import guard
from .raw import (
    Raw,
    check_at_least_one,
    count_text,
    error,
    files_in,
    fitted_cine,
    fitting,
    list_text,
    put_in_order,
    reading_file,
    size_text,
)

_LABELS = 20  # no set of labels has more classes, no image so few grey values


def nifti(path: Path, axes: str = "yxnt") -> Raw:
    """Read the slices of a 4-D NIfTI file, one cine each, all of one patient.

    The array is taken as it is stored, the affine is not applied: axis 0 becomes ``y``, axis 1 ``x``, axis 2
    counts slices and axis 3 frames. So the seed's cines were made from ACDC, whose hearts lie on their side.

    Parameters
    ----------
    path
        a file, whatever its name
    axes
        see `reading.read`; ``xynt`` lays the phase-encode direction along axis 1

    Returns
    -------
        cines of shape ``(slice, t, y, x)``
    """
    array = _nifti_array(path, len(axes))
    cines = put_in_order(path, array, axes)
    notes = [f"NIfTI array {size_text(array.shape)}: axes taken as ({', '.join(axes)}), n the slices"]
    return Raw(path, cines, np.zeros(len(cines), int), notes=notes)


def nifti_folder(path: Path, axes: str = "yxnt") -> Raw:
    """Read all 4-D NIfTI files in a folder and below, a patient each, without the labels that lie beside them.

    Files of one slice in one folder are the slices of one patient. Labels are known by their names (``_gt``,
    ``label``, ``seg``, ``mask``), or by their values, whole numbers from 0 to 20 at most. ``axes`` as in `nifti`.
    """
    cines, groups, patients, left_out = [], [], {}, []
    files = [file for file in files_in(path) if file.name.lower().endswith((".nii", ".nii.gz"))]
    for file in tqdm(files, "NIfTI", unit="file", delay=2):
        if re.search(r"(^|[_.-])(gt|labels?|seg(mentation)?|masks?)[_.-]", file.name.lower()):
            left_out.append(f"{file.name} (labels by its name)")
            continue
        with _opened(file, None) as (image, _):
            shape = image.shape
        if len(shape) != 4 or 1 in shape[3:]:
            left_out.append(f"{file.name} ({size_text(shape)})")
            continue
        array = _nifti_array(file)
        if 0 <= array.min() and array.max() <= _LABELS and (array == np.rint(array)).all():
            left_out.append(f"{file.name} (labels by its values)")
            continue
        cines += list(put_in_order(file, array, axes))
        slices = shape[axes.index("n")]
        groups += [patients.setdefault(file.parent if slices == 1 else file, len(patients))] * slices
    if not cines:
        raise error(path, f"no 4-D image in {list_text(left_out, 'NIfTI files')}", "one at least")
    counts = f"{count_text(len(files) - len(left_out), 'NIfTI file')}, {count_text(len(patients), 'patient')}"
    notes = [f"{counts}: axes taken as ({', '.join(axes)}), n the slices"]
    notes += [f"left out: {list_text(left_out, 'files')}"] if left_out else []
    return Raw(path, cines, np.array(groups), notes=notes)


def acdc(
    path: Path,
    *,
    n: int | None = None,
    frames: int = 20,
    size: int = 192,
    per_frame: bool = True,
    shuffle: int | None = None,
) -> Raw:
    """Read the data set ACDC [1]_ as the seed did.

    Of every ``*_4d.nii.gz`` below the folder: slices without the first and last three, the first 20 frames,
    cropped or zero-padded in the middle to 192 x 192, every frame scaled to [0, 1] by its own minimum and
    maximum. Patients with fewer frames or with no more than six slices are left out, and the notes say which.

    Parameters
    ----------
    path
        the folder that holds the folders of the patients, at any depth
    n
        at most the first so many cines, after shuffling; by default all
    frames
        per cine
    size
        lines and columns
    per_frame
        scale every frame for itself
    shuffle
        seed of the order of the slices; by default patient by patient

    Returns
    -------
        cines of shape ``(n, t, y, x)``, patients numbered and named

    Raises
    ------
    ValueError
        if ``frames`` or ``size`` is below 1

    References
    ----------
    .. [1] Bernard et al., IEEE TMI 37, 2514-2525 (2018)
    """
    check_at_least_one(frames, size)
    files = _acdc_files(path)
    slices, notes = _acdc_slices(path, files, frames)
    if shuffle is not None:
        slices = [slices[i] for i in np.random.default_rng(shuffle).permutation(len(slices))]
        notes.append(f"slices shuffled with seed {shuffle}")
    if n is not None and n < len(slices):
        notes.append(f"the first {n} of {len(slices)} slices kept")
    slices = slices[:n]

    patients = np.array([patient for patient, _ in slices])
    guard.fits(path, (len(slices), frames, size, size), 4)
    cines, shapes = np.empty((len(slices), frames, size, size), np.float32), Counter()
    for patient in tqdm(sorted(set(patients)), "ACDC", unit="patient", delay=2):
        volume = put_in_order(files[patient], _nifti_array(files[patient]), "yxnt")
        for i in np.flatnonzero(patients == patient):
            shapes[volume.shape[1:]] += 1
            cines[i] = fitted_cine(files[patient], volume[slices[i][1]], frames, size, per_frame)
    notes += fitting(shapes, frames, size, per_frame)
    return Raw(path, cines, np.unique(patients, return_inverse=True)[1], patients, notes)


def _acdc_files(path: Path) -> dict[str, Path]:
    """Find the 4-D file of every patient."""
    files = {}
    for file in files_in(path):
        if file.name.lower().endswith(("_4d.nii", "_4d.nii.gz")):
            patient = file.name[: file.name.lower().rindex("_4d.nii")]
            if patient in files:
                raise error(path, f"{patient} twice ({files[patient]}, {file})", "each patient once")
            files[patient] = file
    if not files:
        raise error(path, "no file named *_4d.nii.gz", "ACDC's folder, patient001/patient001_4d.nii.gz ...")
    return files


def _acdc_slices(path: Path, files: dict[str, Path], frames: int) -> tuple[list[tuple[str, int]], list[str]]:
    """Choose the slices (patient, number), patient by patient, and note who is left out."""
    notes, slices = [], []
    for patient, file in tqdm(sorted(files.items()), "headers", unit="patient", delay=2):
        with _opened(file) as (image, _):
            _, _, n_slices, n_frames = image.shape
        if n_frames < frames:
            notes.append(f"{patient} left out: {n_frames} frames, at least {frames} are needed")
        elif n_slices <= 6:
            notes.append(f"{patient} left out: {n_slices} slices, more than 6 are needed")
        else:
            slices += [(patient, i) for i in range(3, n_slices - 3)]
    if not slices:
        found = f"no patient of at least {frames} frames and more than 6 slices ({'; '.join(notes[:4])})"
        raise error(path, found, "one at least")
    used = len({patient for patient, _ in slices})
    counts = f"{used} of {count_text(len(files), 'patient')}: {count_text(len(slices), 'slice')}"
    return slices, [*notes, f"{counts}, the first and last 3 dropped"]


def is_nifti(path: Path) -> bool:
    """Whether a file begins as NIfTI-1 or NIfTI-2 does, or as gzip with one of them inside."""
    try:
        with _unpacked(path) as stream:
            head = stream.read(348)
    except (OSError, EOFError, zlib.error):
        return False
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


@contextmanager
def _opened(path: Path, ndim: int | None = 4) -> Iterator[tuple]:
    """Open a NIfTI file: the image, of which only the header is read, and the stream that it comes from."""
    import nibabel

    with reading_file(path), _unpacked(path) as stream:
        kind = nibabel.Nifti2Image if stream.read(8)[4:] == b"n+2\0" else nibabel.Nifti1Image
        stream.seek(0)
        image = kind.from_stream(stream)
        guard.nifti(path, image)
        if ndim is not None and len(image.shape) != ndim:
            found = f"a {len(image.shape)}-D NIfTI file, {size_text(image.shape)}"
            raise error(path, found, "4-D: y, x, slice, frame")
        yield image, stream


def _nifti_array(path: Path, ndim: int = 4) -> np.ndarray:
    with _opened(path, ndim) as (image, stream):
        array = np.asanyarray(image.dataobj)
        if isinstance(stream, gzip.GzipFile):
            while stream.read(1 << 20):  # the checksum stands at the very end
                pass
    return array
