"""Batches keep their kind on the way to their place."""

from __future__ import annotations

import collections
import dataclasses
from collections import OrderedDict, UserDict, UserList, defaultdict, deque, namedtuple
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from thalweg.objective.nested import describe_batch, is_plain, mapped, rows_of, tensors_in
from thalweg.tasks.sources.source import Placement


class Pair(NamedTuple):
    a: Tensor
    b: Any = None


Untyped = namedtuple("Untyped", "a b")


class Strict(namedtuple("Strict", "a")):
    """A named tuple that is made in another way than it is held."""

    def __new__(cls, text: str) -> Strict:
        return super().__new__(cls, torch.ones(len(text)).double())


class Own(tuple):
    pass


class Named(dict):  # type: ignore[type-arg]
    name = "n"


@dataclasses.dataclass(frozen=True)
class Record:
    x: Tensor
    y: list[Tensor]
    rows: int = dataclasses.field(init=False, default=3)


ONE = torch.ones(2, dtype=torch.float64)
KINDS: dict[str, Any] = {
    "tensor": ONE,
    "named tuple": Pair(ONE, (ONE, "text")),
    "untyped": Untyped(ONE, 3),
    "made otherwise": Strict("ab"),
    "tuple of its own": Own([ONE]),
    "dict of its own": Named(a=ONE),
    "ordered": OrderedDict(a=ONE),
    "default": defaultdict(list, {"a": ONE}),
    "user's dict": UserDict(a=ONE),
    "user's list": UserList([ONE]),
    "deque": deque([ONE, ONE], maxlen=2),
    "counter": collections.Counter(),
    "record": Record(ONE, [ONE]),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_stay(name: str) -> None:
    value = KINDS[name]
    moved = Placement(dtype=torch.float32)(value)
    assert type(moved) is type(value)
    assert {tensor.dtype for tensor in tensors_in(moved)} <= {torch.float32}
    assert len([*tensors_in(moved)]) == len([*tensors_in(value)])
    assert {tensor.dtype for tensor in tensors_in(value)} <= {torch.float64}
    assert is_plain(value)
    assert rows_of(value) == (None if name == "counter" else 2)


def test_what_is_kept_beside_the_tensors() -> None:
    place = Placement(dtype=torch.float32)
    assert place(KINDS["default"])["b"] == []
    assert place(KINDS["deque"]).maxlen == 2
    assert place(KINDS["record"]).rows == 3
    assert place(KINDS["named tuple"]).b[1] == "text"
    assert place(MappingProxyType({"a": ONE}))["a"].dtype is torch.float32
    assert place("text") == "text"
    assert place(torch.arange(3)).dtype is torch.int64


def test_packed_sequences() -> None:
    packed = pack_sequence([torch.ones(2, 1), torch.ones(3, 1)], enforce_sorted=False).double()
    moved = Placement(dtype=torch.float32)(packed)
    assert isinstance(moved, PackedSequence)
    assert moved.data.dtype is torch.float32
    assert moved.unsorted_indices.tolist() == [1, 0]
    assert rows_of(moved) == 2
    assert not is_plain(moved)


class Batch:
    """A class of a user's own, that moves itself."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.where = x, "here"

    def to(self, device: torch.device) -> Batch | None:
        if self.where == "in place":
            return None
        twin = Batch(self.x)
        twin.where = str(device)
        return twin


def test_batches_of_a_class_of_their_own_move_themselves() -> None:
    batch = Batch(ONE)
    assert Placement()(batch).where == "cpu"
    assert Placement()([batch])[0].where == "cpu"
    assert rows_of(batch) == 2
    batch.where = "in place"
    assert Placement()(batch) is batch
    assert mapped(batch, torch.neg) is batch
    assert not is_plain((ONE, batch))


def test_words_for_messages() -> None:
    assert describe_batch(Batch(ONE)) == "Batch of shape (2,), torch.float64"
    assert describe_batch([ONE] * 5).endswith("; …")
    assert describe_batch(None) == "NoneType"
