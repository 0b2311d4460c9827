"""What stages cost, in the gradient-equivalents of the whole: their batches may have other sizes."""

from __future__ import annotations

from thalweg.train.gradients import Computed, gradient_rows
from thalweg.train.run import BaseRecipe


def unit_of(recipe: BaseRecipe) -> int:
    """Return how many rows make a gradient-equivalent of a recipe; 1 where batches do not tell."""
    return gradient_rows(recipe.task) or 1


def in_gradients(row_passes: int, recipe: BaseRecipe) -> float:
    """Return forward passes over a row in gradient-equivalents of a recipe."""
    return Computed(unit_of(recipe), row_passes).gradients


def as_whole_gradients(gradients: float, made: BaseRecipe, recipe: BaseRecipe) -> float:
    """Return gradient-equivalents of a stage in those of the whole."""
    own, whole = unit_of(made), unit_of(recipe)
    return gradients if own == whole else gradients * own / whole
