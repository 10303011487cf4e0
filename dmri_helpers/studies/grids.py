"""The studies of `study`: their rows, and what is altered in a network to make a mistake on purpose."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from .. import methods
from ..data import Cines, UndersampledCines
from ..data.phantom import phantom
from ..operators import ForwardModel
from ..profiles import DualUNetConfig, TrainConfig, UnrolledConfig
from ..sampling import ky_t_mask
from .rivals import RIVALS
from .study import Row, Study, phantoms

_NO_DATA = 1e-9  # weight of the data: the step changes nothing
_SLICES = (0.45, 0.55, 0.65)  # levels between apex (0) and base (1)


class Drawn(nn.Module):
    """A network without its residual path, and with a sigmoid at its end where that is asked for."""

    def __init__(self, network: nn.Module, sigmoid: bool = False):
        super().__init__()
        self.network, self.sigmoid = network, sigmoid

    def forward(self, image: torch.Tensor, *hints: torch.Tensor) -> torch.Tensor:
        drawn = self.network(image, *hints) - image
        return torch.complex(drawn.real.sigmoid(), drawn.imag.sigmoid()) if self.sigmoid else drawn


class Magnitude(nn.Module):
    """A network that is shown a magnitude and returns one."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor, *hints: torch.Tensor) -> torch.Tensor:
        return self.network(image.abs().to(image.dtype), *hints).abs().to(image.dtype)


