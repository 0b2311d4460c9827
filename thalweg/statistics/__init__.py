"""The statistics of a race: pure functions from numbers to claims that the numbers carry.

    times        censored times and times restricted to the budget
    intervals    of medians (order statistics)
    claims       sign flips of all pairs at once, with intervals of ratios; the set of the best; groups;
                 errors that all scores of an entrant share; two looks
    tasks        performance profiles, pairwise ratios, rank reversals
    tuning       budget curves, learning-rate sensitivity and its interval

Every function takes plain numbers or arrays. Times are to the target, smaller is better, and a miss
is infinity. Everything is deterministic: what is drawn at random is drawn from a fixed seed.
"""

from thalweg.statistics.budget import BudgetCurve, budget_curve
from thalweg.statistics.comparison import (
    Comparison,
    Outcome,
    compare_all,
    outcome_of,
)
from thalweg.statistics.interval import Interval, attainable, median_interval
from thalweg.statistics.looks import fewest_first, width_with_more
from thalweg.statistics.paired import fewest_seeds
from thalweg.statistics.pairwise import pairwise_bounds, pairwise_ratios, pairwise_wins
from thalweg.statistics.profiles import (
    Profiles,
    Reversal,
    performance_profiles,
    profile_scores,
    rank_reversals,
    scores_without_a_task,
)
from thalweg.statistics.ranking import groups_of
from thalweg.statistics.sensitivity import Sensitivity, sensitivity, width_interval
from thalweg.statistics.shared import SharedError, with_error
from thalweg.statistics.simultaneous import (
    PairedDifference,
    paired_differences,
    possible_bests,
)
from thalweg.statistics.times import censored, restricted

__all__ = [
    "BudgetCurve",
    "Comparison",
    "Interval",
    "Outcome",
    "PairedDifference",
    "Profiles",
    "Reversal",
    "Sensitivity",
    "SharedError",
    "attainable",
    "budget_curve",
    "censored",
    "compare_all",
    "fewest_first",
    "fewest_seeds",
    "groups_of",
    "median_interval",
    "outcome_of",
    "paired_differences",
    "pairwise_bounds",
    "pairwise_ratios",
    "pairwise_wins",
    "performance_profiles",
    "possible_bests",
    "profile_scores",
    "rank_reversals",
    "restricted",
    "scores_without_a_task",
    "sensitivity",
    "width_interval",
    "width_with_more",
    "with_error",
]
