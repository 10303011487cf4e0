"""ISMRMRD raw data: lines of k-space, sorted (notebook 07; see `formats.raw`)."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import guard
from .kspace import kspace
from .raw import Raw, count_text, error, reading_file

_NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30)  # ISMRMRD flags: noise, calibration, navigators and the like
_REVERSED = 22


def ismrmrd(path: Path, key: str = "dataset") -> Raw:
    """Read the k-space of Cartesian cines from ISMRMRD raw data [1]_, the format of OCMR, every coil of it.

    Lines are sorted by slice, cardiac phase (or repetition, where there is one phase only) and
    ``kspace_encode_step_1``; lines measured more than once are averaged; lines beyond the limits that the header gives,
    and the missing part of an asymmetric echo, are zero. Lines that are missing within the limits were not sampled. The
    readout is cropped to the field of view of the header, which removes its oversampling; the phase encode, too, where
    every line is there. Slices count as the header does; all are of one patient.

    Parameters
    ----------
    path
        the file
    key
        name of the group in the file

    References
    ----------
    .. [1] Inati et al., Magn. Reson. Med. 77, 411-421 (2017)
    """
    import ismrmrd as mrd

    with reading_file(path), mrd.File(path, mode="r") as file:
        acquisitions, encoding = file[key].acquisitions, file[key].header.encoding[0]
        heads = acquisitions.data["head"]
        kept = np.flatnonzero(_of_images(heads))
        heads, index = heads[kept], heads["idx"][kept]
        _check_cine(path, encoding, heads)
        time = "phase" if index["phase"].max() or not index["repetition"].max() else "repetition"
        slices, slice_index = np.unique(index["slice"], return_inverse=True)
        times, time_index = np.unique(index[time], return_inverse=True)
        row, wanted = _rows(path, encoding, index["kspace_encode_step_1"])
        if len(times) == 1:
            raise error(path, "a single frame", "several phases or repetitions")
        matrix, whole, view = (
            encoding.encodedSpace.matrixSize,
            encoding.encodedSpace.fieldOfView_mm,
            encoding.reconSpace.fieldOfView_mm,
        )
        coils = int(heads["active_channels"][0])
        guard.fits(path, ((len(slices) * len(times) + 4) * coils, matrix.y, matrix.x), 8)
        count = np.zeros((len(slices), len(times), matrix.y), int)
        np.add.at(count, (slice_index, time_index, row), 1)
        sampled = count > 0
        full = sampled[:, :, wanted].all()
        width = min(matrix.x, round(matrix.x * view.x / whole.x))
        height = min(matrix.y, round(matrix.y * view.y / whole.y)) if full else matrix.y
        array = np.empty((len(slices), coils, len(times), height, width), np.complex64)
        places = np.ndindex(len(slices), len(times))
        for s, t in tqdm(places, "ISMRMRD", len(slices) * len(times), unit="frame", delay=2):
            frame = np.zeros((coils, matrix.y, matrix.x), np.complex64)
            for i in np.flatnonzero((slice_index == s) & (time_index == t)):
                frame[:, row[i], _samples(path, heads[i], matrix.x)] += acquisitions[kept[i]].data
            frame /= np.maximum(count[s, t], 1)[:, None]
            array[s, :, t] = _cropped(_cropped(frame, -1, width), -2, height)
        notes = [
            f"ISMRMRD: {len(kept)} of {acquisitions.data.size} lines are of images: {count_text(coils, 'coil')}, "
            f"{count_text(len(slices), 'slice')} of {len(times)} frames ({time}s) of {len(wanted)} lines, "
            f"measured up to {count_text(count.max(), 'time')}"
        ]
    if len(wanted) < matrix.y:
        notes.append(f"{matrix.y - len(wanted)} of {matrix.y} lines lie beyond the header's limits: zero")
    notes.append(f"cropped from {matrix.y} x {matrix.x} to the field of view, {height} x {width}")
    lines = np.ones((len(slices), len(times), height), bool) if full else sampled
    return kspace(path, key, array, "nctyx", lines, groups=np.zeros(len(slices), int), notes=notes)


def _samples(path: Path, head: np.ndarray, columns: int) -> slice:
    """Where the samples of a readout lie, its centre in the middle."""
    n, start = int(head["number_of_samples"]), 0
    if head["center_sample"] or n < columns:
        start = columns // 2 - int(head["center_sample"])
    if start < 0 or start + n > columns:
        found = f"a readout of {n} samples, its centre at {head['center_sample']}"
        raise error(path, found, f"at most {columns} samples, the centre in the middle, as the header says")
    return slice(start, start + n)


def holds_acquisitions(group) -> bool:
    data = group.get("data") if hasattr(group, "keys") else None
    return data is not None and "xml" in group and {"head", "traj", "data"} <= set(data.dtype.names or ())


def _flagged(heads: np.ndarray, flag: int) -> np.ndarray:
    return (heads["flags"] >> np.uint64(flag - 1)) % np.uint64(2) == 1


def _of_images(heads: np.ndarray) -> np.ndarray:
    """Mark the lines of images; not those of noise, calibration, navigators or a second encoding."""
    others = [_flagged(heads, flag) for flag in _NO_IMAGE]
    return (heads["encoding_space_ref"] == 0) & ~np.any(others, axis=0)


def _rows(path: Path, encoding, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the row of k-space of every line, its centre in the middle, and the rows that have to be there."""
    rows = encoding.encodedSpace.matrixSize.y
    limits = encoding.encodingLimits and encoding.encodingLimits.kspace_encoding_step_1
    first, last, centre = (
        (limits.minimum, limits.maximum, limits.center) if limits else (0, rows - 1, rows // 2)
    )
    if max(step.max(), last) >= rows:
        raise error(path, f"lines up to {max(step.max(), last)}", f"fewer than {rows}, as the header says")
    shift = rows // 2 - centre
    if first + shift < 0 or last + shift >= rows:
        found = f"lines {first} to {last} with the centre at {centre}"
        raise error(path, found, f"room for them around the middle of {rows} lines, as the header says")
    return step.astype(int) + shift, np.arange(first, last + 1) + shift


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


def _cropped(frame: np.ndarray, axis: int, keep: int) -> np.ndarray:
    """Crop the image of a frame of k-space to its middle along an axis: k-space again, of so many samples."""
    size = frame.shape[axis]
    if keep == size:
        return frame
    image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(frame, axis), axis=axis, norm="ortho"), axis)
    start = size // 2 - keep // 2
    image = image.take(range(start, start + keep), axis)
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(image, axis), axis=axis, norm="ortho"), axis)
