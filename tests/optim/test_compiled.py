"""`torch.compile` around a step, or around a training step: the step is what it is without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from thalweg import optim
from thalweg.rules import ema
from thalweg.schedules import cosine

MAKE: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "NAdam with a schedule": lambda p: optim.NAdam(p, lr=cosine(0.1, steps=20)),
    "Lion with an average": lambda p: optim.Lion(p, lr=0.01, after=ema(0.5)),
}


def train(make: Callable[..., torch.optim.Optimizer], compiled: str) -> list[Tensor]:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters())
    x = torch.ones(2, 3)

    def forward() -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    def whole() -> Tensor:
        loss = forward()
        optimizer.step()
        return loss

    step: Any = optimizer.step
    if compiled == "step":
        step = torch.compile(optimizer.step, backend="eager")
    if compiled == "closure":
        step = torch.compile(lambda: optimizer.step(forward), backend="eager")
    if compiled == "whole":
        whole = torch.compile(whole, backend="eager")
    for _ in range(5):
        if compiled in ("no", "whole"):
            whole()
        elif compiled == "closure":
            step()
        else:
            forward()
            step()
    return [p.detach() for p in model.parameters()]


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning"
)  # of PyTorch's compiler itself
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_compiled_step_is_the_step(make: Callable[..., torch.optim.Optimizer]) -> None:
    expected = train(make, "no")
    for compiled in ("step", "closure", "whole"):
        same(train(make, compiled), expected, because="the compiler leaves the step as it is")
