"""Lab: models that are easy to optimize, seen by how the gradient comes down through their layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy
import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider

_ROWS = 16
_BEGIN = 5
"""Layers after which the size of the activations has settled, where a slope is measured."""
_PLAIN = ("sigmoid", "tanh", "ReLU", "maxout", "skip connections")

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    layers: int = setting(30, "layers, and steps of the LSTM", low=12, high=200)
    width: int = setting(128, "units in a layer", low=64, high=1024)
    seeds: int = setting(6, "networks of each kind", low=4, high=64)
    every: int = setting(6, "layers between two auxiliary heads", low=2, high=100)
    forget: float = setting(2.0, "bias of the LSTM's forget gate", low=-4, high=6)
    seed: int = setting(0, "seed", low=0)


@dataclass(frozen=True)
class Data:
    """By kind of model, the logarithm of the gradient's norm at each layer: a row for each seed."""

    settings: Settings
    norms: dict[str, Tensor]


def compute(chosen: Settings) -> Data:
    """Draw networks of each kind, and run a random gradient down through each.

    Raises:
        TaskError: where no layer is left for an auxiliary head.
    """
    if chosen.every >= chosen.layers:
        raise TaskError(
            "every of the lab 'easy-models' must be less than its layers; got "
            f"{chosen.every} of {chosen.layers}."
        )
    generator = torch.Generator().manual_seed(chosen.seed)
    runs: dict[str, list[Tensor]] = {}
    for _ in range(chosen.seeds):
        for name in _PLAIN:
            runs.setdefault(name, []).append(_network(chosen, name, generator))
        runs.setdefault("auxiliary heads", []).append(
            _network(chosen, "sigmoid", generator, heads=True)
        )
        runs.setdefault("LSTM", []).append(_lstm(chosen, generator))
    return Data(chosen, {name: torch.stack(rows) for name, rows in runs.items()})


def _network(
    chosen: Settings, name: str, generator: torch.Generator, *, heads: bool = False
) -> Tensor:
    """Return the log-norms of the gradient at the inputs of each layer, from the lowest up.

    A head is a random gradient with as many numbers as the layer has; there is one on the top, and with
    `heads` one after each so many layers below it.
    """
    n = chosen.width
    x = torch.randn(_ROWS, n, generator=generator, dtype=torch.float64)
    inputs: list[Tensor] = []
    loss = torch.zeros((), dtype=torch.float64)
    for layer in range(1, chosen.layers + 1):
        x.requires_grad_()
        inputs.append(x)
        x = _layer(chosen, name, x, generator)
        is_head = heads and (chosen.layers - layer) % chosen.every == 0
        if is_head or layer == chosen.layers:
            pull = torch.randn(x.shape, generator=generator, dtype=x.dtype) / math.sqrt(n)
            loss = loss + (x * pull).sum()
    gradients = torch.autograd.grad(loss, inputs)
    return torch.tensor([math.log(float(g.norm())) for g in gradients], dtype=torch.float64)


def _layer(chosen: Settings, name: str, x: Tensor, generator: torch.Generator) -> Tensor:
    def weight(square: float) -> Tensor:
        shape = (chosen.width, chosen.width)
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        return drawn * math.sqrt(square / chosen.width)

    if name == "maxout":
        return torch.maximum(x @ weight(1.0), x @ weight(1.0))
    if name == "skip connections":
        return x + torch.relu(x) @ weight(2.0 / chosen.layers)
    if name == "ReLU":
        return torch.relu(x @ weight(2.0))
    function: Activation = torch.tanh if name == "tanh" else torch.sigmoid
    return function(x @ weight(1.0))


