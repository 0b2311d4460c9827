"""Lab: the squared error is the likelihood of normal noise, less a constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient
from thalweg.optim import SGD
from thalweg.solvers import minimize

_UNITS = 6
"""Hidden units of the network."""
_RATE = 0.1


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(60, "rows of data", low=10, high=1000)
    noise: float = setting(0.3, "standard deviation of the target's noise", low=0.01, high=3)
    sigma: float = setting(0.5, "another σ of the model, held fixed", low=0.05, high=5)
    steps: int = setting(60, "steps of gradient descent", low=5, high=1000)
    seed: int = setting(0, "seed of the data and of the start", low=0)


@dataclass(frozen=True)
class Data:
    """Both objectives along a path of gradient descent, a table (steps, 3): ½MSE, NLL at σ = 1 and at σ."""

    settings: Settings
    values: Tensor
    gradient_gap: float
    variance: float
    error: float


def compute(chosen: Settings) -> Data:
    """Descend the squared error of a small network and evaluate the likelihood along the way."""
    x, y, start = _problem(chosen)
    point = torch.nn.Parameter(start)
    optimizer = SGD([point], lr=_RATE)
    values, gaps = [], []
    for _ in range(chosen.steps):
        outputs = _outputs(point, x)
        losses = [_half_mse(outputs, y), _nll(outputs, y, 1.0), _nll(outputs, y, chosen.sigma)]
        values.append(torch.stack(losses).detach())
        (g,) = torch.autograd.grad(losses[0], point, retain_graph=True)
        (of_likelihood,) = torch.autograd.grad(losses[1], point)
        gaps.append(float((g - of_likelihood).abs().max()))
        point.grad = g
        optimizer.step()
    outputs = _outputs(point, x).detach()
    best = minimize(lambda at: _nll(outputs, y, at.exp()), torch.zeros((), dtype=x.dtype))
    error = 2 * float(_half_mse(outputs, y))
    return Data(chosen, torch.stack(values), max(gaps), math.exp(2 * float(best.x)), error)


def _problem(chosen: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets, and the start of the network's weights."""
    noise = torch.Generator().manual_seed(chosen.seed)
    x = torch.linspace(-2, 2, chosen.rows, dtype=torch.float64)
    y = torch.sin(2 * x) + chosen.noise * torch.randn(x.shape, generator=noise, dtype=x.dtype)
    return x, y, torch.randn(3, _UNITS, generator=noise, dtype=x.dtype)


def _outputs(point: Tensor, x: Tensor) -> Tensor:
    """Return Σ aᵢ·tanh(wᵢx + bᵢ)."""
    w, b, a = point.unbind()
    return torch.tanh(x[:, None] * w + b) @ a


def _half_mse(outputs: Tensor, y: Tensor) -> Tensor:
    return (outputs - y).square().mean() / 2


def _nll(outputs: Tensor, y: Tensor, sigma: float | Tensor) -> Tensor:
    """Return the mean of −log N(y; ŷ, σ²)."""
    likely: Tensor = torch.distributions.Normal(outputs, sigma).log_prob(y)  # type: ignore[no-untyped-call]
    return -likely.mean()


def detect(data: Data) -> dict[str, float]:
    """Return the differences along the path, and the variance that is most likely."""
    half, likelihood, other = data.values.unbind(1)
    difference = likelihood - half
    scaled = other - half / data.settings.sigma**2
    return {
        "NLL − ½MSE at the start": float(difference[0]),
        "NLL − ½MSE: range along the path": float(difference.max() - difference.min()),
        "gradients: largest difference": data.gradient_gap,
        "at the other σ: NLL − ½MSE/σ²": float(scaled[-1]),
        "the most likely variance": data.variance,
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return ½log 2π, 0, 0, log σ + ½log 2π, and the mean squared error."""
    constant = math.log(2 * math.pi) / 2
    return {
        "NLL − ½MSE at the start": Theory(constant, 1e-9, "−log N = ½(y − ŷ)² + ½log 2π"),
        "NLL − ½MSE: range along the path": Theory(
            0.0, 1e-9, "the constant does not depend on the parameters"
        ),
        "gradients: largest difference": Theory(0.0, 1e-9, "a constant has no gradient"),
        "at the other σ: NLL − ½MSE/σ²": Theory(
            constant + math.log(data.settings.sigma),
            1e-9,
            "−log N = ½(y − ŷ)²/σ² + log σ + ½log 2π",
        ),
        "the most likely variance": Theory(
            data.error,
            1e-5 * data.error,
            "∂NLL/∂σ = 0 where σ² is the mean squared error; the solver stops a little before",
        ),
    }


def draw(data: Data) -> Picture:
    """Draw the three objectives over the steps."""
    half, likelihood, other = (column.tolist() for column in data.values.unbind(1))
    steps = range(len(half))
    return Picture(
        curves=(
            curve("½MSE", steps, half),
            curve("NLL, σ = 1", steps, likelihood),
            curve(f"NLL, σ = {data.settings.sigma:g}", steps, other, dash=True),
        ),
        x=Axis("steps of gradient descent"),
        y=Axis("objective"),
        hint="The first two curves are the same, one ½log 2π = 0.919 above the other. With another "
        "σ the curve is stretched by 1/σ², too: the learning rate would have to be σ² times as "
        "large.",
    )


class _Network(torch.nn.Module):
    """The small network as a model of single inputs."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.point = torch.nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return its outputs."""
        return _outputs(self.point, x)


def patients(chosen: Settings) -> list[Patient]:
    """Return the descent on the squared error."""
    x, y, start = _problem(chosen)
    model = _Network(start)
    optimizer = SGD(model.parameters(), lr=_RATE)
    return [Patient("gradient descent", model, optimizer, "half_mse", [(x, y)] * chosen.steps)]


LAB = Lab(
    name="maximum-likelihood",
    title="The squared error is the likelihood of normal noise",
    what="A network learns noisy values by the squared error. Along its path the negative "
    "log-likelihood of the targets, as if they were normal around the outputs with variance 1, "
    "is the same number plus 0.919, and has the same gradient. With another fixed variance it "
    "is stretched as well, and the variance that is most likely is the mean squared error.",
    why="−log N(y; ŷ, σ²) = ½(y − ŷ)²/σ² + log σ + ½log 2π. Only the first term depends on the "
    "parameters. So whoever minimizes the squared error maximizes the likelihood of normal "
    "noise of constant variance, knowingly or not; other noise asks for another loss.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 5.5.1 and 6.2.1.1",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "sigma",
        "another σ of the model, held fixed",
        (0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
        0.5,
        "The findings hold beyond, too; at 0 there is no likelihood.",
    ),
    patients=patients,
)
"""The lab `maximum-likelihood`."""
