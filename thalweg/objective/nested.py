"""Batches of any kind: tensors, and named tuples, mappings, data classes and packed sequences of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


def mapped(
    value: Any, change: Callable[[Tensor], Tensor], other: Callable[[Any], Any] | None = None
) -> Any:
    """Return `value` with each tensor in it exchanged for `change(tensor)`; every part keeps its kind.

    Lists, tuples, named tuples, mappings, data classes and their subclasses are walked through. Of a
    packed sequence the lengths stay where they are, since PyTorch wants them on the CPU. `other` is
    given anything else; without it that stays as it is.

    >>> import torch
    >>> from collections import namedtuple
    >>> Pair = namedtuple("Pair", "a b")
    >>> mapped(Pair(torch.zeros(1), {"c": [torch.ones(1)]}), torch.neg)
    Pair(a=tensor([-0.]), b={'c': [tensor([-1.])]})
    """
    if isinstance(value, Tensor):
        return change(value)
    if type(value) is tuple:  # most batches are: what is asked below takes longer than a small copy
        return tuple([mapped(item, change, other) for item in value])
    if isinstance(value, PackedSequence):
        order = (value.sorted_indices, value.unsorted_indices)
        data, lengths = change(value.data), value.batch_sizes
        return PackedSequence(data, lengths, *(None if x is None else change(x) for x in order))
    if other is not None and moves_itself(value):
        return other(value)
    if isinstance(value, Mapping):
        return _mapping(value, {key: mapped(item, change, other) for key, item in value.items()})
    if isinstance(value, (tuple, MutableSequence)):
        return _sequence(value, [mapped(item, change, other) for item in value])
    if _is_record(value):
        return _record(value, {k: mapped(item, change, other) for k, item in _fields(value)})
    return value if other is None else other(value)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in `value`, in order; of an object of another kind those among its attributes.

    >>> import torch
    >>> nested = {"a": torch.tensor(1), "b": (torch.tensor(2), "c")}
    >>> [tensor.item() for tensor in tensors_in(nested)]
    [1, 2]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    else:
        for part in _parts(value):
            yield from tensors_in(part)


def rows_of(value: Any) -> int | None:
    """Return the number of rows of a batch: the length of its first tensor that has one, or the
    number of its packed sequences. None where it cannot be told.

    >>> import torch
    >>> rows_of([torch.tensor(0.0), {"a": torch.zeros(4, 2)}]), rows_of("text")
    (4, None)
    """
    if isinstance(value, Tensor):
        return len(value) if value.ndim else None
    if isinstance(value, PackedSequence):
        return int(value.batch_sizes[0])
    for part in _parts(value):
        rows = rows_of(part)
        if rows is not None:
            return rows
    return None


def describe_batch(value: Any) -> str:
    """Return in a few words what a batch is, for a message.

    >>> import torch
    >>> describe_batch(torch.zeros(2, 3)), describe_batch((torch.zeros(2), torch.zeros(2)))
    ('shape (2, 3), torch.float32', 'tuple of shape (2,), torch.float32; shape (2,), torch.float32')
    """
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}, {value.dtype}"
    parts = [describe_batch(tensor) for tensor in tensors_in(value)]
    shown = "; ".join(parts[:4]) + ("; …" if len(parts) > 4 else "")
    return f"{type(value).__name__} of {shown}" if parts else type(value).__name__


def moves_itself(value: Any) -> bool:
    """Return whether `value` is a batch of a kind of its own, with a method `to` for devices."""
    return callable(getattr(type(value), "to", None))


def is_plain(value: Any) -> bool:
    """Return whether a batch consists of tensors in containers, each with one row per sample."""
    if isinstance(value, Tensor):
        return True
    if isinstance(value, PackedSequence) or moves_itself(value):
        return False
    return all(map(is_plain, _parts(value)))


def _parts(value: Any) -> Iterator[Any]:
    """Yield what a value consists of; nothing where it cannot be looked into."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (tuple, MutableSequence)):
        yield from value
    elif _is_record(value):
        yield from (item for _, item in _fields(value))
    elif moves_itself(value):
        found = vars(value).values() if hasattr(value, "__dict__") else ()
        yield from (item for item in found if isinstance(item, (Tensor, Mapping)))


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(value):
        if hasattr(value, field.name):
            yield field.name, getattr(value, field.name)


def _record(value: Any, items: dict[str, Any]) -> Any:
    twin = copy.copy(value)
    for name, item in items.items():
        object.__setattr__(twin, name, item)  # a frozen one, too; nothing is computed again
    return twin


def _mapping(value: Any, items: dict[Any, Any]) -> Any:
    if type(value) is dict:
        return items
    try:
        twin = copy.copy(value)  # a default dict keeps its default, an ordered one its order
        twin.update(items)
    except (AttributeError, TypeError):  # one that cannot be changed
        return items
    return twin


def _sequence(value: Any, items: list[Any]) -> Any:
    if hasattr(value, "_make"):  # a named tuple
        return value._make(items)
    if isinstance(value, tuple):
        if type(value) is tuple:
            return tuple(items)
        try:
            return type(value)(items)
        except TypeError:
            return tuple(items)
    if type(value) is list:
        return items
    twin = copy.copy(value)
    for place, item in enumerate(items):
        twin[place] = item
    return twin
