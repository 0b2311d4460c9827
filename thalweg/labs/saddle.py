"""Lab: who lands on a saddle, who leaves it, and how long that takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider, multiples
from thalweg.labs.watching import NOTHING, OfPoint, Patient, value
from thalweg.optim import SGD
from thalweg.solvers import Result, minimize
from thalweg.solvers.direction.newton import Newton
from thalweg.solvers.objectives.objective import ScalarObjective

_LEFT = 0.05
"""|y| at which the saddle is left: there y³ is still small compared with the curvature times y."""
_NEWTON = 8
"""Steps of Newton's method."""
_MOST = 100_000
"""Steps of gradient descent at most."""
_WATCHED = 200
"""Steps that the doctor watches, after which only the saddle is left."""
_LOG_NORMAL = -(0.5772156649015329 + math.log(2)) / 2
"""The mean of log|Z|, Z standard normal; its standard deviation is π/√8."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    curvatures: tuple[float, ...] = setting(
        (2.0, 0.5), "curvatures b of the ridge", low=0.1, high=4
    )
    distances: tuple[float, ...] = setting(
        (1e-2, 1e-4, 1e-6),
        "distances from the ridge at the start, at least two",
        low=1e-12,
        high=0.02,
    )
    rate: float = setting(0.05, "learning rate", low=0.01, high=0.2)
    noise: float = setting(1e-4, "standard deviation of the gradient's noise", low=1e-9, high=1e-3)
    runs: int = setting(400, "runs with noise", low=50, high=5000)
    seed: int = setting(0, "seed of the noise", low=0)


@dataclass(frozen=True)
class Descents:
    """Gradient descent at one curvature, a path [steps, starts, 2], and when each start left the saddle."""

    curvature: float
    path: Tensor
    left: list[int]


@dataclass(frozen=True)
class Data:
    """What each method did."""

    settings: Settings
    descents: list[Descents]
    noisy: Descents
    ridge: Tensor
    newton: Tensor
    doubled: int
    """Steps of |H|⁻¹g, each of its whole length, until the saddle was left."""
    saddle_free: Result


def compute(chosen: Settings) -> Data:
    """Run each method from x = 1 and its distance from the ridge y = 0."""
    if len(set(chosen.distances)) < 2:
        raise TaskError(
            f"distances needs two different numbers, to have a slope; got {chosen.distances}."
        )
    first = chosen.curvatures[0]
    starts = _starts(chosen.distances)
    on_ridge = _starts([0.0])
    descents = [_descend(b, starts, chosen.rate) for b in chosen.curvatures]
    noise = torch.Generator().manual_seed(chosen.seed)
    noisy = _descend(first, on_ridge.repeat(chosen.runs, 1), chosen.rate, chosen.noise, noise)
    return Data(
        chosen,
        descents,
        noisy,
        _descend(first, on_ridge, chosen.rate, most=len(noisy.path)).path[:, 0],
        _newton(first, _starts([max(chosen.distances)])),
        _doubled(first, _starts([min(chosen.distances)])),
        minimize(
            lambda at: _fun(at, first),
            _starts([min(chosen.distances)])[0],
            "newton",
            remedy="saddle-free",
        ),
    )


def _fun(at: Tensor, b: float) -> Tensor:
    """Return x² − ½b·y² + ¼y⁴: a saddle at 0, minima of −¼b² at x = 0, y = ±√b."""
    x, y = at.unbind(-1)
    return x**2 - b / 2 * y**2 + y**4 / 4


def _starts(distances: tuple[float, ...] | list[float]) -> Tensor:
    return torch.tensor([[1.0, y] for y in distances], dtype=torch.float64)


def _gradient(at: Tensor, b: float) -> Tensor:
    at = at.detach().requires_grad_()
    return torch.autograd.grad(_fun(at, b).sum(), at)[0]


def _descend(
    b: float,
    starts: Tensor,
    rate: float,
    noise: float = 0.0,
    generator: torch.Generator | None = None,
    most: int = _MOST,
) -> Descents:
    """Descend until every start has left the saddle, and half as many steps again."""
    at, path = starts, [starts]
    left = torch.zeros(len(starts), dtype=torch.long)
    last = most
    while len(path) <= last:
        g = _gradient(at, b)
        if noise:
            g = g + noise * torch.randn(g.shape, generator=generator, dtype=g.dtype)
        at = at - rate * g
        beyond = (at[:, 1].abs() >= _LEFT) & (left == 0)
        left[beyond] = len(path)
        if last == most and bool((left > 0).all()):
            last = len(path) + len(path) // 2
        path.append(at)
    return Descents(b, torch.stack(path), left.tolist())


def _newton(b: float, at: Tensor) -> Tensor:
    """Return the path of plain Newton, w ← w − H⁻¹g."""
    objective = ScalarObjective(lambda point: _fun(point, b), at.shape[1:])
    path = [at[0]]
    for _ in range(_NEWTON):
        step = torch.linalg.solve(objective.model(at).dense(), _gradient(at, b))
        at = at - step
        path.append(at[0])
    return torch.stack(path)


def _doubled(b: float, at: Tensor) -> int:
    """Return how many whole steps −|H|⁻¹g leave the saddle."""
    objective = ScalarObjective(lambda point: _fun(point, b), at.shape[1:])
    direction = Newton("saddle-free")
    state, steps = direction.init(at, at), 0
    while float(at[0, 1].abs()) < _LEFT:
        d, state = direction.propose(state, _gradient(at, b), objective.model(at))
        at, steps = at + d, steps + 1
    return steps


def detect(data: Data) -> dict[str, float]:
    """Return where the methods ended, and how many steps it took them to leave."""
    found = {
        "Newton: y after a step": float(data.newton[1, 1]),
        "Newton: distance from the saddle at the end": float(data.newton[-1].norm()),
        "saddle-free Newton: steps to leave": data.doubled,
        "saddle-free Newton: objective at the end": data.saddle_free.fun,
        "GD from the ridge: distance from it at the end": float(data.ridge[-1, 1].abs()),
        "GD with noise: mean steps to leave": sum(data.noisy.left) / len(data.noisy.left),
    }
    for each in data.descents:
        found[_tenth(each.curvature)] = math.log(10) * _slope(data.settings.distances, each.left)
    return found


def _tenth(curvature: float) -> str:
    return f"GD, b = {curvature:g}: steps that a tenth of the distance adds"


def _weights(distances: tuple[float, ...]) -> Tensor:
    """Return the weights w with Σw·n the slope of n over log(1/distance), by least squares."""
    far = -torch.tensor(distances, dtype=torch.float64).log()
    far = far - far.mean()
    return far / (far @ far)


def _slope(distances: tuple[float, ...], steps: list[int]) -> float:
    return float(_weights(distances) @ torch.tensor(steps, dtype=torch.float64))


def prove(data: Data) -> dict[str, Theory]:
    """Return what the linear recursion at the saddle says, and Newton's cubic one."""
    chosen, b = data.settings, data.settings.curvatures[0]
    y, smallest = max(chosen.distances), min(chosen.distances)
    expected = {
        "Newton: y after a step": Theory(
            2 * y**3 / (3 * y**2 - b),
            1e-12,
            "2y³/(3y² − b): Newton goes to where the gradient is zero",
        ),
        "Newton: distance from the saddle at the end": Theory(
            0.0, 1e-12, "y shrinks to its cube with each step, and x is 0 after the first"
        ),
        "saddle-free Newton: steps to leave": Theory(
            math.log2(_LEFT / smallest),
            1.0,
            "each step doubles y, whatever the curvature; rounded up",
        ),
        "saddle-free Newton: objective at the end": Theory(
            -(b**2) / 4, 1e-8, "the minimum: −b²/4 at y = ±√b"
        ),
        "GD from the ridge: distance from it at the end": Theory(
            0.0, 0.0, "on the ridge the gradient has no part across it"
        ),
        "GD with noise: mean steps to leave": _by_noise(b, chosen),
    }
    for each in data.descents:
        # a count is rounded up, so it is up to half a step from its mean
        within = math.log(10) * float(_weights(chosen.distances).abs().sum()) / 2
        expected[_tenth(each.curvature)] = Theory(
            math.log(10) / math.log1p(chosen.rate * each.curvature),
            within + 1e-9,
            "ln 10/ln(1 + ηb): each step multiplies y by 1 + ηb",
        )
    return expected


