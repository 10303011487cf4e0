"""Every reader: numbers in order, an account of what was done, one line for whatever is wrong."""

import gzip
import os
import pickle
import random
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import h5py
import hypothesis.strategies as st
import ismrmrd
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from hypothesis import given
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from scipy.io import savemat

from dmri_helpers import cli
from dmri_helpers.data import import_acdc, import_cines, open_cine, split
from dmri_helpers.data.cines import DataError
from dmri_helpers.data.formats import reading
from dmri_helpers.data.formats.raw import Raw, one_size

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "import_samples"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DMRI_DATA", raising=False)
    return tmp_path


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


# ------------------------------------------------------------------------------------------------- NumPy


def test_numpy_arrays_by_key_and_axes(capsys):
    array = cine(6, 5, 3)  # (y, x, t)
    np.savez("a.npz", images=array, groups=np.array([4]))
    np.save("a.npy", array)
    expected = unit(array.transpose(2, 0, 1))[None]
    written = imported("a.npz", "out.npz", "--key", "images", "--axes", "yxt")
    assert written.keys() == {"dataset", "groups"} and written["groups"] == [4]
    np.testing.assert_allclose(written["dataset"], expected, rtol=1e-6)
    np.testing.assert_allclose(
        imported("a.npy", "out.npz", "--axes", "yxt", "--force")["dataset"], expected, rtol=1e-6
    )
    assert "the keys 'images', 'groups'" in wrong("a.npz")
    for axes in ("yx", "ntyx", "yxz", "yyt"):
        assert f"axes {axes!r} for shape (6, 5, 3)" in wrong("a.npy", axes=axes)
    assert "key means nothing" in wrong("a.npy", key="images")
    assert "series means nothing" in wrong("a.npz", series=(1,))
    assert "force" in refused(capsys, "import", "a.npz", "out.npz", "--key", "images")


