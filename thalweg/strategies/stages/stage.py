"""A stage of a strategy, and what is known of it when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.train.callbacks import Callback
from thalweg.train.run import BaseRecipe

Models = tuple[nn.Module, ...]
"""The trained models of the stages before, in their order."""

Log = list[dict[str, float]]
"""Figures by name, a dictionary for each epoch."""

StageRecipe = Callable[[BaseRecipe, Models], BaseRecipe]
"""Makes the recipe of a stage from the whole recipe and the models of the stages before."""


def unchanged(recipe: BaseRecipe, models: Models) -> BaseRecipe:
    """Return the recipe as it is."""
    return recipe


def as_trained(model: nn.Module) -> nn.Module:
    """Return the model as it is."""
    return model


@dataclass(frozen=True)
class Stage:
    """One training run of a strategy.

    Args:
        name: what it is called, in records and messages.
        make: its recipe; given are the recipe of the whole, with this stage's share of the budget, and
            the models that the stages before have trained. A stage that is resumed makes it again.
        share: of the budget of the whole; shares count in proportion to their sum.
        callbacks: told of this stage alone.
        is_judged: whether its validation figures are those of the task. Else they are left out of
            history and evaluations, and no target or early stopping is looked at.
        row_passes: forward passes over a row that making it costs, as for the losses of a first model.
        log: what the stage has to say at its end, such as the mixture of each epoch.
        finish: returns the model that is handed on of the one that was trained, as where it was wrapped.

    Raises:
        TaskError: for a share that is not a number above 0.
    """

    name: str
    make: StageRecipe = unchanged
    share: float = 1.0
    callbacks: tuple[Callback, ...] = ()
    is_judged: bool = True
    row_passes: int = 0
    log: Callable[[], Log] = list
    finish: Callable[[nn.Module], nn.Module] = as_trained

    def __post_init__(self) -> None:
        if not (is_real(self.share) and 0 < self.share < float("inf")):
            raise TaskError(
                f"The share of stage {self.name!r} must be a number > 0; got {self.share!r}."
            )


@dataclass(frozen=True)
class StageRecord:
    """What a stage has spent, and why it stopped; `gradients` in the unit of the whole.

    `log` is what a strategy says of each epoch, such as the mixture that a curriculum drew.
    """

    name: str
    epochs: int
    steps: int
    gradients: float
    seconds: float
    stopped: str
    log: tuple[dict[str, float], ...] = ()
