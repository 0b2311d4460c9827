"""Calls an optimizer's step and tells whether the parameters were updated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from thalweg.train.optimizers.known import with_inner


class Updates:
    """Steps an optimizer, and tells of each call whether the parameters were updated.

    A wrapper may gather several batches for one update (`thalweg.meta.Accumulate`) or leave one out
    (`NonFinite`): it says so by its attribute `stepped`. One that gathers is told what each batch
    weighs, its rows as a rule, and at the end of an epoch steps by what it holds: so k batches of b
    rows give the steps of batches of k·b rows, the smaller one at the end of an epoch included.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer: Any = optimizer
        self._gathering = [each for each in with_inner(optimizer) if hasattr(each, "pending")]
        self._weighted = bool(self._gathering) and _takes_weight(optimizer, self._gathering)
        self._plain = not hasattr(optimizer, "stepped")

    def step(self, weight: float, closure: Callable[[], Any] | None = None) -> bool:
        """Step on a batch of this weight; return whether the parameters were updated."""
        given = () if closure is None else (closure,)
        if self._plain:
            self._optimizer.step(*given)
            return True
        self._optimizer.step(*given, **({"weight": weight} if self._weighted else {}))
        return bool(self._optimizer.stepped)

    def flush(self) -> bool:
        """Step by what was gathered since the last update; return whether there was anything."""
        taken = False
        for each in self._gathering:
            if each.pending:
                each.flush()
                taken = taken or bool(each.stepped)
        return taken


def _takes_weight(optimizer: Any, gathering: list[Any]) -> bool:
    """Return whether a weight given to `optimizer` reaches those that gather means."""
    outer = with_inner(optimizer)
    wanted = [each for each in gathering if getattr(each, "reduction", "mean") == "mean"]
    if not wanted or any(getattr(each, "reduction", "mean") != "mean" for each in gathering):
        return False
    through = outer[: outer.index(wanted[0]) + 1]
    return all(_accepts_weight(each) for each in through)


def _accepts_weight(optimizer: Any) -> bool:
    parameters = inspect.signature(type(optimizer).step).parameters
    return "weight" in parameters or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )
