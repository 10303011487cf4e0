"""A seeded beating short-axis heart: images, tissue labels and volume curve.

Lengths are in units of the field of view (the shorter image side), so one seed shows the same heart at every
matrix size, with other textures. What lies outside the heart is drawn once, on a grid twice as fine, and then
moved by a displacement field; the heart is drawn in polar coordinates about its centre, all frames at once.
Tissues have the contrast of balanced SSFP; fat is in opposed phase to water (TE = TR/2), so their borders are
dark ("India ink"). Everything is rendered on a finer grid than the image and reduced by cropping its k-space,
so that pixels hold several tissues and edges ring; coil shading, a smooth phase and noise complete it.

References
----------
.. [1] O. Bernard et al., "Deep learning techniques for automatic MRI cardiac multi-structures segmentation
   and diagnosis: is the problem solved?", IEEE TMI 37 (2018): the five groups.
.. [2] K. Scheffler, S. Lehnhardt, "Principles and applications of balanced SSFP techniques", European Radiology
   13 (2003), equation 2: the signal.
.. [3] G. Stanisz et al., MRM 54 (2005), and C. de Bazelaire et al., Radiology 230 (2004): T1 and T2 at 1.5 T; blood's
   T2 is that of arterial and venous blood, roughly averaged.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

VERSION = 2
GROUPS = ("normal", "dilated", "hypertrophic", "infarction", "abnormal_rv")
RENDER = 4 / 3  # rendered points per pixel
FINE = 2  # static grid points per pixel
MARGIN = 0.08  # the static grid reaches this far beyond the image: where tissue that moves in comes from
MIN_SIDE = 16
TURNS = 512  # angles of the tables that hold the contours of the heart
TISSUES = {  # T1 and T2 in ms at 1.5 T [3]_, proton density
    "blood": (1500, 230, 1.0),
    "muscle": (1000, 45, 0.9),
    "fat": (260, 80, 1.0),
    "liver": (580, 46, 0.85),
    "spleen": (1050, 75, 0.9),
    "marrow": (550, 55, 0.7),
    "fluid": (3500, 1500, 1.0),
    "lung": (1200, 60, 0.2),
}


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
    group
        one of `GROUPS`
    """

    image: np.ndarray
    complex_image: np.ndarray
    labels: np.ndarray
    lv_volume: np.ndarray
    ejection_fraction: float
    group: str


