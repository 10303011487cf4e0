"""Every door by which real cines come in: NumPy, NIfTI, DICOM, MATLAB, HDF5 and ISMRMRD raw data.

`read` picks the door by the first bytes of a file; `data.open_cine`, and so every command and notebook, goes
through it. A door puts numbers in order, slice by slice and frame by frame, and gives an account of what it
did; checking and scaling the values is left to `data`. Whichever array axis becomes ``y`` is the one along
which lines of k-space will be left out, no matter how the scanner's own phase-encode direction lay.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

EXPECTED = (
    "cines of shape (n, t, y, x) or (t, y, x) in a .npz (key 'dataset') or .npy, a 4-D NIfTI file, a DICOM "
    "file or folder, ACDC's folder of patients, a MATLAB or HDF5 file, or ISMRMRD raw data"
)
TIMES = (  # what puts DICOM frames in order: the first that all frames have and that tells them apart
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "ActualCardiacTriggerDelayTime",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "TemporalPositionTimeOffset",
    "FrameTime",
    "cardiac phase number",
)
_PHASE_NUMBERS = (  # group, offset, who defined it
    (0x0019, 0xD7, "GEMS_ACQU_01"),
    (0x2001, 0x08, "Philips Imaging DD 001"),
)
_SAME_SLICE = 0.1  # mm
_NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30)  # ISMRMRD flags: noise, calibration, navigators and the like
_REVERSED = 22
_HDF5 = b"\x89HDF\r\n\x1a\n"


class DataError(ValueError):
    """Input that is no cine; the message is one line: file, what was found, what was expected."""


@dataclass
class Raw:
    """What a door hands on: numbers in order, neither checked nor scaled.

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
    """

    path: Path
    cines: np.ndarray | list[np.ndarray]
    groups: np.ndarray | None = None
    patients: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


def error(source: str | Path, found: str, expected: str = EXPECTED) -> DataError:
    """Make the one line of a `DataError`: the source, what was found, what was expected."""
    return DataError(" ".join(f"{source}: found {found}; expected {expected}".split()))


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
    """Read cines from any file or folder that there is a door for.

    Parameters
    ----------
    path
        a file, a folder of DICOM files or ACDC's folder of patients
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
    DataError
        if the source is missing, damaged or holds no cines of one size; the message is one line
    ValueError
        if ``frames`` or ``size`` is below 1
    """
    door, takes = _door(path)
    given = {name: value for name, value in (("key", key), ("axes", axes), ("series", series)) if value}
    for name in given.keys() - set(takes):
        raise error(path, f"data in which --{name} means nothing", f"no --{name}")
    if door is acdc:
        return acdc(path, n=n, frames=20 if frames is None else frames, size=192 if size is None else size)
    return one_size(door(path, **given), frames, size, per_frame)


def npy(path: Path, axes: str | None = None) -> Raw:
    """Read a ``.npy``, which stays on disk (memory-mapped); pickled objects are never loaded.

    Parameters
    ----------
    path
        the file
    axes
        see `read`

    Returns
    -------
        cines of shape ``(n, t, y, x)``

    Raises
    ------
    DataError
        if the file is damaged or holds no numbers of 3 or 4 dimensions
    """
    with _reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    return Raw(path, _ordered(path, array, axes))


def npz(path: Path, key: str = "dataset", axes: str | None = None) -> Raw:
    """Read an array of a ``.npz``; pickled objects are never loaded.

    Parameters
    ----------
    path
        the file; its key ``groups`` or ``patient`` may say which cines belong together
    key
        of the array
    axes
        see `read`

    Returns
    -------
        cines of shape ``(n, t, y, x)``, groups as the file has them

    Raises
    ------
    DataError
        if the file is damaged, lacks the key or holds no numbers of 3 or 4 dimensions there
    """
    with _reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if key not in archive.files:
            raise error(path, _listed(map(repr, archive.files), "keys"), f"the key {key!r}")
        known = next((name for name in ("groups", "patient") if name in archive.files), None)
        groups = None if known is None else np.asarray(archive[known])
        return Raw(path, _ordered(path, np.asarray(archive[key]), axes), groups)


def nifti(path: Path, axes: str = "yxnt") -> Raw:
    """Read the slices of a 4-D NIfTI file, one cine each, all of one patient.

    The array is taken as it is stored, the affine is not applied: axis 0 becomes ``y``, axis 1 ``x``, axis 2
    counts slices and axis 3 frames. So the seed's cines were made from ACDC, whose hearts lie on their side.

    Parameters
    ----------
    path
        ``.nii`` or ``.nii.gz``
    axes
        see `read`; ``xynt`` lays the phase-encode direction along axis 1

    Returns
    -------
        cines of shape ``(slice, t, y, x)``

    Raises
    ------
    DataError
        if the file is damaged, truncated or not 4-D
    """
    array = _nifti_array(path, len(axes))
    cines = _ordered(path, array, axes)
    notes = [f"NIfTI array {_by(array.shape)}: axes taken as ({', '.join(axes)}), n the slices"]
    return Raw(path, cines, np.zeros(len(cines), int), notes=notes)


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
    DataError
        if there is no such file, a file is damaged or not 4-D, or no patient has enough frames and slices

    ValueError
        if ``frames`` or ``size`` is below 1

    References
    ----------
    .. [1] Bernard et al., IEEE TMI 37, 2514-2525 (2018)
    """
    _check_at_least_one(frames, size)
    files = {}
    for file in _files(path):
        if file.name.lower().endswith(("_4d.nii", "_4d.nii.gz")):
            patient = file.name[: file.name.lower().rindex("_4d.nii")]
            if patient in files:
                raise error(path, f"{patient} twice ({files[patient]}, {file})", "each patient once")
            files[patient] = file
    if not files:
        raise error(path, "no file named *_4d.nii.gz", "ACDC's folder, patient001/patient001_4d.nii.gz ...")

    notes, slices = [], []
    for patient, file in tqdm(sorted(files.items()), "headers", unit="patient", delay=2):
        _, _, n_slices, n_frames = _nifti(file).shape
        if n_frames < frames:
            notes.append(f"{patient} left out: {n_frames} frames, at least {frames} are needed")
        elif n_slices <= 6:
            notes.append(f"{patient} left out: {n_slices} slices, more than 6 are needed")
        else:
            slices += [(patient, i) for i in range(3, n_slices - 3)]
    if not slices:
        raise error(
            path,
            f"no patient of at least {frames} frames and more than 6 slices ({'; '.join(notes[:4])})",
            "one at least",
        )
    used = len({patient for patient, _ in slices})
    notes.append(
        f"{used} of {_count(len(files), 'patient')}: {_count(len(slices), 'slice')}, the first and last 3 dropped"
    )
    if shuffle is not None:
        slices = [slices[i] for i in np.random.default_rng(shuffle).permutation(len(slices))]
        notes.append(f"slices shuffled with seed {shuffle}")
    if n is not None and n < len(slices):
        notes.append(f"the first {n} of {len(slices)} slices kept")
    slices = slices[:n]

    patients = np.array([patient for patient, _ in slices])
    cines, shapes = np.empty((len(slices), frames, size, size), np.float32), Counter()
    for patient in tqdm(sorted(set(patients)), "ACDC", unit="patient", delay=2):
        volume = _ordered(files[patient], _nifti_array(files[patient]), "yxnt")
        for i in np.flatnonzero(patients == patient):
            shapes[volume.shape[1:]] += 1
            cines[i] = _fitted(files[patient], volume[slices[i][1]], frames, size, per_frame)
    notes += _fitting(shapes, frames, size, per_frame)
    return Raw(path, cines, np.unique(patients, return_inverse=True)[1], patients, notes)


