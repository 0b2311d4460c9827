"""Linear regression with weight decay: gradient descent reaches the closed form.

J(w, b) = (1/m) Σ ½(y − xᵀw − b)² + λ‖w‖². With centred data the minimum solves (XᵀX/m + 2λI) w =
Xᵀy/m; the bias is not penalized.

    python examples/linear_regression.py
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Task
from thalweg.train import fit

DECAY = 0.05


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 3 + rng.normal(0, 0.1, size=(100, 1))
    task = Task(
        data=Data.arrays(x, y),
        cost=Cost("half_mse", metrics="r2", penalty=L2(DECAY)),
        model=lambda: nn.Linear(3, 1).double(),
    )
    run = fit(
        task,
        torch.optim.SGD,
        lr=0.5,
        epochs=500,
        batch_size=None,
        gradient_tolerance=1e-10,
        progress=False,
    )
    X, Y = x - x.mean(0), y - y.mean()
    closed = np.linalg.solve(X.T @ X / len(x) + 2 * DECAY * np.eye(3), X.T @ Y / len(x)).ravel()
    weight, bias = (p.detach().numpy().ravel() for p in run.model.parameters())
    scores = run.evaluate("train")
    print(f"gradient descent, {run.steps} steps: w = {weight.round(6)}, b = {bias.round(6)}")
    print(f"closed form:                  w = {closed.round(6)}")
    print(f"loss {scores.loss:.6f} + penalty {scores.penalty:.6f}, r² {scores['r2']:.4f}")
    if not np.allclose(weight, closed, atol=1e-8):
        raise SystemExit("gradient descent did not reach the closed form")


if __name__ == "__main__":
    main()
