from __future__ import annotations

import itertools
import math

from tests.race.search.planted import RATES, conduct, entrant, missed, points
from thalweg.race.entrants.space import choice, integers, uniform
from thalweg.race.search import QuasiRandomSearch
from thalweg.race.search.domain import Domain
from thalweg.race.search.quasi_random import unseen


def test_all_points_are_asked_for_at_once() -> None:
    asked = conduct(QuasiRandomSearch(entrant(), trials=12, epochs=3), lambda _: missed(1.0))
    assert [len(asks) for asks in asked] == [12]


def test_points_spread_evenly_over_decades() -> None:
    """Of 2^m points each part of 2^m of the range has one, whatever the seed."""
    for seed in range(5):
        search = QuasiRandomSearch(entrant(RATES), trials=8, epochs=1, seed=seed)
        logs = [3 + math.log10(ask.point.lr) for ask in search.ask()]
        assert sorted(math.floor(log / 3 * 8 - 1e-3) for log in logs) == list(range(8))


def test_a_greater_budget_tries_the_same_points_and_more() -> None:
    wide = entrant(search={"momentum": uniform(0, 0.99)})
    few, many = (QuasiRandomSearch(wide, trials=n, epochs=1).ask() for n in (5, 20))
    assert many[:5] == few


def test_a_continuum_that_rounds_to_few_numbers_ends() -> None:
    """A uniform space has a thousand values; all that the sequence finds of them come, once each."""
    lone = entrant((0.1,), {"momentum": uniform(0, 1)})
    search = QuasiRandomSearch(lone, trials=5000, epochs=1)
    tried = points(conduct(search, lambda _: missed(1.0)))
    assert 950 <= len(tried) == len(set(tried)) == search.planned <= 1001


def test_the_points_of_a_small_domain_all_come_and_none_twice() -> None:
    domain = Domain.of(entrant((0.1,), {"a": choice(*range(30)), "k": integers(1, 20)}))
    found = [ask.point for _, ask in itertools.islice(unseen(domain, 3, 1), 10_000)]
    assert len(found) == len(set(found)) == 600
