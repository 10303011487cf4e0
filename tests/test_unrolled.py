"""Data steps and cascades: consistency, hints, phase, noise, coils, checkpointing."""

import math

import pytest
import torch

from dmri_helpers.classical import (
    conjugate_view_sharing,
    smooth_phase,
    temporal_mean,
    view_sharing,
    zero_filled,
)
from dmri_helpers.fourier import fftc_y
from dmri_helpers.networks import ResNet3D, XFResNet3D
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.unrolled import DataConsistency, Guided, Unrolled


def random_cine(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def wake(module):
    """Give the zero last layers some weight, so that the network does something."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "last" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


def maps(coils, y, x):
    """Smooth maps of coils around the image, root sum of squares 1."""
    angle = torch.arange(coils) * 2 * torch.pi / coils
    v, u = torch.meshgrid(torch.linspace(-1, 1, y), torch.linspace(-1, 1, x), indexing="ij")
    towards = angle.cos()[:, None, None] * v + angle.sin()[:, None, None] * u
    images = torch.polar((0.8 * towards).exp(), towards + angle[:, None, None])
    return (images / images.abs().square().sum(0).sqrt())[None, :, None]


def cascade(**options):
    torch.manual_seed(0)
    return Unrolled(lambda: ResNet3D(4, 1), 3, start=temporal_mean, **options)


def problem(shape=(2, 6, 24, 12), coils=None, noise=0.0):
    m = random_cine(*shape)
    mask = ky_t_mask(shape, acceleration=3, center_lines=3, seed=0)
    A = ForwardModel(mask, None if coils is None else maps(coils, *shape[2:]), noise)
    return A(m), A, m


@pytest.mark.parametrize("masks", [1, 2])
def test_hard_consistency_is_exact(masks):
    m, x = random_cine(2, 4, 24, 8), random_cine(2, 4, 24, 8, seed=1)
    A = ForwardModel(ky_t_mask((masks, 4, 24, 8), acceleration=3, center_lines=3, seed=0))
    y = A(m)
    consistent = DataConsistency()(x, A.adjoint(y), A)
    torch.testing.assert_close(A(consistent), y)
    outside = ~A.mask * fftc_y(x)
    torch.testing.assert_close(~A.mask * fftc_y(consistent), outside, atol=1e-5, rtol=1e-5)


def test_weight_is_given_learnt_or_from_the_noise():
    y, A, x = problem()
    assert DataConsistency().weight(0.1) == math.inf and DataConsistency(7.0).weight(0.1) == 7
    assert DataConsistency(7.0, learnable=True).weight(0.1).item() == pytest.approx(7)
    from_noise = DataConsistency(noise_scale=0.02)
    weights = from_noise.weight(torch.tensor([0.0, 0.01, 0.005]))
    torch.testing.assert_close(weights, torch.tensor([math.inf, 4.0, 16.0]))
    A.noise = torch.tensor([0.0, 0.01])
    image = from_noise(x.flip(1), A.adjoint(y), A)
    torch.testing.assert_close(A(image)[0], y[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(image[1], A[1:].closest(x.flip(1)[1:], A[1:].adjoint(y[1:]), 4.0)[0])
    image.abs().mean().backward()
    assert from_noise.log_scale.grad.isfinite() and from_noise.log_scale.grad != 0
    for options in ({"weight": 0.0}, {"learnable": True}):
        with pytest.raises(ValueError, match="weight"):
            DataConsistency(**options)


def test_cascade_starts_with_its_start_and_agrees_with_the_data():
    kspace, A, _ = problem()
    torch.testing.assert_close(cascade()(kspace, A), temporal_mean(kspace, A), atol=1e-5, rtol=1e-5)
    model = wake(cascade())
    iterates = list(model.iterates(kspace, A))
    assert len(iterates) == 4
    for image in iterates:
        torch.testing.assert_close(A(image), kspace, atol=1e-5, rtol=1e-5)
    assert torch.equal(model(kspace, A), model(kspace, A))
    assert torch.equal(iterates[-1], model(kspace, A))


def test_shared_weights_and_learnable_consistency():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    assert count(cascade()) == 3 * count(cascade(shared=True))
    soft = cascade(data_weight=10.0, learnable_weight=True)
    kspace, A, m = problem()
    (wake(soft).train()(kspace, A) - m).abs().mean().backward()
    assert all(c.log_weight.grad.abs() > 0 for c in soft.consistencies)


def test_names_of_the_weights():
    """As in the files that are shipped."""
    names = set(rich_cascade().state_dict())
    assert {"regularisers.0.first.weight", "regularisers.2.blocks.0.2.bias"} <= names
    assert {name.split(".")[0] for name in names} == {"regularisers"}
    assert "consistencies.0.log_scale" in cascade(noise_scale=0.02).state_dict()


@pytest.mark.parametrize("coils", [None, 3])
def test_checkpointing_changes_nothing_but_memory(coils):
    kspace, A, m = problem(coils=coils, noise=0.01)
    gradients = []
    for checkpointing in (False, True):
        model = wake(rich_cascade(checkpointing=checkpointing, noise_scale=0.05)).train()
        (model(kspace, A) - m).abs().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients)


def rich_cascade(**options):
    """As the shipped one: hint, phase reference; every second network on the spectrum over time."""
    torch.manual_seed(0)
    kinds = iter([ResNet3D, XFResNet3D, ResNet3D])
    return Unrolled(
        lambda: next(kinds)(4, 1, hints=2),
        3,
        start=temporal_mean,
        hint=conjugate_view_sharing,
        phase_of=smooth_phase,
        **options,
    )


def test_a_hint_and_a_phase_leave_consistency_alone():
    kspace, A, _ = problem()
    model = rich_cascade()
    torch.testing.assert_close(model(kspace, A), temporal_mean(kspace, A), atol=1e-5, rtol=1e-5)
    recon = wake(model)(kspace, A)
    assert (recon - temporal_mean(kspace, A)).norm() > 0.01 * recon.norm()
    torch.testing.assert_close(A(recon), kspace, atol=1e-5, rtol=1e-5)


def test_what_a_guided_regulariser_is_shown():
    image, hint = random_cine(1, 4, 8, 6), random_cine(1, 4, 8, 6, seed=1)
    phase = torch.polar(torch.ones(1, 1, 8, 6), torch.rand(1, 1, 8, 6))
    seen = []

    def regulariser(*cines):
        seen.append(cines)
        return 2 * cines[0]

    guided = Guided(hint, phase)
    proposal = guided(regulariser, image, None)
    torch.testing.assert_close(proposal, 2 * image)
    guided(regulariser, proposal + 1, proposal)
    for cine, expected in zip(seen[0], (image, hint, torch.zeros_like(image)), strict=True):
        torch.testing.assert_close(cine, expected * phase.conj())
    torch.testing.assert_close(seen[1][2], torch.ones_like(image) * phase.conj())
    assert len(Guided()(lambda *cines: cines, image, None)) == 1


def test_one_phase_everywhere_passes_through_the_phase_reference():
    kspace, A, _ = problem()
    model, turn = wake(rich_cascade()), torch.exp(torch.tensor(2.1j))
    with torch.no_grad():
        torch.testing.assert_close(model(turn * kspace, A), turn * model(kspace, A), atol=1e-4, rtol=1e-4)


def test_columns_are_independent_problems():
    """A readout crop of the cine is undersampled to the crop of the undersampled cine: why training crops are exact."""
    kspace, A, m = problem()
    for method in (zero_filled, temporal_mean, view_sharing):  # with conjugates the brightest column matters
        whole = method(kspace, A)[..., 3:9]
        torch.testing.assert_close(method(A(m[..., 3:9]), A), whole, atol=1e-5, rtol=1e-5)


def test_the_same_cascade_trains_with_coils():
    """One coil with a map of ones is no coil at all; with four the gradients are finite and a step helps."""
    kspace, A, m = problem()
    model = wake(rich_cascade(noise_scale=0.05))
    ones = ForwardModel(A.mask, torch.ones(1, 1, 1, 24, 12, dtype=torch.complex64))
    with torch.no_grad():
        torch.testing.assert_close(model(kspace[:, None], ones), model(kspace, A), atol=1e-4, rtol=1e-4)
    for noise in (0.0, torch.tensor([0.0, 0.02]), 0.02):
        kspace, A, m = problem(coils=4, noise=noise)
        model = rich_cascade(noise_scale=0.05).train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = (model(kspace, A) - m).abs().mean()
            loss.backward()
            assert all(p.grad.isfinite().all() for p in model.parameters())
            optimizer.step()
            losses.append(loss.item())
    assert (
        losses[-1] < losses[0]
    )  # with noise: hard consistency with coils is too ill-posed for white noise as image
