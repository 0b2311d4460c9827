"""What an optimizer keeps alive."""

from __future__ import annotations

import gc
import weakref

import torch
from torch import nn
from torch.optim import Optimizer

from thalweg import optim

from .cases import RICHEST, each_engine


@each_engine
def test_replaced_parameters_and_states_are_let_go(engine: str) -> None:
    """As when a model is pruned or grown: every round has parameters and states of its own."""
    seen = {
        case.name: rounds(case.ours([nn.Parameter(torch.ones(8))], engine=engine))
        for case in RICHEST
    }
    gc.collect()  # once, as it takes long
    for name, (_, old, last) in seen.items():
        assert old, name
        assert not any(ref() is not None for ref in old), name
        assert all(ref() is not None for ref in last), name


References = list["weakref.ref[torch.Tensor]"]


def rounds(optimizer: Optimizer) -> tuple[Optimizer, References, References]:
    """Step a parameter of another size in each round; return references to the old and to the last."""
    seen: list[References] = []
    for size in range(8, 12):
        old = optimizer.param_groups[0]["params"][0]
        optimizer.state.pop(old, None)
        new = nn.Parameter(torch.ones(size))
        new.grad = torch.ones(size)
        optimizer.param_groups[0]["params"][0] = new
        optimizer.step()
        tensors = [new, *(x for x in optimizer.state[new].values() if x.ndim)]
        seen.append([weakref.ref(x) for x in tensors])
        del old, new, tensors
    return optimizer, [ref for refs in seen[:-1] for ref in refs], seen[-1]


@each_engine
def test_gradients_are_let_go(engine: str) -> None:
    p = nn.Parameter(torch.ones(8))
    optimizer = optim.Adam([p], engine=engine)
    p.grad = torch.ones(8)
    optimizer.step()
    gradient = weakref.ref(p.grad)
    optimizer.zero_grad()
    gc.collect()
    assert gradient() is None
