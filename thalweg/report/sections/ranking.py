"""The ranking: a table with intervals, and in it the forest plot of the effects against the first."""

from __future__ import annotations

from html import escape
from typing import Any

from thalweg.numeric import plural
from thalweg.report.data import text
from thalweg.report.data.reading import (
    UNITS,
    Record,
    against_first,
    decided_by_final,
    effect,
    final_range,
    group_letter,
    groups_follow,
    groups_legend,
    interval,
    is_judged,
    looked_again,
    nobody_ended,
    tied,
)
from thalweg.report.parts import forest
from thalweg.report.parts.section import Section, table
from thalweg.report.parts.tables import Column, cell, maybe_missed, named, row, sortable
from thalweg.report.words.effects import OUTCOMES, effect_words, every_pair, per_seed

EDGES = {"lower": "lower edge", "upper": "upper edge", "single": "only one"}


def ranking_section(result: Record) -> Section | None:
    """Return the section of the ranking, None where nothing is ranked yet."""
    places = result["standings"]
    if not places:
        return None
    made = against_first(result)
    scale = _scale(result, made)
    rows = [_row(result, place, made, scale) for place in places]
    return Section(
        key="ranking",
        title="Ranking",
        hint=_hint(result, made),
        body=sortable(_columns(result, scale), rows, "Ranking", "ranking") + every_pair(result),
        table=_numbers(result, made),
    )


def _columns(result: Record, scale: forest.EffectAxis | None) -> list[Column]:
    unit = result["rank_by"]
    metric = escape(text.spaced(result["metric"]["name"]))
    columns = [Column("#", left=True), Column("optimizer", left=True)]
    against = Column(_against(result), left=True, after="" if scale is None else forest.axis(scale))
    if not decided_by_final(result):
        columns.append(Column(f"{UNITS[unit]} to target"))
        columns += [against] if scale else []
        columns += [Column("seconds")] if unit != "seconds" else []
    if result["target"] is not None:
        columns.append(Column("reached"))
    columns.append(Column(f"final {metric}"))
    columns += [against] if scale and decided_by_final(result) else []
    return [*columns, Column("learning rate")]


def _against(result: Record) -> str:
    first = escape(result["standings"][0]["entrant"])
    if not decided_by_final(result):
        return f"{text.times_as(result['rank_by'])} as {first}"
    points = ", points" if text.is_share(result["metric"]["name"]) else ""
    return f"minus that of {first}{points}"


def _row(
    result: Record, place: Record, made: dict[str, dict[str, Any]], scale: forest.EffectAxis | None
) -> str:
    unit, name = result["rank_by"], place["entrant"]
    others = ", ".join(f"{key} {text.value(v)}" for key, v in place["hyperparameters"].items())
    are_lines = groups_follow(result)
    letter = "" if are_lines else group_letter(place)
    cells = [
        cell(str(place["rank"]), place["rank"], letter, left=True),
        cell(named(name), name, _may_be_best(result, name), left=True),
    ]
    against = [] if scale is None else [_effect_cell(result, name, made.get(name), scale)]
    if not decided_by_final(result):
        cells += [_cost_cell(place, unit), *against]
        cells += [_cost_cell(place, "seconds")] if unit != "seconds" else []
    if result["target"] is not None:
        cells.append(cell(f"{place['reached']} of {place['trials']}", place["reached"]))
    cells.append(_final_cell(result, place))
    cells += against if decided_by_final(result) else []
    edge = EDGES.get(place["edge"] or "", "")
    marked = f'<span class="edge">{edge}</span>' if edge else ""
    cells.append(cell(text.rate(place["lr"]), place["lr"], f"{marked} {escape(others)}".strip()))
    places = result["standings"]
    before = places[max(places.index(place) - 1, 0)]
    return row(cells, name, "group" if are_lines and before["group"] != place["group"] else "")


def _may_be_best(result: Record, name: str) -> str:
    best = "best" if decided_by_final(result) else "fastest"
    return f"may be the {best}" if name in tied(result) else ""


def _cost_cell(place: Record, unit: str) -> str:
    words = maybe_missed(text.cost(place[unit], unit))
    return cell(words, place[unit], interval(place, unit))


