"""A remedy for weights that nothing trains: train them, too."""

from __future__ import annotations

import torch
from torch import nn

from thalweg.doctor.forks.arm import Arm
from thalweg.doctor.verdict import Remedy
from thalweg.errors import TaskError
from thalweg.train.optimizers.known import needs_closure


def frozen_in(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    """Return the parameters that want no gradient, or that the optimizer does not know."""
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {
        name: p
        for name, p in model.named_parameters()
        if p.is_floating_point() and not (p.requires_grad and id(p) in stepped)
    }


def thawed(steps: int, *, under: float, least: float) -> Remedy:
    """Train all parameters of the model from where the run ended, by the settings of the first group."""

    def change(arm: Arm) -> None:
        optimizer = arm.optimizer
        if not isinstance(optimizer, torch.optim.Optimizer) or needs_closure(optimizer):
            raise TaskError("The optimizer takes no more parameters while it trains.")
        held = {id(p) for group in arm.groups for p in group["params"]}
        found = frozen_in(arm.model, optimizer)
        for p in found.values():
            p.requires_grad_(True)
        added = [(name, p) for name, p in found.items() if id(p) not in held]
        if added:
            own = dict(arm.groups[0])
            has_names = own.pop("param_names", None) is not None
            own["params"] = added if has_names else [p for _, p in added]
            optimizer.add_param_group(own)

    words = "train these, too: requires_grad=True, and in a group of the optimizer"
    return Remedy(
        "thaw", words, {"thaw": True}, change, from_end=True, under=under, least=least, steps=steps
    )
