"""Closed forms and bounds of the basic algorithms, by the optimizers and by the transcriptions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR

from . import reference
from .cases import each_engine

dialects = pytest.mark.parametrize("dialect", ["torch", "paper"])
CURVATURE = torch.tensor([1.0, 100.0], dtype=torch.float64)  # m = 1, L = 100: κ = 100


def sgd(p: Parameter, **options: object) -> Optimizer:
    from thalweg import optim

    return optim.SGD([p], **options)


def loss(w: Tensor) -> float:
    return float((0.5 * CURVATURE * w.detach().square()).sum())


def descend(
    optimizer: Optimizer, p: Parameter, gradient: Callable[[Tensor], Tensor], steps: int
) -> list[Tensor]:
    path = []
    for _ in range(steps):
        p.grad = gradient(p.detach())
        optimizer.step()
        path.append(p.detach().clone())
    return path


@each_engine
@dialects
def test_gradient_descent_keeps_its_rate_bound(engine: str, dialect: str) -> None:
    """f_k − f* ≤ (1 − m/L)^k (f_0 − f*) at every k with lr = 1/L."""
    generator = torch.Generator().manual_seed(0)
    curvature = torch.linspace(1.0, 100.0, 40, dtype=torch.float64)
    p = Parameter(torch.randn(40, generator=generator, dtype=torch.float64))
    value = [float((0.5 * curvature * p.detach().square()).sum())]
    optimizer = sgd(p, lr=1.0 / 100.0, engine=engine, dialect=dialect)
    for k, w in enumerate(descend(optimizer, p, lambda w: curvature * w, 300), start=1):
        value.append(float((0.5 * curvature * w.square()).sum()))
        assert value[k] <= (1.0 - 1.0 / 100.0) ** k * value[0]
    assert 0.0 < value[-1] < 0.05 * value[0]


@each_engine
@dialects
def test_three_methods_on_an_ill_conditioned_quadratic(engine: str, dialect: str) -> None:
    """Losses after 100 steps from (1, 1), each method with its optimal parameters.

    Descent has lr = 2/(L + m); the heavy ball lr = 4/(√L + √m)², momentum ((√κ − 1)/(√κ + 1))²;
    Nesterov lr = 1/L, momentum (√κ − 1)/(√κ + 1), its loss at the iterate w = θ̃ − μv.
    """
    m, L, root = 1.0, 100.0, 10.0  # root = √κ
    settings = {
        "descent": ({"lr": 2.0 / (L + m)}, 0.925),
        "heavy ball": (
            {
                "lr": 4.0 / (math.sqrt(L) + math.sqrt(m)) ** 2,
                "momentum": ((root - 1.0) / (root + 1.0)) ** 2,
            },
            6.2e-12,
        ),
        "Nesterov": (
            {"lr": 1.0 / L, "momentum": (root - 1.0) / (root + 1.0), "nesterov": True},
            4.3e-8,
        ),
    }
    for name, (options, expected) in settings.items():
        p = Parameter(torch.ones(2, dtype=torch.float64))
        optimizer = sgd(p, engine=engine, dialect=dialect, **options)
        path = descend(optimizer, p, lambda w: CURVATURE * w, 100)
        end = path[-1]
        if name == "Nesterov":
            end, _ = look_ahead(options["lr"], options["momentum"], 100)
            shifted = path[-1]
            _, ahead = look_ahead(options["lr"], options["momentum"], 100)
            torch.testing.assert_close(shifted, ahead, rtol=1e-9, atol=1e-12)
        assert loss(end) == pytest.approx(expected, rel=0.01), name


def look_ahead(lr: float, momentum: float, steps: int) -> tuple[Tensor, Tensor]:
    """Nesterov's momentum with the gradient at the look-ahead point; return w and w + μv."""
    w, v = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for _ in range(steps):
        v = momentum * v - lr * CURVATURE * (w + momentum * v)
        w = w + v
    return w, w + momentum * v


@each_engine
@dialects
def test_nesterov_is_the_gradient_at_the_look_ahead_point(engine: str, dialect: str) -> None:
    """The parameter is θ̃ = w + μv at every step, of the form that evaluates g there."""
    lr, momentum = 0.008, 0.8
    p = Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = sgd(p, lr=lr, momentum=momentum, nesterov=True, engine=engine, dialect=dialect)
    path = descend(optimizer, p, lambda w: CURVATURE * w, 60)
    for k, shifted in enumerate(path, start=1):
        torch.testing.assert_close(shifted, look_ahead(lr, momentum, k)[1], rtol=1e-12, atol=1e-13)


def test_the_transcription_of_nesterov_is_the_look_ahead_form() -> None:
    w, state = np.ones(2), {}
    curvature = CURVATURE.numpy()
    for t in range(1, 61):
        w = reference.sgd(w, curvature * w, state, t=t, lr=0.008, momentum=0.8, nesterov=True)
        np.testing.assert_allclose(w, look_ahead(0.008, 0.8, t)[1], rtol=1e-12, atol=1e-13)