def _effect_cell(
    result: Record, name: str, made: dict[str, Any] | None, scale: forest.EffectAxis
) -> str:
    first = result["standings"][0]["entrant"]
    if name == first:
        words, told, key = ("1" if scale.kind == "ratio" else "0"), "the first", scale.equals
    elif made is None or effect(made)[0] is None:
        return cell("", None, "not compared", left=True)
    else:
        words, key = effect_words(made, result["metric"]["name"]), effect(made)[0] or 0.0
        told = OUTCOMES[scale.kind].get(made["outcome"], made["outcome"])
    spoken = escape(f"{words}, against {first}: {told}")
    drawn = forest.mark(scale, made, per_seed(result, name, first), spoken)
    return cell(
        f'<span class="effect-cell">{drawn}<span class="figures">{words}'
        f'<span class="minor">{told}</span></span></span>',
        key,
        left=True,
    )


def _final_cell(result: Record, place: Record) -> str:
    metric = result["metric"]["name"]
    parts = [found] if (found := final_range(place, metric)) else []
    parts += [f"{place[what]} {what}" for what in ("diverged", "failed") if place[what]]
    return cell(text.metric_value(place["final"], metric), place["final"], ", ".join(parts))


def _hint(result: Record, made: dict[str, dict[str, Any]]) -> str:
    places = result["standings"]
    seeds = len(result["judged_seeds"])
    if nobody_ended(result):
        return "No trial came to its end, so the order supports no claim."
    if not is_judged(result):
        return (
            f"The race was stopped before its final: the order is that of the {plural(seeds, 'seed')} "
            "that chose the points, and supports no claim."
        )
    hint = f"Judged on {_first_seeds(result)}, the same for all"
    if seeds < 2:
        hint += "."
    elif decided_by_final(result):
        hint += ": medians, and under them the range of the seeds."
    elif places[0]["attained"]:
        attained = text.percent(places[0]["attained"])
        hint += f": medians, and under them their {attained} intervals."
    else:
        hint += "."
    hint += _second_look(result)
    if made:
        alpha = next(iter(made.values()))["alpha"]
        told = any(c["outcome"] != "not distinguishable" for c in made.values())
        hint += (
            " A full mark is told from the first, a hollow one is not distinguishable from it "
            if told
            else " A hollow mark is not distinguishable from the first "
        )
        hint += (
            f"({_test(result)}, α&nbsp;=&nbsp;{alpha:g}); dots are the seeds.{_tuned_so(result)}"
        )
    return f"{hint} {groups_legend(result)}".strip()


def _first_seeds(result: Record) -> str:
    """On how many seeds everyone is judged."""
    return plural(len(result["judged_seeds"]) - len(looked_again(result)[1]), "fresh seed")


def _second_look(result: Record) -> str:
    """Who was judged on more seeds, and why."""
    names, seeds = looked_again(result)
    if not names:
        return ""
    best = "best" if decided_by_final(result) else "fastest"
    return (
        f" Which of {escape(text.listed(names))} is the {best} was still open then: these ran "
        f"{plural(len(seeds), 'more seed')}, come first, and are ordered by all of their seeds."
    )


def _tuned_so(result: Record) -> str:
    """What the claims are about: the optimizers, or the points that tuning chose."""
    if "slack" not in result:
        return " Claims are about the points that tuning chose, not about what another tuning may find."
    return (
        " Claims are about the optimizers, tuned so: where their points were close, the intervals allow for "
        "a choice that was unlucky."
    )


def _test(result: Record) -> str:
    if "may_be_best" in result:
        return "sign flips and intervals of all pairs at once"
    return "paired test, corrected for all pairs"  # an older result, with intervals of single pairs


def _scale(result: Record, made: dict[str, dict[str, Any]]) -> forest.EffectAxis | None:
    """The axis of the forest plot, None where nothing was compared."""
    shown = [value for c in made.values() for value in effect(c)]
    if not any(value is not None for value in shown):
        return None
    if decided_by_final(result):
        return forest.EffectAxis.over("difference", shown, text.points(result["metric"]["name"]))
    return forest.EffectAxis.over("ratio", shown)


def _numbers(result: Record, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    units = [f"{unit}{end}" for unit in UNITS for end in ("", "_low", "_high")]
    plain = [
        "rank", "group", "entrant", "lr", *units, "reached", "trials", "diverged", "failed",
        "final", "final_low", "final_high", "attained",
    ]  # fmt: skip
    compared = ["outcome", "ratio", "low", "high", "bound", "corrected"]
    if decided_by_final(result):
        compared[1:4] = ["difference", "difference_low", "difference_high"]
    return table(
        [*plain, *(f"against_first_{name}" for name in compared)],
        [
            [place[n] for n in plain] + [made.get(place["entrant"], {}).get(n) for n in compared]
            for place in result["standings"]
        ],
    )
