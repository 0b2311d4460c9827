"""A loss that is constant: on a plateau, at a saddle, or on a plateau next to lower ground."""

from __future__ import annotations

import dataclasses

from thalweg import init
from thalweg.doctor.forks.leaving import elsewhere, leaving
from thalweg.doctor.forks.remedies import perturbed, started
from thalweg.doctor.symptoms.reading import (
    FEWEST_STEPS,
    gradient_norms,
    settled,
    standing,
    standstill,
)
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Remedy, Statistic, Verdict
from thalweg.doctor.watched import Ending, Watched

MORE = (
    "decay_imbalance", "vanishing_gradient", "exploding_gradient", "dead_units", "saturation", "symmetry",
    "lr_too_high", "ill_conditioning", "lost_updates", "cliff", "layer_imbalance", "data_order", "loss_spike",
    "schedule",
)  # fmt: skip
"""Why a loss may stand still; a saddle is what is left."""
LOWER = 0.05
"""A place to go to is one where the loss is lower by such a share of all that it fell."""
COSTLY = 0.1
"""A plateau at the beginning matters where it lasts for such a share of the run."""
LEFT = 1e-3
"""Gradient, as a share of its largest, that is left on a plain; at a minimum it vanishes."""


class Plateau(Symptom):
    """The loss does not fall, though noise on the weights, a way down that bends, or another start would let
    it.
    """

    name = "plateau_or_saddle"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where the loss stands still, or has settled at a saddle or on a plain."""
        return self._stands(watched) or self._settled(watched)

    def _stands(self, watched: Watched) -> list[Verdict]:
        again = started(init.he() | init.bias(0.0), "he", "start by He with biases of 0")
        still, words = standstill(watched), "The loss is constant."
        tried: tuple[Remedy, ...] = (perturbed(), perturbed(0.5), again)
        end = watched.ending
        if still is None and len(watched.losses) > 2 * FEWEST_STEPS:
            first = max(FEWEST_STEPS, int(COSTLY * len(watched.losses)))
            still = standing(watched.losses.first(first))
            words = f"The loss is constant in the first {first} steps."
            tried = (
                dataclasses.replace(again, for_speed=False),
            )  # other starts are a little faster, too
        elif still is not None and end is not None:
            words += f" {_curvature(end)}"
            if end.bends_down:
                tried = (perturbed(), leaving(end.direction, float("inf")), again)
        if still is None:
            return []
        found = Statistic("fall of the loss from the first half to the second", *still)
        return [
            Verdict(
                self.name, found, since=1, words=words, remedy=tried[0], others=tried[1:], behind=MORE
            )
        ]  # fmt: skip

    def _settled(self, watched: Watched) -> list[Verdict]:
        """Look at where a loss settled that had fallen before: a minimum is not a fault."""
        end, losses = watched.ending, watched.losses.last()
        still = settled(losses)
        if end is None or still is None:
            return []
        fallen = float(losses[0]) - float(losses[-len(losses) // 4 :].mean())
        under = float(losses[-len(losses) // 4 :].min()) - LOWER * fallen
        if end.bends_down:
            remedy, what = leaving(end.direction, under), "a saddle"
        elif self._is_plain(watched, end, fallen):
            remedy, what = elsewhere(end.way, under), "a plateau, not a minimum"
        else:
            return []
        found = Statistic("share of its fall that the loss fell in the last quarter", still[1])
        words = f"The loss has settled, perhaps on {what}. {_curvature(end)}"
        return [
            Verdict(
                self.name, found, words=words, remedy=remedy, behind=MORE, only_by_fork=True
            )
        ]  # fmt: skip

    def _is_plain(self, watched: Watched, end: Ending, fallen: float) -> bool:
        """Return whether the loss is flat as far as the run went, though the gradient has not vanished: a
        parabola of this curvature would rise by less over that way than the loss fell.
        """
        norms = gradient_norms(watched)
        is_flat = end.highest.value * end.way**2 / 2 < fallen
        return bool(len(norms)) and is_flat and end.gradient > LEFT * float(norms.max())


def _curvature(end: Ending) -> str:
    """Return what was measured where the run ended, in words."""
    low, high = end.lowest, end.highest
    directions = "one direction" if end.bends_down else "no direction"
    return (
        f"The loss curves downward along {directions}: the lowest curvature is λ_min = {low.value:.2g} ± "
        f"{low.stderr:.1g}, the highest {high.value:.2g}, the norm of the gradient {end.gradient:.2g}."
    )
