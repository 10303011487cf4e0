"""Receive coils around a chest: their sensitivities by the law of Biot and Savart, and the noise that they share.

Coils are circular loops around the body, on a cylinder between an ellipse and a box (flat in front, behind and at the
sides, as the arrays of a chest are), in rings along the main field, which is taken perpendicular to the image. A
precessing magnetisation induces in a loop what the field of the loop per ampere is there (reciprocity [1]_), so that
the sensitivity is ``B_x - i B_y``. The noise of a loop comes from currents in the body, which its electric field
drives: that of two loops is correlated as far as their electric fields overlap [2]_. Lengths are in units of the field
of view.

References
----------
.. [1] Hoult & Richards, The signal-to-noise ratio of the nuclear magnetic resonance experiment, J Magn Reson 24:71
   (1976).
.. [2] Roemer, Edelstein, Hayes, Souza & Mueller, The NMR phased array, Magn Reson Med 16:192 (1990).
.. [3] Pruessmann, Weiger, Boernert & Boesiger, Advances in sensitivity encoding with arbitrary k-space trajectories,
   Magn Reson Med 46:638 (2001), appendix: whitened coils.
"""

import math
from functools import lru_cache

import torch

MOST = 32  # coils
BODY = 0.36, 0.44  # half axes of the chest along y and x
CYLINDER = (
    0.58,
    0.64,
)  # half axes of what the loops lie on: (y / 0.58)^4 + (x / 0.64)^4 = 1, outside the image
SEGMENTS = 48  # straight pieces of a loop
OWN_NOISE = 0.15  # share of a loop's noise that is its own, of its wire and amplifier


