from __future__ import annotations

import functools
import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.optim.sparse import SPARSE_ONLY
from tests.race.tasks import line
from thalweg import chain, optim, rules
from thalweg.errors import TaskError
from thalweg.optim import family
from thalweg.race import race
from thalweg.race.entrants.known import (
    DEFAULT_ENTRANTS,
    GRID_POINTS,
    Entrant,
    default_grid,
    find_entrant,
    gather_entrants,
    known_entrants,
    log_grid,
)
from thalweg.race.entrants.space import choice
from thalweg.rules import polyak
from thalweg.train import fit

# of dense gradients, as those of most models are
RACED = sorted(set(optim.__all__) - {"Optimizer", *SPARSE_ONLY})


def parameters() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


def test_the_usual_six_have_grids_of_one_length() -> None:
    entrants = gather_entrants()
    assert [entrant.name for entrant in entrants] == list(DEFAULT_ENTRANTS)
    assert len(entrants) == 6
    assert {len(entrant.lrs) for entrant in entrants} == {GRID_POINTS}


@pytest.mark.parametrize(
    ("name", "momentum", "nesterov"),
    [("sgd", 0, False), ("momentum", 0.9, False), ("nesterov", 0.9, True)],
)
def test_three_entrants_are_sgd(name: str, momentum: float, nesterov: bool) -> None:
    optimizer = find_entrant(name).build(parameters(), lr=0.5)
    assert isinstance(optimizer, optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.5, momentum, nesterov)


def test_every_optimizer_of_the_package_can_be_named_and_built() -> None:
    known = known_entrants()
    for name in RACED:
        entrant = known[name.lower()]
        # a model will do for all of them, and is what some of them need
        assert type(entrant.build(torch.nn.Linear(2, 1), lr=0.1)).__name__ == name
        assert len(entrant.lrs) == GRID_POINTS
        assert entrant.description, name
        assert not entrant.description.endswith("."), name


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("Adam", 1e-4, 0.1),
        ("SGD", 3.16e-3, 3.16),
        ("AdaBelief", 1e-4, 0.1),
        ("Lion", 3.16e-5, 0.0316),
        ("Yogi", 1e-3, 1.0),
        ("LaProp", 3.16e-5, 0.0316),
        ("ScheduleFreeAdamW", 3.16e-4, 0.316),
        ("Prodigy", 0.01, 10.0),
    ],
)
def test_grids_lie_around_the_defaults(name: str, lowest: float, highest: float) -> None:
    grid = find_entrant(name).lrs
    assert (grid[0], grid[-1], len(grid)) == (lowest, highest, GRID_POINTS)
    (by_class,) = gather_entrants([getattr(optim, name)])
    assert by_class.lrs == grid


def test_no_default_of_those_made_of_rules_is_at_the_edge_of_its_grid() -> None:
    for name in family.__all__:
        lr = inspect.signature(getattr(optim, name)).parameters["lr"].default
        grid = find_entrant(name).lrs
        assert grid[1] <= lr <= grid[-2], name


def test_every_optimizer_of_the_package_can_be_raced() -> None:
    entrants = list(RACED)
    result = race(line(), entrants, [0.01], seeds=1, final_seeds=1, epochs=1, stack=False, out=None)
    for stage in ("tuning", "final"):
        raced = [record.entrant for record in result.records if record.stage == stage]
        assert sorted(raced) == sorted(name.lower() for name in entrants)
    assert {record.status for record in result.records} == {"finished"}
    assert all(record.final is not None for record in result.records)


def test_a_trial_is_measured_at_the_average() -> None:
    averaged = Entrant("averaged", optim.SGD, {"after": polyak()}, (0.3,))
    plain = Entrant("plain", optim.SGD, {}, (0.3,))
    result = race(
        line(), [averaged, plain], seeds=1, final_seeds=1, epochs=6, stack=False, out=None
    )
    by_name = {record.entrant: record for record in result.records if record.seed == 0}
    run = fit(
        line(), functools.partial(optim.SGD, after=polyak()), lr=0.3, epochs=6, progress=False
    )
    assert by_name["averaged"].final == run.evaluate("validation")["mse"]
    assert by_name["averaged"].final != by_name["plain"].final


@pytest.mark.parametrize("name", ["adam", "Adam", " ADAM "])
def test_names_are_found_in_any_case(name: str) -> None:
    assert find_entrant(name).name == "adam"


@pytest.mark.parametrize(("name", "close"), [("adma", "'adam'"), ("nestrov", "'nesterov'")])
def test_a_misspelt_name_gets_the_close_ones(name: str, close: str) -> None:
    with pytest.raises(TaskError, match=close):
        find_entrant(name)


def test_a_strange_name_gets_all_of_them() -> None:
    with pytest.raises(TaskError, match=r"Known are: adabelief.*sgd"):
        find_entrant("zzz")


