"""NIfTI files, damaged ones among them, and ACDC's folder of patients."""

import gzip
import random
import shutil
from importlib import import_module
from pathlib import Path

import nibabel
import numpy as np
import pytest
from data.formats.writing import SAMPLES, cine, imported, refused, sample, unit, write_nifti, wrong

from dmri_helpers.data import open_cine, split
from dmri_helpers.data.formats import reading


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
