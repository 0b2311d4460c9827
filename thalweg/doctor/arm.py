"""One arm of a fork: what is trained for some steps, and what a remedy may change of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.objective.nested import mapped
from thalweg.train.optimizers import needs_closure

Batches = list[tuple[Any, Any]]
"""Pairs of inputs and targets."""


@dataclass
class Arm:
    """A model in training, restored when the fork is over: a remedy changes it in place.

    Args:
        model, optimizer: those of the run.
        batches: what it trains on, a batch a step.
        probe: the batches on which the loss is measured at the end.
        pool: all batches that were kept, for remedies that make other batches of their rows.
        loss: L(outputs, targets).
        penalty: added to it in training; None for none.
        seed: of what a remedy draws.
        clip: the norm to which gradients are cut; None for no clipping.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    probe: Batches
    pool: Batches
    loss: Callable[[Any, Any], Tensor]
    penalty: Callable[[nn.Module], Tensor] | None = None
    seed: int = 0
    clip: float | None = None

    def train(self) -> None:
        """Take a step on each batch."""
        for inputs, targets in self.batches:
            closure = self._closure(inputs, targets)
            if needs_closure(self.optimizer):
                self.optimizer.step(closure)
            else:
                closure()
                self.optimizer.step()

    def _closure(self, inputs: Any, targets: Any) -> Callable[[], Any]:
        def closure(backward: bool = True) -> Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(self.model(mapped(inputs, torch.clone)), mapped(targets, torch.clone))
            if self.penalty is not None:
                loss = loss + self.penalty(self.model)
            if backward and torch.is_grad_enabled():
                loss.backward()  # type: ignore[no-untyped-call]
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            return loss

        return closure

    def measure(self) -> float:
        """Return the mean loss of the probe, in the mode of training."""
        with torch.no_grad():
            losses = [
                float(self.loss(self.model(mapped(x, torch.clone)), mapped(y, torch.clone)))
                for x, y in self.probe
            ]
        return sum(losses) / len(losses)
