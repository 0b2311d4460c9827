"""What `fit` puts around any optimizer: gradients gathered over batches, and clipped."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.errors import TaskError
from thalweg.meta import Accumulate
from thalweg.train.optimizers.known import needs_closure, with_inner


def around(
    optimizer: torch.optim.Optimizer, accumulate: int, clip_norm: float | None
) -> torch.optim.Optimizer:
    """Return the optimizer so that it steps once in `accumulate` batches, by a gradient whose norm is at
    most `clip_norm`.

    It is clipped just before the innermost optimizer's step, so the gradient of all the batches is.

    Raises:
        TaskError: for an optimizer that evaluates the objective itself.
    """
    if clip_norm is not None:
        _clip_before_steps(optimizer, clip_norm)
    if accumulate == 1:
        return optimizer
    if needs_closure(optimizer):
        raise TaskError(_evaluates_itself("accumulate", optimizer))
    return Accumulate(optimizer, accumulate)


def _clip_before_steps(optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
    inner = with_inner(optimizer)[-1]
    if needs_closure(inner):
        raise TaskError(_evaluates_itself("clip_norm", inner))

    def clip(stepped: Any, *_: Any) -> None:
        parameters = [p for group in stepped.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)

    inner.register_step_pre_hook(clip)


def _evaluates_itself(setting: str, optimizer: torch.optim.Optimizer) -> str:
    return (
        f"{type(optimizer).__name__} evaluates the objective itself, several times a step, so "
        f"{setting} has no gradient to work on. Leave it out."
    )