def dicom(path: Path, series: Sequence[int] = ()) -> Raw:
    """Read DICOM: single frames or multi-frame files, one file or all in a folder and below.

    Frames are sorted by series, slice position (along the normal of the image plane, or ``SliceLocation``)
    and time, the first of `TIMES` that all frames of a series have; never by name. Every slice becomes a
    cine; rows become ``y``, columns ``x``. Rescale slope and intercept are applied. Several series become
    cines together if all their slices agree in size and number of frames. Files that are no DICOM images are
    passed over. Nothing of the patient is kept: patients are numbered as they come.

    Parameters
    ----------
    path
        file or folder
    series
        numbers of the series to read; by default all

    Returns
    -------
        a list of cines of shape ``(t, y, x)``; patients numbered

    Raises
    ------
    DataError
        if there is no image, a file is damaged or compressed in a way that no installed package reads,
        frames cannot be put in order, or several series differ
    """
    frames, notes = _dicom_frames(path)
    by_series: dict[tuple, list[_Frame]] = {}
    for frame in sorted(frames, key=lambda frame: frame.series):
        by_series.setdefault(frame.series, []).append(frame)
    listed = _listed([_describe(of) for of in by_series.values()], "series")
    if series:
        by_series = {key: of for key, of in by_series.items() if key[1] in series}
        if missing := set(series) - {number for _, number, _ in by_series}:
            raise error(path, listed, f"the series {', '.join(map(str, sorted(missing)))}")
    sorted_series = [_in_slices(of) for of in by_series.values()]
    shapes = {(len(of), of[0].shape) for slices in sorted_series for of in slices}
    if len(by_series) > 1 and len(shapes) > 1 and not series:
        raise error(path, listed, "one, or several of one size: choose with --series NUMBER")
    if all(n_frames == 1 for n_frames, _ in shapes):
        raise error(path, f"single images, {listed}", "several frames of a slice")

    slices, times = [], set()
    for of in sorted_series:
        time = _time_of(of)
        times.add(time)
        slices += [sorted(frames, key=lambda frame, time=time: frame.times[time]) for frames in of]
    patients = [frames[0].patient for frames in slices]
    numbers = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}

    used = dict.fromkeys(frame.file for frames in slices for frame in frames)
    pixels = {file: _pixels(file) for file in tqdm(used, "DICOM", unit="file", delay=2)}
    rescaled = any((frame.slope, frame.intercept) != (1, 0) for frames in slices for frame in frames)
    cines = [np.stack([frame.image(pixels, rescaled) for frame in frames]) for frames in slices]

    counts = {len(frames) for frames in slices}
    notes.append(
        f"{_count(len(used), 'DICOM file')}, {len(by_series)} series, {_count(len(numbers), 'patient')}: "
        f"{_count(len(slices), 'slice')} of {' or '.join(map(str, sorted(counts)))} frames, "
        f"sorted by slice position and {' or '.join(sorted(times))}"
    )
    if rescaled:
        notes.append("rescale slope and intercept applied")
    if any(frame.direction == "ROW" for frames in slices for frame in frames):
        notes.append(
            "the scanner encoded phase along the rows (x); here lines are left out along y all the same"
        )
    return Raw(path, cines, np.array([numbers[patient] for patient in patients]), notes=notes)


