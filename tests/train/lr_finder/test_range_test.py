from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.helpers import blobs
from thalweg import meta, optim
from thalweg.errors import DivergedError, TaskError
from thalweg.meta import NonFinite
from thalweg.objective import L2, Cost
from thalweg.schedules import cosine
from thalweg.tasks import Task
from thalweg.train.lr_finder.finder import find_lr

Make = Callable[[Any], torch.optim.Optimizer]


def line(slope: float = 2.0, **changes: Any) -> Task:
    """y = slope·x in float64: one weight from 0, one batch of all rows."""
    x = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(-1, 1)
    parts: dict[str, Any] = {"data": (x, slope * x), "cost": "mse", "model": from_zero}
    return Task(**(parts | changes))


def from_zero() -> nn.Module:
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    return model


# -- one sweep against the closed form ----------------------------------------------------------------


def test_a_sweep_is_gradient_descent_with_the_rates_in_turn() -> None:
    """MSE of a line: w ← w − η·2m(w − 2), J = m(w − 2)², with m the mean of x²."""
    test = find_lr(line(), torch.optim.SGD, seeds=1, batch_size=None, lowest=1e-3, highest=1e3)
    m = float((torch.linspace(-1, 1, 32, dtype=torch.float64) ** 2).mean())
    assert test.rates == pytest.approx([1e-3 * 1e6 ** (k / 99) for k in range(100)], rel=1e-12)
    (sweep,) = test.sweeps
    assert sweep.start == pytest.approx(4 * m, rel=1e-12)
    w, sums, weight, least, now = 0.0, 0.1 * sweep.start, 0.1, sweep.start, sweep.start
    for eta, loss, smoothed in zip(test.rates, sweep.losses, sweep.smoothed, strict=False):
        assert now <= 4 * least
        w -= eta * 2 * m * (w - 2)
        assert loss == pytest.approx(m * (w - 2) ** 2, rel=1e-5, abs=1e-12)
        sums, weight = 0.9 * sums + 0.1 * loss, 0.9 * weight + 0.1
        now = sums / weight
        assert smoothed == pytest.approx(now, rel=1e-5, abs=1e-12)
        least = min(least, now)
    assert sweep.stopped == "risen"
    assert now > 4 * least
    assert len(sweep.losses) < 100


def test_the_rates_fit_gets_the_same_batches_and_weights() -> None:
    """The sweep of a seed starts where `fit` starts under it: its first loss is the first of `fit`."""
    from thalweg.train import fit

    task = blobs()
    test = find_lr(task, torch.optim.SGD, seeds=2, seed=4, batch_size=8)
    assert [each.seed for each in test.sweeps] == [4, 5]
    for each in test.sweeps:
        seen: list[float] = []
        watched = task.replace(cost=Cost(functools.partial(_seen, seen)))
        fit(
            watched, torch.optim.SGD, lr=0.1, epochs=1, batch_size=8, seed=each.seed, progress=False
        )
        assert each.start in seen[:4]  # the checks before the first step measure, too


def _seen(losses: list[float], outputs: Any, targets: Any) -> torch.Tensor:
    loss = nn.functional.cross_entropy(outputs, targets)
    losses.append(loss.item())
    return loss


def test_the_penalty_belongs_to_what_is_measured_and_descended() -> None:
    def at_two() -> nn.Module:
        model = from_zero()
        nn.init.constant_(model.weight, 2.0)
        return model

    plain = find_lr(line(model=at_two), torch.optim.SGD, seeds=1, batch_size=None)
    assert plain.sweeps[0].start == 0.0
    assert plain.suggestion is None
    decayed = find_lr(
        line(model=at_two, cost=Cost("mse", penalty=L2(0.5))),
        torch.optim.SGD,
        seeds=1,
        batch_size=None,
    )
    assert decayed.sweeps[0].start == pytest.approx(0.5 * 4)
    assert decayed.suggestion is not None


def test_the_groups_keep_the_ratios_of_their_rates() -> None:
    seen: list[list[float]] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            seen.append([float(group["lr"]) for group in self.param_groups])
            return super().step(closure)

    def grouped(parameters: Any, lr: float) -> torch.optim.Optimizer:
        first, *others = (
            [p for _, p in parameters] if isinstance(parameters[0], tuple) else parameters
        )
        tensor = torch.tensor(3 * lr, dtype=torch.float64)
        return Watched(
            [
                {"params": [first], "lr": lr},
                {"params": others[:1], "lr": tensor},
                {"params": others[1:], "lr": 0.0},
            ]
        )

    test = find_lr(blobs(), grouped, seeds=1, steps=30)
    assert len(seen) == len(test.sweeps[0].losses)
    for rate, rates in zip(test.rates, seen, strict=False):
        assert rates == pytest.approx([rate, 3 * rate, 0.0], rel=1e-12)


