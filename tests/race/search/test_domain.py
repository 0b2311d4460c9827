from __future__ import annotations

from tests.race.search.planted import RATES, entrant
from thalweg.race.entrants.space import choice, integers, log_uniform, uniform
from thalweg.race.search.domain import Domain
from thalweg.race.trials.point import Point


def test_the_rates_lie_between_the_first_and_the_last_of_the_entrant() -> None:
    domain = Domain.of(entrant((0.1, 0.001, 1.0), {"momentum": uniform(0, 1)}))
    assert domain.spaces == (("lr", log_uniform(0.001, 1.0)), ("momentum", uniform(0, 1)))
    assert domain.point((0.5, 0.25)) == Point(0.0316, (("momentum", 0.25),))
    assert domain.size is None
    assert list(domain.everywhere()) == []


def test_a_single_rate_stays_as_it_is() -> None:
    domain = Domain.of(entrant((0.123456,), {"nesterov": choice(True, False)}))
    assert domain.point((0.9, 0.1)) == Point(0.123456, (("nesterov", True),))


def test_points_that_can_be_counted_are_all_there() -> None:
    domain = Domain.of(entrant((0.1,), {"a": choice("x", None), "k": integers(1, 3)}))
    points = [domain.point(us) for us in domain.everywhere()]
    assert domain.size == 6 == len(set(points))
    assert [point.values for point in points][:2] == [
        {"lr": 0.1, "a": "x", "k": 1},
        {"lr": 0.1, "a": "x", "k": 2},
    ]


def test_the_order_of_hyperparameters_is_the_entrants() -> None:
    domain = Domain.of(entrant(RATES, {"b": uniform(0, 1), "a": uniform(1, 2)}))
    assert list(domain.point((0, 0, 0)).values) == ["lr", "b", "a"]
