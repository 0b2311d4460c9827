"""The rows of a parameter that a sparse gradient has, stepped alone: the others keep their numbers.

Rows are gathered from the parameter and its states, stepped as a tensor of their own by the eager program,
and put back. So a step costs what its rows cost, and a rule that is written for whole tensors becomes one
for embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from thalweg.engine.cohort import Cohort
from thalweg.engine.eager.backend import Eager, EagerBatch
from thalweg.engine.passes import Pass
from thalweg.errors import EngineError


class GatheredRows(Eager):
    """Steps the rows that have a gradient."""

    name = "rows"

    def batch(self, cohort: Cohort, kind: Any, positions: Sequence[int]) -> GatheredBatch:
        """Return the batch of one member."""
        (position,) = positions
        member = cohort.members[position]
        if member.matrix_names:
            raise EngineError(
                f"{cohort.program.label} keeps {', '.join(member.matrix_names)} for whole matrices, and "
                f"{member.called} is stepped by the rows that a sparse gradient has. Leave that rule out, or "
                "give dense gradients."
            )
        return GatheredBatch(cohort, member, cohort.row_of[position])


class GatheredBatch(EagerBatch):
    """The rows of one parameter."""

    def prepare(self) -> Tensor | None:
        """Return the gradient with each row once, or None for one that is not sparse."""
        grad = self._gradient()
        return None if grad is None or not grad.is_sparse else grad.coalesce()

    def run(self, prepared: Tensor, count: int) -> Pass:
        """Compute the program on the rows, then write what it gave; without rows only the step is counted."""
        values = prepared.values()
        if not values.numel():
            return
        where = prepared.indices().unbind()
        member = self._member
        tensors = [member.param, *member.states]
        result = yield from self._program.run(
            [values, *(x[where] for x in tensors)],
            self._cohort.reads[self._row],
            count,
            member.ordinal,
            member.numbers,
        )
        for tensor, rows in zip(tensors, result, strict=False):
            tensor[where] = rows.to(tensor.dtype) if isinstance(rows, Tensor) else rows
        for number, value in zip(member.numbers, result[len(tensors) :], strict=True):
            number.fill_(float(value))

    def describe(self) -> str:
        """Return the shape, the dtype and the device."""
        p = self._member.param
        dtype = str(p.dtype).removeprefix("torch.")
        return f"rows   {tuple(p.shape)} {dtype} {p.device}, those that a sparse gradient has"
