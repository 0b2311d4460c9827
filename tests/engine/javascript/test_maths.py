"""The functions that printed JavaScript calls: those of C and PyTorch, and the engine's noise."""

from __future__ import annotations

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from tests.engine.javascript.node import needs_javascript, run
from thalweg.engine.javascript.operations import TEMPLATES, library, number, statement
from thalweg.engine.program.builder import Builder
from thalweg.engine.program.noise import normal
from thalweg.engine.program.ops import OPS, TENSOR

ONE = [0.0, -0.0, 0.3, -0.5, 0.5, 1.0, 1.5, -1.5, 2.5, -2.5, 7.25, -9.75, 1e-9, 30.0, 1e17]
TWO = [
    (5.5, 2.0),
    (-5.5, 2.0),
    (5.5, -2.0),
    (-6.0, 2.0),
    (0.3, 0.1),
    (-0.0, 3.0),
    (1.0, -0.0),
    (-2.0, 3.0),
]


def test_the_whole_vocabulary_is_there() -> None:
    assert set(TEMPLATES) == {*OPS, "spread"}


def printed(op: str, *operands: float) -> str:
    builder = Builder()
    given = [builder.constant(x) for x in operands]
    value = builder.apply(op, *given)
    # a number as the operand of Number(…) is one already
    return statement(value).partition(" = ")[2].rstrip(";")


@needs_javascript
def test_each_operation_of_numbers_is_that_of_pytorch(tmp_path: Path) -> None:
    own = {
        *[
            "number",
            "isnan",
            "isinf",
            "isfinite",
            "logical_not",
            "logical_and",
            "logical_or",
            "where",
            "real",
        ]
    }
    cases = []
    for op in sorted(set(TENSOR) - own):
        for given in [(x,) for x in ONE] if OPS[op].template.count("{") == 1 else TWO:
            tensors = [torch.tensor(x, dtype=torch.float64) for x in given]
            cases.append((op, given, float(TENSOR[op](*tensors))))
    text = ",".join(printed(op, *given) for op, given, _ in cases)
    # ∞, NaN and −0 are no JSON
    shown = "Object.is(x, -0) ? '-0.0' : String(x).replace('Infinity', 'inf')"
    found = run(f"{library()}return [{text}].map((x) => {shown});", tmp_path)
    for (op, given, expected), written in zip(cases, found, strict=True):
        value = float(written)
        assert value == pytest.approx(expected, rel=1e-13, abs=0, nan_ok=True), (op, given)
        if not math.isnan(expected):
            assert math.copysign(1, value) == math.copysign(1, expected), (op, given)


@needs_javascript
def test_the_error_function_has_twelve_digits(tmp_path: Path) -> None:
    xs = [*np.linspace(-7, 7, 57), 1.99999, 2.0, 2.00001, 12.5, 26.0]
    given = ", ".join(number(float(x)) for x in xs)
    found = run(f"{library()}return [{given}].map((x) => [maths.erf(x), maths.erfc(x)]);", tmp_path)
    for x, (erf, erfc) in zip(xs, found, strict=True):
        assert erf == pytest.approx(float(mpmath.erf(x)), rel=1e-12, abs=0)
        assert erfc == pytest.approx(float(mpmath.erfc(x)), rel=1e-12, abs=0)


@needs_javascript
def test_noise_is_the_engine_s(tmp_path: Path) -> None:
    script = f"""{library()}
    return [[0, 1, 0], [7, 12, 3], [-5, 2 ** 40, 1], [2 ** 53 - 1, 3, 0, 2]].map((parts) => {{
      const key = maths.key(...parts);
      return Array.from({{ length: 50 }}, (_, i) => maths.normal(key, i));
    }});"""
    found = run(script, tmp_path)
    like = torch.zeros(50, dtype=torch.float64)
    keys = ((0, 1, 0), (7, 12, 3), (-5, 2**40, 1), (2**53 - 1, 3, 0, 2))
    for (seed, t, ordinal, *draw), values in zip(keys, found, strict=True):
        expected = normal(seed, t, ordinal, like, *draw)
        # log and cos are those of another library; near 0 their error is one of the larger terms
        assert values == pytest.approx(expected.tolist(), rel=1e-13, abs=1e-14)
