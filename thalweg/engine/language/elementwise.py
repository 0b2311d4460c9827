"""Elementwise functions of PyTorch as formulas of the vocabulary.

Values are PyTorch's to a few units in the last place. Where PyTorch's own formula loses digits, as that of
`gelu` does below zero, another one is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.engine.program.builder import Builder
from thalweg.engine.program.program import Value

LowerCall = Callable[..., Value]


class Term:
    """A value in a formula: operators and methods apply operations of the vocabulary to it."""

    def __init__(self, builder: Builder, value: Value) -> None:
        self.builder, self.value = builder, value

    def apply(self, op: str, *operands: Any) -> Term:
        """Return an operation of values and numbers."""
        return Term(self.builder, self.builder.apply(op, *map(self._value, operands)))

    def _value(self, x: Any) -> Value:
        if isinstance(x, Term):
            return x.value
        return x if isinstance(x, Value) else self.builder.constant(x)

    def __getattr__(self, op: str) -> Callable[..., Term]:
        return lambda *others: self.apply(op, self, *others)

    def __add__(self, other: Any) -> Term:
        return self.apply("add", self, other)

    def __sub__(self, other: Any) -> Term:
        return self.apply("sub", self, other)

    def __mul__(self, other: Any) -> Term:
        return self.apply("mul", self, other)

    def __truediv__(self, other: Any) -> Term:
        return self.apply("div", self, other)

    def __radd__(self, other: Any) -> Term:
        return self.apply("add", other, self)

    def __rsub__(self, other: Any) -> Term:
        return self.apply("sub", other, self)

    def __rmul__(self, other: Any) -> Term:
        return self.apply("mul", other, self)

    def __rtruediv__(self, other: Any) -> Term:
        return self.apply("div", other, self)

    def __neg__(self) -> Term:
        return self.apply("neg", self)

    def __abs__(self) -> Term:
        return self.apply("abs", self)

    def __lt__(self, other: Any) -> Term:
        return self.apply("lt", self, other)

    def __le__(self, other: Any) -> Term:
        return self.apply("le", self, other)

    def __gt__(self, other: Any) -> Term:
        return self.apply("gt", self, other)

    def then(self, a: Any, b: Any) -> Term:
        """Return `a` where this condition holds, `b` elsewhere."""
        return self.apply("where", self, a, b)

    def clamp(self, low: Any = None, high: Any = None) -> Term:
        """Bound from below and from above; a NaN stays one."""
        x = self if low is None else self.maximum(low)
        return x if high is None else x.minimum(high)


def _formula(function: Callable[..., Any]) -> LowerCall:
    """Make a function of terms one of a builder and values."""

    def call(b: Builder, *args: Any, **kwargs: Any) -> Value:
        def term(x: Any) -> Any:
            return Term(b, x) if isinstance(x, Value) else x

        result = function(*map(term, args), **{k: term(x) for k, x in kwargs.items()})
        value: Value = result.value
        return value

    return call


def _number(x: Any) -> float:
    """Return a number that a formula depends on; a TypeError leaves the call to PyTorch."""
    if not isinstance(x, Term) or x.value.op != "constant":
        raise TypeError
    return float(x.value.data)


# -- sigmoids and what networks call activations ------------------------------------------------------------


def _sigmoid(x: Term) -> Term:
    return 1.0 / (1.0 + (-x).exp())


def _logsigmoid(x: Term) -> Term:
    return x.minimum(0.0) - (-abs(x)).exp().log1p()


def _softplus(x: Term, beta: Any = 1.0, threshold: Any = 20.0) -> Term:
    scaled: Term = x * beta
    return scaled.gt(threshold).then(x, scaled.exp().log1p() / beta)


def _silu(x: Term) -> Term:
    return x / (1.0 + (-x).exp())


def _gelu(x: Term, approximate: str = "none") -> Term:
    if (
        approximate == "tanh"
    ):  # x(1 + tanh k)/2 = x/(1 + exp(−2k)), which loses no digits below zero
        k = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
        return x / (1.0 + (-2.0 * k).exp())
    if approximate != "none":
        raise TypeError
    return 0.5 * x * (-math.sqrt(0.5) * x).erfc()


def _mish(x: Term) -> Term:
    return x * x.exp().log1p().tanh()


def _elu(x: Term, alpha: Any = 1.0) -> Term:
    return (x > 0.0).then(x, alpha * x.expm1())


def _celu(x: Term, alpha: Any = 1.0) -> Term:
    return (x > 0.0).then(x, alpha * (x / alpha).expm1())


def _selu(x: Term) -> Term:
    return 1.0507009873554804934193349852946 * _elu(x, 1.6732632423543772848170429916717)


def _softshrink(x: Term, lambd: Any = 0.5) -> Term:
    return x.gt(lambd).then(x - lambd, x.lt(-1.0 * lambd).then(x + lambd, 0.0 * x))


def _hardsigmoid(x: Term) -> Term:
    return (x + 3.0).clamp(0.0, 6.0) / 6.0


ACTIVATIONS: Mapping[str, LowerCall] = {
    "sigmoid": _formula(_sigmoid),
    "log_sigmoid": _formula(_logsigmoid),
    "softplus": _formula(_softplus),
    "silu": _formula(_silu),
    "gelu": _formula(_gelu),
    "mish": _formula(_mish),
    "relu": _formula(lambda x: x.maximum(0.0)),
    "relu6": _formula(lambda x: x.clamp(0.0, 6.0)),
    "leaky_relu": _formula(lambda x, negative_slope=0.01: (x > 0.0).then(x, x * negative_slope)),
    "elu": _formula(_elu),
    "celu": _formula(_celu),
    "selu": _formula(_selu),
    "hardtanh": _formula(lambda x, min_val=-1.0, max_val=1.0: x.clamp(min_val, max_val)),
    "hardsigmoid": _formula(_hardsigmoid),
    "hardswish": _formula(lambda x: x * _hardsigmoid(x)),
    "softsign": _formula(lambda x: x / (1.0 + abs(x))),
    "tanhshrink": _formula(lambda x: x - x.tanh()),
    "softshrink": _formula(_softshrink),
    "hardshrink": _formula(lambda x, lambd=0.5: (abs(x) <= lambd).then(0.0, x)),
    "threshold": _formula(lambda x, threshold, value: (x <= threshold).then(value, x)),
}

# -- sums, products and logarithms --------------------------------------------------------------------------


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor is None else factor * x


def _rounded(x: Term, decimals: Any = None) -> Term:
    digits = 0.0 if decimals is None else _number(decimals)
    if digits == 0:
        return x.round()
    scale = float(10.0 ** abs(digits))
    return (x * scale).round() / scale if digits > 0 else (x / scale).round() * scale


def _divided(x: Term, y: Term, rounding_mode: str | None = None) -> Term:
    if rounding_mode == "floor":
        return x.floordiv(y)
    if rounding_mode is not None:
        raise TypeError
    return x / y


def _logit(x: Term, eps: Any = None) -> Term:
    if eps is not None:
        x = x.clamp(eps, 1.0 - eps)
    return (x / (1.0 - x)).log()


def _xlogy(x: Term, y: Term) -> Term:
    return y.isnan().then(y, x.eq(0.0).then(0.0, x * y.log()))


def _xlog1py(x: Term, y: Term) -> Term:
    return y.isnan().then(y, x.eq(0.0).then(0.0, x * y.log1p()))


def _logaddexp(x: Term, y: Term) -> Term:
    same = x.isinf().logical_and(x.eq(y))
    return same.then(x, x.maximum(y) + (-abs(x - y)).exp().log1p())


def _logaddexp2(x: Term, y: Term) -> Term:
    same = x.isinf().logical_and(x.eq(y))
    return same.then(x, x.maximum(y) + (1 / math.log(2)) * (-abs(x - y)).exp2().log1p())


ARITHMETIC: Mapping[str, LowerCall] = {
    "add": _formula(lambda x, y, alpha=None: x + _scaled(y, alpha)),
    "sub": _formula(lambda x, y, alpha=None: x - _scaled(y, alpha)),
    "rsub": _formula(lambda x, y, alpha=None: y - _scaled(x, alpha)),
    "div": _formula(_divided),
    "lerp": _formula(lambda start, end, weight: start + weight * (end - start)),
    "addcmul": _formula(lambda x, y, z, value=None: x + _scaled(y * z, value)),
    "addcdiv": _formula(lambda x, y, z, value=None: x + _scaled(y / z, value)),
    "square": _formula(lambda x: x * x),
    "reciprocal": _formula(lambda x: 1.0 / x),
    "rsqrt": _formula(lambda x: 1.0 / x.sqrt()),
    "ldexp": _formula(lambda x, y: x * y.exp2()),
    "deg2rad": _formula(lambda x: x * (math.pi / 180)),
    "rad2deg": _formula(lambda x: x * (180 / math.pi)),
    "logit": _formula(_logit),
    "xlogy": _formula(_xlogy),
    "xlog1py": _formula(_xlog1py),
    "logaddexp": _formula(_logaddexp),
    "logaddexp2": _formula(_logaddexp2),
    "ndtr": _formula(lambda x: 0.5 * (-math.sqrt(0.5) * x).erfc()),
}

# -- choices ------------------------------------------------------------------------------------------------


def _nan_to_num(x: Term, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Term:
    finite = x.bounded()
    if posinf is not None:
        finite = x.eq(math.inf).then(posinf, finite)
    if neginf is not None:
        finite = x.eq(-math.inf).then(neginf, finite)
    return x.isnan().then(0.0 if nan is None else nan, finite)


def _heaviside(x: Term, values: Term) -> Term:
    return x.eq(0.0).then(values, (x > 0.0).then(1.0, 0.0))


def _sinc(x: Term) -> Term:
    y = math.pi * x
    return x.eq(0.0).then(1.0, y.sin() / y)


def _fmax(x: Term, y: Term) -> Term:
    return x.isnan().then(y, y.isnan().then(x, x.maximum(y)))


def _fmin(x: Term, y: Term) -> Term:
    return x.isnan().then(y, y.isnan().then(x, x.minimum(y)))


CHOICES: Mapping[str, LowerCall] = {
    "clamp": _formula(lambda x, min=None, max=None: x.clamp(min, max)),
    "clip": _formula(lambda x, min=None, max=None: x.clamp(min, max)),
    "clamp_min": _formula(lambda x, min: x.maximum(min)),
    "clamp_max": _formula(lambda x, max: x.minimum(max)),
    "fmax": _formula(_fmax),
    "fmin": _formula(_fmin),
    "round": _formula(_rounded),
    "frac": _formula(lambda x: x - x.trunc()),
    "nan_to_num": _formula(_nan_to_num),
    "heaviside": _formula(_heaviside),
    "sinc": _formula(_sinc),
    "signbit": _formula(lambda x: x.apply("lt", x.apply("copysign", 1.0, x), 0.0)),
    "isposinf": _formula(lambda x: x.eq(math.inf)),
    "isneginf": _formula(lambda x: x.eq(-math.inf)),
    "logical_xor": _formula(
        lambda x, y: x.logical_not().logical_not().ne(y.logical_not().logical_not())
    ),
}

ELEMENTWISE: Mapping[str, LowerCall] = {**ACTIVATIONS, **ARITHMETIC, **CHOICES}
