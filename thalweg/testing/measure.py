"""Measuring an optimizer before it is checked, so that what it does by design is not taken for a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg.testing.compare import Path, demand_same_path, same, state_tensors
from thalweg.testing.result import Failed
from thalweg.testing.subject import LONGEST, Subject

_OTHER_LUCK = 1000


def measured(subject: Subject) -> Subject:
    """Return the subject with its silent phase, its precision, and what two of its runs have in common.

    An optimizer that fails on the way is left as it is: the checks say where.
    """
    try:
        subject = _with_silence(subject)
        if subject.still:
            return subject
        steps = range(subject.silent + 8)  # estimates of distances grow late
        trial = subject.start()
        path = trial.run(steps)
        subject = _with_precision(subject, path, trial.states())
        if not _equal(path, subject.start().run(steps)):
            return replace(subject, repeatable=False)
        lucky = subject.start()
        lucky.luck = _OTHER_LUCK
        if not _equal(path, lucky.run(steps)):
            return _drawing(subject)
        return subject if subject.couples else _with_coupling(subject, path, steps)
    except Exception:
        return subject


def _with_silence(subject: Subject) -> Subject:
    """Find after how many steps every parameter has moved."""
    trial = subject.start()
    for k in range(LONGEST):
        trial.step(k)
        if not any(same(trial.quadratics[i].start, p) for i, p in trial.params.items()):
            break
    else:
        return replace(subject, still=True)
    if k == 0:
        return subject
    first = "its first step leaves" if k == 1 else f"its first {k} steps leave"
    note = f"{first} parameters where they are, and the checks run so much longer"
    return replace(subject, silent=k, notes=(*subject.notes, note))


def _with_precision(
    subject: Subject, path: Path, states: Mapping[int, Mapping[str, Any]]
) -> Subject:
    """Find whether the optimizer computes in fewer digits than its parameters have."""
    kept = {t.dtype for t in state_tensors(states) if t.is_floating_point() and not _counts(t)}
    # one that computes in float32 leaves float64 parameters that are float32 numbers
    rounded = all(same(p, p.float().to(p.dtype)) for p in path.values())
    if rounded and subject.dtype == torch.float64:
        kept.add(torch.float32)
    coarse = max(kept, key=lambda dtype: torch.finfo(dtype).eps, default=subject.dtype)
    if torch.finfo(coarse).eps <= torch.finfo(subject.dtype).eps:
        return subject
    what = f"computes in {coarse}" if rounded else f"keeps states in {coarse}"
    note = f"{what} under parameters in {subject.dtype}: values are compared in {coarse}'s digits"
    return replace(subject, precision=coarse, notes=(*subject.notes, note))


def _counts(tensor: Tensor) -> bool:
    """Whether it is a count of steps, or nothing: exact in any dtype."""
    return tensor.layout == torch.strided and bool((tensor == tensor.round()).all())


def _drawing(subject: Subject) -> Subject:
    """Return the subject as one whose steps are random."""
    note = "it draws random numbers"
    if not subject.couples:
        note += ", so that tensors share a stream of them: checked as with couples=True"
    return replace(subject, random=True, couples=True, notes=(*subject.notes, note))


def _with_coupling(subject: Subject, together: Path, steps: range) -> Subject:
    """Find whether a tensor trains alone as it does beside the others."""
    for i in range(len(subject.shapes)):
        alone = subject.start([i]).run(steps)
        try:
            demand_same_path(alone, together, "", subject.tolerance)
        except Failed as failure:
            return replace(subject, coupling=str(failure).strip().removeprefix("But "))
    return subject


def _equal(expected: Path, got: Path) -> bool:
    return all(same(p, got[key]) for key, p in expected.items())
