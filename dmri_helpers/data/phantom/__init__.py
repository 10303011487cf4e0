"""Simulated beating hearts with known tissues, volumes and disease (notebook 01); start reading at `phantom`."""

from .phantom import GROUPS as GROUPS
from .phantom import MIN_SIDE as MIN_SIDE
from .phantom import VERSION as VERSION
from .phantom import Phantom as Phantom
from .phantom import cine_phantom as cine_phantom
