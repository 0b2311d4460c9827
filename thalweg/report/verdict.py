"""The result of a race in words, with no claim that the numbers do not carry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.report import text
from thalweg.report.curves import trials_at_best


def verdict(result: Mapping[str, Any]) -> str:
    """Return one or two sentences: who came first, by how much, and who missed the target."""
    standings = result["standings"]
    if not standings:
        return "No trial was finished, so there is nothing to rank."
    first = standings[0]
    if first["steps"] is None:
        return f"{_no_time(result)} {_by_final(result, first)}"
    sentence = (
        f"{first['entrant']} comes first: at learning rate {text.rate(first['lr'])} it needs "
        f"{text.count(first['steps'])} steps ({text.seconds(first['seconds'])} s) to "
        f"{result['target']['text']}, in the median of {_seeds(first['trials'])}."
    )
    missed = [s["entrant"] for s in standings if s["steps"] is None]
    if missed:
        sentence += f" The target was missed by {_listed(missed)}."
    elif len(standings) > 1:
        last = standings[-1]
        sentence += f" The slowest, {last['entrant']}, needs {text.count(last['steps'])}."
    return sentence


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know to trust the ranking, or not to."""
    found = []
    run = result["run"]
    if run["finished"] < run["planned"]:
        found.append(
            f"Incomplete: {run['finished']} of {run['planned']} trials are finished. "
            "The same command in the same folder goes on from here."
        )
    for standing in result["standings"]:
        if standing["edge"] in ("lower", "upper"):
            word = "highest" if standing["edge"] == "upper" else "lowest"
            found.append(
                f"{standing['entrant']}: its best learning rate, {text.rate(standing['lr'])}, "
                f"is the {word} tried, so a better one may lie beyond."
            )
    trials = result["trials"]
    for status in ("diverged", "failed"):
        lost = [trial for trial in trials if trial["status"] == status]
        if lost:
            found.append(_lost(lost, len(trials), status))
    close = _overlapping_with_first(result)
    if close:
        found.append(
            f"The seeds of {result['standings'][0]['entrant']} overlap with those of "
            f"{_listed(close)}: {_seeds(len(result['budget']['seeds']))} cannot tell them apart."
        )
    return found


def _lost(lost: Sequence[Mapping[str, Any]], total: int, status: str) -> str:
    one = lost[0]
    return (
        f"{len(lost)} of {total} trials {status} and count as misses, such as {one['entrant']} at "
        f"learning rate {text.rate(one['lr'])}, seed {one['seed']}: {one['error']}"
    )


def _overlapping_with_first(result: Mapping[str, Any]) -> list[str]:
    """Who had a seed that was as fast as the slowest of the first: its lead over them may be
    chance.
    """
    spans = {s["entrant"]: _steps_of_seeds(result, s) for s in result["standings"] if s["steps"]}
    if len(spans) < 2:
        return []
    first = result["standings"][0]["entrant"]
    slowest = max(spans[first])
    return [name for name, steps in spans.items() if name != first and min(steps) <= slowest]


def _steps_of_seeds(result: Mapping[str, Any], standing: Mapping[str, Any]) -> list[float]:
    return [
        math.inf if trial["status"] != "finished" or steps is None else steps
        for trial in trials_at_best(result, standing)
        for steps in [trial["reached_steps"]]
    ]


def _no_time(result: Mapping[str, Any]) -> str:
    if result["target"] is None:
        return "No target was set, so the final metric decides."
    return f"No entrant reached {result['target']['text']} in the median of its seeds."


def _by_final(result: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    if first["final"] is None:
        return "No entrant came to its end either."
    final = text.metric_value(first["final"], result["metric"]["name"])
    return (
        f"By its final {_metric(result)}, {final} in the median of {_seeds(first['trials'])}, "
        f"{first['entrant']} comes first."
    )


def _metric(result: Mapping[str, Any]) -> str:
    return str(result["metric"]["name"]).replace("_", " ")


def _seeds(number: int) -> str:
    return f"{number} seed" if number == 1 else f"{number} seeds"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
