"""What the loss does: spikes, and batches whose noise keeps it up."""

from __future__ import annotations

import math

import numpy as np

from thalweg.doctor.forks.remedies import (
    averaged,
    clipped,
    larger_batches,
    left_out,
    scaled_rate,
)
from thalweg.doctor.symptoms.reading import (
    FEWEST_STEPS,
    STRANGE,
    gradient_norms,
    has_diverged,
    strange_batches,
)
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Floats, Watched

SPIKE = 6.0
"""Median absolute deviations above the median of the 200 losses around (Wortsman and others, 2023)."""
HIGH = 3.0
"""The least spike, as a multiple of the 90 % quantile of the losses around it: small batches have long
tails."""
USUAL = 0.9
MATTERS = 0.05
"""A loss below this share of the first one is too small to matter."""
AROUND = 100
FIRST = 10
"""Steps at the beginning, when the loss falls fast."""
PEAKS = 0.2
"""Share of steps, at most, that are spikes; more is noise."""
MORE = ("data_order", "batch_too_small", "exploding_gradient", "forgotten_zero_grad")
"""What throws up single losses: such batches differ more than others, or their gradients are larger."""
NOISY = 10.0
"""B_simple / B (McCandlish and others, 2018)."""
ROUNDED = 1e-8
"""Noise scale, as a share of the rows, that rounding alone may make: by the square of its share."""
SMALL = 16
"""Rows of a batch, at most, that is called small."""


class LossSpike(Symptom):
    """Single batches throw the loss up, and it comes back."""

    name = "loss_spike"
    after = ("lr_too_high",)

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a verdict where batches of other units threw up the loss, or a suspicion where a few losses
        stand far above those around them.
        """
        losses = watched.losses.first()
        strange = self._strange(watched, losses)
        if strange:
            return strange
        if len(losses) < FEWEST_STEPS or not np.isfinite(losses).all():
            return []
        heights = np.array([self._height(losses, i) for i in range(len(losses))])
        peaks = heights > 1
        if not peaks.any() or peaks.mean() > PEAKS:
            return []
        place = int(np.where(peaks, losses, -np.inf).argmax())
        around = losses[max(0, place - AROUND) : place + AROUND]
        ratio = float(losses[place] / np.median(around))
        found = Statistic("loss of a batch / median around it", ratio, high=HIGH)
        norms = gradient_norms(watched)
        usual = float(np.median(norms[np.isfinite(norms)])) if len(norms) else 1.0
        words = f"{int(peaks.sum())} of {len(losses)} batches, the first at step {int(peaks.argmax()) + 1}."
        return [
            Verdict(
                self.name, found, since=int(peaks.argmax()) + 1, words=words,
                remedy=clipped(usual, from_start=True),
                others=(clipped(0.1 * usual, from_start=True),), behind=MORE,
            )
        ]  # fmt: skip

    def _strange(self, watched: Watched, losses: Floats) -> list[Verdict]:
        """Return a verdict where a few batches of inputs of another size raised the loss, which needs no
        fork. Where they did not, a fork without them tells whether they do harm.
        """
        found = strange_batches(watched)
        if not found or len(found) > PEAKS * len(watched.inputs.sizes):
            return []
        step, times = next(iter(found.items()))
        statistic = Statistic("size of a batch's inputs / median", times, high=STRANGE)
        words = f"The batch of step {step} has inputs on a different scale from the other batches"
        before = losses[max(0, step - 1 - FIRST) : step - 1]
        is_thrown = any(
            len(before) and not loss <= HIGH * np.median(before)
            for loss in losses[step - 1 : step + 1]
        )
        words += ", and raised the loss." if is_thrown else "."
        remedy = left_out(tuple(found))
        return [
            Verdict(
                self.name, statistic, status="confirmed" if is_thrown else "suspected", since=step,
                words=words, remedy=remedy, only_by_fork=True,
            )
        ]  # fmt: skip

    def _height(self, losses: Floats, place: int) -> float:
        """Return how far a loss stands above those around it; 1 is the threshold."""
        around = losses[max(0, place - AROUND) : place + AROUND]
        middle = float(np.median(around))
        deviation = float(np.median(np.abs(around - middle)))
        if middle <= 0 or place < FIRST:
            return 0.0
        by_noise = (losses[place] - middle) / (SPIKE * deviation + 1e-12)
        usual = max(float(np.quantile(around, USUAL)), MATTERS * float(losses[0]))
        return float(min(by_noise, losses[place] / (HIGH * usual)))


class BatchTooSmall(Symptom):
    """The noise of small batches keeps the loss up."""

    name = "batch_too_small"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where batches are small compared with the noise scale, and the loss is
        constant.
        """
        noise, losses = watched.noise, watched.losses.last()
        if noise is None or noise.batch > SMALL or len(losses) < FEWEST_STEPS:
            return []
        scale = noise.scale.value
        drowned = not math.isfinite(scale) or scale <= 0
        ratio = math.inf if drowned else scale / noise.batch
        third = len(losses) // 3
        falls = losses[-third:].mean() < 0.8 * losses[third : 2 * third].mean()
        if not ratio > NOISY or falls:
            return []
        found = Statistic("noise scale / rows of a batch", ratio, high=NOISY)
        words = "The noise of the gradient is far larger than the gradient."
        return [
            Verdict(
                self.name, found, since=1, words=words, remedy=averaged(),
                others=(larger_batches(16), scaled_rate(0.1, from_start=False)),
            )
        ]  # fmt: skip


class BatchTooLarge(Symptom):
    """Batches far beyond the noise scale: smaller ones would take as good steps."""

    name = "batch_too_large"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return information where batches are large compared with the noise scale."""
        noise = watched.noise
        if noise is None or not 0 < noise.scale.value * NOISY < noise.batch:
            return []
        if has_diverged(watched) or noise.scale.value < ROUNDED * noise.batch:
            return []
        ratio = noise.batch / noise.scale.value
        if noise.scale.stderr > 0.5 * noise.scale.value:
            return []
        error = ratio * noise.scale.stderr / noise.scale.value
        found = Statistic("rows of a batch / noise scale", ratio, error, high=NOISY)
        words = f"{1 - 1 / ratio:.0%} of a batch is wasted."
        return [
            Verdict(
                self.name, found, kind="information", status="confirmed", words=words,
            )
        ]  # fmt: skip
