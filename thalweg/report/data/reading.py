"""Reads the result of a race: what several sections and tables need of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from thalweg.errors import TaskError, ThalwegError
from thalweg.report.data import text

Given = ParamSpec("Given")
Made = TypeVar("Made")

Record = Mapping[str, Any]

MANY = "thalweg.races/1"
"""The schema of a result over several tasks."""

UNITS = {"steps": "steps", "seconds": "seconds", "gradients": "gradient-equivalents"}
"""What a cost is counted in, in words."""

_WHOLE = 10
"""From so many steps on, a fraction of one is no matter."""

_TURNED = {"better": "worse", "worse": "better", "at least": "at most", "at most": "at least"}

_MISREAD = (
    *(LookupError, TypeError, AttributeError, ValueError, ArithmeticError),
    *(RecursionError, StopIteration),
)


def reads_result(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Turn the errors of a malformed result into a TaskError: a file of JSON may have been edited.

    A decorator for functions whose first argument is a result.
    """

    @functools.wraps(function)
    def reading(*arguments: Given.args, **options: Given.kwargs) -> Made:
        try:
            return function(*arguments, **options)
        except ThalwegError:
            raise
        except _MISREAD as error:
            raise TaskError(
                "This is not the result of a race as this version writes it: "
                f"{type(error).__name__}: {str(error)[:200]}. Run the race again: its finished trials "
                "are used again."
            ) from error

    return reading


def is_many(result: Record) -> bool:
    """Say whether the result is of several tasks."""
    return bool(result.get("schema") == MANY)


def names(result: Record) -> list[str]:
    """Return the names of all entrants: those that are ranked, the best first, then the others.

    >>> entrants = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    >>> names({"standings": [{"entrant": "b"}], "entrants": entrants})
    ['b', 'a', 'c']
    """
    if is_many(result):
        scores = result["scores"]
        ordered = sorted(result["costs"]["entrants"], key=lambda name: -scores.get(name, 0.0))
        return list(
            dict.fromkeys([*ordered, *(n for race in result["races"] for n in names(race))])
        )
    ranked = (place["entrant"] for place in result["standings"])
    return list(dict.fromkeys([*ranked, *(entrant["name"] for entrant in result["entrants"])]))


def is_judged(result: Record) -> bool:
    """Say whether the order is that of final trials; a race stopped before has that of its tuning,
    which supports no claim.
    """
    return bool(result["standings"]) and result["judged_on"] == "final"


def nobody_ended(result: Record) -> bool:
    """Say whether there are trials, and every one of them diverged or failed."""
    trials = result["trials"]
    return bool(trials) and all(trial["status"] != "finished" for trial in trials)


def judging_trials(result: Record, entrant: str) -> list[Record]:
    """Return the trials by which an entrant is judged: those of its point, on the seeds that count."""
    place = standing_of(result, entrant)
    if place is None:
        return []
    own = [
        trial
        for trial in result["trials"]
        if trial["entrant"] == entrant
        and trial["stage"] == result["judged_on"]
        and trial["seed"] in result["judged_seeds"]
        and _point(trial) == _point(place)
    ]
    longest = max((trial["epochs"] for trial in own), default=0)
    return [trial for trial in own if trial["epochs"] == longest]


def standing_of(result: Record, entrant: str) -> Record | None:
    """Return an entrant's standing, None where it has no final trial."""
    return next((s for s in result["standings"] if s["entrant"] == entrant), None)


def seconds_a_step(result: Record, entrant: str) -> float | None:
    """Return what a step of an entrant takes, measured alone."""
    rows = [r for r in (*result["standings"], *result["cost"]) if r["entrant"] == entrant]
    return next((r["seconds_a_step"] for r in rows if r.get("seconds_a_step")), None)


def against(result: Record, entrant: str, other: str) -> dict[str, Any] | None:
    """Return the comparison of two entrants as one of the first with the second.

    Example:
        >>> made = {"first": "a", "second": "b", "outcome": "better", "ratio": 0.5, "low": 0.4,
        ...         "high": 1.0, "bound": "at most", "misses": [0, 2]}
        >>> turned = against({"comparisons": [made]}, "b", "a")
        >>> turned["outcome"], turned["ratio"], turned["low"], turned["high"], turned["bound"]
        ('worse', 2.0, 1.0, 2.5, 'at least')
    """  # fmt: skip
    for made in result["comparisons"]:
        if (made["first"], made["second"]) == (entrant, other):
            return dict(made)
        if (made["first"], made["second"]) == (other, entrant):
            return {
                **made,
                "first": entrant,
                "second": other,
                "outcome": _TURNED.get(made["outcome"], made["outcome"]),
                "bound": _TURNED.get(made["bound"], made["bound"]),
                "ratio": _inverse(made["ratio"]),
                "low": _inverse(made["high"]),
                "high": _inverse(made["low"]),
                "difference": _negative(made.get("difference")),
                "difference_low": _negative(made.get("difference_high")),
                "difference_high": _negative(made.get("difference_low")),
                "misses": made["misses"][::-1],
            }
    return None


def against_first(result: Record) -> dict[str, dict[str, Any]]:
    """Return every entrant's comparison with the first of the ranking, by name."""
    places = result["standings"]
    found = {p["entrant"]: against(result, p["entrant"], places[0]["entrant"]) for p in places[1:]}
    return {name: made for name, made in found.items() if made is not None}


