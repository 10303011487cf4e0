"""Classical reconstructions against loops and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmri_helpers.classical import kt_tv, temporal_mean, view_sharing, zero_filled
from dmri_helpers.fourier import ifft2c
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask

METHODS = [zero_filled, temporal_mean, view_sharing, kt_tv]


def moving_square(b=2, t=6, y=24, x=16):
    cine = torch.zeros(b, t, y, x)
    for frame in range(t):
        cine[:, frame, 6 + frame % 3 : 14 + frame % 3, 4:11] = 1
    return cine * torch.linspace(0.5, 1, b)[:, None, None, None]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("masks", [1, 2])
def test_measured_lines_survive(method, masks):
    m = moving_square()
    mask = ky_t_mask((masks, *m.shape[1:]), acceleration=3, center_lines=3, seed=0)
    A = ForwardModel(mask)
    recon = method(A(m), mask)
    assert recon.shape == m.shape and recon.is_complex()
    torch.testing.assert_close(A(recon), A(m), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_full_sampling_is_exact(method):
    m = moving_square()
    mask = torch.ones(1, *m.shape[1:3], 1, dtype=torch.bool)
    torch.testing.assert_close(method(ForwardModel(mask)(m), mask).real, m, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_phase_pass_through(method):
    m = moving_square()
    mask = ky_t_mask(m.shape, acceleration=3, center_lines=3, seed=0)
    factor = 300 * torch.exp(torch.tensor(0.7j))
    once, scaled = method(ForwardModel(mask)(m), mask), method(ForwardModel(mask)(m * factor), mask)
    torch.testing.assert_close(scaled / factor, once, atol=2e-4, rtol=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 9))
def test_against_loops(seed, t):
    m = torch.randn(1, t, 12, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    mask = ky_t_mask(m.shape, acceleration=4, center_lines=1, seed=seed)
    kspace = ForwardModel(mask)(m)
    shared, mean = kspace.clone(), kspace.clone()
    u = mask[0, :, :, 0]
    for line in range(12):
        frames = u[:, line].nonzero()[:, 0].tolist()
        for frame in range(t):
            if frames and not u[frame, line]:
                near = min(
                    frames, key=lambda s: (min((frame - s) % t, (s - frame) % t), (frame - s) % t > t / 2)
                )
                shared[0, frame, line] = kspace[0, near, line]
                mean[0, frame, line] = kspace[0, frames, line].mean(0)
    torch.testing.assert_close(view_sharing(kspace, mask), ifft2c(shared))
    torch.testing.assert_close(temporal_mean(kspace, mask), ifft2c(mean))


def test_view_sharing_prefers_the_earlier_of_two():
    m = torch.arange(4.0)[None, :, None, None].expand(1, 4, 8, 8).contiguous()
    mask = torch.ones(1, 4, 8, 1, dtype=torch.bool)
    mask[0, 1] = False
    recon = view_sharing(ForwardModel(mask)(m), mask)
    torch.testing.assert_close(recon[0, 1].real, torch.zeros(8, 8), atol=1e-6, rtol=0)


def test_kt_tv_reaches_the_closed_form():
    """Two frames, all sampled, no spatial term: min 2|a - b| + w/2 (..)^2 pulls both together by 2/w."""
    m = torch.tensor([1.0, 0.2])[None, :, None, None].expand(1, 2, 8, 8).contiguous()
    mask = torch.ones(1, 2, 8, 1, dtype=torch.bool)
    recon = kt_tv(ForwardModel(mask)(m), mask, spatial=0, data_weight=8, iterations=3000, tolerance=0).real
    torch.testing.assert_close(recon.mean((0, 2, 3)), torch.tensor([0.75, 0.45]), atol=1e-4, rtol=0)


def test_kt_tv_lowers_its_objective_and_reports():
    m = moving_square()
    mask = ky_t_mask(m.shape, acceleration=3, center_lines=3, seed=0)
    kspace = ForwardModel(mask)(m)

    def variation(cine):
        return sum(w * (cine.roll(-1, d) - cine).abs().sum() for d, w in ((1, 1), (2, 0.2), (3, 0.2)))

    seen = []
    recon = kt_tv(
        kspace,
        mask,
        0.2,
        iterations=300,
        tolerance=0,
        callback=lambda k, cine: seen.append((k, variation(cine))),
    )
    assert [k for k, _ in seen] == list(range(1, 301))
    assert seen[-1][1] < seen[0][1] and seen[-1][1] <= variation(m) * 1.001  # the truth is a candidate, too
    assert (recon - m).norm() < 0.5 * (temporal_mean(kspace, mask) - m).norm()
    stopped = []
    kt_tv(kspace, mask, iterations=300, tolerance=1e-2, callback=lambda k, cine: stopped.append(k))
    assert len(stopped) < 100


@pytest.mark.parametrize("method", METHODS)
def test_shapes_are_checked(method):
    with pytest.raises(ValueError, match="does not fit"):
        method(torch.zeros(1, 4, 8, 8, dtype=torch.complex64), torch.ones(1, 5, 8, 1, dtype=torch.bool))


def test_kt_tv_refuses_nonsense():
    mask = torch.ones(1, 4, 8, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="no signal"):
        kt_tv(torch.zeros(1, 4, 8, 8, dtype=torch.complex64), mask)
    with pytest.raises(ValueError, match="data_weight > 0"):
        kt_tv(torch.ones(1, 4, 8, 8, dtype=torch.complex64), mask, data_weight=0)


def test_ladder_on_real_cines(cine_dev):
    """The lines of the seed's own data, within 0.3 dB of another draw of the mask."""
    m = torch.from_numpy(np.load(cine_dev)["dataset"])
    mask = ky_t_mask((1, *m.shape[1:]), seed=42)
    kspace = ForwardModel(mask)(m)
    for method, expected in ((zero_filled, 23.0), (temporal_mean, 33.4), (view_sharing, 34.5)):
        error = (method(kspace, mask).abs() - m).square().mean((1, 2, 3))
        assert (-10 * error.log10()).mean().item() == pytest.approx(expected, abs=0.3)
