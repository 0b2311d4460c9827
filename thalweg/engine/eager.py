"""The eager engine: the program as PyTorch calls, tensor by tensor. Any device, dtype and layout.

It is the reference that other engines must agree with. Half-precision tensors are computed in float32 and
rounded once, when the result is stored; complex tensors are seen as pairs of real numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.engine.ops import TENSOR
from thalweg.engine.program import Level, Program, Value
from thalweg.engine.source import define, host_function, operand, statement

if TYPE_CHECKING:
    from thalweg.engine.chain import Chain

Partials = tuple[Any, ...]
Pass = Generator[Partials, Partials, Any]
"""One tensor's or batch's way through a step: after each stage it yields its share of the reductions over
all tensors and is sent the whole; it returns what it computed."""


class EagerProgram:
    """A program printed as one Python function over PyTorch."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._function = self._print(program.reached())

    def run(self, tensors: Sequence[Tensor], host: Sequence[Any], count: int) -> Pass:
        """Compute the outputs for one tensor; `count` is the number of elements of all tensors."""
        wide = [_widen(x) for x in tensors]
        outputs = yield from self._function(*wide, *host, wide[1].numel(), count, wide[1])
        return outputs

    def _print(self, reached: Sequence[Value]) -> Callable[..., Pass]:
        program = self.program
        by_name = {v.data: v.name for v in reached if v.op == "tensor"}
        parameters = [by_name.get(name, f"_{k}") for k, name in enumerate(program.tensors)]
        parameters += [v.name for v in program.host_reads]
        counts = {v.data: v.name for v in reached if v.op == "count"}
        parameters += [counts.get("tensor", "_count"), counts.get("all", "_count_all"), "_like"]
        foreign = {f"call_{v.name}": v.data for v in reached if v.op == "foreign"}
        body: list[str] = []
        for stage in range(program.stages + 1):
            ready = [v for v in reached if v.stage == stage and v.level > Level.HOST]
            body += [
                _line(v) for v in ready if v.op not in ("tensor", "count") and not v.is_reduction
            ]
            if stage < program.stages:
                body += _reduce([v for v in reached if v.is_reduction and v.stage == stage + 1])
        outputs = ", ".join(operand(v) for v in program.outputs)
        body.append(f"return ({outputs},)")
        body.append("yield")  # a generator, even where nothing is reduced
        functions = {
            **TENSOR,
            **foreign,
            "reduce_sum": torch.sum,
            "reduce_max": _largest,
            "as_numbers": _as_numbers,
        }
        return define("eager", parameters, body, functions)


