"""States of a run that forks begin from: the start, and one from the middle of training."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.optim.stepping.scheduled import NUMBER

MOST_BYTES = 2**28
"""Models whose parameters take more are not kept, and not forked."""


class Origin:
    """Parameters, buffers and the optimizer's state at one step, put back by `enter`."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
        self.step = step
        self._tensors = {
            name: tensor.detach().clone() for name, tensor in _named(model, optimizer).items()
        }
        self._state = _copied(optimizer.state_dict())
        self.is_first = not optimizer.state

    def enter(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, lr: float | None = None
    ) -> None:
        """Put a model and its optimizer there; `lr` is that of the first group, if it is to be another."""
        with torch.no_grad():
            for name, tensor in _named(model, optimizer).items():
                tensor.copy_(self._tensors[name])
                if tensor.requires_grad:
                    tensor.grad = None
        optimizer.load_state_dict(_copied(self._state))
        if lr is not None and math.isfinite(lr):
            set_rate(optimizer, lr)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The tensors by name, as they were."""
        return self._tensors


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of the first group; those of the others keep their proportion to it."""
    groups = optimizer.param_groups
    first = float(groups[0].get("lr", math.nan))
    for group in groups:
        if "lr" in group:
            scale_rate(group, lr / first if first > 0 else None, lr)


def scale_rate(group: dict[str, Any], factor: float | None, otherwise: float = 0.0) -> None:
    """Multiply the learning rate of a group, be it a number or a tensor; a schedule does not set it again."""
    if NUMBER in group:
        group[NUMBER] = -1  # that of no schedule
    old = group["lr"]
    new = otherwise if factor is None else float(old) * factor
    group["lr"] = torch.full_like(old, new) if isinstance(old, Tensor) else new


def size_of(model: nn.Module) -> int:
    """Return the bytes of a model's parameters."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def _copied(state: Any) -> Any:
    """Return a copy of a state; `copy.deepcopy` takes ten times as long for each tensor."""
    if type(state) is Tensor:
        return state.detach().clone()
    if type(state) is dict:
        return {key: _copied(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(map(_copied, state))
    return copy.deepcopy(state)


def _named(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return parameters and buffers by name, and those that only the optimizer knows by their place."""
    found: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    known = {id(tensor) for tensor in found.values()}
    stepped = [p for group in optimizer.param_groups for p in group["params"]]
    return found | {f"#{i}": p for i, p in enumerate(stepped) if id(p) not in known}
