"""Cases from public reports: nothing that is opened may be silently wrong."""

import random
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from scipy.io import savemat

from dmri_helpers.data import DataError, import_cines, open_cine


def hearts(slices: int, frames: int, y: int, x: int) -> np.ndarray:
    """Beating disks ``(slice, t, y, x)``, 100 to 1000."""
    rows, columns = np.mgrid[:y, :x]
    noise = np.random.default_rng(0).integers(0, 100, (slices, frames, y, x))
    radius = y / 5 - np.arange(slices)[:, None] + y / 15 * np.cos(2 * np.pi * np.arange(frames) / frames)
    disk = np.hypot(rows - 0.47 * y, columns - 0.52 * x) < radius[..., None, None]
    return (100 + 800 * disk + noise).astype(np.int16)


def kspace(images: np.ndarray) -> np.ndarray:
    shifted = np.fft.ifftshift(images, (-2, -1))
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), (-2, -1)).astype(np.complex64)


# ------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("order", ["yxnt", "yxtn", "xynt", "nyxt"])
@pytest.mark.parametrize("suffix", ["npy", "npz", "mat"])
def test_axes_in_another_order_are_never_taken_without_a_word(order, suffix):
    """The York University set is called sol_yxzt(y, x, slice, frame): not 96 cines of 80 frames of 8 x 20."""
    cines = hearts(8, 20, 96, 80)
    array = cines.transpose(["ntyx".index(axis) for axis in order])
    if suffix == "npy":
        np.save("cine.npy", array)
    elif suffix == "npz":
        np.savez("cine.npz", dataset=array)
        assert "axes in another order?" in open_cine("cine.npz").notes[0]
    else:
        savemat("cine.mat", {"sol": array})
    if suffix != "npz":
        with pytest.raises(DataError, match="frames of") as caught:
            open_cine(f"cine.{suffix}")
        assert caught.value.remedy == "axes"
    found = import_cines(f"cine.{suffix}", axes=order).tensor().numpy()
    np.testing.assert_allclose(found, cines / cines.max((1, 2, 3), keepdims=True), rtol=1e-6)


def test_real_time_cines_of_many_frames_are_read_where_the_axes_are_named():
    np.save("long.npy", hearts(1, 100, 40, 32)[0])
    assert import_cines("long.npy", axes="tyx").shape == (1, 100, 40, 32)


@pytest.mark.parametrize("name", ["kspace", "kspace_single_full", "recon/kSpace", "kdata"])
def test_an_array_that_calls_itself_kspace_is_no_image(name):
    """Nor is it guessed whether the first of four axes counts slices or frames."""
    with h5py.File("a.h5", "w") as file:
        file[name] = kspace(hearts(2, 6, 48, 40))
        file["reconstruction_rss"] = hearts(2, 6, 48, 40)  # images beside it, as in fastMRI's files
    for options in ({}, {"key": name}):
        with pytest.raises(DataError, match="of 4 axes, 2 x 6 x 48 x 40, that nobody named"):
            import_cines("a.h5", **options)
    assert import_cines("a.h5", axes="ntyx", key="reconstruction_rss").shape == (2, 6, 48, 40)


@pytest.mark.parametrize("change", ["none", "magnitude", "corners", "noise", "scale"])
def test_kspace_by_any_other_name_is_no_image(change):
    array = kspace(hearts(2, 6, 48, 40))
    rng = np.random.default_rng(0)
    array = {
        "none": array,
        "magnitude": np.abs(array),
        "corners": np.fft.ifftshift(array, (-2, -1)),
        "noise": array + 30 * (rng.normal(size=array.shape) + 1j * rng.normal(size=array.shape)),
        "scale": array * 1e-6,
    }[change]
    np.save("a.npy", array)
    with pytest.raises(DataError, match="k-space, not images"):
        open_cine("a.npy")


@pytest.mark.parametrize("size", [48, 384])
def test_an_image_is_no_kspace_even_small_in_a_large_field_of_view(size):
    np.save("a.npy", hearts(2, 6, 48, 40))
    assert import_cines("a.npy", size=size).shape == (2, 6, size, size)


