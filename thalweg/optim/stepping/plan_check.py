"""Checks that a cached plan is still valid: groups, parameters, states and numbers are what it was made for.

The checks are the larger part of the time that Python spends in a step, so each thing is read once, and loops
are left to C where they can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.backend import StepInOneCall
from thalweg.engine.cohort import LossScale
from thalweg.engine.plan import Plan
from thalweg.engine.program.program import Program
from thalweg.engine.same import same_objects
from thalweg.errors import EngineError, sentence
from thalweg.optim.stepping.checks import TEXTS, Group, all_params
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.keeping import PLAIN, SMALLEST, Keeping, KeptStates, kept_states

USED = 2
"""Steps after which a plan is worth a compiled function of its own."""


class Reader:
    """How the groups of one composition and one set of switches are read."""

    def __init__(
        self,
        composition: Composition,
        group: Group,
        state_names: Mapping[str, str],
        keeping: Keeping = PLAIN,
    ) -> None:
        made = composition.chain
        self._places, self._state_names, self._keeping = made.places, state_names, keeping
        self._kept: dict[Any, KeptStates] = {}
        self.program: Program = made.program(
            {**made.hyperparameters, **composition.switches(group)}
        )
        numeric = [n for n in made.hyperparameters if n not in made.switches]
        self._named = [(name, composition.getter(name)) for name in ("lr", *numeric)]
        self._getters = [get for _, get in self._named]
        self.names = tuple(state_names.get(s, s) for s in made.states)
        self.matrix_states = {
            state_names.get(s, s): x for s, x in self.program.matrix_states.items()
        }
        own = (*self.program.states, *self.program.matrix_states)
        self.tensors_kept = tuple(state_names.get(s, s) for s in own)
        kept = self.program.kept
        self.numbers_kept = ("step", *(state_names.get(s, s) for s in kept))
        self.fresh = (0.0, *(made.scalar_states[s] for s in kept))

    def kept(self, p: Tensor) -> KeptStates:
        """Return how the states of a parameter are kept, and the program that steps it."""
        key = (p.dtype, p.numel() >= SMALLEST)
        if key not in self._kept:
            self._kept[key] = kept_states(
                self._keeping, self._places, self.program, self._state_names, p
            )
        return self._kept[key]

    def numbers(
        self, group: Group, k: int, differentiable: bool = False, on_device: bool = False
    ) -> list[Any]:
        """Return lr and the hyperparameters of the k-th group, as numbers.

        For a differentiable step, what requires a gradient stays the tensor that it is, and for a step on the
        device every tensor does: nothing waits for its number.
        """
        try:
            return [_number(get(group), differentiable, on_device) for get in self._getters]
        except (TypeError, ValueError, KeyError, IndexError, RuntimeError):
            raise self._problem(group, k) from None

    def _problem(self, group: Group, k: int) -> Exception:
        """Return the error of the first hyperparameter that is not a number."""
        for name, get in self._named:
            try:
                value = get(group)
                _number(value)
            except KeyError as error:
                return KeyError(
                    f"Param group {k} lacks the entry {error}, from which {name} is read."
                )
            except IndexError:
                return TypeError(f"Param group {k} has too few numbers to read {name} from them.")
            except (TypeError, ValueError, RuntimeError) as error:
                return TypeError(
                    f"param group {k} has {name}={value!r}, which is not a number: {sentence(error)} "
                    "A schedule is "
                    "given to the constructor or to add_param_group; between steps set numbers."
                )
        return EngineError(f"The numbers of param group {k} changed while they were read.")


def _number(value: Any, differentiable: bool = False, on_device: bool = False) -> Any:
    if type(value) is float:
        return value
    if on_device and isinstance(value, Tensor) and value.numel() == 1:
        return value.detach()
    if isinstance(value, Tensor) and value.requires_grad:
        return value if differentiable else float(value.detach())
    if isinstance(value, TEXTS):  # float() reads them
        raise TypeError(f"it is a {type(value).__name__}")
    return float(value)


class CachedNumbers:
    """The hyperparameters of the k-th group as numbers, read again when an entry of the group is replaced."""

    def __init__(self, reader: Reader, k: int, differentiable: bool, on_device: bool) -> None:
        self.reader, self._k = reader, k
        self._differentiable, self._on_device = differentiable, on_device
        self._entries: list[Any] | None = None
        self.numbers: list[Any] = []

    def is_same(self, find_reader: Callable[[Group], Reader], group: Group) -> bool:
        """Read the group; return whether it is still stepped by the same program."""
        entries = list(group.values())
        if (
            self._entries is not None
            and len(entries) == len(self._entries)
            and all(map(is_, entries, self._entries))
        ):
            return True
        if find_reader(group) is not self.reader:
            return False
        self.numbers = self.reader.numbers(group, self._k, self._differentiable, self._on_device)
        # a list or a tensor may change without being another object
        frozen = all(_is_frozen(value) for name, value in group.items() if name not in _LISTS)
        self._entries = entries if frozen else None
        return True


_LISTS = ("params", "param_names")


def _is_frozen(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_frozen, value))
    return value is None or isinstance(value, (bool, int, float, str))


class CheckedPlan:
    """A plan with the groups, parameters and states that it was made for; it steps these alone."""

    def __init__(
        self,
        plan: Plan,
        params: list[Tensor],
        absent: list[Tensor],
        readers: list[Reader],
        states: list[dict[str, Any]],
        compiled: bool = True,
    ) -> None:
        self.plan = plan
        self._params = params
        self._absent = absent
        self._cached = [
            CachedNumbers(reader, k, plan.differentiable, plan.on_device)
            for k, reader in enumerate(readers)
        ]
        self._same = same_objects(params, states, compiled)
        self._steps = 0
        self._one_call: StepInOneCall | None = None

    def is_for(self, params: Sequence[Tensor]) -> bool:
        """Whether these are the parameters the plan was made for, and their states are still there."""
        return (
            len(params) == len(self._params)
            and all(map(is_, params, self._params))
            and self.plan.holds()
        )

    def step(
        self, optimizer: torch.optim.Optimizer, find_reader: Callable[[Group], Reader]
    ) -> bool:
        """Step, if nothing has changed that the plan relies on; otherwise change nothing."""
        groups, states = optimizer.param_groups, optimizer.state
        params = groups[0]["params"] if len(groups) == 1 else None
        if type(params) is not list:  # compiled loops go through a list
            params = all_params(groups)
        if len(groups) != len(self._cached):
            return False
        for cached, group in zip(self._cached, groups, strict=True):
            if not cached.is_same(find_reader, group):
                return False
        if self._absent and any(p.grad is not None for p in self._absent):
            return False
        numbers = [cached.numbers for cached in self._cached]
        if self._one_call is not None and self._one_call.step(params, states, numbers):
            return True
        if not (self._same.are_in(params, states) and self.plan.holds()):
            return False
        prepared = self.plan.prepare()
        if prepared is None:  # a gradient is missing, or is another kind of tensor than it was
            return False
        if self.plan.on_device:
            given = (getattr(optimizer, name, None) for name in ("grad_scale", "found_inf"))
            self.plan.run(prepared, numbers, LossScale(*given))
        else:
            self.plan.run(prepared, numbers)
        self._steps += 1
        if self._steps == USED:
            self._one_call = self.plan.one_call(self._same)
        return True
