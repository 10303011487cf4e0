"""The phantom of all notebooks: a beating short-axis heart from a seed, with images, tissue labels and volume curve.

Lengths are in units of the field of view (the shorter image side). One seed therefore shows the same heart at every
matrix size, though with other textures. What lies outside the heart is drawn once, on a grid twice as fine, and then
moved by a displacement field. The heart is drawn in polar coordinates about its centre, all frames at once.

Tissues have the contrast of balanced SSFP. Fat is in opposed phase to water (TE = TR/2), so their borders are dark
("India ink"). Everything is rendered on a finer grid than the image and reduced by cropping its k-space, so that a
pixel holds several tissues and edges ring. Coil shading and noise are added last. The phase of `data.phantom.phase`
turns the finished image, so that it changes no magnitude and no draw.

All random numbers of a phantom come from one generator, in the order of the statements. Whoever moves, adds or removes
a draw changes every phantom and has to raise `VERSION`.

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

from .body import draw_surroundings, move_tissue
from .heart import Heart, draw_heart
from .phase import with_phase
from .scanner import acquire, draw_pad, tissue_signals
from .shapes import coordinates, rendered_size

VERSION = 2
GROUPS = ("normal", "dilated", "hypertrophic", "infarction", "abnormal_rv")
MIN_SIDE = 16


@dataclass(frozen=True)
class Phantom:
    """One beating heart.

    Attributes
    ----------
    image
        magnitude, shape ``(t, y, x)``, float32 in [0, 1]
    complex_image
        the image with a scanner's phase, shape ``(t, y, x)``, complex64; its magnitude is ``image``. Fat has the
        opposite sign of water; where there is little signal, the phase is that of the noise
    labels
        shape ``(t, y, x)``, uint8: 0 everything else, 1 left ventricular blood (with the papillary muscles, as in
        clinical contours), 2 myocardium, 3 right ventricular blood
    lv_volume
        volume of the left ventricle, shape ``(t,)``, float32, mL
    ejection_fraction
        1 - smallest / largest ``lv_volume``
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
    phase: float = 1.0,
    level: float | None = None,
) -> Phantom:
    """Draw the phantom number ``seed``.

    Parameters
    ----------
    seed
        not negative; every seed gives another anatomy, and the same seed always gives the same arrays
    shape
        frames, phase encodes, readout points ``(t, y, x)``; the frames cover about 80 % of a heart beat
    group
        ``"normal"``, ``"dilated"``, ``"hypertrophic"``, ``"infarction"`` (a part of the wall does not contract) or
        ``"abnormal_rv"`` [1]_; None draws one
    noise
        standard deviation of the complex Gaussian noise, relative to bright tissue, at most 1; None draws one
    per_frame
        True scales each frame to [0, 1] by its own smallest and largest magnitude, False the cine as a whole
    phase
        strength of the phase of ``complex_image``: 1 is up to 2.5 rad at the rim, 0 leaves only signs and noise.
        Magnitudes do not depend on it
    level
        of the slice, 0 at the apex and 1 at the base; None draws one. Slices of one seed are of one patient: they share
        chest and motion, not the texture of the heart and the noise

    Raises
    ------
    ValueError
        if the shape is not three integers of at least (1, 16, 16), the seed is negative, there is no such group,
        the noise or the level is not in [0, 1], or the phase is negative or not finite
    """
    frames, ny, nx = _checked_shape(shape)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if noise is not None and not 0 <= noise <= 1:
        raise ValueError(f"noise must be between 0 and 1, got {noise}")
    if level is not None and not 0 <= level <= 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if not 0 <= phase < np.inf:
        raise ValueError(f"phase must be at least 0 and finite, got {phase}")
    if group is not None and group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")
    rng = np.random.default_rng([seed, VERSION])
    drawn = rng.choice(GROUPS)
    group = group or str(drawn)
    tissue = tissue_signals(rng)
    heart = Heart(rng, frames, group, level)

    side = min(ny, nx)
    y, x = coordinates(ny, ny / side), coordinates(nx, nx / side)
    fine_y, fine_x = (coordinates(rendered_size(n), n / side) for n in (ny, nx))
    static, systolic, freedom = draw_surroundings(rng, heart, tissue, fine_y, fine_x)
    image = move_tissue(rng, heart, static, systolic, freedom, fine_y, fine_x)
    if level is not None:
        rng = np.random.default_rng([seed, VERSION, round(1e6 * level)])
    draw_heart(rng, heart, tissue, image, fine_y, fine_x)
    labels = heart.labels(y, x)
    signal, factor = acquire(rng, image, y, x, noise)
    draw_pad(rng, signal, labels)

    magnitude = np.abs(signal)
    axes = (1, 2) if per_frame else None
    low, high = magnitude.min(axes, keepdims=True), magnitude.max(axes, keepdims=True)
    scaled = (magnitude - low) / (high - low)
    turned = scaled * factor.conj() * signal / np.maximum(magnitude, np.finfo(np.float32).tiny)
    if phase:
        turned = with_phase(turned, labels, seed % 2**63, phase)
    return Phantom(scaled, turned, labels, heart.volume, heart.ejection_fraction, group)


def _checked_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        frames, ny, nx = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape must be three integers (t, y, x), got {shape!r}") from None
    if frames < 1 or min(ny, nx) < MIN_SIDE:
        raise ValueError(f"shape must be at least (1, {MIN_SIDE}, {MIN_SIDE}), got {shape!r}")
    return frames, ny, nx
