"""The body around the phantom's heart: it is drawn once, on a fine grid, and moves with breathing and heart beat.

Coordinates ``v`` and ``u`` run along y and x in units of the field of view. Tissues are painted one over the other,
from the skin inwards; fat is negative, since its signal is in opposed phase.
"""

from dataclasses import dataclass

import numpy as np

from .heart import Heart
from .shapes import RENDER, paint_over, random_ellipse, random_texture, soft_inside

FINE = 2  # points of the static grid per pixel
MARGIN = 0.08  # the static grid reaches this far beyond the image: tissue from there moves in


@dataclass
class _Canvas:
    """The static grid and what is needed to paint on it."""

    rng: np.random.Generator
    heart: Heart
    tissue: dict[str, float]
    v: np.ndarray
    u: np.ndarray
    edge: float
    """width of soft edges"""
    coarse: np.ndarray
    """four textures of large spots"""
    middle: np.ndarray
    fine: np.ndarray
    ridge: np.ndarray
    """two textures of winding lines"""
    body: np.ndarray

    def __post_init__(self) -> None:
        """Bend the coordinates a little, so that nothing that is drawn in them is a perfect ellipse or line."""
        self.bent_u = self.u + 0.014 * self.coarse[0] + 0.0028 * self.middle[0]
        self.bent_v = self.v + 0.014 * self.coarse[1] + 0.0028 * self.middle[1]

    def paint(self, share: np.ndarray, value: np.ndarray | float) -> None:
        paint_over(self.body, share, value)


