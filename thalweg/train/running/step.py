"""One training step: forward pass, loss and penalty, backward pass, step of the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from thalweg.objective.cost import Cost
from thalweg.objective.losses import Loss
from thalweg.objective.nested import mapped
from thalweg.objective.residuals import Residuals
from thalweg.objective.weight import Weight
from thalweg.objective.weighted import count_rows
from thalweg.train.health.moment import Moment
from thalweg.train.optimizers.known import (
    gradient_cleaner,
    needs_closure,
    needs_residuals,
    observer_of,
)


class Forward(NamedTuple):
    """What a forward pass gave.

    `loss` is L of the batch, `weight` what it weighs in the loss of the set, `rows` the number of
    its rows. `targets` are as the loss wants them.
    """

    loss: Tensor
    weight: Weight
    rows: int
    outputs: Any
    targets: Any


Autocast = Callable[[], AbstractContextManager[Any]]
"""Makes a context in which PyTorch chooses the type that each operation computes in."""


def residuals_for(
    optimizer: torch.optim.Optimizer, cost: Cost, model: nn.Module
) -> Residuals | None:
    """Return the residuals of a cost where the optimizer asks for them.

    Raises:
        TaskError: where the cost has none.
    """
    if not needs_residuals(optimizer):
        return None
    return cost.bind_residuals(model, type(optimizer).__name__)


class TrainingStep:
    """The parts of a training step, always in this order: outputs, loss L, objective J = L + λΩ, the
    old gradients cleared, the gradient of J, the step.

    Args:
        model: the model, in the mode in which it trains.
        optimizer: steps its parameters.
        loss: L.
        penalty: λΩ, bound to the model; None without one.
        residuals: those of J, for an optimizer whose closure returns them (`residuals_for`).
        is_matched: whether targets come as the loss wants them (`Loss.match`).
        by_rows: whether each batch weighs its rows, for certain or because nobody asks.
        autocast: makes the context in which outputs and loss are computed; None for none.

    `at` says how far a step is, for messages on what fails. `observed` is what an optimizer that asks for
    outputs has computed of the last ones, in forward passes.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        penalty: Callable[[], Tensor] | None,
        *,
        residuals: Residuals | None = None,
        is_matched: bool = False,
        by_rows: bool = False,
        autocast: Autocast | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.penalty = penalty
        self.residuals = residuals
        self.is_matched = is_matched
        self.by_rows = by_rows
        self.autocast = autocast
        self.by_closure = needs_closure(optimizer)
        self.observe = observer_of(optimizer)
        self.observed = 0
        self.begin_epoch(Moment(0))

    def begin_epoch(self, at: Moment) -> None:
        """Say how far training is, and look again which gradients there are to clear."""
        self.at = at
        self.clear = gradient_cleaner(self.optimizer, self.model)

    def count(self, inputs: Any, targets: Any) -> int:
        """Return the number of rows in a batch."""
        return len(targets) if self.is_matched else count_rows(targets, inputs)

    def forward(self, inputs: Any, targets: Any) -> Forward:
        """Compute the loss of a batch."""
        if self.autocast is None:
            return self._forward(inputs, targets)
        with self.autocast():
            found = self._forward(inputs, targets)
        return found._replace(outputs=mapped(found.outputs, _widened))

    def _forward(self, inputs: Any, targets: Any) -> Forward:
        at = self.at
        at.inputs, at.part = inputs, "model"
        rows = self.count(inputs, targets)
        outputs = self.model(inputs)
        at.outputs, at.part = outputs, "loss"
        if not self.is_matched:
            targets = self.loss.match(outputs, targets)
        if self.observe is not None:
            self.observed = self.observe(outputs, targets, self.loss)
        if self.by_rows:
            return Forward(self.loss(outputs, targets), rows, rows, outputs, targets)
        loss, weight = self.loss.measured(outputs, targets, rows)
        return Forward(loss, weight, rows, outputs, targets)

    def objective(self, loss: Tensor) -> Tensor:
        """Return J of a batch whose loss this is."""
        return loss if self.penalty is None else loss + self.penalty()

    def asked(self, found: Forward) -> Tensor:
        """Return what a closure gives the optimizer: the objective, or its residuals."""
        if self.residuals is None:
            return self.objective(found.loss)
        return self.residuals(found.outputs, found.targets)

    def backward(self, objective: Tensor) -> None:
        """Replace the gradients by that of the objective."""
        self.clear()
        self.at.part = "backward"
        torch.autograd.backward(objective)

    def gradient(self, inputs: Any, targets: Any, backward: bool = True) -> Tensor:
        """Compute what a closure gives of a batch, and its gradient; return the former.

        Without `backward`, or where gradients are switched off, there is no gradient.
        """
        objective = self.asked(self.forward(inputs, targets))
        if backward and torch.is_grad_enabled():
            self.backward(objective)
        return objective

    def take(self, inputs: Any, targets: Any) -> None:
        """Take a whole step on a batch. It costs what a step of `fit` costs, which reads each loss."""

        def closure(backward: bool = True) -> Tensor:
            found = self.forward(inputs, targets)
            found.loss.item()
            objective = self.asked(found)
            if backward and torch.is_grad_enabled():
                self.backward(objective)
            return objective

        if self.by_closure:
            self.optimizer.step(closure)  # type: ignore[arg-type]  # torch annotates floats
        else:
            closure()
            self.optimizer.step()


def _widened(x: Tensor) -> Tensor:
    """Return outputs as the metrics want them: of bfloat16 in float32."""
    return x.float() if x.dtype == torch.bfloat16 else x
