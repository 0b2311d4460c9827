"""One arm of a fork: what is trained for some steps, and what a remedy may change of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from thalweg.doctor.undisturbed import loss_on
from thalweg.train.optimizers.known import needs_closure

Batches = list[tuple[Any, Any]]
"""Pairs of inputs and targets."""


class Steppable(Protocol):
    """An optimizer, as far as a fork uses it."""

    @property
    def zero_grad(self) -> Callable[..., Any]:
        """Forget the gradients."""

    @property
    def step(self) -> Callable[..., Any]:
        """Step, with a closure if it wants one."""


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
        averages: whether it ends at the mean of its weights over the last three quarters of its steps.
        measured: the loss by which it is measured, where that is another one.
        evaluates: whether it is measured in evaluation mode.
        steps: of the run, one for each batch of the pool.
    """

    model: nn.Module
    optimizer: Steppable
    batches: Batches
    probe: Batches
    pool: Batches
    loss: Callable[[Any, Any], Tensor]
    penalty: Callable[[nn.Module], Tensor] | None = None
    seed: int = 0
    clip: float | None = None
    averages: bool = False
    measured: Callable[[Any, Any], Tensor] | None = None
    evaluates: bool = False
    steps: tuple[int, ...] = ()

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's param groups."""
        return list(getattr(self.optimizer, "param_groups", ()))

    def train(self) -> None:
        """Take a step on each batch."""
        total: list[Tensor] = []
        begin = len(self.batches) // 4
        by_closure = needs_closure(self.optimizer)  # type: ignore[arg-type]
        for place, batch in enumerate(self.batches):
            if self.averages and place >= begin:
                total = self._added(total)
            closure = self._closure(batch)
            if by_closure:
                self.optimizer.step(closure)
            else:
                closure()
                self.optimizer.step()
        if total:
            with torch.no_grad():
                for p, each in zip(self.model.parameters(), total, strict=True):
                    p.copy_(each / (len(self.batches) - begin))

    def _added(self, total: list[Tensor]) -> list[Tensor]:
        now = [p.detach().clone() for p in self.model.parameters()]
        return now if not total else [a + b for a, b in zip(total, now, strict=True)]

    def _closure(self, batch: tuple[Any, Any]) -> Callable[[], Any]:
        def closure(backward: bool = True) -> Tensor:
            self.optimizer.zero_grad()
            loss = loss_on(self.model, self.loss, batch)
            if self.penalty is not None:
                loss = loss + self.penalty(self.model)
            if backward and torch.is_grad_enabled():
                loss.backward()  # type: ignore[no-untyped-call]
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            return loss

        return closure

    def measure(self) -> float:
        """Return the mean loss of the probe, in the mode of training if no other is asked for."""
        if self.evaluates:
            self.model.eval()
        loss = self.measured or self.loss
        with torch.no_grad():
            losses = [float(loss_on(self.model, loss, batch)) for batch in self.probe]
        return sum(losses) / len(losses)