def test_a_factory_without_lr_and_a_chain_are_taken() -> None:
    from thalweg import chain, rules

    found = [
        find_lr(line(), given, seeds=1, batch_size=None).suggestion
        for given in (
            lambda parameters: torch.optim.SGD(parameters, 7.0),
            torch.optim.SGD,
            functools.partial(optim.SGD, lr=cosine(0.1, steps=9)),
            lambda parameters, **settings: meta.Accumulate(
                torch.optim.SGD(parameters, **settings), 1
            ),
        )
    ]
    assert len(set(found)) == 1
    assert found[0] is not None
    assert find_lr(line(), chain(rules.adam()), seeds=1, batch_size=None).suggestion is not None


@pytest.mark.parametrize("make", [meta.SAM, torch.optim.LBFGS], ids=["SAM", "LBFGS"])
def test_an_optimizer_that_evaluates_the_objective_itself(make: Any) -> None:
    def made(parameters: Any, lr: float) -> Any:
        if make is meta.SAM:
            return meta.SAM(torch.optim.SGD(parameters, lr))
        return torch.optim.LBFGS(
            [p for _, p in parameters] if isinstance(parameters[0], tuple) else parameters, lr
        )

    test = find_lr(line(), made, seeds=1, batch_size=None, steps=30)
    assert test.suggestion is not None


# -- when it stops -------------------------------------------------------------------------------------


def test_nan_ends_a_sweep_and_what_was_measured_is_kept() -> None:
    def bounded(outputs: Any, targets: Any) -> torch.Tensor:
        error = ((outputs - targets) ** 2).mean()
        return error if error < 10 else error * math.nan

    task = line(cost=Cost(bounded))
    test = find_lr(task, torch.optim.SGD, seeds=2, batch_size=None, highest=100)
    for each, end in zip(test.sweeps, test.ends, strict=True):
        assert each.stopped == "not finite"
        assert len(each.losses) > 50
        assert np.isfinite(each.losses).all()
        assert end == test.rates[len(each.losses)]
    assert test.suggestion is not None
    assert "not finite at" in str(test)


def test_an_optimizer_that_refuses_gradients_ends_the_sweep() -> None:
    def guarded(parameters: Any, lr: float) -> Any:
        return meta.NonFinite(torch.optim.SGD(parameters, lr), "raise")

    def brittle(outputs: Any, targets: Any) -> torch.Tensor:
        error = outputs - targets
        return torch.where(error.abs() > 3, torch.sqrt(error - error), error**2).mean()

    test = find_lr(line(cost=Cost(brittle)), guarded, seeds=1, batch_size=None)
    assert test.sweeps[0].stopped == "not finite"


def test_a_loss_that_is_not_finite_before_any_step_is_not_the_rates_fault() -> None:
    def spoilt() -> nn.Module:
        model = from_zero()
        nn.init.constant_(model.weight, math.nan)
        return model

    with pytest.raises(
        DivergedError, match=r"nan before any step: .* not in the learning rate.*weight"
    ):
        find_lr(line(model=spoilt), torch.optim.SGD)
    with pytest.raises(DivergedError, match=r"inf before any step.*logarithm of zero"):
        find_lr(line(cost=Cost(lambda o, t: -torch.log(o.abs()).mean())), torch.optim.SGD)


def test_a_loss_that_never_falls_has_no_suggestion() -> None:
    backwards = functools.partial(torch.optim.SGD, maximize=True)
    test = find_lr(line(), backwards, batch_size=None)
    assert test.suggestion is None
    assert "never falls clearly" in test.reason
    assert "no suggestion" in str(test)
    low = find_lr(blobs(), torch.optim.SGD, highest=1e-5, batch_size=8)
    assert low.suggestion is None
    assert "up to a rate of 1e-05. Raise the highest rate" in low.reason


def test_a_valley_that_is_not_seen_whole_is_said() -> None:
    cut = find_lr(line(), torch.optim.SGD, highest=0.1, batch_size=None)
    assert any("has hardly risen again at the highest rate, 0.1" in note for note in cut.notes)
    late = find_lr(line(), torch.optim.SGD, lowest=0.5, highest=10, batch_size=None)
    assert any("has fallen already at the lowest rate, 0.5" in note for note in late.notes)
    assert find_lr(line(), torch.optim.SGD, highest=100, batch_size=None).notes == ()


