"""All pairs at once, and the set of the best: by definition, by simulation, and against single pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tests.statistics.simulated import check_at_least, count
from thalweg.errors import TaskError
from thalweg.statistics import centred, paired_differences, possible_bests
from thalweg.statistics.centred import CentredFlips, moderator
from thalweg.statistics.paired import sign_patterns

Scores = dict[str, np.ndarray]


def drawn(rng: np.random.Generator, centres: list[float], seeds: int = 8) -> Scores:
    return {str(k): rng.normal(centre, 1, seeds) for k, centre in enumerate(centres)}


def sign_flip_p(gap: np.ndarray) -> float:
    theirs = stats.permutation_test(
        (gap,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    return float(theirs.pvalue)


def test_of_two_entrants_it_is_the_sign_flip_test_with_its_interval() -> None:
    """SciPy's test; the interval is Hartigan's, between the means of subsets, which SciPy has not."""
    rng = np.random.default_rng(0)
    for seeds in (6, 8, 11):
        scores = drawn(rng, [0, 0.8], seeds)
        (pair,) = paired_differences(scores)
        gap = scores["0"] - scores["1"]
        members = (1 - sign_patterns(seeds)[1:]) / 2
        means = np.sort(members @ gap / members.sum(axis=1))
        k = max(1, int(0.025 * 2**seeds))
        ends = (pair.estimate, pair.low, pair.high, pair.attained)
        assert ends == pytest.approx((gap.mean(), means[k - 1], means[-k], 1 - 2 * k / 2**seeds))
        assert pair.corrected == pair.p == pytest.approx(sign_flip_p(gap))


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_pattern_reaches_as_far_as_the_definition_says(one_sided: bool) -> None:
    """Counted by the sums themselves, at distances from none to beyond all."""
    rng = np.random.default_rng(1)
    rows = rng.normal(rng.normal(size=(5, 1)), rng.uniform(0.3, 2, size=(5, 1)), size=(5, 7))
    n, m, signs = 7, moderator(rows), sign_patterns(7)
    flips = CentredFlips(rows, m)
    residuals = rows - rows.mean(axis=1, keepdims=True)
    squares = (residuals**2).sum(axis=1)
    others = np.sqrt(n / (n - 0.5)) * signs @ residuals.T / np.sqrt(squares + m * (n - 1) / n)
    whole = slice(0, 5)
    reach = flips.reach(whole, 1, one_sided=one_sided)
    for delta in np.linspace(0.01, 3, 25):
        for k in range(5):
            own = signs @ (residuals[k] + delta)
            far = np.delete(others, k, axis=1)
            if not one_sided:
                own, far = np.abs(own), np.abs(far)
            limit = n * delta / np.sqrt(squares[k] + n * delta**2 + m)
            counted = (own >= n * delta * (1 - 1e-10)) | (far.max(axis=1) >= limit)
            shares = flips.shares(whole, reach, np.full(5, delta))
            assert shares[k] == counted.mean()


def test_interval_and_verdict_agree_with_ties_too() -> None:
    rng = np.random.default_rng(2)
    told = 0
    for round_to in (None, 0):
        for _ in range(60):
            scores = drawn(rng, [0, 0, 1, 1.5])
            if round_to is not None:
                scores = {name: np.round(row, round_to) for name, row in scores.items()}
            for pair in paired_differences(scores):
                assert (pair.corrected <= 0.05) == (not pair.low <= 0 <= pair.high)
                assert pair.low <= pair.estimate <= pair.high
                assert pair.p <= pair.corrected
                told += pair.corrected <= 0.05
    assert 30 < told < 600


def test_the_order_of_entrants_and_their_common_shift_change_nothing() -> None:
    scores = drawn(np.random.default_rng(3), [0, 0.5, 2.0])
    shift = np.arange(8.0)
    moved = {name: scores[name] + shift for name in reversed(scores)}
    ahead = {(p.first, p.second): p for p in paired_differences(scores)}
    for back in paired_differences(moved):
        pair = ahead[back.second, back.first]
        assert (-back.high, -back.low) == pytest.approx((pair.low, pair.high))
        assert back.corrected == pair.corrected
    assert set(possible_bests(moved)) == set(possible_bests(scores))


def test_all_intervals_hold_together() -> None:
    """In at least 95 % of races of six, which are unequal; those of single pairs hold in some 60 %."""
    rng = np.random.default_rng(4)
    centres = [0, 0, 0.5, 1, 1, 3.0]

    def all_hold() -> bool:
        return all(
            pair.low <= centres[int(pair.first)] - centres[int(pair.second)] <= pair.high
            for pair in paired_differences(drawn(rng, centres))
        )

    check_at_least(0.95, count(400, all_hold), 400)


@pytest.mark.parametrize("entrants", [2, 6])
def test_the_true_best_is_left_out_as_seldom_as_alpha_allows(entrants: int) -> None:
    """Where all are equal each of them is a best, so that a rival's luck counts the most."""
    rng = np.random.default_rng(entrants)
    kept = count(400, lambda: "0" in possible_bests(drawn(rng, [0.0] * entrants)))
    check_at_least(0.95, kept, 400)


