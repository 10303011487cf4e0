"""Cines undersampled on the fly: every option of a configuration reaches the samples, and nothing else changes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmri_helpers import data
from dmri_helpers.classical import kt_tv
from dmri_helpers.data import Cines, UndersampledCines, undersampled
from dmri_helpers.fourier import fft2c, ifft2c
from dmri_helpers.operators import ForwardModel
from dmri_helpers.profiles import TrainConfig
from dmri_helpers.sampling import ky_t_mask

SMALL = dict(acceleration=3, center_lines=3)
WORLD = dict(acceleration_to=6, density="mixed", noise=0.1, phase=0.5, augment=True)


def random_cines(n=7, shape=(4, 24, 20), complex_valued=False) -> Cines:
    rng = np.random.default_rng(0)
    array = rng.random((n, *shape), dtype=np.float32)
    if complex_valued:
        array = (array * np.exp(2j * np.pi * rng.random(array.shape))).astype(np.complex64)
    return Cines(array, "random")


def same(first, second) -> bool:
    """Two samples, with their masks and noise levels."""
    (y, A, m), (z, B, n) = first, second
    noise = torch.equal(torch.as_tensor(A.noise), torch.as_tensor(B.noise))
    return noise and torch.equal(y, z) and torch.equal(A.mask, B.mask) and torch.equal(m, n)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_sample_is_the_forward_model(complex_valued):
    cines = random_cines(complex_valued=complex_valued)
    kspace, A, target = UndersampledCines(cines, **SMALL)[2]
    assert kspace.dtype == target.dtype == torch.complex64
    assert kspace.shape == target.shape == (1, 4, 24, 20) and (A.mask.sum(2) == 8).all()
    assert torch.equal(target[0], cines[2].to(torch.complex64))
    torch.testing.assert_close(kspace, fft2c(target) * A.mask)


@pytest.mark.parametrize("world", [{}, WORLD, {"coils": 2}])
@pytest.mark.parametrize("training", [False, True])
def test_batches_are_the_samples_whatever_their_size(training, world):
    cines = UndersampledCines(random_cines(), **SMALL, training=training, crop=6, **world)
    cines.set_epoch(3)
    order = cines._order.tolist()
    assert sorted(order) == list(range(7)) and training == (order != list(range(7)))
    for size in (1, 3, 100):
        kspaces, models, targets = zip(*cines.batches(size), strict=True)
        expected = [cines[i] for i in order]
        torch.testing.assert_close(torch.cat(kspaces), torch.cat([y for y, *_ in expected]))
        torch.testing.assert_close(torch.cat(targets), torch.cat([m for *_, m in expected]))
        assert torch.equal(torch.cat([A.mask for A in models]), torch.cat([A.mask for _, A, _ in expected]))


def test_shares_of_a_batch_make_the_whole():
    cines = UndersampledCines(random_cines(), **SMALL, training=True, **WORLD)
    for size in (2, 3):
        shared = [list(cines.batches(size, share=(part, 2))) for part in (0, 1)]
        for (first, second), whole in zip(zip(*shared, strict=True), cines.batches(size), strict=True):
            joined = torch.cat([first[0], second[0]])[: len(whole[0])]
            torch.testing.assert_close(joined, whole[0])


def test_validation_is_fixed_and_training_is_fresh():
    fixed = UndersampledCines(random_cines(), **SMALL, crop=6, noise=0.1, phase=1)
    fresh = UndersampledCines(random_cines(), **SMALL, training=True, crop=6, noise=0.1, phase=1)
    before = fixed[0], fresh[0]
    for cines in (fixed, fresh):
        cines.set_epoch(1)
    assert same(before[0], fixed[0]) and fixed[0][0].shape[-1] == 20
    assert not same(before[1], fresh[0]) and fresh[0][0].shape[-1] == 6
    masks = fresh[0][1].mask[0], fresh[1][1].mask[0]
    assert not torch.equal(*masks) and not torch.equal(masks[0][0], masks[0][1])  # every sample, every frame
    fresh.set_epoch(0)
    assert same(before[1], fresh[0])
    other = UndersampledCines(random_cines(), **SMALL, training=True, crop=6, seed=1)
    assert not torch.equal(other[0][1].mask, fresh[0][1].mask)


@settings(max_examples=20)
@given(epoch=st.integers(0, 9), crop=st.integers(1, 30))
def test_crop_is_exact(epoch, crop):
    cropped = UndersampledCines(random_cines(), **SMALL, training=True, crop=crop)
    cropped.set_epoch(epoch)
    width = min(crop, 20)
    for i in range(3):
        kspace, A, target = cropped[i]
        start = int(cropped._start[i])
        whole = ifft2c(fft2c(cropped.cines[i]) * A.mask)
        assert torch.equal(target[0], cropped.cines[i][..., start : start + width].to(torch.complex64))
        torch.testing.assert_close(ifft2c(kspace), whole[..., start : start + width])


@pytest.mark.parametrize("crop", [None, 0, 20, 99])
def test_whole_width(crop):
    samples = UndersampledCines(random_cines(), **SMALL, training=True, crop=crop)
    assert samples[0][0].shape == (1, 4, 24, 20)


def test_one_mask_for_all():
    mask = ky_t_mask((4, 24, 20), 3, 3, seed=42)
    _, A, _ = next(UndersampledCines(random_cines(), mask=mask).batches(7))
    assert torch.equal(A.mask, mask.expand(7, -1, -1, -1))


def test_masks_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    whole = UndersampledCines(random_cines(), **SMALL, training=True)._masks
    monkeypatch.setattr(undersampled, "_MASKS_AT_ONCE", 2)
    assert torch.equal(UndersampledCines(random_cines(), **SMALL, training=True)._masks, whole)


def test_impossible_requests():
    for options, message in (
        ({"acceleration": 12}, "centre lines do not fit"),
        (SMALL | {"crop": -1}, "crop"),
        (SMALL | {"acceleration_to": 2}, "accelerations from 3 to 2: the second is the larger"),
        (SMALL | {"acceleration_to": 9}, "3 centre lines do not fit: acceleration 9"),
        (SMALL | {"center_lines_to": 2}, "centre lines from 3 to 2"),
        (SMALL | {"coils": 33}, "33 coils; expected 1 to 32"),
    ):
        with pytest.raises(ValueError, match=message):
            UndersampledCines(random_cines(), **options)
    with pytest.raises(ValueError, match="does not fit"):
        UndersampledCines(random_cines(), mask=ky_t_mask((4, 16, 20), 3, 3))[0]


def test_ranges_are_drawn_for_every_sample_and_change_neither_order_nor_crop():
    plain = UndersampledCines(random_cines(40), **SMALL, training=True, crop=6)
    every = UndersampledCines(random_cines(40), **SMALL, training=True, crop=6, center_lines_to=4, **WORLD)
    assert torch.equal(plain._order, every._order) and torch.equal(plain._start, every._start)
    lines = every._masks.sum(2)[:, 0, 0]
    assert lines.min() == 4 and lines.max() >= 7
    centre = every._masks[..., 0].all(1).sum(1)
    assert centre.min() >= 3 and (centre > 3).any()


def test_augmentation_moves_pixels_and_nothing_else():
    cines = random_cines(60, (3, 5, 4))
    seen = set()
    for i, (kspace, _, target) in enumerate(UndersampledCines(cines, 1, 0, training=True, augment=True)):
        cine, found = cines[i].to(torch.complex64), []
        for flips in itertools.product([0, 1], repeat=3):
            moved = cine.flip([axis for axis in range(3) if flips[axis]])
            found += [(*flips, shift) for shift in range(3) if torch.equal(moved.roll(shift, 0), target[0])]
        assert len(found) == 1
        seen.add(found[0])
        torch.testing.assert_close(kspace, fft2c(target))
    assert len(seen) > 18  # of 24


def test_phase_leaves_magnitudes_and_strips_are_of_the_same_image():
    cines = random_cines(20, (2, 64, 48))
    whole = UndersampledCines(cines, 1, 0, training=True, phase=1)
    strips = UndersampledCines(cines, 1, 0, training=True, phase=1, crop=16)
    without = 0
    for i in range(20):
        target, start = whole[i][2], int(strips._start[i])
        torch.testing.assert_close(target[0].abs(), cines[i])
        torch.testing.assert_close(strips[i][2], target[..., start : start + 16])
        without += bool((target.imag == 0).all())
    assert 0 < without < 12  # a fifth are magnitudes


def test_noise_is_white_on_measured_lines_and_the_model_knows_it():
    clean, noisy = (UndersampledCines(random_cines(40, (4, 48, 32)), 3, 5, noise=n) for n in (0, 0.2))
    levels = []
    for (kspace, A, target), (measured, B, still) in zip(clean, noisy, strict=True):
        assert torch.equal(A.mask, B.mask) and torch.equal(target, still)
        noise = (measured - kspace)[A.mask.expand_as(kspace)]
        assert not measured[~A.mask.expand_as(kspace)].any()
        levels.append(noise.abs().square().mean().sqrt().item())
        assert levels[-1] == pytest.approx(B.noise.item(), rel=0.1, abs=1e-6)
        if levels[-1] > 0:
            assert abs(noise.mean()) < 5 * levels[-1] / len(noise) ** 0.5
            assert noise.real.std() == pytest.approx(noise.imag.std().item(), rel=0.15)
    assert 0 < levels.count(0.0) < 25 and 0.15 < max(levels) < 0.21  # a third without


def test_for_evaluation_every_cine_has_the_strength_that_was_asked_for():
    samples = UndersampledCines(random_cines(), **SMALL, noise=0.1, phase=1, vary=False)
    assert (samples._noise == 0.1).all() and (samples._phase == 1).all()


def test_coils_see_the_target_and_maps_can_be_estimated():
    cines = Cines(data.phantom_arrays(1, (4, 64, 64))["dataset"], "heart")
    true, estimated = (
        UndersampledCines(cines, 2, 16, coils=4, estimate_coils=estimate)[0] for estimate in (False, True)
    )
    kspace, A, target = true
    assert kspace.shape == (1, 4, 4, 64, 64) and torch.equal(kspace, estimated[0])
    torch.testing.assert_close(A(target), kspace)
    body = target.abs() > 0.2
    overlap = (A.coils.conj() * estimated[1].coils).sum(1).abs().expand_as(target)
    assert overlap[body].quantile(0.05) > 0.9


@pytest.mark.parametrize("n_maps", [1, 5])
def test_the_coils_of_a_file_are_used_where_none_are_asked_for(n_maps):
    maps = torch.randn(n_maps, 3, 1, 24, 20, dtype=torch.complex64)
    cines = random_cines(5, complex_valued=True)
    cines.coils = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    whole = UndersampledCines(cines, **SMALL)
    strips = UndersampledCines(cines, **SMALL, training=True, crop=6)
    assert whole.describe()["coils"] == 3
    for i in range(5):
        kspace, A, target = whole[i]
        assert torch.equal(A.coils, cines.coils[[i % n_maps]])
        torch.testing.assert_close(kspace, fft2c(A.coils * target[:, None]) * A.mask[:, None])
        start = int(strips._start[i])
        assert torch.equal(strips[i][1].coils, cines.coils[[i % n_maps], ..., start : start + 6])
    assert UndersampledCines(cines, **SMALL, coils=2)[0][0].shape[1] == 2
    assert UndersampledCines(cines.magnitudes(), **SMALL)[0][1].coils is None


def test_what_estimated_maps_cannot_explain_counts_as_noise():
    """Without noise, methods would keep data that no image explains through these maps."""
    cines = Cines(data.phantom_arrays(1, (6, 96, 96))["dataset"], "heart")
    kspace, A, target = UndersampledCines(cines, 4, 8, coils=8, estimate_coils=True)[0]
    assert A.noise > 0
    kept, weighed = (kt_tv(kspace, ForwardModel(A.mask, A.coils, noise)) for noise in (0.0, A.noise))
    assert (weighed.abs() - target.abs()).norm() < 0.7 * (kept.abs() - target.abs()).norm()


CHANGED = dict(
    acceleration=4, acceleration_to=8, center_lines=5, center_lines_to=7, density="gaussian", noise=0.1,
    phase=1.0, coils=2, crop=8, augment=True, cines_per_epoch=2, seed=5,
)  # fmt: skip


@pytest.mark.parametrize("name", CHANGED)
def test_every_sampling_field_of_a_configuration_reaches_the_samples(name):
    """Notebooks, exercises and command line take this road: what a lecturer writes is what is trained on."""
    parts = random_cines(5, (4, 48, 20)), random_cines(4, (4, 48, 20)), random_cines(3, (4, 48, 20))
    plain = TrainConfig(acceleration=3, center_lines=3)
    changed = replace(plain, **{name: CHANGED[name]})
    for kind, before, after in zip(
        "abc", data.samples(parts, plain), data.samples(parts, changed), strict=True
    ):
        differs = (
            len(before) != len(after)
            or before[0][0].shape != after[0][0].shape
            or not all(same(x, y) for x, y in zip(before, after, strict=False))
        )
        only_training = name in ("crop", "augment", "cines_per_epoch")
        assert differs == (kind == "a" or not only_training), (name, kind)
        if not only_training:
            later = "abc".index(kind) if name == "seed" else type(CHANGED[name])()
            assert after.describe()[name] == CHANGED[name] + later


def test_samples_are_the_same_while_a_network_is_measured_in_bfloat16():
    samples = UndersampledCines(
        random_cines(2), acceleration=3, center_lines=5, seed=1,
        noise=0.01, phase=1, coils=3, vary=False, estimate_coils=True,
    )  # fmt: skip
    kspace, A, target = samples[0]
    with torch.autocast("cpu", torch.bfloat16):
        again, B, target_again = next(samples.batches(1))
    assert torch.equal(kspace, again) and torch.equal(target, target_again)
    assert torch.equal(A.coils, B.coils)
