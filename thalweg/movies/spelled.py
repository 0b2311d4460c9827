"""Functions of small tensors written out in sums and products while a surface is traced.

PyTorch's own backward passes of these branch on values (a product with a zero, a singular matrix) or call
LAPACK, and a page can do neither. Written out they are right everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from itertools import accumulate
from operator import add, mul
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGEST = 4
"""Matrices up to so many rows are expanded by minors."""


class Spelled(TorchFunctionMode):
    """Inside `with Spelled():` products, running sums, variances, determinants and inverses are written out.

    >>> with Spelled():
    ...     torch.det(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(-2.)
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Write a function out, or call it where it is not one of these, or too large."""
        given = kwargs or {}
        written = _WRITTEN.get(func)
        found = written(*args, **given) if written is not None else None
        return func(*args, **given) if found is None else found


def _prod(x: Tensor, dim: int | None = None, keepdim: bool = False, **more: Any) -> Tensor | None:
    if more or not x.numel():
        return None
    if dim is None:
        return reduce(mul, x.reshape(-1).unbind())
    found = reduce(mul, x.unbind(dim))
    return found.unsqueeze(dim) if keepdim else found


def _running(op: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor | None]:
    def written(x: Tensor, dim: int, **more: Any) -> Tensor | None:
        if more or not x.ndim or not x.numel():
            return None
        return torch.stack(list(accumulate(x.unbind(dim), op)), dim)

    return written


def _log_softmax(x: Tensor, dim: int | None = None, **more: Any) -> Tensor | None:
    if dim is None or more.get("dtype") is not None:
        return None
    return x - x.logsumexp(dim, keepdim=True)


def _softmax(x: Tensor, dim: int | None = None, **more: Any) -> Tensor | None:
    found = _log_softmax(x, dim, **more)
    return None if found is None else found.exp()


def _var(
    x: Tensor, dim: Any = None, *, correction: float = 1.0, keepdim: bool = False, **more: Any
) -> Tensor | None:
    if more or isinstance(dim, bool):  # "unbiased", the older spelling
        return None
    away = x - x.mean(dim, keepdim=True)
    squares = away.square().sum(dim, keepdim=keepdim)
    return squares / (x.numel() / squares.numel() - correction)


def _std(x: Tensor, *given: Any, **named: Any) -> Tensor | None:
    found = _var(x, *given, **named)
    if found is None:
        return None
    # at 0, where the root has no slope, PyTorch says 0
    return torch.where(found > 0, torch.where(found > 0, found, 1.0).sqrt(), found)


def _det(A: Tensor) -> Tensor | None:
    return _expanded(_rows(A)) if _is_small(A) else None


def _inv(A: Tensor) -> Tensor | None:
    """Return the adjugate over the determinant."""
    if not _is_small(A):
        return None
    rows, n = _rows(A), len(A)
    if n == 1:
        return 1 / A
    adjugate = [
        [_expanded(_minor(rows, j, i)) * (-1) ** (i + j) for j in range(n)] for i in range(n)
    ]
    return torch.stack([torch.stack(row) for row in adjugate]) / _expanded(rows)


def _solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor | None:
    inverse = _inv(A)
    if inverse is None or not left:
        return None
    return inverse @ B


def _logdet(A: Tensor) -> Tensor | None:
    found = _det(A)
    return None if found is None else found.log()


def _is_small(A: Tensor) -> bool:
    return A.ndim == 2 and A.shape[0] == A.shape[1] and 1 <= len(A) <= LARGEST


def _rows(A: Tensor) -> list[list[Tensor]]:
    return [list(row.unbind()) for row in A.unbind()]


def _minor(rows: list[list[Tensor]], i: int, j: int) -> list[list[Tensor]]:
    return [row[:j] + row[j + 1 :] for k, row in enumerate(rows) if k != i]


def _expanded(rows: list[list[Tensor]]) -> Tensor:
    """Return a determinant, expanded along its first row."""
    if len(rows) == 1:
        return rows[0][0]
    terms = [entry * _expanded(_minor(rows, 0, j)) * (-1) ** j for j, entry in enumerate(rows[0])]
    found: Tensor = reduce(add, terms)
    return found


_WRITTEN: dict[Any, Callable[..., Tensor | None]] = {
    **dict.fromkeys((torch.prod, Tensor.prod), _prod),
    **dict.fromkeys((torch.cumsum, Tensor.cumsum), _running(add)),
    **dict.fromkeys((torch.cumprod, Tensor.cumprod), _running(mul)),
    **dict.fromkeys((torch.softmax, Tensor.softmax, functional.softmax), _softmax),
    **dict.fromkeys((torch.log_softmax, Tensor.log_softmax, functional.log_softmax), _log_softmax),
    **dict.fromkeys((torch.var, Tensor.var), _var),
    **dict.fromkeys((torch.std, Tensor.std), _std),
    **dict.fromkeys((torch.det, Tensor.det, torch.linalg.det), _det),
    **dict.fromkeys((torch.logdet, Tensor.logdet), _logdet),
    **dict.fromkeys((torch.inverse, Tensor.inverse, torch.linalg.inv), _inv),
    torch.linalg.solve: _solve,
}
