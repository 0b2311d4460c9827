"""What the race cost each entrant: tuning and final trials, and a step."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from thalweg.report.data import text
from thalweg.report.data.reading import Record, names
from thalweg.report.parts.section import Section, table
from thalweg.report.parts.tables import Column, cell, named, row, sortable

_COLUMNS = (
    Column("optimizer", left=True),
    Column("gradient-equivalents", left=True),
    Column("tuning"),
    Column("final"),
    Column("trials"),
    Column("milliseconds a step"),
    Column("times the fastest"),
)


def cost_section(result: Record) -> Section | None:
    """Return the section of the costs, None before the first trial."""
    order = names(result)
    costs = sorted(result["cost"], key=lambda spent: order.index(spent["entrant"]))
    if not costs:
        return None
    most = max(row["tuning"]["gradients"] + row["final"]["gradients"] for row in costs) or 1.0
    paces = [row["seconds_a_step"] for row in costs if row["seconds_a_step"]]
    fastest = min(paces, default=None)
    rows = [_row(result, spent, most, fastest) for spent in costs]
    stacked = any(trial.get("stacked", 1) > 1 for trial in result["trials"])
    alone = (
        " Trials trained in stacks, so a step is timed for each entrant alone." if stacked else ""
    )
    return Section(
        key="cost",
        title="Cost",
        hint=(
            "A gradient-equivalent is one forward and one backward pass over as many rows as a batch of the "
            "task has. In the bars, "
            f"tuning is dark and the final trials are light.{escape(alone)}{_spread(costs)}"
        ),
        body=sortable(_COLUMNS, rows, "Cost", "costs"),
        table=table(
            [
                "entrant", "tuning_trials", "tuning_gradients", "tuning_seconds", "final_trials",
                "final_gradients", "final_seconds", "seconds_a_step", "seconds_spread",
            ],
            [
                [
                    spent["entrant"],
                    *(spent[s][n] for s in ("tuning", "final") for n in ("trials", "gradients", "seconds")),
                    spent["seconds_a_step"],
                    spent.get("seconds_spread"),
                ]
                for spent in costs
            ],
        ),
    )  # fmt: skip


def _spread(costs: Sequence[Record]) -> str:
    if all(spent.get("seconds_spread") is None for spent in costs):
        return ""
    return " Behind ±: how far the turns in which a step was timed lie apart (their standard deviation)."


def _row(result: Record, spent: Record, most: float, fastest: float | None) -> str:
    tuning, final = spent["tuning"], spent["final"]
    total = tuning["gradients"] + final["gradients"]
    shares = [100 * part["gradients"] / most for part in (tuning, final)]
    bar = (
        f'<span class="bar" role="img" aria-label="{text.count(total)} in all">'
        f'<i style="width:{shares[0]:.1f}%"></i><i class="light" style="width:{shares[1]:.1f}%"></i>'
        "</span>"
    )
    pace = spent["seconds_a_step"]
    return row(
        [
            cell(named(spent["entrant"]), spent["entrant"], left=True),
            cell(bar, total, left=True),
            cell(_whole(tuning["gradients"]), tuning["gradients"]),
            cell(_whole(final["gradients"]), final["gradients"]),
            cell(f"{tuning['trials']} + {final['trials']}", tuning["trials"] + final["trials"]),
            cell(_milliseconds(pace, spent.get("seconds_spread")), pace),
            cell(f"{pace / fastest:.2f}" if pace and fastest else "–", pace),
        ],
        spent["entrant"],
    )


def _milliseconds(pace: float | None, spread: float | None) -> str:
    """A step's time with its spread from turn to turn.

    >>> _milliseconds(0.00123, 0.042), _milliseconds(0.00123, None), _milliseconds(None, None)
    ('1.23 ± 4.2 %', '1.23', '–')
    """
    if not pace:
        return "–"
    return f"{1000 * pace:.3g}" + (f" ± {100 * spread:.2g} %" if spread is not None else "")


def _whole(gradients: float) -> str:
    return f"{gradients:,.0f}"
