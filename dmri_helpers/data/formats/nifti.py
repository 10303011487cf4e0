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
    axes_in_doubt,
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
from .strangers import stranger

_LABELS = 20  # no set of labels has more classes, no image so few grey values
_FEW_FRAMES = 4  # of a vector or a colour, not of a film
_NAMES = {  # words in the name of a file that holds no magnitudes
    "labels": r"gt|labels?|seg(mentation)?|masks?|contours?",
    "phase, real or imaginary images": r"ph|phase|real|imag(inary)?|part-(phase|real|imag)",
}
_NO_PATIENT = r"\d*ch|(slice|slc|sl|sax|sa|lax|la|z|s|t|frame|series|cine)\d*"  # first words of names


def nifti(path: Path, axes: str | None = None) -> Raw:
    """Read the slices of a 4-D NIfTI file, one cine each, all of one patient.

    The array is taken as it is stored, the affine is not applied: axis 0 becomes ``y``, axis 1 ``x``, axis 2
    counts slices and axis 3 frames. So the seed's cines were made from ACDC, whose hearts lie on their side.

    Parameters
    ----------
    path
        a file, whatever its name
    axes
        see `reading.read`; by default ``yxnt``; ``xynt`` lays the phase-encode direction along axis 1, and ``yxt``
        is a single slice

    Returns
    -------
        cines of shape ``(slice, t, y, x)``
    """
    array = _nifti_array(path, len(axes or "yxnt"), "axes")
    if "phase" in (kind := no_image_by_its_name(path)) and array.min() < 0:
        raise error(path, kind, "magnitudes")
    cines, notes = _in_order(path, array, axes)
    counted = ", n the slices" if array.ndim == 4 else ""
    taken = f"NIfTI array {size_text(array.shape)}: axes taken as ({', '.join(axes or 'yxnt')}){counted}"
    return Raw(path, cines, np.zeros(len(cines), int), notes=[taken, *notes])


def _in_order(path: Path, array: np.ndarray, axes: str | None) -> tuple[np.ndarray, list[str]]:
    """Put the axes in order; refuse or note what is odd about them where nobody named them."""
    cines = put_in_order(path, array, axes or "yxnt")
    if axes is not None:
        return cines, []
    n, t, y, x = cines.shape
    few = f"a NIfTI array {size_text(array.shape)}, of {count_text(t, 'frame')}"
    if doubt := axes_in_doubt(cines.shape) or (few if t == 1 or t <= _FEW_FRAMES < n else ""):
        raise error(path, doubt, "y, x, slice, frame, or the name of every axis", "axes")
    more = f"more slices ({n}) than frames ({t}): are the axes in another order?"
    return cines, [more] if n > t else []


def nifti_folder(path: Path, axes: str | None = None) -> Raw:
    """Read all 4-D NIfTI files in a folder and below, without the labels that lie beside them.

    Labels and phase images are known by their names (``_gt``, ``label``, ``seg``, ``mask``; ``_ph``, ``real``), labels
    also by their values, whole numbers from 0 to 20 at most. Whose a file is, `_patients` tells. ``axes`` as in
    `nifti`: with ``yxt`` files of three dimensions are read, a slice each.
    """
    cines: list[np.ndarray] = []
    kept, left_out, notes = {}, [], []
    files = [file for file in files_in(path) if file.name.lower().endswith((".nii", ".nii.gz"))]
    for file in tqdm(files, "NIfTI", unit="file", delay=2):
        if reason := no_image_by_its_name(file):
            left_out.append(f"{file.name} ({reason})")
            continue
        with _opened(file, None) as (image, _):
            shape = _significant(image.shape, len(axes or "yxnt"))
        if len(shape) != len(axes or "yxnt") or (axes is None and shape[3] == 1):
            left_out.append(f"{file.name} ({size_text(shape)})")
            continue
        array = _nifti_array(file, len(shape))
        if are_labels(array):
            left_out.append(f"{file.name} (labels by its values)")
            continue
        ordered, odd = _in_order(file, array, axes)
        notes += [f"{file.name}: {note}" for note in odd]
        cines += list(ordered)
        kept[file] = len(ordered)
    if not cines:
        found = f"no {len(axes or 'yxnt')}-D image in {list_text(left_out, 'NIfTI files')}"
        raise error(path, found, "one at least", None if axes else "axes")
    whose, how = _patients(kept)
    numbers = {patient: i for i, patient in enumerate(dict.fromkeys(whose))}
    groups = np.repeat([numbers[patient] for patient in whose], list(kept.values()))
    counts = f"{count_text(len(kept), 'NIfTI file')}, {count_text(len(numbers), 'patient')} ({how})"
    taken = f"{counts}: axes taken as ({', '.join(axes or 'yxnt')}), n the slices"
    left = [f"left out: {list_text(left_out, 'files')}"] if left_out else []
    return Raw(path, cines, groups, notes=[taken, *left, *notes])


