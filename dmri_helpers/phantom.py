"""A seeded beating short-axis heart: images, tissue labels and volume curve.

Lengths are in units of the field of view (the shorter image side), so one seed shows the same heart at every
matrix size, with other textures. What lies outside the heart is drawn once, on a grid twice as fine, and then
moved by a displacement field; the heart is drawn in polar coordinates about its centre, all frames at once.
Fat is in opposed phase to water, as in balanced SSFP with TE = TR/2, so their borders are dark ("India ink").
The signed image gets coil shading, a smooth phase and noise, and a finite k-space window, so edges ring.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

VERSION = 1
FINE = 2  # static grid points per pixel
MARGIN = 0.08  # the static grid reaches this far beyond the image: where tissue that moves in comes from
MIN_SIDE = 16


@dataclass(frozen=True)
class Phantom:
    """One beating heart.

    Attributes
    ----------
    image
        magnitude, shape ``(t, y, x)``, float32 in [0, 1]
    complex_image
        the same with its phase, shape ``(t, y, x)``, complex64; its magnitude is ``image``
    labels
        shape ``(t, y, x)``, uint8: 0 rest, 1 left ventricular blood (with the papillary muscles, as in
        clinical contours), 2 myocardium, 3 right ventricular blood
    lv_volume
        volume of the left ventricle, shape ``(t,)``, float32, mL
    ejection_fraction
        1 - smallest / largest ``lv_volume`` of the frames
    """

    image: np.ndarray
    complex_image: np.ndarray
    labels: np.ndarray
    lv_volume: np.ndarray
    ejection_fraction: float


def cine_phantom(
    seed: int,
    shape: tuple[int, int, int] = (20, 192, 192),
    *,
    noise: float | None = None,
    per_frame: bool = True,
) -> Phantom:
    """Draw the phantom number ``seed``.

    Parameters
    ----------
    seed
        not negative; every seed is another anatomy, the same seed the same arrays
    shape
        frames, phase encodes, readout points ``(t, y, x)``; the frames cover about 80 % of a heart beat
    noise
        standard deviation of the complex Gaussian noise, relative to bright tissue, at most 1; None draws one
    per_frame
        True scales each frame to [0, 1] by its own smallest and largest magnitude, False the cine as a whole

    Returns
    -------
        image, complex image, labels, volume curve and ejection fraction

    Raises
    ------
    ValueError
        if the shape is not three integers of at least (1, 16, 16), the seed is negative, or the noise is not
        in [0, 1]
    """
    frames, ny, nx = _checked_shape(shape)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if noise is not None and not 0 <= noise <= 1:
        raise ValueError(f"noise must be between 0 and 1, got {noise}")
    rng = np.random.default_rng([seed, VERSION])
    side = min(ny, nx)
    y = ((np.arange(ny) - (ny - 1) / 2) / side).astype(np.float32)
    x = ((np.arange(nx) - (nx - 1) / 2) / side).astype(np.float32)

    heart = _Heart(rng, frames)
    static, systolic, interior = _surroundings(rng, heart, y, x)
    image = _moved(rng, heart, static, systolic, interior, y, x)
    labels = np.zeros((frames, ny, nx), np.uint8)
    _draw_heart(rng, heart, image, labels, y, x)
    signal = _acquire(rng, image, y, x, noise)
    _pad(rng, signal, labels)

    magnitude = np.abs(signal)
    axes = (1, 2) if per_frame else None
    low, high = magnitude.min(axes, keepdims=True), magnitude.max(axes, keepdims=True)
    scaled = (magnitude - low) / (high - low)
    phase = signal / np.maximum(magnitude, np.finfo(np.float32).tiny)
    return Phantom(scaled, scaled * phase, labels, heart.volume, heart.ejection_fraction)


def _checked_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        frames, ny, nx = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape must be three integers (t, y, x), got {shape!r}") from None
    if frames < 1 or min(ny, nx) < MIN_SIDE:
        raise ValueError(f"shape must be at least (1, {MIN_SIDE}, {MIN_SIDE}), got {shape!r}")
    return frames, ny, nx


def _step(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _inside(distance: np.ndarray, width: float) -> np.ndarray:
    """Share of a pixel inside a border: 1 where ``distance`` is negative, with an edge of that width."""
    return 0.5 - 0.5 * np.tanh(distance / (2 * width))


def _over(image: np.ndarray, share: np.ndarray, value: np.ndarray | float) -> None:
    """Paint ``value`` over ``image`` where ``share`` is 1, in place."""
    image += share * (value - image)


def _texture(
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


def _wave(rng: np.random.Generator, angle: np.ndarray, sizes: dict[int, float]) -> np.ndarray:
    """Random periodic function of the angle: a cosine per order, of the standard deviation given for it."""
    return sum(rng.normal(0, s) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k, s in sizes.items())


class _Heart:
    """Geometry and motion: everything that depends on the frame alone."""

    def __init__(self, rng: np.random.Generator, frames: int):
        span = rng.uniform(0.66, 0.92)  # of the heart beat, covered by the frames
        phase = (np.arange(frames) + rng.uniform(-0.3, 0.6)) * span / frames
        end_systole = rng.uniform(0.31, 0.40)
        rapid, kick = rng.uniform(0.6, 0.8), rng.uniform(0.9, 1.0)
        emptied = _step(phase / end_systole) - rapid * _step((phase - end_systole - 0.03) / 0.19)
        emptied -= (1 - rapid) * _step((phase - kick + 0.18) / 0.18)
        self.contraction = emptied.astype(np.float32)  # 0 end-diastole, 1 end-systole
        lag = _step(phase / (end_systole + 0.1)) - _step((phase - end_systole - 0.1) / 0.45)
        self.lag = lag.astype(np.float32)  # the same, for what follows the heart later
        half_cycles = np.array([1, 2, 4, 7, 11, 17])
        self.waves = np.cos(np.pi * half_cycles * phase[:, None] + rng.uniform(0, 2 * np.pi, 6))

        fraction = 0.13 + 0.52 * rng.beta(1.3, 1.8)
        length = 1 - 0.25 * fraction * self.contraction  # long axis, relative
        emptying = 1 - fraction * self.contraction
        self.cavity = rng.uniform(0.066, 0.11)  # end-diastolic radius
        wall = rng.uniform(0.024, 0.036)
        self.endo = self.cavity * np.sqrt(emptying / length)
        muscle = (self.cavity + wall) ** 2 - self.cavity**2
        self.epi = np.sqrt(self.endo**2 + muscle / length)
        self.epi_rest = self.cavity + wall
        field_of_view, axis = rng.uniform(270, 330), rng.uniform(75, 95)  # mm
        end_diastolic = 2 / 3 * np.pi * (self.cavity * field_of_view) ** 2 * axis / 1000
        self.volume = end_diastolic * emptying
        self.ejection_fraction = float(1 - self.volume.min() / self.volume.max())

        self.centre = np.array([rng.uniform(-0.11, 0.02), rng.uniform(-0.06, 0.08)])  # y, x
        self.towards_rv = np.deg2rad(rng.uniform(-85, -35))  # from x to y, y pointing down
        pull = rng.uniform(0.002, 0.012) * np.array([np.sin(self.towards_rv), np.cos(self.towards_rv)])
        pull += rng.normal(0, 0.004, 2)
        self.shift = self.contraction[:, None] * pull + self.lag[:, None] * rng.normal(0, 0.003, 2)
        self.shift += self.waves[:, :5] @ rng.normal(0, 0.0008, (5, 2))  # breathing, and beats that differ


def _surroundings(
    rng: np.random.Generator, heart: _Heart, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Body without heart on the fine grid: at rest, what contraction adds, how freely it moves (0 to 1)."""
    pixel = 1 / min(len(y), len(x))
    step = pixel / FINE
    sides = [int(np.ceil((n * pixel + 2 * MARGIN) / step)) + 1 for n in (len(y), len(x))]
    v, u = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(step) for n in sides)
    v, u = v[:, None], u[None]
    edge = 0.45 * pixel
    density = 1 / step
    coarse = _texture(rng, (4, *sides), density, 3.0, 3.0)
    middle = _texture(rng, (2, *sides), density, 1.9, 8.0)
    fine = _texture(rng, (2, *sides), density, 1.0, 25.0)
    ridge = np.exp(-((_texture(rng, (2, *sides), density, 3.5, 6.0) / 0.11) ** 2))  # winding lines
    wu, wv = u + 0.014 * coarse[0] + 0.0028 * middle[0], v + 0.014 * coarse[1] + 0.0028 * middle[1]

    # outline: an ellipse larger than the field of view, turned a little; depth below the skin
    turn = rng.normal(-0.15, 0.2)
    au, av = rng.uniform(0.55, 0.8), rng.uniform(0.44, 0.6)
    bu, bv = rng.uniform(0.02, 0.14), av + heart.centre[0] - heart.epi_rest - rng.uniform(0.18, 0.31)
    pu = (wu - bu) * np.cos(turn) + (wv - bv) * np.sin(turn)
    pv = (wv - bv) * np.cos(turn) - (wu - bu) * np.sin(turn)
    radius = np.sqrt((pu / au) ** 2 + (pv / av) ** 2) + 1e-6
    depth = (1 - radius) * radius / np.sqrt((pu / au**2) ** 2 + (pv / av**2) ** 2 + 1e-9)
    around = np.arctan2(pv / av, pu / au)

    fat = -rng.uniform(0.5, 0.85) * (1 + 0.12 * coarse[2] + 0.10 * middle[0] + 0.05 * fine[0])
    muscle = rng.uniform(0.18, 0.32) * (1 + 0.15 * middle[1] + 0.08 * fine[1] - 0.3 * ridge[0])
    lung = np.exp(rng.normal(np.log(0.075), 0.45)) * (1 + 0.25 * coarse[2] + 0.15 * fine[0] + 0.5 * ridge[1])
    body = np.zeros(sides, np.float32)
    skin = min(np.exp(rng.normal(np.log(0.036), 0.55)), 0.08) * np.exp(0.35 * coarse[2])
    bulk = rng.uniform(0, 4) * np.exp(-(((1 - np.cos(around - rng.uniform(2.4, 3.8))) / 0.25) ** 2))
    wall = rng.uniform(0.02, 0.045) * np.exp(0.35 * coarse[3]) * (1 + bulk)  # thicker at the shoulder
    chest = skin + wall
    _over(body, _inside(-depth, edge), 0.25 * muscle)
    _over(body, _inside(0.004 - depth, edge), fat)
    _over(body, _inside(skin - depth, 1.5 * edge), muscle)
    seam = np.abs(depth - skin - (0.35 + 0.2 * coarse[1]) * wall) - 0.05 * wall
    _over(body, _inside(seam, 1.5 * edge), 0.7 * fat)
    ribs = np.cos(around * rng.integers(22, 34) + 2 * coarse[3]) - 0.3
    across = np.abs(depth - skin - wall / 2)
    _over(body, _inside(across - 0.25 * wall * ribs, edge), 0.05)
    _over(body, _inside(across - 0.17 * wall * ribs, edge), 0.6 * np.abs(fat))
    inner = _inside(chest - depth, edge)
    _over(body, inner, lung)

    # under the diaphragm: fat and muscle, liver beside the heart, other organs
    hy, hx = heart.centre
    bow = hx + heart.epi_rest + rng.uniform(-0.02, 0.05)
    diaphragm = bow + rng.uniform(-0.5, 0.15) * (wv - hy) - wu
    diaphragm -= rng.uniform(0.2, 1.6) * np.maximum(wv - hy - 0.08, 0) ** 2
    belly = inner * _inside(diaphragm, edge)
    _over(body, belly, fat * rng.uniform(0.35, 0.8))
    _over(body, belly * _inside(0.2 - 0.25 * middle[1] - coarse[0], 0.15), muscle * rng.uniform(1.0, 1.8))
    _over(body, belly, body + 0.2 * ridge[0] - 0.3 * body * ridge[1])
    liver = rng.uniform(0.2, 0.42) * (1 + 0.1 * middle[0] + 0.1 * fine[1])
    liver *= 1 + rng.uniform(-0.3, 0.6) * ridge[0]
    lower = hy + rng.uniform(0.08, 0.2) + rng.uniform(-0.2, 0.5) * (wu - bow)
    _over(body, belly * _inside(np.maximum(diaphragm + 0.005, wv - lower), 2 * edge), liver)
    for _ in range(rng.integers(18, 32)):
        cv, cu = rng.uniform(hy + 0.12, 0.55), rng.uniform(hx - 0.05, 0.62)
        if np.hypot(cv - hy, cu - hx) < heart.epi_rest + 0.05:
            continue
        size, soft = rng.uniform(0.025, 0.1), edge * rng.uniform(0.8, 3)
        value = rng.choice([rng.uniform(0.1, 0.4), rng.uniform(0.45, 0.8), -0.6], p=[0.7, 0.2, 0.1])
        ring = _ellipse(rng, wv - cv, wu - cu, 0.55) * (1 + 0.15 * coarse[3])
        organ = inner * _inside(ring - size, soft)
        marks = rng.uniform(-0.4, 0.6) * ridge[rng.integers(2)]
        _over(body, organ, value * (1 + 0.12 * middle[1] + 0.08 * fine[0] + marks))
        if rng.uniform() < 0.5:  # another content: blood, bowel gas, renal pelvis
            core = _inside(ring - rng.uniform(0.4, 0.8) * size, soft)
            _over(body, organ * core, rng.uniform(0.3, 1.6) * abs(value))

    # spine, its canal, descending aorta
    sv, su = rng.uniform(0.22, 0.42), rng.uniform(0.25, 0.42)
    vertebra = np.hypot(wu - su, 1.2 * (wv - sv))
    _over(body, inner * _inside(vertebra - 0.066, 2 * edge), 0.05)
    marrow = rng.uniform(0.15, 0.4) * (1 + 0.2 * fine[1] + 0.1 * middle[0])
    _over(body, inner * _inside(vertebra - 0.06, edge), marrow)
    canal = np.hypot(wu - su - 0.07, wv - sv - 0.05)
    _over(body, inner * _inside(canal - 0.022, edge), rng.uniform(0.5, 0.8))
    aorta = np.hypot(u - su + 0.07, v - sv + 0.05)
    _over(body, inner * _inside(aorta - 0.036, edge), 0.08)
    blood = inner * _inside(aorta - 0.03, edge)
    _over(body, blood, rng.uniform(0.4, 0.75) * (1 + 0.06 * middle[1]))

    added = rng.uniform(-0.15, 0.1) * blood + (0.02 * middle[1] + 0.04 * ridge[1]) * belly
    _draw_vessels(rng, heart, body, added, inner, v, u)
    return body, added, inner * np.clip((depth - chest) / 0.05, 0, 1)


