"""Paired tests against scipy's, and their corrections against closed testing."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import TaskError
from thalweg.statistics import fewest_seeds, holm, joint, least_p, paired_p
from thalweg.statistics.paired import differences, signed_scores

INF = np.inf
EVERY = stats.PermutationMethod(n_resamples=INF)


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
        assert paired_p(a, b, "sign-flip") == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [3, 7, 11])
def test_wilcoxon_without_ties_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        d = rng.normal(0.5, 1, size=n)
        theirs = stats.wilcoxon(d, method="exact").pvalue
        assert paired_p(d, np.zeros(n)) == pytest.approx(theirs, abs=1e-12)


def test_wilcoxon_with_ties_and_zeros_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        a, b = rng.integers(1, 6, size=(2, 8)).astype(float)
        if (a == b).all():
            continue
        with np.errstate(all="ignore"):
            theirs = stats.wilcoxon(a, b, zero_method="pratt", method=EVERY).pvalue
        assert paired_p(a, b) == pytest.approx(theirs, abs=1e-12)


def test_beyond_enumeration_wilcoxon_is_near_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.2, 0.5):
        d = rng.normal(shift, 1, size=22)
        exact = stats.wilcoxon(d, method="exact").pvalue
        assert paired_p(d, np.zeros(22)) == pytest.approx(exact, abs=4 * (exact / 2**14) ** 0.5)


def test_beyond_enumeration_the_observed_signs_are_among_those_counted() -> None:
    for test in ("wilcoxon", "sign-flip"):
        assert paired_p(np.ones(60), np.zeros(60), test) == 1 / 2**14  # type: ignore[arg-type]


def test_a_miss_is_worse_than_any_hit_and_two_misses_tie() -> None:
    a, b = np.array([5, 6, 7, INF, INF, 8.0]), np.array([6, 8, 10, INF, 9, INF])
    assert differences(a, b).tolist() == [-1, -2, -3, 0, INF, -INF]
    scores = signed_scores(differences(a, b), "wilcoxon")
    assert scores.tolist() == [-2, -3, -4, 0, 5.5, -5.5]
    huge = [np.where(np.isinf(x), 1e300, x) for x in (a, b)]
    assert paired_p(a, b) == paired_p(*huge)


def test_how_much_worse_a_miss_is_does_not_matter_but_that_it_is_does() -> None:
    hits, other = [10.0, 11, 12, 13, 14, 15], [20.0, 21, 22, 23, 24, 5]
    assert paired_p(hits, [*other[:-1], INF]) == least_p(6)
    assert paired_p(hits, other) > least_p(6)


def test_identical_rows_are_as_likely_as_can_be() -> None:
    for test in ("wilcoxon", "sign-flip"):
        assert paired_p([1, 2, 3], [1, 2, 3], test) == 1  # type: ignore[arg-type]
    assert paired_p([INF, INF], [INF, INF]) == 1


def test_scaling_by_rounding_errors_changes_nothing() -> None:
    """0.1 + 0.2 is not 0.3; the tie of |differences| must hold all the same."""
    clean = paired_p([3, -3, 6, 1, 2], [0] * 5)
    rough = paired_p([0.1 + 0.2, -0.3, 0.6, 0.1, 0.2], [0] * 5)
    assert clean == rough


def test_the_fewest_seeds_are_the_first_whose_least_p_survives_holm() -> None:
    for comparisons, alpha in product((1, 3, 15, 45), (0.05, 0.01, 0.1)):
        n = fewest_seeds(comparisons, alpha)
        assert comparisons * least_p(n) <= alpha < comparisons * least_p(n - 1)


def test_holm_is_closed_testing_with_bonferroni() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(5) ** 3
        closed = [
            max(
                min(1, len(S) * min(p[list(S)]))
                for size in range(1, 6)
                for S in combinations(range(5), size)
                if k in S
            )
            for k in range(5)
        ]
        assert holm(p) == pytest.approx(closed)


def test_joint_is_closed_testing_with_the_greatest_sum() -> None:
    rng = np.random.default_rng(0)
    signs = np.array(list(product([1, -1], repeat=6)))
    for _ in range(10):
        scores = rng.normal(rng.normal(size=(4, 1)), 1, size=(4, 6))
        sums, observed = np.abs(signs @ scores.T), np.abs(scores.sum(axis=1))
        closed = [
            max(
                np.mean(sums[:, S].max(axis=1) >= observed[list(S)].max() - 1e-9)
                for size in range(1, 5)
                for S in combinations(range(4), size)
                if k in S
            )
            for k in range(4)
        ]
        assert joint(scores) == pytest.approx(closed)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="same seeds"):
        paired_p([1, 2], [1, 2, 3])
    with pytest.raises(TaskError, match="'wilcoxon'"):
        paired_p([1, 2], [1, 3], "wilcoxson")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="restrict"):
        paired_p([1, INF], [1, 3], "sign-flip")
    with pytest.raises(TaskError, match="NaN"):
        paired_p([1, np.nan], [1, 3])
    with pytest.raises(TaskError, match="between 0 and 1"):
        holm([0.1, 1.2])