def cine_phantom(
    seed: int,
    shape: tuple[int, int, int] = (20, 192, 192),
    *,
    group: str | None = None,
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
    group
        ``"normal"``, ``"dilated"``, ``"hypertrophic"``, ``"infarction"`` (a part of the wall does not contract) or
        ``"abnormal_rv"`` [1]_; None draws one
    noise
        standard deviation of the complex Gaussian noise, relative to bright tissue, at most 1; None draws one
    per_frame
        True scales each frame to [0, 1] by its own smallest and largest magnitude, False the cine as a whole

    Returns
    -------
        image, complex image, labels, volume curve, ejection fraction and group

    Raises
    ------
    ValueError
        if the shape is not three integers of at least (1, 16, 16), the seed is negative, there is no such group,
        or the noise is not in [0, 1]
    """
    frames, ny, nx = _checked_shape(shape)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if noise is not None and not 0 <= noise <= 1:
        raise ValueError(f"noise must be between 0 and 1, got {noise}")
    if group is not None and group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")
    rng = np.random.default_rng([seed, VERSION])
    drawn = rng.choice(GROUPS)
    group = group or str(drawn)
    tissue = _signals(rng)
    heart = _Heart(rng, frames, group)

    side = min(ny, nx)
    y, x = _grid(ny, ny / side), _grid(nx, nx / side)
    fine_y, fine_x = (_grid(_rendered(n), n / side) for n in (ny, nx))
    static, systolic, freedom = _surroundings(rng, heart, tissue, fine_y, fine_x)
    image = _moved(rng, heart, static, systolic, freedom, fine_y, fine_x)
    _draw_heart(rng, heart, tissue, image, fine_y, fine_x)
    labels = heart.labels(y, x)
    signal = _acquire(rng, image, y, x, noise)
    _pad(rng, signal, labels)

    magnitude = np.abs(signal)
    axes = (1, 2) if per_frame else None
    low, high = magnitude.min(axes, keepdims=True), magnitude.max(axes, keepdims=True)
    scaled = (magnitude - low) / (high - low)
    phase = signal / np.maximum(magnitude, np.finfo(np.float32).tiny)
    return Phantom(scaled, scaled * phase, labels, heart.volume, heart.ejection_fraction, group)


def _checked_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        frames, ny, nx = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape must be three integers (t, y, x), got {shape!r}") from None
    if frames < 1 or min(ny, nx) < MIN_SIDE:
        raise ValueError(f"shape must be at least (1, {MIN_SIDE}, {MIN_SIDE}), got {shape!r}")
    return frames, ny, nx


def _grid(n: int, length: float) -> np.ndarray:
    """``n`` points over ``length``; grids of different ``n`` share the one in the middle, as FFTs do."""
    return ((np.arange(n) - n // 2) * length / n).astype(np.float32)


def _rendered(n: int) -> int:
    """Rendered points along an axis of ``n`` pixels: even, since `scipy.fft` likes it."""
    return 2 * round(n * RENDER / 2)


def _signals(rng: np.random.Generator) -> dict[str, float]:
    """Signal of each tissue, fat about 0.75: balanced SSFP with a repetition time far below T2 [2]_."""
    flip = np.deg2rad(rng.uniform(45, 70))
    signals = {}
    for name, (t1, t2, density) in TISSUES.items():
        ratio = t1 / t2 * np.exp(rng.normal(0, 0.12))
        signals[name] = density * np.sin(flip) / (1 + np.cos(flip) + (1 - np.cos(flip)) * ratio)
    unit = 0.75 / signals["fat"]
    return {name: float(signal * unit) for name, signal in signals.items()}


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
    """Geometry and motion. Contours are tables ``(t, TURNS)``: radius about the centre, by frame and angle."""

    def __init__(self, rng: np.random.Generator, frames: int, group: str):
        self.frames = frames
        self._beat(rng)
        c = self.contraction[:, None]
        angle = np.arange(TURNS) * 2 * np.pi / TURNS
        self.towards_rv = np.deg2rad(rng.uniform(-85, -35))  # from x to y, y pointing down
        off = (angle - self.towards_rv + np.pi) % (2 * np.pi) - np.pi  # angle from the direction of the RV

        # size, wall and ejection fraction as the group has them
        fractions, radii, walls = {
            "normal": ((0.46, 0.62), (0.066, 0.084), (0.028, 0.038)),
            "dilated": ((0.12, 0.36), (0.092, 0.120), (0.024, 0.034)),
            "hypertrophic": ((0.48, 0.66), (0.060, 0.078), (0.042, 0.060)),
            "infarction": ((0.20, 0.42), (0.080, 0.104), (0.028, 0.038)),
            "abnormal_rv": ((0.42, 0.58), (0.064, 0.084), (0.028, 0.038)),
        }[group]
        fraction, radius, wall = rng.uniform(*fractions), rng.uniform(*radii), rng.uniform(*walls)
        shortening = 0.25 * fraction  # of the long axis
        field_of_view, axis = rng.uniform(270, 330), rng.uniform(75, 95)  # mm
        end_diastolic = 2 / 3 * np.pi * (radius * field_of_view) ** 2 * axis / 1000
        area = 1 - (1 - fraction) / (1 - shortening)  # lost by the cavity's cross-section
        volume = end_diastolic * (1 - area * self.contraction) * (1 - shortening * self.contraction)
        self.volume = volume.astype(np.float32)
        self.ejection_fraction = float(1 - self.volume.min() / self.volume.max())

        # the slice stands still while the base comes down: it shows more and more basal heart
        level = rng.uniform(0.35, 0.97)  # 0 apex, 1 base
        passing = level + 0.5 * shortening * self.contraction
        taper = np.sqrt(1 - 0.8 * (1 - np.minimum(passing, 1)) ** 2)[:, None]
        self.base = np.clip((passing - 0.93) / 0.12, 0, 1)  # 0 ventricles only, 1 atria and outflow as well
        self.level = level
        self.cavity = radius * float(taper[0, 0])

        # left ventricle: the wall keeps its area, all around; an infarcted part follows the rest, passively
        part = np.zeros(TURNS)
        if group == "infarction":
            where, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
            part = rng.uniform(0.75, 1.0) * np.exp(-(((1 - np.cos(angle - where)) / (width**2 / 2)) ** 2))
        share = np.minimum(area * (1 - part) / (1 - part).mean(), 0.85)
        squeeze = np.sqrt(1 - share * c)
        shape = _wave(rng, angle, {2: 0.05, 3: 0.03, 4: 0.015})
        wave = _wave(rng, angle, {1: 0.10, 2: 0.06, 3: 0.04})
        if group == "hypertrophic":
            wave = wave + rng.uniform(0, 0.6) * np.exp(-(((off - rng.normal(0, 0.4)) / 0.9) ** 2))
        wave -= 0.4 * part
        if group == "abnormal_rv":  # a septum flattened by the pressure on its other side
            flat = rng.uniform(0.05, 0.22) * np.exp(-((off / 0.75) ** 2))
            shape = shape - flat * (0.8 + 0.4 * c)
        self.contour = radius * taper * squeeze * (1 + shape)
        muscle = (radius + wall * (1 + wave)) ** 2 - radius**2
        self.outer = np.sqrt(self.contour**2 + muscle * (1 + shape) * taper)
        self.bumps = _wave(rng, angle, dict.fromkeys(range(5, 15, 2), 0.012))  # trabeculae
        self.inner = self.contour * (1 + self.bumps * (0.6 + 0.8 * c)) - 0.12 * c * self.contour
        self.epi = np.sqrt((self.outer**2).mean(1))
        self.epi_rest = float(self.epi[0])

        # right ventricle: a crescent on the left one, thinner towards the apex
        deep = rng.uniform(0.05, 0.10) * (0.55 + 0.5 * level)
        wide = rng.uniform(0.8, 1.15)
        if group == "abnormal_rv":
            deep, wide = deep * rng.uniform(1.15, 1.7), wide * rng.uniform(1.0, 1.25)
        lost = rng.uniform(0.12, 0.36) * (0.5 if group == "abnormal_rv" else 1)
        across = (off + rng.uniform(-0.3, 0.3) * (np.minimum(off**2, 1.5) - 0.5)) / (wide * (1 - 0.08 * c))
        power, blunt = rng.uniform(1.8, 3.0), rng.uniform(0.6, 0.95)
        height = np.maximum(1 - np.abs(across) ** power, 0) ** blunt
        height = height * (1 + _wave(rng, angle, {3: 0.05, 5: 0.04, 8: 0.02}))
        self.rv = self.outer + deep * (1 - lost * c) * height
        self.rv_inside = height > 0
        self.rv_wall = rng.uniform(0.008, 0.013) * np.clip(1.5 - np.abs(across), 0, 1)

        self.centre = np.array([rng.uniform(-0.16, 0.0), rng.uniform(-0.09, 0.09)])  # y, x
        pull = rng.uniform(0.002, 0.012) * np.array([np.sin(self.towards_rv), np.cos(self.towards_rv)])
        pull += rng.normal(0, 0.004, 2)
        self.shift = c * pull + self.lag[:, None] * rng.normal(0, 0.003, 2)
        self.shift += self.waves[:, :5] @ rng.normal(0, 0.0014, (5, 2))  # beats that differ
        self._breathe(rng)

    def _beat(self, rng: np.random.Generator) -> None:
        """Systole, rapid filling, diastasis, atrial kick; the frames need not close the cycle."""
        span = rng.uniform(0.66, 0.92)  # of the heart beat, covered by the frames
        phase = (np.arange(self.frames) + rng.uniform(-0.3, 0.6)) * span / self.frames
        end_systole = rng.uniform(0.31, 0.40)
        rapid, kick = rng.uniform(0.6, 0.8), rng.uniform(0.9, 1.0)
        emptied = _step((phase - 0.03) / (end_systole - 0.05)) - rapid * _step(
            (phase - end_systole - 0.03) / 0.15
        )
        emptied -= (1 - rapid) * _step((phase - kick + 0.18) / 0.18)
        self.contraction = emptied.astype(np.float32)  # 0 end-diastole, 1 end-systole
        lag = _step(phase / (end_systole + 0.1)) - _step((phase - end_systole - 0.1) / 0.45)
        self.lag = lag.astype(np.float32)  # the same, for what follows the heart later
        half_cycles = np.array([1, 2, 4, 7, 11, 17])
        self.waves = np.cos(np.pi * half_cycles * phase[:, None] + rng.uniform(0, 2 * np.pi, 6))

    def _breathe(self, rng: np.random.Generator) -> None:
        """Breath-holds are seldom perfect: the diaphragm drifts, with everything that hangs on it."""
        reach = rng.exponential(0.003) if rng.uniform() < 0.5 else rng.exponential(0.0008)
        heading = rng.normal(0.9, 0.5)  # from x to y
        course = np.linspace(-0.5, 0.5, self.frames) + 0.25 * self.waves[:, 0]
        self.drift = reach * course[:, None] * np.array([np.sin(heading), np.cos(heading)])
        self.shift += 0.6 * self.drift

    def polar(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Distance from the centre along y, x and in all, and where to look in a table; ``(t, y, x)``."""
        centre = (self.centre + self.shift).astype(np.float32)[:, :, None, None]
        dy, dx = y[:, None] - centre[:, 0], x - centre[:, 1]
        dy, dx = np.broadcast_arrays(dy, dx)
        sector = (np.arctan2(dy, dx) * np.float32(TURNS / (2 * np.pi))).astype(np.int32) % TURNS
        return dy, dx, np.sqrt(dy**2 + dx**2), sector + TURNS * np.arange(len(dy))[:, None, None]

    def window(self, y: np.ndarray, x: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns that hold the heart and what touches it."""
        reach = self.rv.max() + 0.05
        return tuple(
            slice(*np.searchsorted(a, [c - reach, c + reach]))
            for a, c in zip((y, x), self.centre, strict=True)
        )

    def labels(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Tissue by frame and pixel, see `Phantom.labels`."""
        labels = np.zeros((self.frames, len(y), len(x)), np.uint8)
        rows, columns = self.window(y, x)
        _, _, r, at = self.polar(y[rows], x[columns])
        view = labels[:, rows, columns]
        view[(r < self.rv.ravel()[at]) & (self.rv > self.outer).ravel()[at]] = 3
        view[r < self.outer.ravel()[at]] = 2
        view[r < self.contour.ravel()[at]] = 1
        return labels


def _surroundings(
    rng: np.random.Generator, heart: _Heart, tissue: dict[str, float], y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Body without heart on the fine grid: at rest, what contraction adds, how freely it moves (0 to 1)."""
    pixel = RENDER * float(y[1] - y[0])
    step = pixel / FINE
    sides = [int(np.ceil((-2 * a[0] + 2 * MARGIN) / step)) + 1 for a in (y, x)]
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
    bu, bv = rng.uniform(0.02, 0.14), av + heart.centre[0] - heart.rv[0].max() - rng.uniform(0.05, 0.19)
    pu = (wu - bu) * np.cos(turn) + (wv - bv) * np.sin(turn)
    pv = (wv - bv) * np.cos(turn) - (wu - bu) * np.sin(turn)
    radius = np.sqrt((pu / au) ** 2 + (pv / av) ** 2) + 1e-6
    depth = (1 - radius) * radius / np.sqrt((pu / au**2) ** 2 + (pv / av**2) ** 2 + 1e-9)
    around = np.arctan2(pv / av, pu / au)

    fat = -tissue["fat"] * rng.uniform(0.7, 1.1) * (1 + 0.12 * coarse[2] + 0.10 * middle[0] + 0.05 * fine[0])
    muscle = (
        tissue["muscle"] * rng.uniform(1.2, 2.1) * (1 + 0.15 * middle[1] + 0.08 * fine[1] - 0.3 * ridge[0])
    )
    lung = (
        tissue["lung"]
        * np.exp(rng.normal(0.5, 0.55))
        * (1 + 0.25 * coarse[2] + 0.15 * fine[0] + 0.5 * ridge[1])
    )
    body = np.zeros(sides, np.float32)
    skin = min(np.exp(rng.normal(np.log(0.040), 0.6)), 0.085) * np.exp(0.35 * coarse[2])
    pad = rng.uniform(0, 2.5) * np.exp(-(((1 - np.cos(around - rng.uniform(1.6, 4))) / 0.2) ** 2))
    skin = 0.12 * np.tanh(skin * (1 + pad) / 0.12)  # thicker at the side
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

    if rng.uniform() < 0.25:  # an arm that lies at the side
        where, size = rng.uniform(2.5, 3.7), rng.uniform(0.08, 0.13)
        cu, cv = bu + (au + size) * np.cos(where), bv + (av + size) * np.sin(where)
        ring, beside = _ellipse(rng, wv - cv, wu - cu, 0.6), _inside(depth + 0.012, edge)
        _over(body, beside * _inside(ring - size, edge), fat)
        _over(body, beside * _inside(ring - 0.75 * size, 1.5 * edge), muscle)
        _over(body, beside * _inside(ring - 0.22 * size, edge), 0.05)
        _over(body, beside * _inside(ring - 0.15 * size, edge), tissue["marrow"])

    # under the diaphragm: fat and muscle, liver beside the heart, other organs
    hy, hx = heart.centre
    bow = hx + heart.epi_rest + rng.uniform(-0.02, 0.05)
    diaphragm = bow + rng.uniform(-0.5, 0.15) * (wv - hy) - wu
    diaphragm -= rng.uniform(0.2, 1.6) * np.maximum(wv - hy - 0.08, 0) ** 2
    belly = inner * _inside(diaphragm, edge)
    _over(body, belly, fat * rng.uniform(0.35, 0.8))
    _over(body, belly * _inside(0.2 - 0.25 * middle[1] - coarse[0], 0.15), muscle * rng.uniform(1.0, 1.8))
    _over(body, belly, body + 0.2 * ridge[0] - 0.3 * body * ridge[1])
    liver = tissue["liver"] * rng.uniform(0.65, 1.3) * (1 + 0.1 * middle[0] + 0.05 * fine[1])
    liver *= 1 + rng.uniform(-0.3, 0.6) * ridge[0]
    lower = hy + rng.uniform(0.08, 0.2) + rng.uniform(-0.2, 0.5) * (wu - bow)
    _over(body, belly * _inside(np.maximum(diaphragm + 0.005, wv - lower), 2 * edge), liver)
    for _ in range(rng.integers(18, 32)):
        cv, cu = rng.uniform(hy + 0.12, 0.55), rng.uniform(hx - 0.05, 0.62)
        if np.hypot(cv - hy, cu - hx) < heart.epi_rest + 0.05:
            continue
        size, soft = rng.uniform(0.025, 0.1), edge * rng.uniform(0.8, 3)
        kind = rng.choice(["muscle", "spleen", "liver", "fluid", "fat"], p=[0.25, 0.25, 0.2, 0.2, 0.1])
        value = tissue[kind] * rng.uniform(0.6, 1.1) * (-1 if kind == "fat" else 1)
        ring = _ellipse(rng, wv - cv, wu - cu, 0.55) * (1 + 0.15 * coarse[3])
        organ = inner * _inside(ring - size, soft)
        marks = rng.uniform(-0.4, 0.6) * ridge[rng.integers(2)]
        _over(body, organ, value * (1 + 0.12 * middle[1] + 0.08 * fine[0] + marks))
        if rng.uniform() < 0.5:  # another content: blood, bowel gas, renal pelvis
            core = _inside(ring - rng.uniform(0.4, 0.8) * size, soft)
            _over(body, organ * core, min(rng.uniform(0.3, 1.6) * abs(value), 0.8))

    # spine, its canal, descending aorta
    sv, su = rng.uniform(0.22, 0.42), rng.uniform(0.25, 0.42)
    vertebra = np.hypot(wu - su, 1.2 * (wv - sv))
    _over(body, inner * _inside(vertebra - 0.066, 2 * edge), 0.05)
    marrow = tissue["marrow"] * rng.uniform(0.6, 1.4) * (1 + 0.2 * fine[1] + 0.1 * middle[0])
    _over(body, inner * _inside(vertebra - 0.06, edge), marrow)
    canal = np.hypot(wu - su - 0.07, wv - sv - 0.05)
    _over(body, inner * _inside(canal - 0.022, edge), 0.85 * tissue["fluid"])
    aorta = np.hypot(u - su + 0.07, v - sv + 0.05)
    _over(body, inner * _inside(aorta - 0.036, edge), 0.08)
    blood = inner * _inside(aorta - 0.03, edge)
    _over(body, blood, tissue["blood"] * rng.uniform(0.8, 1.4) * (1 + 0.06 * middle[1]))

    added = rng.uniform(-0.15, 0.1) * blood + (0.02 * middle[1] + 0.04 * ridge[1]) * belly
    _draw_vessels(rng, heart, body, added, inner, v, u)
    return body, added, np.clip((depth - chest) / 0.05, 0.15, 1)


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
    freedom: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """Carry the surroundings along with the heart: bilinear look-up on the fine grid, shape (t, y, x)."""
    step = np.float32(RENDER * (y[1] - y[0]) / FINE)
    cy, cx = (heart.centre[i] + heart.shift[:, i, None, None] for i in (0, 1))
    dy, dx = (y[:, None] - cy).astype(np.float32), (x - cx).astype(np.float32)
    r2 = dy**2 + dx**2
    rest = (heart.epi_rest**2 - heart.epi**2).astype(np.float32)[:, None, None]
    far = np.exp(-r2 / np.float32(0.2**2))
    squeeze = np.sqrt(np.maximum(1 + rest * far / np.maximum(r2, np.float32(1e-4)), np.float32(0.05))) - 1

    # smooth motion of everything that touches the diaphragm, later than the heart, and breathing
    ky, kx = rng.normal(0, 6, (2, 2, 3))
    phase = rng.uniform(0, 2 * np.pi, (2, 3))
    modes = np.cos(ky[..., None, None] * y[:, None] + kx[..., None, None] * x + phase[..., None, None])
    times = np.stack([heart.contraction, heart.lag, heart.waves[:, 1]], 1)
    times *= rng.exponential([0.0045, 0.0040, 0.0022])
    rows, columns = (
        np.rint(a / step + (n - 1) / 2).astype(int) for a, n in zip((y, x), static.shape, strict=True)
    )
    mobility = freedom[rows][:, columns]
    wy, wx = np.einsum("tk,ckyx->ctyx", times, modes * mobility, optimize=True).astype(np.float32)
    carried, held = mobility * far, mobility * (1 - far)
    drift = heart.drift.astype(np.float32)
    wy += dy * squeeze * mobility - heart.shift[:, 0, None, None].astype(np.float32) * carried
    wx += dx * squeeze * mobility - heart.shift[:, 1, None, None].astype(np.float32) * carried
    wy -= drift[:, 0, None, None] * held
    wx -= drift[:, 1, None, None] * held

    fy = (y[:, None] + wy) / step + np.float32((static.shape[0] - 1) / 2)
    fx = (x + wx) / step + np.float32((static.shape[1] - 1) / 2)
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
    tissue: dict[str, float],
    image: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> None:
    """Paint both ventricles into the image, in place, within a window around them."""
    pixel = RENDER * float(y[1] - y[0])
    edge = rng.uniform(0.3, 0.8) * pixel
    rows, columns = heart.window(y, x)
    view = image[:, rows, columns]
    frame = (slice(None), None, None)
    dy, dx, r, at = heart.polar(y[rows], x[columns])
    state = heart.contraction[frame]

    def radius(table: np.ndarray) -> np.ndarray:
        return np.broadcast_to(table, (heart.frames, TURNS)).astype(np.float32).ravel()[at]

    side = 1 / float(y[1] - y[0])
    flow = _texture(rng, (6, *view.shape[1:]), side, 2.6, 4.0)
    times = heart.waves * [0.9, 0.8, 0.6, 0.5, 0.3, 0.2]
    swirl = np.einsum("tk,kyx->tyx", times, flow, optimize=True).astype(np.float32)

    # what is carried along by the wall: looked up where the tissue was at end-diastole
    points = int(2.2 * (view.shape[1] + 2))
    shrink = (heart.epi_rest / heart.epi)[frame].astype(np.float32) * np.float32(side)
    row, column = ((d * shrink + points / 2).astype(np.int32).clip(0, points - 1) for d in (dy, dx))
    place = row * points + column
    grain = _texture(rng, (2, points, points), side, 1.1, 15.0).reshape(2, -1)
    rough = _texture(rng, (2, points, points), side, 1.9, 9.0).reshape(2, -1)
    speckle = (grain[0] + 1j * grain[1]).astype(np.complex64)[
        place
    ]  # another texture enters through the slice
    speckle = speckle.real * (1 - state) + speckle.imag * state
    warp = (rough[0] + 1j * rough[1]).astype(np.complex64)[place] * np.float32(rng.uniform(0.0015, 0.004))
    dy, dx, r = dy + warp.real, dx + warp.imag, r + warp.real + warp.imag
    rough = warp.real / np.float32(0.004)

    outer, rv, wall = radius(heart.outer), radius(heart.rv), radius(heart.rv_wall)
    bright = tissue["blood"] * rng.uniform(0.9, 1.4)
    inflow = (
        1 + heart.waves[:, 1:4] @ rng.normal(0, [0.02, 0.02, 0.01]) - rng.uniform(0, 0.12) * heart.contraction
    )
    inflow = inflow[frame].astype(np.float32)
    eddy = rng.uniform(0.03, 0.10)
    muscle = tissue["muscle"] * rng.uniform(0.75, 1.25)
    muscle = muscle * (1 + 0.08 * speckle + 0.10 * rng.normal() * state + 0.10 * rough)

    # fat around, in the grooves most; then what lies above the base; then the chambers
    angle = np.arange(TURNS) * 2 * np.pi / TURNS
    thick = rng.uniform(-0.008, 0.005) + _wave(rng, angle, dict.fromkeys((1, 2, 3, 5), 0.005))
    around = np.minimum(r - rv - wall, r - outer - 0.003)
    coat = _inside(around - radius(thick) * (1 + 0.4 * rough), edge)
    _over(view, coat, np.float32(-tissue["fat"] * rng.uniform(0.6, 1.0)) * (1 + 0.12 * speckle))
    _draw_base(
        rng, heart, view, dy, dx, (bright * inflow * (1 + eddy * swirl)).astype(np.float32), muscle, edge
    )
    _over(view, _inside(r - rv - wall, edge), muscle)
    rv_blood = bright * rng.uniform(0.65, 1.05) * inflow * (1 + 1.3 * eddy * swirl + 0.03 * speckle)
    rv_pool = _inside(np.maximum(r - rv + 0.003 * np.maximum(speckle, 0), outer - r), 1.3 * edge)
    rv_pool *= radius(heart.rv_inside)
    for _ in range(rng.integers(0, 6)):  # trabeculae and papillary muscles of the right ventricle
        theta, height = heart.towards_rv + rng.uniform(-0.8, 0.8), rng.uniform(0.5, 1.0)
        spot = int(theta % (2 * np.pi) * TURNS / (2 * np.pi)) % TURNS
        rho = (heart.outer[:, spot] + height * (heart.rv - heart.outer)[:, spot])[frame].astype(np.float32)
        py, px = rho * np.float32(np.sin(theta)), rho * np.float32(np.cos(theta))
        rv_pool *= 1 - _inside(np.hypot(dy - py, dx - px) - np.float32(rng.uniform(0.004, 0.010)), edge)
    if heart.level < 0.8 and rng.uniform() < 0.6:  # the moderator band, from the septum to the free wall
        theta, width = heart.towards_rv + rng.uniform(-0.5, 0.5), rng.uniform(0.003, 0.006)
        beside = dy * np.float32(np.cos(theta)) - dx * np.float32(np.sin(theta))
        ahead = dx * np.float32(np.cos(theta)) + dy * np.float32(np.sin(theta))
        rv_pool *= 1 - _inside(np.abs(beside) - np.float32(width), edge) * (ahead > 0)
    _over(view, rv_pool, rv_blood.astype(np.float32))
    _over(view, _inside(r - outer, edge), muscle)
    blood = bright * inflow * (1 + eddy * swirl + 0.03 * speckle)
    pool = _inside(r - radius(heart.inner) + 0.003 * np.maximum(speckle + rough, 0), edge)
    papillary = heart.towards_rv + np.array([0.55, 1.35]) * np.pi + rng.normal(0, 0.25, 2)
    size_here = 1 if heart.level < 0.85 else 0.5  # they end below the valve
    squeezed = (heart.inner.mean(1))[frame]
    for centre in papillary:
        for _ in range(rng.integers(1, 4)):
            theta = centre + rng.normal(0, 0.2)
            rho = (squeezed * rng.uniform(0.62, 1.0)).astype(np.float32)
            size = heart.cavity * rng.uniform(0.10, 0.24) * size_here
            py, px = rho * np.float32(np.sin(theta)), rho * np.float32(np.cos(theta))
            pool *= 1 - _inside(np.hypot(dy - py, dx - px) - np.float32(size), edge)
    _over(view, pool, blood.astype(np.float32))


def _draw_base(
    rng: np.random.Generator,
    heart: _Heart,
    view: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    blood: np.ndarray,
    muscle: np.ndarray,
    edge: float,
) -> None:
    """What a basal slice shows as the base comes down: left atrium behind, outflow tract beside; in place."""
    behind, beside = (
        heart.towards_rv + np.pi + rng.normal(0.3, 0.2),
        heart.towards_rv + rng.choice([-1, 1]) * 1.2,
    )
    for theta, size, aspect in (
        (behind, rng.uniform(0.06, 0.085), 0.6),
        (beside, rng.uniform(0.04, 0.05), 0.9),
    ):
        reach = heart.epi_rest - 0.1 * size
        away = dx * np.float32(np.cos(theta)) + dy * np.float32(np.sin(theta)) - np.float32(reach)
        along = dy * np.float32(np.cos(theta)) - dx * np.float32(np.sin(theta))
        distance = np.hypot(away / np.float32(aspect), along)
        distance -= (size * heart.base)[:, None, None].astype(np.float32)
        here = (heart.base > 0)[:, None, None]
        _over(view, _inside(distance - 0.006, edge) * here, muscle)
        _over(view, _inside(distance, edge) * here, blood)


def _acquire(
    rng: np.random.Generator, image: np.ndarray, y: np.ndarray, x: np.ndarray, noise: float | None
) -> np.ndarray:
    """Coil shading, phase, noise and a finite k-space window: complex64, shape (t, y, x)."""
    v, u = y[:, None], x[None]
    front, front_reach = (rng.uniform(-0.55, -0.35), rng.uniform(-0.15, 0.25)), rng.uniform(0.5, 0.95)
    back, back_reach = (rng.uniform(0.5, 0.8), rng.uniform(-0.2, 0.4)), rng.uniform(0.4, 0.8)
    coil = 1 / (1 + ((v - front[0]) ** 2 + (u - front[1]) ** 2) / front_reach**2)
    coil += rng.uniform(0.3, 1.2) / (1 + ((v - back[0]) ** 2 + (u - back[1]) ** 2) / back_reach**2)
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
    kspace = _cropped(np.fft.fft2(image), len(y), len(x))
    signal = np.fft.ifft2(kspace) * (coil * np.exp(1j * phase)).astype(np.complex64)
    signal *= 1 + _settling(rng, len(image), y, x)
    grain = rng.spawn(1)[0].standard_normal((*signal.shape, 2), dtype=np.float32)
    signal += grain.view(np.complex64)[..., 0] * np.float32(sigma)
    kspace = np.fft.fft2(signal)
    ky, kx = np.abs(np.fft.fftfreq(len(y)))[:, None], np.abs(np.fft.fftfreq(len(x)))
    cut_y, cut_x, roll = rng.uniform(0.36, 0.52), rng.uniform(0.42, 0.52), rng.uniform(0, 0.5)
    rho = np.sqrt((ky / cut_y) ** 2 + (kx / cut_x) ** 2)
    window = np.where((ky <= cut_y) & (kx <= cut_x), 1 - roll * np.minimum(rho, 1) ** 2, 0)
    return np.fft.ifft2(kspace * window.astype(np.float32)).astype(np.complex64)


def _settling(rng: np.random.Generator, frames: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Change of signal on the way to the steady state and as the coils move: smooth over the image."""
    ky, kx = rng.normal(0, 7, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, 2)
    fields = np.cos(ky[:, None, None] * y[:, None] + kx[:, None, None] * x + phase[:, None, None])
    t = np.arange(frames) / frames
    times = np.stack([np.exp(-t / rng.uniform(0.05, 0.5)), np.cos(np.pi * t * rng.uniform(1, 6))], 1)
    return np.einsum("tk,kyx->tyx", times * rng.exponential([0.025, 0.010]), fields).astype(np.float32)


def _cropped(kspace: np.ndarray, ny: int, nx: int) -> np.ndarray:
    """The middle of k-space (zero frequency first, as the FFT has it): a smaller image of the same brightness."""
    scale = np.float32(ny * nx / (kspace.shape[1] * kspace.shape[2]))
    for axis, n in ((1, ny), (2, nx)):
        front, back = (n + 1) // 2, n // 2
        keep = np.r_[:front, kspace.shape[axis] - back : kspace.shape[axis]]
        kspace = np.take(kspace, keep, axis)
    return kspace * scale


def _pad(rng: np.random.Generator, signal: np.ndarray, labels: np.ndarray) -> None:
    """Zero two opposite borders of every fourth seed, in place, as where a smaller image was padded."""
    if rng.uniform() > 1 / 4:
        return
    axis, share = rng.integers(1, 3), rng.uniform(0.01, 0.08)
    width = int(signal.shape[axis] * share)
    for array in (np.moveaxis(signal, axis, 0), np.moveaxis(labels, axis, 0)):
        array[:width] = 0
        array[len(array) - width :] = 0
