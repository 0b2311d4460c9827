"""The objective as a sum of squares: residuals r with J = ½‖r‖², for methods that use their Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import _reduction

from thalweg.errors import TaskError
from thalweg.objective.losses import Loss, setting_of
from thalweg.objective.penalty import L2, Penalties, Penalty, penalized

Residuals = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> r, with J = ½‖r‖² of the batch."""

_FACTORS = {"mse_loss": 1.0, "half_mse": 0.5}

_NEEDS_SQUARES = (
    "{name} minimizes ½‖r‖² and needs the residuals r of the cost; {what} is not a sum of squares. These "
    "are: the losses 'mse' and 'half_mse', torch.nn.MSELoss and functional.mse_loss, with weights or "
    "without, and beside them the penalty L2. LBFGS, BFGS and SSBroyden take any cost."
)


def residuals_of(loss: Loss, penalty: Penalty | None, model: nn.Module, name: str) -> Residuals:
    """Return the residuals of the objective of a model: those of each element, then those of the penalty.

    A mean over N elements gives √(2/N)·(ŷ − y), a weight w in a mean √(2w/Σw)·(ŷ − y), a sum √2·(ŷ − y), half
    of a mean √(1/N)·(ŷ − y); the penalty λΣ|w|² gives √(2λ)·w.

    Raises TaskError, for the optimizer `name`, where loss or penalty is not a sum of squares.

    >>> r = residuals_of(Loss("mse_loss", nn.functional.mse_loss), None, nn.Identity(), "LM")
    >>> float(r(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])).square().sum() / 2)
    2.0
    """
    if loss.name not in _FACTORS:
        raise TaskError(_NEEDS_SQUARES.format(name=name, what=f"the loss {loss.name}"))
    terms = _squared(penalty)
    if terms is None:
        kind = getattr(penalty, "__name__", type(penalty).__name__)
        raise TaskError(_NEEDS_SQUARES.format(name=name, what=f"the penalty {kind}"))
    weights = [
        (math.sqrt(2 * term.strength), penalized(model, term.include_biases))
        for term in terms
        if term.strength
    ]

    def residuals(outputs: Any, targets: Any) -> Tensor:
        parts = [_scale(loss, outputs) * (outputs - targets)]
        parts += [scale * _real(w) for scale, each in weights for w in each]
        return torch.cat([part.reshape(-1) for part in parts])

    return residuals


def _scale(loss: Loss, outputs: Tensor) -> Tensor | float:
    """Return what the elements' differences are multiplied by."""
    function, factor = loss.function, 2 * _FACTORS[loss.name]
    averaged, reduced = (setting_of(function, old, None) for old in ("size_average", "reduce"))
    reduction = setting_of(function, "reduction", "mean")
    if averaged is not None or reduced is not None:
        reduction = _reduction.legacy_get_string(averaged, reduced, emit_warning=False)
    weight = setting_of(function, "weight", None)
    if weight is None:
        return math.sqrt(factor if reduction == "sum" else factor / max(outputs.numel(), 1))
    if bool((weight < 0).any()):
        raise TaskError(
            f"A weight of the loss {loss.name} is negative: its objective is not a sum of squares."
        )
    scale: Tensor = (factor * weight / (1.0 if reduction == "sum" else weight.sum())).sqrt()
    return scale


def _squared(penalty: Penalty | None) -> list[L2] | None:
    """Return a penalty as terms L2, None where it has others."""
    terms = (
        () if penalty is None else penalty.terms if isinstance(penalty, Penalties) else (penalty,)
    )
    squared = [term for term in terms if isinstance(term, L2)]
    return squared if len(squared) == len(terms) else None


def _real(w: Tensor) -> Tensor:
    return torch.view_as_real(w) if w.is_complex() else w
