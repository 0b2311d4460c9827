"""Noise: on the gradient, and on the point, for sampling."""

from __future__ import annotations

import torch

from thalweg.engine import noise, rule

__all__ = ["gradient_noise", "langevin"]


@rule
def gradient_noise(g, *, t, eta=0.3, gamma=0.55, seed=0):
    """Annealed gradient noise (Neelakantan et al. 2015): update = g + σₜ·z with z normal, σₜ² = η/tᵞ.

    The paper's t starts at 0 and its σₜ² is η/(1 + t)ᵞ, which is the same; its η is 0.01, 0.3 or 1. The same
    seed gives the same noise, in every engine and after a resume.
    """
    return g + torch.sqrt(eta / t**gamma) * noise(g, seed, t)


@rule(after_step=True)
def langevin(x, *, t, lr, temperature=1.0, seed=0):
    """SGLD (Welling and Teh 2011): noise on each point, so that the points are samples.

        x ← x + √(2·lr·T)·z,  z normal

    After plain descent on the negative log posterior U (of the whole data: its mean over a batch times the
    number of examples, less the log prior) and at small learning rates the points are distributed as
    exp(−U/T).

    Paper: Welling and Teh 2011, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", eq. 4; its
    step ε is 2·lr.
    Defaults: T = 1, the posterior; with U the mean loss of N examples, T = 1/N.
    Use: to sample a posterior, or to explore; not to find the lowest loss. The learning rate should fall.
    Deviations: the temperature T, which the paper has not.
    """
    return x + torch.sqrt(2 * lr * temperature) * noise(x, seed, t)