def _lstm(chosen: Settings, generator: torch.Generator) -> Tensor:
    """Return the log-norms of the gradient at the cell of each step.

    The gates get nothing but their biases, so the cell's own way through time is seen alone.
    """
    n = chosen.width
    cell = nn.LSTMCell(1, n, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih[n : 2 * n] = chosen.forget
    state = torch.randn(_ROWS, n, generator=generator, dtype=torch.float64)
    nothing = torch.zeros(_ROWS, 1, dtype=torch.float64)
    hidden = torch.zeros_like(state)
    states: list[Tensor] = []
    for _ in range(chosen.layers):
        state.requires_grad_()
        states.append(state)
        hidden, state = cell(nothing, (hidden, state))
    pull = torch.randn(state.shape, generator=generator, dtype=state.dtype) / math.sqrt(n)
    gradients = torch.autograd.grad((state * pull).sum(), states)
    return torch.tensor([math.log(float(g.norm())) for g in gradients], dtype=torch.float64)


def detect(data: Data) -> dict[str, float]:
    """Return what a layer multiplies the gradient by, and what heads add at the lowest layer."""
    found = {
        f"{name}: log-factor of the gradient, a layer": float(_slopes(data, name).mean())
        for name in (*_PLAIN, "LSTM")
    }
    apart = data.norms["auxiliary heads"][:, 0] - data.norms["sigmoid"][:, 0]
    found["auxiliary heads: log of the gain at the lowest layer"] = float(apart.mean())
    return found


def _slopes(data: Data, name: str) -> Tensor:
    """Return, for each seed, by how much the log-norm falls from the top to where sizes have settled."""
    norms = data.norms[name]
    return (norms[:, _BEGIN] - norms[:, -1]) / (norms.shape[1] - 1 - _BEGIN)


def prove(data: Data) -> dict[str, Theory]:
    """Return what the mean squares of very wide layers say."""
    chosen = data.settings
    n, length = chosen.width, chosen.layers - 1 - _BEGIN
    # of a ReLU layer and one row the log-factor has the variance 5/(4n) and the mean −5/(8n), by the square
    # of its 16 rows, which go different ways, less of both; four standard errors
    within = 5 / (8 * n) + 4 * math.sqrt(5 / (4 * n * length * chosen.seeds)) / 2
    factors = {
        "sigmoid": (_by_mean_field(torch.sigmoid), "½·ln χ, χ = E φ′(√q·z)² where q = E φ(√q·z)²"),
        "tanh": (
            _by_mean_field(torch.tanh, chosen.layers),
            "½·ln E φ′(√q·z)², with q from layer to layer: it falls slowly to 0",
        ),
        "ReLU": (0.0, "half of the units pass a gradient, and the weights have the variance 2/n"),
        "maxout": (0.0, "each unit passes it to one of its two pieces, of variance 1/n"),
        "skip connections": (
            math.log1p(1 / chosen.layers) / 2,
            "½·ln(1 + 1/L): the branch adds a share 1/L to the square",
        ),
    }
    expected = {
        f"{name}: log-factor of the gradient, a layer": Theory(value, within, because)
        for name, (value, because) in factors.items()
    }
    name = "skip connections: log-factor of the gradient, a layer"  # only the branch, 1/L of it, varies
    expected[name] = replace(expected[name], within=within / math.sqrt(chosen.layers))
    expected["LSTM: log-factor of the gradient, a layer"] = Theory(
        -math.log1p(math.exp(-chosen.forget)), 1e-9, "the forget gate, σ(bias), and nothing else"
    )
    expected["auxiliary heads: log of the gain at the lowest layer"] = _of_heads(chosen, within)
    return expected


def _of_heads(chosen: Settings, within: float) -> Theory:
    """Return the gain by heads after `every` layers: their squares add up, each through its own layers."""
    square = 2 * _by_mean_field(torch.sigmoid)  # log χ
    below = range(0, chosen.layers, chosen.every)  # layers from a head to the top
    gain = math.log(math.fsum(math.exp(-square * each) for each in below)) / 2
    return Theory(
        gain,
        within * (max(below) + math.sqrt(chosen.layers)),
        "½·ln Σ χ^(−layers that a head saves): the lowest one decides",
    )


def _by_mean_field(function: Activation, layers: int | None = None) -> float:
    """Return the log-factor of a layer with weights of variance 1/n, in the limit of many units.

    With `layers` it is the mean over those that the slope is measured on, from inputs of square 1;
    without, that of sizes that have settled.
    """
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(150)
    z, share = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    square, logs = 1.0, []
    for _ in range(layers or 200):
        at = (math.sqrt(square) * z).requires_grad_()
        value = function(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
        logs.append(math.log(float(slope.square() @ share)) / 2)
        square = float(value.detach().square() @ share)
    if layers is None:
        return logs[-1]
    # the gradient at the inputs of a layer has passed it and those above
    return math.fsum(logs[_BEGIN : layers - 1]) / (layers - 1 - _BEGIN)


def draw(data: Data) -> Picture:
    """Draw the norm of the gradient by layer, the mean over the seeds."""
    layers = range(1, data.settings.layers + 1)
    return Picture(
        curves=tuple(
            curve(name, layers, norms.mean(0).exp().tolist(), dash=name == "auxiliary heads")
            for name, norms in data.norms.items()
        ),
        x=Axis("layer from below, or step"),
        y=Axis("norm of the gradient", log=True),
        hint="The gradient comes in on the right and goes down to the left. A straight line is a constant "
        "factor a layer; with auxiliary heads the lower layers hear the next head above.",
    )


LAB = Lab(
    name="easy-models",
    title="Some models pass the gradient down to their lowest layers, and others do not",
    what="Deep networks are drawn and a random gradient is run down through each. A layer of sigmoids "
    "leaves about a quarter of it, so the lowest of 30 get nothing; tanh loses little, ReLU and maxout "
    "nothing with weights of the right variance, and skip connections carry it past the layers. Auxiliary "
    "heads give lower layers a gradient of their own, and an LSTM multiplies it by its forget gate alone.",
    why="In a wide layer with weights of variance g²/n the square of the gradient is multiplied by "
    "g²·E φ′², a factor that can be computed from the activation alone. It is far below 1 where φ is flat, "
    "and 1 for parts that are linear, as of ReLU and maxout. A sum x + f(x) has the derivative 1 + f′: "
    "whatever f does, 1 is left. It is easier to choose a model that is easy to optimize than a better "
    "optimizer.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.7.5; Schoenholz et al. (2017), Deep "
    "Information Propagation, arXiv:1611.01232",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "layers",
        "layers, and steps of the LSTM",
        (12, 20, 30, 50, 80),
        30,
        "With fewer layers sizes have not settled; with more the lab takes longer than seconds.",
        unit="layers",
    ),
    patients="random gradients go through networks as they are drawn, and none is trained.",
)
"""The lab `easy-models`."""
