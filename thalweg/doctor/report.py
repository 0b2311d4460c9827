"""What the doctor found in a run: verdicts in the order of their importance, and what looking cost."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from thalweg.doctor.verdict import KINDS, STATUSES, Verdict
from thalweg.numeric import without_nonfinite
from thalweg.text_table import html_table


@dataclass(frozen=True)
class WatchingCost:
    """What watching and forks cost, apart.

    Args:
        seconds: of watching.
        training: seconds of training while it was watched.
        gradients: of forks, in gradient-equivalents.
    """

    seconds: float = 0.0
    training: float = 0.0
    gradients: float = 0.0

    @property
    def share(self) -> float:
        """The time of watching as a share of that of training."""
        return self.seconds / self.training if self.training else 0.0

    def __str__(self) -> str:
        watching = f"watching took {self.seconds:.2g} s, {100 * self.share:.1f} % of training"
        return f"{watching}; forks {self.gradients:.0f} gradient-equivalents"


@dataclass(frozen=True)
class Report:
    """The verdicts on a run.

    Args:
        verdicts: in any order; they are kept in that of their importance.
        unwatched: what could not be watched, a sentence each.
        cost: of watching and of forks.
        steps: how many steps were seen.
        losses: of the batches, as points (step, loss), neighbours averaged.
    """

    verdicts: tuple[Verdict, ...] = ()
    unwatched: tuple[str, ...] = ()
    cost: WatchingCost = field(default_factory=WatchingCost)
    steps: int = 0
    losses: tuple[tuple[int, float], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        faults = {v.symptom for v in self.verdicts if v.kind == "fault" and v.status == "confirmed"}
        ordered = sorted(self.verdicts, key=lambda verdict: _importance(verdict, faults))
        object.__setattr__(self, "verdicts", tuple(ordered))

    @property
    def faults(self) -> tuple[Verdict, ...]:
        """The verdicts that say something is wrong, the first the most important."""
        return tuple(v for v in self.verdicts if v.is_fault)

    @property
    def healthy(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    def __getitem__(self, symptom: str) -> Verdict:
        """Return the first verdict on a symptom; KeyError where there is none."""
        for verdict in self.verdicts:
            if verdict.symptom == symptom:
                return verdict
        raise KeyError(symptom)

    def __contains__(self, symptom: object) -> bool:
        return any(v.symptom == symptom for v in self.verdicts)

    def __str__(self) -> str:
        lines = [str(v) for v in self.verdicts]
        if self.healthy:
            lines.insert(0, f"No fault was found in {self.steps} steps.")
        lines += [f"Could not be watched: {what}" for what in self.unwatched]
        return "\n".join([*lines, f"Cost: {self.cost}."])

    def _repr_html_(self) -> str:
        """Return the report as a table for notebooks."""
        headings = ("symptom", "where", "kind", "status", "what")
        table = html_table(headings, map(_cells, self.verdicts))
        first = "" if self.faults else f"<p>No fault was found in {self.steps} steps.</p>"
        notes = "".join(
            f"<p>Could not be watched: {html.escape(what)}</p>" for what in self.unwatched
        )
        return f"{first}{table}{notes}<p>Cost: {self.cost}.</p>"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "healthy": self.healthy,
            "steps": self.steps,
            "verdicts": [v.to_dict() for v in self.verdicts],
            "unwatched": list(self.unwatched),
            "losses": [without_nonfinite(list(point)) for point in self.losses],
            "cost": {
                "seconds": self.cost.seconds,
                "training": self.cost.training,
                "share": self.cost.share,
                "gradients": self.cost.gradients,
            },
        }


def _importance(verdict: Verdict, faults: set[str]) -> tuple[int, int, int, float]:
    """Return what verdicts are sorted by: kind, how well it is known, how many of the confirmed faults say
    more, the effect of the remedy.
    """
    ratio = 1.0 if verdict.effect is None else verdict.effect.ratio
    known = KINDS.index(verdict.kind), STATUSES.index(verdict.status)
    return *known, len(faults & set(verdict.behind)), ratio


def _cells(verdict: Verdict) -> tuple[str, ...]:
    parts = (verdict.statistic, verdict.words or None, verdict.remedy, verdict.effect)
    what = ". ".join(str(part).rstrip(".") for part in parts if part is not None)
    return verdict.symptom, verdict.where, verdict.kind, verdict.status, what
