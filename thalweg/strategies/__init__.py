"""Strategies: from a recipe to recipes. Given to `fit(…, strategy=)` or to an entrant of a race.

    from thalweg.strategies import curriculum
    run = fit(task, "adam", lr=1e-3, strategy=curriculum(start=0.3))

docs/strategies.md says what each does, and when it works.
"""

from thalweg.strategies.batches import growing_batches
from thalweg.strategies.curriculum import curriculum
from thalweg.strategies.depth import stochastic_depth
from thalweg.strategies.freezing import freezing
from thalweg.strategies.growth.deepening import deepened
from thalweg.strategies.growth.widening import widened
from thalweg.strategies.layers import copy_layers
from thalweg.strategies.named import STRATEGIES, strategy_named
from thalweg.strategies.net2net import net2net
from thalweg.strategies.pretraining import pretraining
from thalweg.strategies.stages.merged import StagedRun
from thalweg.strategies.stages.stage import Stage, StageRecord
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.teachers import distillation, hints
from thalweg.strategies.transfer import copied_layers, transfer
from thalweg.strategies.unchanged import plain

__all__ = [
    "STRATEGIES",
    "Stage",
    "StageRecord",
    "StagedRun",
    "Strategy",
    "copied_layers",
    "copy_layers",
    "curriculum",
    "deepened",
    "distillation",
    "freezing",
    "growing_batches",
    "hints",
    "net2net",
    "plain",
    "pretraining",
    "stochastic_depth",
    "strategy_named",
    "transfer",
    "widened",
]
