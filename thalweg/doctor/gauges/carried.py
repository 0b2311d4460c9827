"""Whether a gradient still contains that of the step before: a loop that forgot zero_grad."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.doctor.undisturbed import as_found, outputs_of
from thalweg.objective.nested import mapped

EXPLAINED = 0.05
"""What two gradients leave of a third, as a share of the part that was carried over."""
APART = 1e-3
"""1 - cos² of two gradients from which on a sum of them can be told from one alone."""


class CarriedGradient:
    """Keeps the gradient of the first step, and finds how much of it the second step's gradient contains."""

    def __init__(self) -> None:
        self._first: dict[str, Tensor] = {}

    def keep(self, model: nn.Module) -> None:
        """Keep the gradients that a step has left."""
        self._first = _gradients(model)

    def share(
        self,
        model: nn.Module,
        objective: Callable[[Any, Any], Tensor],
        batch: Any,
        before: Mapping[str, Tensor],
    ) -> float:
        """Return b in G₂ = a·g + b·G₁, g the gradient of the batch by the weights `before` the step; NaN
        where G₂ is no such sum, or nothing can be told.
        """
        first, self._first = self._first, {}
        second = _gradients(model)
        names = [name for name in second if name in first and name in before]
        if not names or set(names) != set(second):
            return math.nan
        fresh = _fresh(model, objective, batch, before, names)
        old, new, g = (
            torch.cat([t[n].flatten().double() for n in names]) for t in (first, second, fresh)
        )
        return _coefficient(old, new, g)


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: p.grad.detach().clone()
        for name, p in model.named_parameters()
        if p.grad is not None and not p.grad.is_sparse and not p.is_complex()
    }


def _fresh(
    model: nn.Module,
    objective: Callable[[Any, Any], Tensor],
    batch: Any,
    before: Mapping[str, Tensor],
    names: list[str],
) -> dict[str, Tensor]:
    """Return the gradient of a batch by other weights, zeros where there is none."""
    inputs, targets = batch
    weights = {name: before[name].detach().clone().requires_grad_() for name in names}
    with as_found(model), torch.enable_grad():
        value = objective(outputs_of(model, inputs, weights), mapped(targets, torch.clone))
        found = torch.autograd.grad(value, list(weights.values()), allow_unused=True)
    pairs = zip(weights.items(), found, strict=True)
    return {name: torch.zeros_like(w) if g is None else g for (name, w), g in pairs}


def _coefficient(old: Tensor, new: Tensor, fresh: Tensor) -> float:
    """Return b of the least squares new ≈ a·fresh + b·old; NaN where that does not explain `new`."""
    a, b, c = float(fresh @ fresh), float(fresh @ old), float(old @ old)
    determinant = a * c - b * b
    if not determinant > APART * a * c > 0:
        return math.nan
    u, v = float(fresh @ new), float(old @ new)
    of_fresh, of_old = (c * u - b * v) / determinant, (a * v - b * u) / determinant
    left = float((new - of_fresh * fresh - of_old * old).norm())
    explained = left < EXPLAINED * abs(of_old) * math.sqrt(c)
    return of_old if explained and of_fresh > 0 else math.nan
