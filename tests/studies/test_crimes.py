"""Data crimes: what each of them does to the data, and the arithmetic of the rows."""

import numpy as np
import pytest
import torch
from scipy import stats

from dmri_helpers import classical, metrics
from dmri_helpers.data import phantom_arrays
from dmri_helpers.fourier import fft2c
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.studies.crimes import CRIMES, METHODS, _committed, crimes, table, zero_padded

OPTIONS = dict(acceleration=4, center_lines=5)


@pytest.fixture(scope="module")
def cines():
    cines = phantom_arrays(3, (6, 48, 40), seed=3, complex_valued=True)["dataset"]
    return torch.from_numpy(cines) * torch.linspace(1, 0.7, 6)[:, None, None]


@pytest.fixture(scope="module")
def rows(cines):
    return crimes(cines, **OPTIONS)


def test_a_row_per_crime_and_method(rows):
    assert [(row["crime"], row["method"]) for row in rows] == [(c, m) for c in CRIMES for m in METHODS]
    for row in rows:
        assert row["n"] == len(row["changes"]) == 3
        assert row["change"] == pytest.approx(row["psnr"] - row["control"], abs=1e-9)
        interval = stats.ttest_1samp(row["changes"], 0).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


def test_control_is_the_plain_experiment(rows, cines):
    psnr = []
    for number, cine in enumerate(cines):
        cine = cine[None] / cine.abs().max()
        mask = ky_t_mask(cine.shape, 4, 5, seed=int(np.random.SeedSequence([0, number]).generate_state(1)[0]))
        recon = classical.view_sharing(fft2c(cine) * mask, ForwardModel(mask))
        psnr.append(metrics.cine_metrics(recon[0], cine[0])["psnr_volume"])
    controls = {row["control"] for row in rows if row["method"] == "view_sharing"}
    assert len(controls) == 1 and controls.pop() == pytest.approx(np.mean(psnr), abs=1e-3)


def test_each_crime_changes_one_thing(cines):
    cine = cines[:1] / cines[:1].abs().max()
    pairs = _committed(cine, noise=0.05, seed=0)
    assert set(pairs) == {"control", *CRIMES}
    data, reference = pairs["magnitude"]
    torch.testing.assert_close(data.real, cine.abs())
    assert not data.imag.any() and reference is cine
    data, reference = pairs["noisy_data"]
    assert reference is cine and data is pairs["noisy_reference"][0] is pairs["noisy_reference"][1]
    assert (data - cine).abs().square().mean().sqrt().item() == pytest.approx(0.05, rel=0.02)
    data, reference = pairs["frame_scaled"]
    torch.testing.assert_close(data.abs().amax((2, 3)), torch.ones(1, 6))
    torch.testing.assert_close(data.angle()[cine.abs() > 0.1], cine.angle()[cine.abs() > 0.1])


@pytest.mark.parametrize("size", [(48, 40), (47, 41), (32, 33)])
def test_zero_padding_interpolates(size):
    image = torch.randn(2, *size, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    padded = zero_padded(image, 2)
    assert padded.shape == (2, 2 * size[0], 2 * size[1])
    odd_y, odd_x = (n % 2 for n in size)  # the centre of the image, n // 2, stays the centre
    torch.testing.assert_close(padded[:, odd_y::2, odd_x::2], image, atol=1e-5, rtol=0)
    torch.testing.assert_close(zero_padded(image, 1), image)


def test_what_is_known_about_the_crimes(rows):
    change = {(row["crime"], row["method"]): row["change"] for row in rows}
    assert change["noisy_reference", "kt_tv"] < change["noisy_data", "kt_tv"] < 0  # nobody predicts noise
    assert (
        change["magnitude", "conjugate_view_sharing"] > change["magnitude", "view_sharing"]
    )  # symmetry pays
    for method in METHODS:
        assert change["zero_padded", method] > 0  # unmeasured lines without signal cost nothing


def test_frames_that_were_scaled_already_do_not_change():
    cines = torch.from_numpy(phantom_arrays(1, (6, 48, 40), complex_valued=True)["dataset"])
    scaled = cines / cines.abs().amax((2, 3), keepdim=True)
    changes = [row for row in crimes(scaled, ("zero_filled",), **OPTIONS) if row["crime"] == "frame_scaled"]
    assert changes[0]["change"] == pytest.approx(0, abs=1e-3)
    assert np.isnan(changes[0]["low"])  # one cine has no interval


def test_errors_say_what_was_found(cines):
    with pytest.raises(ValueError, match=r"complex cines.*\(3, 6, 48, 40\) of torch.float32"):
        crimes(cines.abs())
    with pytest.raises(ValueError, match=r"\(6, 48, 40\)"):
        crimes(cines[0])


def test_the_table_has_a_line_per_crime_with_interval_and_the_control(rows):
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()
    ]
    assert head == ["what was done", "zero-filled", "view sharing", "conjugate view sharing", "k-t TV"]
    names = [crime.replace("_", " ") for crime in CRIMES]
    assert [line[0] for line in lines] == ["no crime (PSNR)", *names]
    first = rows[0]
    assert lines[0][1] == f"{first['control']:.2f} dB"
    assert lines[1][1] == f"{first['change']:+.2f} ({first['low']:+.2f} to {first['high']:+.2f})"
    alone = table([row | {"n": 1, "low": np.nan, "high": np.nan} for row in rows])
    assert "nan" not in alone and f"| {first['change']:+.2f} " in " ".join(alone.split())
