"""Lower a traced graph to a program: the many spellings of PyTorch to the few operations of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import fx

from thalweg.engine.language.trace import ContractError, plain_number
from thalweg.engine.matrix.function import product, result_of, transposed
from thalweg.engine.program import reductions
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.noise import noise
from thalweg.engine.program.ops import OPS
from thalweg.engine.program.program import Level, Value
from thalweg.engine.program.shapes import RESULTS, WHOLE, Shape, product_shape

LowerCall = Callable[..., Value]

ALIASES: Mapping[str, str] = {
    "truediv": "div",
    "divide": "div",
    "true_divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "negative": "neg",
    "absolute": "abs",
    "fix": "trunc",
    "sgn": "sign",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "bitwise_and": "logical_and",
    "and_": "logical_and",
    "bitwise_or": "logical_or",
    "or_": "logical_or",
    "bitwise_not": "logical_not",
    "invert": "logical_not",
    "bitwise_xor": "logical_xor",
    "xor": "logical_xor",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "expit": "sigmoid",
    "logsigmoid": "log_sigmoid",
    "_threshold": "threshold",
}


def _same(b: Builder, x: Value) -> Value:
    return x


def _total(b: Builder, x: Value, scope: str = "tensor") -> Value:
    return b.reduce("sum", x, scope)


def _count(b: Builder, x: Value, scope: str = "tensor") -> Value:
    if x.level == Level.MATRIX and x.shape != WHOLE:
        return b.count_of_matrix(x)
    if not x.is_foreign:
        return b.leaf("count", scope)
    nan = b.apply("isnan", x)
    one = b.apply("logical_or", nan, b.apply("logical_not", nan))
    return b.reduce("sum", one, scope)  # of another shape, maybe: count its elements


def _mean(b: Builder, x: Value, scope: str = "tensor") -> Value:
    return b.apply("div", b.reduce("sum", x, scope), _count(b, x, scope))


def _norm(b: Builder, x: Value, scope: str = "tensor") -> Value:
    return b.apply("sqrt", b.reduce("sum", b.apply("mul", x, x), scope))


def _largest(b: Builder, x: Value, other: Value | None = None, scope: str = "tensor") -> Value:
    return b.reduce("max", x, scope) if other is None else b.apply("maximum", x, other)


def _smallest(b: Builder, x: Value, other: Value | None = None) -> Value:
    if other is not None:
        return b.apply("minimum", x, other)
    return b.apply("neg", b.reduce("max", b.apply("neg", x), "tensor"))


SPELLINGS: Mapping[str, LowerCall] = {
    "pos": _same,
    "positive": _same,
    "clone": _same,
    "detach": _same,
    "contiguous": _same,
    "zeros_like": lambda b, x: b.constant(0.0),
    "ones_like": lambda b, x: b.constant(1.0),
    "full_like": lambda b, x, fill_value: fill_value,
    "total": _total,
    "sum": lambda b, x: _total(b, x),
    "mean": _mean,
    "norm": _norm,
    "vector_norm": lambda b, x: _norm(b, x),
    "largest": _largest,
    "max": lambda b, x, other=None: _largest(b, x, other),
    "min": _smallest,
    "amax": lambda b, x: _largest(b, x),
    "amin": lambda b, x: _smallest(b, x),
    "numel": lambda b, x: _count(b, x),
    "dimensions": lambda b, x: b.leaf("dimensions"),
    "rows": lambda b, x: b.leaf("rows"),
    "columns": lambda b, x: b.leaf("columns"),
}


_NESTED = (tuple, list, dict, slice)


@dataclass(frozen=True)
class ForeignCall:
    """A PyTorch call outside the vocabulary, with holes where its operands go."""

    label: str
    function: Callable[..., Any]
    args: Any
    kwargs: Any

    def __call__(self, operands: tuple[Any, ...]) -> Any:
        """Call it on real tensors."""

        def filled(x: Any) -> Any:
            return operands[x.index] if isinstance(x, Hole) else x

        if self._is_flat:
            return self.function(*map(filled, self.args))
        args, kwargs = fx.node.map_aggregate((self.args, self.kwargs), filled)
        return self.function(*args, **kwargs)

    @cached_property
    def _is_flat(self) -> bool:
        """Whether each argument stands by itself: none by name, none within another."""
        return not self.kwargs and not any(isinstance(x, _NESTED) for x in self.args)


@dataclass(frozen=True)
class Hole:
    """The place of an operand in a foreign call."""

    index: int


class Lowering:
    """Lowers the nodes of one graph, given the values of its inputs, and formulas of functions by name."""

    def __init__(
        self,
        builder: Builder,
        inputs: Mapping[fx.Node, Value],
        formulas: Mapping[str, LowerCall],
    ) -> None:
        self.builder = builder
        self._spellings = {**formulas, **SPELLINGS}
        self._values = dict(inputs)

    def bind(self, node: fx.Node, value: Value) -> None:
        """Say which value an input of the graph stands for."""
        self._values[node] = value

    def value(self, x: Any) -> Value:
        """Return the value of a node or of a number."""
        if isinstance(x, fx.Proxy):
            x = x.node
        if isinstance(x, fx.Node):
            if x not in self._values:
                self._values[x] = self._lower(x)
            return self._values[x]
        x = plain_number(x)
        if isinstance(x, (bool, int, float)):
            return self.builder.constant(x)
        if isinstance(x, torch.Tensor) and x.ndim == 0:
            return self.builder.constant(float(x))
        raise ContractError(
            f"it returns or uses {type(x).__name__} {x!r:.60} where a tensor or a number is expected"
        )

    def _lower(self, node: fx.Node) -> Value:
        name = (
            node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "?")
        )
        result = result_of(node.target)
        if result is not None:
            return self._matrix(node, result)
        if name == "getattr" and node.args[1] in ("T", "mT"):
            x = self.value(node.args[0])
            return self._transposed(x) if x.level == Level.MATRIX else self._foreign(node, name)
        name = name.removeprefix("special_")
        name = ALIASES.get(name, name)
        try:
            args = [self._operand(x) for x in node.args]
            kwargs = {k: self._operand(x) for k, x in node.kwargs.items() if k not in _OURS}
        except ContractError:
            return self._foreign(
                node, name
            )  # an operand only PyTorch understands: a shape, a dtype
        lowered = self._known(node, name, args, kwargs)
        return self._foreign(node, name) if lowered is None else lowered

    def _operand(self, x: Any) -> Any:
        return x if x is None or isinstance(x, str) else self.value(x)

    def _known(
        self, node: fx.Node, name: str, args: list[Any], kwargs: dict[str, Any]
    ) -> Value | None:
        if name == "norm" and node.target is not reductions.norm and (len(args) > 1 or kwargs):
            return None  # PyTorch's norm of another order
        if name in _REDUCING and len(node.args) > 1 and not isinstance(node.args[1], fx.Node):
            return None  # over one dimension
        if name == "where" and node.op == "call_method":  # x.where(condition, other)
            args = [args[1], args[0], *args[2:]]
        if node.target is noise:
            return self._noise(node, *args, **kwargs)
        if name == "matmul" and any(x.level == Level.MATRIX for x in args):
            return self._product(*args)
        if name in self._spellings:
            try:
                return self._spellings[name](self.builder, *args, **kwargs)
            except TypeError:
                return None  # arguments beyond this spelling: a dim, a dtype
        if name in OPS and not kwargs and all(isinstance(v, Value) for v in args):
            if OPS[name].template.count("{") != len(args):
                return None
            return self.builder.apply(name, *args)
        return None

    def _noise(self, node: fx.Node, like: Value, seed: Value, t: Value) -> Value:
        if seed.level > Level.HOST or t.level > Level.HOST:
            raise ContractError(
                "its noise depends on a tensor: noise(u, seed, t) takes hyperparameters, t and numbers"
            )
        calls = [each for each in node.graph.nodes if each.target is noise]
        return self.builder.noise(seed, t, calls.index(node))

    def _foreign(self, node: fx.Node, name: str) -> Value:
        args, kwargs, operands = self._with_holes(node)
        if any(x.level == Level.MATRIX for x in operands):
            raise ContractError(
                f"it calls `{name}` on a matrix value. Put what is done with whole matrices into a function "
                "decorated by thalweg.matrix_function"
            )
        if node.op == "call_method":
            function = _method(str(node.target))
        elif callable(node.target):
            function = node.target
        else:
            raise ContractError(f"it uses `{name}`, which cannot be traced")
        return self.builder.foreign(ForeignCall(name, function, args, kwargs), tuple(operands))

    def _with_holes(self, node: fx.Node) -> tuple[Any, Any, list[Value]]:
        """Return the arguments of a call with holes for its operands, and the operands."""
        operands: list[Value] = []

        def hole(x: fx.Node) -> Hole:
            operands.append(self.value(x))
            return Hole(len(operands) - 1)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), cast(Any, hole))
        return args, kwargs, operands

    def _matrix(self, node: fx.Node, result: str) -> Value:
        """Lower the call of a matrix function."""
        target: Any = node.target
        args, kwargs, operands = self._with_holes(node)
        first = next((x for x in operands if x.level >= Level.MATRIX), None)
        if first is None or any(x.level == Level.REDUCED for x in operands):
            raise ContractError(
                f"it calls the matrix function `{target.__name__}` on numbers. It takes tensors first, then "
                "hyperparameters and plain numbers; what a reduction gives can be multiplied with its result"
            )
        call = ForeignCall(target.__name__, target.on_stacks, args, kwargs)
        return self.builder.matrix(call, tuple(operands), RESULTS[result](*_shape(first)))

    def _product(self, x: Value, y: Value) -> Value:
        call = ForeignCall("matmul", product, (Hole(0), Hole(1)), {})
        if min(x.level, y.level) < Level.MATRIX:
            raise ContractError(
                "it multiplies a matrix by a number with @, which is for two matrices"
            )
        return self.builder.matrix(call, (x, y), product_shape(_shape(x), _shape(y)))

    def _transposed(self, x: Value) -> Value:
        rows, columns = _shape(x)
        call = ForeignCall("mT", transposed, (Hole(0),), {})
        return self.builder.matrix(call, (x,), (columns, rows))


_OURS = ("out", "inplace")
"""Where a result is stored, which the engine decides; a trace refuses a call that asks for a place."""

_REDUCING = frozenset(
    ("total", "sum", "mean", "norm", "vector_norm", "largest", "max", "min", "amax", "amin")
)


def _shape(x: Value) -> Shape:
    """Return the shape of what a matrix function is given."""
    return x.shape or WHOLE


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, name)(*args, **kwargs)

    return call
