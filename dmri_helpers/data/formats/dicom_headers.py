"""What the header of a DICOM file says about its frames, vendor's words included (no notebook; see `formats.dicom`)."""

import hashlib
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import guard
from .raw import error, files_in, reading_file
from .strangers import stranger

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
_PARTS = {  # what ComplexImageComponent or ImageType says, a pattern; and GE's private number of it
    "phase": (r"P|P_\w+|PHASE|PHASE MAP|PHASE_MAP|PHASE CONTRAST P|VELOCITY|VELOCITY[ _]MAP", 1),
    "real": (r"R|R_\w+|REAL", 2),
    "imaginary": (r"I|I_\w+|IMAGINARY", 3),
    "magnitude": (r"M|M_\w+|MAGNITUDE", 0),
}


@dataclass(frozen=True)
class Frame:
    """Those entries of a DICOM header that put one frame in its place."""

    file: Path
    index: int  # in the file
    study: str
    number: int  # of the series
    uid: str  # of the series
    name: str  # of the series
    patient: str  # only compared, never kept
    shape: tuple[int, int]
    normal: tuple[float, ...]  # of the image plane; empty where unknown
    location: float  # along it, mm
    times: dict[str, float]
    slope: float
    intercept: float
    direction: str | None  # of phase encoding
    kind: str  # magnitude, phase, real, imaginary, or derived from such

    @property
    def series(self) -> tuple[str, int, str, str, str]:
        """What all frames of a series share, in the order in which series are read."""
        return self.study, self.number, self.uid, self.name, self.patient

    def image(self, pixels: dict[Path, np.ndarray], rescale: bool) -> np.ndarray:
        image = pixels[self.file].reshape(-1, *self.shape)[self.index]
        return image * np.float32(self.slope) + np.float32(self.intercept) if rescale else image


def read_headers(path: Path) -> tuple[list[Frame], Counter]:
    """List the frames of a file or of all files below a folder, and count what was passed over."""
    from pydicom.errors import InvalidDicomError

    files = files_in(path) if path.is_dir() else [path]
    frames: list[Frame] = []
    passed: Counter[str] = Counter()
    seen: dict[str, dict[bytes, Path]] = {}
    for file in tqdm(files, "DICOM headers", unit="file", delay=2):
        with reading_file(file):
            try:
                header = _dataset(file, stop_before_pixels=True)
            except InvalidDicomError:
                passed[_not_dicom(file)] += 1
                continue
            kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
            if kind is not None and "Image Storage" not in kind.name:
                passed[kind.name] += 1
            elif "Rows" not in header or "Columns" not in header:
                raise error(file, "a DICOM file that ends in its header", "a whole one")
            elif header.get("PhotometricInterpretation") != "MONOCHROME2":
                passed[f"{header.get('PhotometricInterpretation')} images"] += 1
            elif _is_copy(file, str(header.get("SOPInstanceUID") or ""), seen):
                passed["copies"] += 1
            else:
                guard.dicom(file, header)
                frames += [_frame(file, header, i) for i in range(int(header.get("NumberOfFrames") or 1))]
    return frames, passed


def _not_dicom(file: Path) -> str:
    """Say what a file is that is not DICOM; one that stands for an image that is not there is an error."""
    with file.open("rb") as stream:
        named = stranger(file, stream.read(520))
    if named is not None and "a pointer of" in named.found:
        raise named
    return f"not DICOM ({named.found})" if named else "not DICOM"


def _is_copy(file: Path, identifier: str, seen: dict[str, dict[bytes, Path]]) -> bool:
    """Whether the same pixels came before under the same identifier, which some anonymisers give all files."""
    if not identifier:
        return False
    before = seen.setdefault(identifier, {})
    if not before:
        before[b""] = file  # its pixels are only looked at when another file has its identifier
        return False
    if first := before.pop(b"", None):
        before[_digest(first)] = first
    digest = _digest(file)
    return before.setdefault(digest, file) != file


def _digest(file: Path) -> bytes:
    return hashlib.sha256(bytes(_dataset(file).get("PixelData") or b"")).digest()


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


def _frame(file: Path, header, i: int) -> Frame:
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
    for name in CLOCKS[:2]:
        if (seconds := _seconds(str(get(name)))) is not None:
            times[name] = seconds
    if "NumberOfFrames" in header and ("FrameTime" in header or "FrameTimeVector" in header):
        times["FrameTime"] = float(i)  # the file says that its frames follow each other in time
    for place in _PHASE_NUMBERS:
        try:
            times["cardiac phase number"] = float(_private(header, *place))
        except (TypeError, ValueError):  # another scanner, or a number that nobody can read
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
    return Frame(
        file=file,
        index=i,
        study=study,
        number=int(header.get("SeriesNumber") or 0),
        uid=str(header.get("SeriesInstanceUID") or ""),
        name=str(header.get("SeriesDescription") or ""),
        patient=str(header.get("PatientID") or study),
        shape=(int(header.Rows), int(header.Columns)),
        normal=normal,
        location=float(location or 0),
        times=times,
        slope=float(1 if get("RescaleSlope") is None else get("RescaleSlope")),
        intercept=float(get("RescaleIntercept") or 0),
        direction=get("InPlanePhaseEncodingDirection"),
        kind=_kind(header, get("ComplexImageComponent"), list(get("FrameType") or ())),
    )


def _kind(header, component: str | None, frame_type: Sequence[str]) -> str:
    """Tell magnitude, phase, real and imaginary images apart, and what was derived from them.

    What is said of the frame counts before what is said of the file. An image of which nothing is said is taken
    for a magnitude.
    """
    image_type = list(header.get("ImageType") or ())
    if isinstance(header.get("ImageType"), str):
        image_type = header.ImageType.split("/")
    letters = [_private(header, 0x2005, 0x11, "Philips MR Imaging DD 001")]
    numbers = [_private(header, 0x0043, 0x2F, "GEMS_PARM_01")]
    said = ([component], frame_type[2:], image_type[2:], letters, numbers)
    parts = (
        part
        for words in said
        for part, (pattern, number) in _PARTS.items()
        if any(re.fullmatch(rf"{pattern}|{number}", str(word).strip().upper()) for word in words)
    )
    part = next(parts, "magnitude")
    derived = (frame_type or image_type or [""])[0] == "DERIVED"
    return "derived" if derived and part == "magnitude" else part


def _private(header, group: int, offset: int, creator: str):
    """An element of a vendor; None where another made the file."""
    try:
        return header.private_block(group, creator)[offset].value
    except (KeyError, TypeError, ValueError):
        return None


def _seconds(clock: str) -> float | None:
    """Convert a time of the day, HHMMSS.FFFFFF, to seconds; None where an anonymiser left no time."""
    digits = clock.replace(":", "")
    try:
        return 3600 * int(digits[:2]) + 60 * int(digits[2:4] or 0) + float(digits[4:] or 0)
    except ValueError:
        return None


def pixels(file: Path) -> np.ndarray:
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
