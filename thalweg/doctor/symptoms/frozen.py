"""Layers that nothing trains: by mistake, or because they hold what was learned before."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thalweg.doctor.forks.thawing import frozen_in, thawed
from thalweg.doctor.symptoms.reading import FEWEST_STEPS, has_diverged
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Kind, Statistic, Verdict
from thalweg.doctor.watched import Watched

STEPS = 80
"""Steps of a fork, which begins where the run ended: by then the layers that train have made the best of the
others, and features that are drawn at random on purpose, and are enough, leave nothing to gain."""
LOWER = 0.75
"""Loss with all layers in training as a share of that without."""
SPIKE = 1.15
"""Largest singular value, as a multiple of that of independent numbers, from which on a matrix holds what was
learned (Martin and Mahoney, 2021); 200 draws of small matrices reach 1.08 (measured)."""
DRAWN = "They are as they were drawn."
LEARNED = "They hold what was learned before: fine where that is to be kept."
MOST_NUMBERS = 1 << 22
"""Of larger matrices no singular value is computed, and they count as learned."""


class FrozenLayers(Symptom):
    """Weights want no gradient, or are not the optimizer's, though the loss would fall farther with them.

    Without a fork nothing is said: to freeze layers is a usual thing to do.
    """

    name = "frozen_layers"

    def looks(self, watched: Watched) -> list[Verdict]:
        """Return a suspicion where matrices are frozen; a warning where they hold what was learned."""
        frozen = {
            n: p for n, p in frozen_in(watched.model, watched.optimizer).items() if p.ndim > 1
        }
        losses = watched.losses.last()
        if not frozen or len(losses) < FEWEST_STEPS or has_diverged(watched):
            return []
        end = float(losses[-len(losses) // 4 :].mean())
        everything = sum(p.numel() for p in watched.model.parameters() if p.ndim > 1)
        share = sum(p.numel() for p in frozen.values()) / everything
        found = Statistic("share of the weights of layers that nothing trains", share)
        names = ", ".join(list(frozen)[:3])
        if len(frozen) > 3:
            names += f" and {len(frozen) - 3} more"
        is_drawn = all(map(looks_drawn, frozen.values()))
        kind: Kind = "fault" if is_drawn else "warning"
        words = f"Nothing trains {names}. " + (DRAWN if is_drawn else LEARNED)
        remedy = thawed(STEPS, under=end, least=LOWER)
        return [
            Verdict(
                self.name, found, kind=kind, where=next(iter(frozen)), since=1, words=words, remedy=remedy,
                only_by_fork=True,
            )
        ]  # fmt: skip


def looks_drawn(weight: Tensor) -> bool:
    """Return whether the numbers of a matrix look independent of each other: σ_max is about s·(√m + √n) then,
    s their root mean square; what is learned stands above that.
    """
    matrix = weight.detach().flatten(1)
    size = matrix.square().mean().sqrt()
    if matrix.numel() > MOST_NUMBERS or not bool(size > 0):
        return False
    edge = float(size) * sum(map(math.sqrt, matrix.shape))
    return float(torch.linalg.matrix_norm(matrix.double(), 2)) < SPIKE * edge
