"""The 35 test functions of Moré, Garbow and Hillstrom, "Testing unconstrained optimization software".

ACM Transactions on Mathematical Software 7 (1981), 17-41. Every function is a sum of squares of residuals.
`CASES` has each at its usual dimension, and some at a second or third one.
"""

from .cases import CASES, case
from .problem import Minimum, Problem

__all__ = ["CASES", "Minimum", "Problem", "case"]
