"""The caveats of a result: what to know before trusting a ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.report.data import text
from thalweg.report.data.reading import (
    Record,
    decided_by_final,
    few,
    is_judged,
    is_many,
    nobody_ended,
    reads_result,
)
from thalweg.report.words.several import score_notes

_NO_FINAL = "No seed of the final has been run"
"""The first words of the note that the final is still to come."""


@reads_result
def notes(result: Mapping[str, Any]) -> list[str]:
    """Return the caveats of a race, or of the races over several tasks, the gravest first."""
    if is_many(result):
        return [
            *score_notes(result),
            *result["notes"],
            *(f"Rank reversal: {found['text']}." for found in result["reversals"]),
            *(f"{race['task']}: {note}" for race in result["races"] for note in _gravest(race)),
        ]
    return [
        *_incomplete(result),
        *_own(result),
        *_unequal(result),
        *_few_seeds(result),
        *_missed(result),
        *_edges(result),
        *_lost(result),
        *_target(result),
    ]


def _gravest(race: Record) -> Iterator[str]:
    """The caveats of one task that the page of several tasks repeats; the others are shown with the task."""
    yield from (
        *_incomplete(race),
        *_own(race),
        *_unequal(race),
        *_few_seeds(race),
        *_edges(race),
    )


def _own(result: Record) -> Iterator[str]:
    """The notes of the race itself, without those on a final still to come where every trial was lost."""
    if nobody_ended(result):
        yield "No trial came to its end: every one diverged or failed, so there was no final."
        yield from (note for note in result["notes"] if not note.startswith(_NO_FINAL))
    else:
        yield from result["notes"]


def _incomplete(result: Record) -> Iterator[str]:
    run = result["run"]
    if run["finished"] < run["planned"]:
        start = "Interrupted" if run["interrupted"] else "Incomplete"
        yield (
            f"{start}: {run['finished']:,} of {text.plural(run['planned'], 'trial')} are finished. "
            "The same command in the same folder goes on from here."
        )


def _unequal(result: Record) -> Iterator[str]:
    if not result["budget"].get("equal", True):
        yield "The entrants had different budgets of tuning, so the ranking is not a fair one."


def _few_seeds(result: Record) -> Iterator[str]:
    places = result["standings"]
    if few(result["comparisons"]):
        seeds = text.plural(result["comparisons"][0]["seeds"], "final seed")
        yield f"{seeds} cannot tell two entrants apart, whatever they give. More seeds can."
    short = [p for p in places if p["attained"] is not None and p["attained"] < p["level"]]
    if short and is_judged(result) and not decided_by_final(result):
        attained = min(p["attained"] for p in short)
        yield (
            f"{text.plural(short[0]['trials'], 'seed')} cannot claim {text.percent(short[0]['level'])}: "
            f"the intervals of the medians cover {text.percent(attained)}."
        )


def _missed(result: Record) -> Iterator[str]:
    if result["target"] is None:
        return
    some = [p for p in result["standings"] if p["reached"] < p["trials"]]
    if not some:
        return
    if decided_by_final(result):
        yield "A target within reach, or more epochs, would rank the entrants by speed."
        return
    words = [f"{p['entrant']} ({p['trials'] - p['reached']} of {p['trials']})" for p in some]
    yield (
        f"Seeds that missed the target: {text.listed(words)}. A miss counts as longer than "
        "any time in a median, and with the budget in a ratio, which is then a bound."
    )


def _edges(result: Record) -> Iterator[str]:
    for place in result["standings"]:
        if place["edge"] in ("lower", "upper"):
            word = "highest" if place["edge"] == "upper" else "lowest"
            yield (
                f"{place['entrant']}: its best learning rate, {text.rate(place['lr'])}, "
                f"is the {word} tried, so a better one may lie beyond."
            )


def _lost(result: Record) -> Iterator[str]:
    for stage in ("final", "tuning"):
        trials = [trial for trial in result["trials"] if trial["stage"] == stage]
        for status in ("diverged", "failed"):
            lost = [trial for trial in trials if trial["status"] == status]
            if lost:
                yield _told(lost, len(trials), stage, status)


def _told(lost: Sequence[Record], total: int, stage: str, status: str) -> str:
    one = lost[0]
    return (
        f"{len(lost)} of {text.plural(total, f'{stage} trial')} {status} and "
        f"{'counts as a miss' if len(lost) == 1 else 'count as misses'}, "
        f"{'' if len(lost) == 1 else 'such as '}{one['entrant']} at learning rate "
        f"{text.rate(one['lr'])}, seed {one['seed']}: {one['error']}"
    )


def _target(result: Record) -> Iterator[str]:
    target = result["target"]
    if target is not None and target.get("how"):
        yield f"The target: {target['how'].removesuffix('.')}."