def loop_fields(
    centre: torch.Tensor, normal: torch.Tensor, radius: float, points: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnetic field and vector potential of a circular loop with a current of 1, as a sum over straight pieces.

    ``B = sum dl x r / |r|^3`` and ``A = sum dl / |r|``, in units of ``mu_0 / (4 pi)``, with ``r`` from the middle of a
    piece to the point. On the axis, at the distance ``z``, ``B`` is ``2 pi radius^2 / (radius^2 + z^2)^(3/2)``.

    Parameters
    ----------
    centre, normal
        of the loop, shape ``(3,)``; the normal has length 1
    radius
        of the loop
    points
        where the fields are wanted, shape ``(n, 3)``

    Returns
    -------
        ``B`` and ``A``, each of shape ``(n, 3)``
    """
    across = torch.linalg.cross(normal, _vector(normal, 0.0, 0.0, 1.0))
    if across.norm() < 1e-6:
        across = torch.linalg.cross(normal, _vector(normal, 1.0, 0.0, 0.0))
    across = across / across.norm()
    along = torch.linalg.cross(normal, across)
    angle = (torch.arange(SEGMENTS, dtype=points.dtype) + 0.5) * (2 * math.pi / SEGMENTS)
    # pieces of the polygon whose area is that of the circle
    reach = radius * math.sqrt(2 * math.pi / SEGMENTS / math.sin(2 * math.pi / SEGMENTS))
    place = centre + math.cos(math.pi / SEGMENTS) * reach * (
        angle.cos()[:, None] * across + angle.sin()[:, None] * along
    )
    length = 2 * reach * math.sin(math.pi / SEGMENTS)
    piece = length * (angle.cos()[:, None] * along - angle.sin()[:, None] * across)
    inverse = torch.cdist(points, place, compute_mode="donot_use_mm_for_euclid_dist").reciprocal_()
    cubed = inverse**3
    # sum of dl x (p - q) / r^3 = (sum dl / r^3) x p - sum (dl x q) / r^3
    field = torch.linalg.cross(cubed @ piece, points) - cubed @ torch.linalg.cross(piece, place)
    return field, inverse @ piece


def coil_maps(coils: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Sensitivities of coils around the chest; their root sum of squares is 1 in every pixel.

    Parameters
    ----------
    coils
        1 to 32: up to eight in one ring, up to 16 in two, more in three
    size
        ``(y, x)``
    seed
        of the small differences between a model and an array on a patient: turn of the array, places and tilts

    Returns
    -------
        shape ``(1, coils, 1, y, x)``, complex64; a copy

    Raises
    ------
    ValueError
        if the number of coils is not one of 1 to 32
    """
    _check(coils)
    return _coil_maps(coils, tuple(size), seed).clone()


def noise_covariance(coils: int, seed: int = 0) -> torch.Tensor:
    """Covariance of the noise of the coils of `coil_maps`: the overlap of their electric fields in the body.

    ``Psi_ij = integral A_i . A_j dV``, since the electric field is that of the vector potential; the part that is a
    coil's own is added, and all coils have variance 1, as after the adjustment of their amplifiers.

    Parameters
    ----------
    coils, seed
        as of `coil_maps`

    Returns
    -------
        shape ``(coils, coils)``, complex64, Hermitian, positive definite, with ones on its diagonal
    """
    _check(coils)
    steps = torch.linspace(-0.95, 0.95, 11, dtype=torch.float64)
    z, y, x = torch.meshgrid(0.6 * steps, BODY[0] * steps, BODY[1] * steps, indexing="ij")
    inside = (y / BODY[0]) ** 2 + (x / BODY[1]) ** 2 < 1
    points = torch.stack([x[inside], y[inside], z[inside]], -1)
    potentials = torch.stack([loop_fields(*loop, points)[1].flatten() for loop in _loops(coils, seed)])
    shared = potentials @ potentials.T
    spread = shared.diagonal().sqrt()
    shared = (1 - OWN_NOISE) * shared / (spread[:, None] * spread) + OWN_NOISE * torch.eye(coils)
    return shared.to(torch.complex64)


def coil_noise(shape: tuple[int, ...], covariance: torch.Tensor, level: float, seed: int) -> torch.Tensor:
    """Complex normal noise of coils: ``level`` times the Cholesky factor of the covariance times white noise.

    Parameters
    ----------
    shape
        of the k-space, ``(b, c, t, y, x)``
    covariance
        shape ``(c, c)``
    level
        standard deviation (of the complex number) where the covariance has a 1 on its diagonal
    seed
        the same seed gives the same noise

    Returns
    -------
        shape ``(b, c, t, y, x)``, complex64
    """
    white = torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    factor = torch.linalg.cholesky(covariance)
    return level * torch.einsum("cd,bd...->bc...", factor, white)


def whitened(array: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Combine coils so that their noise is white with variance 1 [3]_: ``L^-1 y`` with ``L L^H`` the covariance.

    k-space and coil maps are whitened alike; the maps then no longer have a root sum of squares of 1.

    Parameters
    ----------
    array
        k-space or coil maps, shape ``(b, c, t, y, x)``, complex
    covariance
        shape ``(c, c)``

    Returns
    -------
        shape ``(b, c, t, y, x)``, complex
    """
    factor = torch.linalg.cholesky(covariance)
    coils_first = array.movedim(1, 0)
    white = torch.linalg.solve_triangular(factor, coils_first.flatten(1), upper=False)
    return white.view(coils_first.shape).movedim(0, 1)


@lru_cache(maxsize=4)
def _coil_maps(coils: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    y, x = (((torch.arange(n) - n // 2) / n).to(torch.float32) for n in size)
    plane = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([plane[1].flatten(), plane[0].flatten(), torch.zeros(y.numel() * x.numel())], -1)
    maps = []
    for centre, normal, radius in _loops(coils, seed):
        field, _ = loop_fields(centre.float(), normal.float(), radius, points)
        maps.append(torch.complex(field[:, 0], -field[:, 1]).view(size))
    maps = torch.stack(maps)
    return (maps / torch.view_as_real(maps).square().sum((0, 3)).sqrt())[None, :, None]


def _loops(coils: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    """Centre and normal ``(x, y, z)`` and radius of every loop; neighbours overlap a little, as in an array."""
    rings = 1 if coils <= 8 else 2 if coils <= 16 else 3
    counts = [coils // rings + (ring < coils % rings) for ring in range(rings)]
    random = torch.Generator().manual_seed(seed)
    turn, *shaken = torch.rand(1 + 4 * coils, generator=random, dtype=torch.float64).sub_(0.5).tolist()
    angle = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
    rim = torch.stack([_root(angle.cos()) * CYLINDER[1], _root(angle.sin()) * CYLINDER[0]], -1)
    travelled = (
        torch.cat([torch.zeros(1), rim.diff(dim=0).norm(dim=1).cumsum(0)]) / rim.diff(dim=0).norm(dim=1).sum()
    )
    loops = []
    for ring, count in enumerate(counts):
        radius = min(1.3 / max(count, 3), 0.22)
        for i in range(count):
            along, out, height, tilt = (shaken.pop() for _ in range(4))
            share = (i + turn + ring / 2 + 0.2 * along) / count % 1
            x, y = rim[int(torch.searchsorted(travelled, share))]
            inwards = -torch.stack(
                [(x / CYLINDER[1]) ** 3 / CYLINDER[1], (y / CYLINDER[0]) ** 3 / CYLINDER[0]]
            )
            normal = torch.cat([inwards / inwards.norm(), _vector(rim, 0.2 * tilt)])
            z = 1.6 * radius * (ring - (rings - 1) / 2) + 0.05 * height
            centre = torch.cat([torch.stack([x, y]) * (1.02 + 0.04 * out), _vector(rim, z)])
            loops.append((centre, normal / normal.norm(), radius))
    return loops


def _root(values: torch.Tensor) -> torch.Tensor:
    return values.sgn() * values.abs().sqrt()


def _vector(like: torch.Tensor, *values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype)


def _check(coils: int) -> None:
    if not 1 <= coils <= MOST:
        raise ValueError(f"found {coils} coils; expected 1 to {MOST}")
