"""The error for a loss that became NaN or infinite, with its likely cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from thalweg.errors import DivergedError
from thalweg.objective.nested import tensors_in
from thalweg.train.health.layers import cause_of_nonfinite
from thalweg.train.run import Run

# No higher rate is advised; a range test ends here.
_HIGHEST = 10.0
# A weight as large as this was brought there by a step that was far too long.
_FAR = 1e6


class FitDivergedError(DivergedError):
    """The DivergedError of `fit`: it carries the run up to the step before, as `run`."""

    run: Run

    def __init__(self, message: str, *, step: int, epoch: int, loss: float, lr: float) -> None:
        super().__init__(message)
        self.step = step
        self.epoch = epoch
        self.loss = loss
        self.lr = lr


def diverged(
    *,
    step: int,
    epoch: int,
    loss: float,
    lr: float,
    losses: Sequence[float],
    model: nn.Module,
    batch: tuple[Any, Any],
    loss_name: str = "it",
) -> FitDivergedError:
    """Return the error for a loss that is not finite; `losses` are the batch losses of the run
    before it.
    """
    cause = likely_cause(losses, lr, model, batch, loss_name)
    message = f"The loss became {loss} at step {step} (epoch {epoch}) with lr {lr:g}. {cause}"
    return FitDivergedError(message, step=step, epoch=epoch, loss=loss, lr=lr)


def likely_cause(
    losses: Sequence[float],
    lr: float,
    model: nn.Module,
    batch: tuple[Any, Any],
    loss_name: str = "it",
) -> str:
    """Return one or two sentences: the likely cause and what to try; `loss_name` is what the loss is
    called.
    """
    if not losses:
        return cause_of_nonfinite(model, *batch, loss_name)
    for value, role in zip(batch, ("inputs", "targets"), strict=True):
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors_in(value)):
            return f"Likely cause: the {role} of this batch hold NaN or infinity. Clean the data."
    spoilt = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    first, last, top = losses[0], losses[-1], max(losses)
    far = any(p.detach().abs().max() > _FAR for p in model.parameters() if p.numel())
    if top > 10 * abs(first) + 1e-12 or spoilt or far:
        grew = f" (the loss had grown from {first:.4g} to {top:.4g})" if top > first else ""
        return (
            f"Likely cause: the learning rate is too high{grew}. "
            f"{_lower(lr, 'Try lr {}, or clip the gradient.')}"
        )
    return (
        f"The loss had been {last:.4g} the step before. Likely cause: the logarithm or root of "
        f"zero, or a division by zero, in the model or the loss. "
        f"{_lower(lr, 'If not, lr {} may help.')}"
    )


def _lower(lr: float, advice: str) -> str:
    """Return the advice with a tenth of a rate in it, or how to find one where that is no better."""
    if lr / 10 <= _HIGHEST:
        return advice.format(f"{lr / 10:g}")
    return (
        "The rate is far above the usual: `thalweg lr TASK`, in Python find_lr(task, optimizer), "
        "suggests one."
    )
