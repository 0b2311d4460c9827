"""Checks of a fresh model on one batch: what its outputs mean to the loss, and what has no gradient."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from thalweg.doctor.checks import check_outputs, check_pairs
from thalweg.doctor.forks.remedies import advice
from thalweg.doctor.symptoms.outputs import MixedRows, RandomEvaluation, WrongOutputs
from thalweg.doctor.symptoms.pairs import MixedLoss, UnpairedLoss
from thalweg.doctor.undisturbed import matching
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Watched
from thalweg.objective.cost import Cost
from thalweg.objective.nested import tensors_in

AT_ONCE = (MixedRows(), RandomEvaluation(), WrongOutputs(), UnpairedLoss(), MixedLoss())
"""What can be seen of outputs before the first step."""


def model_verdicts(
    model: nn.Module, optimizer: torch.optim.Optimizer, cost: Cost, batch: tuple[Any, Any]
) -> list[Verdict]:
    """Return what is to be said of a fresh model by its outputs and gradients on one batch."""
    loss = matching(cost.surrogate)
    watched = Watched(model, optimizer, loss_name=cost.surrogate.name)
    watched.check = check_outputs(watched, loss, [batch])
    watched.pairs = check_pairs(watched, loss, batch)
    found = [verdict for symptom in AT_ONCE for verdict in symptom.looks(watched)]
    return found + without_gradient(model, cost, batch)


def without_gradient(model: nn.Module, cost: Cost, batch: tuple[Any, Any]) -> list[Verdict]:
    """Return a warning on parameters that the loss does not depend on.

    The model is copied, and stays as it is.
    """
    inputs, targets = batch
    model = copy.deepcopy(model).train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    outputs = model(inputs)
    if not any(t.requires_grad for t in tensors_in(outputs)):
        return []  # training will say what cuts the graph
    loss = matching(cost.surrogate)(outputs, targets)
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    unused = [name for name, g in zip(trained, gradients, strict=True) if g is None]
    if not unused:
        return []
    numbers = sum(trained[name].numel() for name in unused)
    more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
    return [
        Verdict(
            "unused_parameters",
            Statistic("numbers that the loss does not depend on", float(numbers), high=0.0),
            kind="warning",
            status="confirmed",
            where=unused[0],
            words=f"No gradient reaches {', '.join(unused[:3])}{more}.",
            remedy=advice("use", "use them in forward, or leave them out"),
        )
    ]