def matlab(path: Path, key: str | None = None, axes: str | None = None) -> Raw:
    """Read an array of a MATLAB file up to version 7; `hdf5` reads version 7.3.

    Parameters
    ----------
    path
        ``.mat``
    key
        name of the variable; may be left out where only one is an array of 3 or 4 dimensions
    axes
        see `read`; in the order of MATLAB's ``size``

    Returns
    -------
        cines of shape ``(n, t, y, x)``

    Raises
    ------
    DataError
        if the file is damaged or there is no such array
    """
    from scipy import io

    with _reading(path):
        held = {name: (shape, kind) for name, shape, kind in io.whosmat(path)}
        kinds = ("double", "single", "int", "uint")
        fits = [
            name for name, (shape, kind) in held.items() if len(shape) in (3, 4) and kind.startswith(kinds)
        ]
        listed = [f"{name!r} ({_by(shape)} {kind})" for name, (shape, kind) in held.items()]
        key = _chosen(path, key, list(held), fits, listed)
        if not held[key][1].startswith(kinds):
            raise error(path, f"a {held[key][1]} under the key {key!r}", "an array of numbers")
        array = io.loadmat(path, variable_names=[key])[key]
    return Raw(path, _ordered(path, array, axes), notes=[_axes_note(key, array, axes)])


def hdf5(path: Path, key: str | None = None, axes: str | None = None) -> Raw:
    """Read an array of an HDF5 file, among them MATLAB's version 7.3, or ISMRMRD raw data.

    Arrays that MATLAB wrote (they carry an attribute ``MATLAB_class``) lie in the file with their axes
    reversed; they are turned back, so that axes count as MATLAB's ``size`` does. Complex numbers may be pairs
    named ``real`` and ``imag``, or ``r`` and ``i``.

    Parameters
    ----------
    path
        the file
    key
        path of the array in the file; may be left out where only one has 3 or 4 dimensions
    axes
        see `read`

    Returns
    -------
        cines of shape ``(n, t, y, x)``

    Raises
    ------
    DataError
        if the file is damaged or there is no such array
    """
    import h5py

    with _reading(path), h5py.File(path, "r") as file:
        raw_data = [name for name, group in file.items() if _holds_acquisitions(group)]
        if raw_data and axes is not None:
            raise error(path, "ISMRMRD raw data, in which --axes means nothing", "no --axes")
        if raw_data:
            return ismrmrd(path, _chosen(path, key, raw_data, raw_data, map(repr, raw_data)))
        names: list[str] = []
        file.visit(names.append)
        held = {name: file[name] for name in names if not name.startswith("#")}  # where MATLAB keeps cells
        held = {name: item for name, item in held.items() if isinstance(item, h5py.Dataset)}
        fits = [name for name, item in held.items() if item.ndim in (3, 4) and _is_numeric(item)]
        reverse = {name: -1 if "MATLAB_class" in item.attrs else 1 for name, item in held.items()}
        listed = [
            f"{name!r} ({_by(item.shape[:: reverse[name]])} {_kind(item)})" for name, item in held.items()
        ]
        key = _chosen(path, key, list(held), fits, listed)
        if not _is_numeric(held[key]):
            raise error(path, f"{_kind(held[key])} under the key {key!r}", "an array of numbers")
        array = held[key][()]
        if array.dtype.names:
            array = array[array.dtype.names[0]] + np.complex64(1j) * array[array.dtype.names[1]]
        array = array.T if reverse[key] < 0 else array
    return Raw(path, _ordered(path, array, axes), notes=[_axes_note(key, array, axes)])


