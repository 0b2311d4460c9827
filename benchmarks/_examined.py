"""A patient before the doctor: what is found, whether it is true, and whether the remedy helps."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from _case import Case, Outcome, Patient
from _healthy import HEALTHY
from _patients import INFORMED, PLANTS
from _peers import PEERS, Recorder
from _unlisted import UNLISTED

from thalweg import doctor
from thalweg.tasks import Data
from thalweg.train import Recipe, evaluate

PATIENTS: dict[str, Patient] = {
    each.name: each for each in (*PLANTS, *UNLISTED, *INFORMED, *HEALTHY)
}
"""All of them by name."""


@dataclass(frozen=True)
class Examined:
    """What was found in one patient.

    `harm` is whether the plant is worse than its twin, None for healthy runs; `faults` are the symptoms
    called faults, the most important first, `told` those called warnings or information; `helped` is whether
    the first remedy made the run better, None where there is none or it cannot be tried; `peers` is what the
    rules of the others find.
    """

    name: str
    seed: int
    harm: bool | None
    faults: tuple[str, ...]
    told: tuple[str, ...]
    helped: bool | None
    by_retraining: bool
    seconds: float
    unwatched: tuple[str, ...] = ()
    peers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def patient(self) -> Patient:
        """The patient that was examined."""
        return PATIENTS[self.name]


def examined(name: str, seed: int, *, peers: bool = True, by_hand: bool = False) -> Examined:
    """Examine one draw of a patient."""
    patient = PATIENTS[name]
    case = patient.make(seed)
    outcome, others = _told_by_peers(case) if peers else (case.fit(), {})
    harm = None
    if patient.twin is not None and not patient.information:
        harm = _is_worse(case, outcome, patient.twin(seed))
    began = time.perf_counter()
    report = _report_by_hand(case) if by_hand else _report(case)
    seconds = time.perf_counter() - began
    faults = tuple(verdict.symptom for verdict in report.faults)
    helped, by_retraining = _helped(case, outcome, report.faults)
    return Examined(
        name,
        seed,
        harm,
        faults,
        tuple(v.symptom for v in report.verdicts if not v.is_fault and v.status != "refuted"),
        helped,
        by_retraining,
        seconds,
        report.unwatched,
        others,
    )


def _is_worse(case: Case, outcome: Outcome, twin: Case) -> bool:
    """Return whether a plant is worse than its twin, both by the loss of the twin."""
    healthy = twin.fit()
    if case.task.cost == twin.task.cost or outcome.model is None or outcome.error:
        return outcome.worse_than(healthy)
    measured = evaluate(outcome.model, twin.task.data.validation, twin.task.cost)
    metrics = tuple(measured.metrics.values())[:1]
    last = dataclasses.replace(healthy, losses=healthy.losses[-1:], metrics=healthy.metrics[-1:])
    return dataclasses.replace(outcome, losses=(measured.loss,), metrics=metrics).worse_than(last)


def _report(case: Case) -> Any:
    """Return what `thalweg doctor` says: it checks the recipe, and watches `fit`, which knows all sets."""
    hyperparameters = dict(case.hyperparameters)
    recipe = Recipe(case.task, case.optimizer, **case.settings, hyperparameters=hyperparameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return doctor.consult(recipe, progress=False).report


def _report_by_hand(case: Case) -> Any:
    """Return what the doctor says of a loop that is written by hand."""
    loop = case.loop()
    rows = case.task.data.train.rows or 0
    planned = case.epochs * -(-rows // (case.batch_size or rows))
    cost = case.task.cost
    with doctor.Doctor(loop.model, loop.optimizer, loss=cost, planned=planned) as watching:
        for loss, batch in loop:
            watching.step(loss, batch=batch)
        return watching.report()


def _told_by_peers(case: Case) -> tuple[Outcome, dict[str, tuple[str, ...]]]:
    recorder = Recorder()
    outcome = case.fit([recorder])
    if recorder.seen is None:
        return outcome, {}
    recorder.seen.raised = bool(outcome.error)
    return outcome, {name: tuple(sorted(rule(recorder.seen))) for name, rule in PEERS.items()}


def _helped(case: Case, outcome: Outcome, faults: Sequence[Any]) -> tuple[bool | None, bool]:
    """Return whether the first remedy makes the run better, and whether a new training says so.

    Where a recipe cannot take the remedy, it is the effect that the doctor measured.
    """
    first = next((each for each in faults if each.remedy is not None), None)
    if first is None:
        return None, False
    changed = treated(case, first.remedy.settings)
    if changed is not None:
        return outcome.worse_than(changed.fit()), True
    if first.effect is None:
        return None, False
    return bool(first.effect.ratio < 0.9 and first.effect.high < 1), False


def treated(case: Case, settings: Any) -> Case | None:
    """Return the case with a remedy's settings; None where a recipe has no such setting."""
    known = {"lr_factor", "clip", "weight_decay_factor", "shuffle", "batch_factor", "init", "scale"}
    if not settings or not set(settings) <= known:
        return None
    given = dict(settings)
    if "lr_factor" in given:
        case = case.replace(lr=case.lr * given["lr_factor"])
    if "clip" in given:
        case = case.replace(clip_norm=given["clip"])
    if "weight_decay_factor" in given:
        decay = case.hyperparameters.get("weight_decay", 0.01) * given["weight_decay_factor"]
        case = case.replace(hyperparameters={**case.hyperparameters, "weight_decay": decay})
    if "shuffle" in given:
        case = case.replace(shuffle="epoch")
    if "batch_factor" in given:
        case = case.replace(batch_size=(case.batch_size or 1) * given["batch_factor"])
    if "scale" in given:
        case = case.replace(task=case.task.replace(data=_standardized(case.task.data)))
    if "init" in given:
        case = case.replace(init=given["init"])
    return case


def _standardized(data: Any) -> Data:
    """Return the data with inputs of mean 0 and deviation 1, by the training rows."""
    train, kept = data.train, data.validation
    mean, deviation = train.inputs.mean(0), train.inputs.std(0).clamp(min=1e-6)
    scaled = [((each.inputs - mean) / deviation, each.targets) for each in (train, kept)]
    return Data(scaled[0], validation=scaled[1])
