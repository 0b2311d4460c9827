"""What an interval is asked of: medians, ratios of geometric means, differences.

Each reduces the last axis, the seeds, of an array of any number of axes before it, as `bootstrap`
wants it. Those of two take data whose first axis is the two.
"""

from __future__ import annotations

import numpy as np

from thalweg.statistics.times import Array


def median(times: Array) -> Array:
    """Return the median over seeds, in which a miss is infinite.

    >>> float(median(np.array([3.0, 5.0, np.inf])))
    5.0
    """
    middle: Array = np.median(times, axis=-1)
    return middle


def ratio_of_geometric_means(pair: Array) -> Array:
    """Return exp(mean log a − mean log b) of times that are finite: `restricted` makes them so.

    >>> float(ratio_of_geometric_means(np.array([[2.0, 8.0], [1.0, 4.0]])).__round__(12))
    2.0
    """
    ratio: Array = np.exp((np.log(pair[0]) - np.log(pair[1])).mean(axis=-1))
    return ratio


def difference_of_means(pair: Array) -> Array:
    """Return mean a − mean b.

    >>> float(difference_of_means(np.array([[2.0, 8.0], [1.0, 4.0]])))
    2.5
    """
    difference: Array = (pair[0] - pair[1]).mean(axis=-1)
    return difference


def difference_of_medians(pair: Array) -> Array:
    """Return median a − median b of values that are finite.

    >>> float(difference_of_medians(np.array([[2.0, 8.0, 9.0], [1.0, 4.0, 5.0]])))
    4.0
    """
    difference: Array = np.median(pair[0], axis=-1) - np.median(pair[1], axis=-1)
    return difference
