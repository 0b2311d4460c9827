"""Performance profiles: on which share of the tasks is an entrant within a factor of the best?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError
from thalweg.statistics.pairwise import cost_table
from thalweg.statistics.times import Array, censored

_EQUAL = 1e-12  # scores that differ by rounding are equal


@dataclass(frozen=True, eq=False)
class Profiles:
    """The profiles of all entrants: step functions of the factor τ.

    `share[e, i]` is ρ of entrant e from `factor[i]` up to `factor[i + 1]`; `factor[0]` is 1. Tasks
    that nobody solved count, as misses of all: `unsolved` says how many.
    """

    factor: Array
    share: Array
    unsolved: int

    def at(self, factor: float) -> Array:
        """Return ρ(τ) of every entrant.

        Raises:
            TaskError: for a factor below 1, within which not even the best is.
        """
        if not factor >= 1:
            raise TaskError(f"A profile begins at the factor 1, got {factor}.")
        place = int(np.searchsorted(self.factor, factor, side="right")) - 1
        at: Array = self.share[:, place]
        return at


def performance_profiles(costs: ArrayLike) -> Profiles:
    """Return the performance profiles of entrants over tasks.

        rₑₜ = cₑₜ / minₑ cₑₜ        ρₑ(τ) = #{t : rₑₜ ≤ τ} / #tasks

    ρₑ(1) is the share of tasks on which e is the best, ρₑ(∞) of those that it solves. A profile
    depends on who is the best, so on who else runs: see `rank_reversals`.

    Args:
        costs: of (entrants, tasks), such as the median time to the target; infinity for a miss.

    Source: Dolan & Moré (2002), "Benchmarking optimization software with performance profiles".

    Raises:
        TaskError: for costs that are not a table of positive numbers.

    Example:
        >>> profiles = performance_profiles([[10, 30, 5], [20, 10, np.inf]])
        >>> profiles.factor, profiles.at(2)
        (array([1., 2., 3.]), array([0.66666667, 0.66666667]))
    """
    ratio = ratios_to_best(costs)
    finite = ratio[np.isfinite(ratio)]
    factor = np.unique(np.concatenate([[1.0], finite]))
    share = (ratio[:, :, None] <= factor).mean(axis=1)
    return Profiles(factor, share, int(np.isinf(ratio).all(axis=0).sum()))


def profile_scores(costs: ArrayLike, largest: float = 4.0) -> Array:
    """Return the mean height of each entrant's profile from τ = 1 to the largest factor.

        Bₑ = 1 / (τ_max − 1) ∫₁^τ_max ρₑ(τ) dτ = mean_t max(0, τ_max − rₑₜ) / (τ_max − 1)

    1 for an entrant that is the best everywhere, 0 for one that is never within τ_max of the best.

    Source: Dahl et al. (2023), "Benchmarking Neural Network Training Algorithms" (AlgoPerf), with
    τ_max = 4.

    Raises:
        TaskError: as `performance_profiles`, and for a largest factor that is not above 1.

    Example:
        >>> profile_scores([[10, 30, 5], [20, 10, np.inf]]).round(3)
        array([0.778, 0.556])
    """
    if not 1 < largest < np.inf:
        raise TaskError(
            f"The largest factor of a profile must be finite and above 1, got {largest}."
        )
    ratio = ratios_to_best(costs)
    scores: Array = (np.maximum(0, largest - ratio) / (largest - 1)).mean(axis=1)
    return scores


def scores_without_a_task(costs: ArrayLike, largest: float = 4.0) -> tuple[Array, Array]:
    """Return the lowest and the highest score of each entrant when any one of the tasks is left out.

    This says how much a score hangs on a single task. It is not a confidence interval: tasks are chosen,
    not drawn, and a handful of them cannot be resampled.

    Raises:
        TaskError: as `profile_scores`, and for fewer than two tasks.

    Example:
        >>> low, high = scores_without_a_task([[10, 30, 5], [20, 10, np.inf]])
        >>> low.round(3), high.round(3)
        (array([0.667, 0.333]), array([1.   , 0.833]))
    """
    c = cost_table(costs)
    if c.shape[1] < 2:
        raise TaskError(f"A task is left out of two or more, got {c.shape[1]}.")
    each = np.array(
        [profile_scores(np.delete(c, task, axis=1), largest) for task in range(c.shape[1])]
    )
    return each.min(axis=0), each.max(axis=0)


def ratios_to_best(costs: ArrayLike) -> Array:
    """Return cₑₜ / minₑ cₑₜ, infinite for misses, also where everyone missed."""
    c = censored(cost_table(costs))
    best = c.min(axis=0)
    solved = np.isfinite(best)
    ratio: Array = np.where(solved, c / np.where(solved, best, 1), np.inf)
    return ratio


@dataclass(frozen=True)
class Reversal:
    """Two entrants whose order changes when others do not run.

    With everyone, `first` scores above `second`; without `without`, below.
    """

    first: str
    second: str
    without: tuple[str, ...]
    scores: tuple[float, float]
    scores_without: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"{self.first} is above {self.second} ({self.scores[0]:.3g} to {self.scores[1]:.3g}) "
            f"only because {' and '.join(self.without)} ran: without, it is "
            f"{self.scores_without[0]:.3g} to {self.scores_without[1]:.3g}"
        )


def rank_reversals(
    names: Sequence[str], costs: ArrayLike, largest: float = 4.0
) -> tuple[Reversal, ...]:
    """Return where the order of two entrants by profile score depends on who else runs.

    The scores are computed again without each third entrant, and with the two alone. Where the list is
    not empty, the ranking is not a property of the entrants, and pairwise ratios should be read instead.

    Source: Gould & Scott (2016), "A note on performance profiles for benchmarking software".

    Raises:
        TaskError: as `profile_scores`, and for as many names as there are not entrants.

    Example:
        >>> costs = {"adam": [10, 30], "sgd": [20, 10], "lion": [99, 2]}
        >>> print(*rank_reversals(list(costs), list(costs.values())))
        adam is above sgd (0.5 to 0.333) only because lion ran: without, it is 0.667 to 0.833
    """
    c = cost_table(costs)
    if len(names) != len(c):
        raise TaskError(f"{len(c)} entrants have {len(c)} names, got {len(names)}.")
    everyone = profile_scores(c, largest)
    found = []
    pairs = [
        (a, b) for a, b in permutations(range(len(c)), 2) if everyone[a] - everyone[b] > _EQUAL
    ]
    for a, b in pairs:
        others = [k for k in range(len(c)) if k not in (a, b)]
        leavers = [(k,) for k in others] + ([tuple(others)] if len(others) > 1 else [])
        for leaving in leavers:
            left = [k for k in range(len(c)) if k not in leaving]
            without = profile_scores(c[left], largest)
            now = float(without[left.index(a)]), float(without[left.index(b)])
            if now[1] - now[0] > _EQUAL:
                found.append(
                    Reversal(
                        first=names[a],
                        second=names[b],
                        without=tuple(names[k] for k in leaving),
                        scores=(float(everyone[a]), float(everyone[b])),
                        scores_without=now,
                    )
                )
    return tuple(found)
