"""Lab: how the number of iterations grows with the condition number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider, multiples
from thalweg.labs.watching import Patient, linear
from thalweg.optim import SGD
from thalweg.solvers import minimize

_FOLLOWED = 500
"""Steps of gradient descent of which gᵀg and gᵀHg are kept."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    kappas: tuple[float, ...] = setting(
        (10, 30, 100, 300, 1000), "condition numbers, at least two", low=2, high=1e4
    )
    size: int = setting(400, "variables", low=10, high=2000)
    tol: float = setting(1e-4, "share of the first gradient to reach", low=1e-7, high=0.1)


@dataclass(frozen=True)
class Tracked:
    """Of each step of gradient descent at the largest κ: gᵀg, gᵀHg, and the change of the objective."""

    rate: float
    squared: Tensor
    curved: Tensor
    change: Tensor

    def predicted(self) -> Tensor:
        """Return −ε·gᵀg + ½ε²·gᵀHg for each step."""
        return -self.rate * self.squared + self.rate**2 / 2 * self.curved


@dataclass(frozen=True)
class Data:
    """Iterations of each method at each condition number."""

    settings: Settings
    gradient_descent: list[int]
    conjugate: list[int]
    newton: list[int]
    tracked: Tracked


def compute(chosen: Settings) -> Data:
    """Count the iterations of each method on quadratics f = ½Σλᵢxᵢ²."""
    if len(set(chosen.kappas)) < 2:
        raise TaskError(
            f"kappas needs two different numbers, to have a slope; got {chosen.kappas}."
        )
    problems = [_eigenvalues(kappa, chosen.size) for kappa in chosen.kappas]
    return Data(
        chosen,
        [_gradient_descent(each, chosen.tol) for each in problems],
        [_solver(each, "cg", chosen.tol) for each in problems],
        [_solver(each, "newton", chosen.tol) for each in problems],
        _tracked(problems[_largest(chosen.kappas)]),
    )


def _eigenvalues(kappa: float, size: int) -> Tensor:
    """Return eigenvalues from 1/κ to 1 at Chebyshev's points, the hardest for conjugate gradients."""
    at = torch.cos(torch.linspace(0, math.pi, size, dtype=torch.float64))
    return (1 + 1 / kappa) / 2 + (1 - 1 / kappa) / 2 * at


def _gradient_descent(eigenvalues: Tensor, tol: float) -> int:
    """Return the steps of length 2/(λ_max + λ_min) until the largest gradient is at most tol."""
    x = torch.nn.Parameter(1 / eigenvalues)  # all parts of the gradient begin at 1
    optimizer = SGD([x], lr=2 / float(eigenvalues.max() + eigenvalues.min()))
    steps = 0
    while True:
        x.grad = eigenvalues * x.detach()
        if float(x.grad.abs().max()) <= tol:
            return steps
        optimizer.step()
        steps += 1


def _tracked(eigenvalues: Tensor) -> Tracked:
    """Follow gradient descent until only the extreme curvatures are left in the gradient."""
    rate = 2 / float(eigenvalues.max() + eigenvalues.min())
    x = 1 / eigenvalues
    squared, curved, values = [], [], [(eigenvalues * x * x).sum() / 2]
    for _ in range(_FOLLOWED):
        g = eigenvalues * x
        squared.append(g @ g)
        curved.append(g @ (eigenvalues * g))
        x = x - rate * g
        values.append((eigenvalues * x * x).sum() / 2)
    return Tracked(rate, torch.stack(squared), torch.stack(curved), torch.stack(values).diff())


def _solver(eigenvalues: Tensor, method: str, tol: float) -> int:
    """Return the iterations until the largest gradient is at most tol: the solver may go on from there."""
    result = minimize(
        lambda x: (eigenvalues * x * x).sum() / 2, 1 / eigenvalues, method, tol=tol, max_iter=5000
    )
    enough = [k for k, record in enumerate(result.history) if record.gradient <= tol]
    return enough[0] if enough else result.nit


