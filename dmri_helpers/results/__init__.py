"""Results on disk and in tables: whole files, records with machine and date, one spelling of every name.

The names below load when they are used, so that importing `results.files` needs neither torch nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .files import save_npz as save_npz
    from .memory import peak_memory as peak_memory
    from .names import NAMES as NAMES
    from .records import record as record
    from .tables import table as table

_HOME = {
    "save_npz": "files",
    "peak_memory": "memory",
    "NAMES": "names",
    "record": "records",
    "table": "tables",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
