"""Schedule-free descent: an average of the points instead of a schedule."""

from __future__ import annotations

import torch

from thalweg.engine import Scalar, rule
from thalweg.errors import EngineError

__all__ = ["schedule_free"]


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
    """Schedule-free descent (Defazio et al. 2024): an average of the points instead of a schedule.

        w = tʳ·(largest lr so far)^power,   c = w / Σ w
        x ← (1 − c)·x + c·z₊,   z ← z₊ = z − lr·u,   y = (1 − β)·z + β·x

    The parameter is y, where the gradient is taken, and x is where the model is to be evaluated:

        p ← (1 − c)·p + c·z − lr·(1 − β·(1 − c))·u
        x = p + (1 − 1/β)·(z − p)

    After `adam(beta1=0.0)` this is the paper's schedule-free AdamW; after `descend` its SGD.

    Paper: Defazio et al. 2024, "The Road Less Scheduled", algorithm 1 for AdamW, arXiv:2405.15682.
    Defaults: β and the weights of the authors' package. Learning rates are larger than with a schedule, and
    are warmed up.
    Use: when the number of steps is not known beforehand; not with batch normalization, unless its
    statistics are computed again at x.
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
            "Schedule-free descent with beta=0 steps z alone, and its average cannot be told from z: choose "
            "a beta above 0, or add an average, after=polyak()."
        )
    return p + (1 - 1 / beta) * (z - p)
