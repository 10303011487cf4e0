"""The pencils of the phantom: grids, soft edges, random waves, textures and ellipses."""

import numpy as np

RENDER = 4 / 3  # points of the rendered grid per pixel of the image


def coordinates(n: int, length: float) -> np.ndarray:
    """Place ``n`` points over ``length``, with 0 at index ``n // 2`` as the FFT has it, whatever ``n`` is."""
    return ((np.arange(n) - n // 2) * length / n).astype(np.float32)


def rendered_size(n: int) -> int:
    """Number of rendered points along an axis of ``n`` pixels; it is even, which makes FFTs fast."""
    return 2 * round(n * RENDER / 2)


def smooth_step(x: np.ndarray) -> np.ndarray:
    """Step smoothly from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def soft_inside(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel that lies inside a border: 1 where ``distance`` is negative, with a soft edge of ``width``."""
    return 0.5 - 0.5 * np.tanh(distance / (2 * width))


def paint_over(image: np.ndarray, share: np.ndarray, value: np.ndarray | float) -> None:
    """Paint ``value`` over ``image`` where ``share`` is 1, in place."""
    image += share * (value - image)


def random_texture(
    rng: np.random.Generator, shape: tuple[int, int, int], side: float, slope: float, low: float
) -> np.ndarray:
    """Draw random images of unit variance and amplitude ``(low^2 + k^2)^(-slope/2)``, k in cycles per field of view.

    ``side`` is the number of points in one field of view. The numbers come from a child of ``rng``, so that
    later draws from ``rng`` do not depend on the size of the image.
    """
    ny, nx = shape[-2:]
    k2 = np.fft.fftfreq(ny)[:, None] ** 2 + np.fft.rfftfreq(nx) ** 2
    gain = ((low / side) ** 2 + k2).astype(np.float32) ** np.float32(-slope / 2)
    gain[0, 0] = 0
    white = rng.spawn(1)[0].standard_normal(shape, dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(ny, nx)).astype(np.float32)
    return field / field.std((-2, -1), keepdims=True)


def random_wave(rng: np.random.Generator, angle: np.ndarray, sizes: dict[int, float]) -> np.ndarray:
    """Draw a periodic function of the angle: a sum of cosines, with order -> standard deviation in ``sizes``."""
    return sum(rng.normal(0, s) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k, s in sizes.items())


def random_ellipse(rng: np.random.Generator, v: np.ndarray, u: np.ndarray, flattest: float) -> np.ndarray:
    """Distance from the origin in units of the long axis of an ellipse that is turned and flattened at random."""
    tilt, aspect = rng.uniform(0, np.pi), rng.uniform(flattest, 1)
    return np.hypot(u * np.cos(tilt) + v * np.sin(tilt), (v * np.cos(tilt) - u * np.sin(tilt)) / aspect)
