"""The scanner of the phantom: signals of tissues, coil shading, off-resonance bands, noise and a finite k-space."""

import numpy as np

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


def tissue_signals(rng: np.random.Generator) -> dict[str, float]:
    """Signal of each tissue with fat at about 0.75: balanced SSFP with a repetition time far below T2 [2]_."""
    flip = np.deg2rad(rng.uniform(45, 70))
    signals = {}
    for name, (t1, t2, density) in TISSUES.items():
        ratio = t1 / t2 * np.exp(rng.normal(0, 0.12))
        signals[name] = density * np.sin(flip) / (1 + np.cos(flip) + (1 - np.cos(flip)) * ratio)
    unit = 0.75 / signals["fat"]
    return {name: float(signal * unit) for name, signal in signals.items()}


def acquire(
    rng: np.random.Generator, image: np.ndarray, y: np.ndarray, x: np.ndarray, noise: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Turn the rendered image into what a scanner reconstructs: complex64, shape ``(t, y, x)``.

    It gets coil shading, noise (of the standard deviation ``noise``; None draws one) and a finite k-space, and a smooth
    phase on the way, which noise and window see. The factor ``exp(i phase)``, shape ``(y, x)``, is returned as well, so
    that it can be taken out again: `phase` then gives the image its phase.
    """
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
    factor = np.exp(1j * phase)
    sigma = np.exp(rng.normal(np.log(0.0095), 0.45))
    if noise is not None:
        sigma = noise
    kspace = crop_kspace(np.fft.fft2(image), len(y), len(x))
    signal = np.fft.ifft2(kspace) * (coil * factor).astype(np.complex64)
    signal *= 1 + _settling(rng, len(image), y, x)
    grain = rng.spawn(1)[0].standard_normal((*signal.shape, 2), dtype=np.float32)
    signal += grain.view(np.complex64)[..., 0] * np.float32(sigma)
    kspace = np.fft.fft2(signal)
    ky, kx = np.abs(np.fft.fftfreq(len(y)))[:, None], np.abs(np.fft.fftfreq(len(x)))
    cut_y, cut_x, roll = rng.uniform(0.36, 0.52), rng.uniform(0.42, 0.52), rng.uniform(0, 0.5)
    rho = np.sqrt((ky / cut_y) ** 2 + (kx / cut_x) ** 2)
    window = np.where((ky <= cut_y) & (kx <= cut_x), 1 - roll * np.minimum(rho, 1) ** 2, 0)
    signal = np.fft.ifft2(kspace * window.astype(np.float32)).astype(np.complex64)
    return signal, factor.astype(np.complex64)


def _settling(rng: np.random.Generator, frames: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Change of the signal, smooth over the image, on the way to the steady state and as the coils move."""
    ky, kx = rng.normal(0, 7, (2, 2))
    phase = rng.uniform(0, 2 * np.pi, 2)
    fields = np.cos(ky[:, None, None] * y[:, None] + kx[:, None, None] * x + phase[:, None, None])
    t = np.arange(frames) / frames
    times = np.stack([np.exp(-t / rng.uniform(0.05, 0.5)), np.cos(np.pi * t * rng.uniform(1, 6))], 1)
    return np.einsum("tk,kyx->tyx", times * rng.exponential([0.025, 0.010]), fields).astype(np.float32)


def crop_kspace(kspace: np.ndarray, ny: int, nx: int) -> np.ndarray:
    """Keep the middle of k-space, which is ordered as by ``fft2``: a smaller image of the same brightness."""
    scale = np.float32(ny * nx / (kspace.shape[1] * kspace.shape[2]))
    for axis, n in ((1, ny), (2, nx)):
        front, back = (n + 1) // 2, n // 2
        keep = np.r_[:front, kspace.shape[axis] - back : kspace.shape[axis]]
        kspace = np.take(kspace, keep, axis)
    return kspace * scale


def draw_pad(rng: np.random.Generator, signal: np.ndarray, labels: np.ndarray) -> None:
    """Set two opposite borders to zero, in place, in a quarter of the phantoms, as if a smaller image was padded."""
    if rng.uniform() > 1 / 4:
        return
    axis, share = rng.integers(1, 3), rng.uniform(0.01, 0.08)
    width = int(signal.shape[axis] * share)
    for array in (np.moveaxis(signal, axis, 0), np.moveaxis(labels, axis, 0)):
        array[:width] = 0
        array[len(array) - width :] = 0
