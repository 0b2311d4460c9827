"""The caveats of a result: what to know before trusting a ranking."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from thalweg.numeric import plural
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
from thalweg.report.words.lost import failed_entrants, lost_trials
from thalweg.report.words.several import score_notes

_FEW_STEPS = 5
"""A target that is reached in so few steps tells of the first of them alone."""
_HARDLY = 0.9
"""More seeds that leave so much of a width are not worth their cost."""
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
        *failed_entrants(result),
        *_unequal(result),
        *_easy(result),
        *_few_seeds(result),
        *_missed(result),
        *_edges(result),
        *lost_trials(result),
        *_target(result),
        *_further(result),
    ]


def _gravest(race: Record) -> Iterator[str]:
    """The caveats of one task that the page of several tasks repeats; the others are shown with the task."""
    yield from (
        *_incomplete(race),
        *_own(race),
        *failed_entrants(race),
        *_unequal(race),
        *_easy(race),
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
            f"{start}: {run['finished']:,} of {plural(run['planned'], 'trial')} are finished. "
            "The same command in the same folder goes on from here."
        )


def _unequal(result: Record) -> Iterator[str]:
    if not result["budget"].get("equal", True):
        yield "The entrants had different budgets of tuning, so the ranking is not a fair one."


def _few_seeds(result: Record) -> Iterator[str]:
    places = result["standings"]
    if few(result["comparisons"]):
        seeds = plural(result["comparisons"][0]["seeds"], "final seed")
        yield f"{seeds} cannot tell two entrants apart, whatever they give. More seeds can."
    short = [p for p in places if p["attained"] is not None and p["attained"] < p["level"]]
    if short and is_judged(result) and not decided_by_final(result):
        attained = min(p["attained"] for p in short)
        yield (
            f"{plural(short[0]['trials'], 'seed')} cannot claim {text.percent(short[0]['level'])}: "
            f"the intervals of the medians cover {text.percent(attained)}."
        )


def _further(result: Record) -> Iterator[str]:
    """What more seeds would cost and tell."""
    more = result.get("further_seeds")
    if not more or not is_judged(result):
        return
    metric = result["metric"]["name"]
    what, unit = "a ratio", ""
    if more["of"] == "difference":
        what = f"a difference in {text.spaced(metric)}"
        unit = " points" if text.is_share(metric) else ""
    now, then = (
        text.factor(x) if more["of"] == "ratio" else text.difference(x, metric).lstrip("+")
        for x in (more["now"], more["then"])
    )
    told = (
        f"Among {text.listed(more['entrants'])}, {what} of about {now}{unit} is told apart in half of such "
        "races."
    )
    sizes = [math.log(x) if more["of"] == "ratio" else x for x in (more["now"], more["then"])]
    if sizes[1] > _HARDLY * sizes[0]:
        yield f"{told} More seeds would hardly make that less: they are not what is uncertain."
        return
    yield (
        f"{told} {plural(more['seeds'], 'more seed')} for each ({plural(more['trials'], 'trial')}, "
        f"about {text.duration(more['seconds'])} of training) would make that {then}{unit}."
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
    """Whose best rate is the last one tried on its side, all in one sentence with what to do."""
    words = {"upper": "the highest", "lower": "the lowest"}
    found = [
        f"{place['entrant']} ({text.rate(place['lr'])}, {words[place['edge']]})"
        for place in result["standings"]
        if place["edge"] in words and place["diverged"] + place["failed"] < place["trials"]
    ]
    if not found:
        return
    budget = result["budget"]
    if budget["search"] == "grid":
        more = (
            f"give more points, with which the grid goes on there (--trials {budget['trials'] + 4}), or "
            "rates that reach further (--lrs)"
        )
    else:
        more = "give rates between which there is more room (--lrs)"
    yield (
        f"A better learning rate may lie beyond those that were tried for {text.listed(found)}: {more}."
    )


def _easy(result: Record) -> Iterator[str]:
    """Say so where most entrants reach the target almost at once."""
    if result["target"] is None or decided_by_final(result):
        return
    steps = sorted(
        float("inf") if place["steps"] is None else place["steps"] for place in result["standings"]
    )
    if not steps:
        return
    middle = steps[(len(steps) - 1) // 2]
    first = _first_look(result)
    if middle > max(_FEW_STEPS, first):
        return
    when = f"in {plural(int(middle), 'step')}" if middle <= _FEW_STEPS else "when first looked at"
    yield (
        f"The median entrant reaches the target {when}: it is too easy to tell entrants apart. Set one "
        "that takes longer (--target)."
    )


def _first_look(result: Record) -> float:
    """After how many steps trials are first evaluated."""
    looks = [trial["curve"]["steps"] for trial in result["trials"] if trial["status"] == "finished"]
    return min((steps[0] for steps in looks if steps), default=0)


def _target(result: Record) -> Iterator[str]:
    target = result["target"]
    if target is not None and target.get("how"):
        yield f"The target: {target['how'].removesuffix('.')}."