def _by_noise(b: float, chosen: Settings) -> Theory:
    """Return the mean time in which y ← (1 + ηb)·y + ηξ, from 0, leaves."""
    growth = 1 + chosen.rate * b
    spread = chosen.rate * chosen.noise / math.sqrt(growth**2 - 1)
    mean = (math.log(_LEFT / spread) - _LOG_NORMAL) / math.log(growth) + 0.5
    error = math.pi / math.sqrt(8 * chosen.runs) / math.log(growth)
    return Theory(
        mean,
        4 * error + 1,
        "y/(1 + ηb)ᵗ comes to a normally distributed number of standard deviation ησ/√((1 + ηb)² − 1); four "
        "standard errors, and a step for rounding",
    )


def draw(data: Data) -> Picture:
    """Draw the objective over the steps."""
    first = data.descents[0]
    chosen, b = data.settings, first.curvature
    values = _fun(first.path, b)
    curves = [
        curve(f"GD from {distance:g}", range(len(values)), values[:, k].tolist(), family="GD")
        for k, distance in enumerate(chosen.distances)
    ]
    noisy = _fun(data.noisy.path[:, 0], b).tolist()
    ridge = _fun(data.ridge, b).tolist()
    newton = _fun(data.newton, b).tolist()
    free = [each.fun for each in data.saddle_free.history]
    curves += [
        curve("GD with noise, from the ridge", range(len(noisy)), noisy),
        curve("GD from the ridge", range(len(ridge)), ridge, dash=True),
        curve("Newton", range(len(newton)), newton, dots=True),
        curve("saddle-free Newton", range(len(free)), free, dots=True),
    ]
    return Picture(
        curves=tuple(curves),
        x=Axis("steps"),
        y=Axis("objective"),
        hint="At 0 lies the saddle, at the bottom the minima. The closer to the ridge a start is, the longer "
        "is the plateau: each hundredth of the distance adds the same number of steps.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return gradient descent from the ridge, which never leaves it."""
    b = chosen.curvatures[0]
    model = OfPoint(lambda at: _fun(at, b), _starts([0.0])[0])
    optimizer = SGD(model.parameters(), lr=chosen.rate)
    return [
        Patient(
            "gradient descent from the ridge",
            *(model, optimizer, value, [NOTHING] * _WATCHED),
            meant=("plateau_or_saddle",),
        )
    ]


LAB = Lab(
    name="saddle",
    title="Newton lands on a saddle, gradient descent lingers, saddle-free Newton leaves",
    what="The objective x² − ½b·y² + ¼y⁴ rises from 0 along x and falls along y, to two minima. Every "
    "method first slides down to the saddle at 0. Gradient descent stays there for a while, longer "
    "the closer to the ridge y = 0 it began, and for ever if it began on it; a little noise frees "
    "it. Newton's method goes to the saddle and remains; with the absolute values of the "
    "eigenvalues it leaves within a few steps.",
    why="Near the saddle a step of gradient descent multiplies y by 1 + ηb. From a distance δ that takes "
    "ln(1/δ)/ln(1 + ηb) steps, or about ln(1/δ)/(ηb): a plateau, though never a long one unless the "
    "curvature b is small. Newton's step goes to where the gradient of the quadratic model is zero, "
    "and that is the saddle: −g divided by a negative curvature points uphill. Divided by its "
    "absolute value it points downhill, and doubles y whatever the curvature: −|H|⁻¹g.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.3; Dauphin et al. (2014), "
    "Identifying and attacking the saddle point problem, arXiv:1406.2572",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "curvature",
        "curvature b of the ridge; a second one is a quarter of it",
        (0.8, 1.2, 1.6, 2.0, 3.0, 4.0),
        2.0,
        "Of a flatter ridge the minima are too shallow to be seen; beyond 4 they are too steep for the "
        "largest rate.",
        settings=lambda b: {"curvatures": multiples(b, (1, 0.25))},
    ),
    patients=patients,
)
"""The lab `saddle`."""
