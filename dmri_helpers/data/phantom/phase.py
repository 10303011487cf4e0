"""The phase of a scanner's images: of field, coils, position and flow, as a random field with a seed.

The angle is a sum of four fields on the coordinates of the full image, ``v`` (phase encode) and ``u`` (readout) from
-1 to 1: a *slow* one (a polynomial of third order and three broad bumps, as shim, receive coil and the position of
the echo make it), a *local* one (waves of 10 to 40 pixels of 192, as tissue borders and the lung make it), a *drift* (a
slow field that comes and goes with the beat) and a *flow* (phase of the blood that moves, where the image changes). A
constant, drawn from the whole circle, is added. Amounts in `SLOW`, `LOCAL`, `DRIFT` and `FLOW` are for strength 1.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

SLOW = (
    2.5  # rad, largest departure from the phase in the middle of the image; drawn between half and all of it
)
LOCAL = 0.1  # share of the slow amount: the standard deviation of the local field
DRIFT = 0.08  # rad, standard deviation of the slow field that follows the beat
FLOW = 0.3  # rad, where the image changes most
_WAVES = 16
_BUMPS = 3


def phase(
    seeds: Sequence[int] | torch.Tensor,
    shape: tuple[int, int, int],
    strength: float | torch.Tensor = 1.0,
    *,
    columns: tuple[torch.Tensor, int] | None = None,
    change: torch.Tensor | None = None,
) -> torch.Tensor:
    """Draw a smooth phase for every seed: ``exp(i angle)``.

    Parameters
    ----------
    seeds
        one seed per cine; a cine's phase depends on nothing else, whatever the batch
    shape
        ``(t, y, x)`` of the full cine
    strength
        amount, for all cines or one each, shape ``(b,)``; 0 gives exactly 1, and no constant phase
    columns
        ``(start, width)``: the first column, shape ``(b,)``, and the number of columns that are wanted of each cine;
        all by default. What is returned is exactly that part of the whole
    change
        where the flow has its phase, from 0 to 1: how much a pixel changes over the beat, shape ``(b, y, width)`` (see
        `changing`), or the blood of every frame, shape ``(b, t, y, width)``; no flow by default

    Returns
    -------
        ``exp(i angle)``, shape ``(b, t, y, width)``, complex64
    """
    angles = angle(seeds, shape, strength, columns=columns, change=change)
    return torch.complex(angles.cos(), angles.sin())


def angle(
    seeds: Sequence[int] | torch.Tensor,
    shape: tuple[int, int, int],
    strength: float | torch.Tensor = 1.0,
    *,
    columns: tuple[torch.Tensor, int] | None = None,
    change: torch.Tensor | None = None,
) -> torch.Tensor:
    """The angle of `phase` in radians, shape ``(b, t, y, width)``, float32."""
    t, lines, all_columns = shape
    numbers = torch.stack([_numbers(int(seed)) for seed in seeds])
    strength = torch.as_tensor(strength, dtype=torch.float32).expand(len(numbers))
    start, width = columns if columns else (torch.zeros(len(numbers), dtype=torch.long), all_columns)
    v = _coordinate(torch.arange(lines), lines).expand(len(numbers), -1)
    u = _coordinate(torch.as_tensor(start)[:, None] + torch.arange(width), all_columns)
    slow, local, drift, flow, constant = numbers.split(_SIZES, 1)

    still = SLOW * _slow(slow, v, u) + SLOW * LOCAL * _local(local, v, u)
    beat = torch.arange(t) * (2 * math.pi / t)
    angles = (DRIFT * _drift(drift, beat, v, u)).add_(still[:, None])
    if change is not None:
        where = change if change.ndim == 4 else change[:, None]
        angles += FLOW * _course(flow, beat)[..., None, None] * where
    around = 2 * math.pi * constant * (strength[:, None] > 0)
    return angles.mul_(strength[:, None, None, None]).add_(around[..., None, None])


def with_phase(image: np.ndarray, labels: np.ndarray, seed: int, strength: float = 1.0) -> np.ndarray:
    """A phantom's complex image, turned by a phase whose flow is in its blood; magnitudes stay as they are.

    Parameters
    ----------
    image, labels
        of one phantom, shape ``(t, y, x)``
    seed, strength
        as of `phase`

    Returns
    -------
        shape ``(t, y, x)``, complex64
    """
    where = blood(torch.from_numpy(labels)[None])
    return image * phase([seed], image.shape, strength, change=where)[0].numpy()


def blood(labels: torch.Tensor) -> torch.Tensor:
    """Where a phantom has blood: both ventricles, of its labels ``(b, t, y, x)``, as 0 and 1."""
    return ((labels == 1) | (labels == 3)).float()


def changing(image: torch.Tensor) -> torch.Tensor:
    """How much each pixel changes over the beat: standard deviation over the frames, 0.15 and more gives 1.

    Pixels are independent of each other, so that a part of the columns gives that part of the map.

    Parameters
    ----------
    image
        magnitudes in [0, 1], shape ``(b, t, y, x)``

    Returns
    -------
        shape ``(b, y, x)``, from 0 to 1
    """
    return (image.abs().std(1, correction=0) / 0.15).clamp(max=1)


_SIZES = (11 + 4 * _BUMPS, 4 * _WAVES, 9, 5, 1)


def _numbers(seed: int) -> torch.Tensor:
    """All random numbers of one cine, uniform in [0, 1)."""
    return torch.rand(sum(_SIZES), generator=torch.Generator().manual_seed(seed))


def _coordinate(index: torch.Tensor, size: int) -> torch.Tensor:
    return (2 * index - (size - 1)).to(torch.float32) / max(size - 1, 1)


def _outer(of_v: torch.Tensor, of_u: torch.Tensor) -> torch.Tensor:
    """Sum of products of a function of ``v`` and one of ``u``: ``(b, k, y), (b, k, x) -> (b, y, x)``."""
    return of_v.mT @ of_u


def _slow(numbers: torch.Tensor, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Polynomial and bumps, shape ``(b, y, x)``; its largest value on a grid of 9 x 9 points is drawn in [1/2, 1]."""
    b = len(numbers)
    coefficients, bumps = 2 * numbers[:, :10] - 1, numbers[:, 11:].view(b, _BUMPS, 4)
    coefficients = coefficients / coefficients.new_tensor([1.0, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    centre, height = 1.6 * bumps[..., :2] - 0.8, 2 * bumps[..., 2] - 1
    reach = 0.35 + 0.35 * bumps[..., 3]

    def field(v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        power = [0, 0, 1, 0, 1, 2, 0, 1, 2, 3], [0, 1, 0, 2, 1, 0, 3, 2, 1, 0]  # of v and of u
        of_v = torch.stack([v**p for p in power[0]], 1) * coefficients[..., None]
        of_u = torch.stack([u**p for p in power[1]], 1)
        bump_v, bump_u = (
            torch.exp(-0.5 * ((z[:, None] - centre[..., i, None]) / reach[..., None]) ** 2)
            for i, z in ((0, v), (1, u))
        )
        return _outer(of_v, of_u) + _outer(bump_v * height[..., None], bump_u)

    grid = torch.linspace(-1, 1, 9).expand(b, -1)
    seen = field(grid, grid)
    middle = seen[:, 4:5, 4:5]
    largest = (seen - middle).abs().amax((1, 2), keepdim=True).clamp(min=1e-3)
    return (field(v, u) - middle) * ((0.5 + 0.5 * numbers[:, 10, None, None]) / largest)


def _local(numbers: torch.Tensor, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Waves of all directions, half a wave 10 to 40 pixels of 192 long; variance 1, shape ``(b, y, x)``."""
    length, direction, shift, height = numbers.view(len(numbers), 4, _WAVES).unbind(1)
    frequency = math.pi * 96 / (10 * 4**length)  # rad per unit of v; lengths are uniform in their logarithm
    along_v = frequency * (2 * math.pi * direction).sin()
    along_u = frequency * (2 * math.pi * direction).cos()
    height = height + 0.5
    height = height * (2 / height.square().sum(1, keepdim=True)).sqrt()
    of_v = along_v[..., None] * v[:, None] + 2 * math.pi * shift[..., None]
    of_u = along_u[..., None] * u[:, None]
    both_v = torch.cat([of_v.cos(), -of_v.sin()], 1) * height.repeat(1, 2)[..., None]
    return _outer(both_v, torch.cat([of_u.cos(), of_u.sin()], 1))


def _course(numbers: torch.Tensor, beat: torch.Tensor) -> torch.Tensor:
    """A periodic course of two harmonics over the beat, at most about 1, shape ``(b, t)``."""
    first = torch.sin(beat + 2 * math.pi * numbers[:, 0:1])
    second = torch.sin(2 * beat + 2 * math.pi * numbers[:, 1:2])
    return (first + numbers[:, 2:3] * second) * (2 * numbers[:, 3:4] - 1)


def _drift(numbers: torch.Tensor, beat: torch.Tensor, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Constant and ramps that follow the beat, each with a course of its own, shape ``(b, t, y, x)``."""
    amount = 2 * numbers[:, :3] - 1
    courses = torch.sin((1 + (numbers[:, 3:6, None] > 0.7)) * beat + 2 * math.pi * numbers[:, 6:9, None]) * (
        1.7 * amount[..., None]
    )
    in_v = courses[:, 0, :, None] + courses[:, 1, :, None] * v[:, None]
    return in_v[..., None] + (courses[:, 2, :, None] * u[:, None])[:, :, None]
