"""Linear regression with weight decay against its closed form and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Task, load_task
from thalweg.tasks.sources.source import ArraySource
from thalweg.train import Run, fit

DECAY = 0.05


def _problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 1.0, size=(40, 3))
    return x, x @ np.array([[1.0], [-2.0], [0.5]]) + 3 + rng.normal(0, 0.1, size=(40, 1))


def _descend(x: np.ndarray, y: np.ndarray, decay: float) -> Run:
    task = Task(
        Data.arrays(x, y),
        Cost("half_mse", penalty=L2(decay)),
        lambda: nn.Linear(x.shape[1], 1).double(),
    )
    return fit(
        task,
        torch.optim.SGD,
        lr=0.2,
        epochs=5000,
        batch_size=None,
        gradient_tolerance=1e-11,
        progress=False,
    )


@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_gradient_descent_reaches_the_closed_form(decay: float) -> None:
    """Centred, (XᵀX/m + 2λI) w = Xᵀy/m, and b = ȳ − x̄ᵀw: the bias is not penalized."""
    x, y = _problem()
    run = _descend(x, y, decay)
    assert run.stopped == "gradient"
    m, X, Y = len(x), x - x.mean(0), y - y.mean(0)
    w = np.linalg.solve(X.T @ X / m + 2 * decay * np.eye(3), X.T @ Y / m)
    b = y.mean() - x.mean(0) @ w
    np.testing.assert_allclose(run.model.weight.detach().numpy(), w.T, rtol=1e-9)  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(run.model.bias.detach().numpy(), b, rtol=1e-9)  # type: ignore[union-attr,operator]
    ridge = Ridge(alpha=2 * m * decay).fit(x, y)
    np.testing.assert_allclose(run.predict(x), ridge.predict(x).reshape(-1, 1), rtol=1e-8)
    scores = run.evaluate("train")
    assert scores.loss == pytest.approx(0.5 * np.mean((x @ w + b - y) ** 2), rel=1e-9)
    assert scores.penalty == pytest.approx(decay * np.sum(w**2), rel=1e-9)


def test_penalising_the_bias_changes_the_solution() -> None:
    x, y = _problem()
    free = _descend(x, y, DECAY)
    task = free.task.replace(cost=Cost("half_mse", penalty=L2(DECAY, include_biases=True)))
    held = fit(task, torch.optim.SGD, lr=0.2, epochs=300, batch_size=None, progress=False)
    assert abs(held.model.bias.item()) < abs(free.model.bias.item()) - 0.1  # type: ignore[union-attr,operator]


@pytest.mark.full
def test_diabetes_against_ridge() -> None:
    task = load_task("diabetes").replace(model=lambda: nn.Linear(10, 1).double())
    assert isinstance(task.data.train, ArraySource)
    x, y = task.data.train.inputs.numpy(), task.data.train.targets.numpy()
    run = fit(
        task,
        torch.optim.SGD,
        lr=0.2,
        epochs=20_000,
        batch_size=None,
        gradient_tolerance=1e-9,
        progress=False,
    )
    assert run.stopped == "gradient"
    ridge = Ridge(alpha=2 * len(x) * 1e-2).fit(x, y)
    weight = run.model.weight.detach().numpy()  # type: ignore[union-attr,operator]
    np.testing.assert_allclose(weight.ravel(), ridge.coef_.ravel(), atol=1e-6)
    assert run.reached is not None
