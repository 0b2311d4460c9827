"""Lab: gradients through many equal layers grow or fade as powers of an eigenvalue."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider, multiples
from thalweg.labs.watching import Patient
from thalweg.optim import SGD

_GAP = 0.7
"""The second largest eigenvalue as a share of the largest."""
_ROWS, _TRAINED, _RATE = 8, 32, 1e-3
"""Of the trainings that the doctor watches: rows, steps and learning rate."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    radii: tuple[float, ...] = setting(
        (0.9, 1.0, 1.1), "largest eigenvalues λ of W", low=0.3, high=2
    )
    steps: int = setting(100, "steps t in time", low=40, high=400)
    size: int = setting(8, "units", low=2, high=50)
    seed: int = setting(0, "seed of W", low=0)


@dataclass(frozen=True)
class LinearSteps:
    """One matrix: its eigenvalues, and the gradient's norm after each step back in time."""

    radius: float
    norms: list[float]
    aligned: float
    apart: float


@dataclass(frozen=True)
class Data:
    """All chains."""

    settings: Settings
    chains: list[LinearSteps]


def compute(chosen: Settings) -> Data:
    """Go back through t equal linear steps by automatic differentiation, for each λ."""
    return Data(chosen, [_chain(chosen, radius) for radius in chosen.radii])


def _chain(chosen: Settings, radius: float) -> LinearSteps:
    draws = torch.Generator().manual_seed(chosen.seed)
    w, basis, eigenvalues = _matrix(chosen, radius, draws)
    inverse = torch.linalg.inv(basis)
    states = [torch.ones(chosen.size, dtype=torch.float64, requires_grad=True)]
    for _ in range(chosen.steps):
        states.append(w @ states[-1])
    out = torch.randn(chosen.size, generator=draws, dtype=torch.float64)
    back = torch.autograd.grad(out @ states[-1], states)[::-1]
    direct = inverse.T @ torch.diag(eigenvalues**chosen.steps) @ basis.T @ out
    left = inverse[0]  # the left eigenvector of the largest eigenvalue
    return LinearSteps(
        radius,
        [float(g.norm()) for g in back],
        abs(float((back[-1] / back[-1].norm()) @ (left / left.norm()))),
        float((back[-1] - direct).norm() / direct.norm()),
    )


