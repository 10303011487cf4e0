import math

import numpy as np
import pytest
import torch

from dmri_helpers.data import phantom
from dmri_helpers.data.phantom import phase as scanner_phase

SHAPE = (6, 96, 80)


def test_shape_modulus_and_kind():
    factor = scanner_phase.phase([1, 2, 3], SHAPE)
    assert factor.shape == (3, *SHAPE) and factor.dtype == torch.complex64
    torch.testing.assert_close(factor.abs(), torch.ones(3, *SHAPE))


def test_a_seed_gives_the_same_phase_in_every_batch():
    alone, together = scanner_phase.phase([7], SHAPE), scanner_phase.phase([3, 7, 2**61], SHAPE, 1.0)
    assert torch.equal(alone[0], together[1])
    assert (alone[0] - together[0]).abs().mean() > 0.1


def test_no_strength_no_phase():
    factor = scanner_phase.phase([1, 2], SHAPE, torch.tensor([0.0, 0.5]))
    assert torch.equal(factor[0], torch.ones(SHAPE, dtype=torch.complex64))
    torch.testing.assert_close(factor[1], scanner_phase.phase([2], SHAPE, 0.5)[0])


def test_a_crop_is_that_part_of_the_whole():
    change = torch.rand(2, 96, 80)
    whole = scanner_phase.phase([4, 5], SHAPE, change=change)
    start = torch.tensor([0, 33])
    windows = torch.stack([change[0, :, :16], change[1, :, 33:49]])
    part = scanner_phase.phase([4, 5], SHAPE, columns=(start, 16), change=windows)
    torch.testing.assert_close(part[0], whole[0, ..., :16], atol=1e-5, rtol=0)
    torch.testing.assert_close(part[1], whole[1, ..., 33:49], atol=1e-5, rtol=0)


def test_amounts_at_the_rim_locally_and_over_the_beat():
    angle = scanner_phase.angle(range(100), (10, 96, 96))
    still = angle.mean(1)
    departure = (still - still[:, 48:49, 48:49]).abs().amax((1, 2))
    assert 0.4 * scanner_phase.SLOW < departure.quantile(0.05)
    assert departure.quantile(0.95) < 1.5 * scanner_phase.SLOW
    spread = (angle - still[:, None]).square().mean((1, 2, 3)).sqrt()
    assert 0.03 < spread.mean() < 0.2  # a little that moves
    blurred = torch.nn.functional.avg_pool2d(still[:, None], 41, 1)[
        :, 0
    ]  # 41 of 96: longer than every local wave
    rest = (still[:, 20:-20, 20:-20] - blurred).std((1, 2)).mean()
    assert 0.5 < rest / (scanner_phase.SLOW * scanner_phase.LOCAL) < 2


def test_it_is_smooth():
    angle = scanner_phase.angle(range(20), (4, 192, 192))
    assert angle.diff(dim=2).abs().max() < 0.4 and angle.diff(dim=3).abs().max() < 0.4
    spectrum = torch.fft.fft2(
        (1j * (angle - angle.mean())).exp() * torch.hann_window(192) * torch.hann_window(192)[:, None]
    )
    frequency = torch.fft.fftfreq(192).abs() * 192
    energy = spectrum.abs().square().sum((0, 1))
    high = energy[frequency > 24].sum() + energy[:, frequency > 24].sum()
    assert high / energy.sum() < 1e-3  # nothing shorter than 8 pixels


def test_time_is_cyclic():
    angle = scanner_phase.angle([1], (40, 16, 16))[0]
    steps = (angle.roll(-1, 0) - angle).abs().amax((1, 2))
    assert steps[-1] < 1.5 * steps[:-1].max()


@pytest.mark.parametrize("frames", [False, True])
def test_flow_has_its_phase_where_the_blood_is(frames):
    labels = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    labels[:, :, 30:50, 30:50] = 1
    labels[:, :, 60:70, 30:50] = 2
    where = scanner_phase.blood(labels)
    flow = scanner_phase.angle([9], SHAPE, change=where if frames else where[:, 0]) - scanner_phase.angle(
        [9], SHAPE
    )
    assert flow[where == 0].abs().max() == 0
    assert 0.01 < flow[where == 1].abs().max() < 2 * scanner_phase.FLOW


def test_a_phantom_keeps_its_magnitudes():
    still, turned = (phantom.cine_phantom(5, (3, 48, 48), phase=strength) for strength in (0, 0.7))
    np.testing.assert_array_equal(still.image, turned.image)
    np.testing.assert_allclose(abs(turned.complex_image), turned.image, atol=1e-6)
    where = scanner_phase.blood(torch.from_numpy(still.labels)[None])
    expected = scanner_phase.phase([5], (3, 48, 48), 0.7, change=where)[0]
    np.testing.assert_allclose(turned.complex_image, still.complex_image * expected.numpy(), atol=1e-6)


def test_without_phase_a_phantom_has_the_signs_of_water_and_fat():
    still = phantom.cine_phantom(5, (3, 48, 48), noise=0, phase=0)
    bright = still.complex_image[still.image > 0.2]
    assert np.abs(bright.imag).max() < 0.05 and (bright.real < 0).any()
    assert (still.complex_image[still.labels == 1].real > 0).all()


def test_changing_is_one_where_much_changes_and_zero_where_nothing_does():
    image = torch.zeros(1, 8, 4, 4)
    image[:, ::2, 0] = 0.5
    change = scanner_phase.changing(image)
    assert change.shape == (1, 4, 4)
    assert torch.equal(change[0, 0], torch.ones(4)) and torch.equal(change[0, 1:], torch.zeros(3, 4))


def test_the_constant_phase_is_drawn_from_the_whole_circle():
    middle = scanner_phase.angle(range(200), (1, 9, 9))[:, 0, 4, 4]
    quarters = torch.histc(middle.remainder(2 * math.pi), 4, 0, 2 * math.pi)
    assert quarters.min() > 25