def ismrmrd(path: Path, key: str = "dataset") -> Raw:
    """Reconstruct fully sampled Cartesian cines from ISMRMRD raw data [1]_, the format of OCMR.

    Lines are sorted by slice, cardiac phase (or repetition, where there is one phase only) and
    ``kspace_encode_step_1``; lines measured more than once are averaged; lines beyond the limits that the
    header gives, and the missing part of an asymmetric echo, are zero. After the inverse Fourier transform the
    image is cropped to the field of view of the header, which removes the oversampling of the readout, and
    the coils are combined as the root of the sum of squares [2]_: a magnitude, divided by the largest of its
    cine. Slices count as the header does; all are of one patient.

    Parameters
    ----------
    path
        the file
    key
        name of the group in the file

    Returns
    -------
        cines of shape ``(slice, t, y, x)``, float32 magnitude in [0, 1]

    Raises
    ------
    DataError
        if the file is damaged, not a 2-D Cartesian cine of one contrast, or if lines are missing

    References
    ----------
    .. [1] Inati et al., Magn. Reson. Med. 77, 411-421 (2017)
    .. [2] Roemer et al., Magn. Reson. Med. 16, 192-225 (1990)
    """
    import ismrmrd as mrd

    with _reading(path), mrd.File(path, mode="r") as file:
        acquisitions, encoding = file[key].acquisitions, file[key].header.encoding[0]
        heads = acquisitions.data["head"]
        kept = np.flatnonzero(_of_images(heads))
        heads, index = heads[kept], heads["idx"][kept]
        _check_cine(path, encoding, heads)
        time = "phase" if index["phase"].max() or not index["repetition"].max() else "repetition"
        slices, of_slice = np.unique(index["slice"], return_inverse=True)
        times, of_time = np.unique(index[time], return_inverse=True)
        row, wanted = _rows(path, encoding, index["kspace_encode_step_1"])
        matrix, whole, view = (
            encoding.encodedSpace.matrixSize,
            encoding.encodedSpace.fieldOfView_mm,
            encoding.reconSpace.fieldOfView_mm,
        )
        count = np.zeros((len(slices), len(times), matrix.y), int)
        np.add.at(count, (of_slice, of_time, row), 1)
        lacking = count[:, :, wanted] == 0
        if lacking.any():
            found = f"undersampled raw data, {lacking.sum()} of {lacking.size} lines missing"
            raise error(path, found, "every line of every frame")
        if len(times) == 1:
            raise error(path, "a single frame", "several phases or repetitions")

        width = min(matrix.x, round(matrix.x * view.x / whole.x))
        height = min(matrix.y, round(matrix.y * view.y / whole.y))
        cines = np.empty((len(slices), len(times), height, width), np.float32)
        coils = int(heads["active_channels"][0])
        for s, t in tqdm(
            np.ndindex(cines.shape[:2]), "ISMRMRD", len(slices) * len(times), unit="frame", delay=2
        ):
            kspace = np.zeros((coils, matrix.y, matrix.x), np.complex64)
            for i in np.flatnonzero((of_slice == s) & (of_time == t)):
                kspace[:, row[i], : heads[i]["number_of_samples"]] += acquisitions[kept[i]].data
            kspace /= np.maximum(count[s, t], 1)[:, None]
            images = _inverse(_inverse(kspace, -1, width), -2, height)
            cines[s, t] = np.sqrt((np.abs(images) ** 2).sum(0))
        cines /= cines.max((1, 2, 3), keepdims=True)
        notes = [
            f"ISMRMRD: {len(kept)} of {acquisitions.data.size} lines are of images: {_count(len(slices), 'slice')} of "
            f"{len(times)} frames ({time}s) of {len(wanted)} lines, measured up to {_count(count.max(), 'time')}"
        ]
    if len(wanted) < matrix.y:
        notes.append(f"{matrix.y - len(wanted)} of {matrix.y} lines lie beyond the header's limits: zero")
    notes += [
        f"cropped from {matrix.y} x {matrix.x} to the field of view, {height} x {width}",
        f"{_count(coils, 'coil')}: root of the sum of squares, divided by the largest value of the cine",
    ]
    return Raw(path, cines, np.zeros(len(cines), int), notes=notes)


