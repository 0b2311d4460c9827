"""A small race of strategies that start a model: one optimizer, tuned for each, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.known import find_entrant
from thalweg.race.result import RaceResult
from thalweg.report import plain_table, verdict
from thalweg.tasks import Task

AS_BUILT = "default"
"""The name of the start that the task's own model has."""
_RATES = 5
_SEEDS = 8
"""As many as judge a race."""


@dataclass(frozen=True)
class StartRace:
    """What a race of starts found; `str` gives its verdict, its table and the comparisons."""

    result: RaceResult
    optimizer: str

    def to_dict(self) -> dict[str, Any]:
        """Return what a page and a document show: the verdict, a row for each start, the evidence."""
        record = self.result.to_dict()
        return {
            "optimizer": self.optimizer,
            "verdict": verdict(record),
            "may_be_best": record["may_be_best"],
            "how": self._how(record),
            "headings": ["start", "learning rate", "reached", f"final {record['metric']['name']}"],
            "rows": [_row(place) for place in record["standings"]],
            "evidence": self.evidence(record),
            "budget": record["budget"],
            "standings": record["standings"],
            "comparisons": record["comparisons"],
        }

    def _how(self, record: Mapping[str, Any]) -> str:
        budget = record["budget"]
        return (
            f"{self.optimizer} for {budget['epochs']} epochs, {budget['gradients']:.4g} gradients a trial: "
            f"for each start the best of {budget['trials']} learning rates, then "
            f"{len(budget['final_seeds'])} other seeds. What a strategy computes before the first step is "
            "not counted."
        )

    def evidence(self, record: Mapping[str, Any]) -> list[str]:
        """Return how the first start compares with each other one, with interval and corrected p."""
        first = record["standings"][0]["entrant"] if record["standings"] else None
        return [
            c["text"] + "." for c in record["comparisons"] if first in (c["first"], c["second"])
        ]

    def __str__(self) -> str:
        record = self.result.to_dict()
        parts = (
            verdict(record),
            self._how(record),
            plain_table(record),
            "\n".join(self.evidence(record)),
        )
        return "\n\n".join(filter(None, parts))


def start_settings(
    task: Task, strategies: Sequence[str], optimizer: str = "adam", epochs: int | None = None
) -> dict[str, Any]:
    """Return the arguments of a race of one optimizer from several starts, with equal gradients for each.

    Args:
        task: what is trained on.
        strategies: names as `thalweg.init` has them; "default" is the task's own start.
        optimizer: by name; its learning rate is tuned for each start.
        epochs: of a trial; None: a tenth of the task's own number, at least one.

    Raises:
        TaskError: for a strategy or an optimizer that is not known.

    >>> from thalweg.tasks import load_task
    >>> settings = start_settings(load_task("digits"), ["default", "he"])
    >>> [entrant.init for entrant in settings["entrants"]], settings["by"], settings["epochs"]
    ([None, 'he'], 'gradients', 3)
    """
    return {
        "entrants": [_entrant(name, optimizer) for name in strategies],
        "trials": _RATES,
        "seeds": 1,
        "final_seeds": _SEEDS,
        "more_seeds": 0,
        "epochs": max(1, task.epochs // 10) if epochs is None else epochs,
        "by": "gradients",
        "out": None,
    }


def _entrant(name: str, optimizer: str) -> Entrant:
    return replace(find_entrant(optimizer), name=name, init=None if name == AS_BUILT else name)


def _row(place: Mapping[str, Any]) -> list[str]:
    final, low, high = (place[key] for key in ("final", "final_low", "final_high"))
    shown = "" if final is None else f"{final:.4g}"
    if final is not None and low is not None and high is not None:
        shown += f" ({low:.4g}–{high:.4g})"
    rate = "" if place["lr"] is None else f"{place['lr']:.3g}"
    rate += {"lower": " (edge)", "upper": " (edge)", "single": " (only)"}.get(place["edge"], "")
    return [place["entrant"], rate, f"{place['reached']} of {place['trials']}", shown]
