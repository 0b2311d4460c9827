"""Lab: five ways to the closed form of linear regression with weight decay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import MissingExtraError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient
from thalweg.optim import SGD
from thalweg.solvers import minimize

_COPIES = 40
"""Independent runs of SGD, whose root mean square distance is compared with theory."""
_WATCHED = 500
"""Steps that the doctor watches, at most."""
_ENOUGH = 1e-9
"""The distance at which a run ends."""
_SOLVERS = {"Newton": "newton", "CG": "cg", "L-BFGS": "lbfgs"}


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(200, "rows of data", low=10, high=5000)
    features: int = setting(8, "features", low=1, high=50)
    weight_decay: float = setting(0.05, "λ in λ‖w‖²", low=1e-4, high=10)
    noise: float = setting(0.5, "standard deviation of the target's noise", low=0.01, high=10)
    batch: int = setting(10, "rows in a batch of SGD", low=1)
    steps: int = setting(1500, "steps of SGD", low=100, high=20_000)
    seed: int = setting(0, "seed of the data and of SGD's batches", low=0)


@dataclass(frozen=True)
class Problem:
    """J(w, b) = 1/m·Σ½(y − xᵀw − b)² + λ‖w‖²; a point is w and then b."""

    X: Tensor
    y: Tensor
    decay: float

    def __call__(self, point: Tensor) -> Tensor:
        """Return J."""
        w, b = point[:-1], point[-1]
        return (self.y - self.X @ w - b).square().mean() / 2 + self.decay * (w @ w)

    def design(self) -> Tensor:
        """Return X with a column of ones for b."""
        return torch.cat([self.X, torch.ones(len(self.X), 1, dtype=self.X.dtype)], 1)

    def ridge(self) -> Tensor:
        """Return what the penalty adds to the gradient of each entry: 2λ, and 0 for b."""
        added = torch.full((self.X.shape[1] + 1,), 2 * self.decay, dtype=self.X.dtype)
        added[-1] = 0
        return added

    def hessian(self) -> Tensor:
        """Return ∂²J."""
        design = self.design()
        return design.mT @ design / len(design) + torch.diag(self.ridge())

    def closed_form(self) -> Tensor:
        """Return the solution of (XᵀX/m + 2λI)w = Xᵀy/m with centred X and y, and b = ȳ − x̄ᵀw."""
        m, n = self.X.shape
        X, y = self.X - self.X.mean(0), self.y - self.y.mean()
        eye = torch.eye(n, dtype=X.dtype)
        w = torch.linalg.solve(X.mT @ X / m + 2 * self.decay * eye, X.mT @ y / m)
        return torch.cat([w, (self.y.mean() - self.X.mean(0) @ w)[None]])


@dataclass(frozen=True)
class Data:
    """The problem, and each method's way: passes, and distances to the closed form relative to its size."""

    problem: Problem
    ways: dict[str, tuple[list[float], list[float]]]
    ends: dict[str, Tensor]
    reference: Tensor
    sgd_expected: float


def compute(chosen: Settings) -> Data:
    """Run every method from zero."""
    problem, random = _problem(chosen)
    goal = problem.closed_form()

    def distance(point: Tensor) -> float:
        return float((point - goal).norm() / goal.norm())

    ways, ends = {}, {}
    ways["GD"], ends["GD"] = _gradient_descent(problem, distance)
    ways["SGD"], expected = _sgd(problem, goal, chosen, random)
    for name, method in _SOLVERS.items():
        ways[name], ends[name] = _solver(problem, method, distance)
    return Data(problem, ways, ends, _scikit_learn(problem), expected)


def _problem(chosen: Settings) -> tuple[Problem, torch.Generator]:
    """Return the problem, and the generator that goes on to SGD's batches."""
    random = torch.Generator().manual_seed(chosen.seed)
    X = torch.randn(chosen.rows, chosen.features, generator=random, dtype=torch.float64) + 0.5
    X = X * torch.linspace(0.7, 1.5, chosen.features, dtype=torch.float64)
    w = torch.randn(chosen.features, generator=random, dtype=torch.float64)
    noise = torch.randn(chosen.rows, generator=random, dtype=torch.float64)
    return Problem(X, X @ w + 3 + chosen.noise * noise, chosen.weight_decay), random


Way = tuple[list[float], list[float]]


