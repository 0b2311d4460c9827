"""The table covers every argument, and every argument that it sets changes the result."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pytest
import torch

from tests.exact import same
from thalweg.errors import EngineError

from .cases import CASES, NOT_EXERCISED, OPTIMIZERS, TORCH_CASES, Case, each, each_case, each_engine
from .kronecker import OF_MODELS
from .matrix import OF_MATRICES
from .oracle import FEW, QUADRATIC, changing, set_rates
from .problem import Problem, follow, snapshot
from .references.compose import options_of
from .solvers import SOLVERS
from .sparse import SPARSE_ONLY

pytestmark = pytest.mark.sampled(6)

# Arguments that every optimizer has and whose meaning is the same for all: tests of their own.
SHARED = {"decay", "before", "after"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_table_exercises_every_argument(name: str) -> None:
    cases = [case for case in CASES if case.optimizer == name]
    exercised = {key for case in cases for key in case.exercises}
    assert set(cases[0].parameters) - NOT_EXERCISED - SHARED - exercised == set()
    dialects = {case.options.get("dialect") for case in cases}
    from thalweg import optim

    made = getattr(optim, name)
    known = getattr(made, "dialects", ()) or tuple(made.rules)
    assert set(known[1:]) <= dialects


def test_every_optimizer_is_in_the_table() -> None:
    from thalweg import optim

    named = [getattr(optim, name) for name in optim.__all__]
    made = [each.__name__ for each in named if isinstance(each, type)]
    assert set(made) - {"Optimizer", *SOLVERS, *OF_MODELS, *OF_MATRICES, *SPARSE_ONLY} == set(
        OPTIMIZERS
    )
    assert {case.optimizer for case in TORCH_CASES} == set(dir(torch.optim)) & set(OPTIMIZERS)


@each([case for case in CASES if case.reference is not None])
def test_transcriptions_have_the_same_defaults(case: Case) -> None:
    theirs = options_of(case.reference)
    ours = {name: parameter.default for name, parameter in case.parameters.items()}
    if "decay" in ours and ours["decay"] is None:  # PyTorch's own
        apart = case.optimizer in ("AdamW", "Adafactor")
        ours["decay"] = "decoupled" if apart else "l2"
    for name, value in theirs.items():
        assert name in case.options or name not in ours or ours[name] == value, name
    assert set(theirs) & set(case.parameters)


@each([case for case in CASES if case.exercises])
@each_engine
def test_every_argument_matters(case: Case, engine: str) -> None:
    full = end(case, engine)
    for argument in case.exercises:
        other = end(case.without(argument), engine)
        pairs = zip(full, other, strict=False)  # without an average there is none at the end
        difference = max((a - b).abs().amax().item() for a, b in pairs)
        assert difference > 1e-9 or len(full) > len(other), f"{argument} makes no difference"


@each_case
@each_engine
def test_the_learning_rate_matters(case: Case, engine: str) -> None:
    """At the rate 0 there is no step, or the one that the oracle makes."""
    still, expected = [], []
    for make, points in (
        (functools.partial(case.ours, engine=engine), still),
        (case.oracle, expected),
    ):
        parameters = FEW.parameters()
        points += follow(FEW, parameters, make(parameters, lr=0.0), steps=5)
    torch.testing.assert_close(still[-1], expected[-1], rtol=1e-12, atol=1e-12)
    if not any(moves(expected[-1], FEW.starts)):
        same(still[-1], FEW.starts, because="nothing wrote to it")
    problem = problem_of(case)
    assert all(moves(end(case, engine), problem.starts))


def moves(point: Sequence[torch.Tensor], starts: Sequence[torch.Tensor]) -> list[bool]:
    pairs = zip(point, starts, strict=False)
    return [(a - b).abs().amax().item() > 1e-10 for a, b in pairs]


def problem_of(case: Case) -> Problem:
    """No recorded gradient points anywhere for long, so estimates of a distance do not grow there."""
    return QUADRATIC if case.is_coupled else FEW


def end(case: Case, engine: str) -> list[torch.Tensor]:
    """Return the parameters after 20 steps, and the points of evaluation, if there are any."""
    problem = problem_of(case)
    parameters = problem.parameters()
    optimizer = case.ours(parameters, engine=engine)
    rates = set_rates(optimizer, changing)
    point = follow(problem, parameters, optimizer, steps=20, before_step=rates)[-1]
    try:
        with optimizer.evaluating():
            return [*point, *snapshot(parameters)]
    except EngineError:
        return point


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
