"""Cines that move, and explorers of them, for the tests of several folders."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dmri_helpers import widgets
from dmri_helpers.data.phantom.coils import coil_maps
from dmri_helpers.sampling import ky_t_mask
from dmri_helpers.widgets import live
from dmri_helpers.widgets.live import Live


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


def mask_explorer(**settings) -> Live:
    return widgets.mask_explorer(beating_disk(20, 96), **{"acceleration": 4, "center_lines": 9, **settings})


def kspace_explorer() -> Live:
    return widgets.kspace_explorer(beating_disk(20, 96)[0])


def consistency_explorer() -> Live:
    cine = torch.from_numpy(beating_disk(20, 96))
    mask = ky_t_mask((1, 96, 96), 4, 9, seed=0)[0, 0]
    return widgets.consistency_explorer(
        {"another frame": cine[5], "nothing": torch.zeros_like(cine[0])}, cine[0], mask
    )


def reconstruction_explorer(cine=None, columns=("view_sharing", "kt_tv")) -> Live:
    cine = beating_disk() if cine is None else cine
    return widgets.reconstruction_explorer(cine, columns, center_lines=5, column=20)


def coil_explorer(shape: tuple[int, int] = (96, 96)) -> Live:
    return widgets.coil_explorer(*bodies(shape))


def bodies(shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A complex image, and eight coil maps of it that end with the body."""
    blob = torch.from_numpy(moving_blob((2, *shape))[0])
    body = torch.from_numpy(beating_disk(1, max(shape))[0])[: shape[0], : shape[1]] > 0.1
    return blob * body * np.exp(0.7j), coil_maps(8, shape, 0)[0, :, 0] * body


EXPLORERS = [mask_explorer, kspace_explorer, consistency_explorer, reconstruction_explorer, coil_explorer]


def page_on_disk(folder: Path, make) -> str:
    """A page of these widgets with all that it loads, in a folder; its address. ``make()`` gives the widgets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(live.FOLDER, str(folder))
        made = make()
    for name, content in live.page_files().items():
        (folder / name).write_bytes(content)
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sliders</title>'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}</style>'
        '<link rel="stylesheet" href="live.css"><script src="shim.js"></script></head><body><main><h1>Sliders</h1>'
    )
    (folder / "page.html").write_text(
        head + "\n".join(one.html for one in made) + "</main></body></html>", "utf-8"
    )
    return (folder / "page.html").as_uri()
