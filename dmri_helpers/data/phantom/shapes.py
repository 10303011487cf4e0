"""Grids, soft edges, waves and textures from which the phantom is drawn."""

import numpy as np

RENDER = 4 / 3  # rendered points per pixel


def coordinates(n: int, length: float) -> np.ndarray:
    """``n`` points over ``length``; grids of different ``n`` share the one in the middle, as FFTs do."""
    return ((np.arange(n) - n // 2) * length / n).astype(np.float32)


def rendered_size(n: int) -> int:
    """Rendered points along an axis of ``n`` pixels: even, since `scipy.fft` likes it."""
    return 2 * round(n * RENDER / 2)


def smooth_step(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def soft_inside(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel inside a border: 1 where ``distance`` is negative, with an edge of that width."""
    return 0.5 - 0.5 * np.tanh(distance / (2 * width))


def paint_over(image: np.ndarray, share: np.ndarray, value: np.ndarray | float) -> None:
    """Paint ``value`` over ``image`` where ``share`` is 1, in place."""
    image += share * (value - image)


def random_texture(
    rng: np.random.Generator, shape: tuple[int, int, int], side: float, slope: float, low: float
) -> np.ndarray:
    """Random images of unit variance, amplitude (low^2 + k^2)^(-slope/2) with k in cycles per field of view.

    ``side`` is the number of points in one field of view. The numbers come from a child of ``rng``, so that
    what is drawn from ``rng`` afterwards does not depend on the size.
    """
    ny, nx = shape[-2:]
    k2 = np.fft.fftfreq(ny)[:, None] ** 2 + np.fft.rfftfreq(nx) ** 2
    gain = ((low / side) ** 2 + k2).astype(np.float32) ** np.float32(-slope / 2)
    gain[0, 0] = 0
    white = rng.spawn(1)[0].standard_normal(shape, dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(ny, nx)).astype(np.float32)
    return field / field.std((-2, -1), keepdims=True)


def random_wave(rng: np.random.Generator, angle: np.ndarray, sizes: dict[int, float]) -> np.ndarray:
    """Random periodic function of the angle: a cosine per order, of the standard deviation given for it."""
    return sum(rng.normal(0, s) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k, s in sizes.items())


def random_ellipse(rng: np.random.Generator, v: np.ndarray, u: np.ndarray, flattest: float) -> np.ndarray:
    """Distance from the origin in units of an ellipse's long axis, turned and flattened at random."""
    tilt, aspect = rng.uniform(0, np.pi), rng.uniform(flattest, 1)
    return np.hypot(u * np.cos(tilt) + v * np.sin(tilt), (v * np.cos(tilt) - u * np.sin(tilt)) / aspect)
