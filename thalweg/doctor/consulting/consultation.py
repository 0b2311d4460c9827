"""A consultation: checks before training, a watched run, forks, and, if it is wanted, the treatment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from thalweg.doctor.before.recipe import check
from thalweg.doctor.consulting.treatment import treated
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.doctor.report import Report
from thalweg.doctor.verdict import Remedy, Verdict
from thalweg.errors import DivergedError, TaskError
from thalweg.numeric import without_nonfinite
from thalweg.train.recipe import Recipe
from thalweg.train.run import Run
from thalweg.train.running.listeners import Listener
from thalweg.whole import whole_number

ROUNDS = 3
"""How many remedies are taken one after the other: what is wrong may hide something else."""


@dataclass(frozen=True)
class Treatment:
    """One remedy that was taken, and the run that followed.

    Args:
        verdict: what it was taken for.
        recipe: with the remedy.
        run: by that recipe.
        report: on that run.
        before: figures of the run before, on the validation set, or else on the training set.
        after: those of this run.
    """

    verdict: Verdict
    recipe: Recipe
    run: Run
    report: Report
    before: dict[str, float]
    after: dict[str, float]

    @property
    def is_better(self) -> bool:
        """Whether the loss is lower than before."""
        return _loss(self.after) < _loss(self.before)

    @property
    def remedy(self) -> Remedy:
        """The remedy."""
        assert self.verdict.remedy is not None
        return self.verdict.remedy

    def __str__(self) -> str:
        figures = ", ".join(
            f"{name} {self.before.get(name, math.nan):.4g} → {value:.4g}"
            for name, value in self.after.items()
        )
        kept = "" if self.is_better else "; no better, and undone"
        return f"{self.verdict.symptom}: {self.remedy}: {figures}{kept}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "symptom": self.verdict.symptom,
            "remedy": self.remedy.to_dict(),
            "before": without_nonfinite(self.before),
            "after": without_nonfinite(self.after),
            "is_better": self.is_better,
            "report": self.report.to_dict(),
        }


@dataclass(frozen=True)
class Consultation:
    """What the doctor found of a recipe: the report, the run, and what was done.

    `recipe` is that of the last treatment that helped, or the one that was given.
    """

    recipe: Recipe
    run: Run
    report: Report
    treatments: tuple[Treatment, ...] = ()

    @property
    def latest(self) -> Report:
        """The report on the run by `recipe`."""
        return next((t.report for t in reversed(self.treatments) if t.is_better), self.report)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "task": self.run.task.name,
            "report": self.report.to_dict(),
            "treatments": [each.to_dict() for each in self.treatments],
        }


def consult(
    recipe: Recipe,
    *,
    fix: bool = False,
    rounds: int = ROUNDS,
    budget: float = 0.05,
    forks: float = 5000.0,
    progress: bool | None = None,
    callbacks: Iterable[Listener] = (),
) -> Consultation:
    """Check a recipe, train by it while the doctor watches, and confirm by forks what is suspected.

    Args:
        recipe: what is to be trained.
        fix: take the remedies of confirmed faults, one after the other, and train again with each.
        rounds: how many of them at most.
        budget: the time of watching as a share of that of training.
        forks: gradient-equivalents that the forks of a run may cost.
        progress: as in `fit`.
        callbacks: of the first run.

    A run that diverges is reported on, too. Raises TaskError for what cannot be trained.

    >>> from thalweg.tasks import load_task
    >>> found = consult(Recipe(load_task("diabetes"), "adam", lr=0.01, epochs=2), progress=False)
    >>> found.report.healthy
    True
    """
    rounds = whole_number("rounds", rounds)
    checked = check(recipe)
    run, watched = _watched(recipe, budget, forks, progress, callbacks)
    report = _joined(checked, watched)
    treatments: list[Treatment] = []
    current, figures, latest = recipe, _figures(run), report
    for _ in range(rounds if fix else 0):
        in_vain = {each.remedy.name for each in treatments if not each.is_better}
        chosen = _next(current, latest, in_vain)
        if chosen is None:
            break
        verdict, better = chosen
        its_run, its_report = _watched(better, budget, forks, progress, ())
        after = _figures(its_run)
        treatments.append(Treatment(verdict, better, its_run, its_report, figures, after))
        if treatments[-1].is_better:
            current, figures, latest = better, after, its_report
    return Consultation(current, run, report, tuple(treatments))


def _next(recipe: Recipe, report: Report, in_vain: set[str]) -> tuple[Verdict, Recipe] | None:
    """Return the most important confirmed fault that a change of the recipe mends, with that recipe.

    Remedies that were taken `in_vain` are not taken again.
    """
    for verdict in report.faults:
        remedy = verdict.remedy
        if verdict.status != "confirmed" or remedy is None or remedy.name in in_vain:
            continue
        better = treated(recipe, remedy)
        if better is not None:
            return verdict, better
    return None


def _watched(
    recipe: Recipe,
    budget: float,
    forks: float,
    progress: bool | None,
    callbacks: Iterable[Listener],
) -> tuple[Run, Report]:
    diagnosis = Diagnosis(budget=budget, forks=forks)
    try:
        run = recipe.fit(progress=progress, callbacks=[*callbacks, diagnosis])
    except DivergedError as error:
        found = getattr(error, "run", None)
        if found is None:
            raise
        run = found
    return run, diagnosis.report


def _joined(checked: Report, watched: Report) -> Report:
    """Return both reports as one; what both saw is said once."""
    seen = {(v.symptom, v.where) for v in checked.verdicts}
    verdicts = [v for v in watched.verdicts if (v.symptom, v.where) not in seen]
    return dataclasses.replace(
        watched,
        verdicts=(*checked.verdicts, *verdicts),
        unwatched=(*checked.unwatched, *watched.unwatched),
    )


def _figures(run: Run) -> dict[str, float]:
    name = "train" if run.task.data.validation is None else "validation"
    try:
        figures = dict(run.evaluate(name).as_dict())
    except (DivergedError, TaskError):  # outputs that are not finite
        return {"loss": math.nan}
    if not figures.get("penalty"):
        figures.pop("penalty", None)
    return figures


def _loss(figures: dict[str, float]) -> float:
    value = figures.get("loss", math.nan)
    return value if math.isfinite(value) else math.inf
