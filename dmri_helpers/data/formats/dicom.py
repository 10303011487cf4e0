"""DICOM files and folders, sorted by what their headers say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .raw import Raw, count_text, error, files_in, list_text, reading_file, size_text

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
    listed = list_text([describe_series(of) for of in by_series.values()], "series")
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
        f"{count_text(len(used), 'DICOM file')}, {len(by_series)} series, {count_text(len(numbers), 'patient')}: "
        f"{count_text(len(slices), 'slice')} of {' or '.join(map(str, sorted(counts)))} frames, "
        f"sorted by slice position and {' or '.join(sorted(times))}"
    )
    if rescaled:
        notes.append("rescale slope and intercept applied")
    if any(frame.direction == "ROW" for frames in slices for frame in frames):
        notes.append(
            "the scanner encoded phase along the rows (x); here lines are left out along y all the same"
        )
    return Raw(path, cines, np.array([numbers[patient] for patient in patients]), notes=notes)


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

    files = files_in(path) if path.is_dir() else [path]
    frames, passed, seen = [], Counter(), set()
    for file in tqdm(files, "DICOM headers", unit="file", delay=2):
        with reading_file(file):
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
    return frames, [f"{count_text(passed.total(), 'file')} passed over: {listed}"] if passed else []


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


def describe_series(frames: list[_Frame]) -> str:
    sizes = Counter((len(of), *of[0].shape) for of in _in_slices(frames))
    listed = ", ".join(f"{count_text(n, 'slice')} of {size_text(size)}" for size, n in sizes.most_common(3))
    return f"{frames[0].series[1]} {frames[0].name!r} ({listed})"


def _pixels(file: Path) -> np.ndarray:
    import pydicom
    from pydicom.pixels import get_decoder

    with reading_file(file):
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
