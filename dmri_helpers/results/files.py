"""Write files whole or not at all, and say where they may lie. Importing it loads neither torch nor numpy."""

import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def save_npz(path: Path, arrays: dict[str, "np.ndarray"]) -> None:
    """Write a ``.npz``: beside its place first, then renamed, so that no half file is ever seen.

    Parameters
    ----------
    path
        the file; its folder is made where missing
    arrays
        by key

    Raises
    ------
    OSError
        if it cannot be written; nothing is left behind
    """
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def cache_folder() -> Path:
    """Where phantoms and fetched cines are kept: the environment variable ``DMRI_CACHE``, or ``~/.cache/dmri``."""
    return Path(os.environ.get("DMRI_CACHE") or Path.home() / ".cache" / "dmri")


def finite(value: Any, digits: int = 17) -> Any:
    """JSON has no NaN and no infinity: None instead; numbers in so many digits."""
    if isinstance(value, dict):
        return {key: finite(entry, digits) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry, digits) for entry in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def lists_on_one_line(value: Any) -> str:
    text = json.dumps(value, indent=1, allow_nan=False)
    return re.sub(r"\[[^]{}[]*\]", lambda of: " ".join(of[0].split()), text)


def write_text(path: Path, text: str) -> None:
    """Write a text file: beside its place first, then renamed, so that no half file is ever seen."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def jsonable(value):
    """Tuples as lists, infinity as a string: what comes back from JSON compares equal."""
    return json.loads(json.dumps(value), parse_constant=str) if value is not None else None


def write(path: Path, content: bytes) -> None:
    """Write whole or not at all, and nothing where nothing changed."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)
