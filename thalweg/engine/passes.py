"""The passes of a step: how tensors and batches go through it stage by stage and reduce together."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.engine.precision import reduced_in
from thalweg.engine.program.program import Program

Partials = tuple[Any, ...]
Pass = Generator[Partials, Partials, Any]
"""One tensor's or batch's way through a step: after each stage it yields its share of the reductions over
all tensors and is sent the whole."""


class Across(Protocol):
    """What reduces over the tensors of other processes, too."""

    @property
    def stages(self) -> int:
        """After how many stages the processes talk to each other."""

    def whole(
        self, stage: int, here: Mapping[tuple[str, ...], Partials]
    ) -> dict[tuple[str, ...], Partials]:
        """Return the reductions of a stage over all processes, from those over the tensors of this one."""


def run_together(
    passes: Sequence[tuple[Pass, Sequence[tuple[str, ...]]]], across: Across | None = None
) -> None:
    """Run passes stage by stage, and give each the reductions over all of them.

    With each pass come, for each stage but the last, the names ("sum" or "max") of its reductions over all
    tensors. Passes with the same names at a stage reduce together, whatever their program. One that
    reduces nothing with others goes to its end in its turn, so parameters on the same memory step one after
    the other. With `across` they reduce together with the passes of other processes, which wait for this
    one even where it has none.
    """
    waiting: dict[int, Partials] = {}
    for k, (each, names_by_stage) in enumerate(passes):
        _resume(k, each, None, waiting)
        while k in waiting and not any(names_by_stage):
            _resume(k, each, (), waiting)
    stage = 0
    while waiting or (across is not None and stage < across.stages):
        wholes: dict[tuple[str, ...], Partials] = {}
        for names in {passes[k][1][stage] for k in waiting}:
            shares = [waiting[k] for k in waiting if passes[k][1][stage] == names]
            wholes[names] = combined(names, shares)
        if across is not None:
            wholes = across.whole(stage, wholes)
        for k in list(waiting):
            each, names_by_stage = passes[k]
            _resume(k, each, wholes[names_by_stage[stage]], waiting)
        stage += 1


def _resume(k: int, each: Pass, sent: Any, waiting: dict[int, Partials]) -> None:
    """Let a pass go on to its next stage by what it is sent: None where it begins."""
    try:
        waiting[k] = each.send(sent)
    except StopIteration:
        waiting.pop(k, None)


def combined(names: Sequence[str], shares: Sequence[Partials]) -> Partials:
    """Return each reduction ("sum" or "max") over the shares that tensors, batches or parts have in it."""
    columns = zip(names, zip(*shares, strict=True), strict=True)
    return tuple(_combine(name, share) for name, share in columns)


def _combine(name: str, partials: Sequence[Any]) -> Any:
    """Reduce over tensors and batches, on the device where they all are, otherwise in float64."""
    if len(partials) == 1:
        return partials[0]
    tensors = all(isinstance(x, Tensor) for x in partials)
    if tensors and len({x.device for x in partials}) == 1:
        stacked = torch.stack([x.to(reduced_in(x.device)) for x in partials])
        return stacked.sum() if name == "sum" else stacked.max()
    numbers = torch.tensor(
        [float(x) for x in partials], dtype=torch.float64, device="cpu"
    )  # max() may lose a NaN
    return float(numbers.sum() if name == "sum" else numbers.max())


def reductions_over_all(program: Program) -> tuple[tuple[str, ...], ...]:
    """Return, for each stage but the last, the reductions over all tensors ("sum" or "max")."""
    return tuple(
        tuple(v.op for v in program.reductions(stage) if v.data == "all")
        for stage in range(program.stages)
    )
