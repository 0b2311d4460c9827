"""The start: a loss far above that of guessing, activations that grow or shrink over depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from thalweg import init
from thalweg.doctor.forks.remedies import started
from thalweg.doctor.symptoms.reading import dead_at_start, slope, strange_batches
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.doctor.watched import Watched

ABOVE = 1.5
"""The first loss as a multiple of that of guessing by the shares of the classes (Karpathy, 2019)."""
STEEP = 0.1
"""Decades a layer by which activations may grow or shrink (Glorot and Bengio, 2010)."""
RADIUS = 1.3
"""Spectral radius of a recurrent matrix from which on gradients grow with time (it must be above 1: Pascanu
and others, 2013); a fork decides."""
FEWEST_LAYERS = 4
EARLY = 10
"""Steps of a fork that tells a start which costs time only."""
SMALL = 1e-3
"""Deviation of the last layer's weights with which the loss begins at that of guessing."""
MORE = (
    "ill_conditioning", "exploding_gradient", "vanishing_gradient", "saturation", "symmetry",
    "decay_imbalance", "data_order",
)  # fmt: skip
FAR = 1.0
"""Decades by which the last layer's input must differ from the first's."""


class InitScale(Symptom):
    """The weights begin too large or too small."""

    name = "init_scale"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion by the first loss, or else by the activations of the first pass."""
        found = self._first_loss(watched) or self._profile(watched)
        if found is None:
            return self._recurrent(watched)
        statistic, words = found
        he = init.he() | init.bias(0.0)
        better = started(he, "he", "start by He with biases of 0")
        small = he | init.scaled_normal(std=SMALL).on("output")
        early = started(small, "he", "start by He, the last layer near 0", EARLY)
        scaled = started(he | init.lsuv(), "lsuv", "start by He and LSUV")
        return [
            Verdict(
                self.name, statistic, since=1, words=words, remedy=better, others=(scaled, early),
                behind=self._behind(watched, statistic),
            )
        ]  # fmt: skip

    def _behind(self, watched: Watched, statistic: Statistic) -> tuple[str, ...]:
        """Return what says more: another start mends whatever is wrong with the start."""
        behind = MORE + (("dead_units",) if dead_at_start(watched) else ())
        behind += ("loss_spike",) if strange_batches(watched) else ()
        return behind + (
            ("plateau_or_saddle",) if statistic.value < 0 else ()
        )  # small weights are a saddle

    def _recurrent(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where a recurrent matrix begins too large in a run whose steps are bounded:
        large gradients do it no harm, but the start may.
        """
        radius = watched.start.radius
        if not (radius > RADIUS and watched.is_bounded):
            return []
        found = Statistic("spectral radius of the recurrent matrix", radius, high=RADIUS)
        words = "The recurrent matrix is too large at initialization; the optimizer clips its gradients."
        start = started(init.orthogonal() | init.bias(0.0), "orthogonal", "orthogonal start")
        return [
            Verdict(
                self.name, found, where=watched.start.recurrent, since=1, words=words, remedy=start
            )
        ]

    def _first_loss(self, watched: Watched) -> tuple[Statistic, str] | None:
        guessed, losses = guessing(watched), watched.losses.first(1)
        if guessed is None or not len(losses) or not guessed > 0:
            return None
        first = float(losses[0])
        if not first > ABOVE * guessed:
            return None
        words = f"The loss starts at {first:.3g}; guessing gives {guessed:.3g}."
        return Statistic("first loss / loss of guessing", first / guessed, high=ABOVE), words

    def _profile(self, watched: Watched) -> tuple[Statistic, str] | None:
        samples = list(watched.layers)
        if not samples or samples[0].step > 1:
            return None
        # the last layer may begin small: what it gives is judged by the first loss
        sizes = np.array([c.output for c in samples[0].calls[:-1] if c.output > 0])
        if len(sizes) < FEWEST_LAYERS or not np.isfinite(sizes).all():
            return None
        steep = slope(sizes)
        if abs(steep) <= STEEP or abs(steep) * (len(sizes) - 1) < FAR:
            return None
        word = "grow" if steep > 0 else "shrink"
        words = f"Activations {word} by {abs(steep):.2g} decades a layer at the start."
        return Statistic(
            "slope of activations in decades a layer", steep, low=-STEEP, high=STEEP
        ), words


def entropy(batches: Iterable[Mapping[int, int]]) -> float:
    """Return the cross-entropy of guessing classes by their shares; 0 where there are none."""
    total: dict[int, int] = {}
    for counts in batches:
        for label, count in counts.items():
            total[label] = total.get(label, 0) + count
    everything = sum(total.values())
    return -sum(c / everything * math.log(c / everything) for c in total.values() if c)


def guessing(watched: Watched) -> float | None:
    """Return the loss of guessing without looking at the inputs; None where it is not known."""
    labels = watched.labels
    if watched.loss_name == "cross_entropy" and labels.counts:
        return entropy(labels.counts) or None
    if watched.loss_name == "binary_cross_entropy_with_logits" and labels.means:
        share = float(np.mean(labels.means))
        inside = 0 < share < 1
        return -(share * math.log(share) + (1 - share) * math.log(1 - share)) if inside else None
    if watched.loss_name == "mse_loss" and labels.squares:
        return 2 * float(np.mean(labels.squares))  # outputs as large as the targets
    return None
