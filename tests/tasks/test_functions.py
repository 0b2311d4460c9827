"""Functions to be minimized: their minima, gradients and curvature, and the noise upon them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der, rosen_hess
from torch import Tensor

from tests.exact import same
from thalweg.errors import TaskError
from thalweg.tasks import load_task
from thalweg.tasks.functions.deep_quadratic import curvature, sine_basis, spectrum
from thalweg.tasks.functions.function_task import PointModel, function_task, uniform_noise
from thalweg.tasks.functions.landscapes import (
    beale_value,
    booth_value,
    himmelblau_value,
    rastrigin_value,
    saddle_value,
)
from thalweg.tasks.functions.rosenbrock import rosenbrock_value
from thalweg.tasks.sources.source import ArraySource

Function = Callable[[Tensor], Tensor]


def point_of(name: str, **options: object) -> PointModel:
    model = load_task(name, **options).build()
    assert isinstance(model, PointModel)
    return model


def hessian(function: Function, point: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(function, point)  # type: ignore[no-any-return,no-untyped-call]


@pytest.mark.parametrize("dimensions", [2, 3, 10])
def test_rosenbrock_is_that_of_scipy(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    for _ in range(5):
        x = rng.normal(size=dimensions)
        point = torch.tensor(x, requires_grad=True)
        value = rosenbrock_value(point)
        (gradient,) = torch.autograd.grad(value, point)
        assert value.item() == pytest.approx(rosen(x), rel=1e-12)
        np.testing.assert_allclose(gradient.numpy(), rosen_der(x), rtol=1e-10)
        np.testing.assert_allclose(
            hessian(rosenbrock_value, point.detach()).numpy(), rosen_hess(x), rtol=1e-10
        )
    assert rosenbrock_value(torch.ones(dimensions)).item() == 0


def test_rosenbrock_starts_near_the_classical_point() -> None:
    exact = point_of("rosenbrock", dimensions=4, spread=0.0)
    assert exact.point.tolist() == pytest.approx([-1.2, 1.0, -1.2, 1.0])
    torch.manual_seed(0)
    moved = point_of("rosenbrock").point.detach()
    away = (moved - torch.tensor([-1.2, 1.0] * 5)).abs()
    assert 0 < away.min() <= away.max() <= 0.1


A, B = 3.584428340330, -1.848126526964  # Himmelblau's minima to twelve digits
C, D = -3.779310253378, -3.283185991286
E, F = -2.805118086953, 3.131312518250


@pytest.mark.parametrize(
    ("function", "minimum", "value"),
    [
        (beale_value, (3.0, 0.5), 0),
        (booth_value, (1.0, 3.0), 0),
        (himmelblau_value, (3.0, 2.0), 0),
        (himmelblau_value, (A, B), 0),
        (himmelblau_value, (C, D), 0),
        (himmelblau_value, (E, F), 0),
        (rastrigin_value, (0.0, 0.0), 0),
        (rastrigin_value, (1.989912, -0.994959), 4.974790),
        (saddle_value, (0.0, math.sqrt(2)), 0),
        (saddle_value, (0.0, -math.sqrt(2)), 0),
    ],
)
def test_minima(function: Function, minimum: tuple[float, float], value: float) -> None:
    point = torch.tensor(minimum, dtype=torch.float64, requires_grad=True)
    at = function(point)
    (gradient,) = torch.autograd.grad(at, point)
    assert at.item() == pytest.approx(value, abs=1e-6)
    assert gradient.abs().max().item() < 2e-4
    assert torch.linalg.eigvalsh(hessian(function, point.detach())).min() > 0


@pytest.mark.parametrize(
    ("name", "start", "value"),
    [
        ("beale", (1.0, 1.0), 14.203125),  # by hand, from the equations
        ("booth", (-5.0, -5.0), 22.0**2 + 20.0**2),
        ("himmelblau", (0.0, 0.0), 11.0**2 + 7.0**2),
        ("rastrigin", (2.0, -1.5), 20 + 2.0**2 + 1.5**2 - 10 * (1 - 1)),
        ("saddle", (1.0, 0.0), 2.0),
        ("ravine", (5.0, 3.0), 0.25 * 64 + 25 * 4),
    ],
)
def test_the_function_and_its_start(name: str, start: tuple[float, float], value: float) -> None:
    model = point_of(name)
    assert model.function(torch.tensor(start)).item() == pytest.approx(value, rel=1e-5)
    if name == "rastrigin":
        start = (2.2, -1.3)
    assert (model.point.detach() - torch.tensor(start)).abs().max() <= 0.1
    theta = model.point.detach()
    expected = model.function(theta).item()
    assert model(torch.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-6)
    ahead = model(torch.tensor([[1.0, -2.0]])) - model.function(theta)
    assert ahead.item() == pytest.approx((theta[0] - 2 * theta[1]).item(), abs=1e-3)


def test_the_saddle() -> None:
    origin = torch.zeros(2, dtype=torch.float64)
    values = torch.linalg.eigvalsh(hessian(saddle_value, origin))
    assert values.tolist() == pytest.approx([-2.0, 2.0])


@pytest.mark.parametrize("condition", [100.0, 7.5])
def test_the_ravine_has_the_condition_asked_for(condition: float) -> None:
    model = point_of("ravine", condition=condition)
    values, vectors = torch.linalg.eigh(hessian(model.function, torch.zeros(2).double()))
    assert values.tolist() == pytest.approx([1.0, condition])
    assert vectors.abs().flatten().tolist() == pytest.approx([math.sqrt(0.5)] * 4)


def test_deep_quadratic_has_the_spectrum_and_the_noise_stated() -> None:
    task = load_task("deep_quadratic")
    model = task.build()
    assert isinstance(model, PointModel)
    matrix = hessian(model.function, torch.zeros(100).double()).numpy()
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), np.sort(spectrum(100)), rtol=1e-9)
    assert np.sum(spectrum(100) < 1) == 90
    assert spectrum(100).min() > 0
    assert np.all((spectrum(100)[90:] > 30) & (spectrum(100)[90:] < 60))
    assert np.linalg.cond(matrix) == pytest.approx(58.5 / (0.5 / 90), rel=1e-6)
    # each row is ½(θ − x)ᵀQ(θ − x), less what does not depend on θ
    x = uniform_noise(3200, 100, 1.0)[:5]
    theta = model.point.detach().double().numpy()
    whole = 0.5 * np.einsum("ri,ij,rj->r", theta - x, curvature(100), theta - x)
    rows = whole - 0.5 * np.einsum("ri,ij,rj->r", x, curvature(100), x)
    np.testing.assert_allclose(
        model(task.data.train.first(5)[0]).detach().numpy(), rows, rtol=1e-4, atol=1e-3
    )


def test_the_sine_basis_is_orthogonal_and_symmetric() -> None:
    for size in (2, 16, 101):
        basis = sine_basis(size)
        np.testing.assert_allclose(basis @ basis, np.eye(size), atol=1e-13)
        same(
            basis, basis.T, because="sin(a·b) = sin(b·a): the same instructions on the same numbers"
        )


def test_noise_adds_its_mean_to_the_gradient_and_nothing_over_all_rows() -> None:
    task = load_task("booth", noise=3.0)
    source, validation = task.data.train, task.data.validation
    assert isinstance(source, ArraySource)
    assert isinstance(validation, ArraySource)
    model = task.build().double()
    rows = source.inputs.double()
    assert rows.std(correction=0).item() == pytest.approx(3.0, rel=0.02)
    assert not rows.mean(0).abs().max() > 1e-12
    assert not validation.inputs.any()

    def gradient(noise: Tensor) -> Tensor:
        model.zero_grad()
        task.cost.objective(model, noise, torch.zeros(len(noise))).backward()
        assert isinstance(model, PointModel)
        assert model.point.grad is not None
        return model.point.grad.clone()

    exact = gradient(torch.zeros(1, 2).double())
    assert isinstance(model, PointModel)
    x, y = model.point.tolist()
    first, second = 2 * (x + 2 * y - 7), 2 * (2 * x + y - 5)
    assert exact.tolist() == pytest.approx([first + 2 * second, 2 * first + second])
    part = rows[:127]
    torch.testing.assert_close(gradient(part), exact + part.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(rows), exact, rtol=0, atol=1e-12)
    assert not uniform_noise(10, 2, 0).any()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"start": 3.0}, r"start must be a list of numbers.*got 3\.0"),
        ({"start": []}, r"start must be a list of numbers.*got \[\]"),
        ({"start": "ab"}, "start must be a list of numbers.*got 'ab'"),
        ({"start": [1.0, 2.0, 3.0]}, r"a row of 3 numbers.*the shape \(16, 2\)"),
        ({"noise": None}, r"a row of 2 numbers.*the shape \(\)"),
        ({"spread": math.nan}, "spread must be a number ≥ 0; got nan"),
        ({"spread": "wide"}, "spread must be a number ≥ 0; got 'wide'"),
    ],
)
def test_what_is_no_function_to_minimise(changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"start": [1.0, 1.0], "noise": uniform_noise(16, 2, 0.0), **changed}
    with pytest.raises(TaskError, match=message):
        function_task("bowl", lambda p: p.square().sum(), **given).build()


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("digits_vae", "latent", True), ("rosenbrock", "spread", -1), ("photo", "picture", 8)],
)
def test_options_of_built_in_tasks_are_refused_in_words(name: str, option: str, value: Any) -> None:
    with pytest.raises(TaskError, match=f"{option} .*{value!r}"):
        load_task(name, **{option: value}).build()
