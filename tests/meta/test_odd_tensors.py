"""Wrappers on tensors without numbers, and on tensors of which a process holds a part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn import Parameter

from tests.meta.wrappers import wrappers
from thalweg import optim
from thalweg.errors import EngineError
from thalweg.meta import ASAM, SAM, Accumulate, NonFinite


def step(optimizer: Any, p: Parameter, times: int = 2) -> None:
    def closure() -> float:
        p.grad = torch.ones_like(p)
        return 0.0

    for _ in range(times):
        optimizer.step(closure)


@wrappers
def test_a_step_of_shapes_alone(wrap: Any) -> None:
    """As when memory is planned: it is gone through, and nothing is known to be not finite."""
    p = Parameter(torch.ones(3, device="meta"))
    step(wrap(torch.optim.AdamW([p])), p)
    with FakeTensorMode():
        q = Parameter(torch.ones(3))
        step(wrap(torch.optim.AdamW([q])), q)


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam", "DoG", "LDoG"])
def test_a_distance_needs_numbers(name: str) -> None:
    p = Parameter(torch.ones(3, device="meta"))
    with pytest.raises(EngineError, match="on the device meta: it holds no numbers"):
        step(getattr(optim, name)([p]), p)
    with FakeTensorMode():
        q = Parameter(torch.ones(3))
        with pytest.raises(EngineError, match="a fake tensor: it holds no numbers"):
            step(getattr(optim, name)([q]), q)


@pytest.fixture
def sharded() -> Iterator[Parameter]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        yield Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("wrap", [SAM, ASAM, NonFinite])
def test_a_part_is_not_taken_for_the_whole(wrap: Any, sharded: Parameter) -> None:
    """Before anything changes, and by name."""
    with pytest.raises(EngineError, match=rf"is a DTensor.*{wrap.__name__} cannot work with it"):
        step(wrap(torch.optim.SGD([sharded], lr=0.1)), sharded)
    assert sharded.full_tensor().tolist() == [1.0] * 4  # type: ignore[operator]


def test_sums_of_parts_are_parts_of_sums(sharded: Parameter) -> None:
    optimizer = Accumulate(torch.optim.SGD([sharded], lr=0.5), every=2)
    step(optimizer, sharded, 4)
    assert sharded.full_tensor().tolist() == [0.0] * 4  # type: ignore[operator]
