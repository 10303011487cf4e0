"""Write files whole or not at all, and say where they may lie. Importing it loads neither torch nor numpy."""

import glob
import json
import math
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_DAY = 86400  # seconds


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name once it is complete; a reader never sees half of it.

    The bytes go to ``.NAME.MACHINE.PROCESS.part`` in the same folder, which is renamed at the end and removed where
    writing fails. What a killed process left there is removed when the same file is written again.

    Parameters
    ----------
    path
        the file; its folder is made where missing

    Yields
    ------
        the temporary file, open for writing bytes

    Raises
    ------
    OSError
        if it cannot be written; an earlier file of that name is then still there
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    part = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file `whole`, and leave it alone where it has this content already."""
    if not path.exists() or path.read_bytes() != content:
        with whole(path) as file:
            file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file `whole`, in UTF-8."""
    with whole(path) as file:
        file.write(text.encode())


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as a ``.npz`` file, `whole`."""
    import numpy as np

    with whole(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # a key might be called allow_pickle


def cache_folder() -> Path:
    """Where phantoms and fetched cines are kept: the environment variable ``DMRI_CACHE``, or ``~/.cache/dmri``."""
    named = os.environ.get("DMRI_CACHE")
    return Path(os.path.expanduser(named)) if named else Path.home() / ".cache" / "dmri"


def finite(value: Any, digits: int = 17) -> Any:
    """Replace NaN and infinity, which JSON does not have, by None, and round other numbers to so many digits."""
    if isinstance(value, dict):
        return {key: finite(entry, digits) for key, entry in value.items()}
    if isinstance(value, list):
        return [finite(entry, digits) for entry in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def lists_on_one_line(value: Any) -> str:
    """Write JSON with one line for each list of plain values."""
    text = json.dumps(value, indent=1, allow_nan=False)
    return re.sub(r"\[[^]{}[]*\]", lambda found: " ".join(found[0].split()), text)


def jsonable(value: Any) -> Any:
    """Turn tuples into lists and infinity into a string, so that the value equals what comes back from JSON."""
    return json.loads(json.dumps(value), parse_constant=str) if value is not None else None


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of this path whose process is gone.

    The processes of other machines that share the folder are not to be seen: their files go after a day without change.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        machine, _, process = part.stem.removeprefix(f".{path.name}.").rpartition(".")
        with suppress(OSError):  # another process may remove it at the same time
            if machine == platform.node():
                abandoned = process.isdigit() and not _is_running(int(process))
            else:
                abandoned = time.time() - part.stat().st_mtime > _DAY
            if abandoned:
                part.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":  # a signal would end the process there; Windows itself keeps files that are open
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of somebody else
        pass
    return True
