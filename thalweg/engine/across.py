"""Reductions over the tensors of several processes, where each process steps some of them, or a part of each.

At a stage every process sends its shares of all reductions that any process may have there, so that those
without a gradient, or without a parameter, send what changes nothing and nobody waits for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from thalweg.engine.passes import Partials, reductions_over_all
from thalweg.engine.program.program import Program

Names = tuple[str, ...]


class AcrossProcesses:
    """The reductions of a step, over the processes of some process groups.

    Args:
        groups: the process groups to reduce over, one after the other.
        programs: those by which any of the processes steps a parameter, the same in each process.
        device: where the processes talk to each other.
        count: returns the number of elements that are stepped in all processes.
    """

    def __init__(
        self,
        groups: Sequence[Any],
        programs: Iterable[Program],
        device: torch.device,
        count: Callable[[], int],
    ) -> None:
        self._groups, self._device, self.count = groups, device, count
        by_stage: list[set[Names]] = []
        for over_all in map(reductions_over_all, programs):
            by_stage += [set() for _ in range(len(over_all) - len(by_stage))]
            for here, names in zip(by_stage, over_all, strict=False):
                here.update({names} if names else ())
        self._by_stage = [sorted(names) for names in by_stage]

    @property
    def stages(self) -> int:
        """The number of stages after which processes talk to each other, or may do so."""
        return max((k + 1 for k, names in enumerate(self._by_stage) if names), default=0)

    def whole(self, stage: int, here: Mapping[Names, Partials]) -> dict[Names, Partials]:
        """Return the reductions of a stage over all processes, from those over the tensors of this one."""
        kinds = self._by_stage[stage] if stage < len(self._by_stage) else []
        if not kinds:
            return dict(here)
        places = [(names, k) for names in kinds for k in range(len(names))]
        shares = torch.stack([self._share(here, names, k) for names, k in places])
        largest = torch.tensor([names[k] == "max" for names, k in places], device=self._device)
        # a maximum over processes may lose a NaN, a sum does not
        sums = torch.where(largest & ~shares.isnan(), 0.0, shares)
        maxima = shares.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        for group in self._groups:
            torch.distributed.all_reduce(sums, group=group)
            if any("max" in names for names in kinds):
                torch.distributed.all_reduce(maxima, torch.distributed.ReduceOp.MAX, group=group)
        found = torch.where(largest, maxima + sums, sums)
        values = iter(found.tolist() if self._device.type == "cpu" else found)
        return {**here, **{names: tuple(next(values) for _ in names) for names in kinds}}

    def _share(self, here: Mapping[Names, Partials], names: Names, k: int) -> torch.Tensor:
        given = here.get(names)
        share = (-math.inf if names[k] == "max" else 0.0) if given is None else given[k]
        return torch.as_tensor(share, dtype=torch.float64, device=self._device)
