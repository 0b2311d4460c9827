"""Batches that grow while training goes on."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thalweg.errors import TaskError
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.tasks.sources.batches import Order, left_over
from thalweg.tasks.sources.source import Batch, LoaderSource, Placement, Source
from thalweg.train.run import BaseRecipe
from thalweg.whole import whole_number


@dataclass(frozen=True)
class growing_batches(Strategy):
    """Multiply the batch size in equal parts of the epochs: b, f·b, f²·b, …

    A larger batch has a gradient with less noise, as a smaller learning rate has less of it in its steps:
    this takes the place of a decay of the learning rate. Cost is counted by rows, so that all epochs cost
    alike; there are fewer steps in the later ones, and a schedule that counts steps does not reach its end.

    Args:
        factor: f, an integer ≥ 2.
        parts: of the epochs, each with its own size.

    Raises TaskError for invalid settings, for all rows in a batch already, and for a `DataLoader`.

    Source: Smith et al. 2018, Don't decay the learning rate, increase the batch size.
    """

    factor: int = 2
    parts: int = 3

    def __post_init__(self) -> None:
        for name in ("factor", "parts"):
            whole_number(f"{name} of growing batches", getattr(self, name), 2)

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the one stage."""
        source = recipe.task.data.train
        if recipe.batch_size is None:
            raise TaskError("A batch of all rows cannot grow: give a batch_size.")
        if isinstance(source, LoaderSource) or source.rows is None:
            raise TaskError(
                "The batches of a DataLoader keep their size, and those of a stream their number. Give "
                "the data set itself."
            )

        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            grown = _Growing(source, self.factor, self.parts, recipe.epochs)
            return recipe.replace(data=dataclasses.replace(recipe.task.data, train=grown))

        return [Stage("growing", make)]


@dataclass(frozen=True, eq=False)
class _Growing(Source):
    """A set whose batches are larger in later epochs."""

    data: Source
    factor: int
    parts: int
    epochs: int

    @property
    def rows(self) -> int | None:
        return self.data.rows

    def size(self, batch_size: int | None, epoch: int) -> int | None:
        """Return how many rows a batch of an epoch has."""
        if batch_size is None:
            return None
        part = min(self.parts - 1, (epoch - 1) * self.parts // self.epochs)
        grown: int = batch_size * self.factor**part
        return grown

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        size = batch_size if order is None else self.size(batch_size, epoch)
        return self.data.batches(size, order, epoch, place)

    def smallest_batch(self, batch_size: int | None) -> int | None:
        rows = self.rows
        sizes = {self.size(batch_size, epoch + 1) for epoch in range(self.epochs)}
        return None if rows is None else min(left_over(rows, size) for size in sizes)

    def placed(self, place: Placement) -> _Growing:
        return dataclasses.replace(self, data=self.data.placed(place))
