"""Cines that move, and explorers of them, for the tests of several folders."""

import numpy as np
import torch

from dmri_helpers import widgets
from dmri_helpers.fourier import fft2c, ifft2c
from dmri_helpers.sampling import ky_t_mask


def beating_disk(frames: int = 8, side: int = 48) -> np.ndarray:
    """A disk that grows and shrinks, shape ``(frames, side, side)``, in [0, 1]."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    radius = 0.25 + 0.08 * np.cos(2 * np.pi * np.arange(frames) / frames)
    return (1 / (1 + np.exp((np.hypot(y, x) - radius[:, None, None]) * side))).astype(np.float32)


def moving_blob(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A blob that beats off centre, on noise, in [0, 1]."""
    t, y, x = shape
    rng = np.random.default_rng(seed)
    time, yy, xx = np.ogrid[:t, :y, :x]
    size = 0.01 + 0.006 * np.cos(2 * np.pi * time / t) + 0.002 * np.sin(6 * np.pi * time / t)
    blob = np.exp(-((yy / y - 0.4) ** 2 + (xx / x - 0.6) ** 2) / size)
    cine = 0.2 * rng.random((y, x)) + 0.7 * blob + 0.05 * rng.random(shape)
    return (cine / cine.max()).astype(np.float32)


KSPACE = fft2c(torch.from_numpy(beating_disk(20, 96)).to(torch.complex64))


def mask_explorer(**settings) -> widgets.Explorer:
    def make_mask(acceleration, center_lines, density, seed):
        return ky_t_mask((20, 96, 96), acceleration, center_lines, density, seed=seed)

    start = {"acceleration": 4, "center_lines": 9, **settings}
    return widgets.mask_explorer(
        make_mask, lambda mask, frame: ifft2c(KSPACE[frame] * mask[0, frame]), ifft2c(KSPACE), **start
    )


def kspace_explorer() -> widgets.Explorer:
    def keep(part, lines):
        near = torch.arange(96).sub(48).abs().argsort(stable=True)
        rows = (near if part == "centre" else near.flip(0))[:lines]
        return torch.zeros_like(KSPACE[0]).index_copy(0, rows, KSPACE[0][rows])

    return widgets.kspace_explorer(keep, ifft2c(KSPACE[0]))


def consistency_explorer() -> widgets.Explorer:
    mask = ky_t_mask((1, 96, 96), 4, 9, seed=0)[0, 0]
    wrong = {"another frame": KSPACE[5], "nothing": torch.zeros_like(KSPACE[0])}

    def consistent(name, weight):
        share = 1.0 if weight == np.inf else weight / (1 + weight)
        return ifft2c(wrong[name] + share * mask * (KSPACE[0] - wrong[name]))

    return widgets.consistency_explorer(consistent, list(wrong), ifft2c(KSPACE[0]), mask)


def reconstruction_explorer(
    reconstruct=lambda method, acceleration: beating_disk() * acceleration,
) -> widgets.Explorer:
    return widgets.reconstruction_explorer(
        reconstruct, ["by hand", "by guess"], [0.5, 0.8], beating_disk(), column=20
    )


EXPLORERS = [mask_explorer, kspace_explorer, consistency_explorer, reconstruction_explorer]
