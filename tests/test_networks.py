"""Networks and cascades: shapes, identity at the start, equivariance, consistency, and one overfitted sample."""

import pytest
import torch

from dmri_helpers import networks
from dmri_helpers.classical import (
    conjugate_view_sharing,
    slow_phase,
    temporal_mean,
    view_sharing,
    zero_filled,
)
from dmri_helpers.fourier import fftc_y, ifft2c
from dmri_helpers.networks import AttentionUNet, DualUNet, ResNet3D, StandAlone
from dmri_helpers.operators import ForwardModel
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.unrolled import DataConsistency, Unrolled


def random_cine(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def wake(module):
    """Give the zero last layers some weight, so that the network does something."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "last" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"branches": 1},
        {"branches": 0},
        {"attention": False},
        {"dropout": 0.0},
        {"resnet_features": 0},
        {"depth": 1},
    ],
)
def test_dual_unet_starts_as_identity_and_keeps_odd_shapes(options):
    network = DualUNet(**{"frames": 4, "init_features": 4, "depth": 2, "resnet_features": 4, **options})
    for t in (4, 3, 10):
        cine = random_cine(2, t, 19, 13)
        torch.testing.assert_close(network(cine), cine)
        assert wake(network)(cine).shape == cine.shape
        network = DualUNet(**{"frames": 4, "init_features": 4, "depth": 2, "resnet_features": 4, **options})


def test_the_seeds_size():
    unet = AttentionUNet(20, 20)
    assert sum(p.numel() for p in unet.parameters()) == pytest.approx(
        31e6, rel=0.02
    )  # facts of the seed report
    with pytest.raises(ValueError, match="branches"):
        DualUNet(branches=3)


def test_outputs_are_signed_and_phase_survives():
    """The seed's sigmoid could reach neither; here a cine of any phase can be fitted."""
    torch.manual_seed(0)
    network = DualUNet(frames=4, init_features=8, depth=1, dropout=0, resnet_features=4)
    cine, target = torch.zeros(1, 4, 16, 16, dtype=torch.complex64), -0.8 * torch.exp(torch.tensor(0.5j))
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        (network(cine) - target).abs().mean().backward()
        optimizer.step()
    assert (network(cine) - target).abs().mean() < 0.1


def test_resnet_sees_time():
    network = wake(ResNet3D(4, 1))
    cine = random_cine(1, 8, 12, 10)
    changed = cine.clone()
    changed[:, 2] += 1
    moved = (network(changed) - network(cine)).abs().amax((0, 2, 3)) > 1e-5
    assert moved.tolist() == [True] * 6 + [False, True]  # three convolutions reach three frames, cyclically
    rolled = network(cine.roll(3, 1))
    torch.testing.assert_close(rolled, network(cine).roll(3, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("t", [1, 2, 5])
@pytest.mark.parametrize("features", [2, 16])
def test_the_fast_convolution_is_the_plain_one(features, t):
    """Neighbouring frames as channels, padding with a gradient of its own: same image, same gradients."""
    torch.manual_seed(0)
    fast = networks._Conv3d(features, 3)
    plain = torch.nn.Conv3d(features, 3, 3, padding=(0, 1, 1))
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(2, features, t, 9, 6)
    results = []
    for conv, pad in ((fast, False), (plain, True)):
        image = x.clone().requires_grad_()
        padded = torch.cat([image[:, :, -1:], image, image[:, :, :1]], 2) if pad else image
        out = conv(padded)
        out.square().sum().backward()
        results.append((out, image.grad, conv.weight.grad, conv.bias.grad))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    with torch.no_grad():  # without gradients it takes another way
        torch.testing.assert_close(fast(x), results[0][0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("blocks, x", [(1, 20), (2, 23)])
def test_strips_are_the_whole(monkeypatch, blocks, x):
    monkeypatch.setattr(networks, "_STRIP", 4)
    network, cine = wake(ResNet3D(4, blocks, hints=1)), random_cine(1, 5, 9, x)
    whole = network(cine, cine.flip(3)).detach()
    with torch.no_grad():
        torch.testing.assert_close(network(cine, cine.flip(3)), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("masks", [1, 2])
def test_hard_consistency_is_exact(masks):
    m, x = random_cine(2, 4, 24, 8), random_cine(2, 4, 24, 8, seed=1)
    mask = ky_t_mask((masks, 4, 24, 8), acceleration=3, center_lines=3, seed=0)
    A = ForwardModel(mask)
    y = A(m)
    consistent = DataConsistency()(x, fftc_y(ifft2c(y)), mask)
    torch.testing.assert_close(A(consistent), y)
    outside = ~mask * fftc_y(x)
    torch.testing.assert_close(~mask * fftc_y(consistent), outside, atol=1e-5, rtol=1e-5)


def test_soft_consistency_solves_its_normal_equations():
    """(1 + w A^H A) m = x + w A^H y."""
    weight = 3.0
    m, x = random_cine(1, 4, 24, 8), random_cine(1, 4, 24, 8, seed=1)
    mask = ky_t_mask(m.shape, acceleration=3, center_lines=3, seed=0)
    A = ForwardModel(mask)
    soft = DataConsistency(weight, learnable=True)(x, fftc_y(ifft2c(A(m))), mask)
    torch.testing.assert_close(
        soft + weight * A.normal(soft), x + weight * A.adjoint(A(m)), atol=1e-5, rtol=1e-5
    )
    stiff = DataConsistency(1e6)(x, fftc_y(ifft2c(A(m))), mask)
    torch.testing.assert_close(A(stiff), A(m), atol=1e-4, rtol=1e-4)
    for options in ({"weight": 0.0}, {"learnable": True}):
        with pytest.raises(ValueError, match="weight"):
            DataConsistency(**options)


def cascade(**options):
    torch.manual_seed(0)
    return Unrolled(lambda: ResNet3D(4, 1), 3, start=temporal_mean, **options)


def problem(shape=(2, 6, 24, 12)):
    m = random_cine(*shape)
    mask = ky_t_mask(shape, acceleration=3, center_lines=3, seed=0)
    return ForwardModel(mask)(m), mask, m


def test_cascade_starts_with_its_start_and_agrees_with_the_data():
    kspace, mask, _ = problem()
    torch.testing.assert_close(cascade()(kspace, mask), temporal_mean(kspace, mask), atol=1e-5, rtol=1e-5)
    model = wake(cascade())
    iterates = list(model.iterates(kspace, mask))
    assert len(iterates) == 4
    for image in iterates:
        torch.testing.assert_close(ForwardModel(mask)(image), kspace, atol=1e-5, rtol=1e-5)
    assert torch.equal(model(kspace, mask), model(kspace, mask)) and torch.equal(
        iterates[-1], model(kspace, mask)
    )


def test_shared_weights_and_learnable_consistency():
    def count(model):
        return sum(p.numel() for p in model.parameters())

    assert count(cascade()) == 3 * count(cascade(shared=True))
    soft = cascade(data_weight=10.0, learnable_weight=True)
    kspace, mask, m = problem()
    (wake(soft).train()(kspace, mask) - m).abs().mean().backward()
    assert all(c.log_weight.grad.abs() > 0 for c in soft.consistencies)


def test_checkpointing_changes_nothing_but_memory():
    kspace, mask, m = problem()
    gradients = []
    for checkpointing in (False, True):
        model = wake(cascade(checkpointing=checkpointing)).train()
        (model(kspace, mask) - m).abs().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*gradients)


def rich_cascade():
    """As the shipped one: hint, phase reference."""
    torch.manual_seed(0)
    return Unrolled(
        lambda: ResNet3D(4, 1, hints=2),
        3,
        start=temporal_mean,
        hint=conjugate_view_sharing,
        phase_of=slow_phase,
    )


def test_a_hint_and_a_phase_leave_consistency_alone():
    kspace, mask, _ = problem()
    model = rich_cascade()
    torch.testing.assert_close(model(kspace, mask), temporal_mean(kspace, mask), atol=1e-5, rtol=1e-5)
    recon = wake(model)(kspace, mask)
    assert (recon - temporal_mean(kspace, mask)).norm() > 0.01 * recon.norm()
    torch.testing.assert_close(ForwardModel(mask)(recon), kspace, atol=1e-5, rtol=1e-5)


def test_one_phase_everywhere_passes_through_the_phase_reference():
    kspace, mask, _ = problem()
    model, turn = wake(rich_cascade()), torch.exp(torch.tensor(2.1j))
    with torch.no_grad():
        torch.testing.assert_close(
            model(turn * kspace, mask), turn * model(kspace, mask), atol=1e-4, rtol=1e-4
        )


def test_columns_are_independent_problems():
    """A readout crop of the cine is undersampled to the crop of the undersampled cine: why training crops are exact."""
    kspace, mask, m = problem()
    for method in (zero_filled, temporal_mean, view_sharing, conjugate_view_sharing):
        whole = method(kspace, mask)[..., 3:9]
        torch.testing.assert_close(method(ForwardModel(mask)(m[..., 3:9]), mask), whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["dual_unet", "unrolled"])
def test_one_sample_can_be_overfitted(kind):
    kspace, mask, _ = problem((1, 6, 24, 12))
    t = torch.linspace(0, 2 * torch.pi, 7)[:-1]
    image = torch.zeros(1, 6, 24, 12)
    image[..., 6:18, 3:9] = 0.5 + 0.3 * t.sin()[None, :, None, None]
    kspace = ForwardModel(mask)(image)
    torch.manual_seed(0)
    if kind == "dual_unet":
        model = StandAlone(DualUNet(6, 8, 1, dropout=0, resnet_features=4), zero_filled)
    else:
        model = Unrolled(lambda: ResNet3D(8, 1), 3, start=temporal_mean)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (model(kspace, mask) - image).abs().square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.03 * losses[0]
