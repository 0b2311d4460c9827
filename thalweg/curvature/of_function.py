"""The Hessian of a plain function of one tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.curvature.modes import RandomNumbers, twice_differentiable
from thalweg.curvature.of_model import Product, second_derivative
from thalweg.curvature.operator import Operator
from thalweg.errors import TaskError
from thalweg.generators import generators_of


class FunctionHessian(Operator):
    """∇²f at a point; see `hessian_of`. The function is computed once, and its graph kept."""

    def __init__(self, fun: Callable[[Tensor], Any], x: Tensor) -> None:
        if not x.is_floating_point():
            raise TaskError(
                f"The point must be a tensor of real floating-point numbers; got {x.dtype}."
            )
        super().__init__(x.numel(), x.dtype, x.device)
        self._point = x.detach().clone().requires_grad_()
        self._random = RandomNumbers(generators_of(fun))
        self._gradients = 0.0
        self._fun = fun
        self._product: Product | None = None

    @property
    def gradients(self) -> float:
        """What was computed so far, in gradients of the function: 1, and 2 for each product."""
        return self._gradients

    def _times(self, vectors: Tensor) -> Tensor:
        with self._random.replayed(), twice_differentiable():
            if self._product is None:
                value = self._fun(self._point.clone())  # which the function may change
                if not isinstance(value, Tensor) or value.numel() != 1 or value.is_complex():
                    raise TaskError(
                        "The function returns one real number, computed from x by PyTorch."
                    )
                self._product = second_derivative(value.reshape(()), [self._point])
                self._gradients += 1.0
            self._gradients += 2.0 * vectors.shape[1]
            shape = self._point.shape
            found = [self._product([v.reshape(shape)])[0] for v in vectors.mT.contiguous()]
        return torch.stack([each.detach().reshape(-1) for each in found], 1)


def hessian_of(fun: Callable[[Tensor], Any], x: Tensor) -> FunctionHessian:
    """Return the Hessian ∇²f(x) of a function from one tensor, of any shape, to one number, as an operator.

    Raises:
        TaskError: for another kind of value or point.

    >>> H = hessian_of(lambda x: x[0] ** 2 * x[1], torch.tensor([1.0, 3.0]))
    >>> H.dense().tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    return FunctionHessian(fun, x)
