"""What several symptoms read off what was watched."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.watched import Floats, LayerCall, Watched

FALLS = 3.0
"""A loss falls where its last part lies so many standard errors below its first part."""
TINY = 1e-38
INFORMED = 0.97
"""Loss of the outputs as a share of that of outputs of other rows; a proposal, measured on healthy runs."""
FEWEST_STEPS = 60
SETTLED = 0.02
"""Share of its whole fall that a loss still falls from the third quarter of a run to the last."""
FEWEST_ROWS = 512
"""A unit is dead that was zero in so many rows in a row (TheDeepChecker, 2021; Lu and others, 2020)."""
DEAD = 0.5
"""Share of dead units in a layer from which on it is a fault."""
DIVERGED, AT_END = 10.0, 3
"""A run has diverged whose last losses are, in the median, so many times as high as the first."""
STRANGE = 10.0
"""Size of a batch's inputs as a multiple of the median of all batches; drawn ones differ by far less."""


def smoothed(values: Floats, width: int) -> Floats:
    """Return the running mean over the last `width` values; of fewer at the beginning."""
    total = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - width, 0)
    means: Floats = (total[ends] - total[begins]) / (ends - begins)
    return means


def is_falling(watched: Watched) -> bool:
    """Return whether the loss has fallen from its first tenth (at least 5 steps) to its last quarter."""
    first, last = watched.losses.first(), watched.losses.last()
    if len(first) < 8:
        return True
    head = first[: max(3, min(len(watched.losses) // 10, 50))]
    tail = last[-max(5, min(len(watched.losses) // 4, 500)) :]
    if not (np.isfinite(head).all() and np.isfinite(tail).all()):
        return False
    error = math.hypot(standard_error(tail), standard_error(head))
    begin = min(
        float(np.median(head)), float(head[:3].mean())
    )  # the first step may have thrown it up
    fall = begin - float(tail.mean())
    return fall > FALLS * error and fall > 0.02 * abs(begin)


def has_diverged(watched: Watched) -> bool:
    """Return whether the run ended far above its first loss: what its end is like says nothing then of what
    it was trained on, or how.
    """
    first, last = watched.losses.first(1), watched.losses.last()[-AT_END:]
    if not len(first) or not float(first[0]) > 0:
        return False
    return not float(np.median(last)) <= DIVERGED * float(first[0])


def standstill(watched: Watched) -> tuple[float, float] | None:
    """Return by how much the loss fell from the first half to the second, with its error, where that is
    nothing; None where it falls, or says nothing.
    """
    return None if is_falling(watched) else standing(watched.losses.last())


def standing(losses: Floats) -> tuple[float, float] | None:
    """Return the fall of some losses from their first half to the second, with its error, where that is
    nothing.
    """
    if len(losses) < FEWEST_STEPS or not np.isfinite(losses).all():
        return None
    half = losses[: len(losses) // 2]
    error = standard_error(half)
    fall = float(half.mean() - losses[len(losses) // 2 :].mean())
    return (fall, error) if fall < max(2 * error, 0.002 * abs(float(half.mean()))) else None


def settled(losses: Floats) -> tuple[float, float] | None:
    """Return by how much the loss still fell from the third quarter to the last, and that as a share of all
    that it fell, where that is next to nothing or hidden by noise.
    """
    if len(losses) < FEWEST_STEPS or not np.isfinite(losses).all():
        return None
    quarter = len(losses) // 4
    before, last = losses[-2 * quarter : -quarter], losses[-quarter:]
    fallen = float(losses[0] - last.mean())
    fall = float(before.mean() - last.mean())
    if not fallen > 0 or fall > max(2 * standard_error(before), SETTLED * fallen):
        return None
    return fall, fall / fallen


def standard_error(values: Floats) -> float:
    """Return the standard error of a mean; squares of large numbers would overflow, so they are scaled."""
    largest = float(np.abs(values).max())
    if not largest > 0:
        return 0.0
    return largest * float((values / largest).std()) / math.sqrt(len(values))


def matrices(watched: Watched) -> Floats:
    """Return the places of the weights that multiply, among the parameters of samples."""
    return np.array([p.is_matrix for p in watched.parameters], dtype=bool)


def update_ratios(watched: Watched) -> Floats:
    """Return log10 of update / weight of the matrices, samples × matrices; NaN where nothing moved."""
    chosen = matrices(watched)
    samples = [s for s in watched.updates if len(s.update) == len(chosen)]
    if not samples or not chosen.any():
        return np.zeros((0, 0))
    update = np.array([s.update[chosen] for s in samples])
    weight = np.array([s.weight[chosen] for s in samples])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.where((update > 0) & (weight > 0), np.log10(update / weight), np.nan)
    return ratios


def gradient_norms(watched: Watched) -> Floats:
    """Return the norm of the whole gradient in each sample."""
    sizes = np.array([p.size for p in watched.parameters], dtype=np.float64)
    rows = [s.gradient for s in watched.updates if len(s.gradient) == len(sizes)]
    return np.array([math.sqrt(float(np.nansum(np.square(g) * sizes))) for g in rows])


def typical_calls(watched: Watched, most: int = 64) -> list[LayerCall]:
    """Return the calls of layers in order, each number the median over the first samples."""
    samples = [s.calls for s in watched.layers][:most]
    if not samples:
        return []
    count = len(samples[0])
    alike = [calls for calls in samples if len(calls) == count]
    merged = []
    for place, call in enumerate(samples[0]):
        same = [calls[place] for calls in alike]
        one = LayerCall(call.name, call.kind, call.has_matrix, call.units, call.rows)
        one.activation = call.activation
        for name in ("input", "output", "gradient", "saturated"):
            values = np.array([getattr(each, name) for each in same])
            values = values[np.isfinite(values)]
            setattr(one, name, float(np.median(values)) if len(values) else math.nan)
        merged.append(one)
    return merged


def dead_at_start(watched: Watched) -> set[str]:
    """Return the layers most of whose incoming units were dead before the first step."""
    fewest = FEWEST_ROWS
    return {
        name
        for name, each in watched.start.units.items()
        if len(each.silent) and each.dead(min(fewest, each.rows)) > DEAD * len(each.silent)
    }


def strange_batches(watched: Watched) -> dict[int, float]:
    """Return the steps whose inputs are far larger than usual, and how many times."""
    sizes = watched.inputs.sizes
    usual = float(np.median(list(sizes.values()))) if sizes else 0.0
    return {s: size / usual for s, size in sorted(sizes.items()) if size > STRANGE * usual > 0}


def median(values: Floats) -> float:
    """Return the median of the numbers that are finite; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan


def slope(values: Floats) -> float:
    """Return the slope of log10 of positive values over their places."""
    logs = np.log10(np.maximum(values, TINY))
    return float(np.polyfit(np.arange(len(logs)), logs, 1)[0]) if len(logs) > 1 else 0.0
