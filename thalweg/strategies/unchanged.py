"""The strategy that changes nothing: the control of a race."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.train.run import BaseRecipe
from thalweg.whole import whole_number


@dataclass(frozen=True)
class plain(Strategy):
    """Train by the recipe as it is, in one stage, or in `parts` that hand on their weights alone.

    With one part it is the run without a strategy, bit for bit. More parts show what beginning again does
    by itself, which every strategy of several stages does too: between two of them the state of the
    optimizer is lost.

    Raises:
        TaskError: where `parts` is not an integer ≥ 1.

    >>> str(plain(parts=3)), [stage.name for stage in plain(parts=2).stages(None)]
    ('plain:parts=3', ['part 1', 'part 2'])
    """

    parts: int = 1

    def __post_init__(self) -> None:
        whole_number("parts", self.parts)

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the parts, all of the same share."""
        return [Stage(f"part {k + 1}", _goes_on) for k in range(self.parts)]


def _goes_on(recipe: BaseRecipe, models: Models) -> BaseRecipe:
    return recipe.replace(model=models[-1]) if models else recipe
