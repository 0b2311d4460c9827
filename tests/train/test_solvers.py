"""Optimizers over solvers in `fit`, in races and in the range test."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from tests.train.helpers import blobs, quiet
from thalweg import optim
from thalweg.race import race
from thalweg.race.entrants.known import Entrant, find_entrant
from thalweg.race.stack.reasons import why_not
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point
from thalweg.train.optimizers.known import needs_closure

TRAINED = ("BFGS", "LBFGS", "NewtonCG", "SSBroyden")


def task() -> thalweg.Task:
    return blobs(model=lambda: nn.Linear(2, 3).double())


@pytest.mark.parametrize("name", TRAINED)
def test_fit_drives_it(name: str) -> None:
    kind: Any = getattr(optim, name)
    first_order = quiet(task(), torch.optim.SGD, lr=0.1, epochs=2, batch_size=None)
    run = quiet(task(), kind, lr=None, epochs=2, batch_size=None)
    assert run.evaluate("train").loss < first_order.evaluate("train").loss
    assert run.steps == 2


def test_products_with_the_hessian_are_counted_as_computed() -> None:
    made: list[Any] = []

    def factory(params: Any, lr: float = 1.0) -> Any:
        made.append(optim.NewtonCG(params, lr=lr, max_iter=3))
        return made[-1]

    run = quiet(task(), factory, lr=1.0, epochs=1, batch_size=None)
    result = made[-1].result
    assert result.nhvp > 0
    # a forward pass is a third of a gradient, its backward pass two; a product is four passes
    whole = quiet(task(), torch.optim.SGD, lr=0.1, epochs=1, batch_size=None).gradients
    assert run.gradients == pytest.approx(whole * (result.nfev + 4 / 3 * result.nhvp))


def test_a_range_test_drives_it() -> None:
    assert thalweg.find_lr(task(), optim.NewtonCG, steps=10).optimizer == "NewtonCG"


@pytest.mark.parametrize("name", [*TRAINED, "LevenbergMarquardt"])
def test_it_is_an_entrant_that_takes_all_rows_and_is_in_no_stack(name: str) -> None:
    entrant = find_entrant(name)
    assert (entrant.name, entrant.batch_size) == (name.lower(), None)
    assert 1.0 in entrant.lrs
    assert needs_closure(entrant.build([nn.Parameter(torch.ones(1))], lr=1.0))
    trial = Trial(entrant, Point(1.0), seed=0, epochs=1)
    said = why_not(task(), [trial], Setting(8, "loss", "min"))
    assert (
        said == f"{name.lower()}: {name} evaluates the objective itself, several times in a step."
    )


def test_a_race_judges_them() -> None:
    entrants = [Entrant(name, getattr(optim, name), {"max_iter": 2}, (1.0,)) for name in TRAINED]
    result = race(task(), entrants, seeds=1, final_seeds=2, epochs=2, stack=False, out=None)
    final = [record for record in result.records if record.stage == "final"]
    assert {record.status for record in final} == {"finished"}
    assert {record.entrant for record in final} == set(TRAINED)
