"""Matrices cut into blocks, each with matrices of its own: products, roots, bases, and what these are put to.

A side of n is cut into the fewest parts of at most b, as equal as they can be: 129 into 65 and 64, if b is
100. What is kept for the blocks of an m × n matrix lies in one matrix: block (i, j) has its m′ × m′ numbers
in the rows of part i, beside those of the other blocks of that part. What is kept for columns lies the same
way, with the parts of n for rows. A shorter part leaves a column of zeros.

Blocks of one size are computed together; there are at most four sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.engine.matrix.function import matrix_function
from thalweg.engine.matrix.refreshed import (
    basis_of,
    in_order,
    newton_root_of,
    ordered_basis_of,
    root_of,
)
from thalweg.engine.program.shapes import parts_of


@dataclass(frozen=True)
class Parts:
    """Parts of one size that a side is cut into, side by side: the first of them, and where it begins."""

    first: int
    start: int
    count: int
    size: int

    @property
    def where(self) -> slice:
        """The rows or columns that they are."""
        return slice(self.start, self.start + self.count * self.size)

    @property
    def which(self) -> slice:
        """Which parts of their side they are."""
        return slice(self.first, self.first + self.count)


def cut(side: int, block: int) -> list[Parts]:
    """Return the parts of a side: the larger ones, then those that are one shorter.

    >>> cut(10, 4)
    [Parts(first=0, start=0, count=1, size=4), Parts(first=1, start=4, count=2, size=3)]
    """
    count, _ = parts_of(side, block)
    size, larger = divmod(side, count)
    found = [
        Parts(0, 0, larger, size + 1),
        Parts(larger, larger * (size + 1), count - larger, size),
    ]
    return [parts for parts in found if parts.count]


def _regions(x: Tensor, block: int) -> Iterator[tuple[Parts, Parts]]:
    """Yield the parts of rows and columns whose blocks have one size."""
    for rows in cut(x.shape[1], block):
        for columns in cut(x.shape[2], block):
            yield rows, columns


def _blocks(x: Tensor, rows: Parts, columns: Parts) -> Tensor:
    """Return the blocks of matrices K × m × n, in the order of matrices, parts of rows, parts of columns."""
    each = x[:, rows.where, columns.where].reshape(
        len(x), rows.count, rows.size, columns.count, columns.size
    )
    count = len(x) * rows.count * columns.count
    return each.transpose(2, 3).reshape(count, rows.size, columns.size)


def _put(whole: Tensor, blocks: Tensor, rows: Parts, columns: Parts) -> None:
    """Write blocks to where `_blocks` found them."""
    each = blocks.reshape(len(whole), rows.count, columns.count, rows.size, columns.size)
    side_by_side = each.transpose(2, 3).reshape(
        len(whole), rows.count * rows.size, columns.count * columns.size
    )
    whole[:, rows.where, columns.where] = side_by_side


def _view(kept: Tensor, own: Parts, block: int) -> Tensor:
    """View what is kept for parts of one size as K × parts × size × parts of the other side × size."""
    _, longest = parts_of(kept.shape[1], block)
    others = kept.shape[2] // longest
    rows = kept[:, own.where].view(len(kept), own.count, own.size, others, longest)
    return rows[..., : own.size]


def _of_rows(kept: Tensor, rows: Parts, columns: Parts, block: int) -> Tensor:
    """Return what is kept for the rows of blocks, in the order of `_blocks`."""
    found = _view(kept, rows, block)[:, :, :, columns.which]
    return found.transpose(2, 3).flatten(0, 2)


def _of_columns(kept: Tensor, rows: Parts, columns: Parts, block: int) -> Tensor:
    """Return what is kept for the columns of blocks, in the order of `_blocks`."""
    found = _view(kept, columns, block)[:, :, :, rows.which]
    return found.permute(0, 3, 1, 2, 4).flatten(0, 2)


def _put_rows(whole: Tensor, made: Tensor, rows: Parts, columns: Parts, block: int) -> None:
    each = made.reshape(len(whole), rows.count, columns.count, rows.size, rows.size)
    _view(whole, rows, block)[:, :, :, columns.which] = each.transpose(2, 3)


def _put_columns(whole: Tensor, made: Tensor, rows: Parts, columns: Parts, block: int) -> None:
    each = made.reshape(len(whole), rows.count, columns.count, columns.size, columns.size)
    _view(whole, columns, block)[:, :, :, rows.which] = each.permute(0, 2, 3, 1, 4)


def _each(kept: Tensor, block: str, function: Callable[..., Tensor], *beside: Tensor) -> Tensor:
    """Return a function of what is kept for each block, and of what else is kept for it."""
    whole = torch.zeros_like(kept)
    for own in cut(kept.shape[1], int(block)):
        views = [_view(x, own, int(block)).transpose(2, 3) for x in (kept, *beside)]
        made = function(*(x.flatten(0, 2) for x in views))
        _view(whole, own, int(block))[:] = made.reshape(views[0].shape).transpose(2, 3)
    return whole


@matrix_function
def grams_of_rows(kept: Tensor, x: Tensor, block: str) -> Tensor:
    """Return X·Xᵀ of each block of X, as `kept` has them.

    >>> import torch
    >>> grams_of_rows(torch.zeros(2, 4), torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2), "3")
    tensor([[ 5.,  5., 25., 25.],
            [ 5.,  5., 25., 25.]])
    """
    whole = torch.zeros_like(kept)
    for rows, columns in _regions(x, int(block)):
        each = _blocks(x, rows, columns)
        _put_rows(whole, each @ each.mT, rows, columns, int(block))
    return whole


@matrix_function
def grams_of_columns(kept: Tensor, x: Tensor, block: str) -> Tensor:
    """Return Xᵀ·X of each block of X, as `kept` has them.

    >>> import torch
    >>> grams_of_columns(torch.zeros(4, 2), torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "3")
    tensor([[ 1.,  2.],
            [ 2.,  4.],
            [ 9., 12.],
            [12., 16.]])
    """
    whole = torch.zeros_like(kept)
    for rows, columns in _regions(x, int(block)):
        each = _blocks(x, rows, columns)
        _put_columns(whole, each.mT @ each, rows, columns, int(block))
    return whole


@matrix_function(chosen_by_step=True)
def roots_of(
    a: Tensor,
    kept: Tensor,
    t: float,
    every: float,
    p: float,
    damping: float,
    newton: bool,
    block: str,
) -> Tensor:
    """Return `root_of`, or `newton_root_of`, of the matrix of each block."""
    root = newton_root_of if newton else root_of
    return _each(a, block, lambda x, before: root(x, before, t, every, p, damping), kept)


@matrix_function(chosen_by_step=True)
def bases_of(a: Tensor, kept: Tensor, t: float, every: float, ordered: bool, block: str) -> Tensor:
    """Return `basis_of`, or `ordered_basis_of`, of the matrix of each block."""
    basis = ordered_basis_of if ordered else basis_of
    return _each(a, block, lambda x, before: basis(x, before, t, every), kept)


@matrix_function
def identities_like(kept: Tensor, block: str) -> Tensor:
    """Return the identity of each block.

    >>> import torch
    >>> identities_like(torch.zeros(2, 4), "3")
    tensor([[1., 0., 1., 0.],
            [0., 1., 0., 1.]])
    """
    return _each(
        kept, block, lambda x: torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand_as(x)
    )


@matrix_function
def turned_in(x: Tensor, left: Tensor, right: Tensor, block: str) -> Tensor:
    """Return Lᵀ·X·R of each block."""
    whole = torch.empty_like(x)
    for rows, columns in _regions(x, int(block)):
        at = rows, columns, int(block)
        made = _of_rows(left, *at).mT @ _blocks(x, rows, columns) @ _of_columns(right, *at)
        _put(whole, made, rows, columns)
    return whole


@matrix_function
def turned_back(x: Tensor, left: Tensor, right: Tensor, block: str) -> Tensor:
    """Return L·X·Rᵀ of each block."""
    whole = torch.empty_like(x)
    for rows, columns in _regions(x, int(block)):
        at = rows, columns, int(block)
        made = _of_rows(left, *at) @ _blocks(x, rows, columns) @ _of_columns(right, *at).mT
        _put(whole, made, rows, columns)
    return whole


@matrix_function(chosen_by_step=True)
def turned_in_at_first(x: Tensor, t: float, left: Tensor, right: Tensor, block: str) -> Tensor:
    """Return `turned_at_first` of each block."""
    return turned_in(x, left, right, block) if t == 1 else x


@matrix_function(chosen_by_step=True)
def blocks_in_order(
    x: Tensor,
    t: float,
    every: float,
    left: Tensor,
    of_rows: Tensor,
    right: Tensor,
    of_columns: Tensor,
    block: str,
) -> Tensor:
    """Return each block with its rows and columns `in_order`."""
    whole = torch.empty_like(x)
    for rows, columns in _regions(x, int(block)):
        at = rows, columns, int(block)
        found = [_of_rows(y, *at) for y in (left, of_rows)]
        found += [_of_columns(y, *at) for y in (right, of_columns)]
        _put(whole, in_order(_blocks(x, rows, columns), t, every, *found), rows, columns)
    return whole
