"""DICOM files and folders, sorted by what their headers say, never by name (no notebook; see `formats.raw`)."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import guard
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
CLOCKS = "AcquisitionTime", "ContentTime", "InstanceNumber"  # put in order what has none of these times
_PHASE_NUMBERS = (  # group, offset, who defined it
    (0x0019, 0xD7, "GEMS_ACQU_01"),
    (0x2001, 0x08, "Philips Imaging DD 001"),
)
_SAME_SLICE = 0.1  # mm
_PARTS = {  # what ImageType or ComplexImageComponent says, and GE's private number of it
    "phase": ("P", "PHASE", "PHASE MAP", "VELOCITY", "VELOCITY MAP", 1),
    "real": ("R", "REAL", 2),
    "imaginary": ("I", "IMAGINARY", 3),
}


def dicom(path: Path, series: Sequence[int] = ()) -> Raw:
    """Read DICOM: single frames or multi-frame files, one file or all in a folder and below.

    Frames are sorted by series, slice position (along the normal of the image plane, or ``SliceLocation``)
    and time, the first of `TIMES` that all frames of a series have; a series without any by the first of
    `CLOCKS`. Every slice becomes a cine; rows become ``y``, columns ``x``. Rescale slope and intercept are
    applied. Several series become cines together if all their slices agree in size and number of frames. Files
    that are no DICOM images are passed over, and so are phase, real and imaginary images. Nothing of the patient
    is kept: patients are numbered as they come.

    Parameters
    ----------
    path
        file or folder
    series
        numbers of the series to read; by default all

    Returns
    -------
        a list of cines of shape ``(t, y, x)``; patients numbered
    """
    frames, notes = _dicom_frames(path)
    by_series: dict[tuple, list[_Frame]] = {}
    for frame in sorted(frames, key=lambda frame: frame.series):
        by_series.setdefault(frame.series, []).append(frame)
    listed = list_text([describe_series(members) for members in by_series.values()], "series")
    if series:
        by_series = {key: members for key, members in by_series.items() if key[1] in series}
        if missing := set(series) - {number for _, number, _ in by_series}:
            raise error(path, listed, f"the series {', '.join(map(str, sorted(missing)))}", "series")
    sorted_series = [_in_slices(members) for members in by_series.values()]
    shapes = {(len(members), members[0].shape) for slices in sorted_series for members in slices}
    if len(by_series) > 1 and len(shapes) > 1 and not series:
        raise error(path, listed, "one, or several of one size", "series")
    if all(n_frames == 1 for n_frames, _ in shapes):
        raise error(path, f"single images, {listed}", "several frames of a slice")

    slices, times = [], set()
    for unsorted in sorted_series:
        time = _time_of(unsorted)
        times.add(time)
        slices += [sorted(frames, key=lambda frame, time=time: frame.times[time]) for frames in unsorted]
    patients = [frames[0].patient for frames in slices]
    numbers = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}

    guard.fits(path, (sum(frames[0].shape[0] * frames[0].shape[1] * len(frames) for frames in slices),), 4)
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
    """Those entries of a DICOM header that put one frame in its place."""

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
    part: str  # magnitude, phase, real or imaginary

    def image(self, pixels: dict[Path, np.ndarray], rescale: bool) -> np.ndarray:
        image = pixels[self.file].reshape(-1, *self.shape)[self.index]
        return image * np.float32(self.slope) + np.float32(self.intercept) if rescale else image


def _dicom_frames(path: Path) -> tuple[list[_Frame], list[str]]:
    """List the magnitude frames of a file or of all files below a folder, and note what was passed over."""
    from pydicom.errors import InvalidDicomError

    files = files_in(path) if path.is_dir() else [path]
    frames, passed, seen = [], Counter(), set()
    for file in tqdm(files, "DICOM headers", unit="file", delay=2):
        with reading_file(file):
            try:
                header = _dataset(file, stop_before_pixels=True)
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
                guard.dicom(file, header)
                frames += [_frame(file, header, i) for i in range(int(header.get("NumberOfFrames") or 1))]
    passed.update(f"{frame.part} images" for frame in frames if frame.part != "magnitude")
    frames = [frame for frame in frames if frame.part == "magnitude"]
    listed = ", ".join(f"{n} {kind}" for kind, n in passed.most_common(6))
    if not frames:
        found = f"a folder without a DICOM image of magnitudes ({listed})" if path.is_dir() else f"{listed}"
        raise error(path, found)
    return frames, [f"passed over: {listed}"] if passed else []


def _dataset(file: Path, **options):
    """Read a DICOM file, also one that begins with its first element, without preamble and meta information."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    guard.deflated(file)
    try:
        return pydicom.dcmread(file, **options)
    except InvalidDicomError:
        if not begins_with_an_element(file):
            raise
    dataset = pydicom.dcmread(file, force=True, **options)
    if "Rows" not in dataset:
        raise InvalidDicomError
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        big = pydicom.uid.ExplicitVRBigEndian
        plain = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = plain if little else big
    return dataset


