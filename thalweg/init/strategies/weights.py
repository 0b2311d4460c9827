"""Strategies that draw the weights of a layer by its fans and the activation behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError, suggest
from thalweg.init.strategies import matrices
from thalweg.init.strategies.strategy import Drawing, per_layer
from thalweg.model.layers import Layer

Distribution = Literal["normal", "uniform", "truncated"]
Fan = Literal["fan_in", "fan_out", "average"]

_DRAWS = {
    "normal": matrices.normal,
    "uniform": matrices.uniform,
    "truncated": matrices.truncated,
}


@per_layer("hidden", "output", "recurrent")
def scaled_uniform(task: Drawing) -> None:
    """Draw weights from U(−1/√m, 1/√m), m inputs of a unit: their variance is 1/(3m).

    >>> scaled_uniform()
    scaled_uniform
    """
    m = task.layer.fan_in
    task.put(_drawn(task, matrices.uniform) / math.sqrt(3 * m))


@per_layer("hidden", "output", "recurrent")
def scaled_normal(task: Drawing, std: float | None = None) -> None:
    """Draw weights from N(0, σ²), by default with σ = 1/√m, m inputs of a unit.

    Args:
        std: σ.
    """
    scale = 1 / math.sqrt(task.layer.fan_in) if std is None else _positive("std", std)
    task.put(_drawn(task, matrices.normal) * scale)


@per_layer("hidden", "output", "recurrent")
def truncated_normal(task: Drawing, std: float | None = None, cut: float = 2.0) -> None:
    """Draw weights from a normal distribution cut off at ±cut standard deviations, whose standard
    deviation after the cut is σ, by default 1/√m.

    `torch.nn.init.trunc_normal_` gives the σ before the cut: at 2 it leaves .88 of it.

    Args:
        std: σ.
        cut: where it is cut off, in standard deviations before the cut.
    """
    scale = 1 / math.sqrt(task.layer.fan_in) if std is None else _positive("std", std)
    cut = _positive("cut", cut)
    task.put(_drawn(task, matrices.truncated, cut) * scale)


@per_layer("hidden", "output", "recurrent")
def lecun(task: Drawing, distribution: Distribution = "normal") -> None:
    """Draw weights with the variance 1/m, m inputs of a unit (LeCun et al., Efficient BackProp, 1998).

    Args:
        distribution: "normal", "uniform" or "truncated".
    """
    task.put(_of(task, distribution) / math.sqrt(task.layer.fan_in), 1.0)


@per_layer("hidden", "output", "recurrent")
def glorot(task: Drawing, gain: float = 1.0, distribution: Distribution = "uniform") -> None:
    """Draw weights with the variance 2g²/(m + n), m inputs of a unit and n units that an input goes to
    (Glorot and Bengio 2010): uniform on ±g√(6/(m + n)), or normal.

    Args:
        gain: g.
        distribution: "uniform", "normal" or "truncated".
    """
    gain = _positive("gain", gain)
    scale = gain * math.sqrt(2 / (task.layer.fan_in + task.layer.fan_out))
    task.put(_of(task, distribution) * scale, gain)


@per_layer("hidden", "output", "recurrent")
def he(
    task: Drawing,
    gain: float | None = None,
    slope: float | None = None,
    fan: Fan = "fan_in",
    distribution: Distribution = "normal",
) -> None:
    """Draw weights with the variance g²/m, m inputs of a unit (He et al. 2015): 2/m before a ReLU,
    2/((1 + a²)m) before a leaky one.

    The gain is that of the activation behind the layer, 1 where there is none, and √2 where it is not
    known what there is.

    Args:
        gain: g, instead of the activation's.
        slope: a of a leaky ReLU, instead of the activation found.
        fan: "fan_in" keeps the scale of the outputs, "fan_out" that of the gradients; or their
            "average".
        distribution: "normal", "uniform" or "truncated".

    >>> from torch import nn
    >>> from thalweg import init
    >>> net = nn.Sequential(nn.Linear(100, 400), nn.LeakyReLU(0.2), nn.Linear(400, 1))
    >>> rows = init.apply(net, init.he()).rows
    >>> [(row.name, round(row.gain, 3)) for row in rows]
    [('0.weight', 1.387), ('2.weight', 1.0)]
    """
    if slope is not None:
        if gain is not None:
            raise TaskError("init.he takes a gain or a slope of a leaky ReLU, not both.")
        gain = math.sqrt(2 / (1 + slope**2))
    own = _gain(task.layer, gain, math.sqrt(2))
    task.put(_of(task, distribution) * own / math.sqrt(_fan(task.layer, fan)), own)


@per_layer("hidden", "output", "recurrent")
def orthogonal(task: Drawing, gain: float | None = None, aspect: bool = True) -> None:
    """Draw an orthogonal matrix times a gain, uniform among all (Saxe et al. 2014): QᵀQ = g²·I or QQᵀ = g²·I.

    A layer with more units n than inputs m would scale the variance by m/n, so its gain is g√(n/m). Each
    gate of a recurrent layer gets a matrix of its own. A convolution's is orthogonal as a matrix of units ×
    (channels · taps), which makes it no isometry: see `delta_orthogonal`.

    Args:
        gain: g; by default that of the activation behind the layer, √2 before a ReLU.
        aspect: whether to correct for more units than inputs.
    """
    own = _gain(task.layer, gain, 1.0)
    task.put(_drawn(task, matrices.orthogonal) * own * _aspect(task.layer, aspect), own)


@per_layer("hidden", "output", "recurrent")
def gram_schmidt(task: Drawing, gain: float = 1.0, aspect: bool = False) -> None:
    """Draw Gaussian rows and make them orthonormal one after the other: WWᵀ = g²·I; of a layer with more
    units than inputs, the columns.

    Args:
        gain: g.
        aspect: whether to correct for more units than inputs, as `orthogonal` does.
    """
    own = _positive("gain", gain)
    task.put(_drawn(task, matrices.gram_schmidt) * own * _aspect(task.layer, aspect), own)


@per_layer("convolution")
def delta_orthogonal(task: Drawing, gain: float | None = None) -> None:
    """Set a convolution's middle tap to an orthogonal matrix times a gain, and the other taps to 0: it then
    keeps the norm of any picture, which an orthogonal matrix of all taps does not (Xiao et al. 2018).

    With fewer output than input channels it keeps the norm of a part of the inputs alone. The groups of a
    grouped convolution get a matrix each.

    Args:
        gain: by default that of the activation behind the layer.
    """
    module = task.layer.module
    own = _gain(task.layer, gain, 1.0)
    groups = int(module.groups)  # type: ignore[arg-type]
    weight = task.layer.weight
    middle = 0
    for size in weight.shape[2:]:
        middle = middle * size + size // 2
    units, channels = weight.shape[0] // groups, weight.shape[1]
    taps = torch.zeros(weight.shape[0], channels, math.prod(weight.shape[2:]), dtype=matrices.FLOAT)
    for group in range(groups):
        taps[group * units : (group + 1) * units, :, middle] = own * matrices.orthogonal(
            units, channels, task.generator
        )
    task.put(taps.flatten(1), own)


@per_layer("hidden", "output", "recurrent")
def sparse(task: Drawing, nonzeros: int = 15, std: float | None = None) -> None:
    """Draw exactly k weights of each unit from N(0, σ²) and set the others to 0 (Martens 2010).

    `torch.nn.init.sparse_` fixes the number for each input instead.

    Args:
        nonzeros: k, or all inputs where there are fewer.
        std: σ; by default g/√k with the gain of the activation behind the layer, which keeps the
            variance.
    """
    if not isinstance(nonzeros, int) or isinstance(nonzeros, bool) or nonzeros < 1:
        raise TaskError(f"init.sparse: nonzeros must be an integer ≥ 1; got {nonzeros!r}.")
    kept = min(nonzeros, task.layer.inputs)
    own = _gain(task.layer, None, 1.0)
    scale = own / math.sqrt(kept) if std is None else _positive("std", std)
    task.put(_drawn(task, matrices.sparse, kept) * scale, own if std is None else None)


@per_layer("hidden", "output", "recurrent")
def random_walk(task: Drawing, gain: float | None = None) -> None:
    """Draw weights from N(0, g²/m) with the gain that keeps the *typical* length of a gradient through very
    many layers (Sussillo and Abbott 2015).

    He's gain keeps the mean of the square, and the logarithm drifts down. Here N is the width, and

        g = √2·exp(1.2/(max(N, 6) − 2.4))    before a ReLU
        g = exp(1/(2N))                      otherwise

    The formula is a fit: N = 100 still drifts by −.4 nats in 1000 layers.

    Args:
        gain: g, instead of the formula's.
    """
    width = task.layer.fan_in
    if gain is None and task.layer.activation == "relu":
        gain = math.sqrt(2) * math.exp(1.2 / (max(width, 6) - 2.4))
    own = math.exp(1 / (2 * width)) if gain is None else _positive("gain", gain)
    task.put(_drawn(task, matrices.normal) * own / math.sqrt(width), own)


@per_layer("hidden", "output", "recurrent")
def mup(task: Drawing, base_width: int = 64) -> None:
    """Draw weights as `he` does, and those of the output with the variance w₀/m²: how μP starts a model.

    The output layer has m inputs, and w₀ in the model whose rate is known. The learning rates that belong
    to it are `init.mup(model, base)`'s, which compares two models.

    Args:
        base_width: w₀.
    """
    own = _gain(task.layer, None, math.sqrt(2))
    m = task.layer.fan_in
    scale = math.sqrt(_positive("base_width", base_width) / m) if task.layer.kind == "output" else 1
    task.put(_drawn(task, matrices.normal) * own * scale / math.sqrt(m), own)


def _drawn(task: Drawing, draw: Callable[..., Tensor], *arguments: object) -> Tensor:
    """Draw each block of a layer's matrix: a gate, or the projections of an attention."""
    layer = task.layer
    rows = layer.units // layer.blocks
    parts = [draw(rows, layer.inputs, task.generator, *arguments) for _ in range(layer.blocks)]
    return torch.cat(parts)


def _of(task: Drawing, distribution: str) -> Tensor:
    if distribution not in _DRAWS:
        raise TaskError(
            f"A distribution must be one of {', '.join(_DRAWS)}; got {distribution!r}."
            f"{suggest(str(distribution), _DRAWS)}"
        )
    return _drawn(task, _DRAWS[distribution])


def _gain(layer: Layer, given: float | None, otherwise: float) -> float:
    if given is not None:
        return _positive("gain", given)
    return otherwise if layer.gain is None else layer.gain


def _fan(layer: Layer, fan: str) -> float:
    fans = {
        "fan_in": layer.fan_in,
        "fan_out": layer.fan_out,
        "average": (layer.fan_in + layer.fan_out) / 2,
    }
    if fan not in fans:
        raise TaskError(
            f"fan must be one of {', '.join(fans)}; got {fan!r}.{suggest(str(fan), fans)}"
        )
    return fans[fan]


def _aspect(layer: Layer, wanted: bool) -> float:
    units = layer.units // layer.blocks
    return math.sqrt(max(1.0, units / layer.inputs)) if wanted else 1.0


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise TaskError(f"{name} must be a number > 0; got {value!r}.")
    return float(value)
