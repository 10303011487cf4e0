import math

import pytest
import torch

from dmri_helpers.data.phantom import coils as scanner_coils


def test_field_on_the_axis_of_a_loop_is_the_closed_form():
    normal = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    centre = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    z, radius = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64), 0.15
    field, potential = scanner_coils.loop_fields(centre, normal, radius, centre + z[:, None] * normal)
    expected = 2 * math.pi * radius**2 / (radius**2 + z**2) ** 1.5
    torch.testing.assert_close(field, expected[:, None] * normal, rtol=5e-3, atol=1e-6)
    assert potential.abs().max() < 1e-9  # by symmetry


def test_far_away_a_loop_is_a_dipole():
    normal = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    point, radius = torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64), 0.05
    field, potential = scanner_coils.loop_fields(torch.zeros_like(normal), normal, radius, point)
    distance, moment = point.norm(), math.pi * radius**2 * normal
    direction = point[0] / distance
    dipole = (3 * direction * (direction @ moment) - moment) / distance**3
    torch.testing.assert_close(field[0], dipole, rtol=2e-3, atol=1e-9)
    torch.testing.assert_close(
        potential[0], torch.linalg.cross(moment, direction) / distance**2, rtol=2e-3, atol=1e-9
    )


@pytest.mark.parametrize("coils", [1, 4, 8, 13, 32])
def test_root_sum_of_squares_is_one(coils):
    maps = scanner_coils.coil_maps(coils, (24, 20))
    assert maps.shape == (1, coils, 1, 24, 20) and maps.dtype == torch.complex64
    torch.testing.assert_close(maps.abs().square().sum(1), torch.ones(1, 1, 24, 20))


def test_maps_are_smooth_differ_and_are_the_same_for_a_seed():
    maps = scanner_coils.coil_maps(8, (96, 96), seed=3)
    assert torch.equal(maps, scanner_coils.coil_maps(8, (96, 96), seed=3))
    assert not torch.equal(maps, scanner_coils.coil_maps(8, (96, 96), seed=4))
    assert maps.diff(dim=-1).abs().max() < 0.2 and maps.diff(dim=-2).abs().max() < 0.2
    peaks = maps[0, :, 0].abs().flatten(1).argmax(1)
    assert len(set(peaks.tolist())) == 8  # every coil is strongest somewhere else
    singular = torch.linalg.svdvals(maps[0, :, 0].flatten(1))
    assert singular[-1] / singular[0] > 0.03  # and no coil is a combination of others


def test_a_returned_map_can_be_changed_without_harm():
    before = scanner_coils.coil_maps(2, (8, 8)).clone()
    scanner_coils.coil_maps(2, (8, 8)).zero_()
    assert torch.equal(before, scanner_coils.coil_maps(2, (8, 8)))


@pytest.mark.parametrize("coils", [0, 33])
def test_impossible_numbers_of_coils(coils):
    with pytest.raises(ValueError, match=f"found {coils} coils; expected 1 to 32"):
        scanner_coils.coil_maps(coils, (8, 8))


def test_covariance_is_one_of_neighbours():
    psi = scanner_coils.noise_covariance(8)
    torch.testing.assert_close(psi, psi.mH)
    torch.testing.assert_close(psi.diagonal().real, torch.ones(8))
    assert torch.linalg.eigvalsh(psi).min() > 0.1
    others = (psi - torch.eye(8)).abs()
    assert (
        others.amax(1).min() > 0.1 and others.max() < 0.85
    )  # every coil shares noise with another, none all of it


def test_noise_has_the_covariance_and_whitening_takes_it_away():
    psi = scanner_coils.noise_covariance(4)
    noise = scanner_coils.coil_noise((2, 4, 5, 40, 50), psi, 0.3, seed=1)
    assert torch.equal(noise, scanner_coils.coil_noise((2, 4, 5, 40, 50), psi, 0.3, seed=1))
    torch.testing.assert_close(_covariance(noise), 0.09 * psi, atol=0.09 * 0.03, rtol=0)
    white = _covariance(scanner_coils.whitened(noise, psi))
    torch.testing.assert_close(white, 0.09 * torch.eye(4, dtype=white.dtype), atol=0.09 * 0.03, rtol=0)


def test_whitening_keeps_the_signal_model():
    """Whitened data of an image are what whitened maps make of it."""
    psi = scanner_coils.noise_covariance(3)
    maps = scanner_coils.coil_maps(3, (8, 6))
    image = torch.randn(1, 1, 2, 8, 6, dtype=torch.complex64)
    torch.testing.assert_close(
        scanner_coils.whitened(maps * image, psi), scanner_coils.whitened(maps, psi) * image
    )


def _covariance(noise: torch.Tensor) -> torch.Tensor:
    samples = noise.movedim(1, 0).flatten(1)
    return samples @ samples.mH / samples.shape[1]