def elements(x: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return 2 * x.numel() if x.is_complex() else x.numel()


def _line(value: Value) -> str:
    if value.op == "foreign":
        operands = "".join(f"{operand(v)}, " for v in value.operands)
        return f"{value.name} = call_{value.name}(({operands}))"
    if value.op == "real":
        return f"{value.name} = as_numbers({operand(value.operands[0])}, 1.0, 0.0, _like)"
    if value.op == "where" and all(v.level < value.level for v in value.operands[1:]):
        condition, a, b = map(operand, value.operands)
        return f"{value.name} = as_numbers({condition}, {a}, {b}, _like)"
    return statement(value)


def _reduce(reductions: Sequence[Value]) -> list[str]:
    lines = [f"{v.name} = reduce_{v.op}({operand(v.operands[0])})" for v in reductions]
    everywhere = [v.name for v in reductions if v.data == "all"]
    names = "".join(f"{name}, " for name in everywhere)
    lines.append(f"({names}) = yield ({names})" if names else "yield ()")
    return lines


def _as_numbers(condition: Any, a: Any, b: Any, like: Tensor) -> Any:
    """Choose between two numbers with the precision of a tensor: torch.where takes the default dtype."""
    if not isinstance(condition, Tensor):
        return a if condition else b
    a, b = (torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (a, b))
    return torch.where(condition, a, b)


def _largest(x: Tensor) -> Tensor:
    return x.max() if x.numel() else x.new_tensor(float("-inf"))


def _widen(x: Tensor) -> Tensor:
    if x.is_complex():
        x = torch.view_as_real(x)
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def run_together(passes: Sequence[tuple[Pass, Sequence[tuple[str, ...]]]]) -> list[Any]:
    """Run passes stage by stage, and give each the reductions over all of them; return their results.

    With each pass come, for each stage but the last, the names ("sum" or "max") of its reductions over all
    tensors. Passes with the same names at a stage reduce together, whatever their program.
    """
    results: list[Any] = [None] * len(passes)
    waiting: dict[int, Partials] = {}
    for k, (each, _) in enumerate(passes):
        _resume(k, lambda each=each: next(each), waiting, results)  # type: ignore[misc]
    stage = 0
    while waiting:
        wholes: dict[tuple[str, ...], Partials] = {}
        for names in {passes[k][1][stage] for k in waiting}:
            shares = [waiting[k] for k in waiting if passes[k][1][stage] == names]
            wholes[names] = tuple(
                _combine(name, share)
                for name, share in zip(names, zip(*shares, strict=True), strict=True)
            )
        for k in list(waiting):
            each, names_by_stage = passes[k]
            sent = wholes[names_by_stage[stage]]
            _resume(k, lambda each=each, sent=sent: each.send(sent), waiting, results)  # type: ignore[misc]
        stage += 1
    return results


def _resume(
    k: int, go: Callable[[], Partials], waiting: dict[int, Partials], results: list[Any]
) -> None:
    try:
        waiting[k] = go()
    except StopIteration as stop:
        waiting.pop(k, None)
        results[k] = stop.value


def _combine(name: str, partials: Sequence[Any]) -> Any:
    """Reduce over tensors and batches, on the device where they all are, otherwise in float64."""
    if len(partials) == 1:
        return partials[0]
    tensors = all(isinstance(x, Tensor) for x in partials)
    if tensors and len({x.device for x in partials}) == 1:
        stacked = torch.stack([x.double() for x in partials])
        return stacked.sum() if name == "sum" else stacked.max()
    numbers = [float(x) for x in partials]
    return sum(numbers) if name == "sum" else max(numbers)


def reductions_over_all(program: Program) -> tuple[tuple[str, ...], ...]:
    """Return, for each stage but the last, the reductions over all tensors ("sum" or "max")."""
    return tuple(
        tuple(v.op for v in program.reductions(stage) if v.data == "all")
        for stage in range(program.stages)
    )


_eager: dict[Program, EagerProgram] = {}


def eager_program(program: Program) -> EagerProgram:
    """Return the eager form of a program, printed once."""
    if program not in _eager:
        _eager[program] = EagerProgram(program)
    return _eager[program]


def functional_step(
    chain: Chain, values: Mapping[str, Any], p: Any, g: Any, state: Mapping[str, Any], lr: Any
) -> tuple[Any, dict[str, Any]]:
    """Run one pure step on a tensor or a dict of tensors (see `Chain.step`)."""
    program = chain.program(values)
    form = eager_program(program)
    host = host_function(program)
    t = state["t"] + 1
    known = {**values, **{s: state[s] for s in chain.scalar_states}, "lr": lr, "t": t}
    reads, scalars = host(*[known[name] for name in program.scalars])
    one = not isinstance(p, Mapping)
    names = [None] if one else list(p)
    leaves = [
        [tree if one else tree[name] for tree in (g, p, *(state[s] for s in chain.states))]
        for name in names
    ]
    count = sum(elements(leaf[1]) for leaf in leaves)
    over_all = reductions_over_all(program)
    results = run_together([(form.run(leaf, reads, count), over_all) for leaf in leaves])
    fitted = [
        tuple(_like(x, old) for x, old in zip(result, leaf[1:], strict=True))
        for result, leaf in zip(results, leaves, strict=True)
    ]
    new = [
        fitted[0][k] if one else {name: fit[k] for name, fit in zip(names, fitted, strict=True)}
        for k in range(1 + len(chain.states))
    ]
    after = {"t": t, **dict(zip(chain.states, new[1:], strict=True))}
    return new[0], after | dict(zip(chain.scalar_states, scalars, strict=True))


def _like(x: Any, old: Tensor) -> Tensor:
    """Return a result with the shape and dtype of what it replaces."""
    if not isinstance(x, Tensor):
        return torch.full_like(old, x)
    if old.is_complex():
        return torch.view_as_complex(x.contiguous())
    x = x if x.dtype == old.dtype else x.to(old.dtype)
    fitted: Tensor = x if x.shape == old.shape else x.expand_as(old)
    return fitted
