"""The fingerprint: every row against its formula written out, the real numbers, the command, the committed proof."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from builders import moving_blob
from skimage.metrics import structural_similarity

from dmri_helpers import cli
from dmri_helpers.course.notebooks import ROOT
from dmri_helpers.data import Cines, open_cine
from dmri_helpers.data.phantom import phantom
from dmri_helpers.studies.fingerprint import (
    PUBLISHED,
    REAL_SHAPE,
    ROWS,
    _seed_mask,
    compare,
    fingerprint,
    real,
)
from dmri_helpers.studies.fingerprint import (
    figure as draw_fingerprint,
)

SHAPE = (10, 184, 190)  # not square, not even in the same way, large enough for every row


@pytest.fixture(scope="module")
def cine() -> np.ndarray:
    return moving_blob(SHAPE)


@pytest.fixture(scope="module")
def measured(cine) -> dict[str, float]:
    return {name: values[0] for name, values in fingerprint(cine[None]).items()}


def k_space(images: np.ndarray) -> np.ndarray:
    images = np.fft.ifftshift(images.astype(float), axes=(1, 2))
    return np.fft.fftshift(np.fft.fft2(images, norm="ortho"), axes=(1, 2))


def magnitude(kspace: np.ndarray) -> np.ndarray:
    images = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2)), norm="ortho")
    return np.abs(np.fft.fftshift(images, axes=(1, 2)))


def slope(images: np.ndarray, low: int, high: int) -> float:
    power = (np.abs(k_space(images)) ** 2).mean(0)
    rings = {radius: [] for radius in range(low, high + 1)}
    for (y, x), value in np.ndenumerate(power):
        radius = round(((y - power.shape[0] // 2) ** 2 + (x - power.shape[1] // 2) ** 2) ** 0.5)
        if radius in rings:
            rings[radius].append(value)
    means = [np.mean(values) for values in rings.values()]
    return np.polyfit(np.log(list(rings)), np.log(means), 1)[0]


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    return 10 * np.log10(1 / np.mean((image - reference) ** 2))


def test_intensity(cine, measured):
    ordered = np.sort(cine.astype(float).ravel())
    for share in (5, 25, 50, 75, 95):
        below = ordered[int(share / 100 * (ordered.size - 1))]
        assert measured[f"intensity_q{share:02}"] == pytest.approx(below, abs=1e-5)
    assert measured["intensity_mean"] == pytest.approx(ordered.sum() / ordered.size)


def test_spectra(cine, measured):
    still = cine.astype(float).mean(0)
    for low, high in ((2, 10), (10, 40), (40, 90)):
        assert measured[f"slope_{low}_{high}"] == pytest.approx(slope(cine, low, high), abs=2e-4)
    for low, high in ((2, 10), (10, 40)):
        expected = slope(cine - still, low, high)
        assert measured[f"motion_slope_{low}_{high}"] == pytest.approx(expected, abs=2e-4)


def test_motion(cine, measured):
    m = cine.astype(float)
    t, y, x = m.shape
    moving = m - m.mean(0)
    sd = np.sqrt((moving**2).sum(0) / t)
    assert measured["dynamic_energy"] == pytest.approx((moving**2).sum() / (m**2).sum(), rel=1e-5)
    assert measured["moving_above_05"] == pytest.approx((sd > 0.05).mean())
    assert 0 < measured["moving_above_10"] == pytest.approx((sd > 0.1).mean())

    angle = 2 * np.pi * np.arange(t) / t
    total = (moving**2).sum()
    for h in range(1, 6):  # of 10 frames the fifth is the highest and has no partner
        cosine, sine = (np.tensordot(wave(h * angle), moving, 1) for wave in (np.cos, np.sin))
        share = (2 if h < 5 else 1) * (cosine**2 + sine**2).sum() / t / total
        assert measured[f"harmonic_{h}"] == pytest.approx(share, abs=1e-6)
    assert sum(measured[f"harmonic_{h}"] for h in range(1, 6)) == pytest.approx(1)

    neighbours = np.mean([np.mean((m[i + 1] - m[i]) ** 2) for i in range(t - 1)])
    assert measured["difference_neighbours"] == pytest.approx(neighbours, rel=1e-5)
    assert measured["difference_last_first"] == pytest.approx(np.mean((m[9] - m[0]) ** 2), rel=1e-5)
    assert measured["difference_first_ninth"] == pytest.approx(np.mean((m[8] - m[0]) ** 2), rel=1e-5)

    weight = sd**2 / (sd**2).sum()
    places = np.stack(np.meshgrid(np.arange(y) / y, np.arange(x) / x, indexing="ij"))
    centroid = (weight * places).sum((1, 2), keepdims=True)
    assert centroid.ravel() == pytest.approx([0.4, 0.6], abs=0.02)
    expected = np.sqrt((weight * ((places - centroid) ** 2).sum(0)).sum())
    assert measured["motion_radius"] == pytest.approx(expected, rel=1e-5)


def test_reconstructions(cine, measured):
    t, lines = cine.shape[:2]
    full, mask = k_space(cine), _seed_mask(t, lines)[0, :, :, 0].numpy()
    mean, shared = np.zeros_like(full), np.zeros_like(full)
    for frame in range(t):
        for line in range(lines):
            sampled = [s for s in range(t) if mask[s, line]]
            if mask[frame, line]:
                sampled = [frame]
            if sampled:
                back = {s: (frame - s) % t for s in sampled}
                nearest = min(sampled, key=lambda s: (min(back[s], t - back[s]), back[s] > t / 2))
                mean[frame, line] = full[sampled, line].mean(0)
                shared[frame, line] = full[nearest, line]
    zero = magnitude(full * mask[..., None])
    options = dict(data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, win_size=9)
    assert measured["zero_filled_psnr"] == pytest.approx(psnr(zero, cine), abs=1e-3)
    assert measured["zero_filled_ssim"] == pytest.approx(
        structural_similarity(zero, cine.astype(float), **options), abs=1e-3
    )
    assert measured["temporal_mean_psnr"] == pytest.approx(psnr(magnitude(mean), cine), abs=1e-3)
    assert measured["view_sharing_psnr"] == pytest.approx(psnr(magnitude(shared), cine), abs=1e-3)


# fmt: off
FIRST_FRAME = [  # of numpy.random.RandomState(42): 27 lines by density around the 11 of the centre
    31, 39, 44, 59, 60, 61, 65, 67, 68, 76, 77, 82, 86, 88, *range(91, 102),
    103, 104, 108, 109, 110, 111, 116, 118, 124, 129, 134, 150, 157,
]
# fmt: on


def test_the_mask_is_that_of_the_seed_report():
    mask = _seed_mask(20, 192)
    assert mask.shape == (1, 20, 192, 1) and mask.dtype == torch.bool
    assert (mask.sum(2) == 38).all() and mask[:, :, 91:102].all()
    first = mask[0, 0, :, 0].nonzero().ravel().tolist()
    assert first == FIRST_FRAME


def test_any_container_and_any_phase(cine, measured):
    pair = np.stack([cine, moving_blob(SHAPE, seed=1)])
    turned = (pair * np.exp(1j * np.linspace(0, 3, pair.size).reshape(pair.shape))).astype(np.complex64)
    plain = fingerprint(pair)
    assert list(plain) == list(ROWS) and all(values.shape == (2,) for values in plain.values())
    assert {name: values[0] for name, values in plain.items()} == measured
    assert plain["intensity_mean"][0] != plain["intensity_mean"][1]
    for cines in (Cines(pair, "pair"), torch.from_numpy(pair), Cines(turned, "turned")):
        for name, values in fingerprint(cines).items():
            np.testing.assert_allclose(values, plain[name], rtol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    "shape, missing",
    [
        ((1, 8, 96, 64), "first_ninth|harmonic_5|slope_10|slope_40"),
        ((1, 9, 54, 200), "harmonic_5|slope_10|slope_40|zero_filled|temporal_mean|view_sharing"),
        ((1, 1, 192, 192), "difference|harmonic|motion"),
        ((1, 20, 192, 192), "nothing"),
    ],
)
def test_what_a_cine_is_too_small_for_is_left_open(shape, missing):
    rows = fingerprint(np.random.default_rng(0).random(shape))
    assert {name for name in rows if np.isnan(rows[name]).any()} == {
        name for name in rows if re.search(missing, name)
    }


def test_a_heart_that_stands_still_has_no_motion_to_describe():
    rows = fingerprint(np.tile(moving_blob(SHAPE)[:1], (1, 7, 1, 1)))
    assert rows["dynamic_energy"][0] < 1e-10 and rows["moving_above_05"][0] == 0
    lost = {name for name in rows if np.isnan(rows[name]).any()} - {"difference_first_ninth"}
    assert lost == {name for name in rows if re.match("harmonic|motion", name)}


@pytest.mark.parametrize("shape", [(5, 64, 64), (0, 5, 64, 64), (1, 5, 64, 0)])
def test_refuses_what_is_no_cines(shape):
    with pytest.raises(ValueError, match=re.escape(f"found {shape}")):
        fingerprint(np.zeros(shape))


def test_the_real_reference():
    reference = real()
    assert reference.keys() == ROWS.keys() and PUBLISHED.keys() < ROWS.keys()
    for name, row in reference.items():
        assert row["values"].shape == (32,) and np.isfinite(row["values"]).all() and row["std"] > 0
        mean, std = PUBLISHED.get(name, (row["values"].mean(), None))
        assert row["mean"] == mean and row["std"] == (std or row["values"].std())
    rows = {name: row["values"] for name, row in reference.items()}
    assert max(abs(row["z"]) for row in compare(rows).values()) < 0.3  # 32 of the 44
    own = {name: {"mean": values.mean(), "std": values.std()} for name, values in rows.items()}
    for name, row in compare(rows, own).items():
        assert row == {"mean": pytest.approx(rows[name].mean()), "std": rows[name].std(), "z": 0}


def test_a_difference_is_counted_in_real_standard_deviations():
    reference = real()
    rows = {name: row["mean"] + np.array([-1, 1, np.nan]) for name, row in reference.items()}
    rows["dynamic_energy"] = rows["dynamic_energy"] + 1.5 * reference["dynamic_energy"]["std"]
    rows["harmonic_5"] = np.full(3, np.nan)
    compared = compare(rows)
    assert compared.pop("dynamic_energy")["z"] == pytest.approx(1.5)
    assert all(np.isnan(value) for value in compared.pop("harmonic_5").values())
    assert all(abs(row["z"]) < 1e-9 and row["std"] == pytest.approx(1) for row in compared.values())


def test_measured_rows_are_those_of_the_cines(cine_dev):
    rows, values = fingerprint(open_cine(cine_dev, n=2)), real()
    for name, found in rows.items():
        np.testing.assert_allclose(found, values[name]["values"][:2], rtol=2e-3, atol=1e-5, err_msg=name)


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("blobs.npy", np.stack([moving_blob((9, 96, 64), seed) for seed in range(3)]))
    command = "fingerprint blobs.npy --limit 2 --json new/out.json --png new/out.png".split()
    assert cli.main(command) == 0
    printed, notes = capsys.readouterr()
    assert "note: 9 x 96 x 64, the real cines 20 x 192 x 192" in notes
    result = json.loads(Path("new/out.json").read_text(), parse_constant=pytest.fail)
    assert result["data"] == "blobs.npy" and result["n_cines"] == 2 and result["shape"] == [9, 96, 64]
    assert {"machine", "versions", "date", "notes"} <= result.keys() and "phantom_version" not in result
    assert plt.imread("new/out.png").shape[1] > 1000 and len(list(Path("new").iterdir())) == 2

    rows = fingerprint(open_cine("blobs.npy", n=2))
    known = {name: row["z"] for name, row in compare(rows).items() if np.isfinite(row["z"])}
    assert result["rows"].keys() == rows.keys()
    for name, label in ROWS.items():
        values = [np.nan if value is None else value for value in result["rows"][name]["values"]]
        np.testing.assert_allclose(values, rows[name], rtol=1e-4)
        assert result["rows"][name]["z"] == (pytest.approx(known[name], rel=1e-4) if name in known else None)
        (line,) = [line for line in printed.splitlines() if line.startswith(f"{label} ")]
        assert ("more than one sd away" in line) == (abs(known.get(name, 0)) > 1)
        assert f"{known.get(name, np.nan):+.2f}" in line
    within = sum(abs(z) <= 1 for z in known.values())
    assert 0 < within < len(known) < len(ROWS)
    assert f"{within} of {len(known)} rows within one standard deviation" in printed

    for name in ("new/out.json", "new/out.png"):
        before = Path(name).read_bytes()
        assert cli.main(["fingerprint", "blobs.npy", f"--{name[-4:].strip('.')}", name]) == 2
        assert "--force" in capsys.readouterr().err and Path(name).read_bytes() == before
    assert cli.main([*command, "--force"]) == 0
    assert cli.main(["fingerprint", "nowhere.npy"]) == 2
    assert "nowhere.npy: found no such file" in capsys.readouterr().err


def test_command_on_phantoms(tmp_path, monkeypatch):
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert cli.main("fingerprint phantom --limit 1 --phantom-seed 5 --json out.json".split()) == 0
    result = json.loads(Path("out.json").read_text())
    assert result["phantom_seed"] == 5 and result["phantom_version"] == phantom.VERSION
    expected = open_cine(n=1, seed=5).tensor().mean().item()
    assert result["rows"]["intensity_mean"]["values"] == [pytest.approx(expected, rel=1e-4)]


def test_figure_of_the_real_rows():
    reference = real()
    drawn = draw_fingerprint({name: row["values"] for name, row in reference.items()}, reference)
    labels = [label.get_text() for ax in drawn.axes for label in ax.get_yticklabels()]
    assert labels == list(ROWS.values())


def test_64_phantoms_are_within_one_standard_deviation_of_every_real_mean(tmp_path, monkeypatch):
    monkeypatch.setenv("DMRI_CACHE", str(tmp_path))
    folder = ROOT / "figures" / "fingerprint"
    proof = json.loads((folder / "phantom.json").read_text(encoding="utf-8"))
    assert proof["data"] == "phantom" and proof["n_cines"] == 64 and proof["shape"] == list(REAL_SHAPE)
    assert proof["phantom_version"] == phantom.VERSION, "run the command in figures/fingerprint/README.md"
    rows = {name: np.array(row["values"]) for name, row in proof["rows"].items()}
    assert rows.keys() == ROWS.keys() and all(np.isfinite(values).all() for values in rows.values())
    assert {name: row["z"] for name, row in compare(rows).items() if abs(row["z"]) > 1} == {}
    assert (folder / "phantom.png").exists()
    again = fingerprint(open_cine(n=1, seed=proof["phantom_seed"]))
    for name, values in again.items():
        assert values[0] == pytest.approx(rows[name][0], rel=0.02, abs=1e-3), name
