"""What the tests of steps that a graph may repeat share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

import thalweg
from tests.engine.triton.recorder import Recorder
from thalweg import rules


def composed(params: Any, **options: Any) -> torch.optim.Optimizer:
    """Reduce over all tensors, then keep a number that reductions feed."""
    chain = thalweg.chain(rules.clip_by_global_norm(0.5), rules.prodigy())
    return thalweg.Optimizer(params, chain, lr=1.0, **options)


def give(params: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """Set gradients of their own memory."""
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()


def tensors_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return all that a step writes."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return [x for p in params for x in (p.detach(), *optimizer.state[p].values())]


def captured(
    optimizer: torch.optim.Optimizer, recorded: AbstractContextManager[Recorder]
) -> Recorder:
    """Return the graph of a step, taken within `recorded`; a graph's capture does nothing by itself."""
    before = [x.clone() for x in tensors_of(optimizer)]
    with recorded as graph:
        optimizer.step()
    for x, was in zip(tensors_of(optimizer), before, strict=True):
        x.copy_(was)
    return graph


def assert_alike(
    ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer, tolerance: float = 1e-12
) -> None:
    """Compare parameters and states with those of the eager engine, to the rounding of some steps."""
    for a, b in zip(tensors_of(ours), tensors_of(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
