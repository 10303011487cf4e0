"""The explorers of the course: k-space and masks (notebook 01), data consistency and reconstruction (06), coils (07).

Every one computes in the page, in the JavaScript of `physics.js`, which tests hold to the functions of the course.
Images have the shape ``(y, x)`` and cines ``(t, y, x)``; tensors and arrays are both welcome. Pages get them as bytes.
Settings to start from that are impossible raise a ValueError.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from .. import classical, plotting
from ..fourier import fft2c, ifft2c
from ..metrics import cine_metrics, psnr
from ..operators import ForwardModel
from ..sampling import achieved_acceleration, ky_t_mask
from .live import NETWORKS, Live, packed
from .poster import Panel, error_image, logarithmic, strip, to_bytes

SIMPLE = "zero_filled", "temporal_mean", "view_sharing", "conjugate_view_sharing", "kt_tv", "low_rank_sparse"
"""Methods of `classical` that the page knows, for one coil."""
SHORT = {
    "truth": "fully sampled",
    "error": "|error| × 5",
    "image": "x →   y ↓",
    "kspace": "kx →   ky ↓, 100 dB",
}


def mask_explorer(
    reference: Any,
    *,
    acceleration: float = 5,
    center_lines: int = 11,
    density: str = "quadratic",
    seed: int = 0,
    frame: int = 0,
) -> Live:
    """Show mask, point-spread function and aliased image as acceleration, centre lines, density and seed change.

    Parameters
    ----------
    reference
        the fully sampled cine
    acceleration, center_lines, density, seed, frame
        the settings to start from
    """
    start = {"acceleration": acceleration, "center_lines": center_lines, "density": density, "seed": seed}
    return laboratory(
        reference,
        ["zero_filled"],
        controls=list(start),
        panels=["mask", "line", "psf"],
        choice=False,
        profile=False,
        start=start | {"frame": frame},
    )


def reconstruction_explorer(
    reference: Any,
    columns: Sequence[str] = ("view_sharing", "kt_tv"),
    *,
    acceleration: float = 5,
    center_lines: int = 11,
    frame: int = 0,
    column: int | None = None,
) -> Live:
    """Measure a cine and reconstruct it, by two methods side by side, with errors, metrics and a profile over time.

    The reader chooses sampling, noise, phase and methods, trained networks among them; draws a mask by hand; hides a
    lesion; and opens a cine of their own.

    Parameters
    ----------
    reference
        the true cine
    columns
        the methods to start from, of `SIMPLE` or `live.NETWORKS`
    acceleration, center_lines, frame
        the settings to start from
    column
        readout position whose profile over time is shown; None takes the middle
    """
    controls = ["acceleration", "center_lines", "density", "seed", "noise", "phase"]
    start = {"acceleration": acceleration, "center_lines": center_lines, "frame": frame, "column": column}
    extras = ["draw", "lesion", "file"]
    return laboratory(
        reference, columns, controls=controls, panels=["truth", "mask"], extras=extras, start=start
    )


def laboratory(
    reference: Any,
    columns: Sequence[str],
    *,
    controls: Sequence[str],
    panels: Sequence[str],
    extras: Sequence[str] = (),
    choice: bool = True,
    profile: bool = True,
    play: bool = False,
    start: Mapping[str, Any],
) -> Live:
    """The explorer behind `mask_explorer` and `reconstruction_explorer`; `live.js` names what the lists may hold.

    Parameters
    ----------
    reference
        the true cine
    columns
        the methods shown side by side
    controls, panels, extras
        the sliders, the pictures of the measurement, and what else the reader may do
    choice
        whether the reader may choose the methods
    profile
        whether a column over time is shown
    play
        whether the film begins to play, where motion is not unwanted
    start
        settings to start from
    """
    levels = to_bytes(plotting.one_cine(reference, "reference"))
    t, y, x = levels.shape
    for method in columns:
        if method not in (*SIMPLE, *NETWORKS):
            known = ", ".join((*SIMPLE, *NETWORKS))
            raise ValueError(f"{method}: the page knows no such method; expected one of {known}")
    most = max(1, min(11, y // 5))
    begin = {
        "acceleration": 5,
        "center_lines": most,
        "density": "quadratic",
        "seed": 0,
        "noise": 0,
        "phase": False,
    }
    begin |= {"frame": 0, "column": None} | dict(start)
    begin["frame"] = plotting.check_index("frame", begin["frame"], t)
    begin["column"] = (
        x // 2 if begin["column"] is None else plotting.check_index("column", begin["column"], x)
    )
    mask = ky_t_mask(
        levels.shape, begin["acceleration"], begin["center_lines"], begin["density"], seed=begin["seed"]
    )
    name = f"cine-{sha256(levels.tobytes()).hexdigest()[:12]}"
    settings = {
        "kind": "laboratory",
        "cine": name,
        "shape": levels.shape,
        "columns": list(columns),
        "methods": [*SIMPLE, *NETWORKS],
        "controls": list(controls),
        "panels": list(panels),
        "extras": list(extras),
        "choice": choice,
        "profile": profile,
        "short": not profile,
        "play": play,
        "pause": 60,
        "start": begin,
    }
    shown, sentence = _measured(levels, mask, columns, begin["frame"])
    return Live(settings, {name: packed(levels)}, strip(shown, sentence), sentence)


def _measured(
    levels: np.ndarray, mask: torch.Tensor, columns: Sequence[str], frame: int
) -> tuple[list[list[Panel | None]], str]:
    """The poster of a laboratory, computed in Python: truth and mask, images and errors, and the scores in words."""
    truth = levels.astype(np.float32) / 255
    model = ForwardModel(mask)
    kspace = model(torch.from_numpy(truth)[None].to(torch.complex64))
    lines = int(mask[0, frame].sum())
    said = [f"{lines} of {mask.shape[2]} lines, acceleration {achieved_acceleration(mask):.2f} achieved"]
    above: list[Panel | None] = [(SHORT["truth"], levels[frame], f"frame {frame}")]
    below: list[Panel | None] = [("mask", to_bytes(mask[0, :, :, 0].T.numpy()), "frame →   ky ↓")]
    for method in columns:
        if method in NETWORKS:
            continue
        image = plotting.one_cine(getattr(classical, method)(kspace, model))
        title = method.replace("_", " ")
        said.append(f"{title} {cine_metrics(image, truth)['psnr']:.2f} dB")
        above.append((title, to_bytes(image[frame]), f"frame {frame}"))
        below.append(("", error_image(image[frame], truth[frame], 5), SHORT["error"]))
    return [above, below], "; ".join(said)


def kspace_explorer(reference: Any, *, lines: int = 11) -> Live:
    """Show what remains of an image when only some lines at the centre or at the edge of k-space are kept.

    Parameters
    ----------
    reference
        the whole image
    lines
        the number of lines to start from
    """
    image = to_bytes(plotting.magnitude(reference))
    y, _ = image.shape
    if not 1 <= lines <= y:
        raise ValueError(f"lines: {lines} to start from is not among 1 to {y}")
    name = f"image-{sha256(image.tobytes()).hexdigest()[:12]}"
    settings = {"kind": "kspace", "image": name, "shape": image.shape, "lines": lines}
    truth = torch.from_numpy(image / np.float32(255))
    kspace = fft2c(truth)
    near = (torch.arange(y) - y // 2).abs().argsort(stable=True)[:lines]
    kept = torch.zeros_like(kspace).index_copy(0, near, kspace[near])
    remains = ifft2c(kept).abs()
    share = (kept.abs().square().sum() / truth.square().sum()).item()
    sentence = f"{lines} of {y} lines, {100 * share:.1f} % of the energy, "
    sentence += f"{psnr((remains - truth).square().mean().item()):.1f} dB"
    panels: list[Panel | None] = [
        ("k-space that is kept", logarithmic(kept.abs().numpy(), kspace.abs().max().item()), SHORT["kspace"]),
        ("its image", to_bytes(remains.numpy() / max(1e-6, min(1, remains.max().item()))), SHORT["image"]),
        ("what is missing × 3", error_image(remains.numpy(), truth.numpy(), 3), SHORT["image"]),
    ]
    return Live(settings, {name: packed(image)}, strip([panels], sentence), sentence)


def consistency_explorer(wrong: Mapping[str, Any], reference: Any, mask: Any) -> Live:
    """Show how a wrong image and its errors in k-space change with the weight of the measured data.

    The page computes ``argmin_m ||m - x||^2 + weight ||A m - y||^2`` of a wrong image ``x``; infinity is hard
    consistency.

    Parameters
    ----------
    wrong
        name -> wrong image, a tensor, real or complex
    reference
        the true image, whose k-space is measured
    mask
        which lines were measured, ``(y,)`` or ``(y, 1)``
    """
    sampled = plotting.magnitude(mask).ravel() > 0
    images = torch.stack(
        [torch.as_tensor(image).to(torch.complex64) for image in (reference, *wrong.values())]
    )
    stored, own = _complex(images)
    settings = {"kind": "consistency", "names": list(wrong), "mask": sampled.astype(int).tolist(), **stored}
    truth, first = images[0], images[1]
    error, data = fft2c(first - truth).abs().numpy(), fft2c(truth).abs().numpy()
    left = [100 * np.linalg.norm(error[lines]) / np.linalg.norm(data) for lines in (sampled, ~sampled)]
    decibel = psnr((first.abs() - truth.abs()).square().mean().item())
    sentence = (
        f"{decibel:.1f} dB; k-space error: {left[0]:.2f} % on measured lines, {left[1]:.2f} % on the others"
    )
    panels: list[Panel | None] = [
        ("image", to_bytes(first.abs().numpy()), SHORT["image"]),
        (SHORT["error"], error_image(first.abs().numpy(), truth.abs().numpy(), 5), SHORT["image"]),
        ("|error| in k-space", logarithmic(error, data.max()), SHORT["kspace"]),
    ]
    return Live(settings, own, strip([panels], sentence), sentence)


def coil_explorer(reference: Any, coils: Any, *, acceleration: int = 2, noise: float = 0.01) -> Live:
    """Measure every R-th line by some of the coils, and unfold the image by SENSE, with its error and g-factor.

    Parameters
    ----------
    reference
        the true image, real or complex
    coils
        its coil maps ``(c, y, x)``, 0 outside the body
    acceleration, noise
        the settings to start from; possible are accelerations R up to 4 that divide the number of lines
    """
    images = torch.stack([torch.as_tensor(one).to(torch.complex64) for one in (reference, *coils)])
    image, maps, y = images[0], images[1:], images.shape[1]
    possible = [R for R in range(1, 5) if y % R == 0]
    if acceleration not in possible:
        raise ValueError(f"acceleration {acceleration} does not suit {y} lines; expected one of {possible}")
    stored, own = _complex(images)
    settings = {
        "kind": "coils",
        "accelerations": possible,
        "acceleration": acceleration,
        "noise": noise,
        **stored,
    }
    lattice = ((torch.arange(y) - y // 2) % acceleration == 0)[None, None, :, None]
    model = ForwardModel(lattice, maps[None, :, None])
    folded = acceleration * model.adjoint(model(image[None, None]))[0, 0].abs().numpy()
    truth = image.abs().numpy()
    decibel = psnr(np.square(folded - truth).mean().item())
    sentence = f"{len(maps)} coils, R = {acceleration}, zero-filled {decibel:.1f} dB"
    panels: list[Panel | None] = [
        (SHORT["truth"], to_bytes(truth), SHORT["image"]),
        ("zero-filled × R", to_bytes(folded), SHORT["image"]),
        (SHORT["error"], error_image(folded, truth, 5), SHORT["image"]),
    ]
    return Live(settings, own, strip([panels], sentence), sentence)


def _complex(images: torch.Tensor) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Complex images ``(n, y, x)`` as integers of 16 bits: settings, and the asset that they name."""
    parts = torch.view_as_real(images).movedim(-1, 1).numpy()
    scale = float(np.abs(parts).max()) / 32767 or 1.0
    integers = (parts / scale).round().astype("<i2")
    name = f"images-{sha256(integers.tobytes()).hexdigest()[:12]}"
    return {"images": name, "shape": images.shape[1:], "scale": scale}, {name: packed(integers)}
