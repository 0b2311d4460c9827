"""A step on behalf of other optimizers: of their parameters, by their groups, states and chains."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from thalweg.engine.backends import Engine
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.stepper import Stepper


class OnBehalf(Stepper):
    """Steps parameters of its owners, each by the chain by which its owner would step it.

    The states are the owners' own dictionaries: what one writes the other reads.
    """

    def _begin(self, groups: list[Group], states: Any, engine: Engine) -> None:
        """Take over groups and states as they are: a constructor would copy and check them."""
        self.__setstate__({"defaults": {}, "state": states, "param_groups": groups})
        self.engine = engine
        self._schedules = {}

    def owner_of(self, group: Group) -> Stepper:
        """Return the optimizer that a group belongs to."""
        raise NotImplementedError

    def composition(self, group: Group) -> Composition:
        """Return the chain by which its owner steps a group."""
        return self.owner_of(group).composition(group)

    def form(self, group: Group, p: Tensor) -> Composition:
        """Return the chain by which its owner steps a parameter of a group."""
        return self.owner_of(group).form(group, p)
