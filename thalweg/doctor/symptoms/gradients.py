"""Gradients over depth and time: vanishing, exploding, and cliffs."""

from __future__ import annotations

import numpy as np
from torch import nn

from thalweg import init
from thalweg.doctor.forks.fork import STEPS
from thalweg.doctor.forks.remedies import clipped, rectified, scaled_rate, started
from thalweg.doctor.symptoms.reading import (
    INFORMED,
    gradient_norms,
    median,
    slope,
    standstill,
    typical_calls,
)
from thalweg.doctor.symptoms.starts import RADIUS
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Floats, LayerCall, Watched

VANISHED = 1e-3
"""Gradient of the first layer as a share of that of the last (AutoTrainer, 2021)."""
FEWEST_LAYERS = 3
DEEP = 5
"""Layers from which on a gradient can vanish by depth: of fewer, single weights near 0 are the reason."""
BEGINNING = 1
"""Samples from the beginning: the first gradient is what the start makes it, and no step has changed it."""
REPEATED = 8
"""Calls of one layer in a pass from which on it counts as recurrent."""
EXPLODED = 70.0
"""Gradient of the first layer as a multiple of that of the last (AutoTrainer, 2021)."""
STEEP = 0.25
"""Decades of growth a layer, the last one left out, whose loss sets the scale; a fork decides."""
SPIKE = 10.0
"""The norm of the gradient as a multiple of its median (Pascanu and others, 2013)."""
MORE = (
    "exploding_gradient",
    "lr_too_high",
    "data_order",
    "ill_conditioning",
    "symmetry",
    "loss_spike",
    "batch_too_small",
)
LONG, MANY = 160, 10
"""Steps of a fork that is to reach a cliff; and forks, since some runs come over it by luck."""
EARLY = 10
"""Steps of a fork that tells a start which costs time only."""
EARLIEST = 4
FAR = 1e3
"""A loss so many times as high was thrown there by a step."""
MATTERS = 0.05
"""What is below such a share of the first loss is small anyway."""
JUMP = 3.0
"""The loss of a step as a multiple of the median before it."""


def gradient_profile(watched: Watched, most: int = 64) -> tuple[list[LayerCall], Floats]:
    """Return the calls of layers that have a gradient, and its root mean squares."""
    calls = [c for c in typical_calls(watched, most) if np.isfinite(c.gradient)]
    return calls, np.array([c.gradient for c in calls])


