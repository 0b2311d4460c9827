"""The scores and pairwise ratios over several tasks in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import Record, names

SCORE = (
    "The score is the mean height of an entrant's performance profile from 1 to 4 times the best: 1 for "
    "the fastest on every task, 0 for one that nowhere comes within 4 times of the best."
)
"""What the score over several tasks is."""


def score_range(ends: Sequence[float]) -> str:
    """Return the range of a score in words.

    >>> score_range([0.25, 0.5])
    '0.25–0.50'
    """
    return text.span(*(f"{end:.2f}" for end in ends))


def pairwise_words(result: Record, i: int, j: int) -> str | None:
    """Return the ratio of two entrants with its bound, such as "at least 1.37"; None where each
    misses what the other solves, which leaves it open.
    """
    pairs = result["pairwise"]
    bounds = pairs.get("bound")
    bound = bounds[i][j] if bounds else "exact"
    ratio = pairs["ratio"][i][j]
    if ratio is None or bound == "unknown":
        return None
    return text.factor(ratio) if bound == "exact" else f"{bound} {text.factor(ratio)}"


def score_notes(result: Record) -> Iterator[str]:
    """Return what the scores are, how firm they are, and everyone's ratio to the first by score."""
    compared = result["costs"]["entrants"]
    order, tasks = (
        [name for name in names(result) if name in compared],
        len(result["costs"]["tasks"]),
    )
    if not order:
        return
    yield f"{SCORE} It depends on who else runs."
    ranges = result.get("score_ranges", {})
    if ranges:
        spans = [f"{name} {score_range(ranges[name])}" for name in order if name in ranges]
        yield (
            f"{plural(tasks, 'task')} that were chosen, not drawn, give a score no confidence "
            f"interval. With any one of them left out the scores are: {', '.join(spans)}."
        )
    yield from _pairs(result, order)


def _pairs(result: Record, order: Sequence[str]) -> Iterator[str]:
    """Everyone's ratio to the first by score."""
    entrants = result["pairwise"]["entrants"]
    first = entrants.index(order[0])
    told, left_open = [], []
    for name in order[1:]:
        words = pairwise_words(result, entrants.index(name), first)
        if words is None:
            left_open.append(name)
        else:
            told.append(f"{name} {words}")
    if told:
        counted = text.times_as(str(result["by"]))
        tail = (
            f" Misses on both sides leave it open for {text.listed(left_open)}."
            if left_open
            else ""
        )
        yield (
            f"Pairwise, {counted} as {order[0]} in the geometric mean over the tasks: "
            f"{', '.join(told)}.{tail}"
        )
