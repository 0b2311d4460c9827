"""What holds for every search, whatever it is told."""

from __future__ import annotations

import math
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import examples
from tests.race.search.planted import RATES, conduct, entrant, epochs, missed, points
from thalweg.race.entrants.space import Space, choice, integers, log_uniform_below_one, uniform
from thalweg.race.search import SEARCHES, Ask, Score, make_search

MORE: dict[str, Space] = {
    "momentum": log_uniform_below_one(0.5, 0.999),
    "dampening": uniform(0, 1),
    "nesterov": choice(True, False),
    "k": integers(1, 5),
}
WIDE = ("quasi-random", "halving", "tpe")


def by_chance(seed: int):
    """Scores of every kind, which depend on the order of telling alone."""
    chance = random.Random(seed)

    def score(_: Ask) -> Score:
        reached = chance.random() < 0.4
        badness = chance.choice([math.inf, chance.random(), 0.5])
        return Score(float(chance.randint(1, 5)), 0.0, badness) if reached else missed(badness)

    return score


def searched(name: str) -> dict[str, Space]:
    return {} if name == "grid" else MORE


@pytest.mark.parametrize("name", SEARCHES)
@given(trials=st.integers(1, 30), length=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=15 * examples.MORE)
def test_told_the_same_it_asks_the_same(name: str, trials: int, length: int, seed: int) -> None:
    runs = [
        conduct(
            make_search(name, entrant(search=searched(name)), trials=trials, epochs=length, seed=5),
            by_chance(seed),
        )
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", SEARCHES)
@given(trials=st.integers(1, 30), length=st.integers(1, 40), seed=st.integers(0, 2**32))
@settings(max_examples=15 * examples.MORE)
def test_the_budget_is_spent_and_not_exceeded(
    name: str, trials: int, length: int, seed: int
) -> None:
    search = make_search(name, entrant(search=searched(name)), trials=trials, epochs=length)
    asked = conduct(search, by_chance(seed))
    assert len(points(asked)) == search.planned == len(search.told)
    assert search.ask() == ()
    if name == "halving":
        assert 0.75 * trials * length <= epochs(asked) <= trials * length
    else:
        assert epochs(asked) == trials * length
        assert {ask.epochs for asks in asked for ask in asks} == {length}


@pytest.mark.parametrize("name", SEARCHES)
@given(trials=st.integers(1, 30), seed=st.integers(0, 2**32))
@settings(max_examples=10 * examples.MORE)
def test_no_point_is_asked_twice_at_one_length(name: str, trials: int, seed: int) -> None:
    search = make_search(name, entrant(search=searched(name)), trials=trials, epochs=9, seed=seed)
    asks = [ask for asks in conduct(search, by_chance(seed)) for ask in asks]
    assert len(asks) == len(set(asks))


@pytest.mark.parametrize("name", SEARCHES)
@given(trials=st.integers(1, 20), seed=st.integers(0, 2**32))
@settings(max_examples=10 * examples.MORE)
def test_the_best_is_the_best_of_those_at_full_length(name: str, trials: int, seed: int) -> None:
    search = make_search(name, entrant(search=searched(name)), trials=trials, epochs=9, seed=1)
    conduct(search, by_chance(seed))
    full = [(score, ask.point.lr) for ask, score in search.told if ask.epochs == 9]
    chosen = [(score, ask.point.lr) for ask, score in search.told if ask.point == search.best()]
    assert min(full) in chosen


@pytest.mark.parametrize("name", WIDE)
def test_every_value_belongs_to_its_space(name: str) -> None:
    search = make_search(name, entrant(search=MORE), trials=20, epochs=9)
    for point in points(conduct(search, by_chance(3))):
        values = point.values
        assert list(values) == ["lr", *MORE]
        assert min(RATES) <= values["lr"] <= max(RATES)
        assert 0.5 <= values["momentum"] <= 0.999
        assert 0 <= values["dampening"] <= 1
        assert values["nesterov"] in (True, False)
        assert values["k"] in range(1, 6)
        assert type(values["k"]) is int


@pytest.mark.parametrize("name", WIDE)
def test_the_seed_changes_the_points(name: str) -> None:
    asked = {make_search(name, entrant(), trials=9, epochs=9, seed=seed).ask() for seed in (0, 1)}
    assert len(asked) == 2


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("trials", [3, 6, 9, 20])
def test_where_there_are_fewer_points_than_budget_all_are_tried_once(
    name: str, trials: int
) -> None:
    few = entrant((0.1,), {"nesterov": choice(True, False), "k": integers(1, 3)})
    search = make_search(name, few, trials=trials, epochs=9)
    asked = conduct(search, by_chance(2))
    first = {ask.point for ask in asked[0]} if name == "halving" else set(points(asked))
    assert len(first) == min(6, 9 if name == "halving" and trials == 3 else trials)
    assert len(points(asked)) == search.planned
    assert epochs(asked) <= trials * 9


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "tpe"])
def test_only_tpe_needs_a_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("optuna", "scipy", "sklearn"):
        monkeypatch.setitem(sys.modules, package, None)
    assert conduct(make_search(name, entrant(), trials=9, epochs=9), lambda _: missed(1.0))