@given(have=st.integers(1, 9), size=st.integers(1, 9), y=st.integers(1, 9))
def test_crop_and_pad_keep_the_middle(have, size, y):
    raw = Raw(Path("a"), cine(2, 3, y, have) + 1)
    fitted = one_size(raw, size=size).cines
    assert fitted.shape == (2, 3, size, size)
    middle = raw.cines[..., y // 2, have // 2]
    np.testing.assert_array_equal(fitted[..., size // 2, size // 2], middle)
    kept = min(y, size) * min(have, size)
    assert (np.count_nonzero(fitted, (2, 3)) == kept).all() and set(fitted.flat) <= {0, *raw.cines.flat}


def test_frames_size_and_scaling_are_said(capsys):
    np.save("a.npy", cine(2, 5, 8, 12))
    written = imported("a.npy", "out.npz", "--frames", 4, "--size", 10, "--per-frame")["dataset"]
    said = capsys.readouterr().out
    assert "the first 4 frames kept, of 5" in said and "every frame scaled" in said
    assert "in the middle to 10 x 10: 2 cines of 8 x 12 cropped and zero-padded" in said
    assert written.shape == (2, 4, 10, 10) and written.dtype == np.float32
    assert (written.min((2, 3)) == 0).all() and (written.max((2, 3)) == 1).all()
    for options in (["--frames", 6], ["--frames", 0], ["--size", 0], ["--size", "-1"], ["--axes", "x"]):
        refused(capsys, "import", "a.npy", "other.npz", *options)
    np.save("c.npy", cine(2, 5, 8, 12) * 1j)
    assert "complex values" in refused(capsys, "import", "c.npy", "other.npz", "--per-frame")
    assert imported("c.npy", "out.npz", "--force")["dataset"].dtype == np.complex64


def test_flat_frames_stay_flat_when_scaled():
    array = cine(1, 3, 4, 4).astype(float)
    array[0, 1] = 7
    scaled = one_size(Raw(Path("a"), array), per_frame=True).cines
    assert (scaled[0, 1] == 0).all() and scaled[0, 0].max() == 1


# ------------------------------------------------------------------------------------------------- NIfTI


def write_nifti(name: str | Path, array: np.ndarray, affine=None) -> Path:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), name)
    return Path(name)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_nifti_axes(name):
    array = cine(8, 6, 3, 5)  # x, y, slice, t in NIfTI's words
    write_nifti(name, array, np.diag([-1, -1, 10, 1]))
    cines = open_cine(name)
    assert cines.shape == (3, 5, 8, 6) and cines.groups.tolist() == [0, 0, 0] and cines.source == name
    np.testing.assert_allclose(cines.tensor(), unit(array.transpose(2, 3, 0, 1)), rtol=1e-6)
    assert "NIfTI array 8 x 6 x 3 x 5: axes taken as (y, x, n, t)" in cines.notes[0]
    swapped = reading.read(Path(name), axes="xynt").cines
    np.testing.assert_array_equal(swapped, array.transpose(2, 3, 1, 0))


def test_nifti_slope_is_applied():
    image = nibabel.Nifti1Image(cine(8, 6, 3, 5), np.eye(4))
    image.header.set_slope_inter(2, 10)
    nibabel.save(image, "a.nii")
    assert reading.read(Path("a.nii")).cines.max() == 2 * 719 + 10


def test_wrong_nifti(capsys):
    write_nifti("three.nii.gz", cine(8, 6, 3))
    assert "a 3-D NIfTI file, 8 x 6 x 3; expected 4-D" in wrong("three.nii.gz")
    whole = write_nifti("a.nii.gz", cine(32, 32, 3, 5)).read_bytes()
    for size in (1, 20, 200, len(whole) // 2, len(whole) - 20):
        Path("cut.nii.gz").write_bytes(whole[:size])
        assert "cut.nii.gz: found a damaged file" in wrong("cut.nii.gz")
    write_nifti("a.nii", cine(32, 32, 3, 5))
    Path("cut.nii").write_bytes(Path("a.nii").read_bytes()[:-100])
    assert "damaged" in wrong("cut.nii")
    Path("text.nii").write_text("x" * 1000)
    assert "damaged" in wrong("text.nii")
    write_nifti("many/b.nii.gz", cine(8, 6, 3))
    assert "no 4-D image in the NIfTI files b.nii.gz (8 x 6 x 3)" in wrong("many")
    assert "a damaged file" in refused(capsys, "info", "cut.nii.gz")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.img", "a"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_is_known_by_its_first_bytes(name, kind, packed):
    array = cine(8, 6, 3, 5)
    whole = kind(array, np.eye(4)).to_bytes()
    Path(name).write_bytes(gzip.compress(whole) if packed else whole)
    np.testing.assert_array_equal(reading.read(Path(name)).cines, array.transpose(2, 3, 0, 1))


def test_a_flipped_bit_is_an_error_not_a_picture():
    array = cine(16, 12, 3, 5)
    whole = gzip.compress(nibabel.Nifti1Image(array, np.eye(4)).to_bytes())
    places = random.Random(0).sample(range(10, len(whole)), 60)  # gzip ignores the date and system before
    for place in [*places, *range(len(whole) - 8, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        Path("a.nii.gz").write_bytes(damaged)
        assert "a damaged file" in wrong("a.nii.gz")


def test_real_nifti():
    cines = open_cine(sample("patient090_4d.nii.gz"))
    assert cines.shape == (7, 12, 154, 224) and cines.groups.tolist() == [0] * 7
    assert not cines[0].is_complex() and cines.tensor().amax((1, 2, 3)).tolist() == [1.0] * 7
    assert "axes taken as (y, x, n, t)" in cines.notes[0]
    assert "no patient of at least 20 frames and more than 6 slices (patient090 left out: 12 frames" in wrong(
        SAMPLES
    )


# ------------------------------------------------------------------------------------------------- ACDC


@pytest.fixture
def acdc(folder) -> Path:
    """Patients as the data set has them: of several sizes, two of them of no use, files that are no cines."""
    for patient, shape in {
        "training/patient001": (20, 30, 9, 22),
        "training/patient002": (40, 18, 8, 20),
        "training/patient003": (20, 20, 6, 30),
        "training/patient004": (20, 20, 10, 19),
        "testing/patient101": (24, 24, 7, 21),
    }.items():
        array = np.random.default_rng(len(list(folder.rglob("*")))).random(shape, np.float32) * 300
        name = Path(patient).name
        write_nifti(folder / "ACDC" / patient / f"{name}_4d.nii.gz", array)
        write_nifti(folder / "ACDC" / patient / f"{name}_frame01.nii.gz", array[..., 0])
        (folder / "ACDC" / patient / "Info.cfg").write_text("Group: DCM")
        (folder / "ACDC" / patient / f"._{name}_4d.nii.gz").write_bytes(b"what macOS leaves behind")
    return folder / "ACDC"


def test_acdc_recipe(acdc, capsys):
    written = imported("acdc", acdc, "out.npz", "--size", 24)
    said = capsys.readouterr().out
    assert "patient003 left out: 6 slices, more than 6 are needed" in said
    assert "patient004 left out: 19 frames, at least 20 are needed" in said
    assert "3 of 5 patients: 6 slices, the first and last 3 dropped" in said
    assert "the first 20 frames kept, of 20 to 22" in said
    assert "3 cines of 20 x 30 cropped and zero-padded, 2 cines of 40 x 18 cropped and zero-padded" in said
    assert written["patient"].tolist() == ["patient001"] * 3 + ["patient002"] * 2 + ["patient101"]
    assert written["groups"].tolist() == [0, 0, 0, 1, 1, 2]

    dataset = written["dataset"]
    assert dataset.shape == (6, 20, 24, 24) and dataset.dtype == np.float32
    volume = nibabel.load(acdc / "training/patient002/patient002_4d.nii.gz").get_fdata()
    frame = np.zeros((24, 24))
    frame[:, 3:21] = volume[8:32, :, 4, 7]
    np.testing.assert_allclose(dataset[4, 7], (frame - frame.min()) / (frame.max() - frame.min()), atol=1e-6)
    assert (dataset.min((2, 3)) == 0).all() and (dataset.max((2, 3)) == 1).all()

    cines = open_cine("out.npz")
    assert cines.notes == [] and len(split(cines)) == 3
    assert open_cine(acdc).shape == (6, 20, 192, 192)  # the same recipe, without a command
    assert len(open_cine(acdc, n=2)) == 2
    per_cine = imported("acdc", acdc, "out.npz", "--size", 24, "--per-cine", "--force")["dataset"]
    assert (per_cine.max((1, 2, 3)) == 1).all() and (per_cine.max((2, 3)) < 1).any()
    np.testing.assert_allclose(per_cine[4, 7], frame / volume[8:32, :, 4, :20].max(), atol=1e-6)


def test_acdc_shuffled_keeps_patients_beside_their_slices(acdc, monkeypatch):
    whole = imported("acdc", acdc, "out.npz", "--size", 24)
    monkeypatch.setattr(import_module("dmri_helpers.cli.cines"), "SEED_CINES", 5)
    first, again, other = (
        imported("acdc", acdc, "out.npz", "--size", 24, "--seed-recipe", "--seed", seed, "--force")
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first["dataset"], again["dataset"])
    assert len(first["dataset"]) == 5 and not np.array_equal(first["dataset"], other["dataset"])
    for shuffled in (first, other):
        places = [
            np.flatnonzero((whole["dataset"] == image).all((1, 2, 3))).item() for image in shuffled["dataset"]
        ]
        assert len(set(places)) == 5
        assert shuffled["patient"].tolist() == whole["patient"][places].tolist()
        assert shuffled["groups"].tolist() == np.unique(shuffled["patient"], return_inverse=True)[1].tolist()


def test_wrong_acdc(acdc, capsys):
    empty = acdc / "empty"
    empty.mkdir()
    assert "without files" in refused(capsys, "import", "acdc", empty, "o.npz")
    assert "No such file" in refused(capsys, "import", "acdc", "nowhere", "o.npz")
    assert "at least 0" in refused(capsys, "import", "acdc", acdc, "o.npz", "--seed", "-1")
    assert "at least 1" in refused(capsys, "import", "acdc", acdc, "o.npz", "--frames", "0")
    assert "at least 23 frames" not in refused(capsys, "import", "acdc", acdc, "o.npz", "--frames", "31")
    damaged = acdc / "testing/patient101/patient101_4d.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    assert f"{damaged}: found a damaged file" in refused(capsys, "import", "acdc", acdc, "o.npz")
    write_nifti(damaged, cine(8, 8, 7))
    assert f"{damaged}: found a 3-D" in refused(capsys, "import", "acdc", acdc, "o.npz")
    shutil.copytree(acdc / "training/patient001", acdc / "copy")
    assert "patient001 twice" in refused(capsys, "import", "acdc", acdc, "o.npz")


# ------------------------------------------------------------------------------------------------- DICOM

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


@pytest.mark.parametrize("shuffle", range(3))
def test_dicom_is_sorted_by_place_and_time_never_by_name(shuffle):
    array = cine(3, 12, 8, 6)
    write_series("scan", array, shuffle=shuffle)
    cines = open_cine("scan")
    np.testing.assert_allclose(cines.tensor(), unit(array), rtol=1e-6)
    assert cines.groups.tolist() == [0, 0, 0] and cines.source == "scan"
    expected = (
        "36 DICOM files, 1 series, 1 patient: 3 slices of 12 frames, sorted by slice position and TriggerTime"
    )
    assert cines.notes[0] == expected and "integers (int16)" in cines.notes[1]


@pytest.mark.parametrize(
    "tags",
    [
        {"ImagePositionPatient": None},
        {"ImageOrientationPatient": None},
        {"SliceLocation": None},
        {"SliceLocation": 0},  # wrong; the position knows better
    ],
)
def test_dicom_slices_from_position_or_location(tags):
    array = cine(3, 4, 8, 6)
    write_series("scan", array, **tags)
    np.testing.assert_array_equal(reading.read(Path("scan")).cines, array)


@pytest.mark.parametrize("name", ["TemporalPositionIdentifier", "GE", "Philips"])
def test_dicom_times_other_than_trigger_times(name):
    array = cine(2, 11, 8, 6)
    for i, path in enumerate(write_series("scan", array)):
        image = pydicom.dcmread(path)
        if i % 2:  # not in every file: of no use
            del image.TriggerTime
        if name == "GE":
            image.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0xD7, "SS", i % 11 + 1)
        elif name == "Philips":
            image.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x08, "IS", i % 11 + 1)
        else:
            setattr(image, name, i % 11 + 1)
        image.save_as(path)
    raw = reading.read(Path("scan"))
    np.testing.assert_array_equal(raw.cines, array)
    assert ("TemporalPositionIdentifier" if "Temporal" in name else "cardiac phase number") in raw.notes[0]


def test_dicom_slope_and_intercept():
    array = cine(1, 4, 8, 6)
    write_series("scan", array, RescaleSlope="0.5", RescaleIntercept="-3")
    raw = reading.read(Path("scan"))
    np.testing.assert_allclose(raw.cines, array * 0.5 - 3)
    assert "rescale slope and intercept applied" in raw.notes


def multi_frame(array: np.ndarray, order: list[tuple[int, int]]) -> Dataset:
    """An enhanced MR image; frames as the order ``[(slice, t), ...]`` says, each with a slope of its own."""
    of_no_frame = {"TriggerTime": 7, "RescaleSlope": 9, "ImagePositionPatient": [0, 0, 0]}
    image = header(pydicom.uid.EnhancedMRImageStorage, NumberOfFrames=len(order), **of_no_frame)

    def item(**values) -> Sequence:
        inner = Dataset()
        for name, value in values.items():
            setattr(inner, name, value)
        return Sequence([inner])

    image.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    )
    image.PerFrameFunctionalGroupsSequence = Sequence(
        item(
            PlanePositionSequence=item(ImagePositionPatient=[-8.0 * s, 3, 4]),
            CardiacSynchronizationSequence=item(NominalCardiacTriggerDelayTime=25.0 * t),
            PixelValueTransformationSequence=item(RescaleSlope=s + 1, RescaleIntercept=t),
        )[0]
        for s, t in order
    )
    image.Rows, image.Columns = array.shape[-2:]
    image.PixelData = np.stack([array[place] for place in order]).astype("<i2").tobytes()
    return image


def test_multi_frame_dicom():
    array = cine(3, 5, 8, 6)
    order = random.Random(0).sample([(s, t) for s in range(3) for t in range(5)], 15)
    write(multi_frame(array, order), "a.dcm")
    raw = reading.read(Path("a.dcm"))
    slope, intercept = np.arange(1, 4)[:, None, None, None], np.arange(5)[:, None, None]
    np.testing.assert_allclose(raw.cines, array * slope + intercept)
    assert "1 DICOM file" in raw.notes[0] and "NominalCardiacTriggerDelayTime" in raw.notes[0]
    for s in range(3):  # one file for each slice
        write(multi_frame(array, [(s, t) for t in (4, 2, 0, 1, 3)]), f"scan/{9 - s}")
    np.testing.assert_allclose(reading.read(Path("scan")).cines, array * slope + intercept)


def test_multi_frame_dicom_of_the_old_kind():
    array = cine(1, 5, 8, 6)
    write(header(NumberOfFrames=5, FrameTime=30), "a.dcm", array)
    np.testing.assert_array_equal(reading.read(Path("a.dcm")).cines, array)
    write(header(NumberOfFrames=5, TriggerTime=30), "b.dcm", array)
    assert "b.dcm: found the same slice and TriggerTime (30) as in b.dcm" in wrong("b.dcm")


def test_what_else_lies_in_a_dicom_folder(capsys):
    array = cine(2, 4, 8, 6)
    paths = write_series("scan", array)
    shutil.copy(paths[0], "scan/copy")
    Path("scan/notes.txt").write_text("Jane Doe")
    Path("scan/.hidden").touch()
    Path("scan/empty").touch()
    write(header(pydicom.uid.BasicTextSRStorage), "scan/report")
    write(header(pydicom.uid.MediaStorageDirectoryStorage), "scan/DICOMDIR")
    write(header(PhotometricInterpretation="RGB"), "scan/screen", array[0, 0])
    written = imported("scan", "out.npz")
    np.testing.assert_allclose(written["dataset"], unit(array), rtol=1e-6)
    said = capsys.readouterr().out
    assert "passed over: 2 not DICOM, " in said and "1 copies" in said and "1 RGB images" in said
    assert "1 Basic Text SR Storage" in said and "1 Media Storage Directory Storage" in said


def test_no_identity_is_kept(capsys):
    array = cine(2, 4, 8, 6)
    write_series("scan/1", array, PatientID="4711")
    write_series("scan/2", array + 1, PatientID="4712", SeriesInstanceUID="1.2.9", StudyInstanceUID="1.2.5")
    write_series("scan/3", array + 2, PatientID="4711", SeriesInstanceUID="1.2.8", StudyInstanceUID="1.2.6")
    written = imported("scan", "out.npz")
    assert written.keys() == {"dataset", "groups"} and written["groups"].tolist() == [0, 0, 1, 1, 0, 0]
    said, content = capsys.readouterr().out, Path("out.npz").read_bytes()
    for secret in ("Doe", "Jane", "4711", "4712", "19700101", "S99", "1.2.3.4"):
        assert secret not in said and secret.encode() not in content


def test_series_are_read_together_where_they_agree(capsys):
    array = cine(3, 4, 8, 6)
    for number, uid, of in ((12, "1.2.1", array[2:]), (3, "1.2.2", array[:1]), (7, "1.2.3", array[1:2])):
        write_series("scan", of, shuffle=number, SeriesNumber=number, SeriesInstanceUID=uid)
    np.testing.assert_array_equal(reading.read(Path("scan")).cines, array)
    picked = imported("scan", "out.npz", "--series", 3, "--series", 12)["dataset"]
    np.testing.assert_allclose(picked, unit(array[[0, 2]]), rtol=1e-6)
    assert "the series 8" in refused(capsys, "import", "scan", "other.npz", "--series", "8")


def test_mixed_series_are_listed(capsys):
    array = cine(2, 4, 8, 6)
    write_series("scan/1", array, SeriesDescription="SAX")
    others = {"SeriesNumber": 6, "SeriesInstanceUID": "1.2.9", "SeriesDescription": "4CH"}
    write_series("scan/2", cine(1, 5, 8, 6), **others)
    listed = "the series 5 'SAX' (2 slices of 4 x 8 x 6), 6 '4CH' (1 slice of 5 x 8 x 6)"
    message = refused(capsys, "info", "scan")
    assert listed in message and "--series NUMBER" in message
    assert imported("scan", "out.npz", "--series", 6)["dataset"].shape == (1, 5, 8, 6)
    both = imported("scan", "out.npz", "--series", 5, "--series", 6, "--frames", 4, "--force")["dataset"]
    assert both.shape == (3, 4, 8, 6)
    assert "1 cine of 5 x 8 x 6" in wrong("scan", series=(5, 6))


def test_unequal_slices(capsys):
    array = cine(3, 5, 8, 6)
    write_series("scan", array, skip={(1, 4)})
    message = refused(capsys, "info", "scan")
    assert "2 cines of 5 x 8 x 6, 1 cine of 4 x 8 x 6; expected one size; dmri import --frames" in message
    written = imported("scan", "out.npz", "--frames", 4)["dataset"]
    np.testing.assert_allclose(written, unit(array[:, :4]), rtol=1e-6)


def test_missing_and_repeated_trigger_times():
    array = cine(2, 5, 8, 6)
    paths = write_series("scan", array)
    image = pydicom.dcmread(paths[3])
    del image.TriggerTime
    image.save_as(paths[3])
    message = wrong("scan")
    assert f"{paths[3]}: found a frame without a time" in message
    assert "TriggerTime, NominalCardiacTriggerDelayTime" in message and "cardiac phase number" in message
    image.TriggerTime = 12.5  # that of the first frame
    image.save_as(paths[3])
    first, second = sorted([paths[0], paths[3]])
    assert f"{second}: found the same slice and TriggerTime (12.5) as in {first.name}" in wrong("scan")
    image["TriggerTime"] = pydicom.DataElement("TriggerTime", "LO", "soon")
    image.save_as(paths[3])
    assert f"{paths[3]}: found a damaged file" in wrong("scan")


def test_slices_that_cannot_be_told_apart():
    write_series("scan", cine(2, 5, 8, 6), ImagePositionPatient=None, SliceLocation=None)
    assert "found the same slice and TriggerTime" in wrong("scan")


def test_wrong_dicom():
    Path("empty").mkdir()
    assert "a folder without files" in wrong("empty")
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("a")
    assert "a folder without a DICOM image of magnitudes (1 not DICOM)" in wrong("texts")
    write(header(pydicom.uid.BasicTextSRStorage), "report.dcm")
    assert "report.dcm: found 1 Basic Text SR Storage" in wrong("report.dcm")
    write_series("localiser", cine(3, 1, 8, 6))
    assert "single images" in wrong("localiser") and "several frames of a slice" in wrong("localiser")

    (path,) = write_series("cut", cine(1, 1, 64, 64))
    whole = path.read_bytes()
    write_series("cut", cine(1, 4, 64, 64) + 1, TriggerTime=None, TemporalPositionIdentifier=None, shuffle=3)
    for size in (len(whole) - 100, 900, 500, 200, 140):
        path.write_bytes(whole[:size])
        assert "found" in wrong("cut")
    shutil.rmtree("cut")
    paths = write_series("cut", cine(1, 4, 64, 64))
    whole = paths[2].read_bytes()
    for size in (len(whole) - 100, 900, 500, 140):
        paths[2].write_bytes(whole[:size])
        message = wrong("cut")
        assert message.startswith(f"{paths[2]}: found a ") and ("damaged" in message or "ends in" in message)


@pytest.mark.parametrize(
    "syntax, package",
    [
        (pydicom.uid.JPEGLosslessSV1, "pylibjpeg-libjpeg"),
        (pydicom.uid.JPEGLSLossless, "pyjpegls"),
        (pydicom.uid.MPEG2MPML, "another compression"),
    ],
)
def test_compression_that_nothing_reads(syntax, package):
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder

    if syntax != pydicom.uid.MPEG2MPML and get_decoder(syntax).is_available:
        pytest.skip(f"a package that reads {syntax.name} is installed")
    for path in write_series("scan", cine(1, 4, 8, 6)):
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData = encapsulate([b"compressed"])
        image["PixelData"].VR = "OB"
        image.save_as(path)
    message = wrong("scan")
    assert f"pixels compressed as {syntax.name}, which nothing here reads" in message and package in message


def test_compression_that_pydicom_reads():
    array = cine(1, 4, 8, 6)
    for path in write_series("scan", array):
        image = pydicom.dcmread(path)
        image.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        image.save_as(path)
    np.testing.assert_array_equal(reading.read(Path("scan")).cines, array)


def test_real_dicom(folder, capsys):
    real = sample("ep_sax_two_slices")
    for i, path in enumerate(random.Random(1).sample(sorted(real.iterdir()), 40)):
        (folder / "scan" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "scan" / "ab"[i % 2] / f"{i:02}")
    written = imported(folder / "scan", "out.npz")
    said = capsys.readouterr().out
    assert written.keys() == {"dataset", "groups"} and written["dataset"].shape == (2, 20, 256, 256)
    for name in ("GIP17", "MR-EP", "20111201", "SHSC"):
        assert name not in said and name.encode() not in Path("out.npz").read_bytes()
    first, second = torch.from_numpy(written["dataset"])
    files = [pydicom.dcmread(real / f"I0{number}.dcm") for number in (161, 170, 181, 200)]
    for found, file in zip((second[0], second[9], first[0], first[19]), files, strict=True):
        pixels = torch.from_numpy(file.pixel_array.astype(np.float32))
        torch.testing.assert_close(found, pixels * (found.max() / pixels.max()))
    for heart in (first, second):  # it contracts and relaxes once
        blood = (heart[:, 90:180, 60:180] > 0.3).float().mean((1, 2))
        lowest = int(blood.argmin())
        assert 8 <= lowest <= 15 and blood[lowest] < 0.9 * blood[0]
        assert (blood[1 : lowest + 1] <= blood[:lowest] + 0.01).all()
    image = pydicom.dcmread(folder / "scan/a/00")
    del image.TriggerTime, image[0x0019, 0x10D7]
    image.save_as(folder / "scan/a/00")
    assert "00: found a frame without a time" in wrong(folder / "scan")


# ------------------------------------------------------------------------------------------------- MATLAB, HDF5


def write_matlab73(path: str, **arrays) -> None:
    """As MATLAB does: a text block, axes reversed, the class as an attribute, complex as pairs, cells elsewhere."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, list):
                kind, values = (
                    b"cell",
                    [file.create_dataset(f"#refs#/{i}", data=a).ref for i, a in enumerate(array)],
                )
                item = file.create_dataset(name, data=np.array(values, h5py.ref_dtype))
            elif np.iscomplexobj(array):
                kind, pairs = b"single", np.empty(array.shape, [("real", "<f4"), ("imag", "<f4")])
                pairs["real"], pairs["imag"] = array.real, array.imag
                item = file.create_dataset(name, data=pairs.T)
            else:
                kind = {"f": b"double", "i": b"int16", "b": b"logical"}[array.dtype.kind]
                item = file.create_dataset(name, data=array.T.astype("u1") if kind == b"logical" else array.T)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def write_matlab5(path: str, **arrays) -> None:
    cells = {name: np.empty(len(array), object) for name, array in arrays.items() if isinstance(array, list)}
    for name, cell in cells.items():
        cell[:] = arrays[name]
    savemat(path, arrays | cells)


WRITERS = {"a.mat": write_matlab5, "b.mat": write_matlab73}


@pytest.mark.parametrize("name", WRITERS)
def test_matlab(name):
    array = cine(8, 6, 5, dtype=float)  # y, x, t, as a MATLAB program has it
    WRITERS[name](name, scale=np.ones((1, 1)), images=array, mask=array > 3)
    raw = reading.read(Path(name), axes="yxt")
    np.testing.assert_array_equal(raw.cines[0], array.transpose(2, 0, 1))
    assert raw.notes == ["array 'images', 8 x 6 x 5: axes taken as (y, x, t)"]
    assert "8 frames of 6 x 5" in wrong(name)
    WRITERS[name](name, images=array.transpose(2, 0, 1))
    raw = reading.read(Path(name))
    np.testing.assert_array_equal(raw.cines[0], array.transpose(2, 0, 1))
    assert "array 'images', 5 x 8 x 6: axes taken as (t, y, x)" in raw.notes[0]
    np.testing.assert_allclose(open_cine(name).tensor(), unit(raw.cines), rtol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_matlab_complex(name):
    array = (cine(2, 5, 8, 6) * np.exp(0.001j * cine(2, 5, 8, 6))).astype(np.complex64)
    WRITERS[name](name, images=array)
    raw = reading.read(Path(name))
    assert raw.cines.dtype == np.complex64
    np.testing.assert_array_equal(raw.cines, array)
    assert imported(name, "out.npz")["dataset"].dtype == np.complex64


@pytest.mark.parametrize("name", WRITERS)
def test_wrong_matlab(name, capsys):
    first, second = cine(3, 8, 6, dtype=float), cine(2, 3, 8, 6)
    WRITERS[name](name, first=first, second=second, tail=[first, np.ones(2)])
    message = refused(capsys, "evaluate", "--data", name, "--method", "zero_filled")
    assert (
        "the keys 'first' (3 x 8 x 6 double), 'second' (2 x 3 x 8 x 6 int16)" in message
        and "--key" in message
    )
    assert "'second'" in wrong(name, key="third") and "expected the key 'third'" in wrong(name, key="third")
    assert "cell under the key 'tail'; expected an array of numbers" in wrong(name, key="tail")
    np.testing.assert_array_equal(
        imported(name, "out.npz", "--key", "second")["dataset"], unit(second).astype("f4")
    )
    WRITERS[name](name, flat=first[0])
    assert "the keys 'flat' (8 x 6 double); expected one array of 3 or 4 dimensions" in wrong(name)
    assert "2 dimensions, shape (8, 6)" in wrong(name, key="flat")
    WRITERS[name](name, images=second)
    whole = Path(name).read_bytes()
    for size in (len(whole) // 2, 600, 150):
        Path(name).write_bytes(whole[:size])
        assert "found a damaged file" in wrong(name)


def test_hdf5(capsys):
    array = cine(2, 3, 8, 6)
    with h5py.File("a.h5", "w") as file:
        file["recon/images"] = array
        file["recon/complex"] = (array * 1j).astype(np.complex64)[0]
        file["names"] = ["a", "b"]
    listed = "'recon/images' (2 x 3 x 8 x 6 int16)"
    assert listed in wrong("a.h5")
    np.testing.assert_array_equal(reading.read(Path("a.h5"), key="/recon/images").cines, array)
    complex_raw = reading.read(Path("a.h5"), key="recon/complex")
    np.testing.assert_array_equal(complex_raw.cines, (array * 1j)[:1])
    assert "an array of numbers" in wrong("a.h5", key="names")
    assert "expected the key 'recon'" in wrong("a.h5", key="recon")
    with h5py.File("a.h5", "w") as file:
        file["images"] = array.transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(reading.read(Path("a.h5"), axes="yxnt").cines, array)
    with h5py.File("none.h5", "w"):
        pass
    assert "no keys" in wrong("none.h5")
    Path("cut.h5").write_bytes(Path("a.h5").read_bytes()[:300])
    assert "damaged" in refused(capsys, "info", "cut.h5")


# ------------------------------------------------------------------------------------------------- ISMRMRD

Y, X, OVERSAMPLED = 12, 10, 20


def xml(trajectory="cartesian", limits=(0, Y - 1, Y // 2)) -> bytes:
    def tags(**values) -> str:
        return "".join(f"<{name}>{value}</{name}>" for name, value in values.items())

    def space(x, field_of_view) -> str:
        return tags(matrixSize=tags(x=x, y=Y, z=1), fieldOfView_mm=tags(x=field_of_view, y=240, z=8))

    names = "minimum", "maximum", "center"
    lines = tags(kspace_encoding_step_1=tags(**dict(zip(names, limits, strict=True)))) if limits else ""
    encoding = tags(encodedSpace=space(OVERSAMPLED, 400), reconSpace=space(X, 200), trajectory=trajectory)
    header = tags(
        subjectInformation=tags(patientName="Jane Doe"),
        experimentalConditions=tags(H1resonanceFrequency_Hz=63500000),
        encoding=encoding + tags(encodingLimits=lines),
    )
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">{header}</ismrmrdHeader>'.encode()


def coil_kspace(images: np.ndarray) -> np.ndarray:
    """Images ``(slice, t, y, x)`` in a twice as wide field of view, as three coils see them, in k-space."""
    slices, frames, y, x = images.shape
    wide = np.zeros((3, slices, frames, y, OVERSAMPLED), complex)
    phase = np.exp(1j * np.linspace(0, 2, 3 * x)).reshape(3, 1, 1, 1, x)
    strength = np.array([0.2, 0.5, 0.7]).reshape(3, 1, 1, 1, 1)
    wide[..., 5:15] = images * strength * phase
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(wide, (-2, -1)), norm="ortho"), (-2, -1))


def write_raw(path, kspace, header=None, most=1, time="phase", left_out=(), first=0, change=None) -> None:
    """Lines in no order, noise among them, each once to `most` times with errors that average out."""
    lines = [(*at, a) for at in np.ndindex(kspace.shape[1:4]) for a in range(1 + at[2] % most)]
    random.Random(0).shuffle(lines)
    with ismrmrd.Dataset(path, mode="w") as dataset:
        dataset.write_xml_header(header or xml())
        noise = ismrmrd.Acquisition.from_array(np.full((3, 64), 1e3 + 0j, np.complex64))
        noise.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        dataset.append_acquisition(noise)
        for s, t, line, a in lines:
            if (s, t, line) in left_out:
                continue
            error = 1 + 0.5 * (a - line % most / 2)
            samples = (kspace[:, s, t, line, first:] * error).astype(np.complex64)
            acquisition = ismrmrd.Acquisition.from_array(samples, center_sample=OVERSAMPLED // 2 - first)
            index = acquisition.idx
            index.slice, index.kspace_encode_step_1, index.average = s, line, a
            setattr(index, time, t)
            if change is not None:
                change(acquisition)
            dataset.append_acquisition(acquisition)


@pytest.mark.parametrize("most, time", [(1, "phase"), (3, "phase"), (1, "repetition")])
def test_raw_data_come_back_as_the_images_they_were_made_of(most, time, capsys):
    images = cine(2, 4, Y, X, dtype=float)
    write_raw("a.h5", coil_kspace(images), most=most, time=time)
    written = imported("a.h5", "out.npz")
    np.testing.assert_allclose(written["dataset"], unit(images), atol=1e-5)
    assert written["groups"].tolist() == [0, 0] and written.keys() == {"dataset", "groups"}
    said = capsys.readouterr().out
    n = 96 * (most + 1) // 2
    assert f"{n} of {n + 1} lines are of images: 2 slices of 4 frames ({time}s) of 12 lines" in said
    assert f"up to {most} time" in said
    assert "3 coils: root of the sum of squares" in said and "to the field of view, 12 x 10" in said
    assert "Jane" not in said and b"Jane" not in Path("out.npz").read_bytes()
    assert open_cine("a.h5").shape == (2, 4, Y, X)


def test_raw_data_with_fewer_lines_and_an_asymmetric_echo():
    images = cine(1, 3, Y, X, dtype=float)
    kspace = coil_kspace(images)
    write_raw("a.h5", kspace[..., 2:9, :], header=xml(limits=(0, 6, 4)))
    write_raw("b.h5", kspace, first=4)
    kept = {"a.h5": kspace.copy(), "b.h5": kspace.copy()}
    kept["a.h5"][..., :2, :], kept["a.h5"][..., 9:, :], kept["b.h5"][..., :4] = 0, 0, 0
    for name, lines in kept.items():
        coils = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines, (-2, -1)), norm="ortho"), (-2, -1))
        expected = np.sqrt((np.abs(coils[..., 5:15]) ** 2).sum(0))
        raw = reading.read(Path(name))
        np.testing.assert_allclose(raw.cines, unit(expected), atol=1e-5)
    assert "5 of 12 lines lie beyond the header's limits: zero" in reading.read(Path("a.h5")).notes[1]
    write_raw("c.h5", kspace, header=xml(limits=None))
    np.testing.assert_allclose(reading.read(Path("c.h5")).cines, unit(images), atol=1e-5)


def test_wrong_raw_data(capsys):
    kspace = coil_kspace(cine(1, 3, Y, X, dtype=float))
    write_raw(
        "a.h5", kspace, left_out={(0, t, line) for t in range(3) for line in range(Y) if (line + t) % 3}
    )
    assert "undersampled raw data, 24 of 36 lines missing" in refused(capsys, "info", "a.h5")
    write_raw("a.h5", kspace, left_out={(0, 1, 5)})
    assert "1 of 36 lines missing" in wrong("a.h5")
    write_raw("a.h5", kspace[:, :, :1])
    assert "a single frame" in wrong("a.h5")
    write_raw("a.h5", kspace, header=xml("radial"))
    assert "a radial trajectory" in wrong("a.h5")
    changes = {
        "a 3-D acquisition": lambda line: setattr(line.idx, "kspace_encode_step_2", 3),
        "2 contrasts": lambda line: setattr(line.idx, "contrast", line.idx.kspace_encode_step_1 % 2),
        "2 sets": lambda line: setattr(line.idx, "set", line.idx.kspace_encode_step_1 % 2),
        "in reverse (EPI)": lambda line: line.setFlag(ismrmrd.ACQ_IS_REVERSE),
        "33 of 36 lines missing": lambda line: setattr(line.idx, "kspace_encode_step_1", 0),
        "without a line of an image": lambda line: setattr(line, "encoding_space_ref", 1),
        "lines up to 12; expected fewer than 12": lambda line: setattr(line.idx, "kspace_encode_step_1", Y),
    }
    for found, change in changes.items():
        write_raw("a.h5", kspace, change=change)
        assert found in wrong("a.h5")
    write_raw("a.h5", kspace, header=xml(limits=(0, 20, 10)))
    assert "lines up to 20; expected fewer than 12" in wrong("a.h5")
    write_raw("a.h5", kspace, header=b"<nonsense/>")
    assert "damaged" in wrong("a.h5")
    write_raw("a.h5", kspace[:, :, :, :0])
    assert "raw data without a line of an image" in wrong("a.h5")
    write_raw("a.h5", kspace)
    assert "axes means nothing" in wrong("a.h5", axes="tyx") and "expected the key 'other'" in wrong(
        "a.h5", key="other"
    )


# ------------------------------------------------------------------------------------------------- all readers


REMEDIES = {  # an input that an option helps to read
    "axes": lambda: np.save("a.npy", cine(2, 5, 8, 6).transpose(2, 3, 0, 1)),
    "key": lambda: savemat("a.mat", {"first": cine(3, 8, 6), "second": cine(3, 8, 6)}),
    "series": lambda: [
        write_series(f"a/{n}", cine(1, n, 8, 6), SeriesNumber=n, SeriesInstanceUID=f"1.2.{n}") for n in (4, 5)
    ],
    "size": lambda: write_series("a", cine(3, 5, 8, 6), skip={(1, 4)}),
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_the_reader_says_what_is_wrong_and_the_command_line_which_option_helps(remedy, folder, capsys):
    REMEDIES[remedy]()
    (source,) = folder.iterdir()
    with pytest.raises(DataError) as caught:
        open_cine(source)
    assert caught.value.remedy == remedy and "--" not in str(caught.value) and "dmri" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    said = refused(capsys, "import", source, "out.npz")
    assert str(caught.value) in said and f"dmri import --{remedy.replace('size', 'frames')}" in said


def test_import_cines_is_the_import_of_the_command_line(acdc):
    np.save("a.npy", cine(6, 5, 3))
    options = {"axes": "yxt", "frames": 2, "size": 8, "per_frame": True}
    cines = import_cines("a.npy", **options)
    assert cines.shape == (1, 2, 8, 8) and cines.patients is None and "every frame scaled" in cines.notes[-1]
    written = imported("a.npy", "out.npz", "--axes", "yxt", "--frames", 2, "--size", 8, "--per-frame")
    np.testing.assert_array_equal(written["dataset"], cines.tensor())
    cines = import_acdc(acdc, n=4, size=24)
    assert cines.patients.tolist() == ["patient001"] * 3 + ["patient002"] and cines.groups.tolist() == [
        0,
        0,
        0,
        1,
    ]


@pytest.fixture
def powerless():
    """Nobody's rights, also where tests are run by root."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_permission_denied(folder, request):
    for scan in ("open", "closed"):
        write_series(scan, cine(1, 4, 8, 6))
    write_nifti("a.nii.gz", cine(8, 6, 3, 5))
    reading.read(Path("open")), reading.read(Path("a.nii.gz"))  # nothing is left to be imported
    (inside,) = random.sample([path for path in Path("open").rglob("*") if path.is_file()], 1)
    for path in (inside, Path("closed"), Path("a.nii.gz")):
        path.chmod(0)
    folder.chmod(0o755)
    request.getfixturevalue("powerless")
    for source, found in {"a.nii.gz": "a.nii.gz", "open": inside, "closed/a.nii": "closed/a.nii"}.items():
        assert wrong(source).startswith(f"{found}: found a file that cannot be opened (Permission denied)")
    assert "closed: found a folder that cannot be read (Permission denied)" in wrong("closed")


def test_notes_of_the_door_are_said_by_every_command(capsys):
    write_nifti("a.nii.gz", cine(33, 30, 3, 5))
    fast = "--method zero_filled --acceleration 4 --center-lines 4".split()
    assert cli.main(["evaluate", "--data", "a.nii.gz", *fast]) == 0
    assert "dmri: note: a.nii.gz: NIfTI array 33 x 30 x 3 x 5" in capsys.readouterr().err
    assert cli.main(["info", "a.nii.gz"]) == 0
    assert "note: NIfTI array" in capsys.readouterr().out


def test_packages_wait_until_a_door_is_opened():
    program = (
        "import sys; import dmri_helpers.data.formats.reading; "
        "print({'nibabel', 'pydicom', 'h5py', 'scipy', 'ismrmrd'} & set(sys.modules))"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.stdout == "set()\n", run.stderr