def test_a_schedule_follows_a_plus_sign() -> None:
    entrant = find_entrant(" Adam + warmup-cosine ")
    assert (entrant.name, entrant.schedule) == ("adam+warmup-cosine", "warmup-cosine")
    assert (entrant.factory, entrant.lrs) == (optim.Adam, find_entrant("adam").lrs)
    assert entrant.description.endswith("(schedule warmup-cosine)")
    both = gather_entrants(["adam", "adam+cosine", "adam+linear"])
    assert len({entrant.name for entrant in both}) == 3
    assert find_entrant("momentum+wsd").hyperparameters == {"momentum": 0.9}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adma+cosine", "No optimizer is called 'adma'.*'adam'"),
        ("adam+cosin", "No schedule is called 'cosin'.*'cosine'"),
        ("adam+", "No schedule is called ''"),
        ("+cosine", "No optimizer is called ''"),
        ("adam+cosine+linear", r"No schedule is called 'cosine\+linear'"),
    ],
)
def test_both_parts_of_a_name_are_checked(name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        find_entrant(name)


def test_chains_links_and_rules_take_part_under_their_own_names() -> None:
    whole = chain(rules.clip_by_norm(1.0), rules.adam)
    entrants = gather_entrants([whole, rules.lion, rules.adam(beta1=0.5)])
    assert [entrant.name for entrant in entrants] == ["clip_by_norm+adam", "lion", "adam"]
    assert {len(entrant.lrs) for entrant in entrants} == {GRID_POINTS}
    (named,) = gather_entrants({"mine": whole})
    assert (named.name, named.factory) == ("mine", whole)


def test_an_entrant_keeps_all_of_its_own_under_another_name() -> None:
    own = Entrant("own", optim.SGD, {"nesterov": True}, (0.1,), {"momentum": choice(0.5, 0.9)})
    (renamed,) = gather_entrants({"other": replace(own, schedule="cosine")})
    assert renamed == replace(own, name="other", schedule="cosine")
    (without,) = gather_entrants([replace(own, lrs=())])
    assert without.lrs == log_grid(3.16e-3) == default_grid(optim.SGD)


def test_grid_is_logarithmic_with_whole_and_half_powers_of_ten() -> None:
    assert log_grid(1e-3, 5) == (0.001, 0.00316, 0.01, 0.0316, 0.1)
    assert log_grid(3.16e-3, 4) == (0.00316, 0.01, 0.0316, 0.1)


def test_lrs_replace_every_grid_and_are_sorted() -> None:
    for entrant in gather_entrants(["sgd", "adam"], lrs=[0.1, 0.01, 0.1]):
        assert entrant.lrs == (0.01, 0.1)


def test_classes_and_functions_take_part() -> None:
    def mine(params: Any, lr: float) -> torch.optim.Optimizer:
        """Mine alone. And more of it."""
        return torch.optim.SGD(params, lr)

    by_class, by_function, ready = gather_entrants(
        [torch.optim.Adam, mine, Entrant("ready", optim.SGD, {"momentum": 0.5}, (0.3,))]
    )
    assert (by_class.name, by_function.name, ready.name) == ("adam", "mine", "ready")
    assert by_function.description == "Mine alone"
    assert ready.lrs == (0.3,)
    assert ready.description.endswith("(momentum=0.5)")
    assert isinstance(by_function.build(parameters(), lr=0.1), torch.optim.SGD)


@pytest.mark.parametrize(
    ("entrants", "lrs", "message"),
    [
        ([], None, "at least one entrant"),
        (["adam", "ADAM"], None, "'adam' is named twice"),
        (["adam"], [], "no learning rates"),
        (["adam"], [0.1, -1.0], "positive number, got -1.0 for 'adam'"),
        (["adam"], [0.0], "positive number"),
        (["adam"], [float("nan")], "positive number"),
        (["adam"], [float("inf")], "positive number"),
        ([3], None, "got 3"),
    ],
)
def test_what_cannot_race_is_refused(
    entrants: list[Any], lrs: list[float] | None, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        gather_entrants(entrants, lrs)


def test_a_mapping_gives_entrants_their_names() -> None:
    def mine(params: object, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr)  # type: ignore[arg-type]

    first, second = gather_entrants({"mine": mine, "theirs": "adam"})
    assert (first.name, first.factory) == ("mine", mine)
    assert (second.name, second.lrs) == ("theirs", find_entrant("adam").lrs)
    with pytest.raises(TaskError, match="name of an entrant must be a text; got 3"):
        gather_entrants({3: mine})  # type: ignore[dict-item]


def test_rates_not_given_are_those_of_the_optimizers_scale() -> None:
    lion = default_grid(optim.Lion)
    own = [
        Entrant("class", optim.Lion),
        Entrant("partial", functools.partial(optim.Lion, weight_decay=0.1)),
        Entrant("chain", chain(rules.clip_by_global_norm(1.0), rules.lion)),
    ]
    assert [entrant.lrs for entrant in gather_entrants(own)] == [lion] * 3
    assert lion != log_grid(1e-4)
