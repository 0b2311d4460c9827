"""The polynomials of Polar Express: each is the best odd quintic on what the one before leaves.

Orthogonalization by products replaces every singular value σ ∈ [l, u] by p(σ) = a·σ + b·σ³ + c·σ⁵. The best
p on [l, u] minimizes max |1 − p(σ)|. By Chebyshev's theorem the error then takes its largest size with
alternating signs at four points, l < q < r < u, and Remez' exchange finds them: solve for (a, b, c, error) at
four points, move q and r to where p′ = 0, repeat. Afterwards the singular values lie within the error of 1.

Amsel, Persson, Musco and Gower 2025, "The Polar Express: Optimal Matrix Sign Methods and Their Application to
the Muon Algorithm", arXiv:2505.16932, algorithm 1. As there, an interval that is very wide is cut off below
(`CUSHION`), since in half precision a polynomial may not be too steep.
"""

from __future__ import annotations

import functools

import numpy as np

Quintic = tuple[float, float, float]

LOWEST = 1e-3
"""The smallest singular value, relative to the norm, for which a sequence is the best: the paper's choice."""

CUSHION = 0.02407327424182761
"""The widest interval is [CUSHION·u, u]: of the paper's code."""

SAFETY = 1.01
"""Each polynomial but the last expects singular values up to this: rounding must not leave the interval."""

_EXCHANGES = 100
_CLOSE = 1e-15


def best_quintic(low: float, high: float) -> tuple[Quintic, float]:
    """Return the odd quintic that is nearest to 1 on an interval, and its error there.

    >>> (a, b, c), error = best_quintic(0.5, 1.0)
    >>> round(a + b + c, 4) == round(1 - error, 4) or round(a + b + c, 4) == round(1 + error, 4)
    True
    """
    if low > high * (1 - 5e-6):  # Padé's limit at a point: Newton-Schulz of order 5
        return (15 / 8 / high, -10 / 8 / high**3, 3 / 8 / high**5), 0.0
    points = np.array([low, (3 * low + high) / 4, (low + 3 * high) / 4, high])
    before = np.inf
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    for _ in range(_EXCHANGES):
        a, b, c, error = np.linalg.solve(
            np.stack([points, points**3, points**5, signs], axis=1), np.ones(4)
        )
        if abs(before - error) <= _CLOSE:
            break
        before = error
        root = np.sqrt(9 * b * b - 20 * a * c)
        inner = np.sqrt(np.sort(np.array([(-3 * b - root) / (10 * c), (-3 * b + root) / (10 * c)])))
        points = np.array([low, *inner, high])
    return (float(a), float(b), float(c)), float(error)


@functools.cache
def polar_express(steps: int) -> tuple[Quintic, ...]:
    """Return the polynomials of a number of steps, for singular values in [0.001, 1].

    >>> [round(x, 4) for x in polar_express(5)[1]]
    [4.0664, -2.8612, 0.5184]
    """
    low, high = LOWEST, 1.0
    found: list[Quintic] = []
    for _ in range(steps):
        a, b, c = best_quintic(max(low, CUSHION * high), high)[0]
        ends = [a * x + b * x**3 + c * x**5 for x in (low, high)]
        # where the interval was cut off, centre what comes out of all of it around 1
        scale = 2 / (ends[0] + ends[1])
        found.append((a * scale, b * scale, c * scale))
        low = ends[0] * scale
        high = 2 - low
    safe = [(a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in found[:-1]]
    return (*safe, *found[-1:])
