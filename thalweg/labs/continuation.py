"""Lab: a blurred objective leads to the global minimum, and where blurring cannot help."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import NOTHING, OfPoint, Patient, value
from thalweg.optim import SGD

_REACH = 4.0
"""Starts lie between −4 and 4."""
_MOST = 5000
_WATCHED = 100
"""Steps that the doctor watches."""
_NODES = 120
"""Of the quadrature, which is exact to rounding for waves as short as the settings allow."""

Objective = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    depth: float = setting(1.0, "height b of the waves", low=0.3, high=5)
    waves: float = setting(5.0, "wave number k", low=3, high=8)
    minimum: float = setting(0.7, "where the bowl is lowest", low=-2, high=2)
    blurs: tuple[float, ...] = setting(
        (1.0, 0.7, 0.5, 0.35, 0.2, 0.0), "blurs σ, the last one 0", low=0, high=2
    )
    starts: int = setting(81, "starts of either method", low=5, high=1001)
    samples: int = setting(20_000, "samples of an expectation", low=100)
    seed: int = setting(0, "seed", low=0)


@dataclass(frozen=True)
class Data:
    """Where each start ends, and what was measured of the blurred objectives."""

    settings: Settings
    best: float
    """The global minimum, by a fine grid and Newton's method."""
    basin: tuple[float, float]
    starts: Tensor
    plain: Tensor
    followed: Tensor
    """A row for each blur: where the starts are at its end."""
    sampled: list[tuple[float, float, float]]
    """At the first blur, points with the mean of the samples and its standard error."""
    convex_from: float
    failure: float
    """The largest difference between the gradients of −θᵀθ with and without blur."""
    failure_curvature: float


def compute(chosen: Settings) -> Data:
    """Descend from every start, on the objective and on its blurs in turn.

    Raises:
        TaskError: for blurs that do not fall to 0 or begin too small, and waves that make no second
            minimum.
    """
    _check(chosen)
    starts = torch.linspace(-_REACH, _REACH, chosen.starts, dtype=torch.float64)
    grid = torch.linspace(-_REACH, _REACH, 80_001, dtype=torch.float64)
    values = _fun(chosen, grid)
    best = _root(chosen, float(grid[values.argmin()]))
    at, followed = starts, []
    for blur in chosen.blurs:
        at = _descend(chosen, at, blur)
        followed.append(at)
    generator = torch.Generator().manual_seed(chosen.seed)
    return Data(
        settings=chosen,
        best=best,
        basin=_basin(chosen, best, grid),
        starts=starts,
        plain=_descend(chosen, starts, 0.0),
        followed=torch.stack(followed),
        sampled=[_sampled(chosen, at, generator) for at in (-1.0, 0.3, best)],
        convex_from=_convex_from(chosen, grid),
        failure=_failure(chosen),
        failure_curvature=_curvature_of_failure(max(chosen.blurs)),
    )


def _check(chosen: Settings) -> None:
    blurs = chosen.blurs
    if len(blurs) < 2 or blurs[-1] != 0 or any(a <= b for a, b in itertools.pairwise(blurs)):
        raise TaskError(
            f"blurs of the lab 'continuation' must fall, the last one to 0; got {blurs}."
        )
    if chosen.depth * chosen.waves**2 <= 1:
        raise TaskError(
            "The lab 'continuation' needs waves with a minimum of their own: depth·waves² > 1; got "
            f"{chosen.depth * chosen.waves**2:g}."
        )
    if blurs[0] <= _convex_by_formula(chosen):
        raise TaskError(
            "The first blur of the lab 'continuation' must leave one minimum, so it must be larger than "
            f"{_convex_by_formula(chosen):.3g} with these waves; got {blurs[0]:g}."
        )


def _fun(chosen: Settings, at: Tensor, blur: float = 0.0) -> Tensor:
    """Return ½((θ − c)² + σ²) − b·e^(−k²σ²/2)·cos(kθ), the objective under a blur."""
    k = chosen.waves
    bowl = ((at - chosen.minimum).square() + blur**2) / 2
    return bowl - chosen.depth * math.exp(-((k * blur) ** 2) / 2) * (k * at).cos()


def _slope(chosen: Settings, at: Tensor, blur: float) -> Tensor:
    k = chosen.waves
    wave = chosen.depth * k * math.exp(-((k * blur) ** 2) / 2) * (k * at).sin()
    return at - chosen.minimum + wave


