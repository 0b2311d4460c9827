"""From suspicions to verdicts: each remedy is tried in forks, and what does not help is not a fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from thalweg.doctor.forks.fork import Forks, OutOfBudgetError
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Effect, Remedy, Status, Verdict
from thalweg.errors import TaskError

ENOUGH = 0.5
"""A remedy that leaves less than this share of the loss is taken at once; otherwise the best of all is."""
FASTER = 4.0
"""A remedy for a slow run also helps if the loss falls this many times as far. Any other must lower the
loss by 10 % (`Remedy.least`), with an interval that excludes no effect."""
DIVERGED = 10.0
"""A loss this many times as high as before the fork has not been fixed."""
FALLS = 0.01
"""The least relative fall of the loss with the remedy before a speed-up counts."""
LEARNED = 0.003
"""Loss, as a share of that of guessing, below which all is learned: a remedy that halves it fixes nothing."""


def confirmed(
    suspected: Iterable[Verdict],
    forks: Forks | None,
    symptoms: Iterable[Symptom],
    failed: Callable[[str, Exception], None],
    guessed: float | None = None,
) -> list[Verdict]:
    """Return the verdicts on what is suspected; `guessed` is the loss of guessing, if it is known.

    A fault stays one only where its remedy, or one of the others, helps in forks; the best is told.
    Where nothing can be tried it stays suspected, or cannot be told, if only a fork tells it. One that
    follows from another confirmed fault becomes a warning.
    """
    learned = LEARNED * (guessed or 0.0)
    judged = [_told(_judged(verdict, forks, failed, learned)) for verdict in suspected]
    causes = {v.symptom for v in judged if v.kind == "fault" and v.status == "confirmed"}
    after = {symptom.name: symptom.after for symptom in symptoms}
    return [_after_cause(v, _causes(v, causes, after.get(v.symptom, ()))) for v in judged]


def _causes(verdict: Verdict, causes: set[str], after: tuple[str, ...]) -> set[str]:
    found = causes if "*" in after else causes & set(after)
    return found - {verdict.symptom}


def _judged(
    verdict: Verdict,
    forks: Forks | None,
    failed: Callable[[str, Exception], None],
    learned: float,
) -> Verdict:
    remedies = [r for r in (verdict.remedy, *verdict.others) if r is not None and r.change]
    if verdict.status != "suspected" or verdict.kind == "information" or not remedies:
        return verdict
    if forks is None:
        return verdict
    tried: list[tuple[Remedy, Effect]] = []
    for remedy in remedies:
        try:
            effect = forks.effect(remedy, len(remedies))
        except OutOfBudgetError as error:
            failed("forks", error)
            break
        except TaskError:
            continue  # a remedy that is not for such a model
        except Exception as error:
            failed(f"the remedy “{remedy.words}”", error)
            continue
        if effect is None:
            continue
        tried.append((remedy, effect))
        if _is_learned(remedy, effect, learned):
            continue
        if helps(remedy, effect) and effect.ratio < ENOUGH:
            break
    return _with_effect(verdict, tried, learned)


def _told(verdict: Verdict) -> Verdict:
    """Return what can be said where no fork was made."""
    if verdict.only_by_fork and verdict.status == "suspected":
        return dataclasses.replace(verdict, kind="information", status="cannot be told")
    return verdict


def _with_effect(verdict: Verdict, tried: list[tuple[Remedy, Effect]], learned: float) -> Verdict:
    if not tried:
        return verdict
    helping = [each for each in tried if helps(*each) and not _is_learned(*each, learned)]
    remedy, effect = min(helping or tried, key=lambda each: each[1].ratio)
    if helping:
        return dataclasses.replace(verdict, status="confirmed", remedy=remedy, effect=effect)
    # where any effect is enough, forks whose interval holds 1 and less have shown nothing
    is_open = remedy.least >= 1 and effect.low < 1 < effect.high
    is_open = is_open and not _is_learned(remedy, effect, learned)
    status: Status = "cannot be told" if is_open else "refuted"
    return dataclasses.replace(
        verdict, kind="information", status=status, remedy=remedy, effect=effect
    )


def _is_learned(remedy: Remedy, effect: Effect, learned: float) -> bool:
    return effect.without < max(learned, LEARNED * remedy.guessed)


def helps(remedy: Remedy, effect: Effect) -> bool:
    """Return whether an effect is certain and large enough: in the loss, or, of a remedy for slow runs,
    in how far the loss falls.
    """
    if not effect.high < 1 or effect.worst >= remedy.under:
        return False
    if remedy.both is None and _has_diverged(effect):
        return False
    if effect.ratio < remedy.least:
        return True
    falls = effect.with_remedy < (1 - FALLS) * effect.before
    return remedy.for_speed and falls and effect.progress > FASTER


def _has_diverged(effect: Effect) -> bool:
    """Return whether the loss with a remedy is far above that before: it diverges, too, if later."""
    return effect.with_remedy > DIVERGED * effect.before > 0


def _after_cause(verdict: Verdict, causes: set[str]) -> Verdict:
    if not causes or verdict.kind != "fault":
        return verdict
    words = f"{verdict.words} It may follow from {', '.join(sorted(causes))}.".strip()
    return dataclasses.replace(verdict, kind="warning", words=words)
