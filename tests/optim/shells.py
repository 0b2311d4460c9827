"""A shell as Lightning and Fabric put around an optimizer: of its class, passing on what it lacks."""

from __future__ import annotations

from typing import Any

import torch


class Shell:
    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        kind = type(optimizer)
        # so that isinstance holds; the constructor of the optimizer's class never runs
        self.__class__ = type("Shell" + kind.__name__, (Shell, kind), {})

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._optimizer

    def step(self, closure: Any = None) -> Any:
        return self._optimizer.step(closure)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)