def _descend(chosen: Settings, at: Tensor, blur: float) -> Tensor:
    """Descend by steps of 1/(1 + bk²), the inverse of the largest curvature, until no start moves."""
    rate = 1 / (1 + chosen.depth * chosen.waves**2)
    for _ in range(_MOST):
        step = rate * _slope(chosen, at, blur)
        at = at - step
        if float(step.abs().max()) < 1e-12:
            break
    return at


def _root(chosen: Settings, at: float) -> float:
    """Return the stationary point next to a point, by Newton's method."""
    b, k, c = chosen.depth, chosen.waves, chosen.minimum
    for _ in range(50):
        at -= (at - c + b * k * math.sin(k * at)) / (1 + b * k**2 * math.cos(k * at))
    return at


def _basin(chosen: Settings, best: float, grid: Tensor) -> tuple[float, float]:
    """Return the crests on either side of the global minimum, by the signs of the slope on a grid."""
    rising = _slope(chosen, grid, 0.0) > 0
    left, right = grid[(grid < best) & rising], grid[(grid > best) & ~rising]
    return (
        float(left.max()) if len(left) else -math.inf,
        float(right.min()) if len(right) else math.inf,
    )


def _quadrature() -> tuple[Tensor, Tensor]:
    """Return nodes z and weights with Σw·f(z) = E f(z) for z ~ N(0, 1)."""
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(_NODES)
    return torch.tensor(nodes), torch.tensor(weights / weights.sum())


def _blurred(fun: Objective, at: Tensor, blur: float) -> Tensor:
    """Return E f(θ + σz) by quadrature."""
    nodes, weights = _quadrature()
    return fun(at[:, None] + blur * nodes) @ weights


def _sampled(chosen: Settings, at: float, generator: torch.Generator) -> tuple[float, float, float]:
    drawn = torch.randn(chosen.samples, generator=generator, dtype=torch.float64)
    values = _fun(chosen, at + chosen.blurs[0] * drawn)
    return at, float(values.mean()), float(values.std()) / math.sqrt(chosen.samples)


def _convex_by_formula(chosen: Settings) -> float:
    return math.sqrt(2 * math.log(chosen.depth * chosen.waves**2)) / chosen.waves


def _convex_from(chosen: Settings, grid: Tensor) -> float:
    """Return the least blur under which no point of the grid has a negative curvature, by bisection."""
    points = grid[:: len(grid) // 500]

    def least(blur: float) -> float:
        at = points.clone().requires_grad_()
        value = _blurred(lambda theta: _fun(chosen, theta), at, blur).sum()
        (slope,) = torch.autograd.grad(value, at, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), at)
        return float(bend.min())

    low, high = 0.0, 2.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if least(middle) < 0 else (low, middle)
    return (low + high) / 2


def _hill(at: Tensor) -> Tensor:
    return -at.square()


def _failure(chosen: Settings) -> float:
    at = torch.linspace(-_REACH, _REACH, 41, dtype=torch.float64).requires_grad_()
    (plain,) = torch.autograd.grad(_hill(at).sum(), at)
    apart = [
        torch.autograd.grad(_blurred(_hill, at, blur).sum(), at)[0] - plain for blur in chosen.blurs
    ]
    return float(torch.stack(apart).abs().max())


def _curvature_of_failure(blur: float) -> float:
    at = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(_blurred(_hill, at, blur).sum(), at, create_graph=True)
    return float(torch.autograd.grad(slope.sum(), at)[0])


def detect(data: Data) -> dict[str, float]:
    """Return how many starts reach the global minimum, and what the blur does."""
    found = {
        "gradient descent: share of starts at the global minimum": _reached(data, data.plain),
        "continuation: share of starts at the global minimum": _reached(data, data.followed[-1]),
        "blur from which the objective is convex": data.convex_from,
        "−θᵀθ: what any blur changes of the gradient": data.failure,
        "−θᵀθ: curvature under the largest blur": data.failure_curvature,
    }
    for at, mean, _ in data.sampled:
        found[f"blurred objective at θ = {at:.3g}, by samples"] = mean
    return found


def _reached(data: Data, ends: Tensor) -> float:
    return float(((ends - data.best).abs() < 1e-6).double().mean())


