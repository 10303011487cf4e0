"""Self-checks of the exercises: each says that an answer is right, or what about it is not.

A check is handed what the reader wrote, tries it on small examples of its own and compares; it never shows the
solution. They lie here and not in the notebooks because whoever reads a check has read the answer.
"""

from .chapter1 import check_1_1, check_1_2, check_1_3, check_1_4
from .verdict import NotYet

__all__ = ["NotYet", "check_1_1", "check_1_2", "check_1_3", "check_1_4"]
