"""Censored times, and times restricted to the budget."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.errors import TaskError
from thalweg.statistics import censored, restricted

INF = np.inf


def test_times_beyond_the_budget_are_misses() -> None:
    assert censored([3, 10, 10.5, INF], 10).tolist() == [3, 10, INF, INF]
    assert censored([[3, 12], [4, 5]], [10, 20]).tolist() == [[3, 12], [4, 5]]
    assert restricted([3, 10.5, INF], 10).tolist() == [3, 10, 10]


@pytest.mark.parametrize("wrong", [[1, float("nan")], [0, 1], [-1, 2], [], 3.0])
def test_times_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(TaskError):
        censored(wrong)  # type: ignore[arg-type]


def test_a_miss_without_a_budget_has_no_restricted_time() -> None:
    with pytest.raises(TaskError, match="give the budget"):
        restricted([1, INF], INF)
