"""The learning rate: steps that overshoot, and steps that are too small to matter."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.forks.remedies import scaled_rate
from thalweg.doctor.symptoms.reading import (
    is_falling,
    median,
    smoothed,
    strange_batches,
    update_ratios,
)
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Watched

RISING = 0.5
"""Share of steps that raise the loss of their own batch: below it at the edge of stability, where 41 to 46 %
do (measured); Schneider and others, 2021."""
FEWEST_SAMPLES = 4
BLOWN_UP = 3.0
"""The smoothed loss as a multiple of its smallest value before."""
BLOWN_UP_STEPS = 20
NOISE = 0.01
"""The share of the first loss below which a loss is at its end: noise may triple it there."""
THROWN = 10.0
"""One loss as a multiple of the first; a fork decides."""
LARGE_UPDATE = -2.0
"""log10 of update / weight, ten times the usual 1e-3 (CS231n; Karpathy); a fork decides."""
ANNEALED = 0.75
"""A lower rate late in a run takes the noise out of its loss, however healthy it is; a fault is more."""
MORE = (
    "exploding_gradient", "ill_conditioning", "data_order", "layer_imbalance", "symmetry",
    "forgotten_zero_grad", "batch_too_small",
)  # fmt: skip
"""What makes a usual rate too high."""
SMALL_UPDATE = -4.0
"""log10 of update / weight, a tenth of the usual 1e-3 (CS231n; Karpathy)."""


class RateTooHigh(Symptom):
    """Steps overshoot: they raise the loss of their own batch, and the loss does not fall."""

    name = "lr_too_high"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where one of three signs is there."""
        statistic = self._overshoot(watched) or self._blown_up(watched) or self._restless(watched)
        if statistic is None:
            return []
        found, since = statistic
        remedies = [scaled_rate(factor, from_start=True) for factor in (0.1, 0.01)]
        words = "Steps overshoot."
        return [
            Verdict(
                self.name, found, since=since, words=words, remedy=remedies[0],
                others=(*remedies[1:], scaled_rate(0.1, from_start=False, least=ANNEALED)),
                behind=MORE + (("loss_spike",) if strange_batches(watched) else ()),
            )
        ]  # fmt: skip

    def _overshoot(self, watched: Watched) -> tuple[Statistic, int] | None:
        seen = [s for s in watched.batch_losses if math.isfinite(s.before)]
        if len(seen) < FEWEST_SAMPLES or is_falling(watched):
            return None
        rises = np.array([not s.after <= s.before for s in seen])
        share = float(rises.mean())
        if share < RISING:
            return None
        error = math.sqrt(share * (1 - share) / len(rises))
        name = "share of steps that raise the loss of their batch"
        return Statistic(name, share, error, high=RISING), seen[int(rises.argmax())].step

    def _blown_up(self, watched: Watched) -> tuple[Statistic, int] | None:
        """The loss stands far above its smallest value, or is not finite."""
        losses = watched.losses.last()
        if watched.not_finite is not None and watched.inputs.nonfinite == 0:
            step = watched.not_finite.step
            before = watched.losses.last()[: step - 1 - watched.losses.last_begins]
            if len(before) and np.isfinite(before).all() and step > 1:
                worst = float(before.max() / max(abs(before[0]), 1e-12))
                return Statistic("loss at its highest, as a multiple of the first", worst), step
            return None
        if len(losses) < 2 * BLOWN_UP_STEPS or not np.isfinite(losses).all():
            return None
        peak = float(losses.max() / max(abs(losses[0]), 1e-12))
        if peak > THROWN:
            since = watched.losses.last_begins + int(losses.argmax()) + 1
            return Statistic(
                "loss at its highest, as a multiple of the first", peak, high=THROWN
            ), since
        level = smoothed(losses, BLOWN_UP_STEPS)
        lowest = np.minimum.accumulate(level)
        above = level > BLOWN_UP * np.maximum(lowest, NOISE * abs(losses[0]))
        if not above[-BLOWN_UP_STEPS:].all():
            return None
        ratio = float(level[-1] / max(lowest[-1], 1e-12))
        since = watched.losses.last_begins + int(above.argmax()) + 1
        return Statistic("loss as a multiple of its smallest", ratio, high=BLOWN_UP), since

    def _restless(self, watched: Watched) -> tuple[Statistic, int] | None:
        """The weights change by large shares each step."""
        ratios = update_ratios(watched)
        if not len(ratios) or watched.steps < 2 * BLOWN_UP_STEPS:
            return None
        middle = median(ratios)
        if not middle > LARGE_UPDATE:
            return None
        name = "log10 of update / weight"
        return Statistic(name, middle, high=LARGE_UPDATE), 1


class RateTooLow(Symptom):
    """Weights hardly move, and move faster to better places with a larger rate."""

    name = "lr_too_low"
    after = (
        "vanishing_gradient", "lost_updates", "saturation", "dead_units", "init_scale", "ill_conditioning",
        "decay_imbalance",
    )  # fmt: skip

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where updates are small in the middle of the run."""
        samples = list(watched.updates)
        ratios = update_ratios(watched)
        if not len(ratios):
            return []
        steps = np.array([s.step for s in samples])
        within = (steps > 0.1 * watched.steps) & (steps <= 0.8 * watched.steps)
        if not within.any():
            return []
        middle = np.array([median(column) for column in ratios[within].T])
        value = median(middle)
        if not value < SMALL_UPDATE:
            return []
        error = float(np.nanstd(middle) / math.sqrt(max(np.isfinite(middle).sum(), 1)))
        found = Statistic("log10 of update / weight", value, error, low=SMALL_UPDATE)
        remedies = [scaled_rate(factor, from_start=False) for factor in (10.0, 100.0)]
        words = f"Weights move by {10**value:.1g} of their size a step."
        return [
            Verdict(
                self.name, found, since=int(steps[0]), words=words, remedy=remedies[0],
                others=tuple(remedies[1:]),
            )
        ]  # fmt: skip
