"""The statistics of a race: pure functions from numbers to claims that the numbers carry.

    times        censored times; survival curves, medians, restricted means
    intervals    of medians (order statistics), of means and ratios (typical values), of anything
                 (bootstrap)
    claims       paired tests, corrected for many; comparisons, places and groups
    tasks        performance profiles, pairwise ratios, rank reversals
    tuning       budget curves, learning-rate sensitivity

Every function takes plain numbers or arrays. Times are to the target, smaller is better, and a miss
is infinity. Everything is deterministic: what is drawn at random is drawn from a fixed seed.
"""

from thalweg.race.statistics.bootstrap import bootstrap
from thalweg.race.statistics.budget import BudgetCurve, budget_curve
from thalweg.race.statistics.comparison import (
    Comparison,
    compare_all,
    difference_interval,
    ratio_interval,
)
from thalweg.race.statistics.interval import Interval, attainable, median_interval
from thalweg.race.statistics.many import holm, joint
from thalweg.race.statistics.paired import fewest_seeds, least_p, paired_p
from thalweg.race.statistics.pairwise import pairwise_ratios, pairwise_wins
from thalweg.race.statistics.profiles import (
    Profiles,
    Reversal,
    performance_profiles,
    profile_scores,
    rank_reversals,
)
from thalweg.race.statistics.ranking import Place, places
from thalweg.race.statistics.sensitivity import Sensitivity, sensitivity
from thalweg.race.statistics.survival import Survival, kaplan_meier
from thalweg.race.statistics.times import censored, restricted
from thalweg.race.statistics.typical import mean_interval

__all__ = [
    "BudgetCurve",
    "Comparison",
    "Interval",
    "Place",
    "Profiles",
    "Reversal",
    "Sensitivity",
    "Survival",
    "attainable",
    "bootstrap",
    "budget_curve",
    "censored",
    "compare_all",
    "difference_interval",
    "fewest_seeds",
    "holm",
    "joint",
    "kaplan_meier",
    "least_p",
    "mean_interval",
    "median_interval",
    "paired_p",
    "pairwise_ratios",
    "pairwise_wins",
    "performance_profiles",
    "places",
    "profile_scores",
    "rank_reversals",
    "ratio_interval",
    "restricted",
    "sensitivity",
]
