"""Tensors or arrays as the figures want them, with errors that name what was found."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def magnitude(values: Any) -> np.ndarray:
    """Float32 numpy array of a tensor (any device) or array: magnitude if complex, else the values."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().resolve_conj().resolve_neg().numpy()
    values = np.asarray(values)
    return np.asarray(np.abs(values) if values.dtype.kind == "c" else values, dtype=np.float32)


def one_cine(values: Any, name: str = "cine") -> np.ndarray:
    """Magnitude of one cine as ``(t, y, x)``, from ``(t, y, x)`` or ``(1, t, y, x)``.

    Raises
    ------
    ValueError
        if it is not one cine; the message names the shape
    """
    cine = magnitude(values)
    if cine.ndim == 4 and cine.shape[0] == 1:
        cine = cine[0]
    if cine.ndim != 3 or 0 in cine.shape:
        raise ValueError(f"{name}: expected one cine (t, y, x), found shape {cine.shape}")
    return cine


def same_cines(cines: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Several cines as ``(t, y, x)`` magnitudes of one shape.

    Raises
    ------
    ValueError
        if there is none, or the shapes differ; the message names both
    """
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
    """Index from 0, negative ones count from the end.

    Raises
    ------
    ValueError
        if it is out of range
    """
    if not -size <= index < size:
        raise ValueError(f"{name} {index} is out of range, there are {size}")
    return index % size
