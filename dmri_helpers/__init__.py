"""Thin helpers for the notebooks on dynamic MRI reconstruction; start reading at `operators`."""

import os as _os

__version__ = "0.1.0"

# Threads that spin while they wait are three to ten times slower where other programs want the processor, too. OpenMP
# reads this once, when torch is loaded; whoever has set one of these has chosen.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"} & _os.environ.keys():
    _os.environ["OMP_WAIT_POLICY"] = "passive"
