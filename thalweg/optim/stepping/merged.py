"""Optimizers of many models as one: a single fused step, with a row of numbers for each model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.backends import backends
from thalweg.engine.program.program import Program
from thalweg.errors import ThalwegError
from thalweg.optim.stepping import scheduled
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.on_behalf import OnBehalf
from thalweg.optim.stepping.plan_check import Reader
from thalweg.optim.stepping.stepper import Stepper

_INHERITED = (
    *("step", "_step", "_advance", "_move", "_reader", "_backends", "_open_states"),
    "zero_grad",
)
"""What a merged step does in its own way, so that an optimizer's must be the common one. The chain of a
group and the form for a parameter are asked of the owner."""
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


class Merged(OnBehalf):
    """Steps the parameters of several optimizers, its owners, as each of them would.

    The param groups and the states are the owners' own objects, so that an owner may be asked for its
    learning rate or its average at any time. An owner whose schedule fails is noted in `failed` and
    its parameters are from then on stepped by the last values.
    """

    failed: dict[int, Exception]
    """By the number of the owner."""

    def __init__(self, owners: Sequence[Stepper]) -> None:
        groups = [group for owner in owners for group in owner.param_groups]
        states: dict[Any, Any] = defaultdict(dict)
        for owner in owners:
            for group in owner.param_groups:
                for p in group["params"]:
                    states[p] = owner.state[p]
        self._begin(groups, states, "auto")
        self._owner_of = {id(group): owner for owner in owners for group in owner.param_groups}
        self._scheduled = [
            (number, owner, group)
            for number, owner in enumerate(owners)
            for group in owner.param_groups
            if owner.schedules_of(group)
        ]
        self._same: dict[Any, Reader] = {}
        self.failed = {}

    def owner_of(self, group: Group) -> Stepper:
        """Return the optimizer that a group belongs to."""
        return self._owner_of[id(group)]

    def _reader(self, group: Group, p: Tensor | None = None) -> Reader:
        owner = self.owner_of(group)
        composition = owner.composition(group) if p is None else owner.form(group, p)
        key = (composition, type(owner), owner.keeping, *composition.switches(group).values())
        reader = self._same.get(key)
        if reader is None:
            reader = self._same[key] = Reader(composition, group, owner.state_names, owner.keeping)
        return reader

    def _advance(self) -> None:
        for number, owner, group in self._scheduled:
            try:
                scheduled.apply([group], owner._schedules, owner._checked)
            except Exception as error:
                self.failed[number] = error
        if self.failed:
            self._scheduled = [each for each in self._scheduled if each[0] not in self.failed]
        self._move()
        for _, owner, group in self._scheduled:
            scheduled.count_step([group], owner._schedules)


def can_merge(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the steps of several such optimizers may be one: it steps every tensor by itself, by kernels
    or lists, and nothing else happens at its step.
    """
    if not isinstance(optimizer, Stepper) or optimizer.engine != "auto":
        return False
    kind = type(optimizer)
    if any(getattr(kind, name) is not getattr(Stepper, name) for name in _INHERITED):
        return False
    if "step" in vars(optimizer) or any(getattr(optimizer, name) for name in _HOOKS):
        return False
    if optimizer.defaults.get("differentiable"):
        return False
    if not optimizer.keeping.is_plain:  # how a number is rounded depends on the place of its tensor
        return False
    try:
        programs = [
            (optimizer._reader(group, p).program, p.device.type)
            for group in optimizer.param_groups
            for p in group["params"]
        ]
    except (ThalwegError, TypeError, ValueError, KeyError, RuntimeError):
        return False  # its own step says what is wrong
    return not any(couples(program) or _problem(program, device) for program, device in programs)


def _problem(program: Program, device: str) -> str | None:
    """Return why the engine that is the first for a device cannot run a program, or None."""
    first = backends("auto" if device == "cpu" else "foreach")[0]
    return first.problem(program)


def couples(program: Program) -> bool:
    """Whether the step of a tensor depends on the others of its optimizer, or on its place among
    them: by a reduction over all, by their number, or by noise.
    """
    return any(
        (value.is_reduction and value.data == "all")
        or (value.op == "count" and value.data == "all")
        or value.op in ("ordinal", "noise")
        for value in program.reached()
    )
