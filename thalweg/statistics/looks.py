"""Two looks at one comparison: after the first seeds, and after more of them where they decide.

Of α, the chance of any false claim, the first look spends two fifths and the second three: the claims of
both together are false with probability α at most (Bonferroni's inequality). The second look takes all
seeds of those it looks at, the first ones as well, so nothing that was run is wasted.
"""

from __future__ import annotations

import math

from thalweg.statistics.paired import fewest_seeds

FIRST, SECOND = 0.4, 0.6
"""The shares of α that the looks spend: 2 % and 3 % of 5 %."""


def fewest_first(alpha: float = 0.05) -> int:
    """Return the fewest seeds with which the first of two looks can tell anything.

    >>> fewest_first(0.05)
    7
    """
    return fewest_seeds(FIRST * alpha)


def width_with_more(width: float, seeds: int, more: int) -> float:
    """Return what the half width of an interval would be with more seeds, the spread being what it is.

        w √(n / (n + m))

    A difference of as much would be told in about half of all races.

    >>> width_with_more(0.4, 8, 24)
    0.2
    """
    return width * math.sqrt(seeds / (seeds + more))