def one_size(raw: Raw, frames: int | None = None, size: int | None = None, per_frame: bool = False) -> Raw:
    """Bring cines to one size: the first frames, cropped or zero-padded in the middle.

    Parameters
    ----------
    raw
        what a door returned
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
    DataError
        if the cines still differ in size, have too few frames, or complex frames are to be scaled
    ValueError
        if ``frames`` or ``size`` is below 1
    """
    _check_at_least_one(frames, size)
    if isinstance(raw.cines, np.ndarray) and frames is size is None and not per_frame:
        return raw
    shapes = Counter(cine.shape for cine in raw.cines)
    fewest = min(t for t, _, _ in shapes)
    if frames is not None and fewest < frames:
        raise error(raw.path, f"a cine of {fewest} frames", f"at least {frames} (--frames)")
    fitted = {(frames or t, size or y, size or x) for t, y, x in shapes}
    if len(fitted) > 1:
        found = ", ".join(f"{_count(n, 'cine')} of {_by(shape)}" for shape, n in shapes.most_common(6))
        raise error(raw.path, found, "one size; dmri import --frames T --size N cuts and pads")
    dtype = np.float32 if per_frame else np.result_type(*{cine.dtype for cine in raw.cines})
    cines = np.empty((len(raw.cines), *fitted.pop()), dtype)
    for i, cine in enumerate(raw.cines):
        cines[i] = _fitted(raw.path, cine, frames, size, per_frame)
    notes = raw.notes + _fitting(shapes, frames, size, per_frame)
    return Raw(raw.path, cines, raw.groups, raw.patients, notes)


def _check_at_least_one(frames: int | None, size: int | None) -> None:
    if any(number is not None and number < 1 for number in (frames, size)):
        raise ValueError(f"frames and size are at least 1, not {frames} and {size}")


def _fitted(path: Path, cine: np.ndarray, frames: int | None, size: int | None, scaled: bool) -> np.ndarray:
    cine = cine[:frames]
    if size is not None:
        there, here = [slice(None)], [slice(None)]
        for have in cine.shape[1:]:
            start, n = have // 2 - size // 2, min(have, size)  # the middle pixel stays in the middle
            there.append(slice(max(start, 0), max(start, 0) + n))
            here.append(slice(max(-start, 0), max(-start, 0) + n))
        whole, cine = cine, np.zeros((len(cine), size, size), cine.dtype)
        cine[tuple(here)] = whole[tuple(there)]
    if not scaled:
        return cine
    if np.iscomplexobj(cine):
        raise error(path, "complex values", "magnitudes to scale frame by frame")
    cine = cine.astype(np.float32) - cine.min((1, 2), keepdims=True).astype(np.float32)
    return cine / np.maximum(cine.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)


def _fitting(shapes: Counter, frames: int | None, size: int | None, scaled: bool) -> list[str]:
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
        listed = ", ".join(f"{_count(n, 'cine')} {what}" for what, n in changed.most_common())
        notes.append(f"in the middle to {size} x {size}: {listed}")
    return notes + ["every frame scaled to [0, 1] by its own minimum and maximum"] * scaled


