"""The operations of the vocabulary as JavaScript, where a number is a double as in Python."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files

from thalweg.engine.program.program import Value

_SAME_NAME = (
    *("abs", "sqrt", "exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan"),
    *("asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "cbrt"),
    *("floor", "ceil", "trunc"),
)
_OURS = {1: "erf erfc round sign bounded", 2: "pow copysign floordiv mod"}

TEMPLATES: Mapping[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "eq": "{0} === {1}",
    "ne": "{0} !== {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    **{name: f"Math.{name}({{0}})" for name in _SAME_NAME},
    **{name: f"maths.{name}({{0}})" for name in _OURS[1].split()},
    **{name: f"maths.{name}({{0}}, {{1}})" for name in _OURS[2].split()},
    "exp2": "maths.pow(2, {0})",
    "atan2": "Math.atan2({0}, {1})",
    "hypot": "Math.hypot({0}, {1})",
    "fmod": "{0} % {1}",
    "maximum": "Math.max({0}, {1})",
    "minimum": "Math.min({0}, {1})",
    "real": "Number({0})",
    "isnan": "Number.isNaN({0})",
    "isinf": "Math.abs({0}) === Infinity",
    "isfinite": "Number.isFinite({0})",
    "where": "{0} ? {1} : {2}",
    "logical_not": "!{0}",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "spread": "{0}",
}

_OF_TRUTHS = {"where": 1, "logical_not": 1, "logical_and": 2, "logical_or": 2}
"""How many of the first operands are asked whether they are true."""


def number(x: float | bool) -> str:
    """Return a number as JavaScript writes it; a negative one in brackets, since `--` is another sign.

    >>> number(-0.5), number(1e-8), number(float("inf")), number(True)
    ('(-0.5)', '1e-08', 'Infinity', 'true')
    """
    if isinstance(x, bool):
        return str(x).lower()
    if math.isnan(x):
        return "NaN"
    text = "Infinity" if math.isinf(x) else repr(abs(x))
    return f"(-{text})" if math.copysign(1.0, x) < 0 else text


def text(string: str) -> str:
    """Return a string as JavaScript writes it, safe inside a script element."""
    return json.dumps(string).replace("<", "\\u003c")


def operand(value: Value) -> str:
    """Return how a value is written where it is used."""
    return number(value.data) if value.op == "constant" else value.name


def statement(value: Value) -> str:
    """Return the line that computes a value of the vocabulary."""
    truths = _OF_TRUTHS.get(value.op, 0)
    operands = [
        _truth(v) if place < truths else operand(v) for place, v in enumerate(value.operands)
    ]
    return f"const {value.name} = {TEMPLATES[value.op].format(*operands)};"


def _truth(value: Value) -> str:
    # to JavaScript NaN is false; to Python and PyTorch only 0 is
    return operand(value) if value.boolean else f"({operand(value)} !== 0)"


def library() -> str:
    """Return the script that printed text needs: it defines `maths`."""
    return files("thalweg.engine.javascript").joinpath("maths.js").read_text(encoding="utf-8")
