"""DTensors, of which each process holds a part: refused before the sum of a part can pass for the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.exact import same
from thalweg import optim
from thalweg.errors import EngineError


@pytest.fixture(scope="module")
def shard() -> Iterator[Callable[[], DTensor]]:
    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    mesh = init_device_mesh("cpu", (2,))
    yield lambda: distribute_tensor(torch.ones(4, 2), mesh, [Shard(0)])
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["SGD", "Adam", "Prodigy", "LAMB", "SGLD"])
def test_a_dtensor_is_refused_by_name(name: str, shard: Callable[[], DTensor]) -> None:
    p = nn.Parameter(shard())
    p.grad = shard()
    optimizer = getattr(optim, name)([("layer.weight", p)])
    with pytest.raises(EngineError, match=r"layer\.weight\) is a DTensor.*torch\.optim"):
        optimizer.step()
    same(p.to_local().detach(), torch.ones(2, 2), because="a step that is refused changes nothing")
