"""`optim.LBFGS` where PyTorch's goes wrong."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from tests.optim.solvers.problems import closure_of, net, point, rosenbrock, steps
from thalweg import optim
from thalweg.solvers import Status

SEARCH: dict[str, Any] = {"line_search_fn": "strong_wolfe"}


def scalar(start: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([start], dtype=torch.float64))


def log_barrier(x: Tensor) -> Tensor:
    """Lowest at 1; not defined at or below 0."""
    return (x - x.log()).sum()


@pytest.mark.parametrize("kwargs", [{}, SEARCH, {"max_iter": 1}, {"max_iter": 2}])
def test_a_step_into_nothing_goes_back(kwargs: dict[str, Any]) -> None:
    def run(kind: Any) -> tuple[float, Any]:
        x = scalar(20.0)
        optimizer = kind([x], lr=30.0, **kwargs)  # the first step goes to −8.5 or so
        for k in range(60):
            # the end of a step's last move is not evaluated: steps of length 0 do it
            if k == 30 and kind is optim.LBFGS:
                optimizer.param_groups[0]["lr"] = 0.0
            optimizer.step(closure_of(optimizer, lambda: log_barrier(x)))
        return float(x.detach()), optimizer

    assert not run(torch.optim.LBFGS)[0] > 0
    end, optimizer = run(optim.LBFGS)
    assert math.isfinite(end)
    assert end > 0
    assert optimizer.result is not None


def test_a_loss_that_is_nan_everywhere_moves_nothing() -> None:
    x = scalar(1.0)
    optimizer = optim.LBFGS([x])
    optimizer.step(closure_of(optimizer, lambda: (x * math.nan).sum()))
    assert optimizer.result is not None
    assert (optimizer.result.status, optimizer.result.nit) == (Status.UNDEFINED, 0)
    same(x.detach(), torch.ones(1, dtype=torch.float64), because="it was not written")


def test_max_eval_holds_in_the_search_too() -> None:
    for most in range(1, 12):
        params, loss = rosenbrock()
        optimizer = optim.LBFGS(params, max_eval=most, **SEARCH)
        first = loss(0).item()
        calls = 0

        def counted() -> Tensor:
            nonlocal calls
            calls += 1
            return loss(0)  # noqa: B023 (called before the loop goes on)

        optimizer.step(closure_of(optimizer, counted))
        assert optimizer.result is not None
        assert calls == optimizer.result.nfev <= most
        assert optimizer.result.status is Status.EVALUATIONS
        assert loss(0).item() <= first


def test_a_search_that_finds_nothing_leaves_the_parameters() -> None:
    x = scalar(1.0)
    optimizer = optim.LBFGS([x], **SEARCH)

    def closure() -> Tensor:
        x.grad = torch.ones_like(x)  # a gradient that is none: the loss rises along −g
        return -x.detach().sum()

    optimizer.step(closure)
    assert optimizer.result is not None
    assert not optimizer.result.success
    same(x.detach(), torch.ones(1, dtype=torch.float64), because="the point is put back")


def test_a_closure_that_fails_leaves_the_last_point_and_the_state() -> None:
    for kwargs in ({"lr": 0.01}, SEARCH):
        params, loss = rosenbrock()
        optimizer = optim.LBFGS(params, max_iter=3, **kwargs)  # type: ignore[arg-type]
        steps(optimizer, params, loss, range(1))
        before, kept = point(params), dict(optimizer.state[params[0]])
        calls = 0

        def failing() -> Tensor:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return loss(0)  # noqa: B023 (called before the loop goes on)

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure_of(optimizer, failing))
        same(point(params), before, because="the point is put back")
        for name in ("d", "old_dirs", "n_iter"):
            same(optimizer.state[params[0]][name], kept[name], because="it was not written")


def test_groups_dtypes_and_layouts_train_as_one_vector() -> None:
    runs = []
    for odd in (False, True):
        params, loss = net()
        if odd:
            turned = nn.Parameter(params[0].detach().T.contiguous().T)
            params[0].data = turned.data
        given: Any = [{"params": params[:2]}, {"params": params[2:]}] if odd else params
        optimizer = optim.LBFGS(given, lr=0.1)
        runs.append(steps(optimizer, params, loss, range(1)))
    assert float((runs[0] - runs[1]).abs().max()) < 1e-9  # layouts change the order of sums


def test_groups_that_differ_are_refused() -> None:
    a, b = scalar(1.0), scalar(2.0)
    optimizer = optim.LBFGS([{"params": [a]}, {"params": [b], "lr": 0.5}])
    with pytest.raises(ValueError, match="lr must be the same in all param groups"):
        optimizer.step(closure_of(optimizer, lambda: (a * b).sum()))


def test_a_parameter_without_a_gradient_stays() -> None:
    params, loss = net()
    optimizer = optim.LBFGS(params, lr=0.1, max_iter=3)
    steps(optimizer, params, loss, range(2))
    idle = params[1].detach().clone()

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(0)
        value.backward()  # type: ignore[no-untyped-call]
        params[1].grad = None
        return value

    optimizer.step(closure)
    same(params[1].detach(), idle, because="it was not moved")
    assert optimizer.state[params[0]]["absent"] == [1]
    before = loss(0).item()
    steps(optimizer, params, lambda k: loss(0), range(3))
    assert loss(0).item() < before


def test_half_precision_keeps_its_history_in_float32() -> None:
    x = nn.Parameter(torch.full((3,), 2.0, dtype=torch.bfloat16))
    optimizer = optim.LBFGS([x], **SEARCH)
    optimizer.step(closure_of(optimizer, lambda: (x.float() - 0.5).square().sum()))
    assert optimizer.state[x]["d"].dtype is torch.float32
    assert x.dtype is torch.bfloat16
    assert float((x.detach().float() - 0.5).abs().max()) < 0.01  # bfloat16 has 8 bits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1.0),
        ("lr", lambda step: 0.1),
        ("max_iter", 0),
        ("max_eval", 2.5),
        ("history_size", True),
        ("tolerance_grad", math.nan),
        ("line_search_fn", "wolfe"),
    ],
)
def test_wrong_arguments_are_refused_by_name(name: str, value: object) -> None:
    for give in (
        lambda: optim.LBFGS([scalar(1.0)], **{name: value}),  # type: ignore[arg-type]
        lambda: optim.LBFGS([{"params": [scalar(1.0)]}, {"params": [scalar(2.0)], name: value}]),
    ):
        with pytest.raises(ValueError, match="line search" if name == "line_search_fn" else name):
            give()