def may_be_best(result: Record) -> list[str]:
    """Return the entrants that may be the best, in the order of the ranking; none if nothing was compared.

    Older results do not hold them: there they are those that no comparison tells to be worse than another.

    Example:
        >>> made = {"first": "a", "second": "b", "outcome": "better"}
        >>> places = [{"entrant": "a"}, {"entrant": "b"}]
        >>> may_be_best({"comparisons": [made], "standings": places})
        ['a']
    """
    if not result["comparisons"]:
        return []
    named = result.get("may_be_best")
    if named is None:
        worse = {
            made["second" if made["outcome"] == "better" else "first"]
            for made in result["comparisons"]
            if made["outcome"] != "not distinguishable"
        }
        compared = {
            name for made in result["comparisons"] for name in (made["first"], made["second"])
        }
        named = compared - worse
    return [place["entrant"] for place in result["standings"] if place["entrant"] in named]


def reached_at(result: Record, trial: Record) -> float | None:
    """Return the cost, in the ranking's unit, at which a trial first showed the target; None for a
    miss.

    The seconds are those of so many steps of the entrant alone: a trial that trained in a stack
    has no time of its own.
    """
    target, unit = result["target"], result["rank_by"]
    if target is None or trial["status"] != "finished":
        return None
    curve = trial["curve"]
    costs = curve["gradients" if unit == "gradients" else "steps"]
    for at, metric in zip(costs, curve["metric"], strict=True):
        if metric is not None and _good(metric, target["value"], result["metric"]["direction"]):
            pace = seconds_a_step(result, trial["entrant"]) if unit == "seconds" else 1.0
            return None if pace is None else float(at * pace)
    return None


def decided_by_final(result: Record) -> bool:
    """Say whether nobody reached the target, or there is none, so that the final metric decides."""
    return bool(result["compared_by"] == "final")


def effect(made: Record) -> tuple[float | None, float | None, float | None]:
    """Return what a comparison found, with its interval: a ratio of costs, or of final figures the
    difference. Where the interval claims nothing, its ends are None.
    """
    kind = "ratio" if made["ratio"] is not None else "difference"
    start = "" if kind == "ratio" else "difference_"
    if not made["attained"]:
        return made.get(kind), None, None
    return made.get(kind), made.get(f"{start}low"), made.get(f"{start}high")


def interval(place: Record, unit: str) -> str:
    """Return the interval of a median cost in words, '' where it claims nothing: one seed has none,
    and one that lies among the misses has no end. Of ten and more, counts are whole: the next ones outside.

    Example:
        >>> interval({"steps_low": 150.4, "steps_high": 171.2, "attained": 0.95}, "steps")
        '150–172'
    """
    low, high = place[f"{unit}_low"], place[f"{unit}_high"]
    if low is None or not place["attained"]:
        return ""
    if unit != "seconds" and low >= _WHOLE:
        low, high = math.floor(low), None if high is None else math.ceil(round(high, 6))
    return text.span(text.cost(low, unit), text.cost(high, unit))


def final_range(place: Record, metric: str) -> str:
    """Return the range of the seeds' final figures in words, '' where fewer than two have one."""
    ended = place["trials"] - place["diverged"] - place["failed"]
    if place["final_low"] is None or ended < 2:
        return ""
    return text.span(
        *(text.metric_value(place[end], metric) for end in ("final_low", "final_high"))
    )


def groups_follow(result: Record) -> bool:
    """Say whether the ranking lists the groups one after another.

    It need not: ranks go by means, groups by tests. An entrant whose costs scatter may rank below
    another group and still not be distinguishable from the best of its own.
    """
    groups = [place["group"] for place in result["standings"]]
    return groups == sorted(groups)


def group_letter(place: Record) -> str:
    """Return the letter of a group: a, b, …, z, aa, …

    >>> [group_letter({"group": g}) for g in (1, 2, 26, 27)]
    ['a', 'b', 'z', 'aa']
    """
    number, letters = place["group"], ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def groups_legend(result: Record) -> str:
    """Return what the lines between groups mean, or the letters where lines cannot separate them."""
    if len({place["group"] for place in result["standings"]}) < 2:
        return ""
    if groups_follow(result):
        return "Between two lines, nobody is distinguishable from the first of them."
    return "Nobody is distinguishable from the first of the same letter."


def tied(result: Record) -> list[str]:
    """Return those that may be the best, where the seeds could tell and they are more than one."""
    named = may_be_best(result)
    return [] if len(named) < 2 or few(result["comparisons"]) else named


def looked_again(result: Record) -> tuple[list[str], list[int]]:
    """Return those that ran more seeds than the others, as the first left them in question, and these seeds.

    They come first in the ranking. Older results have none.

    Example:
        >>> (
        ...     looked_again({"second_look": {"entrants": ["a", "b"], "seeds": [8, 9]}}),
        ...     looked_again({}),
        ... )
        ((['a', 'b'], [8, 9]), ([], []))
    """
    look = result.get("second_look") or {}
    return list(look.get("entrants", ())), list(look.get("seeds", ()))


def few(comparisons: Sequence[Record]) -> bool:
    """Say whether there are too few seeds for any of the comparisons to tell two entrants apart."""
    return bool(comparisons) and all(c.get("too_few") for c in comparisons)


def _good(metric: float, target: float, direction: str) -> bool:
    return metric >= target if direction == "max" else metric <= target


def _point(trial: Record) -> tuple[float, dict[str, Any]]:
    return trial["lr"], dict(trial["hyperparameters"])


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _inverse(ratio: float | None) -> float | None:
    if ratio is None or ratio == 0:
        return None
    return 1 / ratio if math.isfinite(ratio) else None
