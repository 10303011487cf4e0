"""Networks and cascades: shapes, identity at the start, equivariance, consistency, and one overfitted sample."""

import inspect
from dataclasses import fields

import pytest
import torch
from torch.nn import functional

from dmri_helpers import networks
from dmri_helpers.classical import temporal_mean, zero_filled
from dmri_helpers.networks import (
    AttentionUNet,
    ChannelAttention,
    DualUNet,
    ResNet3D,
    SpatialAttention,
    StandAlone,
    XFResNet3D,
)
from dmri_helpers.operators import ForwardModel
from dmri_helpers.profiles import DualUNetConfig, UnrolledConfig
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.unrolled import Unrolled


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


def test_attention_is_that_of_its_paper():
    """Equations 2 and 3: mean and peak share a perceptron; places are weighed by mean and peak over the channels."""
    torch.manual_seed(0)
    features = torch.randn(2, 16, 9, 8)
    channels, places = ChannelAttention(16), SpatialAttention()
    assert channels.perceptron[0].out_channels == 2 and ChannelAttention(4).perceptron[0].out_channels == 1
    first, _, last = channels.perceptron

    def perceptron(values):
        hidden = functional.leaky_relu(values @ first.weight[:, :, 0, 0].T + first.bias, 0.1)
        return hidden @ last.weight[:, :, 0, 0].T + last.bias

    weights = (perceptron(features.flatten(2).mean(2)) + perceptron(features.flatten(2).max(2)[0])).sigmoid()
    torch.testing.assert_close(channels(features), features * weights[:, :, None, None])
    summary = torch.stack([features.mean(1), features.max(1)[0]], 1)
    weights = functional.conv2d(summary, places.conv.weight, places.conv.bias, padding=3).sigmoid()
    assert places.conv.kernel_size == (7, 7)
    torch.testing.assert_close(places(features), features * weights)


def test_a_u_net_halves_doubles_and_pads_with_the_edge():
    torch.manual_seed(0)
    unet = wake(AttentionUNet(3, 2, init_features=4, depth=2))
    assert [block[0].in_channels for block in (*unet.encoder, unet.bottleneck)] == [3, 4, 8]
    assert [block[3].out_channels for block in (*unet.encoder, unet.bottleneck)] == [4, 8, 16]
    image = torch.randn(1, 3, 13, 10)
    padded = functional.pad(image, (0, 2, 0, 3), mode="replicate")  # up to multiples of 2 ** 2
    torch.testing.assert_close(unet(image), unet(padded)[..., :13, :10])
    with pytest.raises(ValueError, match="at least once.*not 0"):
        AttentionUNet(3, 2, depth=0)


def test_branches_add_what_their_u_nets_find():
    """Real and imaginary part of all frames are channels: of a U-Net each, or of one for both."""
    cine = random_cine(1, 4, 8, 8)
    for branches in (1, 2):
        network = wake(DualUNet(4, 4, 1, dropout=0, branches=branches, resnet_features=0))
        stacked = torch.cat([cine.real, cine.imag], 1).chunk(branches, 1)
        real, imag = torch.cat([u(p) for u, p in zip(network.unets, stacked, strict=True)], 1).chunk(2, 1)
        torch.testing.assert_close(network(cine), cine + real + 1j * imag)


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


@pytest.mark.parametrize("kind", ["dual_unet", "unrolled"])
def test_one_sample_can_be_overfitted(kind):
    A = ForwardModel(ky_t_mask((1, 6, 24, 12), acceleration=3, center_lines=3, seed=0))
    t = torch.linspace(0, 2 * torch.pi, 7)[:-1]
    image = torch.zeros(1, 6, 24, 12)
    image[..., 6:18, 3:9] = 0.5 + 0.3 * t.sin()[None, :, None, None]
    kspace = A(image)
    torch.manual_seed(0)
    if kind == "dual_unet":
        model = StandAlone(DualUNet(6, 8, 1, dropout=0, resnet_features=4), zero_filled)
    else:
        model = Unrolled(lambda: ResNet3D(8, 1), 3, start=temporal_mean)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (model(kspace, A) - image).abs().square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.03 * losses[0]


def test_xf_network_works_on_the_spectrum():
    plain, spectral = wake(ResNet3D(4, 1, hints=1)), wake(XFResNet3D(4, 1, hints=1))
    spectral.load_state_dict(plain.state_dict())
    cine, hint = random_cine(1, 6, 12, 60), random_cine(1, 6, 12, 60, seed=1)
    with torch.no_grad():
        expected = torch.fft.ifft(
            plain(*(torch.fft.fft(c, dim=1, norm="ortho") for c in (cine, hint))), dim=1
        )
        torch.testing.assert_close(spectral(cine, hint), expected * 6**0.5, atol=1e-5, rtol=1e-5)


def test_networks_and_their_configurations_have_the_same_defaults():
    for network, config in ((networks.DualUNet, DualUNetConfig), (Unrolled, UnrolledConfig)):
        options = inspect.signature(network).parameters
        both = {field.name: field.default for field in fields(config) if field.name in options}
        for name in ("start", "hint"):  # names in one, functions in the other
            both.pop(name, None)
        same = {name: options[name].default for name in both if options[name].default is not inspect._empty}
        assert len(same) > 2 and same == {name: both[name] for name in same}
