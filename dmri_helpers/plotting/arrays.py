"""Turn what a notebook has (tensors, arrays, complex, with a batch axis) into what figures and sliders draw.

A cine is ``(t, y, x)`` or ``(1, t, y, x)``. What does not fit raises a ValueError that names what was found.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def magnitude(values: Any) -> np.ndarray:
    """Convert a tensor on any device, or an array, to a float32 array: magnitudes if it is complex, else its values."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().resolve_conj().resolve_neg().numpy()
    values = np.asarray(values)
    return np.asarray(np.abs(values) if values.dtype.kind == "c" else values, dtype=np.float32)


def one_cine(values: Any, name: str = "cine") -> np.ndarray:
    """Return the magnitude of one cine as ``(t, y, x)``."""
    cine = magnitude(values)
    if cine.ndim == 4 and cine.shape[0] == 1:
        cine = cine[0]
    if cine.ndim != 3 or 0 in cine.shape:
        raise ValueError(f"{name}: expected one cine (t, y, x), found shape {cine.shape}")
    return cine


def same_cines(cines: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the magnitudes of several cines, which have to be of one shape, each as ``(t, y, x)``."""
    arrays = {title: one_cine(cine, title) for title, cine in cines.items()}
    if not arrays:
        raise ValueError("expected at least one cine, found none")
    first, *others = arrays
    for title in others:
        if arrays[title].shape != arrays[first].shape:
            raise ValueError(
                f"cines differ in shape: {first!r} {arrays[first].shape}, {title!r} {arrays[title].shape}"
            )
    return arrays


def check_index(name: str, index: int, size: int) -> int:
    """Return an index that counts from 0; a negative one counts from the end, as in Python."""
    if not -size <= index < size:
        raise ValueError(f"{name} {index} is out of range, there are {size}")
    return index % size
