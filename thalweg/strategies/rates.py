"""Layer-wise learning rates: each layer's own factor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from thalweg.errors import TaskError
from thalweg.numeric import is_real, is_schedule
from thalweg.optim.optimizer import stepping
from thalweg.schedules import Schedule
from thalweg.strategies.layers import built, layer_of
from thalweg.train.optimizers.choice import is_chain
from thalweg.train.run import BaseRecipe


def with_rates(recipe: BaseRecipe, rates: Mapping[str, float]) -> BaseRecipe:
    """Return the recipe with the learning rate of some layers multiplied: a parameter group for each factor.

    The factor of the longest name that a parameter's name begins with holds; 1 where there is none.

    Raises:
        TaskError: for a layer that is not there, a factor that is not a number ≥ 0, or a recipe without a
            learning rate.
    """
    if not rates:
        return recipe
    model = built(recipe.task)
    for name, factor in rates.items():
        layer_of(model, name)
        if not (is_real(factor) and 0 <= factor < float("inf")):
            raise TaskError(f"The rate of layer {name!r} must be a factor ≥ 0; got {factor!r}.")
    if recipe.lr is None:
        raise TaskError("Layer-wise rates are factors of the learning rate: give lr=….")
    factors = [
        _factor(name, rates)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    chosen = recipe.chosen
    inner = (
        functools.partial(stepping, chosen.factory) if is_chain(chosen.factory) else chosen.factory
    )
    return recipe.replace(
        optimizer=_grouped(inner, factors),
        lr=recipe.rate,
        hyperparameters=chosen.hyperparameters,
    )


def _factor(name: str, rates: Mapping[str, float]) -> float:
    fitting = [layer for layer in rates if name.startswith(f"{layer}.")]
    return rates[max(fitting, key=len)] if fitting else 1.0


def _grouped(inner: Any, factors: list[float]) -> Callable[..., torch.optim.Optimizer]:
    """Return a function (parameters, lr=…) that makes the optimizer with a group for each factor."""

    def with_layer_rates(parameters: Any, lr: Any, **hyperparameters: Any) -> torch.optim.Optimizer:
        groups: dict[float, list[Any]] = {}
        for parameter, factor in zip(parameters, factors, strict=True):
            groups.setdefault(factor, []).append(parameter)
        given = [{"params": own, "lr": _times(lr, factor)} for factor, own in groups.items()]
        made: torch.optim.Optimizer = inner(given, lr=lr, **hyperparameters)
        return made

    return with_layer_rates


def _times(lr: Any, factor: float) -> Any:
    if factor == 1:
        return lr
    if isinstance(lr, Schedule) or not is_schedule(lr):
        return lr * factor
    return lambda k: lr(k) * factor
