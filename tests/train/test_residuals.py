"""Levenberg and Marquardt's method in `fit` and in races: a mean squared error as residuals."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import thalweg
from tests.train.helpers import blobs, quiet
from thalweg import optim
from thalweg.errors import TaskError
from thalweg.objective import L1, L2, Cost
from thalweg.objective.residuals import residuals_of
from thalweg.race import race
from thalweg.solvers import flat_objective, least_squares
from thalweg.tasks import Data, Task

ROWS = 30
LM = optim.LevenbergMarquardt


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def curves(**changes: Any) -> Task:
    """Two outputs of two inputs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1], x[:, 0] * x[:, 1]], 1)
    parts: dict[str, Any] = {
        "data": Data.arrays(x, y),
        "cost": Cost("mse"),
        "model": net,
        "name": "curves",
    }
    return Task(**(parts | changes))


def weighed(reduction: str) -> Any:
    weight = torch.rand(7, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return functools.partial(functional.mse_loss, weight=weight, reduction=reduction)


COSTS: list[Cost] = [
    Cost("mse"),
    Cost("half_mse"),
    Cost(nn.MSELoss()),
    Cost(nn.MSELoss(reduction="sum")),
    Cost(functional.mse_loss),
    Cost(functools.partial(functional.mse_loss, reduction="sum")),
    Cost(weighed("mean")),
    Cost(weighed("sum")),
    Cost("mse", penalty=L2(0.3)),
    Cost("half_mse", penalty=L2(0.3) + L2(0.1, include_biases=True) + L2(0.0)),
]


@pytest.mark.parametrize("cost", COSTS, ids=range(len(COSTS)))
def test_half_the_squared_residuals_are_the_objective(cost: Cost) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(7, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    model = net()
    r = cost.bind_residuals(model, "LM")(model(x), y)
    expected = cost.objective(model, x, y)
    assert float((r.square().sum() / 2 - expected).detach()) == pytest.approx(0, abs=1e-13)
    for ours, theirs in zip(
        torch.autograd.grad(r.square().sum() / 2, list(model.parameters())),
        torch.autograd.grad(expected, list(model.parameters())),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_complex_parameter_is_penalised_by_both_parts() -> None:
    model = nn.Linear(2, 1, dtype=torch.complex128)
    cost = Cost("mse", penalty=L2(0.7))
    zero = torch.zeros(1, 1, dtype=torch.float64)
    r = residuals_of(cost.surrogate, cost.penalty, model, "LM")(zero, zero)
    assert float(r.square().sum().detach()) / 2 == pytest.approx(cost.penalty_value(model))


def test_fit_does_what_least_squares_does() -> None:
    cost = Cost("mse", penalty=L2(1e-3))
    run = quiet(
        curves(cost=cost), functools.partial(LM, max_iter=25), lr=None, epochs=1, batch_size=None
    )
    task = curves(cost=cost)
    inputs, targets = task.data.train.first(ROWS)
    torch.manual_seed(0)
    model = quiet(task, functools.partial(LM, lr=0.0), lr=None, epochs=1, batch_size=None).model
    r = cost.bind_residuals(model, "LM")

    def residuals(model: nn.Module) -> Tensor:
        data = (model(inputs.double()) - targets.double()).reshape(-1) * (
            2 / targets.numel()
        ) ** 0.5
        weights = [
            w.reshape(-1) * (2 * 1e-3) ** 0.5 for n, w in model.named_parameters() if "weight" in n
        ]
        return torch.cat([data, *weights])

    flat = flat_objective(model, residuals)
    assert torch.allclose(r(model(inputs.double()), targets.double()), residuals(model), rtol=1e-12)
    found = least_squares(flat.fun, flat.x0, max_iter=25)
    ended = torch.cat([p.detach().reshape(-1) for p in run.model.parameters()])
    # 25 steps in another order of sums
    assert torch.allclose(ended, found.x, rtol=1e-5, atol=1e-5)
    assert run.evaluate("train").objective == pytest.approx(found.fun, rel=1e-6)
    assert run.optimizer.result.nit == found.nit  # type: ignore[attr-defined]


def test_what_is_counted() -> None:
    run = quiet(curves(), functools.partial(LM, max_iter=3), lr=None, epochs=1, batch_size=None)
    result: Any = run.optimizer.result  # type: ignore[attr-defined]
    n = sum(p.numel() for p in run.model.parameters())
    assert n < 2 * ROWS  # so the Jacobian comes by columns
    assert result.nhvp % (n + 1) == 0
    # an evaluation is a gradient; a product with the Jacobian a backward pass, two thirds of one
    whole = quiet(curves(), torch.optim.SGD, lr=0.1, epochs=1, batch_size=None).gradients
    assert run.gradients == pytest.approx(whole * (result.nfev + 2 / 3 * result.nhvp))


def test_the_rate_is_a_factor_of_the_first_radius() -> None:
    careful, usual, still = (
        quiet(curves(), functools.partial(LM, max_iter=1), lr=lr, epochs=1, batch_size=None)
        for lr in (1e-3, 1.0, 0.0)
    )
    start, *ended = (
        torch.cat([p.detach().reshape(-1) for p in run.model.parameters()])
        for run in (still, careful, usual)
    )
    assert still.optimizer.result.nit == 0  # type: ignore[attr-defined]
    assert 0 < float((ended[0] - start).norm()) < 0.1 * float((ended[1] - start).norm())


def own(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean()


def ridge(model: nn.Module) -> Tensor:
    return next(model.parameters()).square().sum()


@pytest.mark.parametrize(
    ("cost", "what"),
    [
        (Cost("huber"), "the loss huber_loss"),
        (Cost(own), "the loss own"),
        (Cost("mse", penalty=L1(0.1)), "the penalty L1"),
        (Cost("mse", penalty=L2(0.1) + L1(0.1)), "the penalty Penalties"),
        (Cost("mse", penalty=ridge), "the penalty ridge"),
    ],
)
def test_other_costs_are_refused_by_name(cost: Cost, what: str) -> None:
    message = f"LevenbergMarquardt minimizes .* {what} is not a sum of squares. These are: the losses 'mse'"
    with pytest.raises(TaskError, match=message):
        quiet(curves(cost=cost), LM, lr=None, epochs=1)


def test_a_race_refuses_before_it_trains_and_a_range_test_says_why() -> None:
    with pytest.raises(TaskError, match="the loss cross_entropy is not a sum of squares"):
        race(blobs(model=lambda: nn.Linear(2, 3).double()), ["sgd", "LevenbergMarquardt"], out=None)
    with pytest.raises(TaskError, match="has no learning rate that a sweep could find"):
        thalweg.find_lr(curves(), LM, steps=10)


def test_it_races_by_name_with_adam() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    task = curves(data=Data.arrays(x, y, validation=0.25))
    names = ["adam", "levenbergmarquardt"]
    result = race(task, names, lrs=(0.1,), seeds=1, final_seeds=2, epochs=2, out=None)
    final = [record for record in result.records if record.stage == "final"]
    assert {record.status for record in final} == {"finished"}
    assert {record.entrant for record in final} == set(names)


def test_a_resumed_run_is_the_run(tmp_path: Any) -> None:
    optimizer = functools.partial(LM, max_iter=2)
    whole = quiet(curves(), optimizer, lr=None, epochs=3, batch_size=None)
    path = tmp_path / "run.ckpt"
    quiet(curves(), optimizer, lr=None, epochs=2, batch_size=None, checkpoint=path)
    resumed = quiet(
        curves(), optimizer, lr=None, epochs=3, batch_size=None, checkpoint=path, resume=True
    )
    assert resumed.evaluate("train").loss == pytest.approx(whole.evaluate("train").loss, rel=1e-9)
