"""Metrics against scikit-image and closed forms."""

import numpy as np
import pytest
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from dmri_helpers.metrics import METRICS, cine_metrics, frame_metrics, summarise
from dmri_helpers.results.tables import table

rng = np.random.default_rng(0)
REFERENCE = rng.random((6, 24, 20))
RECON = np.clip(REFERENCE + 0.05 * rng.standard_normal(REFERENCE.shape), 0, 1)
SSIM = dict(data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def test_frames_against_scikit_image():
    ours = frame_metrics(RECON, REFERENCE)
    for t in range(6):
        assert ours["psnr"][t] == pytest.approx(peak_signal_noise_ratio(REFERENCE[t], RECON[t], data_range=1))
        assert ours["ssim"][t] == pytest.approx(structural_similarity(REFERENCE[t], RECON[t], **SSIM))
        assert ours["nmse"][t] == pytest.approx(normalized_root_mse(REFERENCE[t], RECON[t]) ** 2)


def test_volume_against_scikit_image():
    reference, recon = np.tile(REFERENCE, (2, 1, 1)), np.tile(RECON, (2, 1, 1))
    ours = cine_metrics(recon, reference)
    assert ours["psnr_volume"] == pytest.approx(peak_signal_noise_ratio(reference, recon, data_range=1))
    assert ours["ssim_volume"] == pytest.approx(structural_similarity(reference, recon, **SSIM))


def test_dynamic_counts_only_what_moves():
    reference = np.zeros((4, 12, 12))
    reference[::2, 3:6, 3:6] = 1
    recon = reference.copy()
    recon[:, 0, 0] += 0.5  # an error where nothing moves
    recon[:, 3:6, 3:6] += 0.1
    assert cine_metrics(recon, reference)["psnr_dynamic"] == pytest.approx(20)
    assert np.isnan(cine_metrics(recon * 0, reference * 0 + 0.3)["psnr_dynamic"])


def test_complex_cines_count_by_their_magnitude():
    turned = torch.from_numpy(RECON) * torch.exp(torch.tensor(1j))
    assert cine_metrics(turned, REFERENCE) == pytest.approx(cine_metrics(RECON, REFERENCE))


@pytest.mark.parametrize("shape", [(1, 16, 16), (8, 9, 7), (3, 5, 64)])
def test_short_axes_work(shape):
    image = rng.random(shape)
    assert cine_metrics(image * 0.9, image)["ssim"] < 1
    assert cine_metrics(image, image)["ssim_volume"] == pytest.approx(1)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(6, 24, 20\).*\(5, 24, 20\)"):
        cine_metrics(RECON, REFERENCE[:5])


def test_summary_and_table():
    rows = [cine_metrics(RECON, REFERENCE), cine_metrics(RECON**2, REFERENCE), {"psnr_dynamic": np.nan}]
    summary = summarise(rows)
    assert METRICS == ("psnr", "ssim", "nmse", "psnr_volume", "ssim_volume", "psnr_dynamic")
    assert set(summary) == set(METRICS) and summary["psnr"]["n"] == 2
    assert summary["psnr"]["mean"] == pytest.approx((rows[0]["psnr"] + rows[1]["psnr"]) / 2)
    assert summary["psnr"]["std"] == pytest.approx(abs(rows[0]["psnr"] - rows[1]["psnr"]) / 2**0.5)
    text = table({"ours": summary}, ["psnr", "ssim"])
    assert f"{summary['psnr']['mean']:.2f} ± {summary['psnr']['std']:.2f}" in text and text.count("\n") == 2
