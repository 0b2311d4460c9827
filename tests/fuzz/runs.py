"""Training written as a plain loop in PyTorch: what `fit` must come to."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tests.fuzz.losses import Case, divisor

MIN_DELTA = 1e-7
"""More than rounding: which epoch is the best must not hang on the order of a sum."""


@dataclass
class Loop:
    """A plain loop over rows in their order.

    Args:
        case: the loss.
        model: the initial model; it is copied.
        make: makes the optimizer of PyTorch.
        train: inputs and targets.
        validation: inputs and targets, or None.
    """

    case: Case
    model: nn.Module
    make: Callable[[Any], torch.optim.Optimizer]
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor] | None
    batch_size: int | None
    every: int
    strength: float
    steps: int = 0
    seen: int = 0
    """Rows of which a gradient was taken."""
    validation_losses: list[float] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)

    @property
    def gradients(self) -> float:
        """Those taken, of whole batches."""
        rows = len(self.train[0])
        return self.seen / min(self.batch_size or rows, rows)

    def run(self, epochs: int, budget: int | None, patience: int | None) -> None:
        self.model = copy.deepcopy(self.model)
        optimizer = self.make(self.model.parameters())
        best, waited, kept = math.inf, 0, None
        for _ in range(epochs):
            self._epoch(optimizer, budget)
            if self.validation is not None:
                self.validation_losses.append(self.loss(*self.validation))
            if patience is not None:
                value = (self.validation_losses or self.train_losses)[-1]
                if best - value > MIN_DELTA:
                    best, waited, kept = value, 0, copy.deepcopy(self.model.state_dict())
                else:
                    waited += 1
                if waited >= patience:
                    break
            if budget is not None and self.gradients >= budget:
                break
        if kept is not None:
            self.model.load_state_dict(kept)

    def loss(self, x: Tensor, y: Tensor) -> float:
        """Return the loss of a whole set, in one call."""
        with torch.no_grad():
            return float(self.case.function(self.model(x), y))

    def _epoch(self, optimizer: torch.optim.Optimizer, budget: int | None) -> None:
        x, y = self.train
        size = self.batch_size or len(x)
        held: list[tuple[Tensor, Tensor]] = []
        losses, weights = [], []
        for a, b in zip(x.split(size), y.split(size), strict=True):
            value = self.loss(a, b)
            if not math.isfinite(value):
                continue  # all its targets are ignored, or of classes without weight: 0/0
            held.append((a, b))
            losses.append(value)
            weights.append(divisor(self.case, b))
            self.seen += len(a)
            if len(held) == self.every:
                self._step(optimizer, held)
            if budget is not None and self.gradients >= budget:
                break
        if held:
            self._step(optimizer, held)
        total = sum(v * w for v, w in zip(losses, weights, strict=True))
        self.train_losses.append(total if self.case.sums else total / sum(weights))

    def _step(self, optimizer: torch.optim.Optimizer, held: list[tuple[Tensor, Tensor]]) -> None:
        """Step on the rows of several batches as one."""
        x, y = (torch.cat(parts) for parts in zip(*held, strict=True))
        optimizer.zero_grad()
        objective = self.case.function(self.model(x), y)
        if self.strength:
            weights = [p for name, p in self.model.named_parameters() if name.endswith("weight")]
            penalty = self.strength * torch.stack([w.square().sum() for w in weights]).sum()
            # gradients of sums add up, those of the penalty too
            objective = objective + (len(held) if self.case.sums else 1) * penalty
        objective.backward()
        optimizer.step()
        held.clear()
        self.steps += 1
