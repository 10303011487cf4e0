"""Results on disk and in tables: whole files, records with machine and date, one spelling of every name.

The names load when they are used: writing a file needs neither torch nor numpy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "files": ["save_npz"],
        "memory": ["free_memory", "peak_memory"],
        "names": ["NAMES", "WORLDS"],
        "records": ["record"],
        "tables": ["ladder", "table"],
    },
)
