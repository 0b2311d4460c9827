"""Numbers at the edges of their types, in rules and as hyperparameters, mean the same in both engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import thalweg
from tests.exact import same
from thalweg.errors import RuleError

INF, NAN = math.inf, math.nan
VALUES = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 3.75, -0.01, 20.0, 1e-40, 3e38)
TOLERANCE = {torch.float64: 4e-15, torch.float32: 2e-6, torch.bfloat16: 2.0**-7}

CONSTANTS: Mapping[str, Any] = {
    **{str(x): x for x in (INF, -INF, NAN, -0.0, 0, 1, True, False, 0.1, 3)},
    "of float32, subnormal": 1e-40,
    "of float64, subnormal": 5e-324,
    "of float64 only": 1e308,
    "just beyond float32": 3.4028236e38,
    "odd beyond float32": 2**24 + 1,
    "odd beyond float64": 2**53 + 1,
    "beyond int64": 2**64,
    "large and whole": -(10**300),
    "np.float64": np.float64(0.1),
    "np.float32": np.float32(0.1),
    "np.float16": np.float16(0.1),
    "np.longdouble": np.longdouble(0.1),
    "np.int64": np.int64(3),
    "np.bool": np.bool_(True),
    "tensor": torch.tensor(0.1),
    "whole tensor": torch.tensor(3),
}
FORMS: Mapping[str, Callable[[Any, Any, Any], Any]] = {
    "x + c": lambda x, c, lr: x + c,
    "c + x": lambda x, c, lr: c + x,
    "c - x": lambda x, c, lr: c - x,
    "x * c": lambda x, c, lr: x * c,
    "c * x": lambda x, c, lr: c * x,
    "x / c": lambda x, c, lr: x / c,
    "c / x": lambda x, c, lr: c / x,
    "x < c": lambda x, c, lr: x < c,
    "c >= x": lambda x, c, lr: c >= x,
    "x == c": lambda x, c, lr: x == c,
    "x != c": lambda x, c, lr: x != c,
    "where": lambda x, c, lr: torch.where(x > 0, c, x),
    "where numbers": lambda x, c, lr: torch.where(x > 0, c, 0.5),
    "alpha": lambda x, c, lr: torch.add(x, x, alpha=c),
    "lerp": lambda x, c, lr: torch.lerp(x, 2 * x, c),
    "full": lambda x, c, lr: torch.full_like(x, c),
    "alone": lambda x, c, lr: c,
    "c · lr": lambda x, c, lr: lr * c,
    "x · (c · lr)": lambda x, c, lr: x * (c * lr),
    "x + (lr − c)": lambda x, c, lr: x + (lr - c),
}


NAMES = tuple(f"s{k}" for k in range(len(FORMS)))
SPACE: dict[str, Any] = {}
exec(f"def all_forms(g, p, {', '.join(NAMES)}, *, lr): return compute(g, lr)", SPACE)


def rule_of(c: Any) -> Any:
    """Return a rule with a state for each form."""
    SPACE["compute"] = lambda g, lr: (0 * g, *(form(g, c, lr) for form in FORMS.values()))
    return thalweg.rule(SPACE["all_forms"])


def states_by(rule: Any, dtype: torch.dtype, engine: str) -> dict[str, Tensor]:
    w = torch.nn.Parameter(torch.zeros(len(VALUES), dtype=dtype))
    w.grad = torch.tensor(VALUES, dtype=torch.float64).to(dtype)
    optimizer = thalweg.Optimizer([w], rule, lr=0.5, engine=engine)
    optimizer.step()
    assert optimizer.plan().split()[0] == engine
    return {name: x for name, x in optimizer.state[w].items() if name != "step"}


def assert_alike(actual: Tensor, expected: Tensor, what: str) -> None:
    """Within the rounding of functions; zeros with their signs."""
    rtol, tiny = TOLERANCE[actual.dtype], torch.finfo(actual.dtype).smallest_normal
    torch.testing.assert_close(
        actual, expected, rtol=rtol, atol=tiny, equal_nan=True, msg=lambda m: f"{what}: {m}"
    )
    zero = (expected == 0) & (actual == 0)
    assert (actual.signbit() == expected.signbit())[zero].all(), what


def assert_engines_alike(rule: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    eager, fused = (states_by(rule, dtype, engine) for engine in ("eager", "fused"))
    for (name, expected), form in zip(eager.items(), FORMS, strict=False):
        assert_alike(fused[name], expected, form)
    return fused


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_in_a_rule(name: str, dtype: torch.dtype) -> None:
    assert_engines_alike(rule_of(CONSTANTS[name]), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_hyperparameters_of_any_size(dtype: torch.dtype) -> None:
    @thalweg.rule
    def alone(g, p, kept, *, c=1.0, lr):
        return 0 * g, torch.where(g > c, g * c, c - g) + lr * c

    for c in CONSTANTS.values():
        if not isinstance(c, bool | np.bool_ | Tensor):
            assert_engines_alike(alone(c=c), dtype)


@pytest.mark.parametrize(
    "c", [np.float64(0.3), np.float32(0.3), np.int32(3), np.sqrt(2), np.longdouble(0.3)], ids=repr
)
def test_numbers_of_numpy_are_numbers(c: Any) -> None:
    """`np.sqrt(2) - g` asks NumPy first, which must not take a symbol for an array."""
    plain = states_by(rule_of(float(c)), torch.float64, "fused")
    for name, state in states_by(rule_of(c), torch.float64, "fused").items():
        same(state, plain[name], because="the same kernel")


def test_arrays_of_one_number_are_numbers_in_arithmetic() -> None:
    """As in PyTorch, whose functions refuse them."""

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, np.array(0.5) - g * np.array(2)

    expected = 0.5 - 2 * torch.tensor(VALUES, dtype=torch.float64)
    assert_alike(states_by(alone, torch.float64, "fused")["kept"], expected, "arrays")


def test_a_number_beyond_a_dtype_is_infinite_in_it() -> None:
    """PyTorch's `fill_` would raise where its arithmetic overflows to infinity."""

    @thalweg.rule
    def alone(g, p, kept, *, lr):
        return 0 * g, -1e308 * lr

    for engine in ("eager", "fused"):
        assert (states_by(alone, torch.float32, engine)["kept"] == -INF).all()


@pytest.mark.parametrize("form", ["x + c", "full", "alone", "c · lr"])
def test_a_whole_number_beyond_float64_is_refused(form: str) -> None:
    with pytest.raises(RuleError, match=r"rule 'alone'.*integer beyond 1\.8e\+308"):

        @thalweg.rule
        def alone(g, p, kept, *, lr):
            return 0 * g, FORMS[form](g, -(10**400), lr)


def test_names_of_any_script_and_length() -> None:
    """Names of states, hyperparameters and rules are Python's business, not LLVM's."""
    long = "n" * 3000
    source = f"def ψ(g, p, kept, 速度, {long}, *, β=0.5, lr, ﬁne=2.0):\n"
    source += f"    return 0 * g, β * g + ﬁne, 速度 + g, {long} + 1\n"
    space: dict[str, Any] = {}
    exec(source, space)
    made = thalweg.rule(space["ψ"])
    found = assert_engines_alike(made, torch.float32)
    expected = 0.5 * torch.tensor(VALUES) + 2
    assert_alike(found["kept"], expected, "names")
