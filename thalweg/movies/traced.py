"""A function of two numbers, traced with its gradient into the engine's vocabulary.

PyTorch records what the function and its backward pass do (`make_fx` of `grad_and_value`); each recorded
call on small tensors becomes operations on numbers, since nothing here has more than a few entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg.engine.program.builder import Builder
from thalweg.engine.program.program import Value
from thalweg.errors import TaskError
from thalweg.movies.reader import GraphReader
from thalweg.movies.spelled import Spelled

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TracedSurface:
    """A function of x and y as values of the engine's vocabulary: f, ∂f/∂x and ∂f/∂y."""

    values: tuple[Value, ...]
    """All values, operands first."""
    f: Value
    slope: tuple[Value, Value]

    def needed(self, roots: Iterable[Value]) -> tuple[Value, ...]:
        """Return what the roots depend on, in order, without x, y and numbers."""
        reached: set[Value] = set()
        pending = list(roots)
        while pending:
            value = pending.pop()
            if value not in reached:
                reached.add(value)
                pending.extend(value.operands)
        return tuple(v for v in self.values if v in reached and v.op not in ("tensor", "constant"))


def trace_surface(function: Function, called: str) -> TracedSurface:
    """Trace a function of two scalar tensors with its gradient.

    Args:
        function: takes x and y, float64 tensors without dimensions, and returns one number.
        called: what messages call it.

    Raises:
        TaskError: it fails, returns something else than one number, branches on a value, or calls what no
            page can compute; the message says which.

    >>> bowl = trace_surface(lambda x, y: x**2 + 2 * y**2, "bowl")
    >>> bowl.f.op, [slope.op for slope in bowl.slope]
    ('add', ['mul', 'mul'])
    """
    graph = _record(function, called)
    builder = Builder()
    (dx, dy), f = GraphReader(graph, builder, called, ("x", "y")).returned()
    return TracedSurface(tuple(builder.values), f, (dx, dy))


def _record(function: Function, called: str) -> fx.GraphModule:
    def checked(x: Tensor, y: Tensor) -> Tensor:
        with Spelled():
            result = function(x, y)
        if not isinstance(result, Tensor) or result.numel() != 1:
            got = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
            raise TaskError(
                f"{called} must return one number, a tensor made of x and y; got {got}."
            )
        return result.reshape(())

    point = (torch.tensor(0.37, dtype=torch.float64), torch.tensor(0.73, dtype=torch.float64))
    slopes = torch.func.grad_and_value(checked, argnums=(0, 1))
    try:
        return make_fx(slopes, decomposition_table=_decompositions())(*point)
    except TaskError:
        raise
    except Exception as error:
        if "_local_scalar_dense" in str(error):
            raise TaskError(
                f"{called} branches on a value, or asks for the number behind one (`if x > 0`, float(x), "
                "math.sin(x)); it is traced once for all points. Use torch.where(condition, a, b), and "
                "torch's functions instead of those of math."
            ) from error
        raise TaskError(f"{called} failed: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=1)
def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how PyTorch writes operations in simpler ones."""
    return dict(torch.export.default_decompositions())


@dataclass(frozen=True)
class TracedPoint:
    """A function of named numbers as values of the engine's vocabulary, and what it returns."""

    values: tuple[Value, ...]
    """All values, operands first; those named are of the op "tensor"."""
    returned: Value


def trace_point(function: Callable[..., Tensor], names: Sequence[str], called: str) -> TracedPoint:
    """Trace a function of several tensors, elementwise, on one element of each.

    Raises:
        TaskError: for what no page can compute.

    >>> trace_point(lambda p, z: p + 2 * z, ["p", "z"], "an average").returned.op
    'add'
    """
    given = [torch.tensor(0.5 + k, dtype=torch.float64) for k in range(len(names))]
    graph = make_fx(lambda *each: function(*each).clone(), decomposition_table=_decompositions())(
        *given
    )
    builder = Builder()
    returned = GraphReader(graph, builder, called, names).returned()
    return TracedPoint(tuple(builder.values), returned)