class VanishingGradient(Symptom):
    """The gradient shrinks layer by layer on its way back, so that the first layers learn late or never."""

    name = "vanishing_gradient"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the first layers get almost nothing at the start."""
        calls, sizes = gradient_profile(watched, BEGINNING)
        if len(sizes) < DEEP or not sizes[-1] > 0:
            return []
        ratio = float(sizes[0] / sizes[-1])
        if not ratio < VANISHED:
            return []
        per_layer = slope(sizes)
        found = Statistic("gradient of the first layer / of the last", ratio, low=VANISHED)
        words = f"It falls by {-per_layer:.2g} decades a layer on the way to {calls[0].name}."
        better = started(
            init.orthogonal() | init.bias(0.0) | init.lsuv(),
            "lsuv",
            "orthogonal start scaled by LSUV",
        )
        plain = started(init.he() | init.bias(0.0), "he", "start by He with biases of 0")
        return [
            Verdict(
                self.name, found, where=calls[0].name, since=1, words=words,
                remedy=rectified(), others=(better, plain), behind=("symmetry",),
            )
        ]  # fmt: skip


class ExplodingGradient(Symptom):
    """The gradient grows layer by layer on its way back, or is now and then very large."""

    name = "exploding_gradient"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the gradient grows over depth, or has spikes."""
        statistic, where = self._statistic(watched)
        if statistic is None or watched.is_bounded:  # the optimizer clips: no gradient is too large
            return []
        norms = gradient_norms(watched)
        norms = norms[np.isfinite(norms) & (norms > 0)]
        usual = float(np.median(norms)) if len(norms) else 1.0
        remedies = [
            clipped(norm, from_start=True) for norm in dict.fromkeys((min(1.0, usual), usual))
        ]
        start, words = init.orthogonal() | init.bias(0.0), "orthogonal start"
        starts = (started(start, "orthogonal", words, steps) for steps in (None, EARLY))
        others = (*remedies[1:], *starts)
        words = "The gradient grows on the way back."
        return [
            Verdict(
                self.name, statistic, where=where, since=1, words=words,
                remedy=remedies[0], others=others, behind=("symmetry", "ill_conditioning"),
            )
        ]  # fmt: skip

    def _statistic(self, watched: Watched) -> tuple[Statistic | None, str]:
        calls, sizes = gradient_profile(watched, BEGINNING)
        if len(sizes) >= FEWEST_LAYERS and sizes[-1] > 0:
            ratio = float(sizes[0] / sizes[-1])
            if ratio > EXPLODED:
                name = "gradient of the first layer / of the last"
                return Statistic(name, ratio, high=EXPLODED), calls[0].name
            steep = -slope(sizes[:-1])
            if len(sizes) > FEWEST_LAYERS and steep > STEEP:
                name = "growth of the gradient in decades a layer"
                return Statistic(name, steep, high=STEEP), calls[0].name
        if watched.start.radius > RADIUS:
            name = "spectral radius of the recurrent matrix"
            return Statistic(name, watched.start.radius, high=RADIUS), watched.start.recurrent
        norms = gradient_norms(watched)
        norms = norms[len(norms) // 4 :]  # at the start a large loss has a large gradient
        if len(norms) >= 6 and _is_recurrent(watched):
            usual, largest = median(norms), float(np.where(np.isfinite(norms), norms, np.inf).max())
            if usual > 0 and largest > SPIKE * usual:
                name = "largest norm of the gradient / median"
                return Statistic(name, largest / usual, high=SPIKE), ""
        return None, ""


def _is_recurrent(watched: Watched) -> bool:
    """Return whether one matrix is multiplied by again and again."""
    if any(isinstance(module, nn.RNNBase) for module in watched.model.modules()):
        return True
    names = [call.name for call in typical_calls(watched, 1)]
    return any(names.count(name) >= REPEATED for name in set(names))


class Cliff(Symptom):
    """One step from a place with a very large gradient throws the loss far up."""

    name = "cliff"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the loss jumps after a step and stays up."""
        losses = watched.losses.first()
        for place in range(EARLIEST, len(losses)):
            before = float(np.median(losses[max(0, place - 50) : place]))
            after = losses[place : place + 5]
            after = np.nan_to_num(after, nan=np.inf)
            rest, far = float(after.min()), bool(after.max() > FAR * before)
            is_high = rest > max(JUMP * before, MATTERS * float(losses[0]))
            if before > 0 and is_high and self._was_steep(watched, place, far=far):
                return [self._verdict(watched, place, min(rest / before, 1e9))]
        return self._thrown(watched)

    def _thrown(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the loss stands still: one step may have thrown the weights to a plain,
        where the loss is no higher than where they came from. A long fork with clipping tells.
        """
        still = standstill(watched)
        seen = watched.check
        says_nothing = seen is not None and seen.loss > INFORMED * seen.shuffled > 0
        if (still is None and not says_nothing) or watched.steps < LONG:
            return []
        usual = self._usual(watched)
        losses = watched.losses
        fall = float(losses.first(LONG // 2).mean() - losses.last(LONG // 2).mean())
        found = Statistic("fall of the loss from the first steps to the last", fall)
        words = "The loss is constant; one step may have thrown the weights onto a plateau."
        remedy = clipped(usual, from_start=True, steps=LONG, forks=MANY)
        return [
            Verdict(self.name, found, words=words, remedy=remedy, behind=MORE, only_by_fork=True)
        ]

    def _usual(self, watched: Watched) -> float:
        norms = gradient_norms(watched)
        return float(np.median(norms[np.isfinite(norms)])) if np.isfinite(norms).any() else 1.0

    def _was_steep(self, watched: Watched, step: int, *, far: bool) -> bool:
        """Return whether the gradient at about this step was far above those before; where no such step was
        looked at, whether the loss went very `far`.
        """
        norms = gradient_norms(watched)
        steps = np.array([s.step for s in watched.updates])
        if len(steps) != len(norms):
            return False
        before, near = norms[steps < step - 1], norms[(steps >= step - 1) & (steps <= step + 5)]
        if not len(before) or not len(near):
            return far
        return not float(near.max()) <= SPIKE * float(np.median(before))

    def _verdict(self, watched: Watched, step: int, ratio: float) -> Verdict:
        found = Statistic("loss after the step / median before", ratio, high=JUMP)
        is_late = step > STEPS // 2  # a fork must come so far
        return Verdict(
            self.name, found, since=step, words=f"Step {step} raised the loss.",
            remedy=clipped(
                self._usual(watched), from_start=True, steps=min(step + STEPS, LONG) if is_late else None,
                forks=MANY if is_late else 0,
            ),
            others=() if is_late else (scaled_rate(0.1, from_start=True),),
            behind=MORE,
        )  # fmt: skip
