"""Bootstrap intervals over paired seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError, suggest
from thalweg.statistics.interval import Interval, attainable, check_level
from thalweg.statistics.resample import resamples, strata_of
from thalweg.statistics.times import Array

Statistic = Callable[[Array], ArrayLike]
"""A function from data (…, seeds) to numbers, which reduces the last axis."""

_NORMAL = NormalDist()
_METHODS = ("percentile", "bca")


def bootstrap(
    data: ArrayLike,
    statistic: Statistic,
    *,
    level: float = 0.95,
    method: Literal["percentile", "bca"] = "bca",
    strata: Sequence[int] | None = None,
    draws: int = 9999,
    seed: int = 0,
) -> Interval:
    """Return a statistic of seeds with its bootstrap interval.

    Percentile: the quantiles α/2 and 1 − α/2 of the statistic over the resamples. BCa moves them to

        αᵢ = Φ(z₀ + (z₀ + zᵢ) / (1 − a (z₀ + zᵢ)))

    with z₀ = Φ⁻¹(P(θ* < θ̂) + P(θ* = θ̂)/2) for the bias and a, from the jackknife, for the skew. Where
    the jackknife is not finite (misses) or does not vary, a = 0; where z₀ is not finite, the
    interval is the percentile one.

    With up to eight seeds every resample is enumerated, so that nothing depends on `seed`. All the
    same, few seeds give intervals that are too short: `attained` is an upper bound of what they
    cover, `min(level, 1 − 2^(1−n))`, for the centre of a symmetric distribution.

    Args:
        data: an array whose last axis is the seeds; what lies on its other axes stays together.
        statistic: of arrays of the data's shape, with one more axis before the last.
        level: the coverage asked for.
        method: "percentile" or "bca".
        strata: the sizes of groups of neighbouring seeds that are drawn from separately.
        draws: how many resamples are drawn if there are too many to enumerate.
        seed: of these draws.

    Source: Efron (1987), "Better bootstrap confidence intervals".

    Raises:
        TaskError: for an unknown method, strata that do not fit, or a statistic that is not a
            number on the data or a resample.

    Example:
        >>> def ratio(data):
        ...     return np.exp(np.log(data[0] / data[1]).mean(axis=-1))
        >>> interval = bootstrap([[20, 22, 27, 24], [10, 11, 12, 13]], ratio, method="percentile")
        >>> round(interval.estimate, 3), round(interval.low, 3), round(interval.high, 3)
        (2.019, 1.883, 2.185)
    """
    check_level(level)
    if method not in _METHODS:
        hint = suggest(str(method), _METHODS) or f" Known are: {', '.join(_METHODS)}."
        raise TaskError(f"No bootstrap interval is called {method!r}.{hint}")
    values = np.asarray(data, dtype=np.float64)
    n = values.shape[-1]
    sizes = strata_of(n, strata)
    drawn = resamples(sizes, draws, seed)
    estimate = float(_numbers(statistic, values[..., None, :])[0])
    replicates = _numbers(statistic, values[..., drawn.index])
    shares = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        bias = _bias(replicates, drawn.weight, estimate)
        if np.isfinite(bias):
            shares = _moved(shares, bias, _skew(values, statistic, sizes))
    low, high = _quantiles(replicates, drawn.weight, shares)
    return Interval(estimate, low, high, level, min(level, attainable(n)))


def _numbers(statistic: Statistic, data: Array) -> Array:
    values = np.asarray(statistic(data), dtype=np.float64)
    if values.shape != data.shape[-2:-1] or np.isnan(values).any():
        raise TaskError(
            f"A statistic reduces the last axis to one number a resample: of data of shape "
            f"{data.shape} it gave shape {values.shape}, {np.isnan(values).sum()} of them NaN."
        )
    return values


def _bias(replicates: Array, weight: Array, estimate: float) -> float:
    """z₀; values that differ only by rounding count as equal."""
    gap = 1e-12 * max(1.0, abs(estimate)) if np.isfinite(estimate) else 0.0
    below = weight[replicates < estimate - gap].sum()
    above = weight[replicates > estimate + gap].sum()
    share = float(below + (1 - below - above) / 2)
    return _NORMAL.inv_cdf(share) if 0 < share < 1 else float("inf")


def _skew(values: Array, statistic: Statistic, strata: tuple[int, ...]) -> float:
    """The acceleration a = Σ Uᵢ³ / 6 (Σ Uᵢ²)^(3/2), with Uᵢ = (m − 1)(θ̄₍·₎ − θ₍ᵢ₎) / m in a stratum
    of m seeds.
    """
    everyone = np.arange(values.shape[-1])
    influence = []
    start = 0
    for m in strata:
        if m > 1:
            kept = [np.delete(everyone, start + i) for i in range(m)]
            left_out = _numbers(statistic, values[..., np.array(kept)])
            if not np.isfinite(left_out).all():
                return 0.0
            influence.append((m - 1) * (left_out.mean() - left_out) / m)
        start += m
    if not influence:
        return 0.0
    U = np.concatenate(influence)
    spread = float(np.sum(U**2))
    return float(np.sum(U**3) / (6 * spread**1.5)) if spread > 1e-30 else 0.0


def _moved(shares: Array, bias: float, skew: float) -> Array:
    z = bias + np.array([_NORMAL.inv_cdf(float(share)) for share in shares])
    scale = 1 - skew * z
    # beyond the pole of the correction the quantile is an extreme one
    moved = np.where(scale > 0, bias + z / np.where(scale > 0, scale, 1), np.sign(z) * 40)
    return np.array([_NORMAL.cdf(float(value)) for value in moved])


def _quantiles(replicates: Array, weight: Array, shares: Array) -> tuple[float, float]:
    """The inverse of the weighted distribution function, with room for rounding in its steps."""
    order = np.argsort(replicates, kind="stable")
    steps = np.cumsum(weight[order])
    places = [min(int(np.searchsorted(steps, s - 1e-12)), len(order) - 1) for s in shares]
    low, high = replicates[order][places]
    return float(low), float(high)
