"""Raw data come in as raw data: one set in five formats, full and undersampled, and what is no k-space."""

import json
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import torch
from data.formats.test_field_cases import hearts
from data.formats.test_field_cases import kspace as transformed
from data.formats.test_ismrmrd import xml_of
from data.formats.writing import imported, refused

from dmri_helpers import cli
from dmri_helpers.data import DataError, Measured, UndersampledCines, open_cine, open_data
from dmri_helpers.data.phantom.coils import coil_maps
from dmri_helpers.sampling import ky_t_mask

SLICES, COILS, T, Y, X = 2, 4, 6, 48, 40
FORMATS = ["cmrxrecon.mat", "fastmri.h5", "ismrmrd.h5", "bart.cfl", "course.npz"]


@pytest.fixture(scope="module")
def measured() -> np.ndarray:
    """K-space ``(n, c, t, y, x)`` of two slices that four coils see, with a phase and noise, in a scanner's units."""
    images = hearts(SLICES, T, Y, X) * np.exp(1j * np.linspace(0, 1, X)) / 1000
    seen = images[:, None] * coil_maps(COILS, (Y, X))[0].numpy()
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(2, *seen.shape)) * 0.02
    return ((transformed(seen) + noise[0] + 1j * noise[1]) * 3e-4).astype(np.complex64)


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    masks = [ky_t_mask((1, T, Y, X), 3, 9, seed=seed)[0, ..., 0].numpy() for seed in range(SLICES)]
    return np.stack(masks)


