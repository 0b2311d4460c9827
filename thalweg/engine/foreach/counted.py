"""Step numbers and scalar states that live on the device: counted there, and read by nobody else.

What depends on them, or on a hyperparameter that is a tensor of the device, is a vector over the tensors of a
param group; all else is a plain number, as in any step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.cohort import Cohort
from thalweg.engine.foreach.graph import choosers
from thalweg.engine.member import Member
from thalweg.engine.precision import has_double
from thalweg.engine.program.printing import host_function
from thalweg.engine.program.program import Program, Value
from thalweg.errors import EngineError


class Counted:
    """The numbers of the members of one param group, which are on one device.

    Raises:
        EngineError: a matrix function is given the number of the step, or what depends on it.
    """

    def __init__(self, cohort: Cohort, members: Sequence[Member]) -> None:
        self._cohort, self._program = cohort, cohort.program
        self._group, self._device = members[0].group, members[0].param.device
        self._steps, *scalars = cells(members)
        self._scalars = scalars[: len(self._program.scalar_outputs)]
        self._host = host_function(self._program)
        self._known: dict[tuple[bool, ...], frozenset[Value]] = {}
        self._last: float | None = None
        """The number of the last step outside a graph, where what is computed is chosen by it."""
        self._vectors(())  # what no hyperparameter can change is refused before anything steps

    def _given(self) -> list[Any]:
        return [
            x if isinstance(x, Tensor) and x.device == self._device else float(x)
            for x in self._cohort.numbers[self._group]
        ]

    def _vectors(self, given: Sequence[Any]) -> frozenset[Value]:
        """Return which of the numbers that a step reads are vectors, where these are given."""
        key = tuple(isinstance(x, Tensor) for x in given)
        if key not in self._known:
            self._known[key] = self._found(key)
        return self._known[key]

    def _found(self, on_device: Sequence[bool]) -> frozenset[Value]:
        program = self._program
        names = {program.scalars[0], *program.scalar_outputs}
        given = zip(program.scalars[1:], on_device, strict=False)
        names |= {name for name, there in given if there}
        found = frozenset(v for v in program.host_reads if names & program.scalars_behind(v))
        for v in program.matrices:
            vectors = [x for x in v.operands if x in found] if v.op == "matrix" else []
            chosen = vectors and getattr(v.data.function, "chosen_by_step", False)
            if vectors and not (chosen and all(self._is_of_step(x, on_device) for x in vectors)):
                raise EngineError(
                    f"capturable=True was asked for, but {program.label} gives the matrix function "
                    f"{v.data.label!r} a number that is on the device, such as the step. Leave out "
                    "capturable=True, or make the hyperparameter a plain number."
                )
        return found

    def _is_of_step(self, x: Value, on_device: Sequence[bool]) -> bool:
        """Whether a number depends on nothing of the device but the number of the step."""
        program = self._program
        given = zip(program.scalars[1:], on_device, strict=False)
        others = {name for name, there in given if there} | set(program.scalar_outputs)
        return not others & program.scalars_behind(x)

    def advance(self, is_captured: bool = False) -> list[Any]:
        """Count a step; return what it reads: vectors over the members, and plain numbers, and after them
        those by which matrix functions choose.

        Raises:
            EngineError: a vector is given to a matrix function, which takes plain numbers.
        """
        given = self._given()
        vectors = self._vectors(given)
        chosen = self._chosen(given, vectors, is_captured)
        torch._foreach_add_(self._steps, 1.0)
        old = map(torch.stack, self._scalars)
        reads, new = self._host.on_device(torch.stack(self._steps), *given, *old)
        for kept, x in zip(self._scalars, new, strict=True):
            torch._foreach_copy_(kept, list(self._vector(x).unbind()))
        columns = zip(self._program.host_reads, reads, strict=True)
        return [*(self._vector(x) if v in vectors else _plain(x) for v, x in columns), *chosen]

    def _chosen(
        self, given: Sequence[Any], vectors: Collection[Value], is_captured: bool
    ) -> list[Any]:
        """Return the numbers by which matrix functions choose, which are those of this step.

        Outside a graph the host asks for its number, since a graph may have counted; a captured step comes
        after the last of these.
        """
        wanted = choosers(self._program, vectors)
        if not wanted:
            return []
        if not is_captured or self._last is None:
            self._last = self._next_step()
        step = self._last + 1 if is_captured else self._last
        plain = [1.0 if isinstance(x, Tensor) else x for x in given]  # which these do not depend on
        reads, _ = self._host(step, *plain, *(1.0 for _ in self._scalars))
        known = dict(zip(self._program.host_reads, reads, strict=True))
        return [known[v] for v in wanted]

    def _next_step(self) -> float:
        """Return the number of the step that is to be counted; this waits for the device."""
        taken = set(torch.stack(self._steps).tolist())
        if len(taken) > 1:
            numbers = ", ".join(f"{n:g}" for n in sorted(taken))
            raise EngineError(
                "capturable=True was asked for, but the tensors of a param group have taken different "
                f"numbers of steps, {numbers}, and {self._program.label} chooses by it what a matrix "
                "function computes. Give every tensor a gradient, or put those that have none at times into "
                "an optimizer of their own."
            )
        return float(taken.pop()) + 1

    def _vector(self, x: Any) -> Tensor:
        size = (len(self._steps),)
        if isinstance(x, Tensor):
            return x.to(self._device).expand(size)
        dtype = torch.bool if isinstance(x, bool) else torch.float64
        return torch.full(size, x, dtype=dtype, device=self._device)


def _plain(x: Any) -> Any:
    """Return a number of the host; after a division by zero it is a tensor there."""
    return x.item() if isinstance(x, Tensor) else x


def cells(members: Sequence[Member]) -> list[list[Tensor]]:
    """Return for each number that members keep on the device its views."""
    return [[m.state[name] for m in members] for name in members[0].kept]


def refuse_uncountable(program: Program, device: torch.device) -> None:
    """Refuse to keep step numbers on a device that has no float64.

    Raises:
        EngineError: it has none.
    """
    if not has_double(device):
        raise EngineError(
            f"capturable=True was asked for, but {device.type} has no float64, in which steps are counted "
            f"and the scalars of {program.label} computed. Leave out capturable=True."
        )
