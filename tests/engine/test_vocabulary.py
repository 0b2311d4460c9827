"""Each operation of the vocabulary alone, in each of its spellings, beside PyTorch."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import thalweg
from tests.fresh import Fresh
from thalweg.engine import columns, dimensions, noise, rows
from thalweg.engine.language.elementwise import ELEMENTWISE
from thalweg.engine.language.lower import ALIASES, SPELLINGS
from thalweg.engine.program.ops import OPS

Function = Callable[..., Any]
INF, NAN = float("inf"), float("nan")
VALUES = (NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 3.75, -0.01, 20.0)
TOLERANCE = {torch.float64: 4e-15, torch.float32: 2e-6, torch.bfloat16: 2.0**-7}


def words(text: str) -> list[str]:
    return text.split()


UNARY = words(
    "abs absolute neg negative sqrt rsqrt exp expm1 log log1p tanh sin cos floor ceil trunc fix sign "
    "sgn square reciprocal sigmoid relu positive clone detach isnan isinf isfinite logical_not "
    "exp2 log2 log10 tan asin acos atan sinh cosh asinh acosh atanh arcsin arccos arctan arcsinh "
    "arccosh arctanh erf erfc round frac sinc nan_to_num logit signbit isposinf isneginf deg2rad "
    "rad2deg "
)
BINARY = words(
    "add sub subtract mul multiply div divide true_divide maximum minimum max min pow floor_divide "
    "remainder eq ne not_equal lt less le less_equal gt greater ge greater_equal logical_and "
    "logical_or atan2 arctan2 hypot copysign fmod fmax fmin xlogy logaddexp logaddexp2 heaviside "
    "ldexp logical_xor "
)
SPECIAL = words("expit erf erfc exp2 expm1 log1p ndtr sinc round logit")


def method(name: str) -> Function:
    return lambda x, *rest, **named: getattr(x, name)(*rest, **named)


OPERATORS: dict[str, Function] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ACTIVATIONS: dict[str, Function] = {
    **{
        f"F.{name}": getattr(functional, name)
        for name in words(
            "silu gelu mish relu relu6 leaky_relu elu celu selu hardtanh hardsigmoid hardswish softsign "
            "tanhshrink softshrink hardshrink softplus logsigmoid sigmoid tanh"
        )
    },
    "gelu by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "softplus beta": lambda x: functional.softplus(x, beta=0.7, threshold=5.0),
    "leaky_relu 0.2": lambda x: functional.leaky_relu(x, 0.2),
    "elu alpha": lambda x: functional.elu(x, alpha=0.3),
    "celu alpha": lambda x: functional.celu(x, alpha=0.3),
    "softshrink 1.2": lambda x: functional.softshrink(x, 1.2),
    "F.threshold": lambda x: functional.threshold(x, 0.25, -3.0),
    "log_sigmoid": functional.logsigmoid,
}
ONE: dict[str, Function] = {
    **ACTIVATIONS,
    **{f"torch.{name}": getattr(torch, name) for name in UNARY},
    **{f"torch.special.{name}": getattr(torch.special, name) for name in SPECIAL},
    **{f".{name}()": method(name) for name in UNARY if name != "fix"},
    ".fix()": method("fix"),
    ".contiguous()": method("contiguous"),
    "-x": operator.neg,
    "+x": operator.pos,
    "abs(x)": abs,
    "~(x > 0)": lambda x: ~(x > 0),
    "bitwise_not": lambda x: torch.bitwise_not(x > 0),
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "full_like": lambda x: torch.full_like(x, 2.5),
    "x + 2": lambda x: x + 2,
    "2 - x": lambda x: 2 - x,
    "x * 0.3": lambda x: x * 0.3,
    "x / 0.3": lambda x: x / 0.3,
    "0.3 / x": lambda x: 0.3 / x,
    "x > 0.5": lambda x: x > 0.5,
    "1 <= x": lambda x: x >= 1,
    "2 ** x": lambda x: 2.0**x,
    **{
        f"x ** {n}": (lambda x, n=n: x**n)
        for n in (0, 1, 2, 3, 0.5, -0.5, 0.25, 1 / 3, -1, -2, 1.7, 4)
    },
    "rounded to decimals": lambda x: torch.round(x, decimals=1),
    "rounded to tens": lambda x: x.round(decimals=-1),
    "logit within": lambda x: torch.logit(x, 0.05),
    "nan_to_num by numbers": lambda x: torch.nan_to_num(x, nan=2.5, posinf=9.0, neginf=-7.0),
    "clamp_min": lambda x: torch.clamp_min(x, 0.25),
    "clamp_max": lambda x: x.clamp_max(0.25),
    "x // 0.3": lambda x: x // 0.3,
    "x % 0.3": lambda x: x % 0.3,
    "clamp below": lambda x: torch.clamp(x, min=-0.5),
    "clamp above": lambda x: torch.clamp(x, max=0.5),
    "clamp": lambda x: x.clamp(-0.5, 1.5),
    "clip": lambda x: torch.clip(x, -0.5, 1.5),
    "maximum with a number": lambda x: torch.maximum(x, torch.tensor(0.5, dtype=torch.float64)),
    "where numbers": lambda x: torch.where(x > 0, 2.5, -0.125),
    "where itself": lambda x: torch.where(torch.isnan(x), 0.0, x),
}
TWO: dict[str, Function] = {
    **{f"torch.{name}": getattr(torch, name) for name in BINARY},
    **{f".{name}()": method(name) for name in BINARY},
    **OPERATORS,
    "torch.special.xlog1py": torch.special.xlog1py,
    "torch.rsub": torch.rsub,
    "^": lambda x, y: (x > 0) ^ (y > 0),
    "bitwise_xor": lambda x, y: torch.bitwise_xor(x > 0, y > 0),
    "div by floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "add alpha": lambda x, y: torch.add(x, y, alpha=0.3),
    "sub alpha": lambda x, y: x.sub(y, alpha=0.3),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3),
    ".lerp()": lambda x, y: x.lerp(y, 0.3),
    "addcmul": lambda x, y: torch.addcmul(x, y, y, value=0.3),
    ".addcmul()": lambda x, y: x.addcmul(x, y),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.3),
    ".addcdiv()": lambda x, y: x.addcdiv(y, y),
    "where": lambda x, y: torch.where(x < y, x, y),
    ".where()": lambda x, y: x.where(x < y, y),
    "where mixed": lambda x, y: torch.where(x < y, x < 0, y),
    "&": lambda x, y: (x > 0) & (y > 0),
    "|": lambda x, y: (x > 0) | (y > 0),
    "bitwise_and": lambda x, y: torch.bitwise_and(x > 0, y > 0),
    "bitwise_or": lambda x, y: torch.bitwise_or(x > 0, y > 0),
    "truth times value": lambda x, y: (x > 0) * y,
    "truth plus value": lambda x, y: y + (x > y),
    "clamp by tensors": lambda x, y: torch.clamp(x, y, y + 1),
}


def run(rule: thalweg.Rule, engine: str, *columns: Tensor) -> tuple[Tensor, str]:
    """Return the new state of a rule whose gradient and parameter are given, and how it ran."""
    g, p = columns
    w = torch.nn.Parameter(p.clone())
    w.grad = g.clone()
    optimizer = thalweg.Optimizer([w], rule, lr=0.0, engine=engine)
    optimizer.step()
    return optimizer.state[w]["kept"], optimizer.plan().split()[0]


def pairs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    x, y = zip(*itertools.product(VALUES, VALUES), strict=True)
    return torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)


def assert_same(actual: Tensor, expected: Any, dtype: torch.dtype) -> None:
    expected = torch.as_tensor(expected).to(dtype).expand_as(actual)
    rtol = TOLERANCE[dtype]
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol, equal_nan=True)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_each_spelling_beside_torch(name: str, engine: str, dtype: torch.dtype) -> None:
    function = ONE.get(name) or TWO[name]

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, (function(g) if name in ONE else function(g, p))

    x, y = pairs(dtype)
    actual, ran = run(alone, engine, x, y)
    wide = (
        torch.float32 if dtype == torch.bfloat16 else dtype
    )  # half precision is computed in float32
    a, b = x.to(wide), y.to(wide)
    assert_same(actual, function(a) if name in ONE else function(a, b), dtype)
    assert ran == ("eager" if engine == "eager" else "fused")


ON_NUMBERS = {k: f for k, f in {**ONE, **TWO}.items() if k.startswith("torch.") or k in OPERATORS}
ON_NUMBERS |= {k: ONE[k] for k in ("2 ** x", "2 - x", "0.3 / x", "where numbers", "clamp")}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", ON_NUMBERS)
def test_each_operation_on_numbers(name: str) -> None:
    """Scalars are float64, and division by zero or the root of a negative number is not an error."""
    function, one = ON_NUMBERS[name], name in ONE

    @thalweg.rule
    def alone(g, kept: thalweg.Scalar = 0.0, *, x=0.0, y=0.0):
        return g, (function(x) if one else function(x, y))

    for x, y in itertools.product(VALUES, (VALUES[0],) if one else VALUES):
        w = torch.nn.Parameter(torch.ones(1))
        w.grad = torch.ones(1)
        optimizer = thalweg.Optimizer([w], alone(x=x, y=y), lr=0.1)
        optimizer.step()
        a, b = (torch.tensor(v, dtype=torch.float64) for v in (x, y))
        expected = torch.as_tensor(function(a) if one else function(a, b)).double()
        actual = optimizer.state[w]["kept"]
        message = f"{name} of {x} and {y}: {actual} instead of {expected}"
        # ndtr multiplies its argument's rounding by its square; PyTorch's logaddexp2 has −5e-17 for 0
        assert torch.allclose(actual, expected, rtol=1e-14, atol=1e-16, equal_nan=True), message


@pytest.mark.sampled(4)
@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", ON_NUMBERS)
def test_each_operation_on_reductions(name: str, engine: str) -> None:
    function, one = ON_NUMBERS[name], name in ONE

    @thalweg.rule
    def alone(g, p, kept):
        x, y = thalweg.total(g), thalweg.total(p)
        return 0 * g, (function(x) if one else function(x, y))

    # a sum may begin with +0
    xs, ys = (x + 0.0 for x in pairs(torch.float64))
    params = [torch.nn.Parameter(y.reshape(1).clone()) for y in ys]
    for x, p in zip(xs, params, strict=True):
        p.grad = x.reshape(1)
    optimizer = thalweg.Optimizer(params, alone, lr=0.0, engine=engine)
    optimizer.step()
    actual = torch.cat([optimizer.state[p]["kept"] for p in params])
    assert_same(actual, function(xs) if one else function(xs, ys), torch.float64)


FUNCTIONS = words(
    "abs sqrt exp expm1 log log1p tanh sin cos floor ceil trunc sign square sigmoid reciprocal isnan "
    "isinf isfinite logical_not relu "
)


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_truth_values(name: str, engine: str) -> None:
    """A bool is the number 0 or 1, with the precision of the parameter."""

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, 1.5 * getattr(torch, name)(g > p)

    x, y = pairs(torch.float64)
    actual, ran = run(alone, engine, x, y)
    assert ran == ("eager" if engine == "eager" else "fused")
    assert_same(actual, 1.5 * getattr(torch, name)((x > y).double()), torch.float64)


NUMBERS_OF_A_TENSOR: dict[str, tuple[Function, float]] = {
    "dimensions": (dimensions, 1.0),
    "rows": (rows, 3.0),
    "columns": (columns, 1.0),
    "numel": (lambda x: x.numel(), 3.0),
    "torch.numel": (torch.numel, 3.0),
}


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", NUMBERS_OF_A_TENSOR)
def test_numbers_of_a_tensor(name: str, engine: str) -> None:
    function, number = NUMBERS_OF_A_TENSOR[name]

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, torch.where(function(g) > 2, g, -g) + function(p) * p

    x, y = torch.tensor([[1.0, 2.0, 4.0], [0.5, 3.0, -1.0]])
    actual, ran = run(alone, engine, x, y)
    assert ran == ("eager" if engine == "eager" else "fused")
    assert_same(actual, (x if number > 2 else -x) + number * y, torch.float32)
    assert_same(function(x) * torch.ones(3), number, torch.float32)


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("of", ["the gradient", "an update", "a number"])
def test_noise_of_anything_is_noise_of_the_parameter(of: str, engine: str) -> None:
    """What it is called with says only for which tensor."""

    @thalweg.rule
    def alone(g, p, kept, *, t, seed=3):
        u = {"the gradient": g, "an update": g * p, "a number": seed}[of]
        return 0 * g, 2 * noise(u, seed, t)

    x, y = pairs(torch.float64)
    actual, ran = run(alone, engine, x, y)
    assert ran == ("eager" if engine == "eager" else "fused")
    assert_same(actual, 2 * noise(x, 3, 1), torch.float64)


def test_the_tables_above_miss_nothing() -> None:
    spelled = {name.split(".")[-1].strip("()") for name in (*ONE, *TWO, *NUMBERS_OF_A_TENSOR)}
    spelled.add("noise")
    reductions = {"sum", "mean", "norm", "vector_norm", "total", "largest", "amax", "amin"}
    operators = {"truediv", "floordiv", "mod", "and_", "or_", "xor", "invert", "pos", "real"}
    operators |= {"cbrt", "bounded", "_threshold"}  # what others are made of
    assert {*OPS, *ALIASES, *SPELLINGS, *ELEMENTWISE} - spelled - reductions - operators == set()
    assert {*UNARY, *BINARY} <= {*OPS, *ALIASES, *SPELLINGS, *ELEMENTWISE}


def test_library_functions_are_found_before_any_kernel_was_compiled(fresh: Fresh) -> None:
    """LLVM knows the symbols of the process only once its engine is there."""
    code = (
        "import torch, thalweg\n"
        "from thalweg.engine.cpu.backend import program_problem\n"
        "from thalweg.engine.cpu.native import has_symbol\n"
        "assert has_symbol('tanhf') and has_symbol('sin')\n"
        "assert not has_symbol('no_such_function_anywhere')\n"
    )
    done = fresh.run(code)
    assert done.returncode == 0, done.stderr
