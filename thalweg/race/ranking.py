"""The statistics of a race: pure functions from trial records to a ranking.

A trial that misses the target is censored, not dropped: its steps and seconds to the target count
as infinite. So a median over three seeds is finite only if at least two of them reached the target,
and "2 of 3 reached" is always said beside it. Diverged and failed trials count as misses, and as
the worst possible final metric.

    steps to target of (entrant, lr)    median over seeds, a miss = ∞
    learning rate of an entrant         the one with the fewest median steps; ties: more seeds
                                        reached, then the better median final metric
    rank of an entrant                  at its learning rate: median steps, then median seconds (or
                                        the other way round), then seeds reached, then median final
                                        metric
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.race.records import TrialRecord

Direction = Literal["max", "min"]
RankBy = Literal["steps", "seconds"]
Edge = Literal["lower", "upper", "single"]


@dataclass(frozen=True)
class Summary:
    """One entrant at one learning rate, over its seeds.

    `steps` and `seconds` are medians to the target, infinite where the median trial missed it.
    `final` is the median final metric, None where the median trial has none; `final_low` and
    `final_high` are its range over the trials that came to their end.
    """

    entrant: str
    lr: float
    trials: int
    reached: int
    steps: float
    seconds: float
    final: float | None
    final_low: float | None
    final_high: float | None
    diverged: int
    failed: int


@dataclass(frozen=True)
class Standing:
    """The place of an entrant: its rank, its selected learning rate, and whether that lies on its
    grid's edge.
    """

    rank: int
    best: Summary
    edge: Edge | None


def median(values: Iterable[float]) -> float:
    """Return the median, where infinite values stand for censored ones.

    >>> median([120, math.inf, 80])
    120
    >>> median([120, math.inf, math.inf])
    inf
    >>> median([120, math.inf])  # half of the trials missed: no finite value can be claimed
    inf
    """
    return statistics.median(values)


def summarize(records: Sequence[TrialRecord], direction: Direction) -> Summary:
    """Sum up the trials of one entrant at one learning rate.

    Raises:
        ValueError: if there is no record, or if they are of several entrants or learning rates.
    """
    if len({(record.entrant, record.lr) for record in records}) != 1:
        raise ValueError("summarize expects the trials of exactly one entrant at one learning rate")
    worst = -math.inf if direction == "max" else math.inf
    finals = [record.final for record in records if record.final is not None]
    middle = median(worst if record.final is None else record.final for record in records)
    return Summary(
        entrant=records[0].entrant,
        lr=records[0].lr,
        trials=len(records),
        reached=sum(record.reached for record in records),
        steps=median(_to_target(record, record.reached_steps) for record in records),
        seconds=median(_to_target(record, record.reached_seconds) for record in records),
        final=middle if math.isfinite(middle) else None,
        final_low=min(finals, default=None),
        final_high=max(finals, default=None),
        diverged=sum(record.status == "diverged" for record in records),
        failed=sum(record.status == "failed" for record in records),
    )


def summarize_all(records: Iterable[TrialRecord], direction: Direction) -> tuple[Summary, ...]:
    """Sum up every (entrant, learning rate) that has a finished trial, by entrant and ascending
    rate.
    """
    groups: dict[tuple[str, float], list[TrialRecord]] = {}
    for record in records:
        groups.setdefault((record.entrant, record.lr), []).append(record)
    return tuple(summarize(groups[key], direction) for key in sorted(groups))


def select(summaries: Sequence[Summary], direction: Direction) -> Summary:
    """Return the summary at the learning rate that serves an entrant best (of equals, the smallest
    rate).
    """
    return min(
        summaries,
        key=lambda s: (s.steps, -s.reached / s.trials, _badness(s.final, direction), s.lr),
    )


def edge_of_grid(lr: float, grid: Sequence[float]) -> Edge | None:
    """Say whether a selected learning rate lies on the edge of its grid, where a better one may lie
    beyond.

    >>> edge_of_grid(0.1, [0.001, 0.01, 0.1])
    'upper'
    >>> edge_of_grid(0.01, [0.001, 0.01, 0.1]) is None
    True
    >>> edge_of_grid(0.1, [0.1])
    'single'
    """
    if len(set(grid)) == 1:
        return "single"
    if lr <= min(grid):
        return "lower"
    return "upper" if lr >= max(grid) else None


def rank(
    records: Iterable[TrialRecord],
    grids: Mapping[str, Sequence[float]],
    *,
    direction: Direction,
    by: RankBy = "steps",
) -> tuple[Standing, ...]:
    """Rank the entrants that have at least one finished trial, the best first; equals share a rank.

    Args:
        records: the finished trials, in any order.
        grids: the learning rates tried for each entrant.
        direction: whether a greater ("max") or a smaller ("min") final metric is better.
        by: what decides first, median "steps" or median "seconds" to the target; the other one
            breaks ties.
    """
    of_entrant: dict[str, list[Summary]] = {}
    for summary in summarize_all(records, direction):
        of_entrant.setdefault(summary.entrant, []).append(summary)
    chosen = [select(summaries, direction) for summaries in of_entrant.values()]
    order = {summary.entrant: _rank_key(summary, direction, by) for summary in chosen}
    chosen.sort(key=lambda summary: (order[summary.entrant], summary.entrant))
    keys = [order[summary.entrant] for summary in chosen]
    return tuple(
        Standing(
            rank=1 + keys.index(order[summary.entrant]),
            best=summary,
            edge=edge_of_grid(summary.lr, grids[summary.entrant]),
        )
        for summary in chosen
    )


def _rank_key(summary: Summary, direction: Direction, by: RankBy) -> tuple[float, ...]:
    times = (summary.steps, summary.seconds)
    first, second = times if by == "steps" else times[::-1]
    share_missed = -summary.reached / summary.trials
    return (first, second, share_missed, _badness(summary.final, direction))


def _badness(final: float | None, direction: Direction) -> float:
    if final is None:
        return math.inf
    return -final if direction == "max" else final


def _to_target(record: TrialRecord, cost: float | None) -> float:
    return cost if record.reached and cost is not None else math.inf
