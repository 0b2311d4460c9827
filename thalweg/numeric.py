"""Numbers that users give: integers of any kind, functions of the step instead of one, and shares of
a count as a person computes them; and numbers of things in words.
"""

from __future__ import annotations

import math
import numbers
import operator
from decimal import Decimal
from fractions import Fraction
from typing import Any

_WORDS = {"true": True, "false": False, "none": None}
_FEWEST_DIGITS = Fraction(1, 1000)
"""A share of a count is taken for whole if it is no farther from it than this, whatever the rounding."""


def as_whole(value: Any) -> int | None:
    """Return an integer of any kind (Python's, NumPy's, a tensor's) as an int, else None.

    True and False are not numbers here, nor is 3.0.

    >>> as_whole(3), as_whole(True), as_whole(3.0), as_whole("3")
    (3, None, None, None)
    """
    if getattr(value, "ndim", 0):
        return None
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def as_seed(value: Any) -> int | None:
    """Return a seed of PyTorch's generators, an integer from 0 to 2⁶³ − 1, else None.

    >>> as_seed(3), as_seed(-1), as_seed(2**63)
    (3, None, None)
    """
    seed = as_whole(value)
    return seed if seed is not None and 0 <= seed < 2**63 else None


def is_real(value: Any) -> bool:
    """Return whether `value` is a real number of Python's or NumPy's, finite or not, and not a bool."""
    return isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)


def is_schedule(value: Any) -> bool:
    """Return whether what is given instead of a number is a function of the number of steps taken.

    An object with `__float__` is a number, even one that can be called; a class is neither.

    >>> is_schedule(lambda step: 0.1 / (step + 1)), is_schedule(0.1), is_schedule(float)
    (True, False, False)
    """
    return callable(value) and not hasattr(value, "__float__") and not isinstance(value, type)


def without_nonfinite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot hold, by None.

    >>> without_nonfinite({"loss": [0.5, float("nan")]})
    {'loss': [0.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nonfinite(item) for item in value]
    return value


def plain_value(word: str) -> Any:
    """Return what a word of the command line stands for: true, false, none, a number, or a text.

    >>> [plain_value(word) for word in ("True", "3", "1e-3", "adam")]
    [True, 3, 0.001, 'adam']
    """
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return word


def share(count: int, fraction: Any) -> Fraction:
    """Return count · fraction, with the fraction as it is written in decimal.

    What lies within the rounding of the fraction's type from an integer is that number: a third
    of 90 is 30, of whatever type the third is.

    >>> share(90, 0.3), share(100, 0.29), share(90, 1 / 3), share(10, 0.25)
    (Fraction(27, 1), Fraction(29, 1), Fraction(30, 1), Fraction(5, 2))
    """
    exact = count * _written(fraction)
    nearest = Fraction(round(exact))
    slack = min(_FEWEST_DIGITS, 2 * exact * Fraction(_precision(fraction)))
    return nearest if abs(exact - nearest) <= slack else exact


def _written(fraction: Any) -> Fraction:
    if isinstance(fraction, (Fraction, Decimal, int)):
        return Fraction(fraction)
    return Fraction(str(fraction))


def _precision(fraction: Any) -> float:
    digits = {2: 11, 4: 24}.get(getattr(getattr(fraction, "dtype", None), "itemsize", 8), 53)
    return math.ldexp(1.0, 1 - digits)


def plural(number: int, noun: str) -> str:
    """Return a number of things.

    >>> plural(1, "seed"), plural(1200, "trial"), plural(2, "pass"), plural(0, "boundary")
    ('1 seed', '1,200 trials', '2 passes', '0 boundaries')
    >>> plural(2, "batch"), plural(2, "epoch")
    ('2 batches', '2 epochs')
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch"):  # its ch is a k
        return f"{number:,} {noun}es"
    ends_in_y = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{number:,} {noun[:-1]}ies" if ends_in_y else f"{number:,} {noun}s"