def _door(path: Path) -> tuple[Callable[..., Raw], tuple[str, ...]]:
    """The reader of a file or folder, by what it begins with, and the options that it takes."""
    if os.path.isdir(path):  # False, not an error, where one may not look
        names = [file.name.lower() for file in _files(path)]
        if any(name.endswith(("_4d.nii", "_4d.nii.gz")) for name in names):
            return acdc, ()
        if any(name.endswith((".nii", ".nii.gz")) for name in names):
            raise error(path, "a folder of NIfTI files, none named *_4d.nii.gz", "one file, or ACDC's folder")
        return dicom, ("series",)
    try:
        with path.open("rb") as file:
            head = file.read(520)
    except FileNotFoundError:
        raise error(path, "no such file") from None
    except (OSError, ValueError) as wrong:
        raise _closed(path, wrong) from None
    if not head:
        raise error(path, "an empty file")
    if head.startswith(b"\x93NUMPY"):
        return npy, ("axes",)
    if head.startswith(b"PK"):
        return npz, ("key", "axes")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return nifti, ("axes",)
    if head[128:132] == b"DICM":
        return dicom, ("series",)
    if head.startswith((_HDF5, b"MATLAB 7.3")) or head[512:] == _HDF5:
        return hdf5, ("key", "axes")
    if head.startswith(b"MATLAB 5.0"):
        return matlab, ("key", "axes")
    raise error(
        path, f"a file that is neither zip nor .npy nor another of these (it begins with {head[:6]!r})"
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile file makes a reader raise into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (DataError, MemoryError):
        raise
    except PermissionError as wrong:
        raise _closed(path, wrong) from None
    except Exception as wrong:
        if "allow_pickle" in str(wrong) or "Python objects" in str(wrong):
            found = "pickled Python objects, which are never loaded"
            raise error(path, found, "arrays of numbers") from None
        found = f"a damaged file ({type(wrong).__name__}: {str(wrong)[:120]})"
        raise error(path, found, "a whole one") from None


def _closed(path: Path, wrong: Exception) -> DataError:
    return error(path, f"a file that cannot be opened ({getattr(wrong, 'strerror', None) or wrong})")


def _files(folder: Path) -> list[Path]:
    """All files in a folder and below, hidden ones left out."""

    def refuse(wrong: OSError) -> None:
        raise error(wrong.filename, f"a folder that cannot be read ({wrong.strerror})", "one that can be")

    files = [Path(root, name) for root, _, names in os.walk(folder, onerror=refuse) for name in names]
    files = sorted(file for file in files if not file.name.startswith("."))
    if not files:
        raise error(folder, "a folder without files")
    return files


def _ordered(path: Path, array: np.ndarray, axes: str | None) -> np.ndarray:
    """An array of numbers with its axes in the order ``(n, t, y, x)``."""
    if array.dtype.kind not in "fciu":
        raise error(path, f"values of type {array.dtype}", "float, complex or integer numbers")
    if array.ndim not in (3, 4):
        raise error(path, f"{array.ndim} dimensions, shape {array.shape}", "(n, t, y, x) or (t, y, x)")
    if array.size == 0:
        raise error(path, f"no values, shape {array.shape}", "at least one cine, frame, line and column")
    wanted = "ntyx"[-array.ndim :]
    if axes is not None:
        if sorted(axes) != sorted(wanted):
            raise error(path, f"--axes {axes} for shape {array.shape}", f"the letters of {wanted}, each once")
        array = array.transpose([axes.index(letter) for letter in wanted])
    return array if array.ndim == 4 else array[None]


def _nifti(path: Path, ndim: int = 4):
    import nibabel

    with _reading(path):
        image = nibabel.load(path)
    if len(image.shape) != ndim:
        raise error(path, f"a {len(image.shape)}-D NIfTI file, {_by(image.shape)}", "4-D: y, x, slice, frame")
    return image


def _nifti_array(path: Path, ndim: int = 4) -> np.ndarray:
    with _reading(path):
        return np.asanyarray(_nifti(path, ndim).dataobj)


@dataclass(frozen=True)
class _Frame:
    """What of a DICOM header is needed to put one frame in its place."""

    file: Path
    index: int  # in the file
    series: tuple[str, int, str]  # study, number, identifier
    name: str  # of the series
    patient: str  # only compared, never kept
    shape: tuple[int, int]
    normal: tuple[float, ...]  # of the image plane; empty where unknown
    location: float  # along it, mm
    times: dict[str, float]
    slope: float
    intercept: float
    direction: str | None  # of phase encoding

    def image(self, pixels: dict[Path, np.ndarray], rescale: bool) -> np.ndarray:
        image = pixels[self.file].reshape(-1, *self.shape)[self.index]
        return image * np.float32(self.slope) + np.float32(self.intercept) if rescale else image


def _dicom_frames(path: Path) -> tuple[list[_Frame], list[str]]:
    """All frames of a file or of the files below a folder, and what was passed over."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    files = _files(path) if path.is_dir() else [path]
    frames, passed, seen = [], Counter(), set()
    for file in tqdm(files, "DICOM headers", unit="file", delay=2):
        with _reading(file):
            try:
                header = pydicom.dcmread(file, stop_before_pixels=True)
            except InvalidDicomError:
                passed["not DICOM"] += 1
                continue
            kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
            if kind is not None and "Image Storage" not in kind.name:
                passed[kind.name] += 1
            elif "Rows" not in header or "Columns" not in header:
                raise error(file, "a DICOM file that ends in its header", "a whole one")
            elif header.get("PhotometricInterpretation") != "MONOCHROME2":
                passed[f"{header.get('PhotometricInterpretation')} images"] += 1
            elif (identifier := header.get("SOPInstanceUID")) in seen and identifier:
                passed["copies"] += 1
            else:
                seen.add(identifier)
                frames += [_frame(file, header, i) for i in range(int(header.get("NumberOfFrames") or 1))]
    listed = ", ".join(f"{n} {kind}" for kind, n in passed.most_common(6))
    if not frames:
        raise error(path, f"a folder without a DICOM image ({listed})" if path.is_dir() else f"{listed}")
    return frames, [f"{_count(passed.total(), 'file')} passed over: {listed}"] if passed else []


def _frame(file: Path, header, i: int) -> _Frame:
    """One frame: its own functional groups count before those shared by all, and the header comes last."""
    places = [header]
    for groups, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", i)):
        if groups in header:
            inner = [
                element.value[0]
                for element in header[groups].value[at]
                if element.VR == "SQ" and element.value
            ]
            places = inner + places

    def get(keyword: str):
        return next((place.get(keyword) for place in places if place.get(keyword) not in (None, "")), None)

    times = {name: float(get(name)) for name in TIMES[:-2] if get(name) is not None}
    if "NumberOfFrames" in header and ("FrameTime" in header or "FrameTimeVector" in header):
        times["FrameTime"] = float(i)  # the file says that its frames follow each other in time
    for group, offset, creator in _PHASE_NUMBERS:
        try:
            times["cardiac phase number"] = float(header.private_block(group, creator)[offset].value)
        except (KeyError, TypeError, ValueError):  # another scanner, or a number that nobody can read
            pass
    position, orientation, location = (
        get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation")
    )
    normal = ()
    if position is not None and orientation is not None:
        row, column = np.reshape(np.asarray(orientation, float), (2, 3))
        location = np.dot(np.cross(row, column), np.asarray(position, float))
        normal = tuple(np.round(np.cross(row, column), 2) + 0.0)
    study = str(header.get("StudyInstanceUID") or "")
    return _Frame(
        file=file,
        index=i,
        series=(study, int(header.get("SeriesNumber") or 0), str(header.get("SeriesInstanceUID") or "")),
        name=str(header.get("SeriesDescription") or ""),
        patient=str(header.get("PatientID") or study),
        shape=(int(header.Rows), int(header.Columns)),
        normal=normal,
        location=float(location or 0),
        times=times,
        slope=float(1 if get("RescaleSlope") is None else get("RescaleSlope")),
        intercept=float(get("RescaleIntercept") or 0),
        direction=get("InPlanePhaseEncodingDirection"),
    )


def _in_slices(frames: list[_Frame]) -> list[list[_Frame]]:
    """The frames of a series, slice by slice along the normal."""
    slices: list[list[_Frame]] = []
    for frame in sorted(frames, key=lambda frame: (frame.normal, frame.location)):
        last = slices[-1][-1] if slices else None
        if last and last.normal == frame.normal and frame.location - last.location < _SAME_SLICE:
            slices[-1].append(frame)
        else:
            slices.append([frame])
    return slices


def _time_of(slices: list[list[_Frame]]) -> str:
    """What puts the frames of every slice of a series in order."""
    frames = [frame for of in slices for frame in of]
    held = Counter(name for frame in frames for name in frame.times)
    everywhere = [name for name in TIMES if held[name] == len(frames)]
    for name in everywhere:
        if all(len({frame.times[name] for frame in of}) == len(of) for of in slices):
            return name
    tried = f"one of {', '.join(TIMES)}, to put the frames in order"
    if not everywhere:
        usual = max(TIMES, key=lambda name: held[name])
        file = min(frame.file for frame in frames if usual not in frame.times)
        raise error(file, "a frame without a time", f"in every file {tried}")
    name = everywhere[0]
    of = next(of for of in slices if len({frame.times[name] for frame in of}) < len(of))
    of = sorted(of, key=lambda frame: (frame.times[name], frame.file))
    same = next(pair for pair in pairwise(of) if pair[0].times[name] == pair[1].times[name])
    found = f"the same slice and {name} ({same[0].times[name]:g}) as in {same[0].file.name}"
    raise error(same[1].file, found, f"frames told apart by {tried}")


def _describe(frames: list[_Frame]) -> str:
    sizes = Counter((len(of), *of[0].shape) for of in _in_slices(frames))
    listed = ", ".join(f"{_count(n, 'slice')} of {_by(size)}" for size, n in sizes.most_common(3))
    return f"{frames[0].series[1]} {frames[0].name!r} ({listed})"


def _pixels(file: Path) -> np.ndarray:
    import pydicom
    from pydicom.pixels import get_decoder

    with _reading(file):
        image = pydicom.dcmread(file)
        syntax = image.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:
            try:
                decoder = get_decoder(syntax)
                readers = [reader.split(" - requires ")[-1] for reader in decoder.missing_dependencies]
                expected = "one of these installed: " + "; ".join(readers).replace("gdcm>=", "python-gdcm>=")
                readable = decoder.is_available
            except NotImplementedError:
                readable, expected = False, "another compression, or none"
            if not readable:
                raise error(file, f"pixels compressed as {syntax.name}, which nothing here reads", expected)
        return image.pixel_array


def _holds_acquisitions(group) -> bool:
    data = group.get("data") if hasattr(group, "keys") else None
    return data is not None and "xml" in group and {"head", "traj", "data"} <= set(data.dtype.names or ())


def _is_numeric(item) -> bool:
    if item.dtype.names:
        return item.dtype.names in (("real", "imag"), ("r", "i"))
    return item.dtype.kind in "fciu" and _kind(item) not in ("char", "logical", "cell")


def _kind(item) -> str:
    """The type of an HDF5 array, in MATLAB's words where MATLAB wrote it."""
    kind = item.attrs.get("MATLAB_class", str(item.dtype))
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _chosen(path: Path, key: str | None, held: list[str], fits: list[str], listed) -> str:
    """The key asked for, or the only one that fits."""
    if key is not None and key.strip("/") in held:
        return key.strip("/")
    found = _listed(listed, "keys")
    if key is not None:
        raise error(path, found, f"the key {key!r}")
    if len(fits) != 1:
        raise error(path, found, "one array of 3 or 4 dimensions, or --key (dmri import) to choose it")
    return fits[0]


def _axes_note(key: str, array: np.ndarray, axes: str | None) -> str:
    taken = axes or "ntyx"[-array.ndim :]
    note = f"array {key!r}, {_by(array.shape)}: axes taken as ({', '.join(taken)})"
    if axes is None and array.shape[-1] == min(array.shape[-3:]) < max(array.shape[-3:]):
        note += "; if the last is time, dmri import --axes says so"
    return note


def _flagged(heads: np.ndarray, flag: int) -> np.ndarray:
    return (heads["flags"] >> np.uint64(flag - 1)) % np.uint64(2) == 1


def _of_images(heads: np.ndarray) -> np.ndarray:
    """Which lines belong to images; not noise, calibration, navigators or a second encoding."""
    others = [_flagged(heads, flag) for flag in _NO_IMAGE]
    return (heads["encoding_space_ref"] == 0) & ~np.any(others, axis=0)


def _rows(path: Path, encoding, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row of k-space of every line, and the rows that have to be there.

    Where the centre lies does not matter: a shift of k-space is a phase of the image, which magnitudes lack.
    """
    rows = encoding.encodedSpace.matrixSize.y
    limits = encoding.encodingLimits and encoding.encodingLimits.kspace_encoding_step_1
    first, last = (limits.minimum, limits.maximum) if limits else (0, rows - 1)
    if max(step.max(), last) >= rows:
        raise error(path, f"lines up to {max(step.max(), last)}", f"fewer than {rows}, as the header says")
    return step.astype(int), np.arange(first, last + 1)


def _check_cine(path: Path, encoding, heads: np.ndarray) -> None:
    """Refuse raw data that are no 2-D Cartesian cine of one contrast."""
    index, expected = heads["idx"], "a 2-D Cartesian cine of one contrast"
    if len(heads) == 0:
        raise error(path, "raw data without a line of an image", expected)
    if encoding.trajectory.value != "cartesian":
        raise error(path, f"a {encoding.trajectory.value} trajectory", expected)
    if index["kspace_encode_step_2"].max() > 0:
        raise error(path, "a 3-D acquisition", expected)
    for name in ("contrast", "set"):
        if len(np.unique(index[name])) > 1:
            raise error(path, f"{len(np.unique(index[name]))} {name}s", expected)
    if _flagged(heads, _REVERSED).any():
        raise error(path, "lines read out in reverse (EPI)", expected)


def _inverse(kspace: np.ndarray, axis: int, keep: int) -> np.ndarray:
    """Orthonormal inverse Fourier transform along an axis up to a phase, the middle of the image."""
    image = np.fft.fftshift(np.fft.ifft(kspace, axis=axis, norm="ortho"), axis)
    start = image.shape[axis] // 2 - keep // 2
    return image.take(range(start, start + keep), axis)


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _listed(items, what: str) -> str:
    items = list(items)
    return f"the {what} {', '.join(items[:8])}{', ...' if len(items) > 8 else ''}" if items else f"no {what}"
