"""The result of a race in words, with no claim that the numbers do not support."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import (
    UNITS,
    Record,
    against_first,
    decided_by_final,
    effect,
    few,
    is_judged,
    is_many,
    may_be_best,
    nobody_ended,
    reads_result,
)

_FEW_TASKS = 6
"""The most tasks that a sentence names."""


@reads_result
def verdict(result: Mapping[str, Any]) -> str:
    """Return the verdict in two or three sentences: `headline`, then `detail`."""
    return " ".join(part for part in (headline(result), detail(result)) if part)


def headline(result: Record) -> str:
    """Return one sentence: who is the fastest, or among whom it is.

    One is called the fastest only if the set of those that may be it holds nobody else.
    """
    if is_many(result):
        return _headline_of_many(result)
    places = result["standings"]
    if nobody_ended(result):
        return (
            "No trial came to its end: every one diverged or failed, so there is nothing to rank."
        )
    if not places:
        return "No trial is finished yet, so there is nothing to rank."
    first = places[0]["entrant"]
    if not is_judged(result):
        return f"The race was stopped before its final: {first} led in tuning, which supports no claim."
    start = f"{_no_time(result)}; by its final figure " if decided_by_final(result) else ""
    if len(places) == 1:
        return f"{_capital(start)}{first} ran alone: there is nothing to compare it with."
    made = against_first(result)
    if not made:
        return f"{_capital(start)}{first} comes first; nothing was tested."
    if few(list(made.values())):
        seeds = plural(next(iter(made.values()))["seeds"], "seed")
        better = "better" if start else "faster"
        one = places[0]["trials"] == 1
        if one:
            seeds = "one seed"
        return f"{_capital(start)}{first} comes first, but {seeds} cannot show who is {better}."
    return _capital(start) + _winner(may_be_best(result) or [first], by_final=bool(start))


def detail(result: Record) -> str:
    """Return what follows the headline: how long the first takes, who is slower, who missed."""
    if is_many(result):
        return _detail_of_many(result)
    places = result["standings"]
    if not places or nobody_ended(result):
        return ""
    if decided_by_final(result):
        found = (_final_of_first(result, places[0]), _next_worse(result), _left_out(result))
        return " ".join(filter(None, found))
    unit = result["rank_by"]
    missed = [place["entrant"] for place in places if place[unit] is None]
    if len(missed) == len(places):
        return "No entrant reached the target with more than half of its seeds."
    first = [] if places[0][unit] is None else [_time_of_first(result, places[0])]
    sentences = [*first, _next_slower(result), _left_out(result)]
    if missed:
        if all(place["trials"] == 1 for place in places):
            sentences.append(f"{text.listed(missed)} missed the target.")
        else:
            half = "At least half of the seeds missed the target with "
            sentences.append(f"{half}{text.listed(missed)}.")
    return " ".join(sentence for sentence in sentences if sentence)


def _winner(among: Sequence[str], *, by_final: bool) -> str:
    best = "best" if by_final else "fastest"
    if len(among) == 1:
        return f"{among[0]} is {best}."
    words = f"the {best} is among {text.listed(among)}: no winner."
    return words if by_final else _capital(words)


def _time_of_first(result: Record, first: Record) -> str:
    unit = result["rank_by"]
    value = text.cost(first[unit], unit)
    words = f"{value} {UNITS[unit].removesuffix('s') if value == '1' else UNITS[unit]}"
    if unit != "seconds" and first["seconds"] is not None:
        words += f" ({text.seconds(first['seconds'])} s)"
    return (
        f"At learning rate {text.rate(first['lr'])} {first['entrant']} needs {words} to "
        f"{result['target']['text']}, {_on_seeds(result, first)}."
    )


def _next_slower(result: Record) -> str:
    """The ratio of the best entrant that is known to be slower than the first."""
    slower = next((c for c in against_first(result).values() if c["outcome"] == "worse"), None)
    if slower is None or slower["ratio"] is None or slower["bound"] == "unknown":
        return ""
    bound = "" if slower["bound"] == "exact" else f"{slower['bound']} "
    within = ""
    if slower["low"] is not None and slower["high"] is not None and not bound:
        span = text.span(text.factor(slower["low"]), text.factor(slower["high"]))
        within = f" ({_interval(result, slower)} {span})"
    words = text.times(f"{bound}{text.factor(slower['ratio'])}", result["rank_by"])
    return f"{slower['first']} {words}{within}."


def _left_out(result: Record) -> str:
    """Who is out of the set of the best, though the pair with the first does not tell."""
    among, made = may_be_best(result), against_first(result)
    names = [n for n, c in made.items() if c["outcome"] == "not distinguishable" and n not in among]
    if not names or not among:
        return ""
    first = result["standings"][0]["entrant"]
    return (
        f"Not distinguishable from {first} as a pair, yet left out of those that may be the "
        f"{'best' if decided_by_final(result) else 'fastest'}: {text.listed(names)}."
    )


def _next_worse(result: Record) -> str:
    """The difference of the best entrant whose final figure is known to be worse than the first's."""
    worse = next((c for c in against_first(result).values() if c["outcome"] == "worse"), None)
    if worse is None or worse["bound"] != "exact":
        return ""
    metric = result["metric"]["name"]
    value, low, high = effect(worse)
    if value is None or low is None or high is None:
        return ""
    unit = " points" if text.is_share(metric) else ""
    way = "lower" if value < 0 else "higher"
    by, *ends = (
        text.difference(abs(x), metric)[1:] for x in (value, *sorted((low, high), key=abs))
    )
    return (
        f"That of {worse['first']} is {way} by {by}{unit} "
        f"({_interval(result, worse)} {text.span(*ends)})."
    )


