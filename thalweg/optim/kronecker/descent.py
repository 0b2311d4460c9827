"""The step along preconditioned gradients: its bound, momentum and weight decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.stepping.checks import Group


def clipping(total: Tensor, bound: float) -> Tensor:
    """Return ν = min(1, √(bound / Σ lr²·U·G)), given the sum.

    It is the step's square in the damped curvature: to second order, twice the Kullback-Leibler divergence
    from the model before it to the one after it, and what the damping adds.

    Source: Ba, Grosse and Martens, Distributed Second-order Optimization using Kronecker-factored
    Approximations, 2017, section 5.

    >>> float(clipping(torch.tensor(4.0, dtype=torch.float64), 1.0))
    0.5
    """
    # of gradients that are all 0 the sum is 0, and the ratio infinite
    return (bound / total.clamp(min=torch.finfo(total.dtype).tiny)).sqrt().clamp(max=1.0)


def move(
    params: Sequence[Tensor],
    directions: Sequence[Tensor],
    group: Group,
    state: Mapping[Tensor, dict[str, Any]],
) -> None:
    """Take a step of a group's parameters: m ← μ·m + u, p ← (1 − lr·λ)·p − lr·m."""
    lr, ps = float(group["lr"]), list(params)
    if group["weight_decay"]:
        torch._foreach_mul_(ps, 1 - lr * float(group["weight_decay"]))
    moved = list(directions)
    if group["momentum"]:
        old = [place for place, p in enumerate(ps) if "momentum_buffer" in state[p]]
        buffers = [state[ps[place]]["momentum_buffer"] for place in old]
        if buffers:
            torch._foreach_mul_(buffers, float(group["momentum"]))
            torch._foreach_add_(buffers, [moved[place] for place in old])
        for place, buffer in zip(old, buffers, strict=True):
            moved[place] = buffer
        for place in set(range(len(ps))) - set(old):
            # a checkpoint keeps no strides
            moved[place] = moved[place].clone(memory_format=torch.contiguous_format)
            state[ps[place]]["momentum_buffer"] = moved[place]
    torch._foreach_add_(ps, moved, alpha=-lr)
