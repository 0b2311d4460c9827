"""Gradient release: the steps of the optimizer, to the bit, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import same
from thalweg import Optimizer, chain, optim
from thalweg.errors import EngineError
from thalweg.meta import Accumulate, release_gradients
from thalweg.rules import adam, clip_by_global_norm


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 2)
    )


def loss(net: nn.Module, step: int) -> Any:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 6, generator=generator)
    return net(x).square().sum()


MAKERS: dict[str, Callable[[nn.Module], Any]] = {
    "AdamW": lambda net: optim.AdamW(net, lr=1e-2),
    "AdamW, scheduled": lambda net: optim.AdamW(net, lr=lambda t: 1e-2 / (1 + t)),
    "AdamW, bfloat16 states": lambda net: optim.AdamW(net, lr=1e-2, state_dtype="bfloat16"),
    "LARS": lambda net: optim.LARS(net, lr=1e-2),
    "SGLD": lambda net: optim.SGLD(net, lr=1e-2),
    "SOAP, forms by size": lambda net: optim.SOAP(net, lr=1e-2, every=2, max_dim=6),
    "eager": lambda net: optim.Adam(net, lr=1e-2, engine="eager"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_released_steps_are_plain_steps(name: str) -> None:
    plain, freed = model(), model()
    one, other = MAKERS[name](plain), MAKERS[name](freed)
    release_gradients(other)
    for step in range(4):
        for net, optimizer in ((plain, one), (freed, other)):
            loss(net, step).backward()
            if optimizer is other:
                assert all(p.grad is None for p in net.parameters())
            optimizer.step()
            optimizer.zero_grad()
    for p, q in zip(plain.parameters(), freed.parameters(), strict=True):
        same(p, q, because="the same kernels step the same tensors")
        assert float(one.state[p]["step"]) == float(other.state[q]["step"]) == 4


def test_removed_and_resumed() -> None:
    plain, freed = model(), model()
    one, other = optim.AdamW(plain), optim.AdamW(freed)
    with release_gradients(other):
        loss(freed, 0).backward()
        other.step()
    loss(plain, 0).backward()
    one.step()
    one.zero_grad()
    other.load_state_dict(other.state_dict())
    release_gradients(other)
    for net, optimizer in ((plain, one), (freed, other)):
        loss(net, 1).backward()
        optimizer.step()
    for p, q in zip(plain.parameters(), freed.parameters(), strict=True):
        same(p, q, because="the same kernels step the same tensors")


@pytest.mark.parametrize(
    "make",
    [
        lambda net: Optimizer(net, chain(clip_by_global_norm(1.0), adam())),
        lambda net: optim.Prodigy(net),
        lambda net: optim.Adam(net, differentiable=True),
    ],
)
def test_what_needs_all_gradients_is_refused(make: Callable[[nn.Module], Any]) -> None:
    with pytest.raises(EngineError, match="all gradients"):
        release_gradients(make(model()))


def test_a_wrapper_is_refused() -> None:
    with pytest.raises(TypeError, match="wrapper"):
        release_gradients(Accumulate(optim.SGD(model(), lr=0.1), every=2))


def test_accumulation_is_refused() -> None:
    net = model()
    release_gradients(optim.SGD(net, lr=0.1))
    loss(net, 0).backward()
    with pytest.raises(EngineError, match="second backward pass"):
        loss(net, 1).backward()


def test_a_closure_is_refused() -> None:
    net = model()
    optimizer = optim.SGD(net, lr=0.1)
    release_gradients(optimizer)
    with pytest.raises(EngineError, match="closure"):
        optimizer.step(lambda: loss(net, 0))


def test_a_loss_scaler_is_refused() -> None:
    net = model()
    optimizer = optim.SGD(net, lr=0.1)
    released = release_gradients(optimizer)
    scaler: Any = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(loss(net, 0)).backward()
    with pytest.raises(EngineError, match="GradScaler"):
        scaler.step(optimizer)
    released.remove()
    scaler.scale(loss(net, 1)).backward()
    scaler.step(optimizer)
