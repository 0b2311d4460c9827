"""The compiled loops over Python objects see what Python sees."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from thalweg import optim
from thalweg.engine.cpu.calls.foreign import handles
from thalweg.engine.cpu.calls.layouts import Layouts
from thalweg.engine.cpu.calls.objects import DictEntries, Gradients, Same, Versions
from thalweg.engine.same import same_objects


def test_an_entry_that_is_replaced_or_gone_is_seen() -> None:
    states: list[dict[str, Any]] = [{"a": torch.ones(2), "b": 3.5} for _ in range(20)]
    dicts = [s for s in states for _ in "ab"]
    names = [n for _ in states for n in "ab"]
    entries = DictEntries(dicts, names, [s[n] for s, n in zip(dicts, names, strict=True)])
    assert entries.hold()
    kept = states[7]["a"]
    states[7]["a"] = torch.ones(2)
    assert not entries.hold()
    states[7]["a"] = kept
    assert entries.hold()
    del states[19]["b"]
    assert not entries.hold()


def test_gradients_are_read_wherever_they_are() -> None:
    params: list[Any] = [Parameter(torch.ones(3)) for _ in range(20)]
    gradients = Gradients(params)
    assert gradients.read() == [None] * 20
    for k, p in enumerate(params):
        p.grad = None if k % 3 == 0 else torch.full((3,), float(k))
    read = gradients.read()
    assert all(g is p.grad for g, p in zip(read, params, strict=True))
    params[4].grad = torch.zeros(3)
    assert gradients.read()[4] is params[4].grad


def test_an_error_on_the_way_to_a_gradient_is_raised() -> None:
    class Guarded:
        @property
        def grad(self) -> Any:
            raise KeyError("no gradient here")

    params: list[Any] = [Parameter(torch.ones(2)), Guarded()]
    with pytest.raises(KeyError, match="no gradient here"):
        Gradients(params).read()


def test_each_change_is_counted_once() -> None:
    tensors: list[Tensor] = [torch.ones(2), Parameter(torch.ones(3)), torch.ones(4)[1:]]
    before = [x._version for x in tensors]
    Versions(tensors).increment()
    assert [x._version for x in tensors] == [n + 1 for n in before]


def test_a_tensor_without_a_counter_is_passed_over() -> None:
    with torch.inference_mode():
        without = torch.ones(2)
    other = torch.ones(2)
    Versions([without, other]).increment()
    assert other._version == 1


def test_a_tensor_that_was_swapped_for_one_without_a_counter() -> None:
    first, second = torch.ones(2), torch.ones(2)
    versions = Versions([first, second])
    with torch.inference_mode():
        without = torch.ones(2)
    torch.utils.swap_tensors(first, without)  # type: ignore[no-untyped-call]
    versions.increment()
    assert second._version >= 1


@pytest.mark.parametrize("compiled", [True, False])
def test_parameters_and_states_that_are_others(compiled: bool) -> None:
    params = [Parameter(torch.ones(1)) for _ in range(3)]
    states: dict[Any, Any] = {p: {} for p in params}
    same = same_objects(params, list(states.values()), compiled)
    assert isinstance(same, Same) is compiled
    assert same.are_in(list(params), states)
    assert not same.are_in([params[0], params[2], params[1]], states)
    assert not same.are_in(params[:2], states)
    states[params[1]] = {}
    assert not same.are_in(params, states)
    del states[params[1]]
    assert not same.are_in(params, states)


def test_the_first_tensor_without_memory_is_told() -> None:
    around = torch.zeros(20)
    tensors = [torch.zeros(3), around[5:12], around[12:], torch.zeros(0)]
    layouts = Layouts(tensors, [x.dtype for x in tensors], [x.nbytes for x in tensors])
    assert layouts.read(tensors)
    assert layouts.without_memory is None
    around.untyped_storage().resize_(4 * 19)
    assert layouts.read(tensors)
    assert layouts.without_memory == 2


def test_handles_are_known_or_nothing_is() -> None:
    known = handles()
    if known is None:
        pytest.skip("this PyTorch lays tensors out otherwise")
    assert known.size
    assert known.offset


def test_a_saved_state_is_no_larger_than_the_state() -> None:
    params = [Parameter(torch.ones(100)) for _ in range(50)]
    optimizer = optim.Adam(params)
    for p in params:
        p.grad = torch.ones(100)
    optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state[params[0]]["exp_avg"], file)
    assert file.tell() < 50 * 400
