"""The one training step: what it computes, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from thalweg.objective import L2, Cost
from thalweg.train.running.step import TrainingStep

X, Y = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [1.0]])


def line(weight: float = 3.0) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def step_of(model: nn.Module, optimizer: Any, cost: Cost, **how: Any) -> TrainingStep:
    return TrainingStep(model, optimizer, cost.surrogate, cost.bind_penalty(model), **how)


def test_the_gradient_is_that_of_loss_and_penalty_and_replaces_the_old_one() -> None:
    model = line()
    step = step_of(model, torch.optim.SGD(model.parameters(), 0.1), Cost("mse", penalty=L2(0.5)))
    for _ in range(2):  # the second one adds nothing to the first
        # mean of (3x - 1)² is (4 + 25) / 2; the penalty is 0.5 · 3²
        assert step.gradient(X, Y).item() == 14.5 + 4.5
        # mean of 2x(3x - 1) is (4 + 20) / 2; that of the penalty is 2 · 0.5 · 3
        assert model.weight.grad is not None
        assert model.weight.grad.item() == 12.0 + 3.0


def test_a_forward_pass_says_what_the_batch_weighs() -> None:
    model = nn.Linear(1, 2)
    targets = torch.tensor([0, -100])
    cost = Cost("cross_entropy")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    asked = step_of(model, optimizer, cost).forward(X, targets)
    assert (asked.weight, asked.rows) == (1, 2)
    unasked = step_of(model, optimizer, cost, by_rows=True).forward(X, targets)
    assert (unasked.weight, unasked.rows) == (2, 2)


def test_targets_are_matched_unless_they_are_already() -> None:
    model = line()
    step = step_of(model, torch.optim.SGD(model.parameters(), 0.1), Cost("mse"))
    assert step.forward(X, Y.double()).targets.dtype == torch.float32


def test_a_whole_step_calls_the_closure_that_an_optimizer_asks_for() -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any) -> Any:  # type: ignore[override]
            losses: list[Tensor] = [closure(), closure()]
            super().step()
            return losses

    plain, asked = line(), line()
    step_of(plain, torch.optim.SGD(plain.parameters(), 0.1), Cost("mse")).take(X, Y)
    step = step_of(asked, Twice(asked.parameters(), 0.1), Cost("mse"))
    assert step.by_closure
    step.take(X, Y)
    same(plain.weight, asked.weight, because="the same instructions on the same numbers")


def test_it_is_said_how_far_a_step_was_when_something_fails() -> None:
    def broken(outputs: Any, targets: Any) -> Any:
        raise ArithmeticError

    model = line()
    step = step_of(model, torch.optim.SGD(model.parameters(), 0.1), Cost(broken))
    with pytest.raises(ArithmeticError):
        step.take(X, Y)
    assert step.at.part == "loss"