def _interval(result: Record, made: Record) -> str:
    """What an interval is called; those of older results hold for their pair alone."""
    together = "simultaneous " if "may_be_best" in result else ""
    return f"{together}{text.percent(made['attained'])} interval"


def _no_time(result: Record) -> str:
    if result["target"] is None:
        return "no target was set"
    return f"no entrant reached {result['target']['text']}"


def _final_of_first(result: Record, first: Record) -> str:
    metric = result["metric"]["name"]
    if first["final"] is None:
        with_half = "" if first["trials"] == 1 else " with half of its seeds"
        return f"{first['entrant']} did not come to its end{with_half}."
    return (
        f"At learning rate {text.rate(first['lr'])} {first['entrant']}'s final {text.spaced(metric)} is "
        f"{text.metric_value(first['final'], metric)} {_on_seeds(result, first)}."
    )


def _on_seeds(result: Record, place: Record) -> str:
    stage = "" if is_judged(result) else "tuning "
    if place["trials"] == 1:
        return f"on one {stage}seed"
    return f"in the median of {plural(place['trials'], f'{stage}seed')}"


def _headline_of_many(result: Record) -> str:
    tasks = result["costs"]["tasks"]
    won: dict[str, list[str]] = {}
    for task, race in zip(tasks, result["races"], strict=True):
        if first := _first(race):
            won.setdefault(first, []).append(task)
    number = plural(len(tasks), "task")
    if not won:
        return f"On none of {number} is there a first that reached the target."
    most_first = sorted(won.items(), key=lambda item: -len(item[1]))
    if len(most_first[0][1]) == len(tasks):
        where = {1: tasks[0], 2: "both tasks"}.get(len(tasks), f"all of {number}")
        return f"{most_first[0][0]} comes first on {where}."
    if len(tasks) > _FEW_TASKS:
        counts = [f"{name} on {len(of)}" for name, of in most_first]
        return f"Of {number}, first: {text.listed(counts)}."
    return f"First: {'; '.join(f'{n} on {text.listed(of)}' for n, of in most_first)}."


def _detail_of_many(result: Record) -> str:
    sentences = []
    races = dict(zip(result["costs"]["tasks"], result["races"], strict=True))
    solved = [task for task, race in races.items() if _first(race)]
    alone = [task for task in solved if _fastest(races[task])]
    if alone:
        rest = "; elsewhere others may be as fast" if len(alone) < len(solved) else ""
        sentences.append(f"The first is the winner on {text.listed(alone)}{rest}.")
    elif solved:
        sentences.append("On no task is there a winner: others may be as fast as the first.")
    unsolved = [task for task, race in races.items() if is_judged(race) and not _first(race)]
    if unsolved and solved:
        sentences.append(f"Nobody has a median time to the target on {text.listed(unsolved)}.")
    if result["reversals"]:
        sentences.append("The order by score depends on who else runs: read the pairwise ratios.")
    return " ".join(sentences)


def _first(race: Record) -> str | None:
    """The first of a race, if it has a median time to the target."""
    places = race["standings"]
    reached = places and places[0][race["rank_by"]] is not None
    return str(places[0]["entrant"]) if reached and is_judged(race) else None


def _fastest(race: Record) -> bool:
    """Whether a race has a winner: nobody else may be the fastest."""
    return may_be_best(race) == [_first(race)]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
