"""What surrounds the phantom's heart, its vessels, and how both move with breathing and beat."""

import numpy as np

from .heart import Heart
from .shapes import RENDER, paint_over, random_ellipse, random_texture, soft_inside

FINE = 2  # static grid points per pixel
MARGIN = 0.08  # the static grid reaches this far beyond the image: where tissue that moves in comes from


def draw_surroundings(
    rng: np.random.Generator, heart: Heart, tissue: dict[str, float], y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Body without heart on the fine grid: at rest, what contraction adds, how freely it moves (0 to 1)."""
    pixel = RENDER * float(y[1] - y[0])
    step = pixel / FINE
    sides = [int(np.ceil((-2 * a[0] + 2 * MARGIN) / step)) + 1 for a in (y, x)]
    v, u = ((np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(step) for n in sides)
    v, u = v[:, None], u[None]
    edge = 0.45 * pixel
    density = 1 / step
    coarse = random_texture(rng, (4, *sides), density, 3.0, 3.0)
    middle = random_texture(rng, (2, *sides), density, 1.9, 8.0)
    fine = random_texture(rng, (2, *sides), density, 1.0, 25.0)
    ridge = np.exp(-((random_texture(rng, (2, *sides), density, 3.5, 6.0) / 0.11) ** 2))  # winding lines
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
    paint_over(body, soft_inside(-depth, edge), 0.25 * muscle)
    paint_over(body, soft_inside(0.004 - depth, edge), fat)
    paint_over(body, soft_inside(skin - depth, 1.5 * edge), muscle)
    seam = np.abs(depth - skin - (0.35 + 0.2 * coarse[1]) * wall) - 0.05 * wall
    paint_over(body, soft_inside(seam, 1.5 * edge), 0.7 * fat)
    ribs = np.cos(around * rng.integers(22, 34) + 2 * coarse[3]) - 0.3
    across = np.abs(depth - skin - wall / 2)
    paint_over(body, soft_inside(across - 0.25 * wall * ribs, edge), 0.05)
    paint_over(body, soft_inside(across - 0.17 * wall * ribs, edge), 0.6 * np.abs(fat))
    inner = soft_inside(chest - depth, edge)
    paint_over(body, inner, lung)

    if rng.uniform() < 0.25:  # an arm that lies at the side
        where, size = rng.uniform(2.5, 3.7), rng.uniform(0.08, 0.13)
        cu, cv = bu + (au + size) * np.cos(where), bv + (av + size) * np.sin(where)
        ring, beside = random_ellipse(rng, wv - cv, wu - cu, 0.6), soft_inside(depth + 0.012, edge)
        paint_over(body, beside * soft_inside(ring - size, edge), fat)
        paint_over(body, beside * soft_inside(ring - 0.75 * size, 1.5 * edge), muscle)
        paint_over(body, beside * soft_inside(ring - 0.22 * size, edge), 0.05)
        paint_over(body, beside * soft_inside(ring - 0.15 * size, edge), tissue["marrow"])

    # under the diaphragm: fat and muscle, liver beside the heart, other organs
    hy, hx = heart.centre
    bow = hx + heart.epi_rest + rng.uniform(-0.02, 0.05)
    diaphragm = bow + rng.uniform(-0.5, 0.15) * (wv - hy) - wu
    diaphragm -= rng.uniform(0.2, 1.6) * np.maximum(wv - hy - 0.08, 0) ** 2
    belly = inner * soft_inside(diaphragm, edge)
    paint_over(body, belly, fat * rng.uniform(0.35, 0.8))
    paint_over(
        body, belly * soft_inside(0.2 - 0.25 * middle[1] - coarse[0], 0.15), muscle * rng.uniform(1.0, 1.8)
    )
    paint_over(body, belly, body + 0.2 * ridge[0] - 0.3 * body * ridge[1])
    liver = tissue["liver"] * rng.uniform(0.65, 1.3) * (1 + 0.1 * middle[0] + 0.05 * fine[1])
    liver *= 1 + rng.uniform(-0.3, 0.6) * ridge[0]
    lower = hy + rng.uniform(0.08, 0.2) + rng.uniform(-0.2, 0.5) * (wu - bow)
    paint_over(body, belly * soft_inside(np.maximum(diaphragm + 0.005, wv - lower), 2 * edge), liver)
    for _ in range(rng.integers(18, 32)):
        cv, cu = rng.uniform(hy + 0.12, 0.55), rng.uniform(hx - 0.05, 0.62)
        if np.hypot(cv - hy, cu - hx) < heart.epi_rest + 0.05:
            continue
        size, soft = rng.uniform(0.025, 0.1), edge * rng.uniform(0.8, 3)
        kind = rng.choice(["muscle", "spleen", "liver", "fluid", "fat"], p=[0.25, 0.25, 0.2, 0.2, 0.1])
        value = tissue[kind] * rng.uniform(0.6, 1.1) * (-1 if kind == "fat" else 1)
        ring = random_ellipse(rng, wv - cv, wu - cu, 0.55) * (1 + 0.15 * coarse[3])
        organ = inner * soft_inside(ring - size, soft)
        marks = rng.uniform(-0.4, 0.6) * ridge[rng.integers(2)]
        paint_over(body, organ, value * (1 + 0.12 * middle[1] + 0.08 * fine[0] + marks))
        if rng.uniform() < 0.5:  # another content: blood, bowel gas, renal pelvis
            core = soft_inside(ring - rng.uniform(0.4, 0.8) * size, soft)
            paint_over(body, organ * core, min(rng.uniform(0.3, 1.6) * abs(value), 0.8))

    # spine, its canal, descending aorta
    sv, su = rng.uniform(0.22, 0.42), rng.uniform(0.25, 0.42)
    vertebra = np.hypot(wu - su, 1.2 * (wv - sv))
    paint_over(body, inner * soft_inside(vertebra - 0.066, 2 * edge), 0.05)
    marrow = tissue["marrow"] * rng.uniform(0.6, 1.4) * (1 + 0.2 * fine[1] + 0.1 * middle[0])
    paint_over(body, inner * soft_inside(vertebra - 0.06, edge), marrow)
    canal = np.hypot(wu - su - 0.07, wv - sv - 0.05)
    paint_over(body, inner * soft_inside(canal - 0.022, edge), 0.85 * tissue["fluid"])
    aorta = np.hypot(u - su + 0.07, v - sv + 0.05)
    paint_over(body, inner * soft_inside(aorta - 0.036, edge), 0.08)
    blood = inner * soft_inside(aorta - 0.03, edge)
    paint_over(body, blood, tissue["blood"] * rng.uniform(0.8, 1.4) * (1 + 0.06 * middle[1]))

    added = rng.uniform(-0.15, 0.1) * blood + (0.02 * middle[1] + 0.04 * ridge[1]) * belly
    _draw_vessels(rng, heart, body, added, inner, v, u)
    return body, added, np.clip((depth - chest) / 0.05, 0.15, 1)


def _draw_vessels(
    rng: np.random.Generator,
    heart: Heart,
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
