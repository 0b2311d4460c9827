"""The parameters of an optimizer as one vector, and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.member import called
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.steppable import check_gradient, param_names, refuse_sharded


class Flat:
    """The parameters of all groups in order, as one vector of real numbers.

    A complex number is two of them. The vector is of the widest dtype among the parameters, of float32 at
    least, and on the device of the first one.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self.params: list[Tensor] = [p for group in groups for p in group["params"]]
        refuse_sharded(self.params)
        names = [name for group in groups for name in param_names(group)]
        self.names = [called(k, name) for k, name in enumerate(names)]
        self.sizes = [p.numel() * (2 if p.is_complex() else 1) for p in self.params]
        dtypes = [p.dtype.to_real() for p in self.params]
        self.dtype: torch.dtype = reduce(torch.promote_types, dtypes, torch.float32)
        self.device = self.params[0].device

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(self.sizes)

    def point(self) -> Tensor:
        """Return the parameters, as a copy."""
        return self.line(self.params)

    def put(self, x: Tensor) -> None:
        """Set the parameters."""
        with torch.no_grad():
            for p, part in zip(self.params, self._split(x), strict=True):
                if p.is_complex():
                    # a copy of its own: complex128 must lie at a multiple of 16 bytes
                    part = part.to(p.dtype.to_real(), copy=True).view(*p.shape, 2)
                    p.copy_(torch.view_as_complex(part))
                else:
                    p.copy_(part.view(p.shape))

    def gradient(self) -> tuple[Tensor, tuple[int, ...]]:
        """Return the gradients that the parameters have, as a copy, and which parameters have none.

        Raises:
            EngineError: where a gradient has another shape than its parameter.
        """
        grads = [p.grad for p in self.params]
        for p, grad, name in zip(self.params, grads, self.names, strict=True):
            if grad is not None:
                check_gradient(p, grad, name)
        return self.line(grads), tuple(k for k, grad in enumerate(grads) if grad is None)

    def line(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Return tensors of the shapes of the parameters as one vector; None is zeros."""
        return torch.cat([self._part(k, x) for k, x in enumerate(tensors)])

    def lines(self, tensors: Sequence[Tensor | None], count: int) -> Tensor:
        """Return tensors with one more axis in front, of this length, as the rows of a matrix."""
        rows = [
            torch.zeros(count, size, dtype=self.dtype, device=self.device)
            if x is None
            else _real(x).reshape(count, size).to(device=self.device, dtype=self.dtype)
            for x, size in zip(tensors, self.sizes, strict=True)
        ]
        return torch.cat(rows, 1)

    def without(self, vector: Tensor, absent: Sequence[int]) -> Tensor:
        """Return a vector with zeros for some of the parameters."""
        if not absent:
            return vector
        parts = list(self._split(vector))
        for k in absent:
            parts[k] = torch.zeros_like(parts[k])
        return torch.cat(parts)

    def order_of(self, params: Sequence[Tensor]) -> Tensor:
        """Return where each number is in the vector of the same parameters in another order."""
        begins: dict[int, int] = {}
        total = 0
        sizes = {id(p): size for p, size in zip(self.params, self.sizes, strict=True)}
        for p in params:
            begins[id(p)] = total
            total += sizes[id(p)]
        places = [
            torch.arange(begins[id(p)], begins[id(p)] + size, device="cpu")
            for p, size in zip(self.params, self.sizes, strict=True)
        ]
        return torch.cat(places).to(self.device)

    def _split(self, vector: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = torch.functional.split(vector, self.sizes)
        return parts

    def _part(self, k: int, x: Tensor | None) -> Tensor:
        if x is None:
            return torch.zeros(self.sizes[k], dtype=self.dtype, device=self.device)
        return _real(x).reshape(-1).to(device=self.device, dtype=self.dtype)


def _real(x: Any) -> Tensor:
    dense: Tensor = x.to_dense() if x.layout is not torch.strided else x
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
