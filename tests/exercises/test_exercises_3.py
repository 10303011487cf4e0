"""Planted mistakes of 03_network."""

import torch
from test_exercises import turned_away
from torch import nn
from torch.nn import functional

from dmri_helpers import exercises


def test_frames_seen():
    check = exercises.check_3_1
    check(lambda blocks, frames: min(3 + 4 * blocks, frames))
    turned_away(check, lambda blocks, frames: 3 + 4 * blocks, "time is cyclic")
    turned_away(
        check, lambda blocks, frames: min(3 + 2 * blocks, frames), "In the experiment 7 .*lie in a row"
    )
    turned_away(check, lambda blocks, frames: min(2 + 2 * blocks, frames), "says 2. In the experiment 3")
    turned_away(check, lambda blocks, frames: min(5 + 4 * blocks, frames), "says 5. In the experiment 3")
    turned_away(check, lambda blocks, frames: 3.0, "expected a whole number")


def through_the_bottom(image, halvings, pool=functional.avg_pool2d, size=None, **options):
    small = pool(image, 2**halvings)
    return functional.interpolate(small, size=size or image.shape[-2:], **(options or {"mode": "bilinear"}))


def test_through_the_bottom():
    check = exercises.check_3_3
    check(through_the_bottom)
    check(lambda image, d: through_the_bottom(image, 1) if d == 1 else through_the_bottom(image, d))
    turned_away(check, lambda *a: through_the_bottom(*a, mode="nearest"), "has steps")
    turned_away(
        check, lambda *a: through_the_bottom(*a, functional.max_pool2d), "largest number of each block"
    )
    turned_away(check, lambda *a: through_the_bottom(*a, lambda h, n: h[..., ::n, ::n]), "drops the others")
    turned_away(
        check, lambda *a: through_the_bottom(*a, lambda h, n: 0.5 * h[..., ::n, ::n]), "0.5 everywhere"
    )
    turned_away(check, lambda image, d: functional.avg_pool2d(image, 2**d), "returns the shape")
    turned_away(check, lambda image, d: through_the_bottom(image, 1), "differs from what the hint describes")
    turned_away(
        check,
        lambda image, d: through_the_bottom(image, d, lambda h, n: functional.avg_pool2d(h, 2 * d)),
        "of another size",
    )


def two_plus_one(channels, space=None, time=None, last=None):
    space = {"kernel_size": (1, 3, 3), "padding": (0, 1, 1), **(space or {})}
    time = {"kernel_size": (3, 1, 1), "padding": (1, 0, 0), "padding_mode": "circular", **(time or {})}
    return nn.Sequential(nn.Conv3d(channels, channels, **space), nn.Conv3d(channels, channels, **time))


def test_two_plus_one():
    check = exercises.check_3_4
    check(two_plus_one)
    check(
        lambda channels: nn.Sequential(
            two_plus_one(channels)[0], nn.LeakyReLU(0.1), two_plus_one(channels)[1]
        )
    )
    turned_away(
        check, lambda n: two_plus_one(n, time={"padding_mode": "zeros"}), r"reaches the frames \[0, 1\]"
    )
    turned_away(check, lambda n: two_plus_one(n, {"padding_mode": "circular"}), "Space is not cyclic")
    turned_away(check, lambda n: two_plus_one(n, time={"padding": 0}), "returns the shape")
    turned_away(check, lambda n: nn.Conv3d(n, n, 3, padding=1), "a full 3x3x3 convolution has")
    turned_away(check, lambda n: two_plus_one(n, {"bias": False}), "32 biases")
    turned_away(check, lambda n: two_plus_one, "expected a module")


class Repaired(nn.Module):
    """The notebook's solution, with a switch for every flaw."""

    def __init__(
        self, features, start=lambda cine: cine, end=lambda h: h, residual=False, cyclic=True, taps=3
    ):
        super().__init__()
        mode = "circular" if cyclic else "zeros"
        around = {"padding": (taps // 2, 1, 1), "padding_mode": mode}
        self.first = nn.Conv3d(2, features, (taps, 3, 3), **around)
        self.last = nn.Conv3d(features, 2, (taps, 3, 3), **around)
        self.start, self.end, self.residual = start, end, residual

    def forward(self, cine):
        h = self.start(cine)
        h = functional.leaky_relu(self.first(torch.stack([h.real, h.imag], 1)), 0.1)
        h = self.end(self.last(h))
        return torch.complex(h[:, 0], h[:, 1]) + (cine if self.residual else 0)


class Channels(nn.Module):
    """Frames as channels of a volume of depth one, everything else right."""

    def __init__(self, features, frames=8):
        super().__init__()
        self.first = nn.Conv3d(2 * frames, features, 3, padding=1)
        self.last = nn.Conv3d(features, 2 * frames, 3, padding=1)

    def forward(self, cine):
        h = torch.cat([cine.real, cine.imag], 1)[:, :, None]
        return torch.complex(*self.last(functional.leaky_relu(self.first(h), 0.1))[:, :, 0].chunk(2, 1))


class AnyNumber(Channels):
    """The same, cut or filled up to the number of frames that it was made for."""

    def forward(self, cine):
        t = cine.shape[1]
        return super().forward(cine[:, torch.arange(8) % t])[:, :t]


def test_repaired_network():
    check = exercises.check_3_2
    for residual in (False, True):
        check(lambda n, residual=residual: Repaired(n, residual=residual))

        def flawed(start=lambda cine: cine, end=lambda h: h, residual=residual, **options):
            return lambda n: Repaired(n, start, end, residual, **options)

        magnitude, real = (lambda cine: cine.abs() + 0j), (lambda cine: cine.real + 0j)
        turned_away(check, flawed(magnitude), "another phase of the input")
        turned_away(check, flawed(real), "another imaginary part of the input")
        for end in (torch.sigmoid, torch.relu, torch.abs):
            turned_away(check, flawed(end=end), "real part of the output.*expected both signs")
        turned_away(check, flawed(cyclic=False), r"reaches the frames|start one frame later")
        turned_away(check, flawed(taps=1), r"reaches the frames \[0\]")
    turned_away(check, Channels, "does not fit the channels of a layer")
    turned_away(check, AnyNumber, "start one frame later")
    turned_away(check, nn.Identity, "no parameters")
    turned_away(check, lambda n: lambda cine: cine, "expected a module")

    class Absolute(Repaired):
        def forward(self, cine):
            return super().forward(cine).abs()

    class RealAlone(Repaired):
        def forward(self, cine):
            return super().forward(cine).real + 0j

    turned_away(check, Absolute, "torch.float32, expected torch.complex64")
    turned_away(check, RealAlone, "imaginary part of the output lies between")
