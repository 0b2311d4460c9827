"""What a stack must know of a task before it begins: `try_task` finds it out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.race.stack.errors import StackError
from thalweg.tasks.sources.weighted import Rows
from thalweg.train.machine.devices import is_cpu
from thalweg.train.restored.modes import evaluating

CPU = torch.device("cpu")
ROWS = 4
"""Rows of a trial pass; batch normalization needs more than one."""


@dataclass(frozen=True)
class Probe:
    """What was found.

    `train` and `validation` are placed and matched as `fit` does. `written` names the parameters and
    buffers that a forward pass in training writes; `draws` and `draws_measured` say whether the model
    draws random numbers in training and in evaluation; `device` is where it is.
    """

    train: Rows
    validation: Rows | None
    written: frozenset[str]
    draws: bool
    draws_measured: bool
    device: torch.device = CPU


OFF_THE_CPU = 0.02
"""How far, of the largest, numbers of one model may lie apart on a device that is not the CPU: a GPU may
round the operands of a product to 10 bits, and do so in a stack and not alone."""


def _bounds(alone: Tensor) -> dict[str, float]:
    if is_cpu(alone.device):
        return {"rtol": 1e-3, "atol": 1e-5}
    return {"rtol": 0.0, "atol": OFF_THE_CPU * float(alone.abs().max())}


def check_outputs(stacked: Tensor, modules: list[nn.Module], inputs: Tensor) -> None:
    """Refuse models that compute something else in the stack than alone: they hold numbers that are
    neither parameters nor buffers, or look at their parameters as no stack can show them.

    Raises:
        StackError: with the reason.
    """
    for k, module in enumerate(modules):
        with evaluating(module):
            alone = module(inputs.clone())
        if not torch.allclose(stacked[k], alone, **_bounds(alone), equal_nan=True):
            raise StackError(
                "The model gives other outputs in a stack than alone: it holds random numbers that are "
                "no parameters or buffers, or treats its parameters in a way that a stack cannot show."
            )
