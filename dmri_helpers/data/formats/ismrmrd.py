"""ISMRMRD raw data with every line measured; coils are combined (no notebook; see `formats.raw`)."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import guard
from .raw import Raw, count_text, error, reading_file

_NO_IMAGE = (19, 20, 23, 24, 26, 27, 28, 29, 30)  # ISMRMRD flags: noise, calibration, navigators and the like
_REVERSED = 22


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

    References
    ----------
    .. [1] Inati et al., Magn. Reson. Med. 77, 411-421 (2017)
    .. [2] Roemer et al., Magn. Reson. Med. 16, 192-225 (1990)
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
        matrix, whole, view = (
            encoding.encodedSpace.matrixSize,
            encoding.encodedSpace.fieldOfView_mm,
            encoding.reconSpace.fieldOfView_mm,
        )
        coils = int(heads["active_channels"][0])
        guard.fits(path, (len(slices) * len(times) + 4 * coils, matrix.y, matrix.x), 8)
        count = np.zeros((len(slices), len(times), matrix.y), int)
        np.add.at(count, (slice_index, time_index, row), 1)
        lacking = count[:, :, wanted] == 0
        if lacking.any():
            found = f"undersampled raw data, {lacking.sum()} of {lacking.size} lines missing"
            raise error(path, found, "every line of every frame")
        if len(times) == 1:
            raise error(path, "a single frame", "several phases or repetitions")

        width = min(matrix.x, round(matrix.x * view.x / whole.x))
        height = min(matrix.y, round(matrix.y * view.y / whole.y))
        cines = np.empty((len(slices), len(times), height, width), np.float32)
        for s, t in tqdm(
            np.ndindex(cines.shape[:2]), "ISMRMRD", len(slices) * len(times), unit="frame", delay=2
        ):
            kspace = np.zeros((coils, matrix.y, matrix.x), np.complex64)
            for i in np.flatnonzero((slice_index == s) & (time_index == t)):
                kspace[:, row[i], : heads[i]["number_of_samples"]] += acquisitions[kept[i]].data
            kspace /= np.maximum(count[s, t], 1)[:, None]
            images = _inverse(_inverse(kspace, -1, width), -2, height)
            cines[s, t] = np.sqrt((np.abs(images) ** 2).sum(0))
        cines /= cines.max((1, 2, 3), keepdims=True)
        notes = [
            f"ISMRMRD: {len(kept)} of {acquisitions.data.size} lines are of images: "
            f"{count_text(len(slices), 'slice')} of {len(times)} frames ({time}s) of {len(wanted)} lines, "
            f"measured up to {count_text(count.max(), 'time')}"
        ]
    if len(wanted) < matrix.y:
        notes.append(f"{matrix.y - len(wanted)} of {matrix.y} lines lie beyond the header's limits: zero")
    notes += [
        f"cropped from {matrix.y} x {matrix.x} to the field of view, {height} x {width}",
        f"{count_text(coils, 'coil')}: root of the sum of squares, divided by the largest value of the cine",
    ]
    return Raw(path, cines, np.zeros(len(cines), int), notes=notes)


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
    """Give the row of k-space of every line, and the rows that have to be there.

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
    """Transform k-space along an axis, orthonormal and up to a phase, and keep the middle of the image."""
    image = np.fft.fftshift(np.fft.ifft(kspace, axis=axis, norm="ortho"), axis)
    start = image.shape[axis] // 2 - keep // 2
    return image.take(range(start, start + keep), axis)
