"""Descent, momentum, averages and rates for each coordinate: twins of `torch.optim`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from thalweg.engine import Link, Rule
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links, Spelling
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

        p ← p − lr·g;  with momentum:

        dialect="torch":  b ← μ·b + (1 − dampening)·g;  p ← p − lr·b   (Nesterov: p ← p − lr·(g + μ·b))
        dialect="paper":  v ← μ·v − lr·g;               p ← p + v      (Nesterov: p ← p + μ·v − lr·g)

    With `nesterov` the parameter is the look-ahead point, where the gradient is taken.

    Paper: Robbins and Monro 1951, "A Stochastic Approximation Method"; momentum: Polyak 1964; Nesterov 1983;
    as written in Sutskever et al. 2013, "On the Importance of Initialization and Momentum in Deep Learning",
    eqs. 1–4.
    Defaults: PyTorch's; momentum = 0. With momentum, 0.9 is usual.
    Use: when the learning rate can be tuned and scheduled, for convolutional networks in particular; not on
    transformers, where Adam is far better.
    Deviations: dialect "torch" keeps the learning rate out of the velocity, so that a change of it acts on
    old gradients too; "paper" keeps it inside. At a constant learning rate and without dampening they agree.
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

    Paper: Duchi, Hazan and Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", figure 1, JMLR 12.
    Defaults: PyTorch's: lr = 0.01, ε = 1e-10, the accumulator starts at 0.
    Use: when features are sparse and the problem is near convex; not for long training of deep networks,
    where its steps only shrink.
    Deviations: none in the step; `lr_decay` is PyTorch's. Keras and Optax add ε inside the root, a dialect
    each, and start the accumulator at 0.1, which is `initial_accumulator_value`.
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

    Paper: Hinton, Srivastava and Swersky 2012, "Neural Networks for Machine Learning", lecture 6e; centered:
    Graves 2013, "Generating Sequences With Recurrent Neural Networks", eqs. 38–45, arXiv:1308.0850.
    Defaults: PyTorch's: α = 0.99 (the lecture: 0.9), ε = 1e-8.
    Use: for recurrent networks and reinforcement learning, and where Adam's momentum harms.
    Deviations: dialect "torch" adds ε outside the root, "paper" inside, as Keras and Optax do; with a large ε
    they differ much.
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

    Paper: Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method", algorithm 1, arXiv:1212.5701.
    Defaults: PyTorch's: lr = 1, ρ = 0.9, ε = 1e-6 (the paper: ρ = 0.95).
    Use: when there must be no learning rate; it starts slowly, as ε sets its first steps.
    Deviations: none; the paper has no learning rate, which is lr = 1.
    """

    dialects = ("torch", "paper")
    refuses_sparse = "Adadelta does not support sparse gradients"
    state_names: ClassVar[Mapping[str, str]] = {"r": "square_avg", "s": "acc_delta"}

    def links(self, group: Group) -> Links:
        """Return AdaDelta."""
        return (adadelta,)


class ASGD(TorchTwin, torch.optim.ASGD):
    """Averaged SGD (Polyak and Juditsky 1992); the average is `state[p]["ax"]`.

        p ← (1 − λ·ηₜ)·p − ηₜ·g;           η₁ = lr,  ηₜ₊₁ = lr/(1 + λ·lr·t)^α
        ax ← ax + μₜ·(p − ax);             μ₁ = 1,   μₜ₊₁ = 1/max(1, t − t₀)

    Paper: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", SIAM Journal on
    Control and Optimization 30(4); the step sizes are those of Bottou's SGD programs.
    Defaults: PyTorch's: lr = 0.01, λ = 1e-4, α = 0.75, t₀ = 10⁶: the average begins after a million steps.
    Use: for convex problems; lower t₀, and evaluate inside `optimizer.evaluating()`. For networks see
    `polyak`, `ema`, `swa`.
    Deviations: `lambd` is a penalty of its own in addition to `weight_decay`; the parameters themselves are
    not averaged.
    """

    refuses_sparse = "ASGD does not support sparse gradients"

    def links(self, group: Group) -> Links:
        """Return averaged SGD."""
        return (asgd,)


class Rprop(TorchTwin, torch.optim.Rprop):
    """Rprop (Riedmiller and Braun 1993): a step size for each coordinate, from signs alone.

        step size ← clamp(step size·η₊ where the sign of g stays, ·η₋ where it turns)
        p ← p − sign(g)·step size,  and no step where the sign turns

    The step sizes start at lr, which has no further part.

    Paper: Riedmiller and Braun 1993, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP
    Algorithm", ICNN 1993.
    Defaults: PyTorch's: η = (0.5, 1.2) and step sizes from 1e-6 to 50, the paper's; they start at lr = 0.01
    (the paper: 0.1).
    Use: for full batches; not for minibatches, whose noise turns signs. In `fit` and races "rprop" takes all
    rows, unless `fit` is given a batch_size.
    Deviations: where a sign turns there is no step, and the next one does not adapt; the paper steps back.
    This is iRprop− of Igel and Hüsken 2000.
    """

    wants_all_rows: ClassVar[bool] = True
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
