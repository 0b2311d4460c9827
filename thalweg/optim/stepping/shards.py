"""DTensors, of which each process holds a part, and steps it by a stepper of plain tensors.

The states are DTensors, as a distributed checkpoint wants them; the plain tensors share their memory. What
steps each element by itself needs nothing else. Reductions over all tensors go over the processes that hold
the parts (`thalweg.engine.across`). Whatever needs one whole tensor is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.member import called
from thalweg.engine.passes import reductions_over_all
from thalweg.engine.program.program import Program
from thalweg.errors import EngineError
from thalweg.optim.stepping.checks import Group, all_params
from thalweg.optim.stepping.partition import Partition, needs_whole
from thalweg.optim.stepping.steppable import is_sharded, param_names, sharded_problem


class ShardsPlan:
    """How the parameters of an optimizer, some of them DTensors, are stepped; asked as a `CheckedPlan`.

    Args:
        owner: the optimizer.
        stepper: an empty one, which becomes that of the parts.

    Raises:
        EngineError: a rule needs a whole tensor of which this process holds a part.
    """

    def __init__(self, owner: Any, stepper: Any) -> None:
        self._owner, self._stepper = owner, stepper
        self._params = all_params(owner.param_groups)
        # aliases: a gradient that is put there must not stay with the part itself
        self._parts = [_here(p).detach() for p in self._params]
        self._groups = list(owner.param_groups)
        self._readers = [owner._reader(group) for group in self._groups]
        self._published: dict[int, tuple[Tensor, str, Any]] = {}
        programs = self._checked_programs()
        self._begin(self._partition(programs))

    # -- making ---------------------------------------------------------------------------------------

    def _checked_programs(self) -> tuple[Program, ...]:
        """Return the programs of all parameters, once it is known that they can step what is here."""
        owner = self._owner
        if owner.defaults.get("differentiable") or owner._is_capturable():
            raise EngineError(
                "A differentiable or capturable step of DTensors is not possible. Leave that out."
            )
        found: dict[Program, None] = {}
        names = [n for group in owner.param_groups for n in param_names(group)]
        places = [(group, p) for group in owner.param_groups for p in group["params"]]
        for k, (group, p) in enumerate(places):
            program: Program = owner._reader(group, p).kept(p).program
            found[program] = None
            if _mesh_dims(p) is None:
                continue
            why = needs_whole(program)
            if why is not None:
                raise EngineError(sharded_problem(called(k, names[k]), f"{program.label} {why}"))
            if any(each.is_partial() for each in p.placements):
                raise EngineError(
                    f"{called(k, names[k])} is a DTensor whose parts are summands. Redistribute it."
                )
        return tuple(found)

    def _partition(self, programs: tuple[Program, ...]) -> Partition | None:
        """Return with whom the parts are reduced; all of them must be divided in the same way."""
        reducing = [program for program in programs if any(reductions_over_all(program))]
        dims = {_mesh_dims(p) for p in self._params}
        if not reducing or dims == {None}:
            return None
        if len(dims) > 1:
            raise EngineError(
                f"{reducing[0].label} reduces over all tensors, but they are divided among processes in "
                "different ways. Use DTensors of one mesh with the same dimensions of it sharded, as "
                "fully_shard makes them."
            )
        ((mesh, sharded),) = [each for each in dims if each is not None]
        groups = tuple(mesh.get_group(dim) for dim in sharded)
        return Partition(groups, programs, tuple(self._params))

    def _begin(self, partition: Partition | None) -> None:
        """Fill the stepper of the parts: chains and numbers are the owner's."""
        owner, stepper = self._owner, self._stepper
        parts = iter(self._parts)
        groups = [
            {**group, "params": [next(parts) for _ in group["params"]]}
            for group in owner.param_groups
        ]
        states = {
            x: {name: _here(v) for name, v in owner.state[p].items()}
            for p, x in zip(self._params, self._parts, strict=True)
            if isinstance(owner.state.get(p), dict)
        }
        stepper.__setstate__({"defaults": {}, "state": states, "param_groups": groups})
        stepper.param_groups = groups
        owner_of = {id(mine): group for mine, group in zip(groups, owner.param_groups, strict=True)}
        whole = {id(x): p for p, x in zip(self._params, self._parts, strict=True)}
        stepper.engine, stepper.keeping = owner.engine, owner.keeping
        stepper.state_names, stepper._first_ordinal = owner.state_names, owner._first_ordinal
        stepper._schedules, stepper._backends = {}, owner._backends
        stepper.composition = lambda group: owner.composition(owner_of[id(group)])
        stepper.form = lambda group, x: owner.form(owner_of[id(group)], whole[id(x)])
        stepper._partition = lambda: partition

    # -- stepping -------------------------------------------------------------------------------------

    @property
    def plan(self) -> Any:
        """The plan of the last step."""
        return self._stepper._current.plan

    def is_for(self, params: Sequence[Tensor]) -> bool:
        """Whether these are the parameters, in the same memory, and their states are still there."""
        states = self._owner.state
        return (
            len(params) == len(self._params)
            and all(map(is_, params, self._params))
            and all(map(_is_alias, map(_here, params), self._parts))
            and all(states.get(p, {}).get(name) is v for p, name, v in self._published.values())
        )

    def step(self, optimizer: Any, find_reader: Callable[[Group], Any]) -> bool:
        """Step the parts, if nothing has changed that the plan relies on; otherwise change nothing."""
        groups = optimizer.param_groups
        if len(groups) != len(self._groups) or not all(map(is_, groups, self._groups)):
            return False
        if not all(map(is_, map(find_reader, groups), self._readers)):
            return False
        if not self.is_for(all_params(groups)):
            return False
        for mine, group in zip(self._stepper.param_groups, groups, strict=True):
            mine.update({name: v for name, v in group.items() if name != "params"})
        try:
            for p, x in zip(self._params, self._parts, strict=True):
                x.grad = _gradient(p)
            before = self._stepper._current
            self._stepper._move()
        finally:
            for x in self._parts:
                x.grad = None
        if self._stepper._current is not before:
            self._publish()
        return True

    def open_states(self) -> None:
        """Make the states of all parameters that may be trained, as they are before the first step."""
        stepper = self._stepper
        places = [(group, x) for group in stepper.param_groups for x in group["params"]]
        stepper._open_states(
            [
                (x, stepper._reader(group, x))
                for p, (group, x) in zip(self._params, places, strict=True)
                if p.requires_grad
            ]
        )
        self._publish()

    def _publish(self) -> None:
        """Show the states of the parts in the optimizer: tensors as DTensors that share their memory."""
        stepper, shown = self._stepper, {}
        places = [(group, x) for group in stepper.param_groups for x in group["params"]]
        for p, (group, x) in zip(self._params, places, strict=True):
            numbers = stepper._reader(group, x).numbers_kept
            for name, v in stepper.state.get(x, {}).items():
                known = self._published.get(id(v))
                if known is None or known[1] != name:
                    known = (p, name, v if name in numbers else _shown(v, x, p))
                self._owner.state[p][name] = known[2]
                shown[id(v)] = known
        self._published = shown


