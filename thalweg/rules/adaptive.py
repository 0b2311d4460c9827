"""Learning rates for each coordinate: AdaGrad, RMSProp, AdaDelta, Rprop."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["adadelta", "adagrad", "rmsprop", "rmsprop_centered", "rprop"]


@rule
def adagrad(g, r, *, t, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, eps_inside=False):
    """AdaGrad (Duchi, Hazan and Singer 2011, figure 1 with diagonal matrices).

        r ← r + g²
        update = g / (√r + ε) / (1 + (t − 1)·lr_decay),  with √(r + ε) if `eps_inside`

    The accumulator starts at `initial_accumulator_value`; the decay of the learning rate is PyTorch's. The
    paper and PyTorch add ε outside the root, Keras and Optax inside.
    """
    r = torch.where(t == 1, initial_accumulator_value, r)
    r = r + g * g
    root = torch.sqrt(r + eps) if eps_inside else torch.sqrt(r) + eps
    return g / root / (1 + (t - 1) * lr_decay), r


@rule
def rmsprop(g, r, *, rho=0.99, eps=1e-8, eps_inside=False):
    """RMSProp (Hinton 2012, lecture 6e).

        r ← ρ·r + (1 − ρ)·g²
        update = g / (√r + ε),  or g / √(r + ε) with `eps_inside`

    The lecture and the book *Deep Learning* (algorithm 8.5) add ε inside the root, PyTorch outside.

    Paper: Hinton, Srivastava and Swersky 2012, "Neural Networks for Machine Learning", lecture 6e; with
    Nesterov momentum: Goodfellow, Bengio and Courville 2016, "Deep Learning", algorithm 8.6.
    Defaults: ρ = 0.99 of PyTorch (the lecture: 0.9), ε = 1e-8; momentum 0.9.
    Use: for recurrent networks and reinforcement learning, and where Adam's momentum harms.
    Deviations: with Nesterov momentum the parameter is the look-ahead point, where gradient and scale are
    taken; the book writes the same with two points.
    """
    r = rho * r + (1 - rho) * g * g
    root = torch.sqrt(r + eps) if eps_inside else torch.sqrt(r) + eps
    return g / root, r


@rule
def rmsprop_centered(g, r, m, *, rho=0.99, eps=1e-8, eps_inside=False):
    """RMSProp that divides by the standard deviation of the gradient (Graves 2013, eqs. 38–40).

    r ← ρ·r + (1 − ρ)·g²
    m ← ρ·m + (1 − ρ)·g
    update = g / (√(r − m²) + ε),  or g / √(r − m² + ε) with `eps_inside`
    """
    r = rho * r + (1 - rho) * g * g
    m = m + (1 - rho) * (g - m)
    variance = r - m * m
    root = torch.sqrt(variance + eps) if eps_inside else torch.sqrt(variance) + eps
    return g / root, r, m


@rule
def adadelta(g, r, s, *, rho=0.9, eps=1e-6):
    """AdaDelta (Zeiler 2012, algorithm 1): the update has the units of the parameter.

    r ← ρ·r + (1 − ρ)·g²
    Δ = √(s + ε) / √(r + ε) · g
    s ← ρ·s + (1 − ρ)·Δ²
    update = Δ

    The paper has no learning rate: it is 1.
    """
    r = rho * r + (1 - rho) * g * g
    delta = torch.sqrt(s + eps) / torch.sqrt(r + eps) * g
    s = rho * s + (1 - rho) * delta * delta
    return delta, r, s


@rule(lr_inside=True)
def rprop(
    g, previous, step_size, *, t, lr, eta_minus=0.5, eta_plus=1.2, smallest=1e-6, largest=50.0
):
    """Rprop (Riedmiller and Braun 1993), the variant without backtracking; for full batches.

        step size ← clamp(step size · η₊ where the sign of g stays, · η₋ where it flips)
        update = sign(g) · step size,  0 where the sign flips

    Step sizes start at lr, which has no further part.
    """
    step_size = torch.where(t == 1, lr, step_size)
    agreement = g * previous
    factor = torch.where(agreement > 0, eta_plus, torch.where(agreement < 0, eta_minus, 1.0))
    step_size = torch.clamp(step_size * factor, smallest, largest)
    g = torch.where(agreement < 0, 0.0, g)
    return torch.sign(g) * step_size, g, step_size
