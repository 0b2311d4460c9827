"""The valley of a range test: the learning rates at which the objective falls, and their centre."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.train.lr_finder.sweep import Sweep

FloatArray = NDArray[np.float64]

_WIDTH = 0.15
"""The standard deviation of the smoothing, in decades of the learning rate."""

_MARGIN = 0.4
"""Suggested rate ÷ rate at the valley's centre."""

_CLEAR = 5.0
"""A fall of the smoothed objective counts as a valley from so many times its noise on."""

_SKY = 10.0
"""The median is cut off so many depths of the valley above the plain."""

_PLAIN = 8
"""The plain before the valley is the first 1/8 of the steps, at the lowest rates."""


@dataclass(frozen=True)
class Valley:
    """The median of the sweeps, and the learning rate that it suggests.

    `start` is the median of J before any step; `median[i]` that of J after the step with rate i, infinite
    where half of the sweeps had ended; `curve` is the median smoothed over the rates as far as it is
    finite, cut off high above the plain. `suggestion` is None where J never falls clearly; `reason` says
    how it was found, or why there is none; `notes` say what to doubt.
    """

    start: float
    median: tuple[float, ...]
    curve: tuple[float, ...]
    suggestion: float | None
    reason: str
    notes: tuple[str, ...] = ()


def find_valley(rates: Sequence[float], sweeps: Sequence[Sweep]) -> Valley:
    """Return the valley of several sweeps over the same rates.

    Its middle is the centre of mass, on a logarithmic axis, of the squared depth below the plain before it:

        d(η) = max(J₀ − J(η), 0),   ln η̄ = Σ d² ln η / Σ d²,   suggestion = ⅖ η̄

    A sum over all the rates moves little from seed to seed, where a steepest or lowest point jumps; it does
    not change when J is scaled or shifted. The factor ⅖ is there because a rate that
    is stable for one step may not be for thousands; it was chosen by what trains best.
    """
    start = float(np.median([each.start for each in sweeps]))
    median = _median(sweeps, len(rates))
    finite = np.isfinite(median)
    count = len(median) if finite.all() else int(np.argmin(finite))
    decades = np.log10(np.asarray(rates[:count], dtype=np.float64))
    noise = _noise(start, median[:count])
    plain = _plain(start, median[:count], noise, len(rates))
    # what explodes would smear over the rates before it
    sky = plain + _SKY * (plain - min(median.min(), plain))
    curve = smooth(decades, np.minimum(median[:count], sky))
    depth = np.maximum(plain - curve, 0.0)
    found = (start, tuple(median.tolist()), tuple(curve.tolist()))
    # the second is what rounding makes of a loss that does not move
    least = max(_CLEAR * noise * _share(decades), 1e-5 * abs(start))
    if count < 2 or not depth.max() > least:
        return Valley(*found, None, _no_fall(rates, count))
    weights = (depth / depth.max()) ** 2
    middle = 10 ** float(weights @ decades / weights.sum())
    return Valley(
        *found,
        float(f"{_MARGIN * middle:.2g}"),
        f"two fifths of {middle:.2g}, the middle of the valley: the mean of ln(lr), weighted by the squared "
        "fall of the loss",
        _notes(rates, start, curve, depth),
    )


def smooth(decades: FloatArray, values: FloatArray) -> FloatArray:
    """Return the mean of the values around each rate, weighted by a Gaussian of the distance in decades."""
    weights = _weights(decades)
    smoothed: FloatArray = weights @ values
    return smoothed


def _weights(decades: FloatArray) -> FloatArray:
    distance = (decades[:, None] - decades[None, :]) / _WIDTH
    weights = np.exp(-0.5 * distance**2)
    normed: FloatArray = weights / weights.sum(1, keepdims=True)
    return normed


def _share(decades: FloatArray) -> float:
    """Return the share of the noise that is left after smoothing."""
    return float(np.sqrt(np.median((_weights(decades) ** 2).sum(1)))) if len(decades) else 0.0


def _median(sweeps: Sequence[Sweep], count: int) -> FloatArray:
    table = np.full((len(sweeps), count), math.inf)
    for row, each in zip(table, sweeps, strict=True):
        row[: len(each.losses)] = each.losses
    with np.errstate(invalid="ignore"):  # the mean of a number and infinity, or of two infinities
        median: FloatArray = np.median(table, axis=0)
    return median


def _noise(start: float, median: FloatArray) -> float:
    """Return the deviation of the median from step to step, as it is where it neither falls nor rises."""
    jumps = np.abs(np.diff(np.concatenate([[start], median])))
    return 1.4826 * float(np.median(jumps)) / math.sqrt(2) if len(jumps) else 0.0


def _plain(start: float, median: FloatArray, noise: float, count: int) -> float:
    """Return the height from which the loss falls. One batch says little about it, the first steps say
    more; unless they have fallen below the start by more than noise can.
    """
    first = np.concatenate([[start], median[: max(1, count // _PLAIN)]])
    return max(float(np.median(first)), start - 2 * noise)


def _no_fall(rates: Sequence[float], count: int) -> str:
    if count < len(rates):
        return (
            "the loss never falls clearly below where it starts, and is out of bounds at "
            f"{rates[count]:.2g}: it may have risen before it could fall. Try a lower highest rate with more "
            "steps, and check the model, the data and the loss"
        )
    return (
        f"the loss never falls clearly below where it starts, up to a rate of {rates[-1]:.2g}. Raise the "
        "highest rate or the batch size, and check that the model can learn from the data"
    )


def _notes(
    rates: Sequence[float], start: float, curve: FloatArray, depth: FloatArray
) -> tuple[str, ...]:
    notes = []
    if start - curve[0] > 0.5 * (start - curve.min()):
        notes.append(
            f"The loss has fallen already at the lowest rate, {rates[0]:.2g}: lower it to see the whole "
            "valley."
        )
    if len(curve) == len(rates) and depth[-1] > 0.5 * depth.max():
        notes.append(
            f"The loss has hardly risen again at the highest rate, {rates[-1]:.2g}: raise it to see the "
            "whole valley."
        )
    return tuple(notes)
