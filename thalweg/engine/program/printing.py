"""Print values as Python functions: for one step's scalars, for all tensors' reductions, for tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from thalweg.engine.program.ops import (
    ARRAY,
    MIXED,
    ON_DEVICE,
    OPS,
    SCALAR,
    TENSOR,
    as_double,
    as_truth,
)
from thalweg.engine.program.program import LEAVES, Level, Program, Value


@dataclass(frozen=True)
class Layout:
    """What a pass reads and in which columns it finds it."""

    dtypes: tuple[str, ...]
    """The dtype of each slot: "float32", "float64", "bfloat16" or "float16"."""
    rows: tuple[Value, ...]
    reduced: tuple[Value, ...]
    scaled: bool = False
    """Whether gradients are divided by a loss scale as they are read."""
    reads: tuple[Value, ...] = ()
    """The matrix values that are read element by element, in slots after those of the program's tensors."""
    writes: tuple[Value, ...] = ()
    """What is written for matrix functions, in the slots after these."""


def layout_of(program: Program, stage: int, dtypes: tuple[str, ...]) -> Layout:
    """Return what the pass of a stage reads, for slots of these dtypes."""
    part = program.part(program.outputs_of(stage), Level.TENSOR)
    reduced = tuple(v for v in part.reads if v.level == Level.REDUCED)
    reads = tuple(v for v in part.computes if v.op == "elements")
    writes = () if stage == program.stages else program.given_to_matrices(stage)
    wide = "float64" if "float64" in dtypes else "float32"
    dtypes = (*dtypes, *(wide for _ in (*reads, *writes)))
    return Layout(dtypes, program.host_reads, reduced, reads=reads, writes=writes)


def operand(value: Value) -> str:
    """Return how a value is written where it is used: a number in place, anything else by name."""
    return repr(value.data) if value.op == "constant" else value.name


def statement(value: Value, wrap: str = "{}") -> str:
    """Return the line that computes a value of the vocabulary; `wrap` is how a number is written."""
    operands = (wrap.format(operand(v)) if v.op == "constant" else v.name for v in value.operands)
    return f"{value.name} = {OPS[value.op].template.format(*operands)}"


def define(
    name: str, parameters: Iterable[str], body: Iterable[str], functions: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return the function made of these lines, over these functions.

    The text comes from `Program` values only (vocabulary templates, generated names, numbers), never from
    what a user typed.
    """
    lines = [f"def {name}({', '.join(parameters)}):", *(f"    {line}" for line in body)]
    namespace: dict[str, Any] = {"inf": np.inf, "nan": np.nan, **functions}
    exec(compile("\n".join(lines), f"<thalweg {name}>", "exec"), namespace)  # noqa: S102
    return namespace[name]  # type: ignore[no-any-return]


def _tuple(values: Iterable[Value]) -> str:
    return "(" + "".join(f"{operand(v)}, " for v in values) + ")"


class HostFunction:
    """The scalars of a step: (t, lr, hyperparameters, scalar states) →
    (what the passes read, new scalar states).

    Evaluated in float64 whatever the dtype of the parameters: in bfloat16 a β₂ of 0.999 is 1.
    """

    def __init__(self, program: Program) -> None:
        wanted, outputs = program.host_reads, tuple(program.scalar_outputs.values())
        part = program.part((*wanted, *outputs), Level.HOST)
        names = {v.data: v.name for v in part.computes if v.op == "scalar"}
        parameters = [names.get(name, f"_{k}") for k, name in enumerate(program.scalars)]
        last = f"return {_tuple(wanted)}, {_tuple(outputs)}"
        computed = [v for v in part.computes if v.op != "scalar"]
        quick = [*(statement(v) for v in computed), last]
        # a plain number divided by zero is an error in Python, whatever it is divided by
        careful = [*(statement(v, "number({})") for v in computed), last]
        one_number = {**ARRAY, "where": SCALAR["where"]}
        self._scalar = define("host", parameters, quick, SCALAR)
        self._array = define("host", parameters, careful, one_number)
        self._mixed = define("host", parameters, quick, MIXED)
        self._device = define("host", parameters, quick, ON_DEVICE)
        self._tensor = define("host", parameters, careful, TENSOR)

    def __call__(self, *arguments: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the wanted scalars and the new scalar states, for the program's scalars in order."""
        try:
            return self._scalar(*arguments)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):
            # divide by zero and take roots of negatives as IEEE 754 does
            with np.errstate(all="ignore"):
                return self._array(*map(np.float64, arguments))  # type: ignore[no-any-return]

    def on_tensors(self, *arguments: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Compute the same where a scalar is a tensor, so that autograd and vmap pass through."""
        given = (x.double() if isinstance(x, Tensor) else float(x) for x in arguments)
        try:
            reads, scalars = self._mixed(*given)
            return tuple(map(as_truth, reads)), scalars
        except (ArithmeticError, ValueError):  # of the plain numbers, see above
            return self._tensor(*map(as_double, arguments))  # type: ignore[no-any-return]

    def on_device(self, *arguments: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Compute the same where some scalars are vectors on a device, without waiting for it."""
        given = tuple(x.double() if isinstance(x, Tensor) else float(x) for x in arguments)
        try:
            return self._device(*given)  # type: ignore[no-any-return]
        except (ArithmeticError, ValueError):  # of the plain numbers, see above
            return self._tensor(*map(as_double, arguments))  # type: ignore[no-any-return]


_hosts: dict[Program, HostFunction] = {}


def host_function(program: Program) -> HostFunction:
    """Return the host function of a program, printed once."""
    if program not in _hosts:
        _hosts[program] = HostFunction(program)
    return _hosts[program]


class ReducedFunction:
    """The per-tensor scalars of a stage, for all tensors of a batch at once."""

    def __init__(self, program: Program, wanted: tuple[Value, ...]) -> None:
        part = program.part(wanted, Level.REDUCED)
        self.reads = part.reads
        self.leaves = tuple(v for v in part.computes if v.op in LEAVES)
        parameters = [v.name for v in (*self.reads, *self.leaves)]
        body = [statement(v, "number({})") for v in part.computes if v.op not in LEAVES]
        body.append(f"return {_tuple(wanted)}")
        self._function = define("reduced", parameters, body, ARRAY)

    def __call__(self, arguments: Iterable[Any]) -> tuple[Any, ...]:
        """Return the wanted values, each a number or an array over the tensors."""
        with np.errstate(all="ignore"):
            return self._function(  # type: ignore[no-any-return]
                *(x if isinstance(x, np.ndarray) else np.float64(x) for x in arguments)
            )
