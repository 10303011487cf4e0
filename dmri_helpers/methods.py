"""From a name or a run folder to a reconstruction: where networks, starts and weights are put together."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from . import classical, fourier
from .networks import DualUNet, ResNet3D, StandAlone, XFResNet3D
from .operators import ForwardModel
from .profiles import DualUNetConfig, UnrolledConfig
from .results.memory import free_memory
from .unrolled import Unrolled

Reconstruct = Callable[[torch.Tensor, ForwardModel], torch.Tensor]
NetworkConfig = DualUNetConfig | UnrolledConfig

CLASSICAL: dict[str, Reconstruct] = {
    "zero_filled": classical.zero_filled,
    "temporal_mean": classical.temporal_mean,
    "view_sharing": classical.view_sharing,
    "conjugate_view_sharing": classical.conjugate_view_sharing,
    "cg_sense": classical.cg_sense,
    "low_rank_sparse": classical.low_rank_sparse,
    "kt_tv": classical.kt_tv,
}
NETWORKS = {"dual_unet": DualUNetConfig, "unrolled": UnrolledConfig}
WEIGHTS = Path(__file__).parent / "weights"
FOUR: tuple[tuple[int, ...], ...] = (), (-3,), (-1,), (-3, -1)
"""Axes along which `mean_of_four` turns a cine."""


def build(config: NetworkConfig, seed: int = 0) -> torch.nn.Module:
    """Make the untrained network of a configuration.

    Parameters
    ----------
    config
        size and pieces
    seed
        of the initial weights; the global random state is left as it was

    Returns
    -------
        module, ``model(kspace, A) -> cine``

    Raises
    ------
    ValueError
        if the free memory does not hold the network and what AdamW keeps of it; nothing is made before
    """
    needed, free = 16 * number_of_weights(config), free_memory()
    if needed > free:
        raise ValueError(
            f"a network of {needed / 16:.3g} weights: training it takes {needed / 1e9:.3g} GB, and "
            f"{free / 1e9:.3g} GB of memory are free; expected a smaller one"
        )
    options = asdict(config)
    start = CLASSICAL[options.pop("start")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(config, DualUNetConfig):
            return StandAlone(DualUNet(**options), start)
        features, blocks = options.pop("features"), options.pop("blocks")
        hint, phase_reference = CLASSICAL.get(options.pop("hint")), options.pop("phase_reference")
        kinds = itertools.cycle([ResNet3D, XFResNet3D if options.pop("alternate_xf") else ResNet3D])
        return Unrolled(
            lambda: next(kinds)(features, blocks, 2 if hint else 0),
            start=start,
            hint=hint,
            phase_of=classical.smooth_phase if phase_reference else None,
            **options,
        )


def number_of_weights(config: NetworkConfig) -> int:
    """About how many weights the network of a configuration has, from its sizes alone."""

    def resnet(features: int, blocks: int) -> int:
        return 27 * 2 * features + blocks * 54 * features**2

    if isinstance(config, UnrolledConfig):
        return config.cascades * (resnet(config.features, config.blocks) + 100)  # a turn is never for nothing
    level, channels = config.init_features, 2 * config.frames // max(config.branches, 1)
    unet = 9 * level * channels  # the kernels of all levels below make up a geometric series
    unet += (
        sum(9 * 4.5 * (level * 2**i) ** 2 for i in range(config.depth))
        + 9 * 1.5 * (level * 2**config.depth) ** 2
    )
    return int(config.branches * unet) + resnet(config.resnet_features, config.resnet_blocks)


def load(method: str | Path) -> Reconstruct:
    """Find a reconstruction: a classical method, a shipped network, a run folder or a weights file.

    Parameters
    ----------
    method
        a key of `CLASSICAL`, one of the `shipped` networks, or the path of a run folder (its best weights) or of a
        ``.safetensors`` file that `runs.Run` wrote

    Returns
    -------
        ``reconstruct(kspace, A) -> cine``; networks are in evaluation mode

    Raises
    ------
    ValueError
        if there is no such method or file, or the file holds no such network; the message is one line
    """
    if str(method) in CLASSICAL:
        return CLASSICAL[str(method)]
    if str(method) in shipped():
        return load_pretrained(str(method))
    path = Path(method)
    file = path / "best.safetensors" if path.is_dir() else path
    if not file.is_file():
        known = ", ".join([*CLASSICAL, *shipped()])
        raise ValueError(f"{method}: found no such method or weights; expected {known}, or a run folder")
    return read_weights(file)


def turned(
    reconstruct: Reconstruct, kspace: torch.Tensor, A: ForwardModel, axes: tuple[int, ...]
) -> torch.Tensor:
    """What a method makes of a cine that is reversed along time (-3), readout (-1) or both, turned back.

    Mirroring an image mirrors its k-space, up to the one line of an even number that has no partner. Going through the
    image avoids it, and is exact along the readout, of which all samples are measured.
    """
    if not axes:
        return reconstruct(kspace, A)
    coils = None if A.coils is None else A.coils.flip(axes)
    B = ForwardModel(A.mask.flip(-3) if -3 in axes else A.mask, coils, A.noise)
    return reconstruct(fourier.fft2c(fourier.ifft2c(kspace).flip(axes)) * B.lines, B).flip(axes)


def mean_of_four(reconstruct: Reconstruct) -> Reconstruct:
    """The mean of the images of a cine as it is, backwards in time, mirrored along the readout, and both.

    A network makes other errors in each of them, and they cancel in part; it takes four times as long.
    """

    def averaged(kspace: torch.Tensor, A: ForwardModel) -> torch.Tensor:
        return sum(turned(reconstruct, kspace, A, axes) for axes in FOUR) / len(FOUR)

    return averaged


def load_pretrained(name: str) -> torch.nn.Module:
    """Load a network that comes with the package, trained on phantoms alone.

    Parameters
    ----------
    name
        ``unrolled``, ``dual_unet`` or another folder of ``dmri_helpers/weights``

    Returns
    -------
        ``model(kspace, A) -> cine``, in evaluation mode

    Raises
    ------
    ValueError
        if there are no such weights, or the file is not the one that was shipped (by its SHA-256 in
        ``weights/SHA256SUMS``), or not that of its network; the message is one line and names the file
    """
    file = WEIGHTS / name / "best.safetensors"
    expected = _checksums().get(f"{name}/best.safetensors")
    if expected is None or not file.is_file():
        raise ValueError(f"{file}: found no such weights; expected one of {', '.join(shipped())}")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{file}: found SHA-256 {found[:12]}..., expected {expected[:12]}...; install the package anew"
        )
    return read_weights(file)


def shipped() -> list[str]:
    """Names of the networks that come with the package."""
    return [path.split("/")[0] for path in _checksums()]


def _checksums() -> dict[str, str]:
    lines = (WEIGHTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {path: checksum for checksum, path in (line.split() for line in lines)}


def read_weights(file: Path) -> torch.nn.Module:
    """The network of a file that `training.fit` wrote: names and shapes of its weights are checked."""
    try:
        with safe_open(file, "pt") as weights:
            run = json.loads((weights.metadata() or {})["config"])
            state = {name: weights.get_tensor(name) for name in weights.keys()}
        model = build(network_config(run["network"]))
        model.load_state_dict(state)
        bad = [name for name, values in state.items() if not values.isfinite().all()]
        if bad:
            raise ValueError(f"{bad[0]} has values that are NaN or infinite")
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(
            f"{file}: found no weights of this course ({type(error).__name__}: {reason})"
        ) from None
    return model.eval()


def describe_network(config: NetworkConfig) -> dict:
    """The configuration and the name of its network, as `network_config` reads it."""
    return {"name": next(name for name, kind in NETWORKS.items() if kind is type(config)), **asdict(config)}


def network_config(description: dict) -> NetworkConfig:
    """The configuration that `describe_network` described, also after a way through JSON."""
    options = dict(description)
    kind = NETWORKS[options.pop("name")]
    options = {name: float("inf") if value == "Infinity" else value for name, value in options.items()}
    return kind(**options)
