"""A program printed as PyTorch calls on one tensor, of any device, dtype and layout.

It is the reference that other engines must agree with. Half-precision tensors are computed in float32 and
rounded once, when the result is stored; complex tensors are seen as pairs of real numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.matrix.printed import SIZES, functions_of, matrix_line, state_line
from thalweg.engine.passes import Pass
from thalweg.engine.precision import reduced_in
from thalweg.engine.program.coded import coded
from thalweg.engine.program.narrow import bits, joined, lower, narrowed, upper
from thalweg.engine.program.noise import normal
from thalweg.engine.program.ops import TENSOR
from thalweg.engine.program.printing import define, operand, statement
from thalweg.engine.program.program import LEAVES, Level, Program, Value
from thalweg.engine.program.shapes import matrix_sizes
from thalweg.engine.storage import elements, unit_elements
from thalweg.errors import RuleError, sentence


class EagerProgram:
    """A program printed as one Python function over PyTorch."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._function = self._print(program.reached())

    def run(
        self,
        tensors: Sequence[Tensor],
        host: Sequence[Any],
        count: int,
        ordinal: int = 0,
        numbers: Sequence[Any] = (),
    ) -> Pass:
        """Compute the outputs, the new numbers, then the new states of other shapes, for one tensor.

        `tensors` are the gradient, the parameter, its states, then its states of other shapes. `count` is the
        number of elements of all tensors, `ordinal` the place of this one among them, and `numbers` are its
        scalar states that are computed from reductions.
        """
        wide = [_widen(x) for x in tensors]
        p = tensors[1]
        counts = (elements(p), count, unit_elements(p))
        sizes = matrix_sizes(p.shape, self.program.seen)
        if self.program.sees_matrices and p.is_complex():
            raise RuleError(
                f"{self.program.label} works with matrices, and a parameter of shape {tuple(p.shape)} is "
                "complex, which matrix functions do not take. Put it into an optimizer of its own."
            )
        leaves = (*counts, p.ndim, ordinal, *sizes[1:], *numbers)
        run = self._function(*wide, *host, *leaves, p.ndim, wide[1], sizes)
        if not self.program.foreign:
            return (yield from run)
        try:
            return (yield from run)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            calls = ", ".join(self.program.foreign)
            raise RuleError(
                f"{self.program.label} failed on a parameter of shape {tuple(tensors[1].shape)}: "
                f"{sentence(error)} "
                f"It calls {calls}, which must take a tensor of any shape that the optimizer is given."
            ) from error

    def _print(self, reached: Sequence[Value]) -> Callable[..., Pass]:
        program = self.program
        by_name = {v.data: v.name for v in reached if v.op == "tensor"}
        parameters = [by_name.get(name, f"_{k}") for k, name in enumerate(program.tensors)]
        kept = {v.data: v for v in reached if v.op == "matrix state"}
        parameters += [
            kept[n].name if n in kept else f"_of_{k}" for k, n in enumerate(program.matrix_states)
        ]
        parameters += [v.name for v in program.host_reads]
        leaves = {(v.op, v.data): v.name for v in reached if v.op in LEAVES}
        given = [("count", "tensor"), ("count", "all"), ("count", "unit"), ("dimensions", "")]
        given += [
            ("ordinal", ""),
            ("rows", ""),
            ("columns", ""),
            *(("number", n) for n in program.number_outputs),
        ]
        parameters += [leaves.get(leaf, f"_leaf_{k}") for k, leaf in enumerate(given)]
        parameters += ["_dims", "_like", SIZES]
        foreign = {f"call_{v.name}": v.data for v in reached if v.op == "foreign"}
        numeric = [name for (op, _), name in leaves.items() if op != "ordinal"]
        body = [f"({name},) = received(({name},), _like)" for name in numeric]
        body += [state_line(v) for v in kept.values()]
        for stage in range(program.stages + 1):
            ready = [v for v in reached if v.stage == stage and v.level > Level.HOST]
            body += [
                _line(v, _given)
                for v in ready
                if v.op not in ("tensor", "matrix state", *LEAVES) and not v.is_reduction
            ]
            if stage < program.stages:
                body += _reduce([v for v in reached if v.is_reduction and v.stage == stage + 1])
        outputs = ", ".join(operand(v) for v in program.roots)
        body.append(f"return ({outputs},)")
        body.append("yield")  # a generator, even where nothing is reduced
        functions = {**_FUNCTIONS, **foreign, **functions_of(reached)}
        return define("eager", parameters, body, functions)


def print_stage(
    values: Sequence[Value],
    reads: Sequence[Value],
    kept: Sequence[Value],
    lines: Mapping[Value, str],
    functions: Mapping[str, Any],
    memory: str,
) -> Callable[..., Any]:
    """Return matrix values as a function of what they read, on stacks that are there already.

    Its arguments are those values, a tensor of the dtype in which is computed, the sizes of the stack, and
    what `lines` call `memory`: the lines of some values, which call `functions`.
    """
    parameters = [*(v.name for v in reads), "_like", SIZES, memory]
    body = [lines.get(v) or _line(v, operand) for v in values]
    body.append(f"return ({''.join(f'{v.name}, ' for v in kept)})")
    called = {**_FUNCTIONS, **functions_of(values), **functions}
    called |= {f"call_{x.name}": x.data for v in values for x in v.operands if x.op == "matrix"}
    return define("between", parameters, body, called)


