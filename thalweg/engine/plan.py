"""The plan of a step: which tensors go to which engine, made once and reused while nothing changes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import is_, itemgetter
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.eager.printed import (
    Pass,
    eager_program,
    elements,
    reductions_over_all,
    run_together,
)
from thalweg.engine.member import Member, check_member, fused_dtypes
from thalweg.engine.program.printing import host_function
from thalweg.engine.program.program import Program
from thalweg.engine.rows import Lines, Row, consecutive
from thalweg.engine.storage import has_memory, overlapping
from thalweg.errors import EngineError

Engine = Literal["auto", "eager", "fused"]


@cache
def fused_problem() -> str | None:
    """Return why no program can be fused on this machine, or None."""
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError) as error:
        return f"llvmlite cannot be imported ({error})"
    return None


def compilations() -> int:
    """Return how many kernels this process has compiled, or loaded from the cache, so far."""
    if fused_problem() is not None:
        return 0
    from thalweg.engine.cpu.native import compiled_kernels

    return compiled_kernels()


def program_problem(program: Program) -> str | None:
    """Return why a program cannot be fused, or None."""
    problem = fused_problem()
    if problem is None:
        from thalweg.engine.cpu.kernel import library_symbols, unsupported
        from thalweg.engine.cpu.native import has_symbol

        foreign = unsupported(program)
        symbols = [*library_symbols(program, True), *library_symbols(program, False)]
        missing = [name for name in symbols if not has_symbol(name)]
        if foreign:
            problem = f"no kernel can run {', '.join(dict.fromkeys(foreign))}"
        elif missing:
            problem = f"the C library lacks {', '.join(missing)}"
    return problem


Prepared = tuple[Sequence[Any], list[Any]]
"""The gradients, followed by copies that must outlive the step, and for each batch their addresses."""


@dataclass
class Cohort:
    """The tensors of one program: their rows of scalars, and how they run."""

    program: Program
    differentiable: bool = False
    rows: list[Row] = field(default_factory=list)
    fused: list[tuple[Any, list[int]]] = field(default_factory=list)
    """Batches, with the positions of their members in the plan."""
    loose: list[tuple[int, int]] = field(default_factory=list)
    """(position, row) of each member that runs eagerly."""

    def __post_init__(self) -> None:
        self.host = host_function(self.program)
        self.over_all = reductions_over_all(self.program)
        self.reads: list[tuple[Any, ...]] = []
        self._line = struct.Struct(f"{len(self.program.host_reads)}d")

    def open_table(self) -> None:
        """Make the table of scalars that kernels read, once all rows are there."""
        self.table = np.zeros((len(self.rows), len(self.program.host_reads)), dtype=np.float64)
        self._bytes: Any = self.table.reshape(-1).view(np.uint8)

    def advance(self, numbers: Sequence[Sequence[Any]]) -> None:
        """Count a step of every row, and compute its scalars."""
        host: Any = self.host
        if self.differentiable:  # hyperparameters may be tensors
            host = host.on_tensors
        self.reads = [row.advance(host, numbers[row.group]) for row in self.rows]
        if self.fused and self.table.size:
            for k, reads in enumerate(self.reads):
                self._line.pack_into(self._bytes, k * self._line.size, *reads)


class Plan:
    """How to step these members, as long as they and their states stay the same objects."""

    def __init__(
        self, members: Sequence[Member], engine: Engine, differentiable: bool = False
    ) -> None:
        self.members = list(members)
        self.count = sum(elements(m.param) for m in members)
        self.differentiable = differentiable
        self.cohorts: list[Cohort] = []
        self._sharing = self._overlapping()
        by_program: dict[Program, list[int]] = {}
        for k, member in enumerate(self.members):
            by_program.setdefault(member.program, []).append(k)
        for program, positions in by_program.items():
            self.cohorts.append(self._cohort(program, positions, engine))
        self.params = [m.param for m in self.members]
        loose = [self.members[k] for cohort in self.cohorts for k, _ in cohort.loose]
        self._dicts = [m.state for m in loose for _ in m.names]
        self._names = [name for m in loose for name in m.names]
        self._states = [x for m in loose for x in m.states]
        self._batches = [batch for cohort in self.cohorts for batch, _ in cohort.fused]
        self._lines = Lines([(m.state, m.kept, m.block, m.line) for m in self.members])

    def _overlapping(self) -> set[int]:
        """Return the members that share memory with another, or among their own tensors.

        Threads would step them at once, so they run eagerly, one after the other.
        """
        written = [(k, x) for k, m in enumerate(self.members) for x in (m.param, *m.states)]
        return overlapping([x for _, x in written], [k for k, _ in written])

    # -- making ---------------------------------------------------------------------------------------

    def _cohort(self, program: Program, positions: list[int], engine: Engine) -> Cohort:
        cohort = Cohort(program, self.differentiable)
        row_of = self._rows(cohort, positions)
        cohort.open_table()
        problem = "engine='eager'" if engine == "eager" else program_problem(program)
        if engine == "fused" and problem is not None:
            raise EngineError(
                f"engine='fused' was asked for, but {problem}. Use engine='auto', which runs eagerly what "
                "cannot be fused"
            )
        batches: dict[tuple[str, ...], list[int]] = {}
        for k in positions:
            alone = problem or self.differentiable or k in self._sharing
            dtypes = None if alone else fused_dtypes(self.members[k])
            if dtypes is None:
                cohort.loose.append((k, row_of[k]))
            else:
                batches.setdefault(dtypes, []).append(k)
        for dtypes, chosen in batches.items():
            from thalweg.engine.cpu.batch import FusedBatch

            members = [self.members[k] for k in chosen]
            batch = FusedBatch(program, dtypes, members, [row_of[k] for k in chosen], cohort.table)
            cohort.fused.append((batch, chosen))
        return cohort

    def _rows(self, cohort: Cohort, positions: Sequence[int]) -> dict[int, int]:
        """Gather the members into rows; return the row of each position."""
        rows: dict[Any, list[int]] = {}
        width = 1 + len(cohort.program.scalar_outputs)
        for k in positions:
            m = self.members[k]
            shared = m.block[m.line, :width].tobytes()  # as bits: NaN is not equal to itself
            rows.setdefault((m.group, id(m.block), shared), []).append(k)
        row_of: dict[int, int] = {}
        for number, chosen in enumerate(rows.values()):
            first = self.members[chosen[0]]
            lines = consecutive([self.members[k].line for k in chosen])
            cohort.rows.append(Row(first.group, first.block, lines, width))
            row_of |= dict.fromkeys(chosen, number)
        return row_of

    # -- checking -------------------------------------------------------------------------------------

    def holds(self) -> bool:
        """Whether states and parameters are still the tensors that the plan was made for.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """
        if not all(map(is_, map(dict.get, self._dicts, self._names), self._states)):
            return False  # states of members that run eagerly; a batch looks after its own
        if not all([batch.holds() for batch in self._batches]):  # noqa: C419
            return False
        moved = [batch for batch in self._batches if batch.moved]
        if moved and self._overlapping() != self._sharing:
            return False
        for batch in moved:
            batch.moved = False
        return self._lines.hold() and (self._lines.are_as_left() or self._rows_are_uniform())

    def _rows_are_uniform(self) -> bool:
        return all(row.is_uniform() for cohort in self.cohorts for row in cohort.rows)

    # -- running --------------------------------------------------------------------------------------

    def prepare(self, grads: list[Tensor | None]) -> Prepared | None:
        """Return the gradients as the engines read them, or None where the plan does not suit them.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """
        held: list[Any] = grads
        addresses = []
        for cohort in self.cohorts:
            for batch, chosen in cohort.fused:
                mine = grads if len(chosen) == len(grads) else [grads[k] for k in chosen]
                read = batch.addresses(mine)
                if read is None:
                    return None
                addresses.append(read[0])
                if read[1] is not mine:
                    held = [*held, *read[1]]
            for k, _ in cohort.loose:
                grad, member = grads[k], self.members[k]
                if grad is None or grad.layout is not member.grad_layout:
                    return None
                if grad.shape != member.param.shape:
                    return None
                check_member(member, grad)
        return held, addresses

    def run(self, prepared: Prepared, numbers: Sequence[Sequence[Any]]) -> None:
        """Step every member. `numbers[group]` are lr and the hyperparameters of a group.

        Raises:
            EngineError: a gradient is wanted of a hyperparameter that a number kept on the host depends on.
        """
        if self.differentiable:
            self._check_graph(numbers)
        grads, addresses = prepared
        turn = iter(addresses)
        together: list[tuple[Pass, tuple[tuple[str, ...], ...]]] = []
        writers: list[_Writer | None] = []
        loose = []
        for cohort in self.cohorts:
            cohort.advance(numbers)
            for batch, _ in cohort.fused:
                if cohort.over_all:
                    together.append((batch.run(next(turn), self.count), cohort.over_all))
                    writers.append(None)
                else:
                    batch.step(next(turn), self.count)
            loose += [(k, cohort, cohort.reads[row]) for k, row in cohort.loose]
        for k, cohort, reads in sorted(loose, key=itemgetter(0)):
            together.append((self._eagerly(k, cohort, reads, grads[k]), cohort.over_all))
            writers.append(_Writer(self.members[k], self.differentiable))

        def finish(k: int, result: Any) -> None:
            if (write := writers[k]) is not None:
                write(result)

        if together:
            with torch.set_grad_enabled(self.differentiable):
                run_together(together, finish)
        self._lines.leave()

    def _check_graph(self, numbers: Sequence[Sequence[Any]]) -> None:
        """Refuse to lose a gradient: numbers of the state are kept on the host, without their history."""
        for cohort in self.cohorts:
            program = cohort.program
            for row in cohort.rows:
                given = zip(program.scalars[1:], numbers[row.group], strict=False)
                wanted = {name for name, value in given if isinstance(value, Tensor)}
                lost = {
                    state: sorted(wanted & program.scalars_behind(value))
                    for state, value in program.scalar_outputs.items()
                }
                lost |= {state: ["the gradients"] for state in program.number_outputs}
                for state, names in lost.items():
                    if names:
                        raise EngineError(
                            f"{program.label} keeps {state!r} as a plain number, so a differentiable step "
                            f"loses what it owes to {', '.join(names)}. Step by hand, where everything is "
                            "differentiable: p, state = chain.step(p, g, state, lr=…)"
                        )

    def _eagerly(self, k: int, cohort: Cohort, reads: tuple[Any, ...], grad: Tensor) -> Pass:
        """Return the eager pass of a member."""
        m = self.members[k]
        param = _in_graph(m.param) if self.differentiable else m.param
        tensors = [_dense(grad), param, *m.states]
        return eager_program(cohort.program).run(tensors, reads, self.count, m.ordinal, m.numbers)

    def describe(self) -> str:
        """Return what runs how, a line for each batch and each tensor that runs eagerly."""
        lines = []
        for cohort in self.cohorts:
            for batch, chosen in cohort.fused:
                size = sum(elements(self.members[k].param) for k in chosen)
                lines.append(
                    f"fused  {len(chosen)} tensors, {size:,} numbers, {batch.dtypes[1]}, "
                    f"{len(batch.passes)} pass{'es' if len(batch.passes) > 1 else ''}"
                )
            for k, _ in cohort.loose:
                p = self.members[k].param
                lines.append(
                    f"eager  {tuple(p.shape)} {str(p.dtype).removeprefix('torch.')} {p.device}"
                )
        return "\n".join(lines)


def _dense(grad: Tensor) -> Tensor:
    return grad if grad.layout is torch.strided else grad.to_dense()


def _in_graph(param: Tensor) -> Tensor:
    """Return a copy: the step changes the parameter in place, and a backward pass may need what it was."""
    with torch.enable_grad():
        return param.clone()


@dataclass
class _Writer:
    """Writes what the eager engine computed into the parameter and its states."""

    member: Member
    differentiable: bool

    def __call__(self, result: Sequence[Any]) -> None:
        if (
            not self.differentiable
        ):  # a value that is passed on unchanged must not be overwritten first
            member = self.member
            kept = {_memory_of(x) for x in (member.param, *member.states, *member.numbers)}
            result = [
                x.clone() if isinstance(x, Tensor) and _memory_of(x) in kept else x for x in result
            ]
        moved, *states = result[: 1 + len(self.member.names)]
        _write(self.member.param, moved)
        for number, value in zip(self.member.numbers, result[1 + len(states) :], strict=True):
            number.fill_(float(value))
        for name, value in zip(self.member.names, states, strict=True):
            if self.differentiable:  # an in-place change would break the graph of the steps before
                self.member.state[name] = value
            else:
                _write(self.member.state[name], value)


def _memory_of(x: Tensor) -> int | None:
    """Return where the storage of a tensor begins; None stands for those that have none to point to."""
    return x.untyped_storage().data_ptr() if has_memory(x) else None


def _write(target: Tensor, value: Any) -> None:
    if target.is_complex():
        target = torch.view_as_real(target)
    # a number may be too large for the dtype: copied it becomes infinite, and `fill_` would raise
    target.copy_(value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64))
