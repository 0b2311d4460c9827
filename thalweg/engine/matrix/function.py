"""Matrix functions: operations on whole matrices that a rule may use, such as products and roots."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from thalweg.engine.program.shapes import RESULTS
from thalweg.errors import RuleError, suggest

_PROTOCOL = "__torch_function__"


@overload
def matrix_function(function: Callable[..., Tensor], /) -> Callable[..., Any]: ...
@overload
def matrix_function(
    *, result: str = "same", chosen_by_step: bool = False
) -> Callable[[Callable[..., Tensor]], Callable[..., Any]]: ...


def matrix_function(
    function: Callable[..., Tensor] | None = None,
    /,
    *,
    result: str = "same",
    chosen_by_step: bool = False,
) -> Any:
    """Make a function that rules may use of one on stacks of matrices (a decorator).

    The decorated function takes stacks of K matrices (K × m × n), then plain numbers, and returns a stack;
    no matrix of a stack may depend on another. In a rule it is called on the tensors and the numbers of the
    rule; the engine sees a tensor of any rank as a matrix, stacks those of one size, and calls the function
    on stacks. Called on plain tensors it works by hand: on one matrix, or on a stack in the last two
    dimensions.

    Args:
        function: the function.
        result: the shape of what it returns, if its first matrix has a rows and b columns: "same" (a × b),
            "transposed" (b × a), "rows" (a × a), "columns" (b × b), "row" (a × 1), "column" (1 × b) or
            "number" (1 × 1).
        chosen_by_step: whether the number of the step, if it is given that, does nothing but choose what is
            computed, as where bases are new in every k-th step. Then a CUDA graph may repeat what the step
            that it captured has chosen.

    Raises:
        RuleError: `result` is none of these.

    >>> @matrix_function(result="rows")
    ... def gram_plus(x, damping):
    ...     return x @ x.mT + damping * torch.eye(x.shape[-2])
    >>> gram_plus(torch.tensor([[1.0, 2.0]]), 0.5)
    tensor([[5.5000]])
    """
    if result not in RESULTS:
        known = ", ".join(map(repr, RESULTS))
        raise RuleError(
            f"The result of a matrix function must be one of {known}, got {result!r}."
            f"{suggest(str(result), RESULTS)}"
        )
    if function is None:
        return functools.partial(matrix_function, result=result, chosen_by_step=chosen_by_step)
    on_stacks = function
    on_stacks.chosen_by_step = chosen_by_step  # type: ignore[attr-defined]

    @functools.wraps(on_stacks)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = tuple(x for x in (*args, *kwargs.values()) if hasattr(type(x), _PROTOCOL))
        if has_torch_function(given):
            return handle_torch_function(call, given, *args, **kwargs)
        return _by_hand(on_stacks, result, args, kwargs)

    call.on_stacks = on_stacks  # type: ignore[attr-defined]
    call.matrix_result = result  # type: ignore[attr-defined]
    return call


def result_of(target: Any) -> str | None:
    """Return the shape that a matrix function returns, or None for anything else."""
    return getattr(target, "matrix_result", None)


def checked(name: str, value: Any, size: Sequence[int]) -> Tensor:
    """Return what a matrix function returned, if it has the size that it declares.

    Raises:
        RuleError: it has another size, or is not a tensor.
    """
    if not isinstance(value, Tensor) or tuple(value.shape) != tuple(size):
        got = tuple(value.shape) if isinstance(value, Tensor) else f"{value!r:.60}"
        raise RuleError(
            f"The matrix function {name!r} returned {got} where its declared result is a stack of size "
            f"{tuple(size)}. It is given stacks of matrices, K × m × n, and returns K results: write x.mT "
            "for x.T, and reduce over dim=-1 or -2 with keepdim=True."
        )
    return value


def _by_hand(
    function: Callable[..., Tensor], result: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Tensor:
    """Call a function on plain tensors: one matrix, or stacks in the last two dimensions."""
    name = function.__name__
    matrices = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.ndim]
    if not matrices:
        raise RuleError(f"{name}() takes at least one matrix, got {args!r:.80}.")
    first = matrices[0]
    for x in matrices:
        if x.ndim < 2 or x.shape[:-2] != first.shape[:-2]:
            raise RuleError(
                f"{name}() takes matrices, or stacks of as many, in the last two dimensions; got sizes "
                f"{', '.join(str(tuple(x.shape)) for x in matrices)}. A vector is a matrix of one column: "
                "x[:, None]."
            )

    count = math.prod(first.shape[:-2])

    def stacked(x: Any) -> Any:
        return x.reshape(count, *x.shape[-2:]) if isinstance(x, Tensor) and x.ndim else x

    value = function(*map(stacked, args), **{k: stacked(x) for k, x in kwargs.items()})
    a, b = first.shape[-2:]
    rows, columns = (1 if d == "1" else d for d in RESULTS[result](a, b))
    return checked(name, value, (count, rows, columns)).reshape(*first.shape[:-2], rows, columns)


@matrix_function(result="rows")
def gram(x: Tensor) -> Tensor:
    """Return X·Xᵀ, the products of all rows of a matrix with each other (m × m).

    >>> gram(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([[5., 2.],
            [2., 1.]])
    """
    return x @ x.mT


@matrix_function(result="columns")
def gram_of_columns(x: Tensor) -> Tensor:
    """Return Xᵀ·X, the products of all columns of a matrix with each other (n × n).

    >>> gram_of_columns(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([[1., 2.],
            [2., 5.]])
    """
    return x.mT @ x


@matrix_function(result="row")
def mean_of_rows(x: Tensor) -> Tensor:
    """Return the mean of each row (m × 1).

    >>> mean_of_rows(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([[1.5000],
            [0.5000]])
    """
    return x.mean(-1, keepdim=True)


@matrix_function(result="column")
def mean_of_columns(x: Tensor) -> Tensor:
    """Return the mean of each column (1 × n).

    >>> mean_of_columns(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([[0.5000, 1.5000]])
    """
    return x.mean(-2, keepdim=True)


@matrix_function(result="row")
def mean_square_of_rows(x: Tensor) -> Tensor:
    """Return the mean of the squares of each row (m × 1).

    >>> mean_square_of_rows(torch.tensor([[1.0, 2.0], [0.0, 2.0]]))
    tensor([[2.5000],
            [2.0000]])
    """
    return x.square().mean(-1, keepdim=True)


def product(x: Tensor, y: Tensor) -> Tensor:
    """Return the products of two stacks of matrices."""
    return torch.matmul(x, y)


def transposed(x: Tensor) -> Tensor:
    """Return the transposed matrices of a stack."""
    return x.mT