def _gradient_descent(problem: Problem, distance: Callable[[Tensor], float]) -> tuple[Way, Tensor]:
    """Step with the best fixed length, 2/(L + μ), until the distance is small."""
    hessian, design = problem.hessian(), problem.design()
    eigenvalues = torch.linalg.eigvalsh(hessian)
    point = torch.nn.Parameter(torch.zeros(len(hessian), dtype=hessian.dtype))
    optimizer = SGD([point], lr=2 / float(eigenvalues[0] + eigenvalues[-1]))
    b = design.mT @ problem.y / len(design)
    distances = [distance(point.detach())]
    while distances[-1] > _ENOUGH and len(distances) < 5000:
        point.grad = hessian @ point.detach() - b
        optimizer.step()
        distances.append(distance(point.detach()))
    return ([float(k) for k in range(len(distances))], distances), point.detach()


def _sgd(
    problem: Problem, goal: Tensor, chosen: Settings, random: torch.Generator
) -> tuple[Way, float]:
    """Run SGD, several copies at once; return the way and the expected end."""
    design, y, ridge = problem.design(), problem.y, problem.ridge()
    rates = _rates(problem, chosen.steps)
    points = torch.nn.Parameter(torch.zeros(_COPIES, design.shape[1], dtype=design.dtype))
    optimizer = SGD([points], lr=rates[0])
    ways: Way = ([0.0], [1.0])
    for k, rate in enumerate(rates):
        rows = torch.randint(len(y), (_COPIES, chosen.batch), generator=random)
        batch, now = design[rows], points.detach()
        errors = (batch * now[:, None]).sum(2) - y[rows]
        points.grad = (errors[..., None] * batch).mean(1) + ridge * now
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        if k % 20 == 19 or k == chosen.steps - 1:
            spread = (points.detach() - goal).square().sum(1).mean().sqrt()
            ways[0].append((k + 1) * chosen.batch / len(y))
            ways[1].append(float(spread / goal.norm()))
    return ways, _expected(problem, goal, rates, chosen.batch)


def _rates(problem: Problem, steps: int) -> list[float]:
    """Return SGD's learning rates, β/(k + k₀) with β = 2/μ."""
    eigenvalues = torch.linalg.eigvalsh(problem.hessian())
    beta = 2 / float(eigenvalues[0])
    delay = 4 * beta * float(eigenvalues[-1])  # the first step is 1/(4L)
    return [beta / (k + delay) for k in range(steps)]


def _expected(problem: Problem, goal: Tensor, rates: list[float], batch: int) -> float:
    """Return SGD's root mean square distance from the goal in the end, relative to it: exact, by recursion.

    A row's gradient at a distance e is Aᵢe + gᵢ. With e̅ = E[e] and M = E[eeᵀ], a step of length α with a
    batch of B rows gives M − α(HM + MH) + α²(HMH + C/B), where C is the covariance of a row's gradient.
    """
    design, ridge, hessian = problem.design(), problem.ridge(), problem.hessian()
    at_goal = (design @ goal - problem.y)[:, None] * design + ridge * goal
    mean = -goal
    moment = torch.outer(goal, goal)
    plain, R = design.mT @ design / len(design), torch.diag(ridge)
    noise = at_goal.mT @ at_goal / len(design)
    for rate in rates:
        weights = ((design @ moment) * design).sum(1, keepdim=True)
        squares = design.mT @ (weights * design) / len(design)
        mixed = R @ moment @ plain
        squares = squares + mixed + mixed.mT + R @ moment @ R
        cross = (design * (design @ mean)[:, None] + ridge * mean).mT @ at_goal / len(design)
        HM = hessian @ moment
        covariance = squares + cross + cross.mT + noise - HM @ hessian
        moment = moment - rate * (HM + HM.mT) + rate**2 * (HM @ hessian + covariance / batch)
        mean = mean - rate * (hessian @ mean)
    return float(moment.trace().sqrt() / goal.norm())