def begins_with_an_element(file: Path) -> bool:
    """Whether a file begins with an element of the groups 2 or 8, as DICOM without a preamble does."""
    with file.open("rb") as stream:
        group, number = struct.unpack("<HH", stream.read(4).ljust(4, b"\xff"))
    return group in (2, 8) and number <= 0x60


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

    times = {name: float(get(name)) for name in (*TIMES[:-2], CLOCKS[2]) if get(name) is not None}
    times |= {name: _seconds(str(get(name))) for name in CLOCKS[:2] if get(name) is not None}
    if "NumberOfFrames" in header and ("FrameTime" in header or "FrameTimeVector" in header):
        times["FrameTime"] = float(i)  # the file says that its frames follow each other in time
    for group, offset, creator in _PHASE_NUMBERS:
        try:
            times["cardiac phase number"] = float(header.private_block(group, creator)[offset].value)
        except (KeyError, TypeError, ValueError):  # another scanner, or a number that nobody can read
            pass
    if not np.isfinite(list(times.values())).all():
        raise error(file, "a time that is no number", "the times of all frames")
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
        part=_part(header, get("ComplexImageComponent"), get("FrameType")),
    )


def _part(header, component: str | None, frame_type: Sequence[str] | None) -> str:
    """Tell magnitude, phase, real and imaginary images apart."""
    said = {component, *list(header.get("ImageType") or ())[2:], *list(frame_type or ())[2:]}
    try:
        said.add(int(header.private_block(0x0043, "GEMS_PARM_01")[0x2F].value))
    except (KeyError, TypeError, ValueError):  # another scanner
        pass
    return next((part for part, names in _PARTS.items() if said & set(names)), "magnitude")


def _seconds(clock: str) -> float:
    """Convert a time of the day, HHMMSS.FFFFFF, to seconds."""
    digits = clock.replace(":", "")
    return 3600 * int(digits[:2]) + 60 * int(digits[2:4] or 0) + float(digits[4:] or 0)


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
    """Choose what puts the frames of every slice of a series in order."""
    frames = [frame for members in slices for frame in members]
    timed = any(len({frame.times.get(name) for frame in members}) > 1 for members in slices for name in TIMES)
    names = TIMES if timed else TIMES + CLOCKS
    held = Counter(name for frame in frames for name in frame.times)
    everywhere = [name for name in names if held[name] == len(frames)]
    for name in everywhere:
        if all(len({frame.times[name] for frame in members}) == len(members) for members in slices):
            return name
    tried = f"one of {', '.join(names)}, to put the frames in order"
    if not everywhere:
        usual = max(names, key=lambda name: held[name])
        file = min(frame.file for frame in frames if usual not in frame.times)
        raise error(file, "a frame without a time", f"in every file {tried}")
    name = everywhere[0]
    same = next(members for members in slices if len({frame.times[name] for frame in members}) < len(members))
    same = sorted(same, key=lambda frame: (frame.times[name], frame.file))
    first, second = next(pair for pair in pairwise(same) if pair[0].times[name] == pair[1].times[name])
    found = f"the same slice and {name} ({first.times[name]:g}) as in {first.file.name}"
    raise error(second.file, found, f"frames told apart by {tried}")


def describe_series(frames: list[_Frame]) -> str:
    """Describe a series by its number, its name and the sizes of its slices."""
    sizes = Counter((len(members), *members[0].shape) for members in _in_slices(frames))
    listed = ", ".join(f"{count_text(n, 'slice')} of {size_text(size)}" for size, n in sizes.most_common(3))
    return f"{frames[0].series[1]} {frames[0].name!r} ({listed})"


def _pixels(file: Path) -> np.ndarray:
    from pydicom.pixels import get_decoder

    with reading_file(file):
        image = _dataset(file)
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
