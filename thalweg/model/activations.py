"""Activations by name, and the gain that each asks of the layer before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

NAMES = {
    "ReLU": "relu",
    "relu_": "relu",
    "LeakyReLU": "leaky_relu",
    "leaky_relu_": "leaky_relu",
    "PReLU": "prelu",
    "ReLU6": "relu6",
    "ELU": "elu",
    "elu_": "elu",
    "SELU": "selu",
    "selu_": "selu",
    "CELU": "celu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Hardswish": "hardswish",
    "Hardtanh": "hardtanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "tanh_": "tanh",
    "Sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "LogSigmoid": "logsigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}
"""Modules of `torch.nn`, and functions that work in place, by the name of their function."""

OPTIONS = ("negative_slope", "alpha", "approximate", "beta", "threshold", "min_val", "max_val")
"""Arguments of an activation that its gain depends on."""

_STATED = {"linear": 1.0, "sigmoid": 1.0, "softmax": 1.0, "log_softmax": 1.0}
_SELF_NORMALIZING = {"selu": 1.0}
_COMPUTED = (
    *("elu", "celu", "gelu", "silu", "mish", "relu6"),
    *("hardswish", "hardtanh", "softplus", "softsign", "logsigmoid"),
)
KNOWN = frozenset({"relu", "leaky_relu", "prelu", "tanh", *_STATED, *_SELF_NORMALIZING, *_COMPUTED})
_WIDEST = 12.0
_POINTS = 24_001


def name_of(label: str) -> str | None:
    """Return the activation that a module's class or a function is called by, or None.

    >>> name_of("GELU"), name_of("relu_"), name_of("Linear")
    ('gelu', 'relu', None)
    """
    name = NAMES.get(label, label)
    return name if name in KNOWN and name != "linear" else None


def gain_of(name: str, options: Mapping[str, Any] | None = None) -> float:
    """Return the gain of an activation: what a layer's scale is multiplied by on its account.

    ReLU √2, leaky ReLU √(2/(1+a²)), tanh 5/3, sigmoid, softmax and none 1, as in
    `torch.nn.init.calculate_gain`; SELU 1, with which it normalizes itself (Klambauer 2017). Elsewhere
    1/√E[φ(z)²] for z ~ N(0, 1), by the trapezoidal rule.

    Args:
        name: of the activation.
        options: arguments of its function, such as `negative_slope`.

    >>> round(gain_of("leaky_relu", {"negative_slope": 0.2}), 4), round(gain_of("gelu"), 3)
    (1.3868, 1.534)
    """
    given = dict(options or {})
    if name in _STATED:
        return _STATED[name]
    if name in _SELF_NORMALIZING:
        return _SELF_NORMALIZING[name]
    if name == "tanh":
        return 5 / 3
    if name == "relu":
        return math.sqrt(2)
    if name in ("leaky_relu", "prelu"):
        slope = float(given.get("negative_slope", 0.25 if name == "prelu" else 0.01))
        return math.sqrt(2 / (1 + slope**2))
    function = getattr(functional, name)
    z = torch.linspace(-_WIDEST, _WIDEST, _POINTS, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    values: Tensor = function(z, **given)
    return 1 / math.sqrt(float(torch.trapezoid(values.square() * density, z)))


def options_of(module: nn.Module) -> dict[str, Any]:
    """Return the arguments that an activation's module passes to its function.

    >>> options_of(nn.LeakyReLU(0.3)), options_of(nn.Tanh())
    ({'negative_slope': 0.3}, {})
    """
    if isinstance(module, nn.PReLU):
        return {"negative_slope": float(module.weight.detach().mean())}
    return {name: getattr(module, name) for name in OPTIONS if hasattr(module, name)}
