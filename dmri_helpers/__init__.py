"""Thin helpers for the notebooks on dynamic MRI reconstruction; start reading at `operators`."""

__version__ = "0.1.0"
