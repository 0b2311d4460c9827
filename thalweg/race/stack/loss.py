"""The losses of a stack: one number a model, from the outputs of all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.objective import Cost
from thalweg.objective.losses import Loss
from thalweg.objective.penalty import L1, L2, Penalties, penalized
from thalweg.objective.squares import squares
from thalweg.objective.weighted import Weighted
from thalweg.race.stack.errors import StackError

Losses = Callable[[Any, Any, bool], Tensor]
"""(outputs of all models, targets, whether all models have the same targets) -> one loss a model."""

_FEW_CLASSES = 64
"""Up to so many classes the softmax is taken over a middle axis, where PyTorch takes it for many
rows at a time: ten times as fast for ten classes.
"""


def losses_of(surrogate: Loss, targets: Tensor | Weighted) -> Losses:
    """Return what computes the surrogate of every model; `targets` are all that it will be given."""

    if isinstance(targets, Weighted):
        return functools.partial(_weighted_losses, surrogate)

    def by_map(outputs: Any, targets: Any, shared: bool) -> Tensor:
        return torch.vmap(surrogate, (0, None if shared else 0))(outputs, targets)

    if not (_is_plain_cross_entropy(surrogate) and _are_classes(targets, surrogate.ignore_index)):
        return by_map

    def by_hand(outputs: Any, targets: Any, shared: bool) -> Tensor:
        # (models, rows, classes) and no other axis, and few classes
        if not (isinstance(outputs, Tensor) and outputs.ndim == 3 and targets.ndim == 2 - shared):
            return by_map(outputs, targets, shared)
        if outputs.shape[2] > _FEW_CLASSES:
            return by_map(outputs, targets, shared)
        if shared:
            targets = targets.expand(len(outputs), -1)
        losses: Tensor = _CrossEntropy.apply(outputs, targets)  # type: ignore[no-untyped-call]
        return losses

    return by_hand


def _weighted_losses(surrogate: Loss, outputs: Any, given: Weighted, shared: bool) -> Tensor:
    """Return the loss of every model where rows have weights."""
    axis = None if shared else 0

    def alone(outputs: Any, targets: Any, weights: Tensor) -> Tensor:
        return surrogate.weighted(outputs, targets, weights)[0]

    return torch.vmap(alone, (0, axis, axis))(outputs, given.targets, given.weights)


class _CrossEntropy(torch.autograd.Function):
    """−(1/n) Σ log softmax(outputs)[target] of each model, over a middle axis."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        logs = functional.log_softmax(outputs.transpose(1, 2).contiguous(), 1)
        index = targets.unsqueeze(1)
        ctx.save_for_backward(logs, index)
        return -logs.gather(1, index).mean((1, 2))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        logs, index = ctx.saved_tensors
        share = (upstream[0] / index.shape[2])[:, None, None]
        gradient = logs.exp().mul_(share)
        gradient.scatter_add_(1, index, (-share).expand(index.shape))
        return gradient.transpose(1, 2), None


def _is_plain_cross_entropy(surrogate: Loss) -> bool:
    function = surrogate.function
    if isinstance(function, nn.CrossEntropyLoss):
        return (
            type(function) is nn.CrossEntropyLoss
            and function.weight is None
            and function.reduction == "mean"
            and function.label_smoothing == 0.0
        )
    return function is functional.cross_entropy


def _are_classes(targets: Tensor, ignored: int | None) -> bool:
    """Whether every target is a class, and none a row to leave out."""
    whole = not targets.is_floating_point() and targets.ndim == 1
    return whole and bool(((targets >= 0) & (targets != ignored)).all())


class StackedPenalty:
    """The penalties of all models.

    Args:
        cost: whose penalty it is.
        model: one of the models.
        apply: calls a function of the model with the parameters of every model in its place.
    """

    def __init__(
        self,
        cost: Cost,
        model: nn.Module,
        apply: Callable[[Callable[[nn.Module], Tensor]], Tensor],
    ) -> None:
        penalty = cost.penalty
        self._penalty: Any = penalty
        self._apply = apply
        self._terms: list[tuple[Any, list[str]]] | None = None
        terms = penalty.terms if isinstance(penalty, Penalties) else (penalty,)
        if all(isinstance(term, (L1, L2)) for term in terms):
            names = {parameter: name for name, parameter in model.named_parameters()}
            self._terms = [
                (term, [names[p] for p in penalized(model, term.include_biases)])  # type: ignore[union-attr]
                for term in terms
            ]

    def __call__(self, parameters: dict[str, Tensor]) -> Tensor:
        """Return the penalty of every model, given the trainable parameters of all."""
        if self._terms is None:
            return self._apply(self._penalty)
        values = [_of_term(term, names, parameters) for term, names in self._terms]
        return torch.stack(values).sum(0) if len(values) > 1 else values[0]


def _of_term(term: L1 | L2, names: list[str], parameters: dict[str, Tensor]) -> Tensor:
    if not names:
        raise StackError("The penalty acts on no parameter of the model.")
    measure = torch.abs if isinstance(term, L1) else squares
    total: Any = sum(measure(parameters[name]).flatten(1).sum(1) for name in names)
    value: Tensor = term.strength * total
    return value
