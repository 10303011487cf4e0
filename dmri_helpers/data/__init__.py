"""Cines: open, split and undersample them; phantoms, file formats and public sets lie in folders of their own.

The names load when they are used: a list of public sets needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cines": ["Cines", "split"],
        "undersampled": ["UndersampledCines", "samples"],
        "formats.raw": ["DataError"],
        "opening": ["import_acdc", "import_cines", "open_cine", "open_data"],
        "measured": ["Measured"],
        "phantom.cache": ["phantom_arrays", "phantom_truth"],
    },
)
