"""Every wrapper, around optimizers of PyTorch and of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.meta.problem import BATCHES, MAKES, Net, mse
from thalweg.meta import ASAM, SAM, Accumulate, NonFinite, Wrapper

Optimizer = torch.optim.Optimizer

WRAPPERS: dict[str, Callable[[Optimizer], Wrapper]] = {
    "SAM": lambda o: SAM(o, 0.1),
    "ASAM": lambda o: ASAM(o, 0.1),
    "Accumulate": lambda o: Accumulate(o, every=2),
    "NonFinite": NonFinite,
    "nested": lambda o: SAM(NonFinite(Accumulate(NonFinite(o), every=2)), 0.1),
}
# wrapped so, an optimizer steps as it does alone, bit for bit
TRANSPARENT: dict[str, Callable[[Optimizer], Wrapper]] = {
    "SAM": lambda o: SAM(o, rho=0.0),
    "Accumulate": lambda o: Accumulate(o, every=1),
    "NonFinite": NonFinite,
    "nested": lambda o: SAM(NonFinite(Accumulate(o, every=1)), rho=0.0),
}
# ours beside PyTorch's: a wrapper has nothing to do with how the step is computed
INSIDE = {name: MAKES[name] for name in ("torch SGD", "torch AdamW", "Adam", "chain with decay")}

wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
transparent = pytest.mark.parametrize("wrap", TRANSPARENT.values(), ids=list(TRANSPARENT))
insides = pytest.mark.parametrize("make", INSIDE.values(), ids=list(INSIDE))


def closure_of(net: Net, optimizer: Optimizer, k: int) -> Callable[[], Tensor]:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mse(net, *BATCHES[k])
        loss.backward()
        return loss

    return closure


def run(net: Net, optimizer: Optimizer, first: int, last: int, schedule: Any = None) -> None:
    for k in range(first, last):
        optimizer.step(closure_of(net, optimizer, k))
        if schedule is not None:
            schedule.step()
