"""The command line: ``dmri`` or ``python -m dmri_helpers``."""

from .main import main as main