def prove(data: Data) -> dict[str, Theory]:
    """Return what the basin and the expectation of a wave say."""
    chosen = data.settings
    inside = (data.starts > data.basin[0]) & (data.starts < data.basin[1])
    expected = {
        "gradient descent: share of starts at the global minimum": Theory(
            float(inside.double().mean()),
            1.5 / chosen.starts,
            "those between the two crests beside it; one may lie on a crest",
        ),
        "continuation: share of starts at the global minimum": Theory(
            1.0, 0.0, "the first blur leaves one minimum, and each next one is begun beside its own"
        ),
        "blur from which the objective is convex": Theory(
            _convex_by_formula(chosen),
            1e-3,
            "√(2·ln(bk²))/k: there the waves' curvature, at most bk²·e^(−k²σ²/2), is the bowl's",
        ),
        "−θᵀθ: what any blur changes of the gradient": Theory(
            0.0, 1e-9, "E −|θ + σz|² = −|θ|² − dσ²: the blur only lowers it"
        ),
        "−θᵀθ: curvature under the largest blur": Theory(
            -2.0, 1e-9, "it is −2 under every blur, so no blur makes it convex"
        ),
    }
    for at, _, error in data.sampled:
        here = torch.tensor(at, dtype=torch.float64)
        expected[f"blurred objective at θ = {at:.3g}, by samples"] = Theory(
            float(_fun(chosen, here, chosen.blurs[0])),
            4 * error,
            "E cos(kθ + σkz) = e^(−k²σ²/2)·cos(kθ), and E (θ + σz)² = θ² + σ²; four standard errors",
        )
    return expected


def draw(data: Data) -> Picture:
    """Draw the objective under each blur, with the minimum that is followed and where descent ends."""
    chosen = data.settings
    grid = torch.linspace(-_REACH, _REACH, 801, dtype=torch.float64)
    curves = [
        curve(f"σ = {blur:g}", grid.tolist(), _fun(chosen, grid, blur).tolist(), dash=bool(blur))
        for blur in (*chosen.blurs[:: max(1, len(chosen.blurs) // 3)], 0.0)[:4]
    ]
    ends = data.followed[:, 0]
    heights = [float(_fun(chosen, at, blur)) for at, blur in zip(ends, chosen.blurs, strict=True)]
    plain = torch.tensor(sorted(set(data.plain.tolist())), dtype=torch.float64)
    curves += [
        curve("continuation", ends.tolist(), heights, dots=True),
        curve(
            "ends of gradient descent",
            plain.tolist(),
            _fun(chosen, plain).tolist(),
            dots=True,
            line=False,
        ),
    ]
    return Picture(
        curves=tuple(curves),
        x=Axis("θ"),
        y=Axis("objective"),
        hint="Gradient descent ends in the well where it began. Continuation begins in the single well of "
        "the largest blur and follows it, blur by blur, into the deepest one.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return gradient descent from the leftmost start: what the doctor sees of it is a healthy descent."""
    model = OfPoint(lambda at: _fun(chosen, at), torch.tensor([-_REACH], dtype=torch.float64))
    optimizer = SGD(model.parameters(), lr=1 / (1 + chosen.depth * chosen.waves**2))
    run = "gradient descent into the first well, which may be no deep one"
    return [Patient(run, model, optimizer, value, [NOTHING] * _WATCHED)]


LAB = Lab(
    name="continuation",
    title="A blurred objective has one minimum, and leads to the deepest of many",
    what="The objective is a bowl with waves: ½(θ − c)² − b·cos(kθ). Gradient descent ends in the well where "
    "it began. Continuation minimizes the mean of the objective over θ + σz instead, z standard normal, "
    "first for a large σ and then for smaller ones, each from where the last one ended: from every start "
    "it reaches the deepest well. On −θᵀθ, where no minimum exists, blurring changes nothing.",
    why="The mean of a wave is e^(−k²σ²/2) times the wave, so a blur takes the waves away and leaves the "
    "bowl: beyond σ = √(2·ln(bk²))/k the objective is convex. What remains must point at the deepest well "
    "for this to work; here it does. The mean of −|θ + σz|² is −|θ|² − dσ²: the same gradient under every "
    "blur, so a function that no blur makes convex gains nothing.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.7.6; Mobahi and Fisher (2015), A "
    "Theoretical Analysis of Optimization by Gaussian Continuation",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "depth",
        "height b of the waves",
        (0.3, 0.5, 1.0, 2.0, 3.0, 5.0),
        1.0,
        "Lower waves make few minima; beyond, the first blur must be wider than usual to leave one.",
    ),
    patients=patients,
)
"""The lab `continuation`."""