def _ellipse(rng: np.random.Generator, v: np.ndarray, u: np.ndarray, flattest: float) -> np.ndarray:
    """Distance from the origin in units of an ellipse's long axis, turned and flattened at random."""
    tilt, aspect = rng.uniform(0, np.pi), rng.uniform(flattest, 1)
    return np.hypot(u * np.cos(tilt) + v * np.sin(tilt), (v * np.cos(tilt) - u * np.sin(tilt)) / aspect)


def _draw_vessels(
    rng: np.random.Generator,
    heart: _Heart,
    body: np.ndarray,
    added: np.ndarray,
    inner: np.ndarray,
    v: np.ndarray,
    u: np.ndarray,
) -> None:
    """Vessels of lung and liver, in place; ``added`` is what enters the slice as the heart contracts."""
    for _ in range(rng.integers(50, 110)):
        if rng.uniform() < 0.65:  # around the heart
            angle, reach = rng.uniform(np.pi / 3, 1.4 * np.pi), heart.epi_rest + 0.01 + rng.exponential(0.09)
            cv, cu = heart.centre + reach * np.array([np.sin(angle), np.cos(angle)])
        else:
            cv, cu = rng.uniform(-0.3, 0.5), rng.uniform(-0.45, 0.55)
        size, bright, change = 0.0022 + rng.exponential(0.0028), rng.uniform(0.1, 0.7), rng.uniform(-0.9, 0.5)
        rows = slice(*np.searchsorted(v[:, 0], [cv - 4 * size, cv + 4 * size]))
        columns = slice(*np.searchsorted(u[0], [cu - 4 * size, cu + 4 * size]))
        distance = _ellipse(rng, v[rows] - cv, u[:, columns] - cu, 0.35) / size
        water = body[rows, columns] >= 0
        spot = inner[rows, columns] * water * bright * np.exp(-(distance**4) / 4)
        body[rows, columns] += spot
        added[rows, columns] += spot * change


