"""What an optimizer keeps alive."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from thalweg import optim


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_replaced_parameters_and_states_are_let_go(engine: str) -> None:
    """As when a model is pruned or grown: every round has parameters and states of its own."""
    optimizer = optim.Adam([nn.Parameter(torch.ones(8))], engine=engine)
    seen: list[weakref.ref[torch.Tensor]] = []
    for size in range(8, 16):
        old = optimizer.param_groups[0]["params"][0]
        optimizer.state.pop(old, None)
        new = nn.Parameter(torch.ones(size))
        new.grad = torch.ones(size)
        optimizer.param_groups[0]["params"][0] = new
        optimizer.step()
        seen += [weakref.ref(new), weakref.ref(optimizer.state[new]["exp_avg"])]
        del old, new
    gc.collect()
    assert [ref() is not None for ref in seen] == [False] * 14 + [True] * 2


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_gradients_are_let_go(engine: str) -> None:
    p = nn.Parameter(torch.ones(8))
    optimizer = optim.Adam([p], engine=engine)
    p.grad = torch.ones(8)
    optimizer.step()
    gradient = weakref.ref(p.grad)
    optimizer.zero_grad()
    gc.collect()
    assert gradient() is None