def write(name: str, kspace: np.ndarray, key: str = "kspace_full") -> Path:
    """In the order of axes that each format has."""
    n, c, t, y, x = kspace.shape
    if name.endswith(".mat"):
        pairs = np.empty((t, n, c, y, x), [("real", "<f4"), ("imag", "<f4")])
        pairs["real"], pairs["imag"] = (part.transpose(2, 0, 1, 3, 4) for part in (kspace.real, kspace.imag))
        with h5py.File(name, "w", userblock_size=512) as file:
            file[key] = pairs
        with open(name, "r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    elif name == "fastmri.h5":
        with h5py.File(name, "w") as file:
            file["kspace"] = kspace
            file["reconstruction_rss"] = np.abs(kspace).sum(1)[0]
    elif name.endswith(".cfl"):
        Path(name).with_suffix(".hdr").write_text(
            f"# Dimensions\n{x} {y} 1 {c} 1 1 1 1 1 1 {t} 1 1 {n} 1 1\n"
        )
        kspace.transpose(4, 3, 1, 2, 0).ravel(order="F").tofile(name)
    elif name.endswith(".npz"):
        np.savez(name, kspace=kspace, mask=kspace.any((1, 4)))
    else:
        with ismrmrd.Dataset(name, mode="w") as dataset:
            dataset.write_xml_header(xml_of(Y, X))
            for s, frame, line in np.argwhere(kspace.any((1, 4))):
                acquisition = ismrmrd.Acquisition.from_array(
                    np.ascontiguousarray(kspace[s, :, frame, line]), center_sample=X // 2
                )
                acquisition.idx.slice, acquisition.idx.phase, acquisition.idx.kspace_encode_step_1 = (
                    s,
                    frame,
                    line,
                )
                dataset.append_acquisition(acquisition)
    return Path(name)


def scores(name: str, *options: str) -> list[dict]:
    command = [
        "evaluate",
        "--data",
        name,
        "--method",
        "view_sharing",
        "--acceleration",
        "3",
        "--center-lines",
        "9",
    ]
    assert cli.main([*command, "--json", "out.json", "--force", *options]) == 0
    return json.loads(Path("out.json").read_text())["cines"]


def test_one_set_gives_the_same_numbers_in_every_format(measured, capsys):
    found = {name: scores(str(write(name, measured))) for name in FORMATS}
    capsys.readouterr()
    for name in FORMATS:
        assert [row["psnr"] for row in found[name]] == pytest.approx(
            [row["psnr"] for row in found[FORMATS[0]]], abs=2e-3
        )
        assert found[name][0]["psnr"] > 20
        assert cli.main(["info", name, "--png", f"{name}.png"]) == 0
        said = capsys.readouterr().out
        assert "n 2, c 4, t 6, y 48, x 40" in said and "coils: 4" in said, said
        assert Path(f"{name}.png").stat().st_size > 5000


def test_what_is_evaluated_is_the_kspace_that_was_measured(measured, lines):
    """Its noise included, which images combined from the coils have less of."""
    cines = open_cine(write("course.npz", measured))
    mask = torch.from_numpy(lines[:1, ..., None])
    samples = UndersampledCines(cines, mask=mask)
    kspace, A, target = samples[1]
    expected = torch.from_numpy(measured[1]) * mask[:, None][0]
    scale = (expected.abs().max() / kspace.abs().max()).item()
    torch.testing.assert_close(kspace[0] * scale, expected, rtol=1e-4, atol=1e-9)
    assert A.noise.shape == (1,) and target.abs().max() == pytest.approx(1)
    part = UndersampledCines(cines.subset([1]), mask=mask)
    torch.testing.assert_close(part[0][0], kspace)
    kspace, A, target = UndersampledCines(cines, 3, 9, training=True, crop=8)[0]
    torch.testing.assert_close(kspace, A(target))


@pytest.mark.parametrize("name", FORMATS)
def test_undersampled_data_are_reconstructed_with_the_lines_that_they_have(measured, lines, name, capsys):
    write(name, measured * lines[:, None, ..., None], key="kspace_sub03")
    found = open_data(name)
    assert isinstance(found, Measured) and (found.sampled == lines).all()
    message = refused(capsys, "evaluate", "--data", name, "--method", "kt_tv")
    assert (
        f"undersampled k-space ({lines.sum()} of {lines.size} lines)" in message
        and "dmri reconstruct" in message
    )
    out = ["--out", "images.npz", "--complex", "--maps", "--nifti", "images.nii.gz", "--force"]
    assert cli.main(["reconstruct", "--data", name, "--method", "kt_tv", *out]) == 0
    with np.load("images.npz") as written:
        images, maps = written["dataset"], written["coils"]
        assert (written["mask"][..., 0] == lines).all() and maps.shape == (SLICES, COILS, Y, X)
    truth = hearts(SLICES, T, Y, X) / 1000
    inside = truth > 0.5
    for image, true, where in zip(np.abs(images), truth, inside, strict=True):
        assert np.corrcoef(image[where | (true < 0.5)], true[where | (true < 0.5)])[0, 1] > 0.9
    assert open_cine("images.nii.gz").shape == (SLICES, T, Y, X)
    written = imported(name, "out.npz")
    assert written["kspace"].shape == measured.shape and (written["mask"] == lines).all()
    assert isinstance(open_data("out.npz"), Measured)


def test_a_mask_beside_the_data_is_taken_and_checked(measured, lines):
    one = np.broadcast_to(lines[:1], lines.shape)
    write("cine_sax.mat", measured * one[:, None, ..., None], key="kspace_sub03")
    with h5py.File("cine_sax_mask.mat", "w") as file:
        file["mask03"] = np.repeat(lines[0][..., None], X, -1).astype(float)
    found = open_data("cine_sax.mat")
    assert (found.sampled == one).all() and "the mask is that of cine_sax_mask.mat" in found.notes
    with h5py.File("cine_sax_mask.mat", "w") as file:
        file["mask03"] = np.zeros((T, Y, X))
    with pytest.raises(DataError, match="lines of k-space that the mask says were not sampled"):
        open_data("cine_sax.mat")


def test_one_coil_is_an_image_with_a_phase(measured):
    with h5py.File("one.h5", "w") as file:
        file["kspace"] = measured[0, 0]
    cines = open_cine("one.h5")
    assert cines.shape == (1, T, Y, X) and cines[0].is_complex() and cines.coils is None
    zero_frequency = np.fft.ifftshift(measured, (-2, -1))
    np.savez("shifted.npz", kspace=zero_frequency[:, :1])
    torch.testing.assert_close(open_cine("shifted.npz")[0], cines[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda k: k[0], "k-space 'kspace' of 4 axes"),
        (lambda k: k[:, :, :1], "of a single frame"),
        (lambda k: k * np.nan, "NaN or infinite"),
        (lambda k: k * 0, "zero everywhere"),
        (lambda k: np.fft.ifft2(k), "of its energy in the middle"),
        (lambda k: k * (np.arange(T) > 0)[:, None, None], "frames without a line"),
        (lambda k: k * (np.random.default_rng(0).random(X) < 0.5), "whole columns are missing"),
    ],
)
def test_what_is_no_kspace_of_a_cine_is_refused(measured, change, said, capsys):
    np.savez("a.npz", kspace=change(measured))
    assert said in refused(capsys, "info", "a.npz")


def test_axes_of_kspace_can_be_named(measured):
    np.save("a.npy", measured[0].transpose(1, 0, 3, 2))
    assert cli.main(["import", "a.npy", "out.npz", "--axes", "tcxy"]) == 0
    assert open_cine("out.npz").shape == (1, T, Y, X)
