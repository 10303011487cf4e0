"""DICOM: sorted by place and time, several series, what else lies in a folder."""

import random
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from data.formats.writing import cine, header, imported, refused, sample, unit, write, write_series, wrong
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dmri_helpers.data import open_cine
from dmri_helpers.data.formats import reading


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
