"""Time rules that apply a function to each element: u ← f(g), m ← 0.9 m + u.

    python benchmarks/functions.py                    all functions on ResNet-50's shapes, about 15 minutes
    python benchmarks/functions.py --functions exp,log,sin --seconds 6
    python benchmarks/functions.py --dtype float64 --no-compile

thalweg steps the 161 tensors of ResNet-50. `torch.compile` of the same lines, with the gradient, the state
and the parameter in one tensor each, is what PyTorch has at best; where there is no C++ compiler, the lines
run as they are. Adam steps beside them: memory is used well where a rule moves as many bytes a second. A step
reads gradient, parameter and state, and writes the last two. Gradients lie in (0.05, 0.95), where every
function is defined. The first step is timed with an empty kernel cache, so it compiles.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
from _contest import Contestant, Neighbours, contest, print_table
from _sets import parameters_with_gradients
from torch import Tensor
from torch.nn import Parameter, functional

Function = Callable[[Tensor], Tensor]

FUNCTIONS: dict[str, Function] = {
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "log": torch.log,
    "log2": torch.log2,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "asinh": torch.asinh,
    "acosh": lambda x: torch.acosh(1 + x),
    "atanh": torch.atanh,
    "sigmoid": torch.sigmoid,
    "logsigmoid": functional.logsigmoid,
    "softplus": functional.softplus,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu by tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "erf": torch.erf,
    "erfc": torch.erfc,
    "x ** 1.7": lambda x: x**1.7,
    "x ** 0.25": lambda x: x**0.25,
    "x ** (1/3)": lambda x: x ** (1 / 3),
    "2 ** x": lambda x: 2.0**x,
    "atan2": lambda x: torch.atan2(x, 1 - x),
    "hypot": lambda x: torch.hypot(x, 1 - x),
    "logaddexp": lambda x: torch.logaddexp(x, 1 - x),
}
BYTES = {"rule": 5, "Adam": 7}
"""How often each element is read or written."""
RATE = 1e-4


def parameters(dtype: torch.dtype) -> list[Parameter]:
    """Return ResNet-50's parameters, with gradients in (0.05, 0.95)."""
    torch.manual_seed(0)
    made = [Parameter(p.detach().to(dtype)) for p in parameters_with_gradients("resnet50")]
    for p in made:
        p.grad = torch.rand_like(p).mul_(0.9).add_(0.05)
    return made


def of_thalweg(function: Function, params: list[Parameter]) -> Callable[[], object]:
    """Return the step of the rule."""
    import thalweg

    @thalweg.rule
    def alone(g, m):  # type: ignore[no-untyped-def]
        u = function(g)
        return u, 0.9 * m + u

    return thalweg.Optimizer(params, alone, lr=RATE, engine="fused").step


def of_torch(function: Function, params: list[Parameter], compiled: bool) -> Callable[[], object]:
    """Return the step of the same lines, on one tensor of all elements."""
    g = torch.cat([p.grad.flatten() for p in params if p.grad is not None])
    p, m = torch.zeros_like(g), torch.zeros_like(g)

    def lines(g: Tensor, p: Tensor, m: Tensor) -> None:
        u = function(g)
        m.mul_(0.9).add_(u)
        p.sub_(RATE * u)

    run = torch.compile(lines) if compiled else lines
    return lambda: run(g, p, m)


def first_step(function: Function, dtype: torch.dtype) -> float:
    """Return the seconds of the first step of one small tensor, compilation included."""
    w = Parameter(torch.full((100,), 0.5, dtype=dtype))
    w.grad = w.detach().clone()
    step = of_thalweg(function, [w])
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--functions", default=",".join(FUNCTIONS), help="separated by commas")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each function")
    parser.add_argument(
        "--no-compile", action="store_true", help="torch runs the lines as they are"
    )
    options = parser.parse_args()
    names = [name.strip() for name in options.functions.split(",")]
    if unknown := [name for name in names if name not in FUNCTIONS]:
        parser.error(f"{unknown[0]!r} is not one of: {', '.join(FUNCTIONS)}")
    compiled = not options.no_compile and any(map(shutil.which, ("g++", "clang++", "c++")))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["THALWEG_CACHE"] = folder
        measure(names, getattr(torch, options.dtype), options.seconds, compiled)
    return 0


def measure(names: Sequence[str], dtype: torch.dtype, seconds: float, compiled: bool) -> None:
    """Time each function, and print a table."""
    import thalweg

    params = parameters(dtype)
    size = sum(p.nbytes for p in params)
    adam = thalweg.optim.Adam(params, lr=RATE)
    adam.step()  # loads what any first step loads
    neighbours = Neighbours()
    rows = []
    for name in names:
        function = FUNCTIONS[name]
        first = first_step(function, dtype)
        ours = Contestant("rule", of_thalweg(function, params))
        theirs = Contestant("torch", of_torch(function, params, compiled))
        beside = Contestant("Adam", adam.step)
        contest([ours, theirs, beside], seconds)
        rate = BYTES["rule"] * size / ours.median
        of_adam = BYTES["Adam"] * size / beside.median
        rows.append([
            name,
            f"{1e3 * theirs.median:.1f}",
            f"{1e3 * ours.median:.1f}",
            f"{theirs.median / ours.median:.2f} ×",
            f"{rate / 1e9:.1f}",
            f"{rate / of_adam:.2f}",
            f"{first:.2f}",
        ])  # fmt: skip
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
        torch.compiler.reset()
    peer = "torch.compile" if compiled else "torch, eager"
    columns = (
        "function",
        f"{peer} ms",
        "thalweg ms",
        "torch : thalweg",
        "GB/s",
        "of Adam's",
        "first s",
    )
    count = sum(p.numel() for p in params)
    print_table(f"u ← f(g), {count:,} elements, {dtype}; median ms a step", columns, rows)
    if warning := neighbours.warning():
        print(f"\n{warning}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
