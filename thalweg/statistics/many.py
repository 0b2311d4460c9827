"""Many comparisons at once: p-values corrected so that the chance of any false claim stays small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.paired import as_far, flipped_sums
from thalweg.statistics.times import Array

Correction = Literal["holm", "joint"]


def holm(p_values: Sequence[float] | ArrayLike) -> Array:
    """Return Holm's corrected p-values, in the order given.

        p̃₍ᵢ₎ = max_{j ≤ i} min(1, (m − j + 1) p₍ⱼ₎)    with p₍₁₎ ≤ … ≤ p₍ₘ₎

    Claiming those ≤ α makes any false claim with probability ≤ α, however the tests depend on each
    other.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".

    Raises:
        TaskError: for a value that is not a probability.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise TaskError(f"A p-value lies between 0 and 1, got {p_values!r}.")
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return corrected


def joint(scores: Array) -> Array:
    """Return p-values corrected by flipping the signs of whole seeds, for all comparisons at once.

    With tₖ = |Σᵢ εᵢ sₖᵢ| and the comparisons in descending order of their observed t,

        p̃ₖ = max_{j ≤ k} P_ε(max_{l ≥ j} tₗ(ε) ≥ tⱼ)

    A seed is flipped for all comparisons together, so their dependence is kept, and a comparison
    whose differences are far larger than the others' keeps the least p of a single one, 2^(1−n): six
    seeds can tell a clearly faster entrant from any number of others at 5 %, where Holm needs ten for
    six entrants. The scores must share a scale to gain from it, as differences of logarithms do and
    ranks do not. The price is an assumption: within a seed, all entrants' results together must be
    as likely on one side of their centres as mirrored.

    Source: Westfall & Young (1993), "Resampling-Based Multiple Testing", algorithm 2.8; Romano & Wolf
    (2005), "Exact and approximate stepdown methods for multiple hypothesis testing".

    Args:
        scores: one row of signed scores for each comparison.

    Example:
        >>> joint(np.array([[9.0, 9, 9, 9, 9, 9], [1.0, -2, 3, -4, 5, -6]]))
        array([0.03125, 0.84375])
    """
    observed = np.abs(scores.sum(axis=-1))
    order = np.argsort(-observed, kind="stable")
    sums = flipped_sums(scores)[:, order]
    greatest = np.maximum.accumulate(sums[:, ::-1], axis=1)[:, ::-1]
    corrected = np.empty(len(scores))
    corrected[order] = np.maximum.accumulate(as_far(greatest, observed[order]).mean(axis=0))
    return corrected
