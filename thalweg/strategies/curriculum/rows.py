"""The rows of each epoch of a curriculum: how many of the set are open, and which are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from thalweg.tasks.sources.batches import Order, derive
from thalweg.tasks.sources.source import Batch, Placement, Source
from thalweg.tasks.sources.weighted import Rows

Ranking = Literal["easy", "hard", "random"]
_NO_SHUFFLE = Order(0, "never")


@dataclass(frozen=True)
class Pace:
    """What part of the rows is open in each epoch.

        linear: c(e) = min(1, start + (1 − start)·t)
        root:   c(e) = min(1, √(start² + (1 − start²)·t)),    t = (e − 1) / (until·epochs)

    so that all rows are open from the fraction `until` of the epochs on.

    Source: Platanios et al. 2019, Competence-based curriculum learning, equations 6 and 7.

    >>> [round(Pace(0.2, 0.5, 10, "linear").open(epoch), 2) for epoch in (1, 2, 4, 6, 10)]
    [0.2, 0.36, 0.68, 1.0, 1.0]
    """

    start: float
    until: float
    epochs: int
    kind: Literal["linear", "root"]

    def open(self, epoch: int) -> float:
        """Return the fraction that is open in an epoch, which are counted from 1."""
        t = min(1.0, (epoch - 1) / (self.until * self.epochs))
        if self.kind == "root":
            return math.sqrt(self.start**2 + (1 - self.start**2) * t)
        return self.start + (1 - self.start) * t


@dataclass
class Ranked:
    """The difficulty of each row, from which an epoch draws; it may be measured again between epochs.

    `mixtures` is what each epoch drew from.
    """

    pace: Pace
    by: Ranking
    is_mixed: bool
    difficulty: Tensor | None = None
    mixtures: dict[int, dict[str, float]] = field(default_factory=dict)

    def draw(self, epoch: int, order: Order) -> Tensor | None:
        """Return the rows of an epoch: as many as the set has, some of them several times.

        None stands for all rows as they are in the set without a curriculum.
        """
        assert self.difficulty is not None, "a difficulty is given before the first epoch"
        rows, part = len(self.difficulty), self.pace.open(epoch)
        ranks = self._ranks(order.seed)
        if not self.is_mixed:
            count = min(rows, math.ceil(part * rows - 1e-9))
            self.mixtures[epoch] = {"epoch": epoch, "open": count / rows}
            return None if count == rows else _cycled(ranks[:count], rows, order, epoch, "open")
        easy = max(1, min(rows - 1, math.ceil(self.pace.start * rows - 1e-9)))
        hard = (1 - easy / rows) * part
        is_hard = _generator(order, epoch, "mixture").rand(rows) < hard
        count = int(is_hard.sum())
        drawn = torch.empty(rows, dtype=torch.long)
        drawn[~is_hard] = _cycled(ranks[:easy], rows - count, order, epoch, "easy")
        drawn[is_hard] = _cycled(ranks[easy:], count, order, epoch, "hard")
        self.mixtures[epoch] = {
            "epoch": epoch,
            "easy": 1 - hard,
            "hard": hard,
            "drawn": count / rows,
        }
        return drawn

    def _ranks(self, seed: int) -> Tensor:
        """Return the rows, those that come first at the front."""
        assert self.difficulty is not None
        if self.by == "random":
            generator = torch.Generator("cpu").manual_seed(derive(seed, "ranks"))
            return torch.randperm(len(self.difficulty), generator=generator, device="cpu")
        return torch.argsort(self.difficulty, descending=self.by == "hard", stable=True)


class _generator:  # noqa: N801 - used like a function
    """Draws of one purpose in one epoch."""

    def __init__(self, order: Order, epoch: int, purpose: str) -> None:
        seed = derive(order.seed, purpose, epoch if order.shuffle == "epoch" else 0)
        self.generator = torch.Generator("cpu").manual_seed(seed)

    def rand(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device="cpu")

    def permutation(self, count: int) -> Tensor:
        return torch.randperm(count, generator=self.generator, device="cpu")


def _cycled(pool: Tensor, count: int, order: Order, epoch: int, purpose: str) -> Tensor:
    """Return so many rows of a pool: all of them again and again, each time in another order."""
    if not len(pool) or not count:
        return pool[:0]
    turns = math.ceil(count / len(pool))
    if order.shuffle == "never":
        return pool.repeat(turns)[:count]
    draws = _generator(order, epoch, purpose)
    return torch.cat([pool[draws.permutation(len(pool))] for _ in range(turns)])[:count]


@dataclass(frozen=True, eq=False)
class RankedSource(Source):
    """A set in memory whose epochs see the rows that a curriculum draws."""

    data: Rows
    ranked: Ranked

    def __repr__(self) -> str:
        return f"{self.data!r}"[:-1] + ", in a curriculum>"

    @property
    def rows(self) -> int:
        """The number of rows; an epoch has as many."""
        return self.data.rows

    def batches(
        self,
        batch_size: int | None,
        order: Order | None = None,
        epoch: int = 1,
        place: Placement | None = None,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch; without `order`, all rows as they stand."""
        drawn = None if order is None else self.ranked.draw(epoch, order)
        if drawn is None:
            yield from self.data.batches(batch_size, order, epoch, place)
            return
        source = self.data if place is None else self.data.placed(place)
        part = source.select(drawn.to(source.inputs.device))
        yield from part.batches(batch_size, _NO_SHUFFLE)

    def placed(self, place: Placement) -> RankedSource:
        """Return the set in `place`, with the same ranking."""
        return RankedSource(self.data.placed(place), self.ranked)