def _moved(
    rng: np.random.Generator,
    heart: _Heart,
    static: np.ndarray,
    systolic: np.ndarray,
    interior: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """Carry the surroundings along with the heart: bilinear look-up on the fine grid, shape (t, y, x)."""
    pixel = 1 / min(len(y), len(x))
    cy, cx = (heart.centre[i] + heart.shift[:, i, None, None] for i in (0, 1))
    dy, dx = (y[:, None] - cy).astype(np.float32), (x - cx).astype(np.float32)
    r2 = dy**2 + dx**2
    rest = (heart.epi_rest**2 - heart.epi**2).astype(np.float32)[:, None, None]
    far = np.exp(-r2 / np.float32(0.2**2))
    squeeze = np.sqrt(np.maximum(1 + rest * far / np.maximum(r2, np.float32(1e-4)), np.float32(0.05))) - 1

    # smooth motion of everything that touches the diaphragm, later than the heart
    ky, kx = rng.normal(0, 6, (2, 2, 3))
    phase = rng.uniform(0, 2 * np.pi, (2, 3))
    modes = np.cos(ky[..., None, None] * y[:, None] + kx[..., None, None] * x + phase[..., None, None])
    times = np.stack([heart.contraction, heart.lag, heart.waves[:, 1]], 1)
    times *= rng.exponential([0.0045, 0.0040, 0.0022])
    rows, columns = (
        np.rint(a * FINE / pixel + n / 2).astype(int) for a, n in zip((y, x), static.shape, strict=True)
    )
    mobility = interior[rows][:, columns]
    wy, wx = np.einsum("tk,ckyx->ctyx", times, modes * mobility, optimize=True).astype(np.float32)
    carried = mobility * far
    wy += dy * squeeze * mobility - heart.shift[:, 0, None, None].astype(np.float32) * carried
    wx += dx * squeeze * mobility - heart.shift[:, 1, None, None].astype(np.float32) * carried

    fy = (y[:, None] + wy) * np.float32(FINE / pixel) + np.float32((static.shape[0] - 1) / 2)
    fx = (x + wx) * np.float32(FINE / pixel) + np.float32((static.shape[1] - 1) / 2)
    np.clip(fy, 0, static.shape[0] - 1.01, out=fy)
    np.clip(fx, 0, static.shape[1] - 1.01, out=fx)
    iy, ix = fy.astype(np.int32), fx.astype(np.int32)
    fy -= iy
    fx -= ix
    index = iy * static.shape[1] + ix
    layers = (static + 1j * systolic).astype(np.complex64).ravel()
    top = layers[index] * (1 - fx) + layers[index + 1] * fx
    index += static.shape[1]
    both = top * (1 - fy) + (layers[index] * (1 - fx) + layers[index + 1] * fx) * fy
    return both.real + heart.contraction[:, None, None] * both.imag


def _draw_heart(
    rng: np.random.Generator,
    heart: _Heart,
    image: np.ndarray,
    labels: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> None:
    """Paint both ventricles into image and labels, in place, within a window around them."""
    pixel = 1 / min(len(y), len(x))
    edge = rng.uniform(0.3, 0.65) * pixel
    frames = len(image)
    reach = heart.epi_rest + 0.2
    rows = slice(*np.searchsorted(y, [heart.centre[0] - reach, heart.centre[0] + reach]))
    columns = slice(*np.searchsorted(x, [heart.centre[1] - reach, heart.centre[1] + reach]))
    view, tags = image[:, rows, columns], labels[:, rows, columns]
    frame = (slice(None), None, None)
    dy = (y[rows, None] - (heart.centre[0] + heart.shift[:, 0])[frame]).astype(np.float32)
    dx = (x[columns] - (heart.centre[1] + heart.shift[:, 1])[frame]).astype(np.float32)
    r = np.sqrt(dy**2 + dx**2)
    turns = 512
    angle = np.arange(turns) * 2 * np.pi / turns
    sector = ((np.arctan2(dy, dx) * np.float32(turns / (2 * np.pi))).astype(np.int32)) % turns
    at = np.arange(frames, dtype=np.int32)[frame] * turns + sector
    state = heart.contraction[:, None]
    endo, epi = heart.endo[:, None], heart.epi[:, None]

    shape = _wave(rng, angle, {2: 0.05, 3: 0.035, 4: 0.02})
    bumps = _wave(rng, angle, dict.fromkeys(range(5, 17, 2), 0.018))  # trabeculae
    wall = _wave(rng, angle, {1: 0.10, 2: 0.06, 3: 0.04})
    contour = (endo * (1 + shape)).astype(np.float32)
    inner = (contour * (1 + bumps * (0.6 + 0.8 * state)) - 0.08 * state * endo).astype(np.float32)
    outer = (contour + (epi - endo) * (1 + wall)).astype(np.float32)
    contour, inner, outer = (table.ravel()[at] for table in (contour, inner, outer))

    side = 1 / pixel
    flow = _texture(rng, (6, *view.shape[1:]), side, 1.8, 5.0)
    times = heart.waves * [0.5, 0.6, 0.7, 0.7, 0.6, 0.6]
    swirl = np.einsum("tk,kyx->tyx", times, flow, optimize=True).astype(np.float32)

    # what is carried along by the wall: looked up where the tissue was at end-diastole
    points = int(2.6 * reach * FINE * side)
    shrink = (heart.epi_rest / heart.epi)[frame].astype(np.float32) * np.float32(FINE * side)
    row, column = ((d * shrink + points / 2).astype(np.int32).clip(0, points - 1) for d in (dy, dx))
    at = row * points + column
    grain = _texture(rng, (2, points, points), FINE * side, 1.1, 15.0).reshape(2, -1)
    rough = _texture(rng, (2, points, points), FINE * side, 1.9, 9.0).reshape(2, -1)
    fade = state[..., None].astype(np.float32)
    speckle = (grain[0] + 1j * grain[1]).astype(np.complex64)[at]  # another texture enters through the slice
    speckle = speckle.real * (1 - fade) + speckle.imag * fade
    warp = (rough[0] + 1j * rough[1]).astype(np.complex64)[at] * np.float32(rng.uniform(0.003, 0.006))
    dy, dx, r = dy + warp.real, dx + warp.imag, r + warp.real + warp.imag
    rough = warp.real / np.float32(0.004)

    # right ventricle: an ellipse beside the left one, which covers a part of it
    along = (np.cos(heart.towards_rv), np.sin(heart.towards_rv))
    empty = 1 - heart.contraction * rng.uniform(0.08, 0.25)
    wide, deep = heart.epi_rest * rng.uniform(0.85, 1.25), heart.cavity * rng.uniform(0.55, 1.05)
    offset = heart.epi + deep * empty * rng.uniform(0.0, 0.35)
    away = dx * along[0] + dy * along[1] - offset[frame].astype(np.float32)
    beside = dy * along[0] - dx * along[1] + np.float32(heart.epi_rest * rng.uniform(-0.3, 0.3))
    a, b = (wide * (0.55 + 0.45 * empty))[frame].astype(np.float32), (deep * empty)[frame].astype(np.float32)
    bulge = 1 + 0.10 * np.cos(3 * np.arctan2(away, beside) + rng.uniform(0, 2 * np.pi))
    norm = np.sqrt((beside / a) ** 2 + (away / b) ** 2) * bulge
    rv = (norm - 1) * np.minimum(a, b)

    # fat and wall around, then the chambers
    thick = _wave(rng, angle, dict.fromkeys((1, 2, 3, 5), 0.006))
    thick = (thick + rng.uniform(-0.006, 0.006)).astype(np.float32)[sector]
    around = np.minimum(rv - 0.012, r - outer - 0.004)
    coat = _inside(around - thick * (1 + 0.4 * rough), edge)
    _over(view, coat, np.float32(-rng.uniform(0.35, 0.75)) * (1 + 0.15 * speckle))
    muscle = rng.uniform(0.12, 0.24) * (1 + 0.10 * speckle + 0.10 * rng.normal() * fade + 0.12 * rough)
    _over(view, _inside(rv - rng.uniform(0.008, 0.014), edge), muscle)
    bright = rng.uniform(0.5, 0.95)
    inflow = 1 + heart.waves[:, 2:4] @ rng.normal(0, 0.02, 2) - rng.uniform(0, 0.06) * heart.contraction
    inflow = inflow[frame].astype(np.float32)
    eddy = rng.uniform(0.05, 0.16)
    rv_blood = bright * rng.uniform(0.65, 1.05) * inflow * (1 + 1.3 * eddy * swirl + 0.04 * speckle)
    _over(view, _inside(rv + 0.004 * np.maximum(speckle, 0), 1.5 * edge), rv_blood.astype(np.float32))
    _over(view, _inside(r - outer, edge), muscle)
    blood = bright * inflow * (1 + eddy * swirl + 0.04 * speckle)
    pool = _inside(r - inner + 0.004 * np.maximum(speckle + rough, 0), edge)
    papillary = heart.towards_rv + np.array([0.55, 1.35]) * np.pi + rng.normal(0, 0.25, 2)
    for centre in papillary:
        for _ in range(rng.integers(1, 5)):
            theta = centre + rng.normal(0, 0.22)
            rho = (heart.endo * rng.uniform(0.62, 1.0))[frame]
            size = heart.cavity * rng.uniform(0.08, 0.22)
            py, px = (rho * np.sin(theta)).astype(np.float32), (rho * np.cos(theta)).astype(np.float32)
            pool *= 1 - _inside(np.hypot(dy - py, dx - px) - np.float32(size), edge)
    _over(view, pool, blood.astype(np.float32))

    tags[rv < 0] = 3
    tags[r < outer] = 2
    tags[r < contour] = 1


def _acquire(
    rng: np.random.Generator, image: np.ndarray, y: np.ndarray, x: np.ndarray, noise: float | None
) -> np.ndarray:
    """Coil shading, phase, noise and a finite k-space window: complex64, shape (t, y, x)."""
    v, u = y[:, None], x[None]
    front, front_reach = (rng.uniform(-0.55, -0.35), rng.uniform(-0.15, 0.25)), rng.uniform(0.45, 0.8)
    back, back_reach = (rng.uniform(0.5, 0.8), rng.uniform(-0.2, 0.4)), rng.uniform(0.4, 0.8)
    coil = 1 / (1 + ((v - front[0]) ** 2 + (u - front[1]) ** 2) / front_reach**2)
    coil += rng.uniform(0.2, 0.9) / (1 + ((v - back[0]) ** 2 + (u - back[1]) ** 2) / back_reach**2)
    coil /= coil.max()
    # off-resonance grows away from a shimmed centre: bands where it reaches half a cycle per repetition
    beyond = np.maximum(np.hypot(v - rng.normal(-0.05, 0.06), u - rng.normal(0, 0.06)) - 0.4, 0)
    sideways = (1 + np.cos(np.arctan2(v, u) - rng.uniform(0, 2 * np.pi))) / 2
    coil *= np.sqrt(np.abs(np.cos(rng.uniform(0, 60) * beyond**2 * sideways)))
    phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 1.2) * v + rng.normal(0, 1.2) * u
    phase = phase + rng.normal(0, 2) * u * v + rng.normal(0, 1.5) * (u**2 - v**2)
    sigma = np.exp(rng.normal(np.log(0.0095), 0.45))
    if noise is not None:
        sigma = noise
    signal = image * (coil * np.exp(1j * phase)).astype(np.complex64)
    grain = rng.spawn(1)[0].standard_normal((*image.shape, 2), dtype=np.float32)
    signal += grain.view(np.complex64)[..., 0] * np.float32(sigma)
    kspace = np.fft.fft2(signal)
    ky, kx = np.abs(np.fft.fftfreq(len(y)))[:, None], np.abs(np.fft.fftfreq(len(x)))
    cut_y, cut_x, roll = rng.uniform(0.34, 0.52), rng.uniform(0.4, 0.52), rng.uniform(0.15, 0.65)
    rho = np.sqrt((ky / cut_y) ** 2 + (kx / cut_x) ** 2)
    window = np.where((ky <= cut_y) & (kx <= cut_x), 1 - roll * np.minimum(rho, 1) ** 2, 0)
    return np.fft.ifft2(kspace * window.astype(np.float32)).astype(np.complex64)


def _pad(rng: np.random.Generator, signal: np.ndarray, labels: np.ndarray) -> None:
    """Zero two opposite borders of every fourth seed, in place, as where a smaller image was padded."""
    if rng.uniform() > 1 / 4:
        return
    axis, share = rng.integers(1, 3), rng.uniform(0.01, 0.08)
    width = int(signal.shape[axis] * share)
    for array in (np.moveaxis(signal, axis, 0), np.moveaxis(labels, axis, 0)):
        array[:width] = 0
        array[len(array) - width :] = 0
