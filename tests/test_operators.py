"""Fourier transforms and the forward model: unitarity, adjointness, and a second implementation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmri_helpers.fourier import fft2c, fftc_y, ifft2c, ifftc_y
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 17), st.integers(1, 9))


def cine(shape, seed=0):
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def inner(a, b):
    return (a.conj() * b).sum()


@settings(deadline=None, max_examples=40)
@given(shapes)
def test_transforms_are_unitary(shape):
    for forward, inverse in ((fft2c, ifft2c), (fftc_y, ifftc_y)):
        m, y = cine(shape), cine(shape, 1)
        torch.testing.assert_close(inverse(forward(m)), m)
        torch.testing.assert_close(forward(m).norm(), m.norm())
        torch.testing.assert_close(inner(forward(m), y), inner(m, inverse(y)))


@settings(deadline=None, max_examples=40)
@given(shapes, st.booleans())
def test_forward_model_is_adjoint(shape, one_mask):
    mask = ky_t_mask(
        (1 if one_mask else shape[0], *shape[1:]), acceleration=1.0 * max(shape[2] // 3, 1), center_lines=1
    )
    A, m, y = ForwardModel(mask), cine(shape), cine(shape, 1)
    assert A(m).shape == A.adjoint(y).shape == shape
    torch.testing.assert_close(inner(A(m), y), inner(m, A.adjoint(y)))
    torch.testing.assert_close(A.normal(m), A.adjoint(A(m)))
    torch.testing.assert_close(A(A.adjoint(A(m))), A(m))  # sampling twice changes nothing


def test_against_sigpy():
    sigpy = pytest.importorskip("sigpy", reason="sigpy, the second implementation, is not installed")
    for shape in ((2, 3, 16, 12), (1, 2, 15, 9)):
        mask = ky_t_mask(shape, acceleration=3, center_lines=3, seed=1)
        m, u = cine(shape), mask.to(torch.float64).numpy()
        operator = sigpy.linop.Multiply(shape, u) * sigpy.linop.FFT(shape, axes=(-2, -1))
        y = torch.from_numpy(operator(m.numpy()))
        A = ForwardModel(mask)
        torch.testing.assert_close(A(m), y)
        torch.testing.assert_close(A.adjoint(y), torch.from_numpy(operator.H(y.numpy())))


def test_zero_frequency_is_at_the_centre():
    for n in (8, 9):
        kspace = fft2c(torch.ones(1, n, n))
        assert kspace.abs().argmax() == (n // 2) * n + n // 2
        torch.testing.assert_close(kspace.abs().max(), torch.tensor(float(n)))


def test_wrong_inputs_are_named():
    mask = ky_t_mask((1, 4, 16, 8), acceleration=2, center_lines=2)
    with pytest.raises(ValueError, match=r"\(1, 4, 16, 1\).*\(1, 4, 15, 8\)"):
        ForwardModel(mask)(torch.zeros(1, 4, 15, 8))
    with pytest.raises(TypeError, match="boolean"):
        ForwardModel(mask.float())
    with pytest.raises(ValueError, match=r"\(4, 16, 1\)"):
        ForwardModel(mask[0])
