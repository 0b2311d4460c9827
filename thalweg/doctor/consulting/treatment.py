"""From a remedy to a recipe: what the doctor advises, done."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch

from thalweg.doctor.before.rows import sets_of
from thalweg.doctor.verdict import Remedy
from thalweg.numeric import is_schedule
from thalweg.tasks.encode import Scaler
from thalweg.tasks.sources.source import ArraySource
from thalweg.tasks.sources.weighted import WeightedSource, arrays_of
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import isolated, seed_weights


def treated(recipe: Recipe, remedy: Remedy) -> Recipe | None:
    """Return the recipe with what a remedy says; None where that is not part of a recipe, such as a change
    of the model.
    """
    parts: dict[str, Any] = {}
    for name, value in remedy.settings.items():
        change = _CHANGES.get(name)
        found = None if change is None else change(recipe, value)
        if found is None:
            return None
        parts |= found
    return recipe.replace(**parts) if parts else None


def _rate(recipe: Recipe, factor: float) -> dict[str, Any] | None:
    lr: Any = recipe.lr
    if is_schedule(lr):
        return {"lr": lr * factor} if hasattr(lr, "__mul__") else None
    if lr is None:
        lr = _own(recipe, "lr")
    return None if lr is None else {"lr": float(lr) * factor}


def _decay(recipe: Recipe, factor: float) -> dict[str, Any] | None:
    old = _own(recipe, "weight_decay")
    if old is None:
        return None
    return {"hyperparameters": {**recipe.hyperparameters, "weight_decay": old * factor}}


def _own(recipe: Recipe, name: str) -> float | None:
    """Return a hyperparameter of the optimizer as it is built."""
    with isolated():
        seed_weights(recipe.seed, torch.device("cpu"))
        group = recipe.bind(recipe.task.build()).param_groups[0]
    value = group.get(name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _batch(recipe: Recipe, factor: int) -> dict[str, Any] | None:
    rows, size = recipe.task.data.train.rows, recipe.batch_size
    if size is None:
        return None
    return {"batch_size": size * factor if rows is None else min(size * factor, rows)}


def _shuffle(recipe: Recipe, value: bool) -> dict[str, Any] | None:
    # a loader has an order of its own
    is_ours = isinstance(recipe.task.data.train, (ArraySource, WeightedSource))
    return {"shuffle": "epoch"} if value and is_ours and recipe.shuffle != "epoch" else None


def _scale(recipe: Recipe, how: str) -> dict[str, Any] | None:
    """Return the data with standardized inputs, by the figures of the training rows."""
    data = recipe.task.data
    sets = dict(sets_of(data))
    if how != "standard" or data.scaler is not None or data.columns is not None:
        return None
    if not all(isinstance(source, (ArraySource, WeightedSource)) for source in sets.values()):
        return None
    inputs = _arrays(sets["train"]).inputs
    if not inputs.is_floating_point():
        return None
    scaler = Scaler.standard(inputs)
    scaled = {name: _scaled(source, scaler) for name, source in sets.items()}
    return {"data": dataclasses.replace(data, scaler=scaler, **scaled)}


def _arrays(source: Any) -> ArraySource:
    found: ArraySource = arrays_of(source)
    return found


def _scaled(source: Any, scaler: Scaler) -> Any:
    arrays = _arrays(source)
    plain = ArraySource(scaler(arrays.inputs), arrays.targets)
    return WeightedSource(plain, source.weights) if isinstance(source, WeightedSource) else plain


_CHANGES: dict[str, Callable[[Recipe, Any], dict[str, Any] | None]] = {
    "lr_factor": _rate,
    "clip": lambda recipe, norm: {"clip_norm": norm},
    "weight_decay_factor": _decay,
    "init": lambda recipe, name: {"init": name},
    "shuffle": _shuffle,
    "batch_factor": _batch,
    "scale": _scale,
}
"""What each of a remedy's settings changes in a recipe."""
