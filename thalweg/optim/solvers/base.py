"""What the optimizers over solvers share: groups, state, copies and checkpoints."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from thalweg.optim.solvers.flat import Flat
from thalweg.optim.solvers.outcome import StepResult
from thalweg.optim.stepping.checkpoint import by_name, loaded_state
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.shell import of_itself
from thalweg.optim.stepping.steppable import with_names
from thalweg.optim.stepping.untraced import untraced


class SolverOptimizer(torch.optim.Optimizer):
    """An optimizer whose step runs a solver on a closure.

    All parameters together are one vector, whose state is that of the first parameter. The entries of the
    param groups are those of the solver, so they are the same in all groups.

    `result` says why the last step ended.
    """

    needs_closure: ClassVar[bool] = True
    wants_all_rows: ClassVar[bool] = True
    """It takes differences of gradients, which those of mini-batches drown in noise."""
    result: StepResult | None = None

    @property
    def unseen_passes(self) -> int:
        """What the last step computed in addition to the closure, in forward passes: a backward pass is
        two.
        """
        return 0

    def _begin(self, params: nn.Module | Iterable[Any], defaults: dict[str, Any]) -> None:
        """Make the groups."""
        self._check(defaults)
        torch.optim.Optimizer.__init__(self, with_names(params), defaults)

    def _check(self, entries: Mapping[str, Any]) -> None:
        """Refuse values that the solver cannot use."""
        check_entries(entries)

    def _settings(self) -> Group:
        """Return the entries of the groups, which are those of the solver.

        Raises:
            ValueError: where groups differ.
        """
        first = self.param_groups[0]
        for group in self.param_groups[1:]:
            for name in self.defaults:
                if name in group and group[name] != first[name]:
                    raise ValueError(
                        f"{type(self).__name__} takes one step for all parameters, so {name} must be the "
                        f"same in all param groups; got {first[name]!r} and {group[name]!r}. Give different "
                        "parameters optimizers of their own."
                    )
        self._check(first)
        return first

    @property
    def _kept(self) -> dict[str, Any]:
        """The state of all parameters together, which is that of the first one."""
        state: dict[str, Any] = self.state[self.param_groups[0]["params"][0]]
        return state

    def step(self, closure: Callable[..., Any]) -> Any:  # type: ignore[override]
        """Take up to `max_iter` iterations, and return what the closure returned first.

        `torch.compile` does not look into it: a step in a compiled function is the step as it is here.
        """
        if is_compiling():
            return _outside_the_graph(self, closure)
        with torch.no_grad():
            return self._take(closure)

    def _take(self, closure: Callable[..., Any]) -> Any:
        """Take a step, where no gradients are computed."""
        raise NotImplementedError

    # -- PyTorch's optimizer --------------------------------------------------------------------------

    @of_itself
    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; what it does not say is as in the groups that are there."""
        groups = self.__dict__.get("param_groups") or []
        if groups and isinstance(param_group, dict):
            known = {name: groups[0][name] for name in self.defaults if name in groups[0]}
            param_group = {**known, **param_group}
            self._check(param_group)
        before = Flat(groups) if groups else None
        super().add_param_group(param_group)
        if before is not None:
            state = self.state.get(before.params[0])
            if state:
                self._grow(state, before, Flat(self.param_groups))

    def _grow(self, state: dict[str, Any], before: Flat, after: Flat) -> None:
        """Change the state for the parameters that were added."""

    def _permute(self, state: dict[str, Any], order: Tensor, places: Sequence[int]) -> None:
        """Change the state to another order of the parameters.

        `order` is where each number was, `places` where each parameter is now.
        """

    @of_itself
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state of this class, or of PyTorch's of the same name.

        Parameters are matched by name where both sides know names, otherwise by position.
        """
        here, there = by_name(self.param_groups), by_name(state_dict.get("param_groups", ()))
        loaded_state(self, state_dict)
        states = [state for p, state in self.state.items() if state]
        if not states:
            return
        (kept,) = states[:1]
        flat = Flat(self.param_groups)
        if here is not None and there is not None and here.keys() == there.keys():
            saved = [here[name] for name in there]
            if any(a is not b for a, b in zip(saved, flat.params, strict=True)):
                now = {id(p): k for k, p in enumerate(flat.params)}
                self._permute(kept, flat.order_of(saved), [now[id(p)] for p in saved])
        self.state = defaultdict(dict, {flat.params[0]: kept})

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "result": self.result}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)


@untraced
def _outside_the_graph(optimizer: SolverOptimizer, closure: Callable[..., Any]) -> Any:
    return optimizer.step(closure)


def check_entries(entries: Mapping[str, Any]) -> None:
    """Refuse values that no solver here can use.

    Raises ValueError.
    """
    for name in ("lr", "tolerance_grad", "tolerance_change", "tol"):
        value = entries.get(name)
        if value is None:
            continue
        if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
            raise ValueError(f"Invalid {name}: {value!r}; it must be a number, not a schedule.")
        least = 0.0 if name in ("lr", "tol") else -math.inf  # a negative tolerance is never met
        if not (least <= float(value) and math.isfinite(value)):
            raise ValueError(f"Invalid {name}: {value!r}; it must be finite, and not negative.")
        if name == "tol" and float(value) >= 1:
            raise ValueError(
                f"Invalid tol: {value!r}; it must be below 1, a share of the largest gradient."
            )
    for name in ("max_iter", "max_eval", "history_size"):
        value = entries.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"Invalid {name}: {value!r}; it must be an integer of at least 1.")
