"""Sliders for all notebooks: a viewer of cines, and explorers that show how a picture depends on its settings."""

from .explorers import consistency_explorer as consistency_explorer
from .explorers import kspace_explorer as kspace_explorer
from .explorers import mask_explorer as mask_explorer
from .explorers import reconstruction_explorer as reconstruction_explorer
from .panels import Explorer as Explorer
from .panels import Panel as Panel
from .panels import explorer as explorer
from .viewer import CineViewer as CineViewer
from .viewer import cine_viewer as cine_viewer
