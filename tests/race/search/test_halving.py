from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.race.search.planted import bowl, conduct, entrant, epochs, missed, points
from thalweg.race.entrants.space import uniform
from thalweg.race.search import Ask, HalvingSearch, QuasiRandomSearch, Score, rungs

WIDE = entrant(search={"momentum": uniform(0, 1)})


@given(st.integers(1, 200), st.integers(1, 200))
def test_rungs_keep_to_the_budget_and_to_their_ratio(trials: int, length: int) -> None:
    planned = rungs(trials, length)
    counts, lengths = zip(*planned, strict=True)
    assert sum(count * short for count, short in planned) <= trials * length
    assert lengths[-1] == length
    assert counts[-1] >= 1
    assert all(later == count // 3 for count, later in itertools.pairwise(counts))
    for short, longer in itertools.pairwise(lengths):
        assert longer / 3 == pytest.approx(short, abs=1)
        assert short < longer


@given(st.integers(4, 200), st.integers(9, 200))
def test_one_point_more_would_exceed_the_budget(trials: int, length: int) -> None:
    planned = rungs(trials, length)
    first = planned[0][0] + 1
    cost = sum(first // 3**rung * short for rung, (_, short) in enumerate(planned))
    assert len(planned) == 3
    assert cost > trials * length


@pytest.mark.parametrize(
    ("trials", "length", "expected"),
    [
        (1, 30, ((1, 30),)),  # nothing to choose between
        (9, 2, ((9, 2),)),  # too short to be cut
        (9, 3, ((14, 1), (4, 3))),
        (9, 9, ((27, 1), (9, 3), (3, 9))),
        (9, 30, ((29, 3), (9, 10), (3, 30))),
        (27, 81, ((81, 9), (27, 27), (9, 81))),
    ],
)
def test_rungs_known_by_hand(
    trials: int, length: int, expected: tuple[tuple[int, int], ...]
) -> None:
    assert rungs(trials, length) == expected


def test_the_best_of_a_rung_are_promoted_in_their_order() -> None:
    search = HalvingSearch(WIDE, trials=9, epochs=9)
    asked = conduct(search, bowl(0.02))
    for below, above in itertools.pairwise(asked):
        order = sorted(below, key=lambda ask: (bowl(0.02)(ask), ask.point.lr))
        assert [ask.point for ask in above] == [ask.point for ask in order[: len(above)]]
    assert [len(asks) for asks in asked] == [27, 9, 3]
    assert [{ask.epochs for ask in asks} for asks in asked] == [{1}, {3}, {9}]


@pytest.mark.parametrize("misses", [False, True])
def test_the_best_of_all_is_kept_to_the_end(misses: bool) -> None:
    search = HalvingSearch(WIDE, trials=9, epochs=30)
    asked = conduct(search, bowl(0.02, misses=misses))
    best = min(points(asked), key=lambda point: abs(math.log10(point.lr / 0.02)))
    assert search.best() == best
    assert asked[-1][0] == Ask(best, 30)


def test_it_sees_more_points_than_a_search_at_full_length() -> None:
    halving = conduct(HalvingSearch(WIDE, trials=9, epochs=30, seed=4), bowl(0.02))
    full = conduct(QuasiRandomSearch(WIDE, trials=9, epochs=30, seed=4), bowl(0.02))
    assert set(points(full)) < set(points(halving))
    assert len(set(points(halving))) == 29
    assert epochs(halving) <= epochs(full)


def test_a_short_trial_cannot_be_the_best() -> None:
    def score(ask: Ask) -> Score:  # everything looks better when it is short
        return missed(float(ask.epochs))

    search = HalvingSearch(WIDE, trials=9, epochs=9)
    asked = conduct(search, score)
    assert search.best() in {ask.point for ask in asked[-1]}


def test_a_best_point_needs_the_last_rung() -> None:
    search = HalvingSearch(WIDE, trials=9, epochs=9)
    search.tell([missed(1.0) for _ in search.ask()])
    with pytest.raises(RuntimeError, match="full 9 epochs"):
        search.best()
