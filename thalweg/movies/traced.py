"""A function of two numbers, traced with its gradient into the engine's vocabulary.

PyTorch records what the function and its backward pass do (`make_fx` of `grad_and_value`); each recorded
call on small tensors becomes operations on numbers, since nothing here has more than a few entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from thalweg.engine.language.elementwise import ELEMENTWISE
from thalweg.engine.language.lower import ALIASES
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.ops import OPS
from thalweg.engine.program.program import Value
from thalweg.errors import TaskError
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
    reader = _Reader(graph, builder, called)
    (dx, dy), f = reader.returned()
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
                "torch's functions in the place of those of math."
            ) from error
        raise TaskError(f"{called} failed: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=1)
def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how PyTorch writes operations in simpler ones: what it exports with, and more."""
    aten = torch.ops.aten
    more = [aten._softmax, aten._log_softmax, aten.index_select]
    return {**torch.export.default_decompositions(), **get_decompositions(more)}


class _Reader:
    """Lowers one recorded graph. A tensor is an array of values; what depends on no input stays a tensor."""

    def __init__(self, graph: fx.GraphModule, builder: Builder, called: str) -> None:
        self.graph, self.builder, self.called = graph, builder, called
        self.known: dict[fx.Node, Any] = {}
        names = iter(("x", "y"))
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self.known[node] = _array(builder.tensor(next(names)))
            elif node.op == "get_attr":
                self.known[node] = getattr(graph, str(node.target))
            elif node.op == "call_function":
                self.known[node] = self._call(node)

    def returned(self) -> Any:
        """Return what the graph returns: ((∂f/∂x, ∂f/∂y), f)."""
        (output,) = (node for node in self.graph.graph.nodes if node.op == "output")
        return fx.node.map_arg(output.args[0], lambda node: self._values(self.known[node]).item())

    def _call(self, node: fx.Node) -> Any:
        given: list[Any] = list(fx.node.map_arg(node.args, lambda n: self.known[n]))
        options = dict(fx.node.map_arg(node.kwargs, lambda n: self.known[n]))
        assert callable(node.target)
        if not any(isinstance(x, np.ndarray) for x in _flat(given)):
            return node.target(*given, **options)
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        in_place = name.endswith("_")
        name = name.rstrip("_")
        result = self._lowered(ALIASES.get(name, name), given, options)
        if in_place:  # PyTorch's own backward passes do it, on a tensor that they have just made
            self.known[node.all_input_nodes[0]] = result
        return result

    def _lowered(self, name: str, given: list[Any], options: dict[str, Any]) -> Any:
        shaped = _SHAPED.get(name)
        kept = {k: v for k, v in options.items() if k not in _OF_STORAGE}
        try:
            if shaped is not None:
                return shaped(self, *given, **kept)
            if self._passes_on(name, given):
                return given[0]
            if name in ELEMENTWISE or name in OPS:
                return self._each(name, given, kept)
        except (TypeError, ValueError, IndexError) as error:
            raise self._refusal(f"torch.{name.lstrip('_')} with these arguments") from error
        raise self._refusal(f"torch.{name.lstrip('_')}")

    def _passes_on(self, name: str, given: list[Any]) -> bool:
        """Whether it is a power or a multiple of one, of which backward passes have many."""
        alone = len(given) == 2 and isinstance(given[0], np.ndarray) and name in ("pow", "mul")
        return alone and isinstance(given[1], (int, float)) and given[1] == 1

    def _refusal(self, what: str) -> TaskError:
        return TaskError(
            f"{self.called} calls {what}, which a page cannot compute. It may use arithmetic, comparisons, "
            "torch.where, torch's elementwise functions (exp, sin, tanh, erf, …), and stack, sums, means, "
            "norms and products of small tensors, with determinants and inverses up to 4 × 4."
        )

    def _values(self, x: Any) -> np.ndarray:
        """Return a tensor or a number as an array of values."""
        if isinstance(x, np.ndarray):
            return x
        if isinstance(x, Tensor):
            numbers = np.asarray(x.detach())
            flat = [self.builder.constant(_plain(v)) for v in numbers.reshape(-1)]
            return _array(*flat).reshape(numbers.shape)
        return _array(self.builder.constant(x)).reshape(())

    def _each(self, name: str, given: list[Any], options: dict[str, Any]) -> np.ndarray:
        """Apply an elementwise function to each entry."""
        arrays = [self._values(x) if _is_number(x) else x for x in given]
        named = {k: self._values(v) if _is_number(v) else v for k, v in options.items()}
        places = [i for i, x in enumerate(arrays) if isinstance(x, np.ndarray)]
        spread = np.broadcast_arrays(*(arrays[i] for i in places))
        found = []
        for entries in zip(*(each.reshape(-1) for each in spread), strict=True):
            row: list[Any] = list(arrays)
            for place, value in zip(places, entries, strict=True):
                row[place] = value
            single = {k: v.item() if isinstance(v, np.ndarray) else v for k, v in named.items()}
            if name in ELEMENTWISE:
                found.append(ELEMENTWISE[name](self.builder, *row, **single))
            elif single or OPS[name].template.count("{") != len(row):
                raise TypeError(name)
            else:
                found.append(self.builder.apply(name, *row))
        return _array(*found).reshape(spread[0].shape)

    def folded(self, op: str, x: np.ndarray, dims: Any = None, keepdim: bool = False) -> np.ndarray:
        """Put the entries along some dimensions together by an operation of two numbers."""
        every = tuple(range(x.ndim))
        given = every if dims is None or dims == [] else (dims,) if isinstance(dims, int) else dims
        along = tuple(d % max(x.ndim, 1) for d in given) if x.ndim else ()
        rest = [d for d in every if d not in along]
        moved = x.transpose(*rest, *along).reshape(*(x.shape[d] for d in rest), -1)
        first = moved[..., 0].reshape(-1)
        found = list(first)
        for k in range(1, moved.shape[-1]):
            found = [
                self.builder.apply(op, a, b)
                for a, b in zip(found, moved[..., k].reshape(-1), strict=True)
            ]
        shape = (
            [1 if d in along else x.shape[d] for d in every]
            if keepdim
            else [x.shape[d] for d in rest]
        )
        return _array(*found).reshape(shape)

    def product(self, a: Any, b: Any) -> np.ndarray:
        """Return the product of two matrices, a matrix and a vector, or two vectors."""
        a, b = self._values(a), self._values(b)
        left = a if a.ndim == 2 else a[None]
        right = b if b.ndim == 2 else b[:, None]
        found = [
            self.folded("add", self._each("mul", [row, column], {}))
            for row in left
            for column in right.T
        ]
        entries = _array(*(x.item() for x in found)).reshape(len(left), right.shape[1])
        return entries.reshape((*a.shape[:-1], *b.shape[1:]))


