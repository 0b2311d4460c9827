"""Forks: training for some steps from a state of the run, with and without a remedy, on the same batches."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.doctor.forks.arm import Arm, Batches
from thalweg.doctor.forks.origin import Origin
from thalweg.doctor.undisturbed import Modes, enter_modes, seed_all
from thalweg.doctor.verdict import Effect, Remedy
from thalweg.statistics import fewest_seeds, paired_differences
from thalweg.train.restored.snapshot import untouched

STEPS = 40
ALPHA = 0.05
"""The chance that an interval misses, over all remedies that are tried for one symptom (Bonferroni)."""
SCREENED = 2
"""A remedy that has not helped in any of the first this many forks is given up."""
SLIGHT = 0.995
"""A remedy has helped in a fork if the loss with it is below this share of that without it (below that
itself, where any effect is enough)."""
PROBES = 8
"""Batches on which an arm is measured."""
FEWEST_BATCHES = 4
HOPELESS = 1e3
"""What a loss that is not finite counts as, as a multiple of the loss at the start."""


class OutOfBudgetError(Exception):
    """The budget of forks does not allow another one."""

    def __init__(self) -> None:
        super().__init__("Not all remedies were tried, since the budget is spent: raise forks=….")


class Forks:
    """Measures remedies by forks of a run, which is left bitwise as it was.

    Each fork draws its batches from those that were kept, in the order in which they came; both arms draw the
    same random numbers. Arms without a remedy are trained once for each origin. A remedy that does not help
    in the first two forks is given up.

    Args:
        model, optimizer, loss: those of the run.
        start, middle, end: where forks begin; a remedy says which. Without an end none begins there.
        batches: what was kept, with the step of each.
        lr: the learning rate in the forks, that of the first group; None for that of the origin.
        budget: gradient-equivalents that forks may cost.
        penalty: added to the loss in training.
        clip: the norm to which the run cuts gradients; None where it does not.
        modes: of the modules in training.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Any, Any], Tensor],
        start: Origin,
        middle: Origin,
        batches: list[tuple[int, Any]],
        *,
        lr: float | None = None,
        budget: float = 2000.0,
        penalty: Callable[[nn.Module], Tensor] | None = None,
        clip: float | None = None,
        modes: Modes = (),
        end: Origin | None = None,
    ) -> None:
        self.model, self.optimizer, self.loss = model, optimizer, loss
        self.penalty, self.clip, self.modes = penalty, clip, modes
        self.start, self.middle, self.end = start, middle, end
        ordered = sorted(batches, key=lambda each: each[0])
        self.kept = [batch for _, batch in ordered]
        self._steps = tuple(step for step, _ in ordered)
        self.lr, self.budget = lr, budget
        self.spent = 0.0
        self._plain: dict[tuple[int, int], list[float]] = {}
        self._before: dict[int, float] = {}

    def effect(self, remedy: Remedy, of: int = 1) -> Effect | None:
        """Return the loss without and with a remedy; None for one that cannot be tried.

        Where it is one `of` several, the interval is so wide that 95 % holds for all of them at once.

        Raises:
            OutOfBudgetError: where it would cost more than is left.
        """
        origin = self._origin(remedy)
        if remedy.change is None or len(self.kept) < FEWEST_BATCHES or origin is None:
            return None
        steps, treated = remedy.steps or STEPS, list[float]()
        # what is done to both arms is this remedy's own
        own = not remedy.both
        without = self._plain.setdefault((origin.step, steps), []) if own else []
        alpha = ALPHA / of
        for fork in range(max(fewest_seeds(alpha), remedy.forks)):
            if len(without) <= fork:
                without.append(self._loss(origin, remedy, fork, steps, treats=False))
            treated.append(self._loss(origin, remedy, fork, steps))
            if fork + 1 == SCREENED and _is_hopeless(without, treated, remedy):
                break
        if origin.step not in self._before:
            self._before[origin.step] = float(
                np.mean([self._first(origin, fork) for fork in range(SCREENED)])
            )
        return _effect(without[: len(treated)], treated, steps, self._before[origin.step], alpha)

    def _origin(self, remedy: Remedy) -> Origin | None:
        if remedy.from_end:
            return self.end
        return self.start if remedy.from_start else self.middle

    def _first(self, origin: Origin, fork: int) -> float:
        """Return the loss of the probe of a fork before its first step."""
        with untouched(self.model, self.optimizer):
            return self._arm(origin, fork).measure()

    def _loss(
        self, origin: Origin, remedy: Remedy, fork: int, steps: int, *, treats: bool = True
    ) -> float:
        cost = steps + PROBES / 3
        if self.spent + cost > self.budget:
            raise OutOfBudgetError
        self.spent += cost
        with untouched(self.model, self.optimizer):
            arm = self._arm(origin, fork, steps)
            if remedy.both is not None:
                remedy.both(arm)
            if treats and remedy.change is not None:
                remedy.change(arm)
                seed_all(fork)
            try:
                arm.train()
                return arm.measure()
            except (ArithmeticError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
                return math.inf  # such as a decomposition of what is not finite

    def _arm(self, origin: Origin, fork: int, steps: int = STEPS) -> Arm:
        origin.enter(self.model, self.optimizer, self.lr)
        enter_modes(self.modes)
        batches, probe = self._drawn(fork, steps)
        seed_all(fork)
        return Arm(
            *(self.model, self.optimizer, batches, probe, self.kept, self.loss),
            penalty=self.penalty,
            clip=self.clip,
            seed=fork,
            steps=self._steps,
        )

    def _drawn(self, fork: int, steps: int) -> tuple[Batches, Batches]:
        """Return the batches of a fork in their order, and those that measure it."""
        order = random.Random(fork)  # noqa: S311
        count = len(self.kept)
        probe = order.sample(range(count), min(PROBES, max(1, count // 4)))
        rest = [place for place in range(count) if place not in probe]
        chosen = sorted(
            order.choices(rest, k=steps) if len(rest) < steps else order.sample(rest, steps)
        )
        return [self.kept[i] for i in chosen], [self.kept[i] for i in sorted(probe)]


def _is_hopeless(without: list[float], treated: list[float], remedy: Remedy) -> bool:
    if not any(b < remedy.under for b in treated):
        return True
    pairs = zip(without, treated, strict=False)
    slight = SLIGHT if remedy.least < 1 else 1.0
    return all(not b < a * (slight if a > 0 else 1.0) and math.isfinite(a) for a, b in pairs)


def _effect(
    without: list[float], treated: list[float], steps: int, before: float, alpha: float
) -> Effect:
    """Return the ratio of the losses with an interval by sign flips, of their logarithms.

    Losses that may be negative are shifted, so that the smallest is a tenth of their spread.
    """
    finite = [x for x in (*without, *treated) if math.isfinite(x)]
    worst = max(map(abs, finite), default=1.0) * HOPELESS
    a, b = (np.array([x if math.isfinite(x) else worst for x in xs]) for xs in (without, treated))
    both = np.concatenate([a, b])
    shift = 0.0
    if both.min() < 0:
        shift = float(-both.min() + 0.1 * max(both.max() - both.min(), 1e-12))
    tiny = float(np.finfo(np.float64).tiny)
    scores = {
        "with": np.log(np.maximum(b + shift, tiny)),
        "without": np.log(np.maximum(a + shift, tiny)),
    }
    low, high = 0.0, math.inf
    if len(a) >= fewest_seeds(alpha):
        (pair,) = paired_differences(scores, alpha=alpha)
        low, high = math.exp(pair.low), math.exp(pair.high)
    first, second = (float(np.exp(scores[name].mean())) - shift for name in ("without", "with"))
    highest = float(b.max())
    return Effect("loss", first, second, low, high, steps, len(a), before, highest, shift)
