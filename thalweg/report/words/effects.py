"""How two entrants compare, in words and as a table of every pair.

By cost the effect is a ratio; where nobody reached the target it is the difference of the final
figures.
"""

from __future__ import annotations

from html import escape

from thalweg.report.data import text
from thalweg.report.data.reading import (
    Record,
    against,
    decided_by_final,
    effect,
    judging_trials,
    reached_at,
)
from thalweg.report.parts.tables import heat

OUTCOMES = {
    "ratio": {"worse": "slower", "better": "faster"},
    "difference": {"worse": "worse", "better": "better"},
}
"""What an outcome is called, by the kind of the effect."""

_BOUNDS = {"at least": "≥ {}", "at most": "≤ {}", "unknown": "{}, open"}


def effect_words(made: Record, metric: str) -> str:
    """Return an effect with its bound or interval, such as '≥ 1.91' or '1.51 (1.39–1.67)'; 'open'
    says that misses on both sides leave it open.
    """
    value, low, high = effect(made)
    if value is None:
        return ""

    def words(number: float) -> str:
        if made["ratio"] is not None:
            return text.factor(number)
        return text.difference(number, metric)

    if made["bound"] != "exact":
        return _BOUNDS[made["bound"]].format(words(value))
    if low is None or high is None:
        return words(value)
    joined = text.span(words(low), words(high))
    return (
        f"{words(value)} ({joined if made['ratio'] is not None else joined.replace('–', ' to ')})"
    )


def _bounded(made: Record, metric: str) -> str:
    """An effect as a cell of the table of pairs has it: with its bound, without its interval."""
    value = effect(made)[0]
    if value is None or made["bound"] == "unknown":
        return "–"
    told = text.factor(value) if made["ratio"] is not None else text.difference(value, metric)
    return told if made["bound"] == "exact" else _BOUNDS[made["bound"]].format(told)


def per_seed(result: Record, entrant: str, other: str) -> list[float]:
    """Return the effect with each seed for which both have one."""
    final = decided_by_final(result)
    costs = [
        {t["seed"]: t["final"] if final else reached_at(result, t) for t in trials}
        for trials in (judging_trials(result, entrant), judging_trials(result, other))
    ]
    both = [(own, costs[1].get(seed)) for seed, own in costs[0].items()]
    known = [(a, b) for a, b in both if a is not None and b is not None]
    return [a - b for a, b in known] if final else [a / b for a, b in known if b]


def every_pair(result: Record) -> str:
    """Every pair as a table, not only those with the first: folded away."""
    made = [c for c in result["comparisons"] if effect(c)[0] is not None]
    if len(made) < 2:
        return ""
    metric, final = result["metric"], decided_by_final(result)
    values: dict[tuple[str, str], tuple[float | None, str, str]] = {}
    for c in made:
        for one, other in ((c["first"], c["second"]), (c["second"], c["first"])):
            read = against(result, one, other) or c
            worse = {"worse": 1, "better": -1}.get(read["outcome"], 0)
            tint = None if worse == 0 else worse * (0.6 if final else strength(effect(c)[0] or 1.0))
            values[one, other] = (tint, _bounded(read, metric["name"]), c["text"])
    order = [place["entrant"] for place in result["standings"]]
    what = (
        f"The final {escape(text.spaced(metric['name']))} of the row minus that of the column"
        f"{', in points' if text.is_share(metric['name']) else ''}."
        if final
        else f"How many {in_pairs(result['rank_by'])}."
    )
    return (
        f'<details><summary>All pairs</summary><p class="hint">{what} Tinted where the two are told '
        f"apart; a dash where misses on both sides leave it open.</p>"
        f"{heat(order, values, 'All pairs')}</details>"
    )


def in_pairs(unit: str) -> str:
    """Return what a ratio of the row to the column counts, after 'how many'.

    >>> in_pairs("steps")
    'times as many steps the entrant of the row needs as that of the column'
    """
    verb = "takes" if unit == "seconds" else "needs"
    return f"{text.times_as(unit)} the entrant of the row {verb} as that of the column"


def strength(ratio: float) -> float:
    """Return how strongly a ratio is tinted: fully from a factor of 2, either way.

    >>> strength(1.5), strength(1 / 1.5), strength(9.0)
    (0.5, 0.5, 1.0)
    """
    return min(max(ratio, 1 / ratio) - 1, 1.0)
