"""The eager engine: the program as PyTorch calls, tensor by tensor. Any device, dtype and layout.

It is the reference that other engines must agree with. Half-precision tensors are computed in float32 and
rounded once, when the result is stored; complex tensors are seen as pairs of real numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.engine.program.noise import normal
from thalweg.engine.program.ops import TENSOR
from thalweg.engine.program.program import LEAVES, Level, Program, Value
from thalweg.engine.source import define, host_function, operand, statement
from thalweg.errors import RuleError
from thalweg.numeric import is_schedule

if TYPE_CHECKING:
    from thalweg.engine.language.chain import Chain

Partials = tuple[Any, ...]
Pass = Generator[Partials, Partials, Any]
"""One tensor's or batch's way through a step: after each stage it yields its share of the reductions over
all tensors and is sent the whole; it returns what it computed."""


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
        """Compute the outputs, then the new numbers, for one tensor.

        `count` is the number of elements of all tensors, `ordinal` the place of this one among them, and
        `numbers` are its scalar states that are computed from reductions.
        """
        wide = [_widen(x) for x in tensors]
        p = tensors[1]
        unit = (
            max(1, wide[1].numel() // p.shape[0]) if p.ndim > 1 and p.shape[0] else wide[1].numel()
        )
        counts = (wide[1].numel(), count, unit)
        run = self._function(*wide, *host, *counts, p.ndim, ordinal, *numbers, p.ndim, wide[1])
        if not self.program.foreign:
            return (yield from run)
        try:
            return (yield from run)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            calls = ", ".join(self.program.foreign)
            raise RuleError(
                f"{self.program.label} failed on a parameter of shape {tuple(tensors[1].shape)}: {error}. "
                f"It calls {calls}, which must take a tensor of any shape that the optimizer is given"
            ) from error

    def _print(self, reached: Sequence[Value]) -> Callable[..., Pass]:
        program = self.program
        by_name = {v.data: v.name for v in reached if v.op == "tensor"}
        parameters = [by_name.get(name, f"_{k}") for k, name in enumerate(program.tensors)]
        parameters += [v.name for v in program.host_reads]
        leaves = {(v.op, v.data): v.name for v in reached if v.op in LEAVES}
        given = [("count", "tensor"), ("count", "all"), ("count", "unit"), ("dimensions", "")]
        given += [("ordinal", ""), *(("number", n) for n in program.number_outputs)]
        parameters += [leaves.get(leaf, f"_leaf_{k}") for k, leaf in enumerate(given)]
        parameters += ["_dims", "_like"]
        foreign = {f"call_{v.name}": v.data for v in reached if v.op == "foreign"}
        numeric = [name for (op, _), name in leaves.items() if op != "ordinal"]
        body = [f"({name},) = received(({name},), _like)" for name in numeric]
        for stage in range(program.stages + 1):
            ready = [v for v in reached if v.stage == stage and v.level > Level.HOST]
            body += [
                _line(v)
                for v in ready
                if v.op != "tensor" and v.op not in LEAVES and not v.is_reduction
            ]
            if stage < program.stages:
                body += _reduce([v for v in reached if v.is_reduction and v.stage == stage + 1])
        outputs = ", ".join(operand(v) for v in program.roots)
        body.append(f"return ({outputs},)")
        body.append("yield")  # a generator, even where nothing is reduced
        functions = {
            **TENSOR,
            **foreign,
            "reduce_sum": torch.sum,
            "reduce_max": _largest,
            "within": _within,
            "normal": normal,
            "as_numbers": _as_numbers,
            "chosen": _chosen,
            "float64": torch.float64,
            "quotient": _quotient,
            "received": _received,
            "spread": _spread,
        }
        return define("eager", parameters, body, functions)


def elements(x: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return 2 * x.numel() if x.is_complex() else x.numel()


def _line(value: Value) -> str:
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
        dtype = "_like.dtype" if value.level == Level.TENSOR else "float64"
        return f"{value.name} = chosen({condition}, {a}, {b}, {dtype}, _like.device)"
    if value.op == "spread":
        return f"{value.name} = spread({operand(value.operands[0])}, _like)"
    if value.op == "div" and value.operands[0].level < value.level:
        return f"{value.name} = quotient({', '.join(map(operand, value.operands))})"
    return statement(value)


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
        else torch.tensor(float(x), dtype=torch.float64, device=like.device)
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
        x = torch.view_as_real(x)
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


Finish = Callable[[int, Any], None]
"""What takes the number of a pass and its result, as soon as that is there."""


def run_together(passes: Sequence[tuple[Pass, Sequence[tuple[str, ...]]]], finish: Finish) -> None:
    """Run passes stage by stage, and give each the reductions over all of them.

    With each pass come, for each stage but the last, the names ("sum" or "max") of its reductions over all
    tensors. Passes with the same names at a stage reduce together, whatever their program. A result is
    finished before the next pass goes on, so parameters on the same memory step one after the other.
    """
    waiting: dict[int, Partials] = {}
    for k, (each, _) in enumerate(passes):
        _resume(k, lambda each=each: next(each), waiting, finish)  # type: ignore[misc]
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
            _resume(k, lambda each=each, sent=sent: each.send(sent), waiting, finish)  # type: ignore[misc]
        stage += 1


def _resume(
    k: int, go: Callable[[], Partials], waiting: dict[int, Partials], finish: Finish
) -> None:
    try:
        waiting[k] = go()
    except StopIteration as stop:
        waiting.pop(k, None)
        finish(k, stop.value)


def _combine(name: str, partials: Sequence[Any]) -> Any:
    """Reduce over tensors and batches, on the device where they all are, otherwise in float64."""
    if len(partials) == 1:
        return partials[0]
    tensors = all(isinstance(x, Tensor) for x in partials)
    if tensors and len({x.device for x in partials}) == 1:
        stacked = torch.stack([x.double() for x in partials])
        return stacked.sum() if name == "sum" else stacked.max()
    numbers = torch.tensor(
        [float(x) for x in partials], dtype=torch.float64
    )  # max() may lose a NaN
    return float(numbers.sum() if name == "sum" else numbers.max())


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
    _check_state(chain, program, state)
    form = eager_program(program)
    host = host_function(program)
    t = state["t"] + 1
    now = {n: v(state["t"]) if is_schedule(v) else v for n, v in {**values, "lr": lr}.items()}
    known = {**now, **{s: state[s] for s in chain.scalar_states}, "t": t}
    given = [known[name] for name in program.scalars]
    symbolic = any(isinstance(x, Tensor) for x in given)
    reads, scalars = (host.on_tensors if symbolic else host)(*given)
    one = not isinstance(p, Mapping)
    names = [None] if one else list(p)
    leaves = [
        [tree if one else tree[name] for tree in (g, p, *(state[s] for s in chain.states))]
        for name in names
    ]
    count = sum(elements(leaf[1]) for leaf in leaves)
    over_all = reductions_over_all(program)
    kept = [state[s] for s in program.number_outputs]
    # one number for all where the chain's own switches are others than those of this step
    numbers = [[x[name] if isinstance(x, Mapping) else x for x in kept] for name in names]
    results: list[Any] = [None] * len(leaves)
    run_together(
        [
            (form.run(leaf, reads, count, k, mine), over_all)
            for k, (leaf, mine) in enumerate(zip(leaves, numbers, strict=True))
        ],
        results.__setitem__,
    )
    fitted = [
        tuple(_like(x, old) for x, old in zip(result, leaf[1:], strict=False))
        for result, leaf in zip(results, leaves, strict=True)
    ]
    new = [
        fitted[0][k] if one else {name: fit[k] for name, fit in zip(names, fitted, strict=True)}
        for k in range(1 + len(chain.states))
    ]
    after = {"t": t, **dict(zip(chain.states, new[1:], strict=True))}
    after |= dict(zip(program.scalar_outputs, scalars, strict=True))
    for k, name in enumerate(program.number_outputs, start=1 + len(chain.states)):
        each = [x.double() if isinstance(x := r[k], Tensor) else x for r in results]
        after[name] = each[0] if one else dict(zip(names, each, strict=True))
    return new[0], after


def _check_state(chain: Chain, program: Program, state: Mapping[str, Any]) -> None:
    missing = [n for n in ("t", *chain.states, *chain.scalar_states) if n not in state]
    if missing:
        raise RuleError(
            f"the state lacks {', '.join(missing)}. Begin with state = chain.init(p), and give each step the "
            "state that the step before returned"
        )
    for name in program.scalar_outputs:
        if isinstance(state[name], Mapping):
            raise RuleError(
                f"the state {name!r} is a dict of one number for each tensor, but with the switches of this "
                "step it is one number for all tensors. Keep the switches of the steps before"
            )


def _like(x: Any, old: Tensor) -> Tensor:
    """Return a result with the shape and dtype of what it replaces."""
    if old.is_complex():
        return torch.view_as_complex(_like(x, torch.view_as_real(old)).contiguous())
    if not isinstance(x, Tensor):
        return torch.full_like(old, x)
    x = x if x.dtype == old.dtype else x.to(old.dtype)
    fitted: Tensor = x if x.shape == old.shape else x.expand_as(old)
    return fitted