def _plain(x: Any) -> float | bool:
    return bool(x) if isinstance(x, np.bool_) else float(x)


def _is_number(x: Any) -> bool:
    return isinstance(x, (np.ndarray, Tensor, int, float))


def _array(*values: Value) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made if len(values) != 1 else made.reshape(())


def _flat(given: Iterable[Any]) -> Iterable[Any]:
    for x in given:
        if isinstance(x, (list, tuple)):
            yield from _flat(x)
        else:
            yield x


# -- calls that see shapes ----------------------------------------------------------------------------------

_OF_STORAGE = ("dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking")


def _filled(reader: _Reader, x: np.ndarray, value: Any) -> Tensor:
    return torch.full(x.shape, value, dtype=torch.float64)


def _slice(
    reader: _Reader, x: np.ndarray, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> np.ndarray:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def _select(reader: _Reader, x: np.ndarray, dim: int, index: int) -> np.ndarray:
    return np.asarray(np.take(x, index, axis=dim), dtype=object)


def _scatter(
    reader: _Reader,
    x: Any,
    part: Any,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> np.ndarray:
    made = reader._values(x).copy()
    made[(slice(None),) * (dim % made.ndim) + (slice(start, end, step),)] = reader._values(part)
    return made


def _norm(
    reader: _Reader, x: np.ndarray, order: float = 2.0, dim: Any = None, keepdim: bool = False
) -> np.ndarray:
    if order == 1:
        return reader.folded("add", reader._each("abs", [x], {}), dim, keepdim)
    if order == math.inf:
        return reader.folded("maximum", reader._each("abs", [x], {}), dim, keepdim)
    if order != 2:
        powers = reader._each("pow", [reader._each("abs", [x], {}), float(order)], {})
        return reader._each("pow", [reader.folded("add", powers, dim, keepdim), 1 / order], {})
    squares = reader._each("mul", [x, x], {})
    return reader._each("sqrt", [reader.folded("add", squares, dim, keepdim)], {})


def _mean(reader: _Reader, x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    summed = reader.folded("add", x, dim, keepdim)
    return reader._each("div", [summed, x.size / max(summed.size, 1)], {})


def _elu(
    reader: _Reader, x: np.ndarray, alpha: float = 1.0, scale: float = 1.0, inside: float = 1.0
) -> np.ndarray:
    curved = reader._each("elu", [reader._each("mul", [x, inside], {}), alpha], {})
    return reader._each("mul", [curved, scale], {})


def _indexed(reader: _Reader, x: np.ndarray, places: list[Any]) -> np.ndarray:
    return np.asarray(x[_at(places)], dtype=object)


def _index_put(
    reader: _Reader, x: Any, places: list[Any], part: Any, accumulate: bool = False
) -> np.ndarray:
    made, at = reader._values(x).copy(), _at(places)
    numbers = np.arange(made.size).reshape(made.shape)[at]
    given = np.broadcast_to(reader._values(part), numbers.shape).reshape(-1)
    flat = made.reshape(-1)
    for k, value in zip(numbers.reshape(-1), given, strict=True):
        flat[k] = reader.builder.apply("add", flat[k], value) if accumulate else value
    return made


def _at(places: list[Any]) -> tuple[Any, ...]:
    """Return fixed places as NumPy takes them; those that depend on x and y are refused."""
    if any(isinstance(place, np.ndarray) for place in places):
        raise TypeError(places)
    return tuple(slice(None) if place is None else np.asarray(place) for place in places)


def _squeeze(reader: _Reader, x: np.ndarray, dim: Any = None) -> np.ndarray:
    return np.squeeze(x, None if dim is None else tuple(dim) if isinstance(dim, list) else dim)


_SHAPED: dict[str, Callable[..., Any]] = {
    "stack": lambda r, xs, dim=0: np.stack([r._values(x) for x in xs], axis=dim),
    "cat": lambda r, xs, dim=0: np.concatenate([r._values(x) for x in xs], axis=dim),
    "view": lambda r, x, shape: x.reshape(shape),
    "reshape": lambda r, x, shape: x.reshape(shape),
    "expand": lambda r, x, shape: np.broadcast_to(x, shape),
    "unsqueeze": lambda r, x, dim: np.expand_dims(x, dim),
    "squeeze": _squeeze,
    "permute": lambda r, x, dims: x.transpose(dims),
    "t": lambda r, x: x.T,
    "elu": _elu,
    "flip": lambda r, x, dims: np.flip(x, dims),
    "select": _select,
    "slice": _slice,
    "slice_scatter": _scatter,
    "sum": lambda r, x, dim=None, keepdim=False: r.folded("add", x, dim, keepdim),
    "prod": lambda r, x, dim=None, keepdim=False: r.folded("mul", x, dim, keepdim),
    "amax": lambda r, x, dim=None, keepdim=False: r.folded("maximum", x, dim, keepdim),
    "amin": lambda r, x, dim=None, keepdim=False: r.folded("minimum", x, dim, keepdim),
    "max": lambda r, x: r.folded("maximum", x),
    "min": lambda r, x: r.folded("minimum", x),
    "mean": _mean,
    "linalg_vector_norm": _norm,
    "mv": lambda r, a, b: r.product(a, b),
    "mm": lambda r, a, b: r.product(a, b),
    "dot": lambda r, a, b: r.product(a, b),
    "bmm": lambda r, a, b: np.stack(list(map(r.product, r._values(a), r._values(b)))),
    "diagonal": lambda r, x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "index": _indexed,
    "index_put": _index_put,
    "full_like": _filled,
    "ones_like": lambda r, x: _filled(r, x, 1.0),
    "zeros_like": lambda r, x: _filled(r, x, 0.0),
    "copy": lambda r, x, source: np.broadcast_to(r._values(source), x.shape),
    "clone": lambda r, x: x,
    "detach": lambda r, x: x,
    "alias": lambda r, x: x,
    "lift_fresh_copy": lambda r, x: x,
    "_to_copy": lambda r, x: x,
}
