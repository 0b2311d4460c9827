"""Maximal update parametrization: scales and learning rates under which a small model's best rate holds for a
wide one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.init.strategies.strategy import full_name
from thalweg.model.layers import Layer
from thalweg.model.trace import traced
from thalweg.text_table import aligned

Rates = Literal["adam", "sgd"]


@dataclass(frozen=True)
class MupRow:
    """A parameter with how much wider it is than in the small model, and the rules that follow.

    `role` is "input" (its inputs are fixed), "hidden" (both sides grow), "output" (its outputs are fixed) or
    "fixed". `scale` multiplies its weights as they were drawn, `rate` and `decay` multiply the learning
    rate and the weight decay.
    """

    name: str
    role: str
    width: float
    scale: float
    rate: float
    decay: float

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each column."""
        numbers = (f"{value:.4g}" for value in (self.width, self.scale, self.rate, self.decay))
        return (self.name, self.role, *numbers)


@dataclass(frozen=True)
class Mup:
    """What μP asks of a model: a row for each parameter, and param groups for an optimizer."""

    rows: tuple[MupRow, ...]
    rates: Rates

    def groups(
        self, model: nn.Module, lr: float, weight_decay: float | None = None
    ) -> list[dict[str, Any]]:
        """Return param groups with a rate, and a weight decay if one is given, for each rule.

        >>> from thalweg import init, optim
        >>> small, wide = nn.Linear(4, 2), nn.Linear(4, 2)
        >>> mup = init.mup(wide, base=small)
        >>> optim.Adam(mup.groups(wide, lr=1e-3)).param_groups[0]["lr"]
        0.001
        """
        parameters = dict(model.named_parameters())
        gathered: dict[tuple[float, float], list[nn.Parameter]] = {}
        for row in self.rows:
            gathered.setdefault((row.rate, row.decay), []).append(parameters[row.name])
        groups: list[dict[str, Any]] = []
        for (rate, decay), params in gathered.items():
            group: dict[str, Any] = {"params": params, "lr": lr * rate}
            if weight_decay is not None:
                group["weight_decay"] = weight_decay * decay
            groups.append(group)
        return groups

    def __str__(self) -> str:
        headings = ("parameter", "role", "width", "scale", "rate", "decay")
        rows = (row.cells() for row in self.rows)
        return "\n".join(aligned(headings, rows, left=len(headings)))


def mup(model: nn.Module, base: nn.Module, rates: Rates = "adam", x: Any = None) -> Mup:
    """Scale the output weights of a model by μP, in place, and return the rules for its optimizer.

    The shapes of a small model of the same kind say which sides of a weight grow with the width; w is by
    how much. The rules are those of table 3 of Yang and Hu et al., Tensor Programs V (2022), where the
    rate of a layer is the given one times

        weights     variance       SGD   Adam
        input       1/fan_in       w     1       and biases
        hidden      1/fan_in       1     1/w
        output      1/fan_in · 1/w 1/w   1/w

    so the output weights, drawn with the variance 1/fan_in, are divided by √w here. The package `mup`
    has table 8, which gives the same model: an output multiplier 1/w, and Adam's rate 1 there. Under AdamW
    the decay of a weight is multiplied by what its rate is divided by, so that rate · decay stays.

    Call it after the weights were drawn, once: `init.apply(model, init.he())` and then this.

    Args:
        model: of the wanted width.
        base: the small model, whose best rate is known.
        rates: "adam", also for AdamW and other rules that divide by the gradient's size; or "sgd".
        x: a batch, to find the output layer where `torch.fx` cannot.

    Raises:
        TaskError: the models differ in more than widths, or have no output layer.

    >>> def net(width):
    ...     return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    >>> print(mup(net(64), base=net(16)))
    parameter  role    width  scale  rate  decay
    0.weight   input   4      1      1     1
    0.bias     input   4      1      1     1
    2.weight   output  4      0.5    0.25  4
    2.bias     fixed   1      1      1     1
    """
    if rates not in ("adam", "sgd"):
        raise TaskError(f"init.mup: rates must be 'adam' or 'sgd'; got {rates!r}.")
    _check_alike(model, base)
    layers = {full_name(layer, layer.parameter): layer for layer in traced(model, x).layers}
    if not any(layer.kind == "output" for layer in layers.values()):
        raise TaskError("init.mup: no output layer was found; give a batch x.")
    small = dict(base.named_parameters())
    rows = []
    for name, parameter in model.named_parameters():
        row = _row(name, tuple(parameter.shape), tuple(small[name].shape), layers.get(name), rates)
        rows.append(row)
        if row.scale != 1:
            with torch.no_grad():
                parameter.mul_(row.scale)
    return Mup(tuple(rows), rates)


def _row(
    name: str, shape: tuple[int, ...], small: tuple[int, ...], layer: Layer | None, rates: Rates
) -> MupRow:
    if layer is not None and layer.is_transposed:
        shape, small = _swapped(shape), _swapped(small)
    out = shape[0] / small[0] if shape else 1.0
    into = 1.0
    for a, b in zip(shape[1:], small[1:], strict=True):
        into *= a / b
    if layer is not None and layer.kind == "embedding":
        out, into = shape[1] / small[1], 1.0  # a row for each word: its width is what grows
    if len(shape) < 2 or (into == 1 and out != 1):
        role, width = ("fixed" if out == 1 else "input"), out
        rate = width if rates == "sgd" else 1.0
        return MupRow(name, role, width, 1.0, rate, 1 / rate)
    if into == 1:
        return MupRow(name, "fixed", 1.0, 1.0, 1.0, 1.0)
    if out == 1:
        return MupRow(name, "output", into, into**-0.5, 1 / into, into)
    rate = 1.0 if rates == "sgd" else 1 / into
    return MupRow(name, "hidden", into, 1.0, rate, 1 / rate)


def _swapped(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[1], shape[0], *shape[2:])


def _check_alike(model: Any, base: Any) -> None:
    for what, each in (("model", model), ("base", base)):
        if not isinstance(each, nn.Module):
            raise TaskError(f"init.mup: {what} must be an nn.Module; got {type(each).__name__}.")
    wide = {name: tuple(p.shape) for name, p in model.named_parameters()}
    small = {name: tuple(p.shape) for name, p in base.named_parameters()}
    if wide.keys() != small.keys():
        raise TaskError(
            "init.mup: base is the same model with other widths; these parameters are of one alone: "
            f"{', '.join(_first(wide.keys() ^ small.keys()))}."
        )
    for name, shape in wide.items():
        if len(shape) != len(small[name]):
            raise TaskError(f"init.mup: {name} has the shape {shape}, in base {small[name]}.")


def _first(names: Iterable[str]) -> list[str]:
    return sorted(names)[:6]
