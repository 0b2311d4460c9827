"""Parameters that are partitioned among processes: with whom a step reduces over all tensors.

`ZeroRedundancyOptimizer` gives the optimizer of each process some of the parameters; a norm over all of them,
or a distance, is then one over all processes. It is found on the stack, since it tells nobody. FSDP1 gives
plain tensors that are parts of several parameters, and does not say with whom they are shared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.across import AcrossProcesses
from thalweg.engine.program.program import Level, Program
from thalweg.errors import ProcessesWarning
from thalweg.optim.stepping.checks import Group, all_params
from thalweg.optim.stepping.distributed import frame_of

FindProgram = Callable[[Group, Tensor], Program]
"""What returns the program of a parameter in a group."""

_ZERO = ("torch.distributed.optim.zero_redundancy_optimizer", "ZeroRedundancyOptimizer")


@dataclass(frozen=True)
class Partition:
    """The parameters that are stepped together with other processes.

    Attributes: `groups`, the process groups; `programs`, those by which any process steps a parameter;
    `params`, the parameters of all processes, in order.
    """

    groups: tuple[Any, ...]
    programs: tuple[Program, ...]
    params: tuple[Tensor, ...]

    def across(self) -> AcrossProcesses:
        """Return the reductions of a step."""
        device = self.params[0].device if self.params else torch.device("cpu")
        return AcrossProcesses(self.groups, self.programs, device, self._count)

    def ordinals(self) -> Mapping[int, int]:
        """Return the place of each parameter among those of all processes, by its id."""
        return {id(p): k for k, p in enumerate(self.params)}

    def _count(self) -> int:
        return sum(p.numel() for p in self.params if p.grad is not None)


def processes_in_group() -> int | None:
    """Return how many processes the default group has, None before there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return None


def partition_of(groups: Sequence[Group], program_of: FindProgram) -> Partition | None:
    """Return with whom the parameters of these groups are stepped, or None where they are all here.

    Warns where they are parts of parameters, and a rule needs the whole of them.
    """
    if (processes_in_group() or 1) == 1:
        return None
    frame = frame_of(*_ZERO, "_local_step")
    if frame is not None:
        zero = frame.f_locals["self"]
        programs = _programs(zero.param_groups, program_of)
        return Partition((zero.process_group,), programs, tuple(all_params(zero.param_groups)))
    if any(getattr(p, "_fsdp_flattened", False) for p in all_params(groups)):
        _warn_of_parts(_programs(groups, program_of))
    return None


def _programs(groups: Iterable[Group], program_of: FindProgram) -> tuple[Program, ...]:
    return tuple(dict.fromkeys(program_of(group, p) for group in groups for p in group["params"]))


def _warn_of_parts(programs: Iterable[Program]) -> None:
    for program in programs:
        why = needs_whole(program, over_all=True)
        if why is not None:
            warnings.warn(
                f"{program.label} {why}, but FullyShardedDataParallel (FSDP1) shows each process a part of "
                "the parameters, so it is that of the part. Use fully_shard (FSDP2) or "
                "DistributedDataParallel, or a rule that steps each element by itself, as AdamW",
                ProcessesWarning,
                stacklevel=2,
            )
            return


def needs_whole(program: Program, over_all: bool = False) -> str | None:
    """Return why a program cannot step a part of a tensor as it would the whole, or None.

    With `over_all` a reduction over all tensors is a reason, too.
    """
    if program.coded:
        return "keeps states in 8 bits, in blocks of a whole tensor"
    for v in program.reached():
        if (v.is_reduction or v.op == "count") and (over_all or v.data != "all"):
            return f"reduces over {'all tensors' if v.data == 'all' else 'each tensor'}"
        if v.level == Level.MATRIX or v.op in ("rows", "columns"):
            return "sees each parameter as a matrix"
        if v.op == "noise":
            return "draws noise by the place of an element in its tensor"
        if v.op == "foreign":
            return f"calls {v.data.label}, which may look at a whole tensor"
    return None
