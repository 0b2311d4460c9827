"""Penalties Ω on the parameters: L1 and L2, added with `+`.

What is penalized: the weights. Not, unless asked, the *biases*, by which is meant

- a parameter whose own name is `bias`, begins with `bias_` or ends in `_bias`
  (`0.bias`, `lstm.bias_ih_l0`, `attention.in_proj_bias`), and
- every parameter of a normalization layer (batch, instance, layer, group, RMS), whose gain sets a
  scale as a bias sets an offset.

The number of axes plays no part: a weight that is a vector is penalized.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.objective.squares import squares

_NORMALISATION = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


@runtime_checkable
class Penalty(Protocol):
    """A penalty: given a model, a differentiable scalar. Any function (model) -> scalar tensor is
    one.
    """

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the penalty of `model`, strength included."""
        ...  # pragma: no cover


class _Sum:
    """Lets penalties be added: `L1(1e-5) + L2(1e-4)`."""

    def __add__(self, other: Penalty) -> Penalties:
        return Penalties((*_terms(self), *_terms(other)))


@dataclass(frozen=True)
class Penalties(_Sum):
    """A sum of penalties."""

    terms: tuple[Penalty, ...]

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the sum of the terms."""
        return self.bind(model)()

    def bind(self, model: nn.Module) -> Callable[[], Tensor]:
        """Return the sum as a function without arguments: the parameters are looked up once."""
        bound = [bind(term, model) for term in self.terms]

        def total() -> Tensor:
            value = bound[0]()
            for term in bound[1:]:
                value = value + term()
            return value

        return total


@dataclass(frozen=True)
class _OfWeights(_Sum):
    """strength · Σ of a function of each weight."""

    strength: float
    include_biases: bool = False

    def __post_init__(self) -> None:
        _check_strength(self.strength)

    def __call__(self, model: nn.Module) -> Tensor:
        """Return the penalty of `model`."""
        return self.bind(model)()

    def bind(self, model: nn.Module) -> Callable[[], Tensor]:
        """Return the penalty as a function without arguments: the parameters are looked up once."""
        weights = penalized(model, self.include_biases)
        return lambda: self.strength * _total([self._of(w).sum() for w in weights])

    def _of(self, w: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class L1(_OfWeights):
    """strength · Σ|w|, whose gradient is strength · sign(w).

    >>> model = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(model.weight, -3.0)
    >>> float(L1(0.5)(model).detach())
    3.0
    """

    def _of(self, w: Tensor) -> Tensor:
        return w.abs()


@dataclass(frozen=True)
class L2(_OfWeights):
    """strength · Σ|w|², whose gradient is 2 · strength · w.

    With plain gradient descent it is weight decay: each step first shrinks w by the factor 1 − 2 ·
    lr · strength.

    >>> model = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(model.weight, -3.0)
    >>> float(L2(0.5)(model).detach())
    9.0
    """

    def _of(self, w: Tensor) -> Tensor:
        return squares(w)


def penalized(model: nn.Module, include_biases: bool = False) -> list[nn.Parameter]:
    """Return the trainable parameters a penalty acts on; the module's text says what counts as a
    bias.

    >>> [tuple(p.shape) for p in penalized(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)))]
    [(2, 3)]
    """
    chosen: dict[nn.Parameter, None] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            bias = isinstance(module, _NORMALISATION) or _is_bias(name)
            if parameter.requires_grad and (include_biases or not bias):
                chosen[parameter] = None  # a dict: a shared parameter counts once
    return list(chosen)


def bind(penalty: Penalty, model: nn.Module) -> Callable[[], Tensor]:
    """Return `penalty` of `model` as a function without arguments."""
    if isinstance(penalty, (L1, L2, Penalties)):
        return penalty.bind(model)
    return lambda: penalty(model)


def _is_bias(name: str) -> bool:
    return name == "bias" or name.startswith("bias_") or name.endswith("_bias")


def _terms(penalty: object) -> tuple[Penalty, ...]:
    if isinstance(penalty, Penalties):
        return penalty.terms
    if not isinstance(penalty, Penalty):
        raise TaskError(f"A penalty must be a function of the model; got {type(penalty).__name__}.")
    return (penalty,)


def _total(values: list[Tensor]) -> Tensor:
    if not values:
        return torch.zeros(())
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _check_strength(strength: float) -> None:
    if not (is_real(strength) and math.isfinite(strength) and strength >= 0):
        raise TaskError(f"A penalty's strength must be a finite number ≥ 0; got {strength!r}.")