def _matrix(
    chosen: Settings, radius: float, draws: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return W, its eigenvectors as columns, and its eigenvalues, the largest first."""
    basis = torch.randn(chosen.size, chosen.size, generator=draws, dtype=torch.float64)
    basis = torch.linalg.qr(basis).Q + 0.05 * basis  # not orthogonal: W is not symmetric
    eigenvalues = radius * torch.linspace(_GAP, 0.1, chosen.size, dtype=torch.float64)
    eigenvalues[0] = radius
    return basis @ torch.diag(eigenvalues) @ torch.linalg.inv(basis), basis, eigenvalues


def detect(data: Data) -> dict[str, float]:
    """Return the rate at which each gradient changes, its direction, and its distance from V diag(λ)ᵗV⁻¹."""
    found = {}
    for each in data.chains:
        found[f"λ = {each.radius:g}: log₁₀ of the change a step"] = _rate(each.norms)
        found[f"λ = {each.radius:g}: cosine with the eigenvector"] = each.aligned
        found[f"λ = {each.radius:g}: difference from V·diag(λ)ᵗ·V⁻¹"] = each.apart
    return found


def _rate(norms: list[float]) -> float:
    """Return the slope of log₁₀ of the norm over the last half of the steps."""
    half = len(norms) // 2
    y = torch.tensor(norms[half:], dtype=torch.float64).log10()
    x = torch.arange(len(y), dtype=torch.float64)
    x = x - x.mean()
    return float(x @ y / (x @ x))


def prove(data: Data) -> dict[str, Theory]:
    """Return log₁₀ λ, 1 and 0."""
    expected = {}
    within = 100 * _GAP ** (data.settings.steps / 2)  # what is left of the other eigenvalues
    for each in data.chains:
        expected[f"λ = {each.radius:g}: log₁₀ of the change a step"] = Theory(
            math.log10(each.radius), within + 1e-9, "each step multiplies the main part by λ"
        )
        expected[f"λ = {each.radius:g}: cosine with the eigenvector"] = Theory(
            1.0, within + 1e-9, "all other parts are (λ₂/λ)ᵗ of it: the power method"
        )
        expected[f"λ = {each.radius:g}: difference from V·diag(λ)ᵗ·V⁻¹"] = Theory(
            0.0, 1e-8, "Wᵗ = V·diag(λ)ᵗ·V⁻¹; rounding, which V's condition makes larger"
        )
    return expected


def draw(data: Data) -> Picture:
    """Draw the norm of the gradient over the steps back in time."""
    curves = []
    for each in data.chains:
        steps = range(len(each.norms))
        norms: list[float] = each.norms
        curves.append(curve(f"λ = {each.radius:g}", steps, norms))
        last = [norms[-1] * each.radius ** (k - len(norms) + 1) for k in steps]
        curves.append(
            curve(f"λᵗ, λ = {each.radius:g}", steps, last, dash=True, family=f"λ = {each.radius:g}")
        )
    return Picture(
        curves=tuple(curves),
        x=Axis("steps back in time"),
        y=Axis("norm of the gradient", log=True),
        hint="A straight line on this axis is a power. After a few steps only the largest "
        "eigenvalue counts; dashed: its powers alone.",
    )


class _Recurrent(torch.nn.Module):
    """x ↦ Wᵗx, one linear layer that is applied t times."""

    def __init__(self, w: torch.Tensor, times: int) -> None:
        super().__init__()
        self.step = torch.nn.Linear(len(w), len(w), bias=False, dtype=w.dtype)
        self.times = times
        with torch.no_grad():
            self.step.weight.copy_(w)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return Wᵗx for each row x."""
        for _ in range(self.times):
            x = self.step(x)
        return x


def patients(chosen: Settings) -> list[Patient]:
    """Return short trainings that begin with the smallest λ, and with the largest."""
    return [_patient(chosen, min(chosen.radii)), _patient(chosen, max(chosen.radii))]


def _patient(chosen: Settings, radius: float) -> Patient:
    """Return a training, in which a gradient that changes a hundredfold is meant to be told."""
    product = radius**chosen.steps
    fault = "vanishing_gradient" if product < 1 else "exploding_gradient"
    meant = (fault,) if not 0.01 < product < 100 else ()
    draws = torch.Generator().manual_seed(chosen.seed)
    w, _, _ = _matrix(chosen, radius, draws)
    model = _Recurrent(w, chosen.steps)
    optimizer = SGD(model.parameters(), lr=_RATE)
    x = torch.randn(_ROWS, chosen.size, generator=draws, dtype=torch.float64)
    run = f"training from λ = {radius:g}"
    return Patient(run, model, optimizer, "half_mse", [(x, x)] * _TRAINED, meant, forks=0.0)


LAB = Lab(
    name="long-products",
    title="Through many equal steps gradients grow or fade like λᵗ",
    what="A linear recurrent network applies one matrix W a hundred times. The gradient at each "
    "step back in time is computed by automatic differentiation: with a largest eigenvalue of "
    "1.1 it grows 10⁴ fold, with 0.9 it fades as far, and whatever it was at the output, in "
    "the end it points along one eigenvector.",
    why="Wᵗ = V·diag(λ)ᵗ·V⁻¹: every eigenvalue that is not near 1 explodes or vanishes, and after a "
    "while the largest one is all that is left. A vanishing gradient does not say where to go, "
    "and an exploding one makes cliffs. Layers that differ can balance each other, but a "
    "recurrent network multiplies with the same matrix in each step.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.5",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "spread",
        "distance of two eigenvalues λ from 1, on either side",
        (0.02, 0.05, 0.1, 0.2, 0.4, 0.7),
        0.1,
        "At 0 nothing grows or fades; beyond 0.7 the gradient soon has no digits left.",
        settings=lambda spread: {"radii": multiples(1, (1 - spread, 1, 1 + spread))},
    ),
    patients=patients,
)
"""The lab `long-products`."""
