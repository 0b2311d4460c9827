"""The statistics of a race: pure functions from numbers to claims that the numbers carry.

    times        censored times and times restricted to the budget
    intervals    of medians (order statistics), of means and ratios (typical values), of anything
                 (bootstrap)
    claims       the sign-flip test, of one pair and of all at once; the set of the best; groups;
                 two looks
    tasks        performance profiles, pairwise ratios, rank reversals
    tuning       budget curves, learning-rate sensitivity

Every function takes plain numbers or arrays. Times are to the target, smaller is better, and a miss
is infinity. Everything is deterministic: what is drawn at random is drawn from a fixed seed.
"""

from thalweg.statistics.bootstrap import bootstrap
from thalweg.statistics.budget import BudgetCurve, budget_curve
from thalweg.statistics.comparison import (
    Comparison,
    Outcome,
    compare_all,
    difference_interval,
    outcome_of,
    ratio_interval,
)
from thalweg.statistics.interval import Interval, attainable, median_interval
from thalweg.statistics.looks import fewest_first, width_with_more
from thalweg.statistics.paired import fewest_seeds, least_p, paired_p
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
from thalweg.statistics.sensitivity import Sensitivity, sensitivity
from thalweg.statistics.simultaneous import (
    PairedDifference,
    paired_differences,
    possible_bests,
)
from thalweg.statistics.times import censored, restricted
from thalweg.statistics.typical import mean_interval

__all__ = [
    "BudgetCurve",
    "Comparison",
    "Interval",
    "Outcome",
    "PairedDifference",
    "Profiles",
    "Reversal",
    "Sensitivity",
    "attainable",
    "bootstrap",
    "budget_curve",
    "censored",
    "compare_all",
    "difference_interval",
    "fewest_first",
    "fewest_seeds",
    "groups_of",
    "least_p",
    "mean_interval",
    "median_interval",
    "outcome_of",
    "paired_differences",
    "paired_p",
    "pairwise_bounds",
    "pairwise_ratios",
    "pairwise_wins",
    "performance_profiles",
    "possible_bests",
    "profile_scores",
    "rank_reversals",
    "ratio_interval",
    "restricted",
    "scores_without_a_task",
    "sensitivity",
    "width_with_more",
]
