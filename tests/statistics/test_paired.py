"""The sign-flip test of one pair against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from thalweg.errors import TaskError
from thalweg.statistics import fewest_seeds, paired_differences

INF = np.inf


def paired_p(a: ArrayLike, b: ArrayLike) -> float:
    """The p-value of two entrants, who have no others to be corrected for."""
    (pair,) = paired_differences({"a": np.array(a, float), "b": np.array(b, float)})
    assert pair.p == pair.corrected
    return pair.p


@pytest.mark.parametrize("n", [2, 3, 6, 10])
def test_the_sign_flip_test_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        a, b = rng.normal([[0.8], [0]], 1, size=(2, n))
        theirs = stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            n_resamples=INF,
            vectorized=True,
        )
        assert paired_p(a, b) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_beyond_enumeration_the_observed_signs_are_among_those_counted() -> None:
    assert paired_p(np.ones(60), np.zeros(60)) == 1 / 2**14


def test_identical_rows_are_as_likely_as_can_be() -> None:
    assert paired_p([1, 2, 3], [1, 2, 3]) == 1


def test_scaling_by_rounding_errors_changes_nothing() -> None:
    """0.1 + 0.2 is not 0.3; the tie of sums must hold all the same."""
    clean = paired_p([3, -3, 6, 1, 2], [0] * 5)
    rough = paired_p([0.1 + 0.2, -0.3, 0.6, 0.1, 0.2], [0] * 5)
    assert clean == rough


def test_the_fewest_seeds_are_the_first_whose_least_p_is_small_enough() -> None:
    for alpha in (0.05, 0.01, 0.1):
        n = fewest_seeds(alpha)
        assert 2.0 ** (1 - n) <= alpha < 2.0 ** (2 - n)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="same seeds"):
        paired_p([1, 2], [1, 2, 3])
    with pytest.raises(TaskError, match="restrict"):
        paired_p([1, INF], [1, 3])
    with pytest.raises(TaskError, match="NaN"):
        paired_p([1, np.nan], [1, 3])
