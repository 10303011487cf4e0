"""Published networks for the same work, each by its paper's design, for the arena (notebook 06, "who won and why").

All are called with k-space ``(b, t, y, x)`` of one coil and its `operators.ForwardModel`, and return a complex cine.
What they share with the course is the data step, `unrolled.DataConsistency`, with a weight that knows the noise where
their papers learn one. Their sizes are scaled to one number of parameters (`RIVALS`). Batch normalisation is left out,
since batches have one cine.
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from .. import classical
from ..operators import ForwardModel
from ..unrolled import DataConsistency, Unrolled

_NOISE_SCALE = 0.1


def _channels(cine: torch.Tensor) -> torch.Tensor:
    """Real and imaginary part as channels: ``(b, 2, t, y, x)``."""
    return torch.stack([cine.real, cine.imag], 1)


def _complex(channels: torch.Tensor) -> torch.Tensor:
    return torch.complex(*channels.float().unbind(1))


class DataSharing(nn.Module):
    """One network of DC-CNN [1]_: five 3-D convolutions on the image and on images with shared views.

    The data sharing layer fills the lines that a frame lacks with the mean of those that its neighbours have, once from
    up to two and once from up to four frames on either side.

    References
    ----------
    .. [1] Schlemper et al., A deep cascade of convolutional neural networks for dynamic MR image reconstruction, IEEE
       Trans Med Imaging 37:491 (2018), section III-D.
    """

    def __init__(self, features: int, reaches: tuple[int, ...] = (2, 4)):
        super().__init__()
        self.reaches = reaches
        self.layers = _layers(nn.Conv3d, 2 * (1 + len(reaches)), features, 5)

    def forward(self, image: torch.Tensor, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        """The image with a residual, and k-space from which views are shared."""
        of_image = ForwardModel(torch.ones_like(A.mask))(image)
        shared = [image]
        for reach in self.reaches:
            steps = range(-reach, reach + 1)
            total = sum(torch.roll(kspace, step, 1) for step in steps)
            count = sum(torch.roll(A.mask.float(), step, 1) for step in steps)
            filled = torch.where(count > 0, total / count.clamp(min=1), of_image)
            filled = torch.where(A.mask, kspace, filled)
            shared.append(ForwardModel(torch.ones_like(A.mask)).adjoint(filled))
        seen = torch.cat([_channels(one) for one in shared], 1)
        return image + _complex(self.layers(seen))


class DCCNN(nn.Module):
    """The dynamic DC-CNN: `DataSharing` and data step in turn, from the zero-filled image."""

    def __init__(self, features: int = 12, cascades: int = 5):
        super().__init__()
        self.networks = nn.ModuleList(DataSharing(features) for _ in range(cascades))
        self.steps = nn.ModuleList(DataConsistency(noise_scale=_NOISE_SCALE) for _ in range(cascades))

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        image = aliased = A.adjoint(kspace)
        for network, step in zip(self.networks, self.steps, strict=True):
            image = step(network(image, kspace, A), aliased, A)
        return image


class CRNN(nn.Module):
    """Convolutional recurrent network [1]_: one network whose hidden states run over time and over iterations.

    Its first layer runs over the frames forwards and backwards, and all layers but the last take what they held in the
    iteration before.

    References
    ----------
    .. [1] Qin et al., Convolutional recurrent neural networks for dynamic MR image reconstruction, IEEE Trans Med
       Imaging 38:280 (2019), figure 1, equations 9 to 11.
    """

    def __init__(self, features: int = 30, iterations: int = 5, first: int = 2):
        super().__init__()
        self.features, self.iterations = features, iterations
        self.into = nn.Conv2d(first, features, 3, padding=1)
        self.over_time = nn.Conv2d(features, features, 3, padding=1)
        self.over_iterations = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(4))
        self.layers = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(features, 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.steps = nn.ModuleList(DataConsistency(noise_scale=_NOISE_SCALE) for _ in range(iterations))

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        aliased = A.adjoint(kspace)
        return self.refine(aliased, aliased, A, [None] * 4)

    def refine(
        self, image: torch.Tensor, aliased: torch.Tensor, A: ForwardModel, hidden: list
    ) -> torch.Tensor:
        """All iterations from an image, and from what the layers hold, which is changed in place."""
        for step in self.steps:
            image = step(image + self._residual(image, hidden), aliased, A)
        return image

    def _residual(self, image: torch.Tensor, hidden: list) -> torch.Tensor:
        b, t, y, x = image.shape
        frames = _channels(image).transpose(1, 2).reshape(b * t, 2, y, x)
        seen = self.into(frames)
        if hidden[0] is not None:
            seen = seen + self.over_iterations[0](hidden[0])
        seen = seen.reshape(b, t, -1, y, x)
        features = (self._along(seen) + self._along(seen.flip(1)).flip(1)).reshape(b * t, -1, y, x)
        hidden[0] = features
        for i, layer in enumerate(self.layers, 1):
            features = layer(features)
            if hidden[i] is not None:
                features = features + self.over_iterations[i](hidden[i])
            features = hidden[i] = torch.relu(features)
        return _complex(self.last(features).reshape(b, t, 2, y, x).transpose(1, 2))

    def _along(self, seen: torch.Tensor) -> torch.Tensor:
        """The hidden state of every frame, each from the frame before."""
        states = [torch.relu(seen[:, 0])]
        for frame in seen.unbind(1)[1:]:
            states.append(torch.relu(frame + self.over_time(states[-1])))
        return torch.stack(states, 1)


class _Denoiser(nn.Module):
    """Five 3-D convolutions that subtract what they take for noise: the denoiser of MoDL."""

    def __init__(self, features: int):
        super().__init__()
        self.layers = _layers(nn.Conv3d, 2, features, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image + _complex(self.layers(_channels(image)))


def modl(features: int = 28, iterations: int = 5) -> nn.Module:
    """MoDL with a 3-D denoiser [1]_: one denoiser for all iterations, and a data step with a learnt weight.

    References
    ----------
    .. [1] Aggarwal, Mani & Jacob, MoDL: model-based deep learning architecture for inverse problems, IEEE Trans Med
       Imaging 38:394 (2019).
    """
    return Unrolled(
        lambda: _Denoiser(features),
        iterations,
        shared=True,
        start=classical.zero_filled,
        noise_scale=_NOISE_SCALE,
    )


class KTNext(nn.Module):
    """k-t NEXT [1]_: a network on the spectrum over time, then a recurrent one on the cine, in turn.

    The first sees the spectrum of what differs from the temporal mean, over frequency and ``y``, columns as a batch.
    The hidden states of the second go on from turn to turn.

    References
    ----------
    .. [1] Qin et al., k-t NEXT: dynamic MR image reconstruction exploiting spatio-temporal correlations, MICCAI (2019).
    """

    def __init__(self, features: int = 20, turns: int = 3):
        super().__init__()
        self.spectral = nn.ModuleList(_layers(nn.Conv2d, 2, features, 5) for _ in range(turns))
        self.steps = nn.ModuleList(DataConsistency(noise_scale=_NOISE_SCALE) for _ in range(turns))
        self.recurrent = CRNN(features, 1)

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        aliased = A.adjoint(kspace)
        image = classical.temporal_mean(kspace, A)
        still, hidden = image.mean(1, keepdim=True), [None] * 4
        for network, step in zip(self.spectral, self.steps, strict=True):
            spectrum = torch.fft.fft(image - still, dim=1, norm="ortho")
            b, t, y, x = spectrum.shape
            planes = _channels(spectrum).permute(0, 4, 1, 2, 3).reshape(b * x, 2, t, y)
            better = network(planes).reshape(b, x, 2, t, y).permute(0, 2, 3, 4, 1)
            image = image + torch.fft.ifft(_complex(better), dim=1, norm="ortho")
            image = self.recurrent.refine(step(image, aliased, A), aliased, A, hidden)
        return image


class Deepinv(nn.Module):
    """What the library deepinv offers as MoDL [1]_: half-quadratic splitting with a DnCNN, each frame an image.

    Needs ``deepinv``, which is no dependency of this package.

    References
    ----------
    .. [1] Tachella et al., DeepInverse: a Python package for solving imaging inverse problems with deep learning, J
       Open Source Softw 10 (2025).
    """

    def __init__(self, features: int = 48, iterations: int = 4):
        super().__init__()
        from deepinv.models import DnCNN, MoDL

        denoiser = DnCNN(in_channels=2, out_channels=2, depth=5, nf=features, pretrained=None)
        self.network = MoDL(denoiser, num_iter=iterations)

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        from deepinv.physics import MRI

        b, t, y, x = kspace.shape
        mask = A.mask.expand(b, t, y, x).reshape(b * t, 1, y, x).expand(-1, 2, -1, -1).float()
        measured = _channels(kspace).transpose(1, 2).reshape(b * t, 2, y, x)
        physics = MRI(mask=mask, img_size=(2, y, x), device=kspace.device)
        return _complex(self.network(measured, physics).reshape(b, t, 2, y, x).transpose(1, 2))


RIVALS: Mapping[str, Callable[[], nn.Module]] = {
    "DC-CNN (Schlemper 2018)": DCCNN,
    "CRNN (Qin 2019)": CRNN,
    "MoDL, 3-D (Aggarwal 2019)": modl,
    "k-t NEXT (Qin 2019)": KTNext,
    "MoDL of deepinv, by frames": Deepinv,
}
"""Each with the number of parameters that the course's network has in the arena, about 65 thousand."""


def needs_deepinv(name: str) -> bool:
    """Whether a row of the arena is built by the package deepinv."""
    return RIVALS.get(name) is Deepinv


def _layers(kind: type[nn.Module], inputs: int, features: int, depth: int) -> nn.Sequential:
    """So many 3 x 3 (x 3) convolutions with ReLU between; the last starts at zero."""
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [kind(inputs, features, 3, padding=1), nn.ReLU()]
        inputs = features
    last = kind(features, 2, 3, padding=1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers, last)
