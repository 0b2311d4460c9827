"""Whether the optimizer's step grows with the gradient, or is bounded by clipping of its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thalweg.doctor.gauges.numbers import norm_of_all
from thalweg.doctor.symptoms.reading import gradient_norms
from thalweg.doctor.undisturbed import loss_on
from thalweg.doctor.watched import Watched
from thalweg.train.optimizers.known import needs_closure
from thalweg.train.restored.snapshot import untouched

LARGER = 10.0
SAME = 0.01
"""By which share two steps may differ that clipping made the same. Steps of Adam are bounded, too, but change
with the gradient: its averages lie behind."""


def measure_bound(watched: Watched, loss: Any, batch: Any) -> None:
    """Step once from where the run ended by a gradient as large as the largest of the run, and once by one 10
    times as large; the run is left as it was. `watched.is_bounded` says whether both steps are the same.
    """
    norms = gradient_norms(watched)
    norms = norms[np.isfinite(norms)]
    if not len(norms) or not norms.max() > 0 or needs_closure(watched.optimizer):
        return
    sizes = [_step(watched, loss, batch, by * float(norms.max())) for by in (1.0, LARGER)]
    if all(math.isfinite(size) and size > 0 for size in sizes):
        watched.is_bounded = abs(sizes[1] / sizes[0] - 1) < SAME


def _step(watched: Watched, loss: Any, batch: Any, norm: float) -> float:
    """Return the norm of a step by the gradient of a batch, scaled to a norm."""
    model, optimizer = watched.model, watched.optimizer
    with untouched(model, optimizer):
        optimizer.zero_grad()
        loss_on(model, loss, batch).backward()  # type: ignore[no-untyped-call]
        slopes = [(p, p.grad) for p in model.parameters() if p.grad is not None]
        own = norm_of_all(g for _, g in slopes)
        if not own > 0:
            return math.nan
        before = [p.detach().clone() for p, _ in slopes]
        for _, g in slopes:
            g.mul_(norm / own)
        optimizer.step()
        return norm_of_all(p.detach() - b for (p, _), b in zip(slopes, before, strict=True))
