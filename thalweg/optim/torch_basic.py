"""Descent, momentum, averages and rates for each coordinate: twins of `torch.optim`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from thalweg.engine import Link, Rule
from thalweg.optim.composition import Group, Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import (
    accumulate,
    accumulate_inside,
    adadelta,
    adagrad,
    asgd,
    descend,
    heavy_ball,
    momentum,
    rmsprop,
    rmsprop_centered,
    rprop,
)

_NESTEROV = momentum(nesterov=True)
_HEAVY_BALL_NESTEROV = heavy_ball(nesterov=True)
_ADAGRAD_INSIDE = adagrad(eps_inside=True)
_RMSPROP_INSIDE = rmsprop(eps_inside=True)
_CENTERED_INSIDE = rmsprop_centered(eps_inside=True)


class SGD(TorchTwin, torch.optim.SGD):
    """Gradient descent, stochastic on minibatches, with momentum (Polyak 1964; Nesterov 1983).

        dialect="torch":  b ← μ·b + (1 − dampening)·g;  p ← p − lr·b   (Nesterov: p ← p − lr·(g + μ·b))
        dialect="paper":  v ← μ·v − lr·g;               p ← p + v      (Nesterov: p ← p + μ·v − lr·g)

    At a constant learning rate and without dampening both are the same. The paper's velocity keeps the
    learning rates that it was gathered with. With `nesterov` the parameter is the look-ahead point, where
    the gradient is taken.
    """

    dialects = ("torch", "paper")
    state_names: ClassVar[Mapping[str, str]] = {"b": "momentum_buffer", "v": "momentum_buffer"}

    def links(self, group: Group) -> Links:
        """Return plain descent, or momentum of one of two dialects."""
        if not group["momentum"]:
            return (descend,)
        if self.dialect == "paper":
            return (_HEAVY_BALL_NESTEROV if group["nesterov"] else heavy_ball,)
        return (_NESTEROV if group["nesterov"] else momentum,)


class Adagrad(TorchTwin, torch.optim.Adagrad):
    """AdaGrad (Duchi, Hazan and Singer 2011): each coordinate's step shrinks with its own history.

        r ← r + g²;  p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√r + ε)

        dialect="keras", "optax":  g / √(r + ε)

    The paper's form and PyTorch's are the same. Keras and Optax start r at 0.1.
    """

    dialects = ("torch", "paper", "keras", "optax")
    state_names: ClassVar[Mapping[str, str]] = {"r": "sum"}

    def links(self, group: Group) -> Links:
        """Return AdaGrad."""
        return (_ADAGRAD_INSIDE if self.dialect in ("keras", "optax") else adagrad,)

    def _sparse_problem(self, group: Group) -> str | None:
        if group["weight_decay"]:
            return "weight_decay option is not compatible with sparse gradients"
        return None


class RMSprop(TorchTwin, torch.optim.RMSprop):
    """RMSProp (Hinton 2012): AdaGrad with a moving average.

        r ← α·r + (1 − α)·g²
        dialect="torch":  u = g / (√r + ε);  with momentum b ← μ·b + u;  p ← p − lr·b
        dialect="paper":  u = g / √(r + ε);  with momentum v ← μ·v − lr·u;  p ← p + v
        dialect="keras", "optax":  the paper's

    With `centered` r is replaced by the variance r − m², m ← α·m + (1 − α)·g (Graves 2013).
    """

    dialects = ("torch", "paper", "keras", "optax")
    refuses_sparse = "RMSprop does not support sparse gradients"
    spelling: ClassVar[Spelling] = {"rho": lambda group: group["alpha"]}
    state_names: ClassVar[Mapping[str, str]] = {
        "r": "square_avg",
        "m": "grad_avg",
        "b": "momentum_buffer",
        "v": "momentum_buffer",
    }

    def links(self, group: Group) -> Links:
        """Return RMSProp, centered or not, with momentum or not."""
        paper = self.dialect != "torch"
        if group["centered"]:
            scale: Link | Rule = _CENTERED_INSIDE if paper else rmsprop_centered
        else:
            scale = _RMSPROP_INSIDE if paper else rmsprop
        if not group["momentum"]:
            return (scale,)
        return (scale, accumulate_inside if paper else accumulate)


class Adadelta(TorchTwin, torch.optim.Adadelta):
    """AdaDelta (Zeiler 2012, algorithm 1): steps in the units of the parameter.

        r ← ρ·r + (1 − ρ)·g²;   Δ = √(s + ε)/√(r + ε)·g;   s ← ρ·s + (1 − ρ)·Δ²;   p ← p − lr·Δ

    The paper has no learning rate: lr=1. Its form and PyTorch's are the same.
    """

    dialects = ("torch", "paper")
    refuses_sparse = "Adadelta does not support sparse gradients"
    state_names: ClassVar[Mapping[str, str]] = {"r": "square_avg", "s": "acc_delta"}

    def links(self, group: Group) -> Links:
        """Return AdaDelta."""
        return (adadelta,)


class ASGD(TorchTwin, torch.optim.ASGD):
    """Averaged SGD (Polyak and Juditsky 1992); the average is `state[p]["ax"]`.

    p ← (1 − λ·ηₜ)·p − ηₜ·g;   ax ← ax + μₜ·(p − ax);   ηₜ₊₁ = lr/(1 + λ·lr·t)^α
    """

    refuses_sparse = "ASGD does not support sparse gradients"

    def links(self, group: Group) -> Links:
        """Return averaged SGD."""
        return (asgd,)


class Rprop(TorchTwin, torch.optim.Rprop):
    """Rprop (Riedmiller and Braun 1993): a step size for each coordinate, from signs alone.

    For full batches. The step sizes start at lr, which has no further part.
    """

    refuses_sparse = "Rprop does not support sparse gradients"
    spelling: ClassVar[Spelling] = {
        "eta_minus": lambda group: group["etas"][0],
        "eta_plus": lambda group: group["etas"][1],
        "smallest": lambda group: group["step_sizes"][0],
        "largest": lambda group: group["step_sizes"][1],
    }
    state_names: ClassVar[Mapping[str, str]] = {"previous": "prev"}

    def links(self, group: Group) -> Links:
        """Return Rprop."""
        return (rprop,)
