"""Delta-bar-delta: a learning rate for each coordinate, from the agreement of signs."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["delta_bar_delta"]


@rule(lr_inside=True)
def delta_bar_delta(g, average, rate, *, t, lr, kappa=1e-3, phi=0.3, theta=0.7):
    """Delta-bar-delta (Jacobs 1988): each coordinate's learning rate grows while its gradient keeps its sign.

        rate ← rate + κ where average·g > 0,  (1 − φ)·rate where average·g < 0
        p ← p − rate·g
        average ← (1 − θ)·g + θ·average

    Rates start at lr, which has no further part. They grow by sums and shrink by factors, so that one that
    overshoots is small again soon.

    Paper: Jacobs 1988, "Increased Rates of Convergence Through Learning Rate Adaptation", Neural Networks
    1(4).
    Defaults: chosen here; κ is added to a learning rate, so it is tuned with it.
    Use: for full batches and smooth objectives; not for minibatches, whose noise turns signs. In `fit` and
    races "deltabardelta" takes all rows, unless `fit` is given a batch_size.
    Deviations: none.
    """
    rate = torch.where(t == 1, lr, rate)
    agreement = average * g
    rate = torch.where(
        agreement > 0, rate + kappa, torch.where(agreement < 0, (1 - phi) * rate, rate)
    )
    average = (1 - theta) * g + theta * average
    return rate * g, average, rate
