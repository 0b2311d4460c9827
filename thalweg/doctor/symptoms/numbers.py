"""Numbers: losses that are not finite, and updates that round to nothing."""

from __future__ import annotations

import numpy as np

from thalweg.doctor.forks.remedies import advice, widened
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Watched

LOST = 0.5
"""Share of weights with a gradient that are bit-equal after a step: in bfloat16 half a unit in the last place
is 2^-9 to 2^-8 of the weight."""


LONG = 160
"""Steps of a longer fork: small updates take long to show."""


class NonFiniteNumbers(Symptom):
    """The loss became NaN or infinite."""

    name = "non_finite"
    after = ("lr_too_high", "broken_inputs", "exploding_gradient", "init_scale", "cliff")

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict on the first loss that was not finite, and where that came from."""
        found = watched.not_finite
        if found is None:
            return []
        where = "the loss" if found.where == "loss" else found.where
        words = f"The loss is not finite from step {found.step} on."
        if found.where != "loss":
            words += (
                f" The first non-finite numbers are in {found.where}, with the initial weights."
            )
        remedy = advice(
            "named_operation",
            "look for log or root of 0, a division by 0 or an overflow there; if the loss grew before, lower "
            "the learning rate",
        )
        statistic = Statistic("steps before the loss was not finite", found.step - 1)
        return [
            Verdict(
                self.name, statistic, status="confirmed", where=where, since=found.step,
                words=words, remedy=remedy,
            )
        ]  # fmt: skip


class LostUpdates(Symptom):
    """Updates that are smaller than half a unit in the last place of the weights, so nothing changes."""

    name = "lost_updates"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where most weights are bit-equal, after one step and over many."""
        samples = [s for s in watched.updates if len(s.unchanged) == len(watched.parameters)]
        if len(samples) < 3:
            return []
        sizes = np.array([p.size for p in watched.parameters], dtype=float)
        rows = np.array([np.where(np.isnan(s.unchanged), 0.0, s.unchanged) for s in samples])
        shares = rows @ sizes / sizes.sum()
        value, error = float(shares.mean()), float(shares.std() / np.sqrt(len(shares)))
        still = np.array([s.still for s in samples])
        still = still[np.isfinite(still)]
        if not value > LOST or not len(still) or not float(still.mean()) > LOST:
            return []
        place = int((rows.mean(0) * sizes).argmax())
        found = Statistic("share of updates that round to nothing", value, error, high=LOST)
        known = watched.parameters[place]
        words = f"Most in {known.name}, of {str(known.dtype).removeprefix('torch.')}."
        return [
            Verdict(
                self.name, found, where=known.name, since=samples[0].step, words=words, remedy=widened(),
                others=(widened(LONG),),
            )
        ]  # fmt: skip
