"""BFGS, SSBroyden, NewtonCG and Levenberg-Marquardt as optimizers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, RESUMED, same
from tests.optim.solvers import SOLVERS
from tests.optim.solvers.problems import ROSENBROCK, closure_of, net, point, residuals, steps
from thalweg import optim
from thalweg.solvers import Status, least_squares, minimize
from thalweg.testing import check_optimizer

DESCENTS = ("BFGS", "SSBroyden", "NewtonCG")
EVERY = tuple(name for name in SOLVERS if name != "LBFGS")


def started(name: str, **options: Any) -> tuple[nn.Parameter, Any, Any]:
    """Return a point, its optimizer, and the closure that this takes, on Rosenbrock's valley."""
    x = nn.Parameter(torch.tensor(ROSENBROCK, dtype=torch.float64))
    optimizer: Any = getattr(optim, name)([x], **options)
    if name == "LevenbergMarquardt":
        return x, optimizer, lambda: residuals(x)
    loss = lambda: residuals(x).square().sum()  # noqa: E731
    return x, optimizer, closure_of(optimizer, loss, backward=name != "NewtonCG")


@pytest.mark.parametrize("name", EVERY)
def test_it_does_what_the_solver_does(name: str) -> None:
    x, optimizer, closure = started(name, max_iter=15)
    optimizer.step(closure)
    start = torch.tensor(ROSENBROCK, dtype=torch.float64)
    if name == "LevenbergMarquardt":
        expected = least_squares(residuals, start, max_iter=15)
    else:
        method = {"NewtonCG": "newton-cg"}.get(name, name.lower())
        expected = minimize(lambda x: residuals(x).square().sum(), start, method, max_iter=15)
    # products are taken along other paths of the graph, and sums in another order; the search follows
    assert torch.allclose(x.detach(), expected.x, rtol=1e-6, atol=1e-6)
    assert optimizer.result.nit == expected.nit
    assert abs(optimizer.result.nfev - expected.nfev) <= 1


@pytest.mark.parametrize("name", EVERY)
def test_it_converges_and_stays(name: str) -> None:
    x, optimizer, closure = started(name, max_iter=200)
    optimizer.step(closure)
    assert optimizer.result.success, optimizer.result
    there = x.detach().clone()
    optimizer.step(closure)
    assert (optimizer.result.status, optimizer.result.nit) == (Status.CONVERGED, 0)
    same(x.detach(), there, because="it was not moved")


@pytest.mark.parametrize("name", EVERY)
def test_steps_go_on_from_each_other(name: str) -> None:
    x, optimizer, closure = started(name, max_iter=8)
    optimizer.step(closure)
    y, other, again = started(name, max_iter=1)
    for _ in range(8):
        other.step(again)
    same(y.detach(), x.detach(), because=RERUN)


@pytest.mark.parametrize("name", EVERY)
def test_a_run_resumed_from_its_state_is_the_run(name: str) -> None:
    x, optimizer, closure = started(name, max_iter=3)
    for _ in range(3):
        optimizer.step(closure)
    saved, there = copy.deepcopy(optimizer.state_dict()), x.detach().clone()
    optimizer.step(closure)
    y, other, again = started(name)
    other.load_state_dict(saved)
    with torch.no_grad():
        y.copy_(there)
    other.step(again)
    same(y.detach(), x.detach(), because=RESUMED)


@pytest.mark.parametrize("name", DESCENTS)
def test_a_state_is_found_by_name_in_another_order(name: str) -> None:
    runs = []
    for turned in (False, True):
        params, loss = net(batches=1)
        names = list(zip("abcd", params, strict=True))
        optimizer: Any = getattr(optim, name)(names, max_iter=3)
        steps(optimizer, params, loss, range(2))
        if turned:
            saved = optimizer.state_dict()
            optimizer = getattr(optim, name)(names[::-1])
            optimizer.load_state_dict(saved)
        runs.append(steps(optimizer, params, loss, range(1)))
    # sums run in another order, and three iterations magnify that
    assert float((runs[0] - runs[1]).abs().max()) < 1e-8


