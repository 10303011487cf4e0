"""Several sources in one import, whose a file is, files that are none, and what one patient is good for."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data.formats.test_field_cases import hearts, write
from data.formats.writing import imported, refused, unit, write_nifti, wrong

from dmri_helpers import cli, profiles
from dmri_helpers.data import DataError, import_cines, open_cine, opening, split
from dmri_helpers.results.files import cache_folder


def nifti(name: str, slices: int = 2, seed: int = 0, y: int = 32) -> np.ndarray:
    """Write hearts that differ by the seed; return them as cines."""
    cines = hearts(slices, 8, y, 24) + np.int16(10 * seed)
    write_nifti(name, cines.transpose(2, 3, 0, 1))
    return unit(cines)


# ------------------------------------------------------------------------------------------------- sources


def test_every_source_is_a_patient(capsys):
    cines = [nifti(f"{name}.nii.gz", seed=seed) for seed, name in enumerate("abc")]
    nifti("b_gt.nii.gz", seed=7)
    write_nifti("contour.nii.gz", (hearts(2, 8, 32, 24) > 500).transpose(2, 3, 0, 1).astype(np.uint8))
    write_nifti("d.nii.gz", (hearts(2, 8, 32, 24) > 500).transpose(2, 3, 0, 1).astype(float))
    np.savez("more.npz", dataset=cines[0] / 2, groups=np.array(["x", "y"]))
    names = "a.nii.gz b.nii.gz b_gt.nii.gz contour.nii.gz d.nii.gz c.nii.gz more.npz".split()
    written = imported(*names, "out.npz")
    assert written["groups"].tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    np.testing.assert_allclose(written["dataset"][:6], np.concatenate(cines), rtol=1e-6)
    said = capsys.readouterr().out
    assert "4 sources, 5 patients: 8 cines" in said and "a.nii.gz, b.nii.gz, c.nii.gz: NIfTI array" in said
    left = "b_gt.nii.gz (labels by its name), contour.nii.gz (labels by its name), d.nii.gz (labels by its values)"
    assert f"left out: the sources {left}" in said
    assert [part.groups.tolist() for part in split(open_cine("out.npz"), (3, 1, 1))]


@pytest.mark.parametrize("full", [False, True])
def test_sources_lie_in_one_file_where_the_disk_has_room(monkeypatch, full):
    """Memory then holds one source at a time; on a full disk all stay in memory."""
    values = [np.random.default_rng(seed).random((3, 4, 20, 16), np.float32) for seed in range(3)]
    for number, array in enumerate(values):
        np.save(f"{number}.npy", array)
    if full:
        if not os.path.exists("/dev/full"):
            pytest.skip("no device that is full")
        monkeypatch.setattr(opening.tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))
    cines = import_cines("0.npy", "1.npy", "2.npy")
    np.testing.assert_array_equal(cines.array(), np.concatenate(values))
    assert isinstance(cines.array(), np.memmap) is not full
    np.testing.assert_array_equal(cines.subset([4, 1]).array(), np.concatenate(values)[[4, 1]])


def test_one_complex_source_among_others(tmp_path):
    magnitudes = np.random.default_rng(0).random((2, 4, 20, 16), np.float32)
    np.save("a.npy", magnitudes)
    np.save("b.npy", (magnitudes / 2 + 0.1j).astype(np.complex64))
    np.testing.assert_array_equal(
        import_cines("a.npy", "b.npy").array(), [*magnitudes, *(magnitudes / 2 + np.complex64(0.1j))]
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_of_an_npz_stays_on_disk_and_is_checked(order):
    array = np.asarray(np.random.default_rng(0).random((8, 20, 64, 48), np.float32), order=order)
    np.savez("big.npz", groups=np.arange(8), dataset=array)
    cines = open_cine("big.npz")
    assert isinstance(cines.array(), np.memmap)
    np.testing.assert_array_equal(cines.array(), array)
    with open("big.npz", "r+b") as file:
        file.seek(1_500_000)
        byte = file.read(1)[0]
        file.seek(1_500_000)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(DataError, match="big.npz"):
        open_cine("big.npz")


def test_sources_that_cannot_be_joined(capsys):
    nifti("a.nii.gz")
    nifti("small.nii.gz", y=30)
    nifti("copy.nii.gz")
    message = refused(capsys, "import", "a.nii.gz", "small.nii.gz", "out.npz")
    assert "small.nii.gz: found cines of 8 x 30 x 24, but of 8 x 32 x 24 in a.nii.gz" in message
    assert "dmri import --frames T --size N" in message
    assert imported("a.nii.gz", "small.nii.gz", "out.npz", "--size", 28)["dataset"].shape == (4, 8, 28, 28)
    assert "copy.nii.gz: found the same images as in a.nii.gz" in refused(
        capsys, "import", "a.nii.gz", "copy.nii.gz", "o.npz"
    )
    assert "the same source as a.nii.gz" in refused(capsys, "import", "a.nii.gz", "./a.nii.gz", "o.npz")
    coils = np.ones((3, 32, 24))
    np.savez("coils.npz", dataset=unit(hearts(1, 8, 32, 24)) / 2, coils=coils)
    assert "coils.npz: found other coils than in a.nii.gz" in refused(
        capsys, "import", "a.nii.gz", "coils.npz", "o.npz"
    )
    np.savez("again.npz", dataset=unit(hearts(2, 8, 32, 24)) / 3, coils=coils)
    assert imported("coils.npz", "again.npz", "out.npz", "--force")["coils"].shape == (3, 3, 32, 24)


@pytest.mark.parametrize("paths", [["a.nii.gz"], ["a.nii.gz", "b.nii.gz"], []])
def test_data_are_never_taken_for_the_output(paths, capsys):
    for seed, path in enumerate(paths):
        nifti(path, seed=seed)
    assert "the file to write last" in refused(capsys, "import", *paths, "--force")


def test_one_patient_says_what_is_possible(capsys):
    nifti("a.nii.gz")
    imported("a.nii.gz", "out.npz")
    assert "1 patient: enough for dmri evaluate" in capsys.readouterr().out
    assert cli.main("train --out run --profile tiny --data a.nii.gz".split()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "found 1 patient: enough for dmri evaluate" in last and "takes several sources" in last
    assert not Path("run").exists()


# ------------------------------------------------------------------------------------------------- whose a file is


@pytest.mark.parametrize(
    "names, groups",
    [
        ("P1/sax.nii.gz P1/lax.nii.gz P2/sax.nii.gz P2/lax.nii.gz", [0, 0, 1, 1]),  # UK Biobank
        ("A1/A1_sa.nii.gz A1/A1_la.nii.gz B2/B2_sa.nii.gz B2/B2_la.nii.gz", [0, 0, 1, 1]),  # M&Ms
        ("training/A1_sa.nii.gz training/B2_sa.nii.gz testing/C3_sa.nii.gz", [0, 1, 2]),
        ("P001_slice1.nii P001_slice2.nii P002_slice1.nii", [0, 0, 1]),
        ("sub-1/ses-1/sub-1_ses-1_cine.nii sub-1/ses-2/sub-1_ses-2_cine.nii sub-2/sub-2_cine.nii", [0, 0, 1]),
        ("2ch_1.nii 2ch_2.nii 4ch_1.nii", [0, 0, 0]),
        ("sax_1.nii sax_2.nii lax_1.nii", [0, 0, 0]),
    ],
)
def test_whose_a_nifti_file_is(names, groups):
    slices = 2 if "training" in names else 1
    files = dict(zip(names.split(), groups, strict=True))
    for seed, name in enumerate(files):
        nifti(f"set/{name}", slices=slices, seed=seed)
    found = open_cine("set").groups[::slices]
    expected = np.array([files[name] for name in sorted(files)])
    np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)


def test_nifti_of_three_dimensions():
    cines = hearts(3, 8, 32, 24)
    for number in range(3):
        write_nifti(f"slices/sl{number}.nii.gz", cines[number].transpose(1, 2, 0))
    assert "sl0.nii.gz (32 x 24 x 8)" in wrong("slices")
    found = import_cines("slices", axes="yxt")
    np.testing.assert_allclose(found.tensor(), unit(cines), rtol=1e-6)
    assert found.groups.tolist() == [0, 0, 0]
    assert import_cines("slices/sl0.nii.gz", axes="yxt").shape == (1, 8, 32, 24)


@pytest.mark.parametrize("order", ["ntyx", "tyxn", "yxtn"])
def test_nifti_whose_axes_are_in_another_order(order):
    array = hearts(*(3, 12) if order == "yxtn" else (12, 8), 32, 24)
    write_nifti("a.nii", array.transpose(["ntyx".index(axis) for axis in order]))
    with pytest.raises(DataError, match="frame") as caught:
        open_cine("a.nii")
    assert caught.value.remedy == "axes"
    np.testing.assert_allclose(import_cines("a.nii", axes=order).tensor(), unit(array), rtol=1e-6)


def test_phase_images_are_known_by_name_or_values():
    phase = np.random.default_rng(0).integers(-4096, 4095, (32, 24, 2, 8)).astype(np.int16)
    write_nifti("scan_ph.nii.gz", phase // 2)
    write_nifti("scan.nii.gz", phase)
    write_nifti("angle.nii.gz", (phase / 4096 * np.pi).astype(np.float32))
    with pytest.raises(DataError, match="phase, real or imaginary images by its name"):
        open_cine("scan_ph.nii.gz")
    for name in ("scan.nii.gz", "angle.nii.gz"):
        with pytest.raises(DataError, match="as phase images have"):
            open_cine(name)


# ------------------------------------------------------------------------------------------------- DICOM


def series(folder: str, cine: np.ndarray, **tags) -> None:
    for t, frame in enumerate(cine):
        write(f"{folder}/{t}", frame, **{"TriggerTime": 32.7 * t, "InstanceNumber": t + 1} | tags)


@pytest.mark.parametrize(
    "constant, said",
    [
        ("patient", "one PatientID in 3 studies"),
        ("study", "3 patients"),
        ("everything", "every folder taken for a patient, the folders 0, 1, 2"),
        ("everything but the times", "every folder taken for a patient"),
    ],
)
def test_constant_identifiers_of_anonymisers(constant, said):
    cines = hearts(3, 8, 32, 24)
    for i, cine in enumerate(cines):
        tags = {"SOPInstanceUID": "1.2", "PatientID": "ANON"}
        if constant == "patient":
            tags |= {"StudyInstanceUID": f"1.{i}", "SeriesInstanceUID": f"1.{i}.1"}
        elif constant == "study":
            tags |= {"PatientID": f"p{i}"}
        if constant.endswith("times"):
            for t, frame in enumerate(cine):
                write(f"scan/{i}/{t}", frame, TriggerTime=32.7 * t + 5 * i, InstanceNumber=t + 1, **tags)
        else:
            series(f"scan/{i}", cine, **tags)
    found = open_cine("scan")
    assert found.groups.tolist() == [0, 1, 2] and any(said in note for note in found.notes)
    np.testing.assert_allclose(found.tensor(), unit(cines), rtol=1e-6)


def test_slices_in_folders_of_their_own_are_one_patient():
    for i, cine in enumerate(hearts(3, 8, 32, 24)):
        series(f"scan/{i}", cine, ImagePositionPatient=[0, 0, 8 * i])
    assert open_cine("scan").groups.tolist() == [0, 0, 0]


def test_derived_and_single_images_beside_films(capsys):
    first, second, other = hearts(3, 8, 32, 24)
    series("scan/a", first)
    derived = {"ImageType": ["DERIVED", "SECONDARY", "M"], "SeriesInstanceUID": "2.25.30", "SeriesNumber": 30}
    series("scan/b", second, **derived)
    for i in range(3):
        tags = {"SeriesInstanceUID": "2.25.1", "SeriesNumber": 1, "ImagePositionPatient": [0, 0, 9 * i]}
        write(f"scan/l{i}", other[0], **tags)
    found = open_cine("scan")
    assert found.notes[0] == "passed over: 8 derived images (series 30), 3 single images"
    np.testing.assert_allclose(found.tensor()[0], first / first.max(), rtol=1e-6)
    chosen = open_cine("scan", series=(30,))
    np.testing.assert_allclose(chosen.tensor()[0], second / second.max(), rtol=1e-6)
    assert any("derived images" in note for note in chosen.notes)
    command = "evaluate --method zero_filled --acceleration 4 --center-lines 4 --data scan --series"
    assert cli.main([*command.split(), "30"]) == 0
    assert "derived images" in capsys.readouterr().err
    assert cli.main([*command.split(), "31"]) == 2
    said = capsys.readouterr().err
    assert "30 '' (1 slice of 8 x 32 x 24, derived)" in said and "expected the series 31" in said


def test_series_without_numbers_are_numbered():
    for i, frames in enumerate((8, 6)):
        tags = {"SeriesNumber": None, "SeriesInstanceUID": f"1.2.{i}", "SeriesDescription": f"view {i}"}
        series(f"scan/{i}", hearts(1, frames, 32, 24)[0], **tags)
    assert "1 'view 0' (1 slice of 8 x 32 x 24), 2 'view 1' (1 slice of 6 x 32 x 24)" in wrong("scan")
    assert open_cine("scan", series=(2,)).shape == (1, 6, 32, 24)


def test_a_series_past_midnight():
    cine = hearts(1, 8, 32, 24)[0]
    for t, frame in enumerate(cine):
        write(f"scan/{t}", frame, AcquisitionTime=f"23595{t + 6}" if t < 4 else f"00000{t - 4}")
    np.testing.assert_allclose(open_cine("scan").tensor()[0], cine / cine.max(), rtol=1e-6)


# ------------------------------------------------------------------------------------------------- plausibility


def test_what_is_odd_about_images_is_said():
    images = hearts(3, 8, 32, 24).astype(np.float32) / 1000
    cases = {
        "labels": np.concatenate([images[:1], (images[1:] > 0.5).astype(np.float32)]),
        "still": np.repeat(images[:, :1], 8, 1),
        "hot": np.concatenate(
            [images[:2], images[2:] + 100.0 * (np.arange(6144).reshape(1, 8, 32, 24) == 77)]
        ),
        "faint": images * 1e-5,
    }
    says = {
        "labels": "only 2 different values in cine 1",
        "still": "nothing moves in cine 0",
        "hot": "a few values of cine 2 outshine all others",
        "faint": "every cine divided by its own",
    }
    for name, array in cases.items():
        np.save("a.npy", array.astype(np.float32))
        found = open_cine("a.npy")
        assert any(says[name] in note for note in found.notes), (name, found.notes)
        assert max(cine.abs().max() for cine in found) == pytest.approx(1, abs=0.1)
    np.save("a.npy", images)
    assert not open_cine("a.npy").notes


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_colours_are_no_cine(suffix):
    array = np.stack([hearts(1, 8, 32, 24)[0]] * 3, -1)
    np.save("a.npy", array) if suffix == "npy" else np.savez("a.npz", dataset=array)
    assert "a last axis of 3, as colours have" in wrong(f"a.{suffix}")


# ------------------------------------------------------------------------------------------------- files that are none


def test_files_are_named_for_what_they_are(folder):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    for name in ("a.npz", "b.nii.gz", "scan/0.dcm", "set/c.nii.gz"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(pointer)
    for name in ("a.npz", "b.nii.gz", "scan", "set"):
        assert "a pointer of Git LFS" in wrong(name)
    with zipfile.ZipFile("scans.zip", "w") as archive:
        archive.writestr("scan/1.dcm", b"1")
        archive.writestr("scan/2.dcm", b"2")
    assert "a zip of 2 files (the first '1.dcm'); expected its files, unpacked" in wrong("scans.zip")
    Path("page.nii").write_text("<!DOCTYPE html><title>Sign in</title>")
    assert "a web page" in wrong("page.nii")
    os.symlink("nowhere/a.npy", "dangling.npy")
    assert "a link to nowhere/a.npy, where nothing is" in wrong("dangling.npy")
    os.mkfifo("pipe")
    assert "pipe: found a FIFO" in wrong("pipe")


def test_links_within_a_folder_are_followed_but_not_in_circles():
    series("set/store/1", hearts(1, 8, 32, 24)[0])
    os.symlink(".", "set/store/round")
    assert open_cine("set").shape == (1, 8, 32, 24)
    os.symlink("gone", "set/P2")
    assert "set/P2: found a link to gone" in wrong("set")


def test_the_home_folder_may_be_written_as_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    np.save("a.npy", hearts(1, 8, 32, 24))
    assert open_cine("~/a.npy").shape == import_cines("~/a.npy").shape == (1, 8, 32, 24)
    assert cli.main(["import", "~/a.npy", "--force", "~/out.npz"]) == 0 and Path("out.npz").exists()
    assert cli.main("phantom --n 1 --frames 2 --size 32 32 --out=~/p.npz".split()) == 0
    assert Path("p.npz").exists() and not Path("~").exists()
    monkeypatch.setenv("DMRI_DATA", "~/a.npy")
    monkeypatch.setenv("DMRI_CACHE", "~/cache")
    assert Path(profiles.data_source()) == folder / "a.npy" and cache_folder() == folder / "cache"