class FramesAsChannels(nn.Module):
    """The temporal stage as the seed had it: frames are channels, so that its 3-D convolutions have a depth of one."""

    def __init__(self, frames: int, features: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(2 * frames, features, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(features, features, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(features, 2 * frames, 1),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, cine: torch.Tensor) -> torch.Tensor:
        residual = self.layers(torch.cat([cine.real, cine.imag], 1)[:, :, None])[:, :, 0].float()
        return cine + torch.complex(*residual.chunk(2, 1))


class OtherMask(nn.Module):
    """A data step that draws a new mask and takes what lies there for measured."""

    def __init__(self, consistency: nn.Module):
        super().__init__()
        self.consistency = consistency

    def forward(self, image: torch.Tensor, aliased: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        seed = int(torch.randint(2**31, ()))
        return self.consistency(image, aliased, ForwardModel(ky_t_mask(image.shape, seed=seed)))


class WithoutTruth(nn.Module):
    """Learn from undersampled data alone: a network gets a part of the lines and is judged on the others [1]_.

    In training the result is not an image but the error on the lines that were kept back, so that the target is zero.

    References
    ----------
    .. [1] Yaman et al., Self-supervised learning of physics-guided reconstruction neural networks without fully sampled
       reference data, Magn Reson Med 84:3172 (2020): SSDU, with 40 % of the lines kept back.
    """

    def __init__(self, network: nn.Module, kept_back: float = 0.4):
        super().__init__()
        self.network, self.kept_back = network, kept_back

    def forward(self, kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        if not self.training:
            return self.network(kspace, A)
        centre = torch.zeros_like(A.mask)
        lines = A.mask.shape[2]
        centre[:, :, lines // 2 - 2 : lines // 2 + 3] = True
        judged = A.mask & ~centre & (torch.rand(A.mask.shape) < self.kept_back)
        given = ForwardModel(A.mask & ~judged, noise=A.noise)
        image = self.network(kspace * given.lines, given)
        return ForwardModel(judged)(image) - kspace * judged


class TargetZero:
    """Training samples without their truth."""

    def __init__(self, cines: UndersampledCines):
        self.cines = cines

    def __len__(self) -> int:
        return len(self.cines)

    def set_epoch(self, *which) -> None:
        self.cines.set_epoch(*which)

    def batches(self, *how):
        for kspace, A, target in self.cines.batches(*how):
            yield kspace, A, torch.zeros_like(target)


def _of_the_unet(change: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """Change the network behind the start."""

    def alter(model: nn.Module) -> nn.Module:
        model.network = change(model.network)
        return model

    return alter


def _of_every_turn(change: Callable[[nn.Module], nn.Module], part: str = "regularisers"):
    """Change the network, or the data step, of every cascade."""

    def alter(model: nn.Module) -> nn.Module:
        setattr(model, part, nn.ModuleList(change(one) for one in getattr(model, part)))
        return model

    return alter


def _attention(part: int) -> Callable[[nn.Module], nn.Module]:
    """Only channel attention (0) or only spatial attention (1)."""

    def alter(dual: nn.Module) -> nn.Module:
        for unet in dual.unets:
            unet.attention = unet.attention[part]
        return dual

    return _of_the_unet(alter)


def _magnitude_before_the_resnet(dual: nn.Module) -> nn.Module:
    dual.resnet = Magnitude(dual.resnet)
    return dual


def _frames_as_channels(dual: nn.Module) -> nn.Module:
    dual.resnet = FramesAsChannels(dual.frames, _UNET.resnet_features)
    return dual


def _one_mask(cines: UndersampledCines) -> UndersampledCines:
    cines.mask = ky_t_mask((1, *cines.cines.shape[1:]), seed=7)
    return cines


def _mistakes_of_both(network: methods.NetworkConfig, alter: Callable) -> dict[str, Row]:
    """Mistakes that a stand-alone network and a cascade can make; ``alter`` changes the network inside."""
    return {
        "no residual path": Row(network, alter=alter(Drawn)),
        "no residual path, a sigmoid at the end": Row(network, alter=alter(partial(Drawn, sigmoid=True))),
        "one mask for all cines": Row(network, learn_from=_one_mask),
    }


def _start_of(name: str) -> Callable[[nn.Module], Callable]:
    return lambda model: methods.CLASSICAL[name]


def _one_step_after(model: nn.Module) -> Callable:
    """The network, and behind it the nearest image that agrees with the data."""
    return lambda kspace, A: A.closest(model(kspace, A), A.adjoint(kspace), torch.inf)


def _slices(patients: Iterable[int], levels: Sequence[float], shape: tuple[int, int, int]) -> Cines:
    """These slices of these patients."""
    pairs = itertools.product(patients, levels)
    drawn = [phantom.cine_phantom(1000 + patient, shape, level=level).image for patient, level in pairs]
    return Cines(np.stack(drawn), "phantom, several slices of a patient")


def _neighbours(same: bool) -> Callable[[Study], tuple[Cines, Cines, Cines]]:
    """Middle slices of some patients are tested; the training set has the outer slices of the same, or of others."""

    def cines(study: Study) -> tuple[Cines, Cines, Cines]:
        training, _, test = study.cines
        first = 0 if same else 100
        patients = [*range(first, first + test), *range(200, 200 + training // 2 - test)]
        outer = _slices(patients, (_SLICES[0], _SLICES[2]), study.shape)
        return outer, phantoms(study)[1], _slices(range(test), _SLICES[1:2], study.shape)

    return cines


_CASCADE = UnrolledConfig(cascades=3, features=12, start="view_sharing")
_OURS = UnrolledConfig(
    cascades=4,
    start="conjugate_view_sharing",
    hint="conjugate_view_sharing",
    phase_reference=True,
    alternate_xf=True,
    noise_scale=0.1,
)
_BOTH = TrainConfig(
    epochs=16,
    batch_size=1,
    learning_rate=2e-3,
    loss="l1",
    crop=32,
    clip=0.03,
    phase=1.3,
    noise=0.05,
    augment=True,
)
_UNET = DualUNetConfig(frames=16, init_features=8, depth=2, resnet_features=16, start="zero_filled")
_REPORT = TrainConfig(
    epochs=16, batch_size=1, learning_rate=2e-3, crop=64, phase=1.3, noise=0.05, augment=True
)
_FROM_NOTHING = replace(_CASCADE, start="zero_filled")

STUDIES = {
    "consistency": Study(
        question="Is it the data step that makes a cascade better than a network alone?",
        reference="hard data step",
        rows={
            "hard data step": Row(_CASCADE, also={"start: view sharing": _start_of("view_sharing")}),
            "data step that knows the noise": Row(replace(_CASCADE, noise_scale=0.1)),
            "soft data step, weight 1": Row(replace(_CASCADE, data_weight=1.0)),
            "no data step": Row(
                replace(_CASCADE, data_weight=_NO_DATA),
                also={"no data step, but one at the end": _one_step_after},
            ),
            "hard data step, zero-filled start": Row(
                _FROM_NOTHING, also={"start: zero-filled": _start_of("zero_filled")}
            ),
            "no data step, zero-filled start": Row(
                replace(_FROM_NOTHING, data_weight=_NO_DATA),
                also={"no data step, zero-filled start, but one at the end": _one_step_after},
            ),
        },
        training=_BOTH,
    ),
    "pieces": Study(
        question="Which pieces of the dual U-Net, and which of its training, matter?",
        reference="dual U-Net",
        rows={
            "dual U-Net": Row(_UNET, also={"start: zero filled": _start_of("zero_filled")}),
            "no attention": Row(replace(_UNET, attention=False)),
            "channel attention alone": Row(_UNET, alter=_attention(0)),
            "spatial attention alone": Row(_UNET, alter=_attention(1)),
            "no temporal stage": Row(replace(_UNET, resnet_blocks=0, resnet_features=0)),
            "one U-Net": Row(replace(_UNET, branches=1)),
            "no U-Net": Row(replace(_UNET, branches=0)),
            "no dropout": Row(replace(_UNET, dropout=0.0)),
            "constant rate": Row(_UNET, training={"schedule": "constant"}),
            "no dropout, constant rate": Row(replace(_UNET, dropout=0.0), training={"schedule": "constant"}),
            "no weight decay": Row(_UNET, training={"weight_decay": 0.0}),
            "L1 loss": Row(_UNET, training={"loss": "l1"}),
            "fed with view sharing": Row(
                replace(_UNET, start="view_sharing"), also={"start: view sharing": _start_of("view_sharing")}
            ),
        },
        training=_REPORT,
    ),
    "mistakes": Study(
        question="What does each mistake of the report cost its own network?",
        reference="dual U-Net",
        rows={
            "dual U-Net": Row(_UNET, also={"start: zero filled": _start_of("zero_filled")}),
            **_mistakes_of_both(_UNET, _of_the_unet),
            "magnitude before the temporal stage": Row(
                _UNET, alter=_of_the_unet(_magnitude_before_the_resnet)
            ),
            "frames as channels of the temporal stage": Row(_UNET, alter=_of_the_unet(_frames_as_channels)),
        },
        training=_REPORT,
    ),
    "cascade_mistakes": Study(
        question="What does each mistake cost a cascade?",
        reference="hard data step",
        rows={
            "hard data step": Row(_CASCADE, also={"start: view sharing": _start_of("view_sharing")}),
            **_mistakes_of_both(_CASCADE, _of_every_turn),
            "magnitude between the data steps": Row(_CASCADE, alter=_of_every_turn(Magnitude)),
            "another mask in every data step": Row(
                _CASCADE, alter=_of_every_turn(OtherMask, "consistencies")
            ),
        },
        training=_BOTH,
    ),
    "leakage": Study(
        question="How much better does a network look if other slices of its test patients are in its training set?",
        reference="other patients",
        rows={
            "other patients": Row(replace(_UNET, dropout=0.0), cines=_neighbours(False)),
            "two slices of each test patient": Row(replace(_UNET, dropout=0.0), cines=_neighbours(True)),
        },
        training=replace(_REPORT, epochs=32),
    ),
    "without_truth": Study(
        question="Can a cascade learn from undersampled data alone?",
        reference="with fully sampled cines",
        rows={
            "with fully sampled cines": Row(
                _OURS, also={"start: conjugate view sharing": _start_of("conjugate_view_sharing")}
            ),
            "from undersampled data alone": Row(
                _OURS, alter=WithoutTruth, learn_from=TargetZero, training={"clip": 0.0}
            ),
        },
        training=_BOTH,
    ),
    "arena": Study(
        question="Which network reconstructs best after the same time of training?",
        reference="ours",
        rows={
            "ours": Row(
                _OURS,
                also={
                    "start: conjugate view sharing": _start_of("conjugate_view_sharing"),
                    "k-t TV": _start_of("kt_tv"),
                },
            ),
            "ours, but from the zero-filled image": Row(
                replace(_OURS, start="zero_filled", hint="none", phase_reference=False)
            ),
            **{name: Row(make) for name, make in RIVALS.items()},
        },
        training=_BOTH,
        seconds=180,
        rates=(2e-3, 5e-4),
    ),
}
_AT_FULL_SIZE = (
    "hard data step",
    "no data step",
    "hard data step, zero-filled start",
    "no data step, zero-filled start",
)
STUDIES["consistency_full_size"] = replace(
    STUDIES["consistency"],
    question="Is it the data step, also at the size of the course?",
    rows={name: STUDIES["consistency"].rows[name] for name in _AT_FULL_SIZE},
    shape=(20, 192, 192),
)
