"""Errors that all scores of an entrant share: by definition, against SciPy, and by simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tests.statistics.simulated import check_at_least, count
from thalweg.errors import TaskError
from thalweg.statistics import (
    Interval,
    PairedDifference,
    SharedError,
    paired_differences,
    possible_bests,
    with_error,
)
from thalweg.statistics.shared import PairErrors

SURE = 10**6
"""Repetitions after which a spread is known."""


@pytest.mark.parametrize("entrants", [2, 4, 8])
def test_the_error_of_all_pairs_is_the_studentized_range(entrants: int) -> None:
    """SciPy's, where all entrants have one spread that is known; it has none for spreads that differ."""
    names = [str(k) for k in range(entrants)]
    errors = dict.fromkeys(names, SharedError(0.1, SURE))
    shared = PairErrors.of(errors, list(combinations(names, 2)))
    assert shared is not None
    widened = shared.widened(np.zeros((200, shared.spread.size)), slice(0, shared.spread.size))
    theirs = stats.studentized_range.isf(10 / 200, entrants, np.inf) * 0.1
    assert widened[10] == pytest.approx(theirs, rel=0.03)  # the draws know a tail of 5 % to 0.2 %


def test_the_error_of_one_pair_alone_is_that_of_its_two_spreads() -> None:
    errors = {"a": SharedError(0.3, SURE), "b": SharedError(0.4, SURE)}
    shared = PairErrors.of(errors, [("a", "b")])
    assert shared is not None
    assert shared.spread == pytest.approx([0.5])
    widened = shared.widened(np.ones((100, 1)), slice(0, 1), alone=True)
    assert widened[5, 0] == pytest.approx(np.hypot(1, 0.5 * stats.norm.isf(0.025)), rel=0.03)


def test_a_spread_of_few_repetitions_is_that_of_a_t_variable() -> None:
    wide = with_error(Interval(1.0, 1.0, 1.0, 0.95, 0.95), SharedError(0.1, 5))
    assert np.log(wide.high) == pytest.approx(0.1 * stats.t.isf(0.025, 4), rel=0.05)
    assert wide.low * wide.high == pytest.approx(1)


def test_without_an_error_nothing_changes() -> None:
    scores = drawn(np.random.default_rng(0), [0, 0.5, 1])
    plain = paired_differences(scores)
    assert paired_differences(scores, errors={}) == plain
    assert paired_differences(scores, errors=dict.fromkeys(scores, SharedError(0, 9))) == plain
    missed = Interval(np.inf, 3.0, np.inf, 0.95, 0.95)
    assert with_error(missed, SharedError(0.2, 9)) == missed
    assert with_error(missed, None) == missed


def test_an_error_widens_the_pairs_of_its_entrant_and_raises_their_p() -> None:
    scores = drawn(np.random.default_rng(1), [0, 0.1, 2])
    plain, wide = (
        {(p.first, p.second): p for p in paired_differences(scores, errors=errors)}
        for errors in ({}, {"2": SharedError(0.8, 11)})
    )
    for pair in (("0", "2"), ("1", "2")):
        assert width(wide[pair]) > 1.5 * width(plain[pair])
        assert wide[pair].corrected > plain[pair].corrected
    assert width(wide["0", "1"]) == pytest.approx(width(plain["0", "1"]))


def test_nothing_depends_on_the_order_of_the_entrants() -> None:
    scores = drawn(np.random.default_rng(2), [0, 1, 2])
    errors = {"0": SharedError(0.2, 11), "1": SharedError(0.4, 11), "2": SharedError(0.1, 11)}
    turned = dict(reversed(scores.items()))
    ahead = {(p.first, p.second): p for p in paired_differences(scores, errors=errors)}
    for p in paired_differences(turned, errors=errors):
        other = ahead[p.second, p.first]
        assert (-p.high, -p.low) == pytest.approx((other.low, other.high))
        assert p.corrected == other.corrected
    bests = possible_bests(turned, errors=errors)
    assert set(bests) == set(possible_bests(scores, errors=errors))


def test_interval_verdict_and_set_agree() -> None:
    """The interval excludes zero where the pair is told apart, and the worse of it is left out."""
    rng = np.random.default_rng(3)
    told = 0
    for _ in range(40):
        scores = drawn(rng, [0, 0.5, 1, 2])
        errors = {name: SharedError(rng.uniform(0, 0.6), 11) for name in scores}
        bests = possible_bests(scores, errors=errors, tolerance=0.05)
        for pair in paired_differences(scores, errors=errors, tolerance=0.05):
            apart = pair.corrected <= 0.05
            assert apart == (not pair.low <= 0 <= pair.high)
            if apart:
                assert (pair.second if pair.estimate < 0 else pair.first) not in bests
                told += 1
    assert told > 20


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.3])
def test_intervals_hold_the_true_differences_though_all_seeds_share_an_error(spread: float) -> None:
    """Four entrants, eight seeds of standard deviation 0.25, turns that tell the spread of the error."""
    rng = np.random.default_rng(4)

    def covers(allowed: bool) -> bool:
        scores = drawn(rng, [0.0] * 4, spread=0.25)
        turns = spread * rng.standard_normal((4, 11))
        errors = {}
        for name, row in zip(scores, turns, strict=True):
            scores[name] += spread * rng.standard_normal()
            error = SharedError.of(row.tolist())
            if error is not None and allowed:
                errors[name] = error
        return all(p.low <= 0 <= p.high for p in paired_differences(scores, errors=errors))

    check_at_least(0.95, count(120, lambda: covers(True)), 120)
    assert count(120, lambda: covers(False)) < 0.95 * 120


def test_bad_spreads_are_refused() -> None:
    for spread, repetitions in ((-1.0, 9), (np.nan, 9), (0.1, 1)):
        with pytest.raises(TaskError, match="shared error"):
            SharedError(spread, repetitions)


def drawn(
    rng: np.random.Generator, centres: list[float], spread: float = 1.0
) -> dict[str, np.ndarray]:
    return {str(k): rng.normal(centre, spread, 8) for k, centre in enumerate(centres)}


def width(pair: PairedDifference) -> float:
    return pair.high - pair.low
