"""Averages of the points: look-ahead, exponential, uniform, stochastic weight averaging."""

from __future__ import annotations

import torch

from thalweg.engine import Scalar, rule

__all__ = ["ema", "lookahead", "polyak", "swa"]


@rule(after_step=True)
def lookahead(x, slow, p, *, t, every=5, alpha=0.5):
    """Lookahead (Zhang et al. 2019, algorithm 1): every k steps go back, part of the way to where they began.

    slow ← slow + α·(x − slow),  x ← slow    at every k-th step; slow starts at the first point

    The states of the rules before it stay as they are.
    """
    slow = torch.where(t == 1, p, slow)
    now = t % every == 0
    slow = torch.where(now, slow + alpha * (x - slow), slow)
    return torch.where(now, slow, x), slow


@rule(after_step=True)
def ema(x, average, *, t, decay=0.999, warmup=False):
    """Exponential moving average of the points: average ← δ·average + (1 − δ)·x, beginning with the first.

    With `warmup` δ is at most (1 + t)/(10 + t), so that the first points are forgotten sooner. The point
    itself moves as without it.
    """
    if warmup:
        decay = torch.minimum(decay, (1 + t) / (10 + t))
    return x, torch.where(t == 1, x, decay * average + (1 - decay) * x)


@ema.evaluated_at
def _(average):
    return average


@rule(after_step=True)
def polyak(x, average, *, t, start=0):
    """Average of the points (Polyak and Juditsky 1992): the mean over the steps start + 1, …, t; before, x.

    average ← average + (x − average)/n,  n = t − start

    The point itself moves as without it.
    """
    n = torch.clamp(t - start, min=1.0)
    return x, torch.where(n > 1, average + (x - average) / n, x)


@polyak.evaluated_at
def _(average):
    return average


@rule(after_step=True)
def swa(x, average, count: Scalar = 0.0, *, t, start=0, every=1):
    """Stochastic weight averaging (Izmailov et al. 2018, algorithm 1): the mean of every k-th point.

    average ← average + (x − average)/n    at the steps start + k, start + 2k, …, n their number; before, x

    The point itself moves as without it. Take the points at the ends of the cycles of a cyclic learning
    rate, or with a constant one. Batch normalization needs its statistics computed again for the average.
    """
    taken = (t > start) & ((t - start) % every == 0)
    count = torch.where(taken, count + 1, count)
    mean = average + (x - average) / torch.clamp(count, min=1.0)
    kept = torch.where(taken, mean, average)
    begun = (count > 1) | ((count == 1) & ~taken)
    return x, torch.where(begun, kept, x), count


@swa.evaluated_at
def _(average):
    return average
