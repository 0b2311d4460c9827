"""Reads a graph that PyTorch recorded on small tensors as operations on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from thalweg.engine.language.elementwise import ELEMENTWISE
from thalweg.engine.language.lower import ALIASES
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.ops import OPS
from thalweg.engine.program.program import Value
from thalweg.errors import TaskError


class GraphReader:
    """Lowers one recorded graph. A tensor is an array of values; what depends on no input stays a tensor."""

    def __init__(
        self, graph: fx.GraphModule, builder: Builder, called: str, inputs: Sequence[str]
    ) -> None:
        self.graph, self.builder, self.called = graph, builder, called
        self.known: dict[fx.Node, Any] = {}
        names = iter(inputs)
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                self.known[node] = _array(builder.tensor(next(names)))
            elif node.op == "get_attr":
                self.known[node] = getattr(graph, str(node.target))
            elif node.op == "call_function":
                self.known[node] = self._call(node)

    def returned(self) -> Any:
        """Return what the graph returns, each tensor of one number as its value."""
        (output,) = (node for node in self.graph.graph.nodes if node.op == "output")
        return fx.node.map_arg(output.args[0], lambda node: self.values(self.known[node]).item())

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
                return self.each(name, given, kept)
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

    def values(self, x: Any) -> np.ndarray:
        """Return a tensor or a number as an array of values."""
        if isinstance(x, np.ndarray):
            return x
        if isinstance(x, Tensor):
            numbers = np.asarray(x.detach())
            flat = [self.builder.constant(_plain(v)) for v in numbers.reshape(-1)]
            return _array(*flat).reshape(numbers.shape)
        return _array(self.builder.constant(x)).reshape(())

    def each(self, name: str, given: list[Any], options: dict[str, Any]) -> np.ndarray:
        """Apply an elementwise function to each entry."""
        arrays = [self.values(x) if _is_number(x) else x for x in given]
        named = {k: self.values(v) if _is_number(v) else v for k, v in options.items()}
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
        a, b = self.values(a), self.values(b)
        left = a if a.ndim == 2 else a[None]
        right = b if b.ndim == 2 else b[:, None]
        found = [
            self.folded("add", self.each("mul", [row, column], {}))
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


def _filled(reader: GraphReader, x: np.ndarray, value: Any) -> Tensor:
    return torch.full(x.shape, value, dtype=torch.float64)


def _slice(
    reader: GraphReader,
    x: np.ndarray,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> np.ndarray:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def _select(reader: GraphReader, x: np.ndarray, dim: int, index: int) -> np.ndarray:
    return np.asarray(np.take(x, index, axis=dim), dtype=object)


def _scatter(
    reader: GraphReader,
    x: Any,
    part: Any,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> np.ndarray:
    made = reader.values(x).copy()
    made[(slice(None),) * (dim % made.ndim) + (slice(start, end, step),)] = reader.values(part)
    return made


def _norm(
    reader: GraphReader, x: np.ndarray, order: float = 2.0, dim: Any = None, keepdim: bool = False
) -> np.ndarray:
    if order == 1:
        return reader.folded("add", reader.each("abs", [x], {}), dim, keepdim)
    if order == math.inf:
        return reader.folded("maximum", reader.each("abs", [x], {}), dim, keepdim)
    if order != 2:
        powers = reader.each("pow", [reader.each("abs", [x], {}), float(order)], {})
        return reader.each("pow", [reader.folded("add", powers, dim, keepdim), 1 / order], {})
    squares = reader.each("mul", [x, x], {})
    return reader.each("sqrt", [reader.folded("add", squares, dim, keepdim)], {})


def _mean(reader: GraphReader, x: np.ndarray, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    summed = reader.folded("add", x, dim, keepdim)
    return reader.each("div", [summed, x.size / max(summed.size, 1)], {})


def _elu(
    reader: GraphReader, x: np.ndarray, alpha: float = 1.0, scale: float = 1.0, inside: float = 1.0
) -> np.ndarray:
    curved = reader.each("elu", [reader.each("mul", [x, inside], {}), alpha], {})
    return reader.each("mul", [curved, scale], {})


def _indexed(reader: GraphReader, x: np.ndarray, places: list[Any]) -> np.ndarray:
    return np.asarray(x[_at(places)], dtype=object)


def _index_put(
    reader: GraphReader, x: Any, places: list[Any], part: Any, accumulate: bool = False
) -> np.ndarray:
    made, at = reader.values(x).copy(), _at(places)
    numbers = np.arange(made.size).reshape(made.shape)[at]
    given = np.broadcast_to(reader.values(part), numbers.shape).reshape(-1)
    flat = made.reshape(-1)
    for k, value in zip(numbers.reshape(-1), given, strict=True):
        flat[k] = reader.builder.apply("add", flat[k], value) if accumulate else value
    return made


def _at(places: list[Any]) -> tuple[Any, ...]:
    """Return fixed places as NumPy takes them; those that depend on x and y are refused."""
    if any(isinstance(place, np.ndarray) for place in places):
        raise TypeError(places)
    return tuple(slice(None) if place is None else np.asarray(place) for place in places)


def _squeeze(reader: GraphReader, x: np.ndarray, dim: Any = None) -> np.ndarray:
    return np.squeeze(x, None if dim is None else tuple(dim) if isinstance(dim, list) else dim)


_SHAPED: dict[str, Callable[..., Any]] = {
    "stack": lambda r, xs, dim=0: np.stack([r.values(x) for x in xs], axis=dim),
    "cat": lambda r, xs, dim=0: np.concatenate([r.values(x) for x in xs], axis=dim),
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
    "bmm": lambda r, a, b: np.stack(list(map(r.product, r.values(a), r.values(b)))),
    "diagonal": lambda r, x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "index": _indexed,
    "index_select": lambda r, x, dim, places: _indexed(r, x, [None] * (dim % x.ndim) + [places]),
    "index_put": _index_put,
    "full_like": _filled,
    "ones_like": lambda r, x: _filled(r, x, 1.0),
    "zeros_like": lambda r, x: _filled(r, x, 0.0),
    "copy": lambda r, x, source: np.broadcast_to(r.values(source), x.shape),
    "clone": lambda r, x: x,
    "detach": lambda r, x: x,
    "alias": lambda r, x: x,
    "lift_fresh_copy": lambda r, x: x,
    "_to_copy": lambda r, x: x,
}
