"""What the recipes of a stack must have in common, and may not have."""

from __future__ import annotations

from thalweg.race.stack.errors import StackError
from thalweg.tasks.sources.source import ArraySource
from thalweg.tasks.sources.weighted import WeightedSource
from thalweg.train.recipe import Recipe


def check_stackable(recipe: Recipe) -> None:
    """Refuse what a stack does not know: data that are not arrays, and reasons to stop of one run.

    Raises:
        StackError: with the reason.
    """
    for name in ("train", "validation"):
        source = getattr(recipe.task.data, name)
        if source is not None and not isinstance(source, (ArraySource, WeightedSource)):
            raise StackError(
                f"The {name} set is a data set or a loader of PyTorch's; a stack draws its batches "
                "from arrays in memory. Data.dataset(…, cache=True) reads a data set "
                "into memory, if it draws nothing at random."
            )
    for name in ("early_stopping", "gradient_tolerance", "stop_at"):
        if getattr(recipe, name) is not None:
            raise StackError(f"The models of a stack take the same steps, and {name} is set.")


def check_alike(recipes: list[Recipe]) -> None:
    """Refuse recipes that do not take the same batches in the same number of steps."""
    first = recipes[0]
    for name in ("epochs", "batch_size", "shuffle", "evaluate_every", "gradient_budget", "device"):
        if len({getattr(recipe, name) for recipe in recipes}) > 1:
            raise StackError(f"The trials of a stack have the same {name}; these differ in it.")
    for recipe in recipes:
        if recipe.task.data is not first.task.data or recipe.task.cost is not first.task.cost:
            raise StackError("The trials of a stack have the same data and the same cost.")
