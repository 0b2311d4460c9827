"""DTensors, of which each process holds a part: stepped where that is enough, refused where it is not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

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


def parameter(shard: Callable[[], DTensor]) -> nn.Parameter:
    p = nn.Parameter(shard())
    p.grad = shard()
    return p


@pytest.mark.parametrize("name", ["LAMB", "SGLD", "Muon", "Adafactor"])
def test_what_needs_a_whole_tensor_is_refused_by_name(
    name: str, shard: Callable[[], DTensor]
) -> None:
    p = parameter(shard)
    optimizer = getattr(optim, name)([("layer.weight", p)], lr=0.1)
    with pytest.raises(EngineError, match=r"layer\.weight\) is a DTensor.*torch\.optim"):
        optimizer.step()
    same(part(p), torch.ones(2, 2), because="a step that is refused changes nothing")


def part(p: Any) -> Any:
    return p.to_local().detach()


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_a_part_is_stepped_as_a_tensor_and_its_states_are_dtensors(
    engine: Any, shard: Callable[[], DTensor]
) -> None:
    p, whole = parameter(shard), nn.Parameter(torch.ones(2, 2))
    whole.grad = torch.ones(2, 2)
    ours = optim.AdamW([p], lr=lambda t: 0.1 / (1 + t), engine=engine)
    alone = optim.AdamW([whole], lr=lambda t: 0.1 / (1 + t), engine=engine)
    for k in range(4):
        for optimizer in (ours, alone):
            optimizer.param_groups[0]["weight_decay"] = 0.1 * k
            if k == 2:  # to the bit, whatever is planned anew
                optimizer.load_state_dict(optimizer.state_dict())
            optimizer.step()
    same(part(p), whole.detach(), because="the same instructions on a tensor of the same shape")
    kept = ours.state[p]["exp_avg"]
    assert isinstance(kept, DTensor)
    assert kept.shape == p.shape
    assert float(ours.state[p]["step"]) == 4
    same(part(kept), alone.state[whole]["exp_avg"], because="it shares the memory of the part")


def test_a_step_goes_on_with_states_that_were_put_there(shard: Callable[[], DTensor]) -> None:
    p, q = parameter(shard), parameter(shard)
    q.grad = None
    optimizer = optim.SGD([p, q], lr=1.0, momentum=0.5)
    optimizer.step()
    assert q not in optimizer.state
    optimizer.state[p]["momentum_buffer"] = shard() * 4
    q.grad = shard()
    optimizer.step()
    same(part(p), torch.full((2, 2), 1 - 1 - 3.0), because="sums of small whole numbers")
    same(part(q), torch.zeros(2, 2), because="a difference of whole numbers")
    other = copy.deepcopy(optimizer)
    (r, _) = other.param_groups[0]["params"]
    r.grad = p.grad
    other.step()
    optimizer.step()
    same(part(r), part(p), because="a copy steps by the same instructions")


def test_reductions_over_tensors_that_are_divided_in_other_ways_are_refused(
    shard: Callable[[], DTensor],
) -> None:
    plain = nn.Parameter(torch.ones(2))
    plain.grad = torch.ones(2)
    optimizer = optim.Prodigy([parameter(shard), plain])
    with pytest.raises(EngineError, match="divided among processes in different ways"):
        optimizer.step()