def test_labels_are_named():
    labels = np.digitize(hearts(3, 20, 64, 48), [150, 300, 800]).transpose(2, 3, 0, 1).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), "heart_sa_gt.nii.gz")
    assert "only 3 different values in cine 0: labels or a mask" in open_cine("heart_sa_gt.nii.gz").notes[1]
    np.save("image.npy", hearts(1, 20, 64, 48))
    assert not [note for note in open_cine("image.npy").notes if "labels" in note]


# ------------------------------------------------------------------------------------------------- files


def write_nifti(path: str, array: np.ndarray) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)


@pytest.mark.parametrize("labels", ["A_sa_gt.nii.gz", "label.nii", "A_sa-seg.nii.gz", "contours.nii.gz"])
def test_a_folder_of_patients_without_their_labels(labels):
    """As M&Ms, UK Biobank: a file for each patient, whatever its name, labels beside it."""
    cines = hearts(3, 8, 32, 24)
    for number in range(3):
        write_nifti(f"mnms/P{number}/P{number}_sa.nii.gz", cines.transpose(2, 3, 0, 1) + 10 * number)
        write_nifti(f"mnms/P{number}/{labels}", (cines > 800).transpose(2, 3, 0, 1).astype(float))
    found = open_cine("mnms")
    assert found.shape == (9, 8, 32, 24) and found.groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(found[1], cines[1] / cines[1].max(), rtol=1e-6)
    assert found.notes[1].startswith("left out") and found.notes[1].count(labels) == 3
    assert import_cines("mnms", axes="xynt").shape == (9, 8, 24, 32)


def test_a_patient_with_a_file_for_every_slice():
    cines = hearts(3, 8, 32, 24)
    for number in range(3):
        write_nifti(f"per_slice/sax_{number}.nii.gz", cines.transpose(2, 3, 0, 1)[:, :, number : number + 1])
    found = open_cine("per_slice")
    assert found.shape == (3, 8, 32, 24) and found.groups.tolist() == [0, 0, 0]


@pytest.mark.parametrize("key", ["mrStruct.dataAy", "mrStruct/dataAy", None])
def test_a_field_of_a_matlab_structure(key):
    cines = hearts(3, 8, 32, 24).astype(np.float32)
    inner = {"dataAy": cines.transpose(2, 3, 0, 1), "vox": np.array([1.4, 1.4, 10, 0])}
    savemat("a.mat", {"mrStruct": inner, "other": {"deep": {"er": np.ones((2, 2))}}})
    found = import_cines("a.mat", key=key, axes="yxnt")
    np.testing.assert_allclose(found.tensor(), cines / cines.max((1, 2, 3), keepdims=True), rtol=1e-6)
    with pytest.raises(DataError, match="'mrStruct/vox'.*'other/deep/er'"):
        import_cines("a.mat", key="mrStruct/nothing")


@pytest.mark.parametrize("name", ["a.cfl", "a.hdr"])
def test_images_of_bart(name):
    cines = (hearts(2, 8, 32, 24) / 1000 * np.exp(0.5j)).astype(np.complex64)
    sizes = [32, 24, *[1] * 8, 8, 1, 1, 2, 1, 1]
    Path("a.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))} \n")
    cines.transpose(2, 3, 1, 0).ravel(order="F").tofile("a.cfl")
    found = open_cine(name)
    np.testing.assert_array_equal(found.tensor(), cines)
    assert found.groups.tolist() == [0, 0]
    Path("a.hdr").write_text("# Dimensions\n32 24 1 2 1 1 1 1 1 1 8 1 1 1 1 1 \n")
    with pytest.raises(DataError, match="so-called k-space"):
        open_cine(name)
    Path("a.cfl").write_bytes(Path("a.cfl").read_bytes()[:-8])
    with pytest.raises(DataError, match="as the header says"):
        open_cine(name)
    Path("a.cfl").unlink()
    with pytest.raises(DataError, match="damaged|no such file"):
        open_cine(name)


# ------------------------------------------------------------------------------------------------- DICOM


