"""Joining the batches of a set: outputs and targets of any structure, tensor by tensor."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree


class JoinError(ValueError):
    """Batches that cannot be joined: why, without advice."""


def join_batches(parts: Sequence[Any], rows: Sequence[int], axis: int = 0) -> Any:
    """Return batches of one structure as one: tensors at every depth are joined along `axis`.

    `rows` says how many each batch has. Tuples (named ones, too), mappings, data classes and lists
    are walked through; a list that has one entry a row is chained. What else there is must be the
    same in all batches.

    Raises:
        JoinError: where tensors differ in shape beyond their rows, or structures differ.

    >>> join_batches([{"y": torch.ones(2)}, {"y": torch.zeros(1)}], [2, 1])
    {'y': tensor([1., 1., 0.])}
    """
    return parts[0] if len(parts) == 1 else _Joiner(rows, axis).join(parts, "")


def fit_together(parts: Sequence[Tensor], axis: int = 0) -> bool:
    """Return whether tensors differ in their rows at most."""
    shapes = {part.shape[:axis] + part.shape[axis + 1 :] for part in parts}
    return len(shapes) == 1 and all(part.ndim > axis for part in parts)


@dataclasses.dataclass(frozen=True)
class _Joiner:
    rows: Sequence[int]
    axis: int

    def join(self, parts: Sequence[Any], where: str) -> Any:
        first = parts[0]
        if any(isinstance(part, PackedSequence) for part in parts):
            raise JoinError(f"{_there(where)} packed sequences, whose rows are interleaved")
        if all(isinstance(part, Tensor) for part in parts):
            return self._tensors(parts, where)
        if any(type(part) is not type(first) for part in parts):
            kinds = " and ".join(sorted({type(part).__name__ for part in parts}))
            raise JoinError(f"{_there(where)} {kinds} in different batches")
        if isinstance(first, Mapping):
            return self._mappings(parts, where)
        if isinstance(first, (list, tuple)):
            return self._sequences(parts, where)
        if dataclasses.is_dataclass(first) and not isinstance(first, type):
            names = [each.name for each in dataclasses.fields(first) if each.init]
            values = {n: self.join([getattr(p, n) for p in parts], f"{where}.{n}") for n in names}
            return dataclasses.replace(first, **values)
        if any(bool(part != first) for part in parts[1:]):
            raise JoinError(
                f"{_there(where)} a {type(first).__name__} that changes between batches"
            )
        return first

    def _tensors(self, parts: Sequence[Tensor], where: str) -> Tensor:
        if fit_together(parts, self.axis):
            return torch.cat(list(parts), self.axis)
        if all(part.ndim <= self.axis for part in parts):
            if all(torch.equal(part, parts[0]) for part in parts[1:]):
                return parts[0]
            raise JoinError(f"{_there(where)} one number a batch, not one a row")
        shapes = dict.fromkeys(tuple(part.shape[self.axis :]) for part in parts)
        shown = " and ".join(map(str, list(shapes)[:2]))
        raise JoinError(f"{_there(where)} tensors that differ beyond their rows, of shapes {shown}")

    def _mappings(self, parts: Sequence[Any], where: str) -> Any:
        first = parts[0]
        if any(set(part) != set(first) for part in parts):
            raise JoinError(f"{_there(where)} other keys in different batches")
        joined = {key: self.join([p[key] for p in parts], f"{where}[{key!r}]") for key in first}
        if type(first) is dict:
            return joined
        try:
            whole = copy.copy(first)  # keeps what else its class knows
            for key, value in joined.items():
                whole[key] = value
        except TypeError:  # a mapping that cannot be changed
            return joined
        return whole

    def _sequences(self, parts: Sequence[Any], where: str) -> Any:
        first = parts[0]
        if isinstance(first, list) and all(map(self._is_of_rows, parts, self.rows)):
            return [entry for part in parts for entry in part]
        if len({len(part) for part in parts}) != 1:
            raise JoinError(f"{_there(where)} {type(first).__name__}s of different lengths")
        columns = list(zip(*parts, strict=True))
        joined = [self.join(column, f"{where}[{k}]") for k, column in enumerate(columns)]
        return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)

    def _is_of_rows(self, part: list[Any], rows: int) -> bool:
        """Whether a list has an entry for each row, and its entries do not have all rows each."""
        if len(part) != rows:
            return False
        tensors = [each for each in _pytree.tree_leaves(part) if isinstance(each, Tensor)]
        whole = [each.ndim > self.axis and each.shape[self.axis] == rows for each in tensors]
        return not tensors or not all(whole)


def _there(where: str) -> str:
    return f"there are{f', at {where},' if where else ''}"
