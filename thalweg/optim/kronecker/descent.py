"""The step along preconditioned gradients: its bound, momentum and weight decay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.stepping.checks import Group


def clipping(
    moved: Sequence[tuple[Tensor, Tensor]], group_of: Mapping[Tensor, Group], bound: float | None
) -> Tensor | None:
    """Return ν = min(1, √(bound / Σ lr²·U·G)) for parameters and their U; None without a bound.

    Σ lr²·U·G is the step's length in the damped curvature, twice the change of −log p that it expects.

    Source: Ba, Grosse and Martens, Distributed Second-order Optimization using Kronecker-factored
    Approximations, 2017, section 5.
    """
    if bound is None or not moved:
        return None
    parts = [
        float(group_of[p]["lr"]) ** 2 * (u * p.grad).sum().double().to(moved[0][0].device)
        for p, u in moved
        if p.grad is not None
    ]
    total = torch.stack(parts).sum()
    # of gradients that are all 0 it is 0, and the ratio infinite
    return (bound / total.clamp(min=torch.finfo(total.dtype).tiny)).sqrt().clamp(max=1.0)


def move(p: Tensor, u: Tensor, group: Group, state: dict[str, Any]) -> None:
    """Take a step: m ← μ·m + u, p ← (1 − lr·λ)·p − lr·m."""
    lr = float(group["lr"])
    if group["weight_decay"]:
        p.mul_(1 - lr * float(group["weight_decay"]))
    if group["momentum"]:
        before = state.get("momentum_buffer")
        if before is None:
            u = u.clone(memory_format=torch.contiguous_format)
        else:
            u = before.mul_(float(group["momentum"])).add_(u)
        state["momentum_buffer"] = u
    p.add_(u, alpha=-lr)
