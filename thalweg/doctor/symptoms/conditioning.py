"""Curvatures that lie so far apart that gradient descent crawls along the smallest."""

from __future__ import annotations

import math

from thalweg.doctor.forks.leaving import with_momentum
from thalweg.doctor.symptoms.data import InputScale
from thalweg.doctor.symptoms.reading import FEWEST_STEPS
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Ending, Floats, Watched

SPREAD = 100.0
"""Highest curvature / lowest from which on gradient descent takes hundreds of steps for each digit."""
NEAR = 0.5
"""Share of the largest stable rate that is as good as all of it."""
EXPLAINED = 3.0
"""By what factor the lowest curvature may miss the rate at which the loss falls: Lanczos' method finds it
from above, and those beside it are still in the loss."""
LEARNED = 1e-3
"""Share of the first loss below which nothing is left to be mended."""


class Conditioning(InputScale):
    """Features of the inputs differ in scale, or the largest curvature allows no larger rate while the
    loss falls as slowly as the smallest lets it.
    """

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion by the inputs, or else by the curvature."""
        return super().looks(watched) or self._crawls(watched)

    def _crawls(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where gradient descent on one batch, of a quadratic loss, is at its limit.

        Of other losses the curvature changes on the way, and of noisy steps the rate of the loss is not
        known: there it cannot be told.
        """
        end, losses, sharp = watched.ending, watched.losses.last(), watched.sharpness
        if end is None or sharp is None or not end.is_quadratic or len(losses) < FEWEST_STEPS:
            return []
        is_plain = sharp.edge.scale is None and sharp.edge.threshold == 2.0
        if not is_plain or not NEAR < sharp.ratio <= 1.1 or losses[-1] < LEARNED * losses[0]:
            return []
        curvature = falling(losses) / (2 * sharp.edge.lr)
        low, high = end.lowest.value, end.highest.value
        if not self._explains(end, curvature) or not high > SPREAD * low:
            return []
        found = Statistic("highest curvature / lowest, at least", high / low, high=SPREAD)
        words = (
            f"The largest curvature, {high:.2g}, allows no larger rate, and the loss falls as slowly "
            f"as a curvature of {curvature:.2g} lets it; the smallest is {low:.2g} or less."
        )
        return [
            Verdict(
                self.name, found, where="the loss", since=1, words=words, remedy=with_momentum()
            )
        ]

    def _explains(self, end: Ending, curvature: float) -> bool:
        return 0 < curvature <= EXPLAINED * end.lowest.value


def falling(losses: Floats) -> float:
    """Return the rate r of a loss c + a·exp(−r·t) in its last half, from the falls of both parts of it; 0
    where it does not fall so.
    """
    length = len(losses) // 4
    first, second, last = losses[-1 - 2 * length], losses[-1 - length], losses[-1]
    if not (math.isfinite(first) and first > second > last) or second - last >= first - second:
        return 0.0
    return math.log((first - second) / (second - last)) / length
