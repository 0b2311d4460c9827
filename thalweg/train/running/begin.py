"""How a run begins: model and optimizer are built, the data looked at and placed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.generators import Generator, generators_in, generators_of
from thalweg.objective.blame import blame
from thalweg.tasks.data import SPLITS
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.source import ArraySource, Placement, Source
from thalweg.tasks.task import Task
from thalweg.train.callbacks import Callbacks
from thalweg.train.gradients import Computed, gradient_rows
from thalweg.train.health.check import checked
from thalweg.train.restored.point import EvaluationPoint
from thalweg.train.restored.randomness import repeated
from thalweg.train.restored.weights import Weights
from thalweg.train.run import BaseRecipe
from thalweg.train.running.state import State
from thalweg.train.stopping import Tracker


def begin(
    recipe: BaseRecipe, device: torch.device | None, callbacks: Callbacks | None = None
) -> State:
    """Return the state before the first step: model and optimizer built, data looked at and placed.

    The caller has seeded the drawing of weights.
    """
    task = recipe.task
    model = task.build()
    if device is not None:
        model = model.to(device)
    place = place_of(model)
    sources = {
        name: source.placed(place)
        for name in SPLITS
        if (source := getattr(task.data, name)) is not None
    }
    for name, source in sources.items():
        sources[name] = checked(task, model, source, name, place, recipe.batch_size)
    optimizer = recipe.bind(model)
    stop = recipe.early_stopping
    if stop is not None and stop.restore_best:
        _rehearse_restoring(model)
    return State(
        recipe=recipe,
        model=model,
        optimizer=optimizer,
        scheduler=_scheduler(recipe, optimizer),
        train=sources["train"],
        validation=sources.get("validation"),
        place=place,
        penalty=task.cost.bind_penalty(model),
        tracker=None if stop is None else Tracker.of(stop, task.cost),
        point=_point(recipe, optimizer, model, sources["train"], place),
        noise=_generators(task, model),
        defaults=dict(optimizer.defaults),
        computed=Computed(gradient_rows(task)),
        callbacks=callbacks or Callbacks(()),
    )


def _point(
    recipe: BaseRecipe,
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    train: Source,
    place: Placement,
) -> EvaluationPoint:
    order = Order(recipe.seed, recipe.shuffle)
    where = None if isinstance(train, ArraySource) else place

    def inputs() -> Iterator[Any]:
        return (batch[0] for batch in train.batches(recipe.batch_size, order, 1, where))

    isolated = functools.partial(repeated, train, recipe.seed, place.device)
    return EvaluationPoint(optimizer, model, inputs, isolated)


def _rehearse_restoring(model: nn.Module) -> None:
    """Check before training that the model can load its own state again."""
    if all(isinstance(value, Tensor) for value in model.state_dict().values()):
        return
    try:
        Weights.of(model).put(model)
    except Exception as error:  # the model's own functions: anything can be wrong in them
        raise TaskError(
            f"Early stopping could not bring the best parameters back. {blame(error)} Mend the "
            "module's extra state, or use EarlyStopping(restore_best=False)."
        ) from error


def _generators(task: Task, model: nn.Module) -> list[Generator]:
    validation = task.data.validation
    own = [] if validation is None else validation.generators
    found = [*generators_in(model), *generators_of(task.cost), *own]
    return list({id(each): each for each in found}.values())


def _scheduler(recipe: BaseRecipe, optimizer: torch.optim.Optimizer) -> Any:
    if recipe.scheduler is None:
        return None
    scheduler = recipe.scheduler(optimizer)
    missing = [name for name in ("step", "state_dict") if not hasattr(scheduler, name)]
    if missing:
        raise TaskError(
            f"scheduler is a function (optimizer) -> torch learning rate scheduler, such as "
            f"functools.partial(StepLR, step_size=3); it returned {type(scheduler).__name__}."
        )
    plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    if plateau and recipe.scheduler_step == "step":
        raise TaskError(
            "ReduceLROnPlateau looks at the loss after each epoch: use scheduler_step='epoch'."
        )
    return scheduler
