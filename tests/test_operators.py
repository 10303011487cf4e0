"""Fourier transforms and the forward model: unitarity, adjointness, the data step, and second implementations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmri_helpers import calibration
from dmri_helpers.calibration import coil_maps, map_error, noise_level
from dmri_helpers.fourier import fft2c, fftc_y, ifft2c, ifftc_y
from dmri_helpers.operators import ForwardModel, conjugate_gradients
from dmri_helpers.sampling import ky_t_mask

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 17), st.integers(1, 9))


def cine(shape, seed=0):
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def maps(coils, y, x, dtype=torch.complex128, empty=0):
    """Smooth maps of coils around the image, root sum of squares 1; 0 in the first ``empty`` lines."""
    angle = torch.arange(coils, dtype=torch.float64) * 2 * torch.pi / coils
    v, u = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in (y, x))
    v, u = torch.meshgrid(v, u, indexing="ij")
    towards = angle.cos()[:, None, None] * v + angle.sin()[:, None, None] * u
    images = torch.polar((0.8 * towards).exp(), 0.5 * towards + angle[:, None, None])
    images = images / images.abs().square().sum(0).sqrt()
    images[:, :empty] = 0
    return images.to(dtype)[None, :, None]


def model(shape, coils, seed=0, masks=1, noise=0.0, empty=0):
    mask = ky_t_mask((masks, *shape[1:]), 1.0 * max(shape[2] // 3, 1), center_lines=1, seed=seed)
    return ForwardModel(mask, maps(coils, *shape[2:], empty=empty) if coils else None, noise)


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
@given(shapes, st.booleans(), st.integers(0, 4))
def test_forward_model_is_adjoint(shape, one_mask, coils):
    A, m = model(shape, coils, masks=1 if one_mask else shape[0]), cine(shape)
    y = cine((shape[0], *[coils] * (coils > 0), *shape[1:]), 1)
    assert A(m).shape == y.shape and A.adjoint(y).shape == shape
    torch.testing.assert_close(inner(A(m), y), inner(m, A.adjoint(y)))
    torch.testing.assert_close(A.normal(m), A.adjoint(A(m)))
    torch.testing.assert_close(A(m) * A.lines, A(m))


@settings(deadline=None, max_examples=20)
@given(shapes, st.integers(0, 4), st.integers(0, 2))
def test_the_normal_operator_of_all_lines_is_one_on_the_support(shape, coils, empty):
    A, m = model(shape, coils, empty=empty), cine(shape)
    A.mask = torch.ones_like(A.mask)
    expected = m.clone()
    expected[:, :, : empty if coils else 0] = 0
    torch.testing.assert_close(A.normal(m), expected)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 4), st.floats(0.01, 100))
def test_the_data_step_solves_its_normal_equations(shape, coils, weight):
    """(1 + w A^H A) m = x + w A^H y, with a weight for all cines or one each."""
    A, m, x = model(shape, coils), cine(shape), cine(shape, 1)
    A.cg_steps = 40
    aliased = A.adjoint(A(m))
    for weights in (weight, torch.full((shape[0],), weight)):
        closest = A.closest(x, aliased, weights)
        expected = x + weight * aliased
        torch.testing.assert_close(closest + weight * A.normal(closest), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("coils", [0, 4])
def test_an_infinite_weight_finds_the_nearest_image_that_agrees(coils):
    A, m, x = model((2, 3, 24, 6), coils), cine((2, 3, 24, 6)), cine((2, 3, 24, 6), 1)
    A.cg_steps = 100
    closest = A.closest(x, A.adjoint(A(m)), math.inf)
    torch.testing.assert_close(A(closest), A(m), atol=1e-6, rtol=1e-6)
    change = closest - x  # the nearest, if no part of the change is one that the data do not see
    unseen = cine((2, 3, 24, 6), 2)
    unseen = unseen - A.closest(torch.zeros_like(x), A.normal(unseen), math.inf)
    assert inner(change, unseen).abs() < 1e-5 * change.norm() * unseen.norm()
    again = A.closest(closest, A.adjoint(A(m)), math.inf)
    torch.testing.assert_close(again, closest, atol=1e-6, rtol=1e-6)


def test_a_weight_of_another_precision_leaves_that_of_the_image():
    A = model((2, 3, 12, 4), 3)
    x = cine((2, 3, 12, 4)).to(torch.complex64)
    A.coils = A.coils.to(torch.complex64)
    weight = torch.tensor([3.0, 10.0], dtype=torch.float64)
    assert A.closest(x, A.normal(x), weight).dtype == torch.complex64
    torch.testing.assert_close(A.closest(x, A.normal(x), 3)[0], A.closest(x, A.normal(x), weight)[0])


def test_gradients_of_the_data_step_are_finite():
    for coils in (0, 3):
        A, x = model((2, 3, 12, 4), coils), cine((2, 3, 12, 4)).requires_grad_()
        weight = torch.tensor([math.inf, 3.0], requires_grad=True)
        zero = A.adjoint(A(torch.zeros_like(x)))
        A.closest(x, zero, weight).abs().square().sum().backward()
        assert x.grad.isfinite().all() and weight.grad.isfinite().all()
        x = torch.zeros_like(x).requires_grad_()
        A.closest(x, zero, weight).real.sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("coils", [0, 3])
def test_against_sigpy(coils):
    sigpy = pytest.importorskip("sigpy", reason="sigpy, the second implementation, is not installed")
    for shape in ((3, 16, 12), (2, 15, 9)):
        A, m = model((1, *shape), coils), cine((1, *shape))
        operator, image = sigpy.linop.Identity(shape), shape
        if coils:
            operator = sigpy.linop.Multiply(shape, A.coils[0].numpy())
            image = (coils, *shape)
        operator = sigpy.linop.FFT(image, axes=(-2, -1)) * operator
        operator = sigpy.linop.Multiply(image, A.mask[0].to(torch.float64).numpy()) * operator
        y = torch.from_numpy(operator(m[0].numpy()))[None]
        torch.testing.assert_close(A(m), y)
        torch.testing.assert_close(A.adjoint(y), torch.from_numpy(operator.H(y[0].numpy()))[None])


def test_conjugate_gradients_solve():
    matrix = cine((5, 5)) + 0
    matrix = matrix.mH @ matrix + torch.eye(5)
    right = cine((3, 5), 1)
    found = conjugate_gradients(lambda m: m @ matrix.T, right, steps=12, axes=(-1,))
    torch.testing.assert_close(found @ matrix.T, right, atol=1e-8, rtol=1e-8)


def test_some_cines_of_a_model():
    A, m = model((3, 4, 12, 5), 2, masks=3, noise=torch.tensor([0.0, 0.1, 0.2])), cine((3, 4, 12, 5))
    for chosen in (slice(1, 3), torch.tensor([True, False, True])):
        torch.testing.assert_close(A[chosen](m[chosen]), A(m)[chosen])
        torch.testing.assert_close(A[chosen].noise, A.noise[chosen])
    assert A.to("cpu")(m).equal(A(m))


def disc(y=96, x=80, frames=8):
    """A bright disc in which a darker one beats; nothing around it."""
    v, u = torch.meshgrid(torch.linspace(-1, 1, y), torch.linspace(-1, 1, x), indexing="ij")
    beat = 0.3 + 0.05 * torch.cos(2 * torch.pi * torch.arange(frames) / frames)[:, None, None]
    edge = ((0.7 - (v**2 + u**2).sqrt()) * 20).sigmoid()
    return (edge * (1 - 0.5 * ((beat - (v**2 + u**2).sqrt()) * 20).sigmoid()))[None].to(torch.complex64)


def test_noise_level():
    """Within a fifth from 0.01 on; zero where there is none, so that data stay as they are."""
    m = disc().repeat(2, 1, 1, 1)
    mask = ky_t_mask(m.shape, 4, center_lines=11, seed=0)
    for coils in (None, maps(4, *m.shape[2:], dtype=torch.complex64)):
        A = ForwardModel(mask, coils)
        for noise in (0.0, 0.01, 0.05):
            y = A(m)
            y = y + noise * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
            found = noise_level(y * A.lines, mask)
            assert found.shape == (2,)
            torch.testing.assert_close(found, torch.full((2,), noise), atol=1e-3, rtol=0.2)


def test_the_noise_is_extrapolated_from_the_ends_of_the_readout():
    """16 columns, 8 frames: the outermost eighths, the next ones, and the frequencies from a quarter on, by number."""
    spectrum = cine((1, 3, 8, 12, 16))  # three coils
    mask = torch.zeros(1, 8, 12, 1, dtype=torch.bool)
    mask[:, :, [4, 5, 7]] = True
    mask[:, 2, 9] = True  # a line that one frame has is not looked at
    spectrum[..., [2, 3, 13, 14]] *= 1.2
    power = spectrum[:, :, 2:7][:, :, :, [4, 5, 7]].abs().square()
    outer, inner = power[..., [0, 1, 15]].median(), power[..., [2, 3, 13, 14]].median()
    expected = ((2 * outer - inner) / math.log(2)).sqrt()
    found = noise_level(torch.fft.ifft(spectrum, dim=2, norm="ortho"), mask)
    torch.testing.assert_close(found, expected[None])


def error_of_maps(found, true, where):
    """Mean distance of the vectors of sensitivities, up to a phase in each pixel."""
    phase = torch.sgn((found * true.conj()).sum(0))
    return (found * phase.conj() - true).abs().square().sum(0).sqrt()[where].mean().item()


def test_coil_maps_from_the_data():
    m = disc()
    true = maps(6, *m.shape[2:], dtype=torch.complex64)
    mask = ky_t_mask(m.shape, 4, center_lines=13, seed=0)
    A = ForwardModel(mask, true)
    y = A(m)
    y = (y + 0.01 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))) * A.lines
    found = coil_maps(y, mask)
    assert found.shape == true.shape and found.isfinite().all()
    rss = found.abs().square().sum(1).sqrt()
    assert ((rss - 1).abs().lt(1e-4) | (rss == 0)).all()
    bright = m[0].abs().mean(0) > 0.3
    assert (rss[0, 0][bright] > 0).all() and (rss[0, 0][:4, :4] == 0).all()
    ours = error_of_maps(found[0, :, 0], true[0, :, 0], bright)
    app = pytest.importorskip("sigpy.mri.app", reason="sigpy, the second implementation, is not installed")
    calibration = app.EspiritCalib(
        y.mean(2)[0].numpy(), calib_width=13, kernel_width=4, thresh=0.005, crop=0, show_pbar=False
    )
    theirs = error_of_maps(torch.from_numpy(calibration.run()), true[0, :, 0], bright)
    assert ours < 1.1 * theirs and ours < 0.03
    turned = coil_maps(y * torch.exp(torch.tensor(0.7j)), mask)  # the phase of the image is not in the maps
    assert ((turned - found).abs().sum(1)[0, 0][bright] < 1e-2).all()
    noise = 0.1 * torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    loud = coil_maps(A(m) + noise * A.lines, mask)  # patches of noise alone do not count
    assert error_of_maps(loud[0, :, 0], true[0, :, 0], bright) < 0.03
    with pytest.raises(ValueError, match="centre lines"):
        coil_maps(y, ky_t_mask(m.shape, 4, center_lines=1, seed=0))
    for scale in (1e-18, 1e35):
        torch.testing.assert_close(coil_maps(scale * y, mask), found, atol=1e-3, rtol=0)
    for nothing in (0 * y, torch.where(A.lines, torch.randn_like(y), 0)):
        with pytest.raises(ValueError, match="noise alone"):
            coil_maps(nothing, mask)


@pytest.mark.parametrize("sampled, expected", [("00111010", [2, 3, 4]), ("1111111", range(7)), ("0100", [])])
def test_centre_lines_end_where_the_first_is_missing(sampled, expected):
    lines = torch.tensor([line == "1" for line in sampled])
    assert calibration._around_the_middle(lines).tolist() == list(expected)


def test_the_centre_is_blurred_without_ringing():
    """A point becomes a blob: the cosine window of lines and columns, the largest value within a pixel of the blob."""
    y, x, lines = 24, 20, 7
    kspace = fft2c(torch.nn.functional.pad(torch.ones(1, 1, 1, dtype=torch.complex128), (10, 9, 12, 11)))
    found = calibration._blurred(kspace, torch.arange(lines))
    windows = []
    for n in (y, x):
        k = torch.arange(n, dtype=torch.float64) - n // 2
        windows.append(torch.where(k.abs() < 4.5, (1 + torch.cos(math.pi * k / 4.5)) / 2, 0.0))
    blob = ifft2c(kspace * windows[0][:, None] * windows[1])[0].abs()
    around = torch.stack([blob.roll((i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    torch.testing.assert_close(found[4:-4, 4:-4], around.amax(0)[4:-4, 4:-4], atol=1e-6, rtol=1e-4)


def test_error_of_maps():
    m = disc()
    true = maps(6, *m.shape[2:], dtype=torch.complex64)
    mask = ky_t_mask(m.shape, 3, center_lines=13, seed=0)
    A = ForwardModel(mask, true)
    y = A(m)
    whole = ForwardModel(torch.ones_like(mask), true)
    assert map_error(whole(m), whole.mask, true).item() < 1e-5  # with all lines true maps explain everything
    found = coil_maps(y, mask)
    error = map_error(y, mask, found)
    assert error.shape == (1,) and 0 < error.item() < map_error(y, mask, found.flip(1)).item()


def test_the_error_of_maps_is_the_noise_that_no_image_explains():
    """Of white noise in ``c`` coils an image explains one part of ``c``, and the mean over ``t`` frames is smaller."""
    mask = torch.ones(1, 4, 48, 1, dtype=torch.bool)
    noise = torch.stack([scale * cine((5, 4, 48, 40), seed) for seed, scale in ((0, 0.1), (1, 0.3))])
    error = map_error(noise, mask, maps(5, 48, 40))
    expected = torch.tensor([0.1, 0.3], dtype=torch.float64) * (4 / 5 / 4) ** 0.5
    torch.testing.assert_close(error, expected, atol=0, rtol=0.03)
    mask[:, 0, 24:] = False  # lines that a frame lacks are left out, and do not count
    torch.testing.assert_close(
        map_error(noise * mask[:, None], mask, torch.zeros(1, 5, 1, 48, 40)),
        (noise.mean(2)[:, :, :24].abs().square().mean((1, 2, 3))).sqrt(),
    )


def test_zero_frequency_is_at_the_centre():
    for n in (8, 9):
        kspace = fft2c(torch.ones(1, n, n))
        assert kspace.abs().argmax() == (n // 2) * n + n // 2
        torch.testing.assert_close(kspace.abs().max(), torch.tensor(float(n)))


def test_wrong_inputs_are_named():
    mask = ky_t_mask((1, 4, 16, 8), acceleration=2, center_lines=2)
    with pytest.raises(ValueError, match=r"\(1, 4, 16, 1\).*\(1, 4, 15, 8\)"):
        ForwardModel(mask)(torch.zeros(1, 4, 15, 8))
    A = ForwardModel(mask, torch.ones(1, 3, 1, 16, 8))
    with pytest.raises(
        ValueError, match=r"\(1, 4, 16, 1\) with coils \(1, 3, 1, 16, 8\).*\(1, 2, 4, 16, 8\)"
    ):
        A.adjoint(torch.zeros(1, 2, 4, 16, 8))
    with pytest.raises(ValueError, match=r"\(1, 3, 1, 15, 8\).*\(1, 4, 16, 1\)"):
        ForwardModel(mask, torch.ones(1, 3, 1, 15, 8))
    with pytest.raises(TypeError, match="boolean"):
        ForwardModel(mask.float())
    with pytest.raises(ValueError, match=r"\(4, 16, 1\)"):
        ForwardModel(mask[0])