def detect(data: Data) -> dict[str, float]:
    """Return the slopes of log iterations over log κ, and Newton's iterations."""
    kappas, track = data.settings.kappas, data.tracked
    return {
        "gradient descent: slope": _slope(kappas, data.gradient_descent),
        "conjugate gradients: slope": _slope(kappas, data.conjugate),
        "Newton: iterations": max(data.newton),
        "gradient descent: iterations at the largest κ": data.gradient_descent[_largest(kappas)],
        "change of the objective a step, less −ε·gᵀg + ½ε²·gᵀHg": float(
            (track.change - track.predicted()).abs().max() / track.change.abs().max()
        ),
        "share of −ε·gᵀg that ½ε²·gᵀHg takes away at last": float(
            track.rate / 2 * track.curved[-1] / track.squared[-1]
        ),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return 1, ½ and 1, and the exact count of gradient descent."""
    kappas = data.settings.kappas
    worst = max(kappas)
    steps = math.ceil(math.log(data.settings.tol) / math.log((worst - 1) / (worst + 1)))
    return {
        "gradient descent: slope": Theory(
            1.0, 0.05, "a step contracts by (κ−1)/(κ+1), so the steps are near ½κ·ln(1/tol)"
        ),
        "conjugate gradients: slope": Theory(
            0.5,
            0.1,
            "an iteration contracts by (√κ−1)/(√κ+1); line searches that are not exact add some",
        ),
        "Newton: iterations": Theory(1.0, 0.0, "the quadratic model is the objective itself"),
        "gradient descent: iterations at the largest κ": Theory(
            steps, 1.0, "⌈ln(tol)/ln((κ−1)/(κ+1))⌉, up to rounding in the last step"
        ),
        "change of the objective a step, less −ε·gᵀg + ½ε²·gᵀHg": Theory(
            0.0, 1e-9, "the objective is quadratic: there is no third order"
        ),
        "share of −ε·gᵀg that ½ε²·gᵀHg takes away at last": Theory(
            0.5,
            0.1,
            "½ε·gᵀHg/gᵀg: with ε = 2/(λ₁ + λₙ) and as much of both extremes in g it is ½; curvatures "
            "beside them are still in it",
        ),
    }


def _largest(kappas: Sequence[float]) -> int:
    return kappas.index(max(kappas))


def _slope(x: Sequence[float], y: Sequence[int]) -> float:
    """Return the slope of the least squares line through the logarithms."""
    a, b = (torch.tensor(each, dtype=torch.float64).log() for each in (x, y))
    a = a - a.mean()
    return float(a @ b / (a @ a))


def draw(data: Data) -> Picture:
    """Draw iterations over κ, with the fitted lines dashed."""
    kappas = data.settings.kappas
    rows = {
        "gradient descent": data.gradient_descent,
        "conjugate gradients": data.conjugate,
        "Newton": data.newton,
    }
    points = [
        curve(name, kappas, counts, dots=True, line=name == "Newton")
        for name, counts in rows.items()
    ]
    fits = []
    for name in ("gradient descent", "conjugate gradients"):
        slope = _slope(kappas, rows[name])
        middle = [sum(map(math.log, each)) / len(each) for each in (kappas, rows[name])]
        line = [math.exp(middle[1] + slope * (math.log(k) - middle[0])) for k in kappas]
        fits.append(curve(f"{name}, fit: slope {slope:.2f}", kappas, line, dash=True, family=name))
    return Picture(
        curves=(*points, *fits),
        x=Axis("condition number κ", log=True),
        y=Axis("iterations", log=True),
        hint="Both axes are logarithmic: a power of κ is a straight line, and its slope is the power. "
        "Dashed: the line that fits best.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return gradient descent at the largest κ, as a linear model of inputs with these curvatures."""
    eigenvalues = _eigenvalues(max(chosen.kappas), chosen.size)
    model = linear(1 / eigenvalues)
    rate = 2 / float(eigenvalues.max() + eigenvalues.min())
    inputs = torch.diag((len(eigenvalues) * eigenvalues).sqrt())  # XᵀX/n has the eigenvalues
    batch = inputs, torch.zeros(len(eigenvalues), 1, dtype=torch.float64)
    optimizer = SGD(model.parameters(), lr=rate)
    return [
        Patient(
            "gradient descent at the largest κ",
            *(model, optimizer, "half_mse", [batch] * _FOLLOWED),
            meant=("ill_conditioning",),
        )
    ]


LAB = Lab(
    name="ill-conditioning",
    title="Iterations grow like κ, like √κ, or not at all",
    what="The same quadratic bowl is stretched more and more: its condition number κ is the ratio of "
    "its largest to its smallest curvature. Gradient descent with the best fixed step needs "
    "iterations in proportion to κ, conjugate gradients in proportion to √κ, and Newton's method "
    "one, whatever κ is.",
    why="Gradient descent must keep its step below 2 over the largest curvature, and then crawls "
    "along the smallest: each step leaves (κ−1)/(κ+1) of the error. Conjugate gradients choose "
    "each direction so that it does not undo the last ones, and leave about (√κ−1)/(√κ+1). "
    "Newton's step divides by the curvature of each direction, after which κ no longer matters; "
    "but it needs the Hessian, of size n², and its solution, n³ operations.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 8.2.1 and 8.6; Nocedal and Wright, "
    "Numerical Optimization, chapters 3 and 5",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "kappa",
        "largest condition number κ; the others are 1 to 30 hundredths of it",
        (200.0, 500.0, 1000.0, 3000.0, 10_000.0),
        1000.0,
        "Below, the smallest κ would be less than 2; beyond, gradient descent takes more than seconds.",
        settings=lambda kappa: {"kappas": multiples(kappa, (0.01, 0.03, 0.1, 0.3, 1))},
    ),
    patients=patients,
)
"""The lab `ill-conditioning`."""
