"""The passport against the published evaluators, written down again from their formulas with scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dmri_helpers.studies.passport import CONVENTIONS, figure, passport

SHAPE = (5, 45, 53)
PUBLISHED = dict(abs=1e-4, rel=0)


def pair(shape=SHAPE, seed=0):
    """A reference whose frames have different maxima, and a reconstruction that is darker and noisy."""
    rng = np.random.default_rng(seed)
    t, y, x = shape
    bump = np.exp(-((np.linspace(-1, 1, y)[:, None] ** 2) + np.linspace(-1, 1, x) ** 2) * 3)
    reference = bump * np.linspace(0.6, 0.9, t)[:, None, None] + 0.05 * rng.random(shape)
    recon = np.abs(0.93 * reference + 0.03 * rng.standard_normal(shape))
    return recon.astype(np.float32), reference.astype(np.float32)


def scored(recon, reference):
    rows = passport(recon, reference)
    return {
        name: (row["psnr"], row["ssim"], row["nmse"]) for name, row in zip(CONVENTIONS, rows, strict=True)
    }


def nmse(target, recon):
    return np.linalg.norm(target - recon) ** 2 / np.linalg.norm(target) ** 2


def matlab_crop(cine):
    """run4Ranking.m on MATLAB's one-based (x, y, t), in its own arithmetic."""
    image = cine.transpose(2, 1, 0)[:, :, :3]
    ranges = []
    for n, wanted in zip(image.shape[:2], (image.shape[0] / 3, image.shape[1] / 2), strict=True):
        kept = math.floor(wanted + 0.5)  # round
        first, last = n // 2 + 1 + math.ceil(-kept / 2), n // 2 + math.ceil(kept / 2)
        ranges.append(np.arange(first, last + 1) - 1)
    return image[np.ix_(*ranges)]


def calmetric(pred_recon, gt_recon, normalise):
    """Evaluation.py of CMRxRecon: mean over the last axis of (x, y, t)."""
    scores = []
    for j in range(gt_recon.shape[-1]):
        pred, gt = normalise(pred_recon[..., j]), normalise(gt_recon[..., j])
        scores.append(
            (
                peak_signal_noise_ratio(gt, pred, data_range=gt.max()),
                structural_similarity(gt, pred, data_range=gt.max()),
                nmse(gt, pred),
            )
        )
    return np.mean(scores, 0)


@pytest.mark.parametrize("shape", [SHAPE, (20, 64, 64), (3, 13, 20)])
def test_fastmri(shape):
    recon, target = pair(shape)
    ssim = np.mean(
        [structural_similarity(m, x, data_range=target.max()) for m, x in zip(target, recon, strict=True)]
    )
    published = peak_signal_noise_ratio(target, recon, data_range=target.max()), ssim, nmse(target, recon)
    assert scored(recon, target)["fastmri"] == pytest.approx(published, **PUBLISHED)


@pytest.mark.parametrize("shape", [SHAPE, (20, 64, 64), (4, 47, 61), (3, 13, 20), (2, 30, 31)])
def test_cmrxrecon(shape):
    recon, target = pair(shape)
    scores = scored(recon, target)
    recon, target = matlab_crop(recon), matlab_crop(target)
    by_maximum = calmetric(recon, target, lambda image: image / image.max())
    assert scores["cmrxrecon_2023"] == pytest.approx(by_maximum, **PUBLISHED)
    # the scoring script of 2024 calls calmetric(target, recon)
    by_deviation = calmetric(target, recon, lambda image: (image - np.mean(image)) / np.std(image))
    assert scores["cmrxrecon_2024"] == pytest.approx(by_deviation, **PUBLISHED)


