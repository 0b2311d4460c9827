"""The optimizers of a stack: those that may, in one fused step; the others one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.meta.wrapper import Wrapper
from thalweg.optim.stepping.merged import Merged, can_merge
from thalweg.optim.stepping.stepper import Stepper
from thalweg.race.stack.errors import StackError
from thalweg.train.optimizers.known import needs_closure, needs_model, with_inner
from thalweg.train.restored.point import EvaluationPoint


class StackStepper:
    """Steps the optimizers of the models of a stack.

    Args:
        optimizers: one a model, in the order of the models.
        schedulers: what follows each step of a model's optimizer, or None.
    """

    def __init__(
        self, optimizers: Sequence[torch.optim.Optimizer], schedulers: Sequence[Any]
    ) -> None:
        self._merged: Merged | None = None
        self._owners: list[int] = []
        together: list[Stepper] = []
        for row, (optimizer, scheduler) in enumerate(zip(optimizers, schedulers, strict=True)):
            if scheduler is None and can_merge(optimizer):
                assert isinstance(optimizer, Stepper)
                self._owners.append(row)
                together.append(optimizer)
        if len(together) > 1:
            self._merged = Merged(together)
        else:
            self._owners = []
        chosen = set(self._owners)
        self._alone = [
            (row, optimizer, scheduler)
            for row, (optimizer, scheduler) in enumerate(zip(optimizers, schedulers, strict=True))
            if row not in chosen
        ]

        self._strangers = {row for row, optimizer, _ in self._alone if not _is_known(optimizer)}

    @property
    def merged(self) -> int:
        """How many models are stepped together."""
        return len(self._owners)

    def step(self) -> dict[int, Exception]:
        """Step every model; return what was raised, by model. Such a model is not stepped again."""
        failed: dict[int, Exception] = {}
        if self._merged is not None:
            self._merged.step()
            if self._merged.failed:
                failed |= {self._owners[k]: error for k, error in self._merged.failed.items()}
                self._merged.failed.clear()
        for row, optimizer, scheduler in self._alone:
            try:
                if row in self._strangers:
                    _step_stranger(optimizer)
                else:
                    optimizer.step()
                if scheduler is not None:
                    scheduler.step()
            except Exception as error:  # whatever it is, the other models go on
                failed[row] = error
        return failed

    def leave(self, row: int) -> None:
        """Step a model no more, where it has an optimizer to itself."""
        self._alone = [each for each in self._alone if each[0] != row]


def _is_known(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer is known to keep no gradient beyond its step."""
    kind = type(optimizer)
    return kind.__module__.startswith("torch.optim.") or isinstance(optimizer, Stepper)


def _step_stranger(optimizer: torch.optim.Optimizer) -> None:
    """Step an optimizer with gradients that it may keep: those of a stack are written again each step."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    own = [p.grad for p in params]
    try:
        for p, gradient in zip(params, own, strict=True):
            p.grad = None if gradient is None else gradient.clone()
        optimizer.step()
    finally:
        for p, gradient in zip(params, own, strict=True):
            p.grad = gradient


class EvaluationPoints:
    """Where the models of a stack are measured: at the averages of the optimizers that keep one."""

    def __init__(
        self, optimizers: Sequence[torch.optim.Optimizer], modules: Sequence[nn.Module]
    ) -> None:
        points = [
            EvaluationPoint(optimizer, module, tuple, contextlib.nullcontext)
            for optimizer, module in zip(optimizers, modules, strict=True)
        ]
        self._points = {row: point for row, point in enumerate(points) if point.is_elsewhere}
        if self._points and keeps_statistics(modules[0]):
            raise StackError(NO_STATISTICS)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the models there, and afterwards back."""
        with contextlib.ExitStack() as stack:
            for point in self._points.values():
                stack.enter_context(point.entered())
            yield

    def go(self, row: int) -> None:
        """Move a model there for good."""
        if row in self._points:
            self._points[row].go()

    def leave(self, row: int) -> None:
        """Measure a model no more."""
        self._points.pop(row, None)


NO_STATISTICS = (
    "The optimizer keeps an average, and batch normalization needs its statistics computed again there, "
    "by a pass of each model over the training set."
)


def keeps_statistics(module: nn.Module) -> bool:
    """Whether a module has layers with running statistics."""
    return any(isinstance(m, _BatchNorm) and m.track_running_stats for m in module.modules())


def refusal(optimizer: torch.optim.Optimizer, module: nn.Module) -> str | None:
    """Return why the model of an optimizer cannot be in a stack, or None."""
    kind = type(optimizer).__name__
    if needs_closure(optimizer):
        return f"{kind} evaluates the objective itself, several times in a step."
    if any(map(needs_model, with_inner(optimizer))):
        return f"{kind} reads the layers of a model while it trains."
    for inside in with_inner(optimizer):
        own = type(inside).zero_grad
        if own not in (torch.optim.Optimizer.zero_grad, Wrapper.zero_grad):
            return f"{type(inside).__name__} has its own way to forget gradients (zero_grad)."
    here = {id(p) for p in module.parameters() if p.requires_grad}
    if any(id(p) not in here for group in optimizer.param_groups for p in group["params"]):
        return f"{kind} steps tensors that are not the model's."
    point = EvaluationPoint(optimizer, module, tuple, contextlib.nullcontext)
    if point.is_elsewhere and keeps_statistics(module):
        return NO_STATISTICS
    return None
