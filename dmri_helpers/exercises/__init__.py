"""Checks of the exercises, one file for each notebook: each says that an answer is right, or what is not right yet.

A check takes the function that the reader wrote, calls it on small examples of its own and compares the results. It
never shows the solution. The checks are not in the notebooks because whoever reads a check has read the answer.
"""

from .chapter1 import check_1_1, check_1_2, check_1_3, check_1_4
from .chapter2 import check_2_1, check_2_2, check_2_3, check_2_4
from .chapter3 import check_3_1, check_3_2, check_3_3, check_3_4
from .chapter4 import check_4_1, check_4_2, check_4_3, check_4_4
from .chapter5 import check_5_1, check_5_2, check_5_3, check_5_4
from .chapter6 import check_6_1, check_6_2, check_6_3, check_6_4
from .chapter7 import check_7_1, check_7_2, check_7_3, check_7_4
from .verdict import NotYet

__all__ = [
    "NotYet",
    "check_1_1",
    "check_1_2",
    "check_1_3",
    "check_1_4",
    "check_2_1",
    "check_2_2",
    "check_2_3",
    "check_2_4",
    "check_3_1",
    "check_3_2",
    "check_3_3",
    "check_3_4",
    "check_4_1",
    "check_4_2",
    "check_4_3",
    "check_4_4",
    "check_5_1",
    "check_5_2",
    "check_5_3",
    "check_5_4",
    "check_6_1",
    "check_6_2",
    "check_6_3",
    "check_6_4",
    "check_7_1",
    "check_7_2",
    "check_7_3",
    "check_7_4",
]
