"""What still more seeds would cost, and how small a difference they could tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from thalweg.race.judging.claims import Claim
from thalweg.race.judging.evidence import Evidence
from thalweg.race.judging.looks import Comparing, Looked
from thalweg.race.judging.scores import score_tolerance
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


def further_seeds(looked: Looked, evidence: Evidence, how: Comparing) -> FurtherSeeds | None:
    """Return what as many seeds again would cost and tell; None where nothing is open, or where so few
    seeds have no interval.

    Of the half width w of a pair only h, that of the sign flips, becomes smaller with more seeds. What tuning
    may have lost and what counts as equal, f together, and the error of the seconds of a step stay:

        w = f + √(h² + e²)   becomes   f + √(h² n / (n + m) + e²)
    """
    among = [c for c in looked.claims if {c.first, c.second} <= set(looked.best)]
    widths = {pair: width for claim in among for pair, width in _half_width(claim)}
    if not widths:
        return None
    seeds = among[0].seeds
    trials = {name: evidence.more[name] for name in looked.again} or evidence.trials
    a_trial = statistics.mean(record.seconds for name in looked.best for record in trials[name])
    of = "difference" if how.by == "final" else "ratio"
    exact = widths
    if how.errors:
        again = replace(how, errors={}).claims(trials, among[0].share)
        exact = dict(found for claim in again for found in _half_width(claim))
    later = [_later(how, pair, width, exact[pair], seeds) for pair, width in widths.items()]
    now, then = statistics.median(widths.values()), statistics.median(later)
    number = seeds * len(looked.best)
    return FurtherSeeds(
        entrants=looked.best,
        seeds=seeds,
        trials=number,
        seconds=round(a_trial * number, 3),
        of=of,
        now=math.exp(now) if of == "ratio" else now,
        then=math.exp(then) if of == "ratio" else then,
    )


def _later(how: Comparing, pair: frozenset[str], width: float, exact: float, seeds: int) -> float:
    """The half width of a pair with as many seeds again; `exact` is that without errors of seconds."""
    fixed = score_tolerance(how.by) + sum(how.slack.get(name, 0.0) for name in pair) / 2
    by_seeds = max(exact - fixed, 0.0)
    shared = math.sqrt(max((width - fixed) ** 2 - by_seeds**2, 0.0))
    return fixed + math.hypot(width_with_more(by_seeds, seeds, seeds), shared)


def _half_width(claim: Claim) -> Iterator[tuple[frozenset[str], float]]:
    """That of the pair's interval, a ratio's in logarithms; none where it is without end."""
    low, high = claim.effect.low, claim.effect.high
    if claim.compared_by != "final":
        low, high = (math.log(x) if x > 0 else -math.inf for x in (low, high))
    if math.isfinite(high - low):
        yield frozenset((claim.first, claim.second)), (high - low) / 2