@pytest.mark.parametrize("name", SOLVERS)
def test_complex_parameters_dtypes_and_groups(name: str) -> None:
    z = nn.Parameter(torch.tensor([1 + 2j, -1j], dtype=torch.complex128))
    w = nn.Parameter(torch.tensor([0.3]))
    optimizer: Any = getattr(optim, name)([{"params": [z]}, {"params": [w]}])
    wanted = 2 + 1j

    def value() -> Tensor:
        parts = torch.view_as_real(z * z - wanted).reshape(-1)
        r = torch.cat([parts, (w - 3).double()])
        return r if name == "LevenbergMarquardt" else r.square().sum()

    backward = name not in ("LevenbergMarquardt", "NewtonCG")
    for _ in range(3):
        optimizer.step(closure_of(optimizer, value, backward=backward))
    assert float((z.detach() ** 2 - wanted).abs().max()) < 1e-4
    assert abs(float(w.detach()) - 3) < 1e-4
    assert w.dtype is torch.float32


@pytest.mark.parametrize("name", [*DESCENTS, "LBFGS"])
def test_maximize_is_the_negative(name: str) -> None:
    ends = []
    for maximize in (False, True):
        x = nn.Parameter(torch.tensor(ROSENBROCK, dtype=torch.float64))
        optimizer: Any = getattr(optim, name)([x], max_iter=5, lr=0.5, maximize=maximize)
        sign = -1 if maximize else 1
        loss = lambda sign=sign, x=x: sign * residuals(x).square().sum()  # noqa: E731
        optimizer.step(closure_of(optimizer, loss, backward=name != "NewtonCG"))
        ends.append(x.detach())
    same(ends[1], ends[0], because="negating is exact")


