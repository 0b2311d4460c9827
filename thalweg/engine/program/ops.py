"""The vocabulary of update rules: each operation once, for every engine.

An operation has a Python template. The same template, printed over another set of functions, evaluates
scalars in float64 (`math`), per-tensor reductions for many tensors at once (`numpy`) and whole tensors
(`torch`); `engine/cpu/kernel.py` prints it into a fused kernel. An operation outside this table still runs,
eagerly.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Op:
    """One operation: its Python text, and whether it yields a bool."""

    name: str
    template: str
    boolean: bool = False


def _operators() -> dict[str, Op]:
    arithmetic = {
        "add": "({0} + {1})",
        "sub": "({0} - {1})",
        "mul": "({0} * {1})",
        "div": "({0} / {1})",
        "neg": "(-{0})",
    }
    comparison = {
        "eq": "({0} == {1})",
        "ne": "({0} != {1})",
        "lt": "({0} < {1})",
        "le": "({0} <= {1})",
        "gt": "({0} > {1})",
        "ge": "({0} >= {1})",
    }
    table = {name: Op(name, text) for name, text in arithmetic.items()}
    table |= {name: Op(name, text, boolean=True) for name, text in comparison.items()}
    return table


TRANSCENDENTAL = (
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *("sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("erf", "erfc", "cbrt"),
)
"""Functions of one number that no processor has an instruction for."""


def _functions() -> dict[str, Op]:
    calls = {
        1: f"abs sqrt {' '.join(TRANSCENDENTAL)} floor ceil trunc round sign bounded real",
        2: "pow atan2 hypot copysign fmod maximum minimum floordiv mod",
        3: "where",
    }
    truths = {1: "isnan isinf isfinite logical_not", 2: "logical_and logical_or"}
    table: dict[str, Op] = {}
    for names, boolean in ((calls, False), (truths, True)):
        for arity, words in names.items():
            slots = ", ".join(f"{{{k}}}" for k in range(arity))
            table |= {w: Op(w, f"{w}({slots})", boolean) for w in words.split()}
    return table


OPS: Mapping[str, Op] = _operators() | _functions()


def _where_scalar(condition: bool, a: float, b: float) -> float:
    return a if condition else b


def _sign_scalar(x: float) -> float:
    return float((x > 0) - (x < 0))  # 0 for NaN, as torch.sign has it


def _maximum_scalar(a: float, b: float) -> float:
    return a if a >= b or a != a else b


def _minimum_scalar(a: float, b: float) -> float:
    return a if a <= b or a != a else b


def _round_scalar(x: float) -> float:
    return math.copysign(float(round(x)), x)  # to even, and −0.4 to −0


def _bounded_scalar(x: float) -> float:
    most = sys.float_info.max
    return min(max(x, -most), most)  # a NaN stays one


SCALAR: Mapping[str, Callable[..., Any]] = {
    "abs": abs,
    "sqrt": math.sqrt,
    **{name: getattr(math, name) for name in TRANSCENDENTAL},
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
    "round": _round_scalar,
    "sign": _sign_scalar,
    "bounded": _bounded_scalar,
    "real": float,
    "pow": math.pow,
    "atan2": math.atan2,
    "hypot": math.hypot,
    "copysign": math.copysign,
    "fmod": math.fmod,
    "maximum": _maximum_scalar,
    "minimum": _minimum_scalar,
    "floordiv": lambda a, b: a // b,
    "mod": lambda a, b: a % b,
    "where": _where_scalar,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
    "logical_not": lambda a: not a,
    "logical_and": lambda a, b: bool(a and b),
    "logical_or": lambda a, b: bool(a or b),
}

_NUMPY_NAMES = {
    "real": "float64",
    "pow": "power",
    "round": "rint",
    "floordiv": "floor_divide",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
}
_NUMPY_OWN: Mapping[str, Callable[..., Any]] = {
    "sign": lambda x: np.nan_to_num(np.sign(x)),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "bounded": lambda x: np.nan_to_num(x, nan=np.nan),
    "number": np.float64,
}
ARRAY: Mapping[str, Callable[..., Any]] = {
    name: _NUMPY_OWN.get(name) or getattr(np, _NUMPY_NAMES.get(name, name))
    for name in (*SCALAR, "number")
}


def _as_tensors(*values: Any) -> tuple[Any, ...]:
    """Numbers among tensors become 0-d tensors of the same dtype, which torch.maximum and others want."""
    like = next((v for v in values if isinstance(v, torch.Tensor)), None)
    if like is None:
        return tuple(torch.as_tensor(v, dtype=torch.float64, device="cpu") for v in values)
    return tuple(
        # a number is written on the device: one of the host would be copied there
        v
        if isinstance(v, torch.Tensor)
        else torch.full((), v, dtype=like.dtype, device=like.device)
        for v in values
    )


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        return function(*_as_tensors(*values))

    return call


def _where_tensor(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(condition, torch.Tensor):
        return a if condition else b
    return torch.where(condition, a, b)


def _cbrt_tensor(x: Any) -> Any:
    x = _as_tensors(x)[0]
    # in float64: a third is not a number of float32
    root = torch.copysign(torch.pow(torch.abs(x.double()), 1 / 3), x.double())
    return root.to(x.dtype)


_TENSOR_OWN: Mapping[str, Callable[..., Any]] = {
    "pow": torch.pow,
    "cbrt": _cbrt_tensor,
    "bounded": lambda x: torch.nan_to_num(_as_tensors(x)[0], nan=math.nan),
    "real": lambda x: 1.0 * x,
    "where": _where_tensor,
    "maximum": _lifted(torch.maximum),
    "minimum": _lifted(torch.minimum),
    "floordiv": torch.floor_divide,
    "mod": torch.remainder,
}
_LIFTED = (
    *("abs", "sqrt", "floor", "ceil", "trunc", "round", "sign"),
    *("atan2", "hypot", "copysign", "fmod"),
    *(name for name in TRANSCENDENTAL if name != "cbrt"),
)
_LIFTED_TRUTHS = "isnan isinf isfinite logical_not logical_and logical_or"


def as_double(x: Any) -> Tensor:
    """Return a number, or a tensor, as a float64 tensor; autograd passes through."""
    if isinstance(x, Tensor):
        return x.double()
    return torch.tensor(float(x), dtype=torch.float64, device="cpu")


TENSOR: Mapping[str, Callable[..., Any]] = {
    **_TENSOR_OWN,
    "number": as_double,
    **{name: _lifted(getattr(torch, name)) for name in (*_LIFTED, *_LIFTED_TRUTHS.split())},
}


def _mixed(name: str) -> Callable[..., Any]:
    on_numbers, on_tensors = SCALAR[name], TENSOR[name]

    def call(*values: Any) -> Any:
        if any(isinstance(v, Tensor) for v in values):
            return on_tensors(*values)
        try:
            return on_numbers(*values)
        except (ArithmeticError, ValueError):
            # roots of negatives and the like, as IEEE 754 has them
            with np.errstate(all="ignore"):
                return float(ARRAY[name](*map(np.float64, values)))

    return call


def as_truth(x: Any) -> Any:
    """Return a truth as a bool where it has one value, which under `torch.vmap` it has not.

    A bool chooses for good, while of `torch.where` the gradient of the branch not taken may be NaN.
    """
    if not isinstance(x, Tensor) or x.dtype != torch.bool:
        return x
    try:
        return bool(x)
    except RuntimeError:
        return x


def _where_mixed(condition: Any, a: Any, b: Any) -> Any:
    condition = as_truth(condition)
    if not isinstance(condition, Tensor):
        return a if condition else b
    return torch.where(condition, as_double(a), as_double(b))


MIXED: Mapping[str, Callable[..., Any]] = {
    **{name: _mixed(name) for name in SCALAR},
    "where": _where_mixed,
}
"""For numbers some of which are 0-d tensors: only what depends on a tensor is computed on tensors."""


def _where_on_device(condition: Any, a: Any, b: Any) -> Any:
    if not isinstance(condition, torch.Tensor):
        return a if condition else b

    def tensor(x: Any) -> Tensor:
        if isinstance(x, torch.Tensor):
            return x
        dtype = torch.bool if isinstance(x, bool) else torch.float64
        return torch.full((), x, dtype=dtype, device=condition.device)

    return torch.where(condition, tensor(a), tensor(b))


ON_DEVICE: Mapping[str, Callable[..., Any]] = {**MIXED, "where": _where_on_device}
"""The same where no truth may be asked for: the device would have to answer."""
