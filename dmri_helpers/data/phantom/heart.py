"""The beating heart of the phantom: how it moves, and how its muscle, chambers and base are painted."""

import numpy as np

from .shapes import RENDER, paint_over, random_texture, random_wave, smooth_step, soft_inside

ANGLES = 512  # angles of the tables that hold the contours of the heart


class Heart:
    """Geometry and motion of a heart. Its contours are tables ``(t, ANGLES)`` of the radius about its centre."""

    def __init__(self, rng: np.random.Generator, frames: int, group: str, level: float | None = None):
        self.frames = frames
        self._beat(rng)
        c = self.contraction[:, None]
        angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
        self.towards_rv = np.deg2rad(rng.uniform(-85, -35))  # from x to y, y pointing down
        off = (angle - self.towards_rv + np.pi) % (2 * np.pi) - np.pi  # angle from the direction of the RV

        # size, wall and ejection fraction, in the ranges of the group
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
        area = 1 - (1 - fraction) / (1 - shortening)  # share of its cross-section that the cavity loses
        volume = end_diastolic * (1 - area * self.contraction) * (1 - shortening * self.contraction)
        self.volume = volume.astype(np.float32)
        self.ejection_fraction = float(1 - self.volume.min() / self.volume.max())

        # the slice stands still while the base comes down, so it shows more and more of the base
        drawn = rng.uniform(0.35, 0.97)  # 0 apex, 1 base
        level = drawn if level is None else level
        passing = level + 0.5 * shortening * self.contraction
        taper = np.sqrt(1 - 0.8 * (1 - np.minimum(passing, 1)) ** 2)[:, None]
        self.base = np.clip((passing - 0.93) / 0.12, 0, 1)  # 0 ventricles only, 1 atria and outflow as well
        self.level = level
        self.cavity = radius * float(taper[0, 0])

        # left ventricle: the wall keeps its area all around; an infarcted part only follows the rest
        part = np.zeros(ANGLES)
        if group == "infarction":
            where, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
            part = rng.uniform(0.75, 1.0) * np.exp(-(((1 - np.cos(angle - where)) / (width**2 / 2)) ** 2))
        share = np.minimum(area * (1 - part) / (1 - part).mean(), 0.85)
        squeeze = np.sqrt(1 - share * c)
        shape = random_wave(rng, angle, {2: 0.05, 3: 0.03, 4: 0.015})
        wave = random_wave(rng, angle, {1: 0.10, 2: 0.06, 3: 0.04})
        if group == "hypertrophic":
            wave = wave + rng.uniform(0, 0.6) * np.exp(-(((off - rng.normal(0, 0.4)) / 0.9) ** 2))
        wave -= 0.4 * part
        if group == "abnormal_rv":  # a septum flattened by the pressure on its other side
            flat = rng.uniform(0.05, 0.22) * np.exp(-((off / 0.75) ** 2))
            shape = shape - flat * (0.8 + 0.4 * c)
        self.contour = radius * taper * squeeze * (1 + shape)
        muscle = (radius + wall * (1 + wave)) ** 2 - radius**2
        self.outer = np.sqrt(self.contour**2 + muscle * (1 + shape) * taper)
        self.bumps = random_wave(rng, angle, dict.fromkeys(range(5, 15, 2), 0.012))  # trabeculae
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
        height = height * (1 + random_wave(rng, angle, {3: 0.05, 5: 0.04, 8: 0.02}))
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
        """Contraction by frame: systole, rapid filling, diastasis, atrial kick. The frames need not close the cycle."""
        span = rng.uniform(0.66, 0.92)  # of the heart beat, covered by the frames
        phase = (np.arange(self.frames) + rng.uniform(-0.3, 0.6)) * span / self.frames
        end_systole = rng.uniform(0.31, 0.40)
        rapid, kick = rng.uniform(0.6, 0.8), rng.uniform(0.9, 1.0)
        emptied = smooth_step((phase - 0.03) / (end_systole - 0.05)) - rapid * smooth_step(
            (phase - end_systole - 0.03) / 0.15
        )
        emptied -= (1 - rapid) * smooth_step((phase - kick + 0.18) / 0.18)
        self.contraction = emptied.astype(np.float32)  # 0 end-diastole, 1 end-systole
        lag = smooth_step(phase / (end_systole + 0.1)) - smooth_step((phase - end_systole - 0.1) / 0.45)
        self.lag = lag.astype(np.float32)  # the same, for what follows the heart later
        half_cycles = np.array([1, 2, 4, 7, 11, 17])
        self.waves = np.cos(np.pi * half_cycles * phase[:, None] + rng.uniform(0, 2 * np.pi, 6))

    def _breathe(self, rng: np.random.Generator) -> None:
        """Let the diaphragm drift, with everything attached to it, since breath-holds are seldom perfect."""
        reach = rng.exponential(0.003) if rng.uniform() < 0.5 else rng.exponential(0.0008)
        heading = rng.normal(0.9, 0.5)  # from x to y
        course = np.linspace(-0.5, 0.5, self.frames) + 0.25 * self.waves[:, 0]
        self.drift = reach * course[:, None] * np.array([np.sin(heading), np.cos(heading)])
        self.shift += 0.6 * self.drift

    def polar(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Distance from the centre (along y, along x, in all) and index into a flat table, each ``(t, y, x)``."""
        centre = (self.centre + self.shift).astype(np.float32)[:, :, None, None]
        dy, dx = y[:, None] - centre[:, 0], x - centre[:, 1]
        dy, dx = np.broadcast_arrays(dy, dx)
        sector = (np.arctan2(dy, dx) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
        return dy, dx, np.sqrt(dy**2 + dx**2), sector + ANGLES * np.arange(len(dy))[:, None, None]

    def window(self, y: np.ndarray, x: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the image that hold the heart and what touches it."""
        reach = self.rv.max() + 0.05
        return tuple(
            slice(*np.searchsorted(a, [c - reach, c + reach]))
            for a, c in zip((y, x), self.centre, strict=True)
        )

    def labels(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Label the tissue of every pixel in every frame as `Phantom.labels` describes."""
        labels = np.zeros((self.frames, len(y), len(x)), np.uint8)
        rows, columns = self.window(y, x)
        _, _, r, at = self.polar(y[rows], x[columns])
        view = labels[:, rows, columns]
        view[(r < self.rv.ravel()[at]) & (self.rv > self.outer).ravel()[at]] = 3
        view[r < self.outer.ravel()[at]] = 2
        view[r < self.contour.ravel()[at]] = 1
        return labels


def draw_heart(
    rng: np.random.Generator,
    heart: Heart,
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
        return np.broadcast_to(table, (heart.frames, ANGLES)).astype(np.float32).ravel()[at]

    side = 1 / float(y[1] - y[0])
    flow = random_texture(rng, (6, *view.shape[1:]), side, 2.6, 4.0)
    times = heart.waves * [0.9, 0.8, 0.6, 0.5, 0.3, 0.2]
    swirl = np.einsum("tk,kyx->tyx", times, flow, optimize=True).astype(np.float32)

    # textures that the wall carries along: looked up where the tissue was at end-diastole
    points = int(2.2 * (view.shape[1] + 2))
    shrink = (heart.epi_rest / heart.epi)[frame].astype(np.float32) * np.float32(side)
    row, column = ((d * shrink + points / 2).astype(np.int32).clip(0, points - 1) for d in (dy, dx))
    place = row * points + column
    grain = random_texture(rng, (2, points, points), side, 1.1, 15.0).reshape(2, -1)
    rough = random_texture(rng, (2, points, points), side, 1.9, 9.0).reshape(2, -1)
    speckle = (grain[0] + 1j * grain[1]).astype(np.complex64)[place]
    # another texture moves into the slice as the heart contracts
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

    # first the fat around the heart, most of it in the grooves; then the base; then the chambers
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    thick = rng.uniform(-0.008, 0.005) + random_wave(rng, angle, dict.fromkeys((1, 2, 3, 5), 0.005))
    around = np.minimum(r - rv - wall, r - outer - 0.003)
    coat = soft_inside(around - radius(thick) * (1 + 0.4 * rough), edge)
    paint_over(view, coat, np.float32(-tissue["fat"] * rng.uniform(0.6, 1.0)) * (1 + 0.12 * speckle))
    _draw_base(
        rng, heart, view, dy, dx, (bright * inflow * (1 + eddy * swirl)).astype(np.float32), muscle, edge
    )
    paint_over(view, soft_inside(r - rv - wall, edge), muscle)
    rv_blood = bright * rng.uniform(0.65, 1.05) * inflow * (1 + 1.3 * eddy * swirl + 0.03 * speckle)
    rv_pool = soft_inside(np.maximum(r - rv + 0.003 * np.maximum(speckle, 0), outer - r), 1.3 * edge)
    rv_pool *= radius(heart.rv_inside)
    for _ in range(rng.integers(0, 6)):  # trabeculae and papillary muscles of the right ventricle
        theta, height = heart.towards_rv + rng.uniform(-0.8, 0.8), rng.uniform(0.5, 1.0)
        spot = int(theta % (2 * np.pi) * ANGLES / (2 * np.pi)) % ANGLES
        rho = (heart.outer[:, spot] + height * (heart.rv - heart.outer)[:, spot])[frame].astype(np.float32)
        py, px = rho * np.float32(np.sin(theta)), rho * np.float32(np.cos(theta))
        rv_pool *= 1 - soft_inside(np.hypot(dy - py, dx - px) - np.float32(rng.uniform(0.004, 0.010)), edge)
    if heart.level < 0.8 and rng.uniform() < 0.6:  # the moderator band, from the septum to the free wall
        theta, width = heart.towards_rv + rng.uniform(-0.5, 0.5), rng.uniform(0.003, 0.006)
        across = dy * np.float32(np.cos(theta)) - dx * np.float32(np.sin(theta))
        ahead = dx * np.float32(np.cos(theta)) + dy * np.float32(np.sin(theta))
        rv_pool *= 1 - soft_inside(np.abs(across) - np.float32(width), edge) * (ahead > 0)
    paint_over(view, rv_pool, rv_blood.astype(np.float32))
    paint_over(view, soft_inside(r - outer, edge), muscle)
    blood = bright * inflow * (1 + eddy * swirl + 0.03 * speckle)
    pool = soft_inside(r - radius(heart.inner) + 0.003 * np.maximum(speckle + rough, 0), edge)
    papillary = heart.towards_rv + np.array([0.55, 1.35]) * np.pi + rng.normal(0, 0.25, 2)
    size_here = 1 if heart.level < 0.85 else 0.5  # the papillary muscles end below the valve
    squeezed = (heart.inner.mean(1))[frame]
    for centre in papillary:
        for _ in range(rng.integers(1, 4)):
            theta = centre + rng.normal(0, 0.2)
            rho = (squeezed * rng.uniform(0.62, 1.0)).astype(np.float32)
            size = heart.cavity * rng.uniform(0.10, 0.24) * size_here
            py, px = rho * np.float32(np.sin(theta)), rho * np.float32(np.cos(theta))
            pool *= 1 - soft_inside(np.hypot(dy - py, dx - px) - np.float32(size), edge)
    paint_over(view, pool, blood.astype(np.float32))


def _draw_base(
    rng: np.random.Generator,
    heart: Heart,
    view: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    blood: np.ndarray,
    muscle: np.ndarray,
    edge: float,
) -> None:
    """Paint, in place, what enters a basal slice as the base comes down: left atrium and outflow tract."""
    atrium = heart.towards_rv + np.pi + rng.normal(0.3, 0.2)
    outflow = heart.towards_rv + rng.choice([-1, 1]) * 1.2
    for theta, size, aspect in (
        (atrium, rng.uniform(0.06, 0.085), 0.6),
        (outflow, rng.uniform(0.04, 0.05), 0.9),
    ):
        reach = heart.epi_rest - 0.1 * size
        away = dx * np.float32(np.cos(theta)) + dy * np.float32(np.sin(theta)) - np.float32(reach)
        along = dy * np.float32(np.cos(theta)) - dx * np.float32(np.sin(theta))
        distance = np.hypot(away / np.float32(aspect), along)
        distance -= (size * heart.base)[:, None, None].astype(np.float32)
        here = (heart.base > 0)[:, None, None]
        paint_over(view, soft_inside(distance - 0.006, edge) * here, muscle)
        paint_over(view, soft_inside(distance, edge) * here, blood)