@each_engine
@dialects
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_under_a_constant_gradient(engine: str, dialect: str, nesterov: bool) -> None:
    """The step goes to lr·‖g‖/(1 − momentum), as lr·(1 − μᵗ)/(1 − μ)·g for the heavy ball."""
    g = torch.tensor([3.0, -4.0], dtype=torch.float64)
    p = Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = sgd(p, lr=0.1, momentum=0.9, nesterov=nesterov, engine=engine, dialect=dialect)
    path = [torch.zeros(2, dtype=torch.float64), *descend(optimizer, p, lambda w: g.clone(), 400)]
    steps = [float((b - a).norm()) for a, b in itertools.pairwise(path)]
    assert steps[-1] == pytest.approx(0.1 * 5.0 / (1.0 - 0.9), rel=1e-10)
    if not nesterov:
        expected = [0.1 * 5.0 * (1.0 - 0.9**t) / (1.0 - 0.9) for t in range(1, 401)]
        assert steps == pytest.approx(expected, rel=1e-10)
    assert steps[0] < 0.21 * steps[-1]


@each_engine
def test_the_dialects_of_momentum_part_when_the_rate_changes(engine: str) -> None:
    """With lr inside, a velocity gathered at the old rate lives on; with lr outside it does not."""
    ends = {}
    for dialect in ("torch", "paper"):
        p = Parameter(torch.zeros(1, dtype=torch.float64))
        optimizer = sgd(p, lr=1.0, momentum=0.5, engine=engine, dialect=dialect)
        descend(optimizer, p, lambda w: torch.ones_like(w), 1)
        optimizer.param_groups[0]["lr"] = 0.0
        descend(optimizer, p, lambda w: torch.ones_like(w), 1)
        ends[dialect] = p.item()
    assert ends == {"torch": -1.0, "paper": -1.5}


@each_engine
@dialects
def test_weight_decay_is_a_shrink(engine: str, dialect: str) -> None:
    """With the penalty λ‖w‖², a step is w ← (1 − 2·lr·λ)·w − lr·∇L."""
    lr, strength = 0.1, 0.3
    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    g = torch.tensor([0.2, 0.1, -3.0], dtype=torch.float64)
    p = Parameter(start.clone())
    optimizer = sgd(p, lr=lr, weight_decay=2.0 * strength, engine=engine, dialect=dialect)
    descend(optimizer, p, lambda w: g.clone(), 1)
    torch.testing.assert_close(
        p.detach(), (1.0 - 2.0 * lr * strength) * start - lr * g, rtol=1e-15, atol=1e-15
    )


@each_engine
def test_sgd_on_a_strongly_convex_function(engine: str) -> None:
    """E f_k − f* = σ²/(2k) for ½w² with noise of variance σ² and lr = 1/k: the rate O(1/k).

    Then w_k is minus the mean of the noises exactly; each element is a run of its own.
    """
    runs, sigma = 4000, 2.0
    generator = torch.Generator().manual_seed(0)
    p = Parameter(torch.full((runs,), 5.0, dtype=torch.float64))
    optimizer = sgd(p, lr=1.0, engine=engine)
    schedule = LambdaLR(optimizer, lambda step: 1.0 / (step + 1))
    total = torch.zeros(runs, dtype=torch.float64)
    for k in range(1, 101):
        noise = sigma * torch.randn(runs, generator=generator, dtype=torch.float64)
        total += noise
        p.grad = p.detach() + noise
        optimizer.step()
        schedule.step()
        torch.testing.assert_close(p.detach(), -total / k, rtol=1e-10, atol=1e-12)
        excess = float(0.5 * p.detach().square().mean())
        # The mean of χ² over the runs has the relative standard error √(2/runs); 5 of them.
        assert excess == pytest.approx(sigma**2 / (2 * k), rel=5 * math.sqrt(2 / runs))


@each_engine
def test_sgd_on_a_convex_function(engine: str) -> None:
    """E f(w̄_k) − f* ≤ (D² + G²Σε²)/(2Σε) for |w| with ε_k = 1/√k: the rate O(log k/√k)."""
    runs, distance, sigma = 2000, 1.0, 1.0
    bound_of_gradient = 1.0 + sigma**2  # E g² for a sign and noise of variance σ²
    generator = torch.Generator().manual_seed(0)
    p = Parameter(torch.full((runs,), distance, dtype=torch.float64))
    optimizer = sgd(p, lr=1.0, engine=engine)
    weighted = torch.zeros(runs, dtype=torch.float64)
    sum_of_rates = sum_of_squares = 0.0
    excesses = []
    for k in range(1, 401):
        rate = 1.0 / math.sqrt(k)
        optimizer.param_groups[0]["lr"] = rate
        weighted += rate * p.detach()
        sum_of_rates += rate
        sum_of_squares += rate**2
        noise = sigma * torch.randn(runs, generator=generator, dtype=torch.float64)
        p.grad = p.detach().sign() + noise
        optimizer.step()
        excesses.append(float((weighted / sum_of_rates).abs().mean()))
        bound = (distance**2 + bound_of_gradient * sum_of_squares) / (2.0 * sum_of_rates)
        assert excesses[-1] <= bound
    assert excesses[-1] < 0.25 * excesses[0]


