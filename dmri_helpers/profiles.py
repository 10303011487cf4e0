"""How large a run is: `TINY` for tests, `DEMO` for two cores, `FULL` for the seed report's configuration."""

import math
import os
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

_MAY_BE_ZERO = """branches resnet_features resnet_blocks blocks crop center_lines center_lines_to coils cines_per_epoch
    seed""".split()
_MOST = {"seed": 2**63 - 1, "branches": 2, "depth": 20, "dropout": 1, "ema": 1}
_INFINITE = "data_weight"  # may be


class OptionError(ValueError):
    """An option that cannot be; the message is one line and begins with its name."""


class _Checked:
    """Options that are checked where they are set, in a notebook, a file or a command."""

    def __post_init__(self) -> None:
        for option in fields(self):  # type: ignore[arg-type]  # every class below is a dataclass
            value = getattr(self, option.name)
            if expected := _expected(option.name, option.type, value):
                raise OptionError(f"{option.name} {value}: expected {expected}")


def _expected(name: str, kind: Any, value: Any) -> str:
    """What an option should have been; empty if it is."""
    if kind is bool:
        return "" if isinstance(value, bool) else "True or False"
    if choices := get_args(kind):
        return "" if value in choices else f"one of {', '.join(choices)}"
    if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
        return "a whole number" if kind is int else "a number"
    lowest = 1 if kind is int and name not in _MAY_BE_ZERO else 0
    most = _MOST.get(name, 10**9)
    if not value >= lowest:
        return f"at least {lowest}"
    if name in ("dropout", "ema") and value >= most:
        return "a probability below 1" if name == "dropout" else "a decay below 1, such as 0.99"
    if value > most and not (name == _INFINITE and value == math.inf):
        return f"at most {most}"
    return ""


@dataclass(frozen=True)
class DualUNetConfig(_Checked):
    """The stand-alone network; the defaults are the seed report's size."""

    frames: int = 20
    """frames per window (channels of the U-Nets)"""
    init_features: int = 64
    """channels of the first level of each U-Net"""
    depth: int = 4
    """how often the U-Nets halve the image"""
    dropout: float = 0.3
    """probability of dropping a channel after each block"""
    attention: bool = True
    """channel and spatial attention in the bottleneck"""
    branches: int = 2
    """2: one U-Net each for real and imaginary part, 1: one for both, 0: none"""
    resnet_features: int = 16
    """channels of the 3-D ResNet, 0 for none"""
    resnet_blocks: int = 1
    """residual blocks of the 3-D ResNet"""
    start: Literal["zero_filled", "temporal_mean", "view_sharing"] = "zero_filled"
    """what the network is fed with"""


@dataclass(frozen=True)
class UnrolledConfig(_Checked):
    """The cascade of 3-D ResNets with data consistency."""

    cascades: int = 5
    """how often network and data take turns"""
    features: int = 16
    """channels of each 3-D ResNet"""
    blocks: int = 1
    """residual blocks of each 3-D ResNet"""
    shared: bool = False
    """the same weights in every cascade"""
    data_weight: float = float("inf")
    """weight of the data in the consistency step; inf is hard consistency"""
    learnable_weight: bool = False
    """train the (finite) data weight"""
    checkpointing: bool = False
    """less memory for more time while training"""
    start: Literal["zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing"] = "temporal_mean"
    """the first image"""
    hint: Literal["none", "view_sharing", "conjugate_view_sharing"] = "none"
    """show each network this image, too, and what the data corrected after the last turn"""
    phase_reference: bool = False
    """show each network the image without its smooth phase, so that complex images look like real ones"""
    alternate_xf: bool = False
    """every second network works on the spectrum over time"""
    noise_scale: float = 0.0
    """start of the learnt noise level at which data and image count alike, one for each cascade; 0: data are kept"""


@dataclass(frozen=True)
class TrainConfig(_Checked):
    """How a network is trained; the defaults are the seed report's, with warm-up and cosine."""

    epochs: int = 800
    """passes through the training cines"""
    batch_size: int = 10
    """cines per step"""
    learning_rate: float = 1e-4
    """peak rate of AdamW"""
    weight_decay: float = 1e-4
    """decoupled weight decay of AdamW"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """cosine: linear warm-up over the first twentieth, then a cosine to zero"""
    loss: Literal["l1", "l2", "charbonnier"] = "l2"
    """mean absolute or mean squared error of the complex image; charbonnier: between them, smooth at zero"""
    crop: int = 0
    """train on so many readout columns of each cine (exact: columns are independent); 0 for all"""
    acceleration: float = 5
    """phase-encode lines over sampled lines"""
    center_lines: int = 11
    """fully sampled lines in the middle of k-space"""
    density: Literal["quadratic", "gaussian", "mixed"] = "quadratic"
    """how the other lines are drawn; mixed: one way or the other for every cine"""
    mixed_precision: bool = True
    """bfloat16 where the device computes in it natively"""
    seed: int = 0
    """of weights, split, shuffling and masks"""
    ema: float = 0.0
    """decay of an exponential moving average of the weights, such as 0.99, over about 1 / (1 - ema) steps: it is
    validated and kept instead of them; 0: none"""
    clip: float = 0.0
    """shorten gradients to at most this norm; 0: as they are"""
    acceleration_to: float = 0.0
    """draw every cine's acceleration between acceleration and this; 0: all have the same"""
    center_lines_to: int = 0
    """draw every cine's centre lines between center_lines and this; 0: all have the same"""
    noise: float = 0.0
    """largest standard deviation of the noise on the measured lines (images reach 1), drawn for every cine from 0 to
    this, a third of them without; the target stays clean; 0: none"""
    phase: float = 0.0
    """largest strength of a scanner's phase, drawn for every cine from 0 to this, a fifth of them without; 1 is up to
    2.5 rad at the rim; 0: none"""
    coils: int = 0
    """receive coils around the chest; 0: one, as sensitive everywhere"""
    augment: bool = False
    """images upside down or mirrored, time shifted or backwards, drawn for every cine"""
    cines_per_epoch: int = 0
    """an epoch has so many of the training cines, drawn anew; 0: all"""