def draw_surroundings(
    rng: np.random.Generator, heart: Heart, tissue: dict[str, float], y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the body without the heart: at rest, what contraction adds to it, and how freely it moves (0 to 1)."""
    pixel = RENDER * float(y[1] - y[0])
    step = pixel / FINE
    sides = [int(np.ceil((-2 * a[0] + 2 * MARGIN) / step)) + 1 for a in (y, x)]
    v, u = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(step) for n in sides)
    v, u = v[:, None], u[None]
    density = 1 / step
    coarse = random_texture(rng, (4, *sides), density, 3.0, 3.0)
    middle = random_texture(rng, (2, *sides), density, 1.9, 8.0)
    fine = random_texture(rng, (2, *sides), density, 1.0, 25.0)
    ridge = np.exp(-((random_texture(rng, (2, *sides), density, 3.5, 6.0) / 0.11) ** 2))
    body = np.zeros(sides, np.float32)
    canvas = _Canvas(rng, heart, tissue, v, u, 0.45 * pixel, coarse, middle, fine, ridge, body)

    centre, radii, depth, around = _outline(canvas)
    fat = -tissue["fat"] * rng.uniform(0.7, 1.1) * (1 + 0.12 * coarse[2] + 0.10 * middle[0] + 0.05 * fine[0])
    muscle = tissue["muscle"] * rng.uniform(1.2, 2.1)
    muscle = muscle * (1 + 0.15 * middle[1] + 0.08 * fine[1] - 0.3 * ridge[0])
    lung = tissue["lung"] * np.exp(rng.normal(0.5, 0.55))
    lung = lung * (1 + 0.25 * coarse[2] + 0.15 * fine[0] + 0.5 * ridge[1])
    chest = _draw_chest_wall(canvas, depth, around, fat, muscle)
    inner = soft_inside(chest - depth, canvas.edge)
    canvas.paint(inner, lung)
    if rng.uniform() < 0.25:
        _draw_arm(canvas, centre, radii, depth, fat, muscle)
    belly = _draw_belly(canvas, inner, fat, muscle)
    _draw_organs(canvas, inner)
    blood = _draw_spine_and_aorta(canvas, inner)

    added = rng.uniform(-0.15, 0.1) * blood + (0.02 * middle[1] + 0.04 * ridge[1]) * belly
    _draw_vessels(rng, heart, body, added, inner, v, u)
    return body, added, np.clip((depth - chest) / 0.05, 0.15, 1)


def _outline(c: _Canvas) -> tuple[tuple[float, float], tuple[float, float], np.ndarray, np.ndarray]:
    """Draw an ellipse, a little tilted and larger than the field of view, as the outline of the body.

    Returns its centre and radii (along v, along u), the depth below the skin and the angle about the centre.
    """
    rng, heart = c.rng, c.heart
    tilt = rng.normal(-0.15, 0.2)
    au, av = rng.uniform(0.55, 0.8), rng.uniform(0.44, 0.6)
    bu, bv = rng.uniform(0.02, 0.14), av + heart.centre[0] - heart.rv[0].max() - rng.uniform(0.05, 0.19)
    pu = (c.bent_u - bu) * np.cos(tilt) + (c.bent_v - bv) * np.sin(tilt)
    pv = (c.bent_v - bv) * np.cos(tilt) - (c.bent_u - bu) * np.sin(tilt)
    radius = np.sqrt((pu / au) ** 2 + (pv / av) ** 2) + 1e-6
    depth = (1 - radius) * radius / np.sqrt((pu / au**2) ** 2 + (pv / av**2) ** 2 + 1e-9)
    return (bv, bu), (av, au), depth, np.arctan2(pv / av, pu / au)


def _draw_chest_wall(
    c: _Canvas, depth: np.ndarray, around: np.ndarray, fat: np.ndarray, muscle: np.ndarray
) -> np.ndarray:
    """Draw skin, the fat below it, muscle with a seam of fat, and ribs; return the depth at which the wall ends."""
    rng, edge, coarse = c.rng, c.edge, c.coarse
    skin = min(np.exp(rng.normal(np.log(0.040), 0.6)), 0.085) * np.exp(0.35 * coarse[2])
    pad = rng.uniform(0, 2.5) * np.exp(-(((1 - np.cos(around - rng.uniform(1.6, 4))) / 0.2) ** 2))
    skin = 0.12 * np.tanh(skin * (1 + pad) / 0.12)  # thicker at the side
    bulk = rng.uniform(0, 4) * np.exp(-(((1 - np.cos(around - rng.uniform(2.4, 3.8))) / 0.25) ** 2))
    wall = rng.uniform(0.02, 0.045) * np.exp(0.35 * coarse[3]) * (1 + bulk)  # thicker at the shoulder
    c.paint(soft_inside(-depth, edge), 0.25 * muscle)
    c.paint(soft_inside(0.004 - depth, edge), fat)
    c.paint(soft_inside(skin - depth, 1.5 * edge), muscle)
    seam = np.abs(depth - skin - (0.35 + 0.2 * coarse[1]) * wall) - 0.05 * wall
    c.paint(soft_inside(seam, 1.5 * edge), 0.7 * fat)
    ribs = np.cos(around * rng.integers(22, 34) + 2 * coarse[3]) - 0.3
    across = np.abs(depth - skin - wall / 2)
    c.paint(soft_inside(across - 0.25 * wall * ribs, edge), 0.05)
    c.paint(soft_inside(across - 0.17 * wall * ribs, edge), 0.6 * np.abs(fat))
    return skin + wall


def _draw_arm(
    c: _Canvas,
    centre: tuple[float, float],
    radii: tuple[float, float],
    depth: np.ndarray,
    fat: np.ndarray,
    muscle: np.ndarray,
) -> None:
    """Draw an arm that lies at the side of the body: fat, muscle, bone and marrow."""
    rng, edge = c.rng, c.edge
    where, size = rng.uniform(2.5, 3.7), rng.uniform(0.08, 0.13)
    cu, cv = centre[1] + (radii[1] + size) * np.cos(where), centre[0] + (radii[0] + size) * np.sin(where)
    ring = random_ellipse(rng, c.bent_v - cv, c.bent_u - cu, 0.6)
    outside = soft_inside(depth + 0.012, edge)
    c.paint(outside * soft_inside(ring - size, edge), fat)
    c.paint(outside * soft_inside(ring - 0.75 * size, 1.5 * edge), muscle)
    c.paint(outside * soft_inside(ring - 0.22 * size, edge), 0.05)
    c.paint(outside * soft_inside(ring - 0.15 * size, edge), c.tissue["marrow"])


def _draw_belly(c: _Canvas, inner: np.ndarray, fat: np.ndarray, muscle: np.ndarray) -> np.ndarray:
    """Draw what lies under the diaphragm: fat, muscle and the liver next to the heart; return where that is."""
    rng, edge, ridge = c.rng, c.edge, c.ridge
    hy, hx = c.heart.centre
    bow = hx + c.heart.epi_rest + rng.uniform(-0.02, 0.05)
    diaphragm = bow + rng.uniform(-0.5, 0.15) * (c.bent_v - hy) - c.bent_u
    diaphragm -= rng.uniform(0.2, 1.6) * np.maximum(c.bent_v - hy - 0.08, 0) ** 2
    belly = inner * soft_inside(diaphragm, edge)
    c.paint(belly, fat * rng.uniform(0.35, 0.8))
    strands = soft_inside(0.2 - 0.25 * c.middle[1] - c.coarse[0], 0.15)
    c.paint(belly * strands, muscle * rng.uniform(1.0, 1.8))
    c.paint(belly, c.body + 0.2 * ridge[0] - 0.3 * c.body * ridge[1])
    liver = c.tissue["liver"] * rng.uniform(0.65, 1.3) * (1 + 0.1 * c.middle[0] + 0.05 * c.fine[1])
    liver *= 1 + rng.uniform(-0.3, 0.6) * ridge[0]
    lower = hy + rng.uniform(0.08, 0.2) + rng.uniform(-0.2, 0.5) * (c.bent_u - bow)
    c.paint(belly * soft_inside(np.maximum(diaphragm + 0.005, c.bent_v - lower), 2 * edge), liver)
    return belly


def _draw_organs(c: _Canvas, inner: np.ndarray) -> None:
    """Draw other organs below the heart: ellipses of random tissues, half of them with another content."""
    rng = c.rng
    hy, hx = c.heart.centre
    for _ in range(rng.integers(18, 32)):
        cv, cu = rng.uniform(hy + 0.12, 0.55), rng.uniform(hx - 0.05, 0.62)
        if np.hypot(cv - hy, cu - hx) < c.heart.epi_rest + 0.05:
            continue
        size, soft = rng.uniform(0.025, 0.1), c.edge * rng.uniform(0.8, 3)
        kind = rng.choice(["muscle", "spleen", "liver", "fluid", "fat"], p=[0.25, 0.25, 0.2, 0.2, 0.1])
        value = c.tissue[kind] * rng.uniform(0.6, 1.1) * (-1 if kind == "fat" else 1)
        ring = random_ellipse(rng, c.bent_v - cv, c.bent_u - cu, 0.55) * (1 + 0.15 * c.coarse[3])
        organ = inner * soft_inside(ring - size, soft)
        marks = rng.uniform(-0.4, 0.6) * c.ridge[rng.integers(2)]
        c.paint(organ, value * (1 + 0.12 * c.middle[1] + 0.08 * c.fine[0] + marks))
        if rng.uniform() < 0.5:  # its content: blood, bowel gas, renal pelvis
            core = soft_inside(ring - rng.uniform(0.4, 0.8) * size, soft)
            c.paint(organ * core, min(rng.uniform(0.3, 1.6) * abs(value), 0.8))


def _draw_spine_and_aorta(c: _Canvas, inner: np.ndarray) -> np.ndarray:
    """Draw a vertebra, its canal and the descending aorta; return where the blood of the aorta is."""
    rng, edge, tissue = c.rng, c.edge, c.tissue
    sv, su = rng.uniform(0.22, 0.42), rng.uniform(0.25, 0.42)
    vertebra = np.hypot(c.bent_u - su, 1.2 * (c.bent_v - sv))
    c.paint(inner * soft_inside(vertebra - 0.066, 2 * edge), 0.05)
    marrow = tissue["marrow"] * rng.uniform(0.6, 1.4) * (1 + 0.2 * c.fine[1] + 0.1 * c.middle[0])
    c.paint(inner * soft_inside(vertebra - 0.06, edge), marrow)
    canal = np.hypot(c.bent_u - su - 0.07, c.bent_v - sv - 0.05)
    c.paint(inner * soft_inside(canal - 0.022, edge), 0.85 * tissue["fluid"])
    aorta = np.hypot(c.u - su + 0.07, c.v - sv + 0.05)
    c.paint(inner * soft_inside(aorta - 0.036, edge), 0.08)
    blood = inner * soft_inside(aorta - 0.03, edge)
    c.paint(blood, tissue["blood"] * rng.uniform(0.8, 1.4) * (1 + 0.06 * c.middle[1]))
    return blood


def _draw_vessels(
    rng: np.random.Generator,
    heart: Heart,
    body: np.ndarray,
    added: np.ndarray,
    inner: np.ndarray,
    v: np.ndarray,
    u: np.ndarray,
) -> None:
    """Draw vessels of lung and liver, in place; ``added`` is what enters the slice as the heart contracts."""
    for _ in range(rng.integers(50, 110)):
        if rng.uniform() < 0.65:  # around the heart
            angle, reach = rng.uniform(np.pi / 3, 1.4 * np.pi), heart.epi_rest + 0.01 + rng.exponential(0.09)
            cv, cu = heart.centre + reach * np.array([np.sin(angle), np.cos(angle)])
        else:
            cv, cu = rng.uniform(-0.3, 0.5), rng.uniform(-0.45, 0.55)
        size, bright, change = 0.0022 + rng.exponential(0.0028), rng.uniform(0.1, 0.7), rng.uniform(-0.9, 0.5)
        rows = slice(*np.searchsorted(v[:, 0], [cv - 4 * size, cv + 4 * size]))
        columns = slice(*np.searchsorted(u[0], [cu - 4 * size, cu + 4 * size]))
        distance = random_ellipse(rng, v[rows] - cv, u[:, columns] - cu, 0.35) / size
        water = body[rows, columns] >= 0
        spot = inner[rows, columns] * water * bright * np.exp(-(distance**4) / 4)
        body[rows, columns] += spot
        added[rows, columns] += spot * change


def move_tissue(
    rng: np.random.Generator,
    heart: Heart,
    static: np.ndarray,
    systolic: np.ndarray,
    freedom: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """Move the surroundings with heart and breathing, by bilinear look-up on the static grid; shape ``(t, y, x)``."""
    step = np.float32(RENDER * (y[1] - y[0]) / FINE)
    cy, cx = (heart.centre[i] + heart.shift[:, i, None, None] for i in (0, 1))
    dy, dx = (y[:, None] - cy).astype(np.float32), (x - cx).astype(np.float32)
    r2 = dy**2 + dx**2
    rest = (heart.epi_rest**2 - heart.epi**2).astype(np.float32)[:, None, None]
    far = np.exp(-r2 / np.float32(0.2**2))
    squeeze = np.sqrt(np.maximum(1 + rest * far / np.maximum(r2, np.float32(1e-4)), np.float32(0.05))) - 1

    # everything that touches the diaphragm moves smoothly, later than the heart, and with breathing
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
