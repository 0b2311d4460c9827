"""States of other shapes lie in one memory, and whatever is done to them between two steps is seen."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import draw
from tests.exact import close, same
from thalweg import EngineError, RowsByRows, rule
from thalweg.engine.cpu import stacked_states, stacks

from .made import roots

COUNT = 4


def optimizer_of(engine: Any, made: Any = roots, count: int = COUNT) -> Any:
    params = [Parameter(draw(3, 2, seed=k)) for k in range(count)]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}]
    return thalweg.Optimizer(groups, made, lr=0.1, engine=engine)


def params_of(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def step(optimizer: Any, number: int, without: int | None = None) -> None:
    for k, p in enumerate(params_of(optimizer)):
        g = draw(*p.shape, seed=100 + 10 * number + k, dtype=p.dtype)
        p.grad = None if k == without else g
    optimizer.step()


def states(optimizer: Any, name: str = "L") -> list[Tensor]:
    return [optimizer.state[p][name] for p in params_of(optimizer)]


def test_states_lie_behind_each_other_and_stay_the_same_objects() -> None:
    optimizer = optimizer_of("fused")
    step(optimizer, 0)
    first = states(optimizer)
    places = [x.data_ptr() for x in first]
    assert [b - a for a, b in pairwise(places)] == [first[0].nbytes] * 3
    versions = [x._version for x in first]
    step(optimizer, 1)
    step(optimizer, 2, without=0)
    step(optimizer, 3)
    assert all(a is b for a, b in zip(first, states(optimizer), strict=True))
    assert all(x._version > before for x, before in zip(first, versions, strict=True))


def test_a_state_takes_along_its_own_numbers_alone() -> None:
    optimizer = optimizer_of("fused")
    step(optimizer, 0)
    one = states(optimizer)[1]
    assert one.untyped_storage().nbytes() == one.nbytes
    alone, stored = io.BytesIO(), io.BytesIO()
    torch.save(one.clone(), alone)
    torch.save(one, stored)
    assert abs(len(stored.getvalue()) - len(alone.getvalue())) < one.nbytes
    copied, before = copy.deepcopy(one), one.clone()
    copied.zero_()
    same(one, before, because="a copy has numbers of its own")


def replaced(optimizer: Any) -> Any:
    p = params_of(optimizer)[1]
    optimizer.state[p]["L"] = optimizer.state[p]["L"].clone()
    return optimizer


def changed_in_place(optimizer: Any) -> Any:
    states(optimizer)[2].mul_(2.0)
    return optimizer


def moved(optimizer: Any) -> Any:
    states(optimizer)[0].data = 2.0 * states(optimizer)[0]
    return optimizer


def a_view(optimizer: Any) -> Any:
    p = params_of(optimizer)[3]
    flat = torch.cat([torch.zeros(5), optimizer.state[p]["L"].flatten()])
    optimizer.state[p]["L"] = flat[5:].view(3, 3)
    return optimizer


def transposed(optimizer: Any) -> Any:
    p = params_of(optimizer)[3]
    optimizer.state[p]["L"] = optimizer.state[p]["L"].T.contiguous().T
    return optimizer


def exchanged(optimizer: Any) -> Any:
    a, b = (optimizer.state[p] for p in params_of(optimizer)[:2])
    a["L"], b["L"] = b["L"], a["L"]
    return optimizer


def loaded(optimizer: Any) -> Any:
    optimizer.load_state_dict(optimizer.state_dict())
    return optimizer


def saved(optimizer: Any) -> Any:
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    step(optimizer, 7)
    file.seek(0)
    optimizer.load_state_dict(torch.load(file, weights_only=True))
    return optimizer


def copied(optimizer: Any) -> Any:
    other = copy.deepcopy(optimizer)
    step(optimizer, 8)  # must not reach the copy
    return other


def without_a_gradient(optimizer: Any) -> Any:
    step(optimizer, 9, without=1)
    return optimizer


def one_more(optimizer: Any) -> Any:
    optimizer.add_param_group({"params": [Parameter(draw(3, 2, seed=50))]})
    return optimizer


def shared(optimizer: Any) -> Any:
    share: Any = states(optimizer)[0].share_memory_
    share()
    return optimizer


BETWEEN: list[Callable[[Any], Any]] = [
    replaced,
    changed_in_place,
    moved,
    a_view,
    transposed,
    exchanged,
    loaded,
    saved,
    copied,
    without_a_gradient,
    one_more,
    shared,
]


@pytest.mark.parametrize("between", BETWEEN, ids=lambda f: f.__name__)
@pytest.mark.parametrize("most", [stacks.MOST, 13])
def test_what_happens_between_steps_is_seen(
    between: Callable[[Any], Any], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacks, "MOST", most)  # 13 numbers are two matrices a slice
    found = []
    for engine in ("fused", "eager"):
        optimizer = optimizer_of(engine)
        for number in (0, 1):
            step(optimizer, number)
        optimizer = between(optimizer)
        for number in (2, 3):
            step(optimizer, number)
        found.append([params_of(optimizer), states(optimizer), states(optimizer, "R")])
    # roots of nearly singular matrices magnify rounding, as in test_fused.py
    close(*found, ulps=1e6, because="a stack is summed in another order than a matrix alone")


def test_states_of_another_dtype_are_copied_and_written_back() -> None:
    found = []
    for engine in ("fused", "eager"):
        optimizer = optimizer_of(engine)
        step(optimizer, 0)
        for p in params_of(optimizer):
            optimizer.state[p]["L"] = optimizer.state[p]["L"].float()
        step(optimizer, 1)
        assert all(x.dtype is torch.float32 for x in states(optimizer))
        found.append(states(optimizer))
    close(*found, ulps=4, because="rounded to float32 once")


def test_states_may_change_places() -> None:
    """What a state was is not overwritten before it has become another one."""

    @rule
    def turning(g: Any, A: RowsByRows, B: RowsByRows, *, t: Any) -> Any:
        first = torch.where(t == 1, thalweg.gram(g), A)
        return g, B, first.mT

    found = []
    for engine in ("fused", "eager"):
        optimizer = optimizer_of(engine, turning)
        for number in range(4):
            step(optimizer, number)
        found.append([states(optimizer, "A"), states(optimizer, "B")])
    close(*found, ulps=4, because="a product is summed in another order")


def test_a_state_without_its_memory_is_named() -> None:
    optimizer = optimizer_of("fused", count=3)  # the third is alone in its group, not in its stack
    step(optimizer, 0)
    p = params_of(optimizer)[2]
    emptied = optimizer.state[p]["L"] = optimizer.state[p]["L"].clone()
    emptied.untyped_storage().resize_(0)
    with pytest.raises(EngineError, match="state 'L' of parameter 2"):
        step(optimizer, 1)


def test_memory_that_another_plan_took_over_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    move = stacked_states._moved

    def noting(*args: Any) -> Any:
        made.append(move(*args))
        return made[-1]

    monkeypatch.setattr(stacked_states, "_moved", noting)
    optimizer = optimizer_of("fused")
    for number in range(3):
        step(optimizer, number, without=0)
        step(optimizer, number)
    kept = [x for x in made if x.whole is not None]
    assert len(made) > 2
    assert [x.addresses for x in kept] == [
        [x.data_ptr() for x in states(optimizer, name)] for name in ("L", "R")
    ]