def _is_alias(a: Tensor, b: Tensor) -> bool:
    places = ((x.data_ptr(), x.shape, x.stride(), x.dtype) for x in (a, b))
    return next(places) == next(places)


def _here(v: Any) -> Any:
    """Return the part of a parameter or state that this process holds; anything else as it is."""
    with torch.no_grad():
        return v.to_local() if is_sharded(v) else v


def _gradient(p: Tensor) -> Tensor | None:
    """Return the part of the gradient that belongs to the part of a parameter."""
    if p.grad is None or not is_sharded(p):
        return p.grad
    g: Any = p.grad
    with torch.no_grad():
        if g.placements != p.placements:  # type: ignore[attr-defined]
            g = g.redistribute(placements=p.placements)  # type: ignore[attr-defined]
        here = g.to_local()
        found: Tensor = here.wait() if hasattr(here, "wait") else here
        return found


def _shown(v: Any, part: Tensor, p: Any) -> Any:
    """Return a state of a part as one of the parameter."""
    if not (isinstance(v, Tensor) and is_sharded(p)):
        return v
    module = sys.modules["torch.distributed.tensor"]
    sizes = {"shape": p.shape, "stride": p.stride()} if v.shape == part.shape else {}
    return module.DTensor.from_local(v, p.device_mesh, p.placements, run_check=False, **sizes)


def _mesh_dims(p: Any) -> tuple[Any, tuple[int, ...]] | None:
    """Return the mesh of a parameter, and along which of its dimensions the parameter is divided."""
    if not is_sharded(p):
        return None
    dims = tuple(k for k, each in enumerate(p.placements) if not each.is_replicate())
    return (p.device_mesh, dims) if dims else None
