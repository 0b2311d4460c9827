"""What still more seeds would cost, and how small a difference they could tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from thalweg.race.judging.claims import Claim
from thalweg.race.judging.evidence import Evidence
from thalweg.race.judging.looks import Looked
from thalweg.statistics import width_with_more


@dataclass(frozen=True)
class FurtherSeeds:
    """As many seeds again, for the entrants that may still be the best.

    `trials` and `seconds` (of training) are what they would cost. `now` is what the seeds that were run
    tell in about half of all races, and `then` what all of them would: a ratio above 1, or a difference
    of final figures (`of` says which). It is the half width of the intervals among these entrants, in
    the median.
    """

    entrants: tuple[str, ...]
    seeds: int
    trials: int
    seconds: float
    of: str
    now: float
    then: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {**asdict(self), "entrants": list(self.entrants)}


def further_seeds(looked: Looked, evidence: Evidence) -> FurtherSeeds | None:
    """Return what as many seeds again would cost and tell; None where nothing is open, or where so few
    seeds have no interval.
    """
    among = [c for c in looked.claims if {c.first, c.second} <= set(looked.best)]
    widths = [width for claim in among for width in _half_width(claim)]
    if not widths:
        return None
    seeds = among[0].seeds
    rows = [(evidence.more if looked.again else evidence.trials)[name] for name in looked.best]
    a_trial = statistics.mean(record.seconds for row in rows for record in row)
    width = statistics.median(widths)
    of = "difference" if among[0].compared_by == "final" else "ratio"
    now, then = width, width_with_more(width, seeds, seeds)
    trials = seeds * len(rows)
    return FurtherSeeds(
        entrants=looked.best,
        seeds=seeds,
        trials=trials,
        seconds=round(a_trial * trials, 3),
        of=of,
        now=math.exp(now) if of == "ratio" else now,
        then=math.exp(then) if of == "ratio" else then,
    )


def _half_width(claim: Claim) -> Iterator[float]:
    """Of the interval, a ratio's in logarithms; none where it is without end."""
    low, high = claim.effect.low, claim.effect.high
    if claim.compared_by != "final":
        low, high = (math.log(x) if x > 0 else -math.inf for x in (low, high))
    if math.isfinite(high - low):
        yield (high - low) / 2
