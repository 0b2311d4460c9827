"""Wrappers: what an optimizer does with its gradients, around any `torch.optim.Optimizer`.

A wrapper is a `torch.optim.Optimizer` itself: schedulers, hooks, parameter groups, checkpoints and copies
work as with the optimizer inside, and wrappers nest, for example so:

    SAM(NonFinite(Accumulate(optimizer, every=4)))

`release_gradients` is not a wrapper: it lets an optimizer of thalweg's step inside the backward pass.
Averages of the points and look-ahead are rules (`thalweg.rules.ema`). docs/wrappers.md says when to use
which.
"""

from thalweg.meta.accumulate import Accumulate
from thalweg.meta.batch_norm import frozen_batch_norm
from thalweg.meta.nonfinite import NonFinite
from thalweg.meta.release import release_gradients
from thalweg.meta.sam import ASAM, SAM
from thalweg.meta.wrapper import Wrapper

__all__ = [
    "ASAM",
    "SAM",
    "Accumulate",
    "NonFinite",
    "Wrapper",
    "frozen_batch_norm",
    "release_gradients",
]
