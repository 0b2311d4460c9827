"""Strategies for residual branches, which scale what is there: draw the weights before."""

from __future__ import annotations

import math

import torch

from thalweg.init.strategies.strategy import Drawing, Setup, named_parameters, of_model, per_layer


@per_layer("branch_end")
def scaled_branches(task: Drawing, factor: float | None = None) -> None:
    """Multiply the last layer of each residual branch by 1/√(number of branches), so that their sum does not
    grow with depth (GPT-2: 1/√(2L) for L blocks of two branches).

    Args:
        factor: instead of 1/√(number of branches).
    """
    scale = 1 / math.sqrt(max(1, task.layer.branches)) if factor is None else float(factor)
    task.scale(scale)


@per_layer("branch_end")
def zero_branches(task: Drawing) -> None:
    """Set the last layer of each residual branch to 0, weights and bias: every block begins as the
    identity.
    """
    task.put(torch.zeros(task.layer.matrix().shape))
    task.put_bias(0.0)


@per_layer("hidden", "output")
def fixup(task: Drawing) -> None:
    """Scale a residual network without normalization as Fixup does (Zhang et al. 2019): the last layer of
    each branch and the output layer are 0, the other layers of a branch are multiplied by L^(−1/(2m−2)) for L
    branches of m layers, and biases are 0.

    Fixup's scalar biases and multipliers are parts of the model, which are not added. Draw the weights
    before: `init.he() | init.fixup()`.
    """
    layer = task.layer
    if layer.branch_end or (layer.kind == "output" and layer.branches):
        task.put(torch.zeros(layer.matrix().shape))
    elif layer.branch_layers > 1:
        power = -1 / (2 * layer.branch_layers - 2)
        task.scale(layer.branches**power)
    task.put_bias(0.0)


@of_model(
    "hidden", "output", "recurrent", "embedding", "norm", "other", data_driven=False, reads=False
)
def parameter(setup: Setup, name: str, value: float = 0.0) -> None:
    """Set the parameters of a name to a number: the multiplier of a branch to 0 is SkipInit (De and Smith
    2020) and ReZero (Bachlechner et al. 2020).

    Args:
        name: of the parameters; `*` stands for any text.
        value: the number.
    """
    for each, tensor in named_parameters("parameter", setup.model, name):
        with torch.no_grad():
            tensor.fill_(float(value))
        setup.notes[each] = (setup.strategy, None)