def test_of_two_equals_neither_is_named_the_best_more_often_than_alpha_allows() -> None:
    rng = np.random.default_rng(5)
    check_at_least(0.95, count(400, lambda: len(possible_bests(drawn(rng, [0, 0]))) == 2), 400)


def test_a_noisy_entrant_does_not_hide_a_difference_between_others() -> None:
    """With a common scale for all pairs one with four times the spread left 1 in 10 of these."""
    rng = np.random.default_rng(6)

    def is_seen() -> bool:
        scores = drawn(rng, [0, 2.2, 1, 1, 1])
        scores["noisy"] = rng.normal(1, 4, 8)
        return paired_differences(scores)[0].corrected <= 0.05

    assert count(100, is_seen) > 40


def test_the_set_holds_the_first_and_nobody_told_to_be_worse() -> None:
    rng = np.random.default_rng(7)
    smaller = 0
    for _ in range(80):
        scores = drawn(rng, [0, 1, 1.5, 2.5])
        best = possible_bests(scores)
        assert min(scores, key=lambda name: scores[name].mean()) in best
        worse = {
            pair.first if pair.estimate > 0 else pair.second
            for pair in paired_differences(scores)
            if pair.corrected <= 0.05
        }
        assert not worse & set(best)
        smaller += len(best) + len(worse) < 4  # one-sided tests see more
    assert smaller > 10


def test_five_seeds_can_tell_nothing() -> None:
    scores = {name: np.full(5, value) for name, value in (("a", 1.0), ("b", 9.0), ("c", 20.0))}
    assert possible_bests(scores) == ("a", "b", "c")
    for pair in paired_differences(scores):
        assert (pair.low, pair.high, pair.attained) == (-np.inf, np.inf, 0)
        assert pair.corrected > 0.05
    assert possible_bests({name: np.append(row, row[0]) for name, row in scores.items()}) == ("a",)


def test_a_difference_within_the_tolerance_leaves_nobody_out() -> None:
    row = np.arange(8.0)
    near, far = {"a": row, "b": row + 0.04}, {"a": row, "b": row + 0.06}
    assert possible_bests(near, tolerance=0.05) == ("a", "b")
    assert possible_bests(far, tolerance=0.05) == ("a",)
    (pair,) = paired_differences(far, tolerance=0.05)
    assert (pair.low, pair.high) == pytest.approx((-0.11, -0.01))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = drawn(np.random.default_rng(8), [0, 0, 1, 2.0])
    whole = paired_differences(scores), possible_bests(scores)
    monkeypatch.setattr(centred, "_MOST_AT_ONCE", 512)
    assert (paired_differences(scores), possible_bests(scores)) == whole


def test_bad_input_is_refused() -> None:
    assert possible_bests({"a": np.ones(3)}) == ("a",)
    with pytest.raises(TaskError, match="two or more"):
        paired_differences({"a": np.ones(3)})
    with pytest.raises(TaskError, match="same seeds"):
        possible_bests({"a": np.ones(3), "b": np.ones(4)})
    with pytest.raises(TaskError, match="finite"):
        paired_differences({"a": np.ones(3), "b": np.array([1, 2, np.inf])})
    for alpha, call in ((0.0, paired_differences), (5.0, possible_bests)):
        with pytest.raises(TaskError, match="level"):
            call(dict(zip("ab", np.ones((2, 6)), strict=True)), alpha=alpha)  # type: ignore[operator]


def test_beyond_enumeration_nothing_is_left_to_chance() -> None:
    scores = drawn(np.random.default_rng(9), [0, 0.2, 2.0], seeds=20)
    assert paired_differences(scores) == paired_differences(scores)
    for pair, (a, b) in zip(paired_differences(scores), combinations(scores, 2), strict=True):
        gap = scores[a] - scores[b]
        counted = np.abs(sign_patterns(20) @ gap) >= abs(gap.sum()) * (1 - 1e-10)
        assert pair.p == counted.mean()


def test_slack_widens_the_intervals_on_the_side_of_the_better_and_the_set_follows() -> None:
    rng = np.random.default_rng(11)
    scores = {
        name: rng.standard_normal(8) * 0.1 + shift
        for name, shift in (("a", 0), ("b", 0.5), ("c", 0.6))
    }
    plain = paired_differences(scores)
    wide = paired_differences(scores, slack={"b": 0.3})
    for one, other in zip(plain, wide, strict=True):
        # rounding
        assert one.low - other.low == pytest.approx(0.3 if one.first == "b" else 0.0, abs=1e-12)
        assert other.high - one.high == pytest.approx(0.3 if one.second == "b" else 0.0, abs=1e-12)
        assert (other.low <= 0 <= other.high) == (other.corrected > 0.05)
    assert possible_bests(scores) == ("a",)
    assert possible_bests(scores, slack={"b": 0.6}) == ("a", "b")
