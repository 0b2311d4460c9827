"""Units that do not work: dead, saturated, or all the same."""

from __future__ import annotations

import math

import numpy as np

from thalweg import init
from thalweg.doctor.forks.remedies import scaled_rate, standardized, started
from thalweg.doctor.symptoms.reading import DEAD, FEWEST_ROWS, dead_at_start, typical_calls
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Kind, Remedy, Statistic, Verdict
from thalweg.doctor.watched import Watched

WARNING = 0.2
"""Share of dead units in a layer that is worth a word; `DEAD` is a fault."""
SATURATED = 0.5
"""Share of units beyond 0.85 (Rakitianskaia and Engelbrecht, 2015)."""
MADE_BY = (
    "lr_too_high", "init_scale", "exploding_gradient", "layer_imbalance", "decay_imbalance", "cliff",
    "symmetry", "ill_conditioning", "loss_spike",
)  # fmt: skip
"""What kills or saturates units in training."""
LONG = 160
"""Steps of a longer fork: one unit may do at first."""
TWINS = 0.5
"""Share of units with a twin."""


def fresh(steps: int | None = None) -> Remedy:
    """Draw all weights again by He, with biases of 0."""
    return started(init.he() | init.bias(0.0), "he", "start by He with biases of 0", steps)


class DeadUnits(Symptom):
    """Units that are zero whatever comes in, and so get no gradient."""

    name = "dead_units"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion for each layer with many dead units.

        Units that died are mostly the consequence of something; those that were dead before the first step
        are not. Units behind weights that are all 0 are not dead: those weights would wake them.
        """
        found, first, empty = [], dead_at_start(watched), _fed_by_nothing(watched)
        for record in watched.units.values():
            if record.name in empty:
                continue
            dead, count = record.dead(FEWEST_ROWS), len(record.silent)
            share = dead / count if count else 0.0
            if share <= WARNING:
                continue
            error = math.sqrt(share * (1 - share) / count)
            statistic = Statistic("share of dead units", share, error, high=WARNING)
            words = f"{dead} of the {count} units that go into {record.name} never fire."
            others = (scaled_rate(0.1, from_start=True),)
            kind: Kind = "fault" if share > DEAD else "warning"
            found.append(
                Verdict(
                    self.name, statistic, kind=kind, where=record.name, words=words,
                    remedy=fresh(), others=others,
                    since=1 if record.name in first else None,
                    behind=("symmetry",) if record.name in first else MADE_BY,
                )
            )  # fmt: skip
        return sorted(found, key=lambda v: -v.statistic.value if v.statistic else 0.0)[:3]


def _fed_by_nothing(watched: Watched) -> set[str]:
    """Return the layers after one that gave only zeros in the first pass."""
    calls = next((sample.calls for sample in watched.layers), ())
    silent = next((place for place, call in enumerate(calls) if call.output == 0), len(calls))
    return {call.name for call in calls[silent + 1 :]}


class Saturation(Symptom):
    """Hidden units of tanh or sigmoid that stand at the ends of their range."""

    name = "saturation"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion for the first layer with mostly saturated units."""
        first = {call.name: call.saturated for call in typical_calls(watched, 1)}
        for call in typical_calls(watched):
            if not call.saturated > SATURATED:
                continue
            is_first = first.get(call.name, 0.0) > SATURATED
            found = Statistic("share of saturated units", call.saturated, high=SATURATED)
            words = f"{call.saturated:.0%} of the units that go into {call.name} are beyond 0.85."
            better = started(init.glorot() | init.bias(0.0), "glorot", "start by Glorot")
            scaled = started(init.glorot() | init.bias(0.0) | init.lsuv(), "lsuv", "start by LSUV")
            return [
                Verdict(
                    self.name, found, where=call.name, since=1 if is_first else None, words=words,
                    remedy=better, others=(standardized(), scaled),
                    behind=("symmetry", "ill_conditioning") if is_first else MADE_BY,
                )
            ]  # fmt: skip
        return []


class Symmetry(Symptom):
    """Units of a layer that compute the same function and get the same gradient, so they stay so."""

    name = "symmetry"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion for the matrix with the largest share of twins."""
        samples = [s for s in watched.updates if len(s.twins) == len(watched.parameters)]
        shares = np.array([s.twins for s in samples])
        if not shares.size or np.isnan(shares).all():
            return []
        known = ~np.isnan(shares).all(1)
        last = shares[known][-1]
        place = int(np.nanargmax(last))
        share = float(last[place])
        if not share > TWINS:
            return []
        name = watched.parameters[place].name
        found = Statistic("share of units with a twin", share, high=TWINS)
        words = f"Units of {name} have the same weights and the same gradient."
        since = samples[int(known.argmax())].step
        return [
            Verdict(
                self.name, found, where=name, since=since, words=words, remedy=fresh(), others=(fresh(LONG),)
            )
        ]  # fmt: skip
