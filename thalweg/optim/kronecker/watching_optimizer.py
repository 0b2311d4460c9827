"""What an optimizer of a model's layers shares with others: the rest's optimizer, copies, checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from thalweg.optim.kronecker.groups import KFACSettings, check_entries, parted, put_together
from thalweg.optim.stepping.checkpoint import loaded_state
from thalweg.optim.stepping.checks import Group


class WatchingOptimizer(torch.optim.Optimizer, ABC):
    """An optimizer that watches a model's layers, beside one that steps the rest of the parameters.

    The rest's groups stand behind its own in `param_groups`, so that gradients are cleared and clipped, and
    rates scheduled, in all of them.
    """

    model: nn.Module
    settings: KFACSettings
    rest: torch.optim.Optimizer | None
    _rates: list[float]
    _schedule: Callable[[int], float] | None

    @abstractmethod
    def _attach(self) -> None:
        """Begin to watch the model, for parameters and states as they are now."""

    def _add_rest(self) -> None:
        """Put the rest's groups behind the own ones, and begin to watch."""
        self._rates = []
        if self.rest is not None:
            if self._schedule is not None and not self.defaults["lr"]:
                raise ValueError(
                    "The rest's rates follow lr over its first value, and the schedule of lr begins at 0. "
                    "Give one that begins above 0, or a scheduler of torch.optim, which scales both."
                )
            self._rates = [float(group["lr"]) for group in self.rest.param_groups]
            self.param_groups.extend(self.rest.param_groups)
        self._is_made = True
        self._attach()

    def _follow_schedule(self) -> None:
        """Set the own groups' rates to that of this step, where there is a schedule."""
        if self._schedule is not None:
            for group in self._own_groups():
                group["lr"] = float(self._schedule(self._count))

    def _step_rest(self) -> None:
        """Step the others, their rates changed as that of the first group has."""
        assert self.rest is not None
        now = float(self.param_groups[0]["lr"])
        first = float(self.defaults["lr"])
        ratio = now / first if first else 1.0
        for group, rate in zip(self.rest.param_groups, self._rates, strict=True):
            group["lr"] = rate * ratio
        with torch.enable_grad():
            self.rest.step()

    @property
    def _count(self) -> int:
        """The number of steps taken."""
        return int(self.state[self.param_groups[0]["params"][0]].get("step", 0))

    @_count.setter
    def _count(self, value: int) -> None:
        self.state[self.param_groups[0]["params"][0]]["step"] = value

    def _own_groups(self) -> list[Group]:
        others = 0 if self.rest is None else len(self.rest.param_groups)
        return self.param_groups[: len(self.param_groups) - others]

    def add_param_group(self, param_group: Group) -> None:
        """Add a group while the optimizer is made; later that is refused: its layers are watched already.

        Raises:
            ValueError: for entries that are out of range.
        """
        if getattr(self, "_is_made", False):
            raise ValueError(
                "KFAC watches its layers from the beginning: make another one with params=groups instead of "
                "add_param_group."
            )
        check_entries({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this optimizer and of the rest's as one dictionary."""
        if self.rest is None:
            return super().state_dict()
        every, self.param_groups = self.param_groups, self._own_groups()
        try:
            own = super().state_dict()
        finally:
            self.param_groups = every
        return put_together(own, self.rest.state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; parameters are found by name where both sides know names."""
        if self.rest is None:
            loaded_state(self, state_dict)
        else:
            own = self._own_groups()
            first, second = parted(state_dict, len(own))
            every, self.param_groups = self.param_groups, own
            try:
                loaded_state(self, first)
                self.rest.load_state_dict(second)
            except BaseException:
                self.param_groups = every
                raise
            self.param_groups = [*self.param_groups, *self.rest.param_groups]
        self._attach()

    def __getstate__(self) -> dict[str, Any]:
        names = ("model", "settings", "rest", "_rates", "_schedule")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model" in state:  # a copy, not what a checkpoint holds
            self._is_made = True
            if self.rest is not None:
                self.param_groups = [*self._own_groups(), *self.rest.param_groups]
            self._attach()
