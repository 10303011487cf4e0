"""The seed report's networks with their flaws mended (notebook 03): a complex cine ``(b, t, y, x)`` in, and one out.

Two-channel real tensors exist only inside this module. Every network predicts a residual that is added to its
input, its outputs are signed, and its last layer starts at zero: untrained, it returns what it was given.
"""

import torch
from torch import nn
from torch.nn import functional

# Readout columns that a processor reconstructs at a time, without gradients. Features of a whole cine (32 channels of
# 20 x 192 x 192) do not fit into its cache; those of a strip do, which is a quarter faster. The margins, as wide as the
# convolutions reach, are computed twice.
_STRIP = 48


class ChannelAttention(nn.Module):
    """Weigh channels (in the 2-D U-Net: mixtures of frames) by what they hold on average and at their peak [1]_.

    Parameters
    ----------
    channels
        number of channels
    reduction
        the shared two-layer perceptron narrows to ``channels // reduction``

    References
    ----------
    .. [1] Woo et al., CBAM: Convolutional block attention module, ECCV (2018), equation 2.
    """

    def __init__(self, channels: int, reduction: int = 8):
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features in and out, shape ``(b, channels, y, x)``."""
        average = self.perceptron(features.mean((2, 3), keepdim=True))
        peak = self.perceptron(features.amax((2, 3), keepdim=True))
        return features * torch.sigmoid(average + peak)


class SpatialAttention(nn.Module):
    """Weigh places by a 7 x 7 convolution over the mean and the maximum of the channels [1]_.

    References
    ----------
    .. [1] Woo et al., CBAM: Convolutional block attention module, ECCV (2018), equation 3.
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features in and out, shape ``(b, channels, y, x)``."""
        summary = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        return features * torch.sigmoid(self.conv(summary))


class AttentionUNet(nn.Module):
    """Encoder-decoder with skip connections, attention in the bottleneck [1]_.

    Parameters
    ----------
    in_channels, out_channels
        for the course: frames of the cine
    init_features
        channels of the first level, doubled at each further one; the seed report's is 64
    depth
        how often the image is halved; the seed report's is 4
    dropout
        probability of dropping a whole channel after each block; 0 switches it off
    attention
        channel and spatial attention in the bottleneck

    Raises
    ------
    ValueError
        if the depth is below 1

    References
    ----------
    .. [1] Ronneberger et al., U-Net, MICCAI (2015), figure 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        init_features: int = 64,
        depth: int = 4,
        dropout: float = 0.3,
        attention: bool = True,
    ):
        super().__init__()
        if depth < 1:
            raise ValueError(f"a U-Net halves the image at least once: depth is 1 or more, not {depth}")
        widths = [init_features * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            _block2d(i, o, dropout) for i, o in zip([in_channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.bottleneck = _block2d(widths[-2], widths[-1], dropout)
        self.attention = (
            nn.Sequential(ChannelAttention(widths[-1]), SpatialAttention()) if attention else nn.Identity()
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(_block2d(2 * w, w, dropout) for w in reversed(widths[:-1]))
        self.last = nn.Conv2d(init_features, out_channels, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map images ``(b, in_channels, y, x)`` to ``(b, out_channels, y, x)``, any size (padded inside)."""
        y, x = image.shape[-2:]
        unit = 2 ** len(self.encoder)
        features = functional.pad(image, (0, -x % unit, 0, -y % unit), mode="replicate")
        skips = []
        for block in self.encoder:
            features = block(features)
            skips.append(features)
            features = functional.max_pool2d(features, 2)
        features = self.attention(self.bottleneck(features))
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([up(features), skips.pop()], 1))
        return self.last(features)[..., :y, :x]


class ResNet3D(nn.Module):
    """Residual 3-D network over (t, y, x), complex in, complex out [1]_.

    Frames are the depth of the convolutions, so the kernels see time; a cine is periodic, so time is padded
    cyclically. One 1 x 1 x 1 convolution ends it, as in the seed report.

    Parameters
    ----------
    features
        channels
    blocks
        residual blocks of two 3 x 3 x 3 convolutions each
    hints
        how many cines it looks at beside the one that it corrects

    References
    ----------
    .. [1] He et al., Deep residual learning for image recognition, CVPR (2016), figure 2.
    """

    def __init__(self, features: int = 16, blocks: int = 1, hints: int = 0):
        super().__init__()
        self.first = _Conv3d(2 + 2 * hints, features)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _Conv3d(features, features), nn.LeakyReLU(0.1, inplace=True), _Conv3d(features, features)
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv3d(features, 2, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, cine: torch.Tensor, *hints: torch.Tensor) -> torch.Tensor:
        """Add a learnt residual to a complex cine ``(b, t, y, x)``, seen beside others of that shape."""
        x, reach = cine.shape[-1], 1 + 2 * len(self.blocks)
        if torch.is_grad_enabled() or cine.device.type != "cpu" or x <= _STRIP + 2 * reach:
            return cine + self._residual(cine, *hints)
        corrected = cine.clone()
        for start in range(0, x, _STRIP):
            first, end = max(start - reach, 0), min(start + _STRIP, x)
            strip = self._residual(*(image[..., first : end + reach] for image in (cine, *hints)))
            corrected[..., start:end] += strip[..., start - first :][..., : end - start]
        return corrected

    def _residual(self, *images: torch.Tensor) -> torch.Tensor:
        seen = (
            torch.cat([_to_channels(image) for image in images], 1) if images[1:] else _to_channels(*images)
        )
        features = functional.leaky_relu_(self.first(seen), 0.1)
        for block in self.blocks:
            features = functional.leaky_relu_(block(features).add_(features), 0.1)
        return _to_complex(self.last(features))


class XFResNet3D(ResNet3D):
    """A `ResNet3D` on the spectrum over time (x-f space) [1]_: its axis of frames is one of temporal frequencies.

    Tissue that is still has one coefficient there, a beating heart a few, and aliasing spreads over all of them. The
    transform is orthonormal, with the zero frequency first; frequencies are cyclic, as the padding has them.

    References
    ----------
    .. [1] Qin et al., k-t NEXT: dynamic MR image reconstruction exploiting spatio-temporal correlations, MICCAI
       (2019), section 2.
    """

    def _residual(self, *images: torch.Tensor) -> torch.Tensor:
        spectra = (torch.fft.fft(image, dim=1, norm="ortho") for image in images)
        return torch.fft.ifft(super()._residual(*spectra), dim=1, norm="ortho")


class DualUNet(nn.Module):
    """The seed report's network: a U-Net for the real part, one for the imaginary part, a 3-D ResNet over time.

    Three flaws of the seed are mended: frames are the depth of the 3-D convolutions (they were channels with a
    depth of one), outputs are signed (they ended in a sigmoid), and real and imaginary part stay apart to the
    end (the magnitude was taken before the 3-D stage). Each piece can be switched off.

    Parameters
    ----------
    frames
        frames are channels of the U-Nets, which fixes their number; cines of another length are cut, cyclically,
        into windows of so many
    init_features, depth, dropout, attention
        of each `AttentionUNet`
    branches
        2: one U-Net for the real and one for the imaginary part; 1: one U-Net for both; 0: no U-Net
    resnet_features, resnet_blocks
        of the `ResNet3D`; no features, no ResNet
    """

    def __init__(
        self,
        frames: int = 20,
        init_features: int = 64,
        depth: int = 4,
        dropout: float = 0.3,
        attention: bool = True,
        branches: int = 2,
        resnet_features: int = 16,
        resnet_blocks: int = 1,
    ):
        super().__init__()
        if branches not in (0, 1, 2):
            raise ValueError(
                f"branches is 2 (real, imaginary), 1 (both in one U-Net) or 0 (none), not {branches}"
            )
        self.frames = frames
        channels = 2 * frames // max(branches, 1)
        self.unets = nn.ModuleList(
            AttentionUNet(channels, channels, init_features, depth, dropout, attention)
            for _ in range(branches)
        )
        self.resnet = ResNet3D(resnet_features, resnet_blocks) if resnet_features else nn.Identity()

    def branch_images(self, cine: torch.Tensor) -> torch.Tensor:
        """What the U-Nets make of a cine, before the ResNet: complex, shape ``(b, t, y, x)`` with ``t = frames``."""
        if not len(self.unets):
            return cine
        stacked = torch.cat([cine.real, cine.imag], 1)
        parts = [unet(part) for unet, part in zip(self.unets, stacked.chunk(len(self.unets), 1), strict=True)]
        return cine + torch.complex(*torch.cat(parts, 1).float().chunk(2, 1))

    def forward(self, cine: torch.Tensor) -> torch.Tensor:
        """De-alias a complex cine ``(b, t, y, x)``; same shape out."""
        b, t, y, x = cine.shape
        windows = -(-t // self.frames)
        cyclic = torch.arange(windows * self.frames, device=cine.device) % t
        windowed = cine[:, cyclic].reshape(b * windows, self.frames, y, x)
        return self.resnet(self.branch_images(windowed)).reshape(b, -1, y, x)[:, :t]


class StandAlone(nn.Module):
    """A network that maps images to images, as a reconstruction of k-space: start, then de-alias.

    Parameters
    ----------
    network
        complex cine in, complex cine out
    start
        first image, ``start(kspace, A) -> cine``: the zero-filled one in the seed report
    """

    def __init__(self, network: nn.Module, start):
        super().__init__()
        self.network = network
        self.start = start

    def forward(self, kspace: torch.Tensor, A) -> torch.Tensor:
        """k-space and its `operators.ForwardModel`, of one coil or many, to a complex cine ``(b, t, y, x)``."""
        return self.network(self.start(kspace, A))


def _block2d(in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.LeakyReLU(0.1),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        nn.InstanceNorm2d(out_channels, affine=True),
        nn.LeakyReLU(0.1),
        nn.Dropout2d(dropout),
    )


class _Conv3d(nn.Conv3d):
    """3 x 3 x 3 convolution over (t, y, x): cyclic in time, zeros around the image.

    The plain way is ``pad(mode="circular")`` in time, then convolve. It copies all features to add two frames, and its
    backward pass adds up three padded copies; here there are three ways to the same numbers, each faster where it is
    taken: with gradients a padding with a backward pass of its own (`_Cyclic`); without, zeros instead of the two
    frames, and then what they lack added to the first and last frame alone; and for the few channels of an image, which
    leave most of a processor's vector registers empty, the two neighbours of a frame as channels of a 2-D convolution.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=(0, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.in_channels <= 4:
            stacked = torch.cat([features.roll(1, 2), features, features.roll(-1, 2)], 1)
            weight = self.weight.transpose(1, 2).flatten(1, 2)[:, :, None]
            return functional.conv3d(stacked, weight, self.bias, padding=(0, 1, 1))
        if torch.is_grad_enabled():
            return super().forward(_Cyclic.apply(features))
        out = functional.conv3d(features, self.weight, self.bias, padding=1)
        for frame, neighbour, tap in ((0, -1, 0), (-1, 0, 2)):
            lacking = functional.conv2d(features[:, :, neighbour], self.weight[:, :, tap], padding=1)
            out[:, :, frame] += lacking
        return out


class _Cyclic(torch.autograd.Function):
    """The last frame before the first, the first after the last. Autograd alone would add up three padded copies."""

    @staticmethod
    def forward(ctx, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([features[:, :, -1:], features, features[:, :, :1]], 2)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        inner = grad[:, :, 1:-1].clone()
        inner[:, :, 0] += grad[:, :, -1]
        inner[:, :, -1] += grad[:, :, 0]
        return inner


def _to_channels(cine: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(cine).movedim(-1, 1)  # channels last: no copy, and convolutions are fastest


def _to_complex(channels: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(channels.float().movedim(1, -1).contiguous())