@dataclass(frozen=True)
class Profile:
    """One size of the whole course: data, networks, training."""

    name: str
    n_cines: int
    shape: tuple[int, int, int]
    dual_unet: DualUNetConfig
    dual_unet_training: TrainConfig
    ablation: DualUNetConfig
    ablation_training: TrainConfig
    unrolled: UnrolledConfig
    unrolled_training: TrainConfig
    cascades: tuple[int, ...]


TINY = Profile(
    name="tiny",
    n_cines=7,
    shape=(8, 96, 64),
    dual_unet=DualUNetConfig(frames=8, init_features=8, depth=2, resnet_features=4),
    dual_unet_training=TrainConfig(epochs=6, batch_size=1, learning_rate=5e-3),
    ablation=DualUNetConfig(frames=8, init_features=4, depth=1, resnet_features=4),
    ablation_training=TrainConfig(epochs=3, batch_size=1, learning_rate=5e-3),
    unrolled=UnrolledConfig(cascades=2, features=4),
    unrolled_training=TrainConfig(epochs=6, batch_size=1, learning_rate=5e-3, crop=32, loss="l1"),
    cascades=(1, 2),
)
DEMO = Profile(
    name="demo",
    n_cines=28,
    shape=(20, 192, 192),
    dual_unet=DualUNetConfig(init_features=16, depth=3),
    dual_unet_training=TrainConfig(epochs=30, batch_size=1, learning_rate=2e-3, crop=64),
    ablation=DualUNetConfig(init_features=8, depth=2),
    ablation_training=TrainConfig(epochs=20, batch_size=1, learning_rate=2e-3, crop=64),
    unrolled=UnrolledConfig(cascades=5),
    unrolled_training=TrainConfig(epochs=30, batch_size=1, learning_rate=2e-3, crop=32, loss="l1"),
    cascades=(1, 2, 3, 5),
)
FULL = Profile(
    name="full",
    n_cines=200,
    shape=(20, 192, 192),
    dual_unet=DualUNetConfig(),
    dual_unet_training=TrainConfig(),
    ablation=DualUNetConfig(),
    ablation_training=TrainConfig(),
    unrolled=UnrolledConfig(cascades=8, features=32, blocks=2, checkpointing=True),
    unrolled_training=TrainConfig(epochs=300, batch_size=4, learning_rate=1e-3, crop=48, loss="l1"),
    cascades=(1, 2, 3, 5, 8),
)


def current() -> Profile:
    """The profile that the environment variable ``DMRI_PROFILE`` names; ``demo`` where it is not set.

    Raises
    ------
    ValueError
        if there is no such profile; the message names those there are
    """
    name = os.environ.get("DMRI_PROFILE") or "demo"
    profiles = {profile.name: profile for profile in (TINY, DEMO, FULL)}
    if name not in profiles:
        raise ValueError(f"DMRI_PROFILE is {name!r}; expected one of {', '.join(profiles)}")
    return profiles[name]


def data_source() -> str:
    """The data that the environment variable ``DMRI_DATA`` names; ``phantom`` where it is not set.

    A relative path counts from the working directory or, for notebooks, from the folder above.
    """
    source = os.path.expanduser(os.environ.get("DMRI_DATA") or "phantom")
    above = Path("..") / source
    return str(above) if source != "phantom" and not Path(source).exists() and above.exists() else source


def results_folder() -> Path:
    """Where notebooks keep what they draw and measure: ``build/results/<profile>-<data>`` of the project."""
    return _project() / "build" / "results" / f"{current().name}-{Path(data_source()).stem}"


def runs_folder() -> Path:
    """Where notebooks keep what they train: ``runs/<profile>`` of the project."""
    return _project() / "runs" / current().name


def _project() -> Path:
    here = Path.cwd()
    return here.parent if here.name == "notebooks" else here