# -- the suggestion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [optim.Adam, pytest.param(optim.SGD, marks=pytest.mark.full)], ids=["Adam", "SGD"]
)
def test_the_suggestion_varies_little_with_the_seed_and_trains_well(make: Any) -> None:
    from thalweg.train import fit

    task = blobs(rows=150)
    found = [find_lr(task, make, seed=10 * k, batch_size=32).suggestion for k in range(3)]
    assert None not in found
    known = [lr for lr in found if lr is not None]
    assert max(known) < 2 * min(known)

    def reached(lr: float) -> float:
        run = fit(task, make, lr=lr, epochs=8, batch_size=32, progress=False)
        return run.evaluate("train").loss

    grid = [10.0**k for k in range(-4, 2)]
    best = min(reached(lr) for lr in grid)
    assert reached(known[0]) < best + 0.1 * (reached(1e-7) - best)


def test_the_same_call_gives_the_same_test() -> None:
    a, b = (find_lr(blobs(), optim.Adam, seeds=2, steps=30, batch_size=8) for _ in range(2))
    assert a == b
    assert a.to_dict() == b.to_dict()


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"lowest": 1.0, "highest": 0.1},
            "rise from lowest to highest; got lowest 1 and highest 0.1",
        ),
        ({"lowest": 1.0, "highest": 1.0}, "rise from lowest to highest"),
        ({"lowest": 0.0}, "lowest must be a learning rate, a positive number; got 0.0"),
        ({"highest": math.inf}, "highest must be a learning rate"),
        ({"highest": math.nan}, "highest must be a learning rate"),
        ({"lowest": "a"}, "got 'a'"),
        ({"steps": 9}, "steps must be an integer ≥ 10; got 9"),
        ({"seeds": 0}, "seeds must be an integer ≥ 1"),
        ({"seed": -1}, "seed must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"device": "gpu"}, "Did you mean 'cuda'"),
        ({"loss": "mse"}, "A task has its own data and loss"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        find_lr(line(), torch.optim.SGD, **settings)


def test_wrong_subjects() -> None:
    task, model = line(), from_zero()
    own, data = torch.optim.SGD(model.parameters(), 0.1), task.data.train
    with pytest.raises(
        TaskError, match=r"takes a thalweg Task and an optimizer, or a model.*got str"
    ):
        find_lr("digits", own)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="already bound to parameters"):
        find_lr(task, own)
    with pytest.raises(TaskError, match=r"No optimizer is called 'adma'"):
        find_lr(task, "adma")
    with pytest.raises(TaskError, match=r"name the optimizer without \+cosine"):
        find_lr(task, "adam+cosine")
    with pytest.raises(TaskError, match=r"the optimizer must be the one that trains it.*got SGD"):
        find_lr(model, torch.optim.SGD, data, "mse")
    with pytest.raises(TaskError, match="data and a loss are needed"):
        find_lr(model, own, data)
    with pytest.raises(TaskError, match="made for another model"):
        find_lr(from_zero(), own, data, "mse")
    with pytest.raises(TaskError, match="device is for a task"):
        find_lr(model, own, data, "mse", device="cpu")
    with pytest.raises(TaskError, match="no gradient with respect to the model's parameters"):
        find_lr(line(cost=Cost(lambda o, t: (o.detach() - t).square().mean())), torch.optim.SGD)


def test_an_optimizer_without_a_rate_that_can_be_set() -> None:
    class Rateless(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {})

        def step(self, closure: Any = None) -> Any:
            return None

    with pytest.raises(TaskError, match="Rateless has no learning rate"):
        find_lr(line(), Rateless)
    model = from_zero()
    scheduled = optim.SGD(model.parameters(), lr=cosine(0.1, steps=9))
    for optimizer in (scheduled, NonFinite(scheduled)):
        with pytest.raises(TaskError, match="is a schedule, which sets it at every step"):
            find_lr(model, optimizer, line().data.train, "mse")
    still = torch.optim.SGD(model.parameters(), 0.0)
    with pytest.raises(TaskError, match="Every learning rate of this SGD is 0"):
        find_lr(model, still, line().data.train, "mse")
    lazy = nn.LazyLinear(1)
    with pytest.raises(TaskError, match="lazy parameters"):
        find_lr(lazy, torch.optim.SGD(lazy.parameters(), 0.1), line().data.train, "mse")
