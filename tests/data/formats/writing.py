"""What the tests of all readers share: files of every format, written and refused."""

import random
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

from dmri_helpers import cli
from dmri_helpers.data import DataError
from dmri_helpers.data.formats import reading

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "import_samples"


def sample(name: str) -> Path:
    if not (SAMPLES / name).exists():
        pytest.skip(f"no real files here (import_samples/{name})")
    return SAMPLES / name


def cine(*shape: int, dtype=np.int16) -> np.ndarray:
    """Numbers that are nowhere the same."""
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(dtype)


def unit(array: np.ndarray) -> np.ndarray:
    return array / np.abs(array).max((-3, -2, -1), keepdims=True)


def wrong(source, **options) -> str:
    """The one line with which a source is refused."""
    with pytest.raises(DataError) as caught:
        reading.read(Path(source), **options)
    message = str(caught.value)
    assert "\n" not in message and ": found " in message and "; expected " in message
    return message


def refused(capsys, *argv) -> str:
    """The one line on stderr with which a command is refused, having written nothing."""
    before = {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")}
    capsys.readouterr()
    assert cli.main([str(word) for word in argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("dmri: error: ") and err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in Path.cwd().rglob("*")} == before
    return err


def imported(*argv) -> dict[str, np.ndarray]:
    """What a command wrote to out.npz; no Python objects are in it."""
    assert cli.main(["import", *map(str, argv)]) == 0
    assert not [path for path in Path.cwd().rglob("*") if path.name.startswith(".out")]
    with np.load("out.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def write_nifti(name: str | Path, array: np.ndarray, affine=None) -> Path:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), name)
    return Path(name)


IDENTITY = {"PatientName": "Doe^Jane", "PatientID": "4711", "PatientBirthDate": "19700101", "StudyID": "S99"}
GRAY = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
}
PIXELS = GRAY | {"HighBit": 15, "PixelRepresentation": 1}


def header(kind=pydicom.uid.MRImageStorage, **tags) -> Dataset:
    """An MR image of nobody; a tag that is None is left out."""
    image = Dataset()
    tags = IDENTITY | PIXELS | {"SOPInstanceUID": pydicom.uid.generate_uid(), "SOPClassUID": kind} | tags
    tags = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "SeriesNumber": 5} | tags
    for name, value in tags.items():
        if value is not None:
            setattr(image, name, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = kind
    return image


def write(image: Dataset, path: str | Path, pixels: np.ndarray | None = None) -> Path:
    if pixels is not None:
        image.Rows, image.Columns = pixels.shape[-2:]
        image.PixelData = pixels.astype("<i2").tobytes()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return Path(path)


def write_series(folder: str | Path, array: np.ndarray, skip=(), shuffle: int = 0, **tags) -> list[Path]:
    """Single frames of ``(slice, t, y, x)``, 8 mm apart, 30 ms apart, under names in no order."""
    places = [(s, t) for s in range(array.shape[0]) for t in range(array.shape[1]) if (s, t) not in skip]
    names = random.Random(shuffle).sample(range(1000), len(places))
    paths = []
    for (s, t), name in zip(places, names, strict=True):
        of_frame = {
            "ImagePositionPatient": [-100, -90, 8.0 * s],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "SliceLocation": 8.0 * s,
            "TriggerTime": 12.5 + 30 * t,
            "InstanceNumber": 1000 - name,
        }
        paths.append(write(header(**of_frame | tags), Path(folder) / "ab"[name % 2] / f"{name}", array[s, t]))
    return paths
