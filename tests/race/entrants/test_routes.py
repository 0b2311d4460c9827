"""Routes as entrants of a race: what they are called, where their rates lie, how they are printed."""

from __future__ import annotations

from torch import nn

from thalweg import chain, route
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.known import default_grid, find_entrant, gather_entrants
from thalweg.race.entrants.shared_search import with_search
from thalweg.race.entrants.space import uniform
from thalweg.race.trials.as_code import code_of
from thalweg.race.trials.point import Point
from thalweg.rules import adam, decay, lion

BOTH = route(hidden=lion(), rest=chain(adam(), decay(0.1)))


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))


def test_routes_are_entrants_by_the_names_of_their_rules_with_the_rates_of_the_first() -> None:
    (entrant,) = gather_entrants([BOTH])
    assert entrant.name == "lion/adam+decay"
    assert entrant.lrs == default_grid(lion)
    assert entrant.takes_schedules
    built = entrant.build(net(), lr=0.01, **{"hidden.beta1": 0.5})
    assert built.param_groups[0]["beta1"] == 0.5


def test_hyperparameters_of_routes_are_searched_by_their_names() -> None:
    searched = with_search(
        gather_entrants([BOTH, "adam"]), {"rest.weight_decay": uniform(0.0, 1.0)}
    )
    assert [list(each.search) for each in searched] == [["rest.weight_decay"], []]


def test_the_code_of_routes_builds_the_optimizer() -> None:
    names: dict[str, object] = {"model": net()}
    code = code_of(Entrant("both", BOTH), Point(0.01, (("hidden.beta1", 0.5),)), None)
    exec(code, names)
    optimizer = names["optimizer"]
    assert [group["beta1"] for group in optimizer.param_groups] == [0.5, 0.9]  # type: ignore[attr-defined]
    exec(code_of(find_entrant("muon"), Point(0.01), None), names)
    assert names["optimizer"].routes().rows[0].route == "hidden"  # type: ignore[attr-defined]
