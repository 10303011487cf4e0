"""Sliders for all notebooks: a viewer of cines, and explorers that compute in the page, with a kernel and without."""

from .explorers import coil_explorer as coil_explorer
from .explorers import consistency_explorer as consistency_explorer
from .explorers import kspace_explorer as kspace_explorer
from .explorers import mask_explorer as mask_explorer
from .explorers import reconstruction_explorer as reconstruction_explorer
from .viewer import cine_viewer as cine_viewer