def test_levenberg_marquardt_maximizes_nothing() -> None:
    with pytest.raises(TypeError, match="maximize"):
        optim.LevenbergMarquardt([nn.Parameter(torch.ones(1))], maximize=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", SOLVERS)
def test_a_loss_scaler_is_refused(name: str) -> None:
    _, optimizer, closure = started(name)
    scaler = torch.amp.GradScaler("cpu")
    x = optimizer.param_groups[0]["params"][0]
    scaler.scale(x.sum()).backward()
    with pytest.raises(RuntimeError, match="without a scaler"):
        scaler.step(optimizer, closure)


@pytest.mark.parametrize("name", SOLVERS)
def test_closures_that_are_none_are_refused(name: str) -> None:
    x, optimizer, _ = started(name)
    with pytest.raises(TypeError, match="give step a function"):
        optimizer.step(None)
    with pytest.raises((TypeError, RuntimeError), match="closure"):
        optimizer.step(lambda: None)
    with pytest.raises((TypeError, ValueError, RuntimeError), match="closure"):
        optimizer.step(lambda: torch.ones(3, dtype=torch.long))
    same(x.detach(), torch.tensor(ROSENBROCK, dtype=torch.float64), because="it was not moved")


@pytest.mark.parametrize("name", ["NewtonCG", "LevenbergMarquardt"])
def test_a_closure_that_calls_backward_is_refused(name: str) -> None:
    x, optimizer, _ = started(name)

    def closure() -> Tensor:
        loss = residuals(x).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with pytest.raises(RuntimeError, match="called backward"):
        optimizer.step(closure)
    with pytest.raises(RuntimeError, match="no graph"):
        optimizer.step(lambda: residuals(x).detach().sum())


@pytest.mark.parametrize("name", SOLVERS)
def test_a_closure_that_fails_in_the_middle_leaves_a_point_that_was_reached(name: str) -> None:
    x, optimizer, closure = started(name, max_iter=4)
    optimizer.step(closure)
    reached = x.detach().clone()
    calls = 0

    def failing() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        value: Tensor = closure()
        return value

    with pytest.raises(ZeroDivisionError):
        optimizer.step(failing)
    same(x.detach(), reached, because="the point is put back")
    optimizer.step(closure)
    assert optimizer.result.nit > 0


@pytest.mark.parametrize("name", SOLVERS)
def test_an_exception_leaves_the_lowest_point_and_a_state_that_goes_on(name: str) -> None:
    for at in (2, 3, 5, 8, 13):
        search = {"line_search_fn": "strong_wolfe"} if name == "LBFGS" else {}
        x, optimizer, closure = started(name, max_iter=30, **search)
        values: list[float] = []

        def failing() -> Tensor:
            if len(values) + 1 == at:  # noqa: B023 (called before the loop goes on)
                raise KeyboardInterrupt
            value: Tensor = closure()  # noqa: B023
            values.append(float(value.detach().square().sum()))  # noqa: B023
            return value

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(failing)
        assert optimizer.result.status is Status.INTERRUPTED
        assert not optimizer.result.success
        lowest = closure().detach().square().sum()
        assert float(lowest) == pytest.approx(min(values), rel=1e-12)
        for _ in range(5):
            optimizer.step(closure)
        slope = torch.autograd.grad(residuals(x).square().sum(), x)[0]
        assert float(slope.abs().max()) < 1e-3  # of a hundred at the start; there are two minima


def test_what_lbfgs_keeps_of_a_step_that_failed_is_the_step_that_was_taken() -> None:
    for at in range(3, 14):
        x, optimizer, closure = started("LBFGS", max_iter=30, line_search_fn="strong_wolfe")
        calls = iter(range(1, at))

        def failing() -> Tensor:
            next(calls)  # noqa: B023 (called before the loop goes on)
            value: Tensor = closure()  # noqa: B023
            return value

        with pytest.raises(StopIteration):
            optimizer.step(failing)
        state = optimizer.state[x]
        if state.get("d") is None:
            continue  # it has not moved yet
        before = (x - state["t"] * state["d"]).detach().requires_grad_()
        slope = torch.autograd.grad(residuals(before).square().sum(), before)[0]
        # the point before is known to rounding, and the gradient changes a thousand times as fast
        assert torch.allclose(slope, state["prev_flat_grad"], rtol=1e-9, atol=1e-9)
    assert state["old_dirs"]


def test_learning_rate_zero_moves_nothing() -> None:
    for name in DESCENTS:
        x, optimizer, closure = started(name, lr=0.0)
        optimizer.step(closure)
        assert optimizer.result.status is Status.STOPPED
        same(x.detach(), torch.tensor(ROSENBROCK, dtype=torch.float64), because="it was not moved")


def test_parameters_without_gradients_stay_and_others_go_on() -> None:
    params, loss = net(batches=1)
    optimizer = optim.BFGS(params, max_iter=3)
    steps(optimizer, params, loss, range(2))
    idle = params[1].detach().clone()
    params[1].requires_grad_(False)
    optimizer.zero_grad()
    steps(optimizer, params, loss, range(2))
    same(params[1].detach(), idle, because="it was not moved")
    params[1].requires_grad_(True)
    before = loss(0).item()
    steps(optimizer, params, loss, range(2))
    assert loss(0).item() < before


def test_levenberg_marquardt_has_more_residuals_or_more_parameters() -> None:
    for rows in (3, 40):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
        y = x.sum(1).sin()
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        optimizer = optim.LevenbergMarquardt(model, max_iter=60)
        optimizer.step(lambda model=model, x=x, y=y: model(x)[:, 0] - y)  # type: ignore[misc]
        assert optimizer.result is not None
        assert optimizer.result.fun < (1e-12 if rows == 3 else 0.5)
        assert not any(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ["BFGS", "SSBroyden", "LBFGS"])
@pytest.mark.sampled(1)
def test_it_keeps_the_contract_of_an_optimizer(name: str) -> None:
    def factory(params: Any) -> Any:
        return getattr(optim, name)(params, max_iter=2, **({"lr": 0.1} if name == "LBFGS" else {}))

    check_optimizer(factory, couples=True, needs_closure=True).raise_for_failures()


def test_point_is_of_all_parameters() -> None:
    params, _ = net()
    assert point(params).numel() == sum(p.numel() for p in params)