def write(path: str, pixels: np.ndarray, preamble: bool = True, **tags) -> Path:
    """Write an MR image of nobody; a tag that is None is left out."""
    image = Dataset()
    standard = {
        "SOPClassUID": pydicom.uid.MRImageStorage,
        "SOPInstanceUID": pydicom.uid.generate_uid(),
        "StudyInstanceUID": "2.25.11",
        "SeriesInstanceUID": "2.25.12",
        "SeriesNumber": 12,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "RETRO"],
        "ImagePositionPatient": [0, 0, 0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "PixelData": pixels.astype("<u2").tobytes(),
    }
    for name, value in (standard | tags).items():
        if value is not None:
            setattr(image, name, value)
    Path(path).parent.mkdir(exist_ok=True, parents=True)
    if preamble:
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        image.save_as(path, enforce_file_format=True)
    else:
        stream = DicomBytesIO()
        stream.is_little_endian = stream.is_implicit_VR = True
        write_dataset(stream, image)
        Path(path).write_bytes(stream.getvalue())
    return Path(path)


def same(source: str | Path, expected: np.ndarray) -> list[str]:
    """Check that a source holds these frames of one cine; return its notes."""
    cines = open_cine(source)
    np.testing.assert_allclose(cines.tensor()[0], expected / expected.max(), rtol=1e-6)
    return cines.notes


@pytest.mark.parametrize("series", [{}, {"SeriesNumber": 13, "SeriesInstanceUID": "2.25.13"}])
@pytest.mark.parametrize(
    "kind",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "P", "RETRO"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P"]},
        {"ImageType": ["DERIVED", "SECONDARY", "VELOCITY"]},
        {"ImageType": None, "ComplexImageComponent": "PHASE"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "I"]},
    ],
)
def test_phase_images_are_left_out_and_named(kind, series):
    """A flow scan, with its phase images in a series of their own (Siemens) or in the same (Philips, GE)."""
    cine = hearts(1, 12, 32, 24)[0]
    for t, frame in enumerate(cine):
        write(f"scan/{t}m", frame, TriggerTime=32.7 * t)
        scaling = {"RescaleSlope": 2, "RescaleIntercept": -4096}
        write(f"scan/{t}p", 4095 - frame, TriggerTime=32.7 * t, **scaling, **kind, **series)
    (note,) = [note for note in same("scan", cine) if "passed over" in note]
    assert "12 imaginary images" in note if "I" in (kind["ImageType"] or ()) else "12 phase images" in note
    for path in Path("scan").glob("*m"):
        path.unlink()
    with pytest.raises(DataError, match=r"without a DICOM image of magnitudes \(12 (phase|imaginary) images"):
        open_cine("scan")


def test_phase_images_of_ge():
    cine = hearts(1, 12, 32, 24)[0]
    for t, frame in enumerate(cine):
        write(f"scan/{t}m", frame, TriggerTime=32.7 * t, ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
        path = write(
            f"scan/{t}p", 4095 - frame, TriggerTime=32.7 * t, ImageType=["ORIGINAL", "PRIMARY", "OTHER"]
        )
        image = pydicom.dcmread(path)
        image.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)
        image.save_as(path)
    assert "passed over: 12 phase images" in same("scan", cine)


@pytest.mark.parametrize("clock", ["AcquisitionTime", "ContentTime", "InstanceNumber"])
@pytest.mark.parametrize("trigger", [None, 0])
def test_frames_without_trigger_time_are_sorted_by_the_clock(clock, trigger):
    cine = hearts(1, 12, 32, 24)[0]
    for t, name in enumerate(random.Random(0).sample(range(1000), 12)):
        when = t + 1 if clock == "InstanceNumber" else f"1459{52 + t // 2 if t < 16 else 0:02}.{5 * (t % 2)}"
        when = f"15000{t - 8}" if clock != "InstanceNumber" and t > 8 else when
        write(f"scan/{name}", cine[t], TriggerTime=trigger, **{clock: when})
    assert any(f"and {clock}" in note for note in same("scan", cine))


def test_a_trigger_time_that_is_no_number_is_an_error():
    for t, frame in enumerate(hearts(1, 4, 32, 24)[0]):
        write(f"scan/{t}", frame, TriggerTime="nan" if t == 2 else 30 * t)
    with pytest.raises(DataError, match="a time that is no number"):
        open_cine("scan")


def test_dicom_without_preamble():
    cine = hearts(1, 12, 32, 24)[0]
    for t, frame in enumerate(cine):
        write(f"scan/{t}", frame, preamble=False, TriggerTime=32.7 * t)
    same("scan", cine)
    with pytest.raises(DataError, match="single images"):
        open_cine("scan/0")
    Path("scan/notes").write_bytes(b"\x08\x00\x05\x00 is how this text begins")
    same("scan", cine)