def _line(value: Value, given: Callable[[Value], str]) -> str:
    if value.level == Level.MATRIX and (line := matrix_line(value, given)) is not None:
        return line
    if value.op == "elements":
        return f"{value.name} = as_elements({operand(value.operands[0])}, _like, {SIZES})"
    if value.op in _STORED:
        operands = ", ".join(map(operand, value.operands))
        if value.op == "joined":
            return f"{value.name} = joined({operands})"
        if value.op == "bits":
            return f"{value.name} = bits({operands}, _like, {value.data})"
        shift = "" if value.data is None else f"{value.data}, "
        return f"{value.name} = {value.op}({operands}, {shift}_like)"
    if value.op == "foreign":
        written = (
            f"as_numbers(True, {operand(v)}, 0.0, _like)" if v.level == Level.HOST else v.name
            for v in value.operands
        )
        operands = "".join(f"{text}, " for text in written)
        return f"{value.name} = call_{value.name}(({operands}))"
    if value.op == "noise":
        seed, t, ordinal = map(operand, value.operands)
        return f"{value.name} = normal({seed}, {t}, {ordinal}, _like, {value.data})"
    if value.op == "real":
        return f"{value.name} = as_numbers({operand(value.operands[0])}, 1.0, 0.0, _like)"
    if value.op == "where":
        condition, a, b = map(operand, value.operands)
        dtype = "_like.dtype" if value.level >= Level.MATRIX else "reduced_in(_like.device)"
        return f"{value.name} = chosen({condition}, {a}, {b}, {dtype}, _like.device)"
    if value.op == "spread":
        return f"{value.name} = spread({operand(value.operands[0])}, _like)"
    if value.op == "div" and value.operands[0].level < value.level:
        return f"{value.name} = quotient({', '.join(map(operand, value.operands))})"
    return statement(value)


def _given(value: Value) -> str:
    """Return how what a matrix function is given is written."""
    if value.level < Level.MATRIX:
        return operand(value)
    return f"as_stack(spread({operand(value)}, _like), {SIZES})"


def _reduce(reductions: Sequence[Value]) -> list[str]:
    lines = []
    for v in reductions:
        whole = v.operands[0]
        # a branch that torch.where took may be one number for the whole tensor
        text = whole.name if whole.is_foreign else f"spread({whole.name}, _like)"
        if v.data == "unit":
            lines.append(f"{v.name} = within(reduce_{v.op}, {text}, _dims)")
            continue
        lines.append(f"{v.name} = reduce_{v.op}({text})")
    everywhere = [v.name for v in reductions if v.data == "all"]
    names = "".join(f"{name}, " for name in everywhere)
    lines.append(f"({names}) = received((yield ({names})), _like)" if names else "yield ()")
    return lines


def _as_numbers(condition: Any, a: Any, b: Any, like: Tensor) -> Any:
    """Choose between two numbers with the precision of a tensor."""
    return _chosen(condition, a, b, like.dtype, like.device)


def _chosen(condition: Any, a: Any, b: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Choose; numbers become tensors, or torch.where would give two of them the default dtype."""

    def tensor(x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return x
        return torch.as_tensor(x, dtype=torch.bool if isinstance(x, bool) else dtype, device=device)

    if not isinstance(condition, Tensor):
        return tensor(a if condition else b)
    return torch.where(condition, tensor(a), tensor(b))


def _quotient(a: Any, b: Any) -> Any:
    """Divide a number by a tensor; PyTorch would multiply by the rounded reciprocal."""
    if isinstance(b, Tensor) and not isinstance(a, Tensor):
        a = torch.as_tensor(a, dtype=b.dtype, device=b.device)
    return a / b


def _received(wholes: Sequence[Any], like: Tensor) -> tuple[Tensor, ...]:
    """Return numbers as 0-d tensors, whose arithmetic is IEEE 754's."""
    return tuple(
        x
        if isinstance(x, Tensor)
        else torch.tensor(float(x), dtype=reduced_in(like.device), device=like.device)
        for x in wholes
    )


def _spread(x: Any, like: Tensor) -> Tensor:
    """Return a number, or a tensor that holds one, with the shape of another."""
    number: Tensor = (
        x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device)
    )
    return number.expand(like.shape) if number.shape != like.shape else number


def _within(reduce: Callable[..., Tensor], x: Tensor, dims: int) -> Tensor:
    """Reduce over each slice along the first dimension; a tensor of `dims` < 2 dimensions is one unit."""
    if dims < 2:
        return reduce(x)
    inner = tuple(range(1, x.ndim))  # of a complex tensor, the pair of real numbers too
    if reduce is torch.sum:
        return torch.sum(x, dim=inner, keepdim=True)
    if not x.numel():
        return x.new_full((x.shape[0], *(1 for _ in inner)), float("-inf"))
    return torch.amax(x, dim=inner, keepdim=True)


def _largest(x: Tensor) -> Tensor:
    return x.max() if x.numel() else x.new_tensor(float("-inf"))


def _widen(x: Tensor) -> Tensor:
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj())
    return x.float() if x.dtype in (torch.float16, torch.bfloat16, torch.int16) else x


_STORED = {
    "bits": bits,
    "narrowed": narrowed,
    "coded": coded,
    "joined": joined,
    "upper": upper,
    "lower": lower,
}
_FUNCTIONS: Mapping[str, Any] = {
    **TENSOR,
    "reduce_sum": torch.sum,
    "reduce_max": _largest,
    "within": _within,
    "normal": normal,
    "as_numbers": _as_numbers,
    "chosen": _chosen,
    "reduced_in": reduced_in,
    "quotient": _quotient,
    "received": _received,
    "spread": _spread,
    **_STORED,
}
_eager: dict[Program, EagerProgram] = {}


def eager_program(program: Program) -> EagerProgram:
    """Return the eager form of a program, printed once."""
    if program not in _eager:
        _eager[program] = EagerProgram(program)
    return _eager[program]