@each_engine
@pytest.mark.parametrize("mode", ["polyak", "ema"])
def test_the_average_beats_the_last_point_on_a_noisy_convex_function(
    engine: str, mode: str
) -> None:
    """½w² with noise of variance σ² and a constant rate η; with a = 1 − η and w₀ = 0 the variances are

    last    ησ²/(2 − η)
    mean    σ²/k²·Σₘ (1 − aᵐ)²,  m = 1 … k
    ema     that of the last, times (1 − δ)(1 + aδ)/((1 + δ)(1 − aδ))
    """
    from thalweg import optim, rules

    runs, sigma, eta, delta, steps = 2000, 2.0, 0.1, 0.99, 600
    after = rules.polyak() if mode == "polyak" else rules.ema(decay=delta)
    generator = torch.Generator().manual_seed(0)
    p = Parameter(torch.zeros(runs, dtype=torch.float64))
    optimizer = optim.SGD([p], lr=eta, engine=engine, after=after)
    for _ in range(steps):
        p.grad = p.detach() + sigma * torch.randn(runs, generator=generator, dtype=torch.float64)
        optimizer.step()
    last = float(p.detach().square().mean())
    with optimizer.evaluating():
        average = float(p.detach().square().mean())
    a, stationary = 1 - eta, eta * sigma**2 / (2 - eta)
    if mode == "polyak":
        wanted = sigma**2 / steps**2 * sum((1 - a**m) ** 2 for m in range(1, steps + 1))
    else:
        shrunk = (1 - delta) * (1 + a * delta) / ((1 + delta) * (1 - a * delta))
        wanted = stationary * shrunk
    error = 5 * math.sqrt(2 / runs)  # of a mean of χ², as above
    assert last == pytest.approx(stationary, rel=error)
    assert average == pytest.approx(wanted, rel=error)
    assert average < 0.2 * last


@each_engine
def test_the_linear_schedule_has_exact_values(engine: str) -> None:
    """ε_k = (1 − k/τ)·ε₀ + (k/τ)·ε_τ, constant after τ, as the steps under the gradient 1 show."""
    first, last, tau = 0.5, 0.01, 20
    p = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = sgd(p, lr=first, engine=engine)
    schedule = LinearLR(optimizer, start_factor=1.0, end_factor=last / first, total_iters=tau)
    before = 0.0
    for k in range(2 * tau):
        p.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        schedule.step()
        fraction = min(k / tau, 1.0)
        expected = (1.0 - fraction) * first + fraction * last
        assert before - p.item() == pytest.approx(expected, rel=1e-12)
        before = p.item()


@each_engine
@dialects
def test_adams_first_step_is_the_sign(engine: str, dialect: str) -> None:
    """m̂/(√v̂ + ε) is g/(|g| + ε) at the first step: −lr·sign(g) whatever the scale of g."""
    from thalweg import optim

    g = torch.tensor([1e-3, -1.0, 1e4], dtype=torch.float64)
    p = Parameter(torch.zeros(3, dtype=torch.float64))
    p.grad = g.clone()
    optim.Adam([p], lr=0.1, engine=engine, dialect=dialect).step()
    torch.testing.assert_close(p.detach(), -0.1 * g / (g.abs() + 1e-8), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(p.detach(), -0.1 * g.sign(), rtol=2e-5, atol=0.0)


@each_engine
def test_the_place_of_rmsprops_epsilon(engine: str) -> None:
    """Under the root in the paper, beside it in PyTorch: the first steps in closed form."""
    from thalweg import optim

    ends = {}
    for dialect in ("torch", "paper"):
        p = Parameter(torch.zeros(1, dtype=torch.float64))
        p.grad = torch.full((1,), 0.1, dtype=torch.float64)
        options = {"lr": 1.0, "alpha": 0.9, "eps": 1e-2}
        optim.RMSprop([p], **options, engine=engine, dialect=dialect).step()
        ends[dialect] = -p.item()
    r = 0.1 * 0.1**2
    assert ends["torch"] == pytest.approx(0.1 / (math.sqrt(r) + 1e-2), rel=1e-12)
    assert ends["paper"] == pytest.approx(0.1 / math.sqrt(r + 1e-2), rel=1e-12)
    assert ends["torch"] > 2.0 * ends["paper"]
