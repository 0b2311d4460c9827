"""The plan of a step: which engine steps which parameters, made once and reused while nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.engine.across import AcrossProcesses
from thalweg.engine.backend import Backend, EngineBatch, StepInOneCall
from thalweg.engine.cohort import NO_SCALE, Cohort, LossScale
from thalweg.engine.member import Member
from thalweg.engine.passes import run_together
from thalweg.engine.precision import own_precision
from thalweg.engine.program.program import Program
from thalweg.engine.rows import Lines
from thalweg.engine.same import SameObjects
from thalweg.engine.storage import elements, overlapping
from thalweg.engine.together import StepInCalls
from thalweg.errors import EngineError

Readings = list[Any]
"""For each batch, the gradients as its engine reads them."""


class _Planned(NamedTuple):
    """A batch, the positions of its members in the plan, and which engine runs it."""

    batch: EngineBatch
    positions: list[int]
    cohort: Cohort
    engine: Backend

    @property
    def alone(self) -> bool:
        """Whether it may be stepped at any time."""
        return self.engine.alone


class Plan:
    """How to step these members, as long as they and their states stay the same objects.

    Args:
        members: the parameters.
        engines: the engines to ask for each, the first that can step it first; the last one can step any.
        required: whether the first engine must be able to run every program.
        differentiable: whether the step is part of a graph of gradients.
        on_device: whether step numbers live on the device: then the first engine steps every member.
        across: the other processes, where they step other parameters, or other parts of these.

    Raises:
        EngineError: the first engine is required, and cannot run a program, or step a member.
    """

    def __init__(
        self,
        members: Sequence[Member],
        engines: Sequence[Backend],
        *,
        required: bool = False,
        differentiable: bool = False,
        on_device: bool = False,
        across: AcrossProcesses | None = None,
    ) -> None:
        self._across = across if across is not None and across.stages else None
        self.members = list(members)
        self.params = [m.param for m in self.members]
        self.count = sum(elements(p) for p in self.params)
        self.differentiable = differentiable
        self.on_device = on_device
        self._engines = engines = engines[:1] if on_device else engines
        self._may_be_cast = {
            m.param.device.type
            for m in self.members
            if m.program.sees_matrices or m.program.foreign
        }
        """The types of devices where a step calls what autocast would compute in half precision."""
        self._sharing = self._overlapping()
        together: dict[tuple[Program, tuple[int, int]], dict[int, Member]] = {}
        for k, member in enumerate(self.members):
            together.setdefault((member.program, self._turn(k)), {})[k] = member
        self._cohorts = [
            Cohort(p, chosen, differentiable, on_device) for (p, _), chosen in together.items()
        ]
        planned = [
            each for cohort in self._cohorts for each in self._made(cohort, engines, required)
        ]
        self._planned = [each for each in planned if each.alone]
        self._planned += sorted(
            (each for each in planned if not each.alone), key=lambda each: each.positions
        )
        self._batches = [each.batch for each in self._planned]
        on_host = [] if on_device else self.members
        self._lines = Lines([(m.state, m.kept, m.block, m.line) for m in on_host])

    # -- making ---------------------------------------------------------------------------------------

    def _overlapping(self) -> set[int]:
        """Return the members that share memory with another, or among their own tensors.

        They are stepped one after the other, as a loop over the parameters does it.
        """
        written = [
            (k, x)
            for k, m in enumerate(self.members)
            for x in (m.param, *m.states, *m.matrix_states)
        ]
        return overlapping([x for _, x in written], [k for k, _ in written])

    def _turn(self, k: int) -> tuple[int, int]:
        """Return how often the parameter of a member stands in the plan, and how often before that member.

        Each time is a step of its own, which is counted, so those of equal numbers may share a row.
        """
        if k not in self._sharing:
            return 1, 0
        places = [j for j, param in enumerate(self.params) if param is self.params[k]]
        return len(places), places.index(k)

    def _made(self, cohort: Cohort, engines: Sequence[Backend], required: bool) -> list[_Planned]:
        problems = [engine.problem(cohort.program) for engine in engines]
        if required and problems[0] is not None:
            raise EngineError(
                f"engine={engines[0].name!r} was asked for, but {problems[0]}. Use engine='auto', which "
                "steps by another engine what this one cannot."
            )
        able = [e for e, problem in zip(engines, problems, strict=True) if problem is None]
        together: dict[Any, list[int]] = {}
        for k, member in cohort.members.items():
            for engine in able:
                kind = None if self._must_wait(engine, k) else engine.kind(member)
                if kind is not None:
                    together.setdefault((engine, kind), []).append(k)
                    break
            else:  # the last engine takes any
                why = self._must_wait(engines[0], k) or engines[0].refusal(member)
                raise EngineError(
                    f"capturable=True was asked for, but engine={engines[0].name!r} cannot step "
                    f"{member.called}: {why}. Put it into an optimizer of its own, or leave that out."
                )
        return [
            _Planned(engine.batch(cohort, kind, chosen), chosen, cohort, engine)
            for (engine, kind), chosen in together.items()
        ]

    def _must_wait(self, engine: Backend, k: int) -> str | None:
        """Return why an engine whose batches are stepped at any time cannot step a member, or None."""
        if engine.alone and self.differentiable:
            return "a differentiable step"
        if engine.alone and k in self._sharing:
            return "memory that is shared with another tensor"
        return None

    # -- checking -------------------------------------------------------------------------------------

    def holds(self) -> bool:
        """Whether states and parameters are still the tensors that the plan was made for.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """
        # a list, since each batch is to note what has moved
        if not all([batch.holds() for batch in self._batches]):  # noqa: C419
            return False
        moved = [batch for batch in self._batches if batch.moved]
        if moved and self._overlapping() != self._sharing:
            return False
        for batch in moved:
            batch.moved = False
        return self._lines.are_shown and (self._lines.are_as_left() or self._rows_are_uniform())

    def _rows_are_uniform(self) -> bool:
        return all(row.is_uniform() for cohort in self._cohorts for row in cohort.rows)

    # -- running --------------------------------------------------------------------------------------

    def prepare(self) -> Readings | None:
        """Return the gradients as the engines read them, or None where the plan does not suit them.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """
        prepared = []
        for batch in self._batches:
            read = batch.prepare()
            if read is None:
                return None
            prepared.append(read)
        return prepared

    def run(
        self,
        prepared: Readings,
        numbers: Sequence[Sequence[Any]],
        loss_scale: LossScale = NO_SCALE,
    ) -> None:
        """Step every member. `numbers[group]` are lr and the hyperparameters of a group.

        Only a step whose numbers live on the device looks at a loss scale.

        Raises:
            EngineError: a gradient is wanted of a hyperparameter that a number kept on the host depends on.
        """
        if self.differentiable:
            self._check_graph(numbers)
        for cohort in self._cohorts:
            cohort.advance(numbers)
            cohort.loss_scale = loss_scale
        if self._may_be_cast:
            with own_precision(self._may_be_cast):
                self._run(prepared)
        else:
            self._run(prepared)
        self._lines.leave()

    def _run(self, prepared: Readings) -> None:
        count = self.count if self._across is None else self._across.count()
        together = []
        for (batch, _, cohort, engine), read in zip(self._planned, prepared, strict=True):
            if engine.alone and not cohort.over_all:
                batch.step(read, count)
            else:
                together.append((batch.run(read, count), cohort.over_all))
        if together or self._across is not None:
            with torch.set_grad_enabled(self.differentiable):
                run_together(together, self._across)

    def one_call(self, same: SameObjects) -> StepInOneCall | None:
        """Return how to step in one call, or None where batches or engine have no such way.

        `same` compares the parameters and states of the optimizer.
        """
        if self.differentiable or not self._planned or self._across is not None:
            return None
        calls: list[Any] = []
        for batch, _, cohort, engine in self._planned:
            offered = getattr(batch, "one_call", None)
            together = len(self._planned) > 1 and (cohort.over_all or not engine.alone)
            made = None if together or not offered else offered(same, cohort.rows, self._lines)
            if made is None:
                return None
            calls.append(made)
        return calls[0] if len(calls) == 1 else StepInCalls(calls)

    def _check_graph(self, numbers: Sequence[Sequence[Any]]) -> None:
        """Refuse to lose a gradient: numbers of the state are kept on the host, without their history."""
        for cohort in self._cohorts:
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
                            "differentiable: p, state = chain.step(p, g, state, lr=…)."
                        )

    def describe(self, each: bool = False) -> str:
        """Return what runs how, and why no engine before could have it: a line for each batch, or tensor."""
        if each:
            return "\n".join(text for _, text in sorted(self._of_each()))
        order = sorted(self._planned, key=lambda each: (not each.alone, each.positions))
        return "\n".join("; ".join((each.batch.describe(), *self._reasons(each))) for each in order)

    def _of_each(self) -> Iterator[tuple[int, str]]:
        """Yield the place of each member, and which engine steps it, and why."""
        for planned in self._planned:
            for k in planned.positions:
                member, p = self.members[k], self.members[k].param
                what = f"{tuple(p.shape)} {str(p.dtype).removeprefix('torch.')} {p.device}"
                words = f"{member.called}  {planned.engine.name}, {what}"
                yield k, "; ".join((words, *self._reasons(planned, [k])))

    def _reasons(self, planned: _Planned, positions: Sequence[int] | None = None) -> list[str]:
        """Return why the engines that were asked before did not get a batch, or some members of it."""
        found = []
        for engine in self._engines[: list(self._engines).index(planned.engine)]:
            problem = engine.problem(planned.cohort.program)
            whys = [
                problem or self._must_wait(engine, k) or engine.refusal(self.members[k])
                for k in positions or planned.positions
            ]
            found.append(f"not {engine.name}: {', '.join(dict.fromkeys(filter(None, whys)))}")
        return found