def _solver(
    problem: Problem, method: str, distance: Callable[[Tensor], float]
) -> tuple[Way, Tensor]:
    calls = 0

    def counted(point: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return problem(point)

    start = torch.zeros(problem.X.shape[1] + 1, dtype=problem.X.dtype)
    way: Way = ([0.0], [distance(start)])

    def record(point: Tensor, fun: float) -> bool:
        passes = calls + (len(way[0]) * len(point) if method == "newton" else 0)
        way[0].append(float(passes))
        way[1].append(distance(point))
        return way[1][-1] <= _ENOUGH

    return way, minimize(counted, start, method, tol=1e-9, callback=record).x


def _scikit_learn(problem: Problem) -> Tensor:
    try:
        from sklearn.linear_model import Ridge
    except ImportError:
        raise MissingExtraError("scikit-learn", "This lab") from None
    ridge = Ridge(alpha=2 * len(problem.y) * problem.decay, solver="cholesky")
    ridge.fit(problem.X.numpy(), problem.y.numpy())
    return torch.cat(
        [torch.as_tensor(ridge.coef_), torch.tensor([ridge.intercept_], dtype=torch.float64)]
    )


def detect(data: Data) -> dict[str, float]:
    """Return how far each method ended from the closed form, the rate of GD, and the mean residual."""
    goal = data.problem.closed_form()
    found = {
        f"{name}: distance at the end": float((end - goal).norm() / goal.norm())
        for name, end in data.ends.items()
    }
    distances = data.ways["GD"][1]
    tail = len(distances) // 2
    rate = (distances[-1] / distances[tail]) ** (1 / max(len(distances) - 1 - tail, 1))
    fitted = data.problem.X @ data.ends["Newton"][:-1] + data.ends["Newton"][-1]
    return found | {
        "GD: contraction a step": rate,
        "SGD: distance at the end over the expected one": data.ways["SGD"][1][-1]
        / data.sgd_expected,
        "scikit-learn's Ridge: distance": float((data.reference - goal).norm() / goal.norm()),
        "mean residual": float((data.problem.y - fitted).mean()),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return 0 for each distance, GD's rate from the curvatures, and SGD's spread."""
    low, *_, high = torch.linalg.eigvalsh(data.problem.hessian()).tolist()
    kappa = high / low
    ends = {
        f"{name}: distance at the end": Theory(
            0,
            1e-8 * max(1.0, kappa),
            "one minimum; runs end at 1e-9, or at their tolerance, times κ",
        )
        for name in data.ends
    }
    return ends | {
        "GD: contraction a step": Theory(
            (kappa - 1) / (kappa + 1),
            0.02,
            "(κ−1)/(κ+1) with the step 2/(L+μ), once fast parts are gone",
        ),
        "SGD: distance at the end over the expected one": Theory(
            1, 0.3, f"the exact recursion of E‖w − w*‖²; the mean of {_COPIES} runs varies"
        ),
        "scikit-learn's Ridge: distance": Theory(
            0, 1e-10, "Ridge(alpha=2mλ) is the same objective, times 2m"
        ),
        "mean residual": Theory(0, 1e-7, "b is not penalized, so ∂J/∂b = 0 is this mean"),
    }


def draw(data: Data) -> Picture:
    """Draw each method's distance over its evaluations of all the data."""
    return Picture(
        curves=tuple(
            curve(name, [1 + passes for passes in way[0]], way[1], dots=name in _SOLVERS)
            for name, way in data.ways.items()
        ),
        x=Axis("passes over the data + 1", log=True),
        y=Axis("distance to the closed form", log=True),
        hint="The distance is relative to the size of the solution. A pass is one evaluation of the "
        "objective and its gradient over all rows; a step of SGD is a part of one. Newton's Hessian "
        "counts as a pass for each parameter.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return the run of SGD, one copy of it, with the penalty as weight decay."""
    problem, draws = _problem(chosen)
    rates = _rates(problem, chosen.steps)
    model = torch.nn.Linear(chosen.features, 1, dtype=problem.X.dtype)
    for each in model.parameters():
        torch.nn.init.zeros_(each)
    groups = [
        {"params": [model.weight], "weight_decay": 2 * problem.decay},
        {"params": [model.bias]},
    ]
    optimizer = SGD(groups, lr=lambda step: rates[min(step, len(rates) - 1)])
    shape = (_COPIES, chosen.batch)
    rows = [torch.randint(len(problem.y), shape, generator=draws)[0] for _ in rates[:_WATCHED]]
    batches = [(problem.X[each], problem.y[each, None]) for each in rows]
    return [Patient("SGD, one copy", model, optimizer, "half_mse", batches)]


LAB = Lab(
    name="linear-regression",
    title="Five ways to the closed form of linear regression",
    what="Linear regression with weight decay has a solution in closed form. Gradient descent, "
    "stochastic gradient descent, Newton's method, conjugate gradients and L-BFGS all go there, "
    "at very different rates. SGD is ahead at first, while the others take their first steps, and "
    "far behind in the end.",
    why="The objective J = 1/m·Σ½(y − xᵀw − b)² + λ‖w‖² is a convex quadratic with one minimum: with "
    "centred data (XᵀX/m + 2λI)w = Xᵀy/m, and b = ȳ − x̄ᵀw, since the bias is not penalized. "
    "Newton's method solves it in a step. Gradient descent leaves (κ−1)/(κ+1) of the error a "
    "step. SGD's gradient is not zero at the minimum, for single batches disagree: its steps must "
    "shrink, and its distance falls like one over the square root of the steps.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 5.1.4, 8.1.3, 8.3.1 and 8.6",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "batch",
        "rows in a batch of SGD",
        (1, 2, 5, 10, 20, 50, 100),
        10,
        "The smallest batch has one row; the gradient of 100 hardly differs from that of all rows.",
        unit="rows",
    ),
    patients=patients,
)
"""The lab `linear-regression`."""