def no_image_by_its_name(file: Path) -> str:
    """Say what a NIfTI file holds, by the words of its name, if it is no magnitude; else nothing."""
    if not file.name.lower().endswith((".nii", ".nii.gz")):
        return ""
    kinds = (
        kind for kind, words in _NAMES.items() if re.search(rf"(^|[_.-])({words})[_.-]", file.name.lower())
    )
    return next((f"{kind} by its name" for kind in kinds), "")


def are_labels(array: np.ndarray) -> bool:
    """Whether all values are whole numbers from 0 to 20 at most."""
    if array.dtype.kind not in "iuf":
        return False
    return bool(0 <= array.min() and array.max() <= _LABELS and (array == np.rint(array)).all())


def _patients(files: dict[Path, int]) -> tuple[list[Path | str], str]:
    """Say whose every file is, and how that was told; ``files`` have so many slices.

    By ``sub-NAME`` of BIDS, if all have it; by their folder, if folders hold files of the same names; by the first
    word of their names, if it has a number and several files share one; else every file is a patient, but files of a
    single slice in one folder are one.
    """
    subjects = [re.findall(r"(?:^|[/_])(sub-[a-z0-9]+)", file.as_posix(), re.IGNORECASE) for file in files]
    if all(subjects):
        return [found[-1] for found in subjects], "by sub-..."
    folders: dict[str, set[Path]] = {}
    for file in files:
        folders.setdefault(file.name.replace(file.parent.name, ""), set()).add(file.parent)
    if any(len(named) > 1 for named in folders.values()):
        return [file.parent for file in files], "every folder one"
    words = [re.split(r"[_. -]", file.name)[0] for file in files]
    named = all(re.search(r"\d", word) and not re.fullmatch(_NO_PATIENT, word.lower()) for word in words)
    if named and 1 < len(set(words)) < len(words):
        return list(words), f"by the first word of their names, such as {words[0]}"
    if all(slices > 1 for slices in files.values()) or len(files) == 1:
        return list(files), "every file one"
    whose = [file.parent if slices == 1 else file for file, slices in files.items()]
    return (
        whose,
        "files of one slice in one folder taken for one; name several files or folders, a patient each",
    )


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
            _, _, n_slices, n_frames = image.shape[:4]
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


def _significant(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """A shape without axes of length 1 at its end beyond so many."""
    while len(shape) > ndim and shape[-1] == 1:
        shape = shape[:-1]
    return shape


@contextmanager
def _opened(path: Path, ndim: int | None = 4, remedy: str | None = None) -> Iterator[tuple]:
    """Open a NIfTI file: the image, of which only the header is read, and the stream that it comes from."""
    import nibabel

    with reading_file(path), _unpacked(path) as stream:
        head = stream.read(520)
        if named := stranger(path, head):
            raise named
        kind = nibabel.Nifti2Image if head[4:8] == b"n+2\0" else nibabel.Nifti1Image
        stream.seek(0)
        image = kind.from_stream(stream)
        guard.nifti(path, image)
        if ndim is not None and len(shape := _significant(image.shape, ndim)) != ndim:
            found = f"a {len(shape)}-D NIfTI file, {size_text(shape)}"
            expected = "4-D: y, x, slice, frame" if ndim == 4 else f"{ndim} dimensions"
            raise error(path, found, expected, remedy if len(shape) == 3 else None)
        yield image, stream


def _nifti_array(path: Path, ndim: int = 4, remedy: str | None = None) -> np.ndarray:
    with _opened(path, ndim, remedy) as (image, stream):
        array = np.asanyarray(image.dataobj)
        if isinstance(stream, gzip.GzipFile):
            while stream.read(1 << 20):  # the checksum stands at the very end
                pass
    return array.reshape(_significant(array.shape, ndim))