def test_peaks_of_frames_and_volumes():
    recon, target = pair()
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    for name, peaks in (("frames", np.ones(len(target))), ("frames_target_peak", target.max((1, 2)))):
        frames = [
            (
                peak_signal_noise_ratio(m, x, data_range=peak),
                structural_similarity(m, x, data_range=peak, **gaussian),
                nmse(m, x),
            )
            for m, x, peak in zip(target, recon, peaks, strict=True)
        ]
        assert scored(recon, target)[name] == pytest.approx(np.mean(frames, 0), **PUBLISHED)
    recon, target = pair((12, 30, 30))
    for name, peak in (("volume", 1), ("volume_target_peak", target.max())):
        volume = (
            peak_signal_noise_ratio(target, recon, data_range=peak),
            structural_similarity(target, recon, data_range=peak, **gaussian),
            nmse(target, recon),
        )
        assert scored(recon, target)[name] == pytest.approx(volume, **PUBLISHED)


def test_conventions_differ_and_say_what_they_are():
    rows = passport(*pair())
    psnr = [row["psnr"] for row in rows]
    assert max(psnr) - min(psnr) > 3
    assert len({row["convention"] for row in rows}) == len(CONVENTIONS) == len(rows)
    assert all(row["peak"] and row["window"] and row["mean"] for row in rows)


def test_a_scale_moves_what_should_move():
    recon, target = pair()
    bright, dark = scored(recon, target), scored(recon / 2, target / 2)
    for name in CONVENTIONS:
        moved = 20 * np.log10(2) if name in ("frames", "volume") else 0
        assert dark[name][0] - bright[name][0] == pytest.approx(moved, abs=1e-3)
    darker = scored(recon / 2, target)  # only CMRxRecon forgives a wrong scale
    for name in CONVENTIONS:
        assert (darker[name][0] == pytest.approx(bright[name][0], abs=1e-3)) == name.startswith("cmrxrecon")


def test_complex_cines_count_by_their_magnitude():
    recon, target = pair()
    turned = torch.from_numpy(recon) * torch.exp(torch.tensor(1j))
    for name, scores in scored(turned, target * 1j).items():
        assert scores == pytest.approx(scored(recon, target)[name], rel=1e-5)


def test_exact_and_empty_reconstructions():
    _, target = pair()
    for psnr, ssim, error in scored(target, target).values():
        assert (psnr, error) == (np.inf, 0) and ssim == pytest.approx(1)
    empty = scored(target * 0, target)
    assert empty["fastmri"][2] == pytest.approx(1)
    assert np.isnan(empty["cmrxrecon_2023"][0])  # divided by its own maximum, which is zero


def test_errors_say_what_was_found():
    recon, target = pair()
    with pytest.raises(ValueError, match=r"\(5, 45, 53\) and \(4, 45, 53\)"):
        passport(recon, target[:4])
    with pytest.raises(ValueError, match=r"\(45, 53\)"):
        passport(recon[0], target[0])
    with pytest.raises(ValueError, match="13 x 20 pixels, found 12 x 53"):
        passport(recon[:, :12], target[:, :12])
    broken = recon.copy()
    broken[0, 0, :2] = np.nan, np.inf
    with pytest.raises(ValueError, match="found 2 others in the reconstruction"):
        passport(broken, target)
    with pytest.raises(ValueError, match="found none in frame 3"):
        passport(recon, target * (np.arange(5) != 3)[:, None, None])


def test_figure_has_a_dot_per_convention_and_reconstruction():
    recon, target = pair()
    passports = {"zero-filled": passport(recon * 0.9, target), "k-t TV": passport(recon, target)}
    drawn = figure(passports)
    (ax,) = drawn.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [row.label for row in CONVENTIONS.values()]
    for line, rows in zip(ax.lines, passports.values(), strict=True):
        assert list(line.get_xdata()) == [row["psnr"] for row in rows]
    figure({"exact": passport(target, target)}).draw_without_rendering()  # nothing finite to draw
    with pytest.raises(ValueError, match="found none"):
        figure({})
    with pytest.raises(ValueError, match="same conventions"):
        figure({"a": passports["k-t TV"], "b": passports["k-t TV"][:2]})
