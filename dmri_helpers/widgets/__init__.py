"""Sliders that live in a notebook, in a page on disk and on paper."""

from .explorer import Explorer as Explorer
from .explorer import Panel as Panel
from .explorer import explorer as explorer
from .explorers import consistency_explorer as consistency_explorer
from .explorers import kspace_explorer as kspace_explorer
from .explorers import mask_explorer as mask_explorer
from .explorers import reconstruction_explorer as reconstruction_explorer
from .viewer import CineViewer as CineViewer
from .viewer import cine_viewer as cine_viewer
