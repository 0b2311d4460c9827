"""Error messages for what a user's model, loss or data raise during training."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError, ThalwegError
from thalweg.objective.blame import blame
from thalweg.objective.nested import describe_batch
from thalweg.train.health.layers import refusing_layer
from thalweg.train.health.moment import Moment
from thalweg.train.restored.modes import evaluating

NO_GRADIENT = (
    "The loss {} has no gradient with respect to the model's parameters: it was cut off on the way, by "
    ".detach(), .item(), NumPy, torch.no_grad() or an operation such as argmax, in the loss or in the "
    "model."
)
ONE_ROW = (
    "Choose another batch size or another share for validation, so that no single row is left over, or "
    "give a DataLoader with drop_last=True."
)


def failure(
    error: Exception,
    at: Moment,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: str,
) -> Exception:
    """Return the error to raise instead of `error`: one that says where, and what to do; `error`
    itself where it says so already, or memory has run out. `loss` is the name of the loss.
    """
    if "does not require grad" in str(error) and not isinstance(error, ThalwegError):
        return TaskError(NO_GRADIENT.format(loss))
    if at.part == "optimizer":
        return failed_step(error, at, optimizer)
    what = {
        "data": "The training set fails",
        "model": "The model fails in training",
        "loss": f"The loss {loss} fails",
        "backward": "The backward pass fails",
        "metrics": "The metrics of the training set fail",
        "validation": "The validation set cannot be measured",
    }[at.part]
    return _with_place(error, at, what, model)


def failed_step(error: Exception, at: Moment, optimizer: torch.optim.Optimizer) -> Exception:
    """Return the error to raise for what an optimizer's step or its scheduler raised."""
    return _with_place(
        error, at, f"The step of {type(optimizer).__name__}, or its scheduler, fails"
    )


def _with_place(
    error: Exception, at: Moment, what: str, model: nn.Module | None = None
) -> Exception:
    where = f"in epoch {at.epoch}, batch {at.batch}" if at.batch else f"in epoch {at.epoch}"
    if isinstance(error, ThalwegError):
        if type(error) not in (TaskError, DataError) or f"epoch {at.epoch}" in str(error):
            return error
        return type(error)(f"{where[0].upper()}{where[1:]}: {error}")
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return error
    batch = "" if model is None else _of_batch(at, model)
    return TaskError(f"{what} {where}{batch}. {blame(error)}{_advice(at, error)}")


def _of_batch(at: Moment, model: nn.Module) -> str:
    if at.part == "model":
        layer = refusing_layer(model, at.inputs, training=True)
        return f" ({describe_batch(at.inputs)}{f'; {layer}' if layer else ''})"
    if at.part != "loss":
        return ""
    shown = f" (outputs: {describe_batch(at.outputs)})"
    if isinstance(at.outputs, Tensor):
        return shown
    with contextlib.suppress(Exception), evaluating(model):
        usual = model(at.inputs)
        if type(usual) is not type(at.outputs):
            shown = (
                f": in training the model gives {describe_batch(at.outputs)}, in evaluation mode "
                f"{describe_batch(usual)}, so the loss must be a function of yours that takes both"
            )
    return shown


def _advice(at: Moment, error: Exception) -> str:
    return f" {ONE_ROW}" if at.part == "model" and is_about_one_row(error) else ""


def is_about_one_row(error: BaseException) -> bool:
    """Return whether a normalizing layer refuses a batch that gives one value a channel."""
    return "Expected more than 1 value per channel" in str(error)
