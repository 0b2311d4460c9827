"""Gradient descent and momentum, as PyTorch and as the papers write it."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["accumulate", "accumulate_inside", "descend", "heavy_ball", "momentum"]


@rule
def descend(g):
    """Gradient descent (Cauchy 1847), stochastic when g is of a minibatch (Robbins and Monro 1951).

    update = g
    """
    return g


@rule
def momentum(g, b, *, t, momentum=0.9, dampening=0.0, nesterov=False):
    """Momentum with the learning rate outside, as in `torch.optim.SGD`.

        b₁ = g₁,  bₜ = μ·bₜ₋₁ + (1 − dampening)·gₜ
        update = bₜ,  or gₜ + μ·bₜ with `nesterov`

    At a constant learning rate and without dampening this is `heavy_ball`.
    """
    b = torch.where(t == 1, g, momentum * b + (1 - dampening) * g)
    return (g + momentum * b if nesterov else b), b


@rule(lr_inside=True)
def heavy_ball(g, v, *, lr, momentum=0.9, nesterov=False):
    """Momentum with the learning rate inside (Polyak 1964; Sutskever et al. 2013, eqs. 1–4).

        v ← μ·v − lr·g
        p ← p + v

    The velocity keeps the learning rates it was gathered with, so it differs from `momentum` when the
    learning rate changes. With `nesterov` the parameter is the look-ahead point p̃ = p + μ·v, where the
    gradient is taken, and

        p̃ ← p̃ + μ·v − lr·g
    """
    v = momentum * v - lr * g
    return (lr * g - momentum * v if nesterov else -v), v


@rule
def accumulate(u, b, *, momentum=0.9):
    """Momentum over the updates of the rule before it, as in RMSprop with momentum.

    b ← μ·b + u,  update = b
    """
    b = momentum * b + u
    return b, b


@rule(lr_inside=True)
def accumulate_inside(u, v, *, lr, momentum=0.9, nesterov=False):
    """Momentum over the steps of the rule before it, with the learning rate inside.

        v ← μ·v − lr·u
        p ← p + v,  or p + μ·v − lr·u with `nesterov`

    After `rmsprop` with `eps_inside` this is RMSProp with momentum. With `nesterov` the parameter is the
    look-ahead point, where gradient and scale are taken: then it is RMSProp with Nesterov momentum
    (Goodfellow, Bengio and Courville 2016, algorithm 8.6).
    """
    v = momentum * v - lr * u
    return (lr * u - momentum * v if nesterov else -v), v
