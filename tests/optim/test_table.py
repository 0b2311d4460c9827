"""The table covers every argument, and every argument that it sets changes the result."""

from __future__ import annotations

import inspect

import pytest
import torch

from .cases import CASES, NOT_EXERCISED, OPTIMIZERS, Case, each, each_case, each_engine
from .oracle import RECORDED
from .problem import assert_moved, follow


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_table_exercises_every_argument(name: str) -> None:
    declared = inspect.signature(getattr(torch.optim, name)).parameters
    exercised = {key for case in CASES if case.optimizer == name for key in case.exercises}
    assert set(declared) - NOT_EXERCISED - exercised == set()


@each([case for case in CASES if case.exercises])
@each_engine
def test_every_argument_matters(case: Case, engine: str) -> None:
    full = end(case, engine)
    for argument in case.exercises:
        other = end(case.without(argument), engine)
        difference = max(
            (a - b).abs().amax().item() for a, b in zip(full, other, strict=True) if a.numel()
        )
        assert difference > 1e-9, f"{argument} makes no difference"


@each_case
@each_engine
def test_the_learning_rate_matters(case: Case, engine: str) -> None:
    parameters = RECORDED.parameters()
    still = follow(RECORDED, parameters, case.ours(parameters, engine=engine, lr=0.0), steps=5)
    decays = case.options.get("lambd", 0.0) > 0.0 or case.optimizer == "Rprop"
    for now, start in zip(still[-1], RECORDED.starts, strict=True):
        assert torch.isfinite(now).all()
        assert decays or torch.equal(now, start)
    assert_moved(end(case, engine)[: len(RECORDED.starts)], RECORDED.starts)


def end(case: Case, engine: str) -> list[torch.Tensor]:
    """Return the parameters after 20 steps, and the averages of ASGD, all that its `t0` touches."""
    parameters = RECORDED.parameters()
    optimizer = case.ours(parameters, engine=engine)
    point = follow(RECORDED, parameters, optimizer, steps=20)[-1]
    averages = [optimizer.state[p]["ax"] for p in parameters if "ax" in optimizer.state[p]]
    return [*point, *averages]


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
