"""Averages of the points: look-ahead, exponential, uniform; and schedule-free descent, which steps by one."""

from __future__ import annotations

import torch

from thalweg.engine import Scalar, rule
from thalweg.errors import EngineError


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
    rate, or with a constant one. Batch normalisation needs its statistics computed anew for the average.
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


@rule(lr_inside=True)
def schedule_free(
    u,
    p,
    z,
    weight_sum: Scalar = 0.0,
    lr_max: Scalar = 0.0,
    *,
    t,
    lr,
    beta=0.9,
    r=0.0,
    power=2.0,
):
    """Schedule-free descent (Defazio et al. 2024): an average of the points in the place of a schedule.

        w = tʳ·(largest lr so far)^power,   c = w / Σ w
        x ← (1 − c)·x + c·z₊,   z ← z₊ = z − lr·u,   y = (1 − β)·z + β·x

    The parameter is y, where the gradient is taken, and x is where the model is to be evaluated:

        p ← (1 − c)·p + c·z − lr·(1 − β·(1 − c))·u
        x = p + (1 − 1/β)·(z − p)

    After `adam(beta1=0.0)` this is the paper's schedule-free AdamW; after `descend` its SGD.

    Paper: Defazio et al. 2024, "The Road Less Scheduled", algorithm 1 for AdamW, arXiv:2405.15682.
    Defaults: β and the weights of the authors' package. Learning rates are larger than with a schedule, and
    are warmed up.
    Use: when the number of steps is not known beforehand; not with batch normalisation, unless its
    statistics are computed anew at x.
    Deviations: the weights w are of lr alone, as in the authors' package; the printed AdamW counts the bias
    correction √(1 − β₂ᵗ) to the learning rate. Weight decay is `l2`, directly before this rule: it acts at
    y.
    """
    z = torch.where(t == 1, p, z)
    lr_max = torch.maximum(lr_max, lr)
    w = t**r * lr_max**power
    weight_sum = weight_sum + w
    c = torch.where(weight_sum > 0, w / weight_sum, 0.0)
    step = c * (p - z) + lr * (1 - beta * (1 - c)) * u
    return step, z - lr * u, weight_sum, lr_max


@schedule_free.evaluated_at
def _(p, z, beta):
    if beta == 0:
        raise EngineError(
            "schedule-free descent with beta=0 steps z alone, and its average cannot be told from z: choose "
            "a beta above 0, or add an average, after=polyak()"
        )
    return p + (1 - 1 / beta) * (z - p)
