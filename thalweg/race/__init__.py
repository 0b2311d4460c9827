"""The race: which optimizer trains a task fastest?

The package is callable: `thalweg.race(task)` runs the function `race`. It has to be, because Python makes a
package that was imported an attribute of its parent, instead of a function of the same name.
`help(thalweg.race.race)` explains its arguments.
"""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

from thalweg.race.arguments import RaceArguments
from thalweg.race.call import race
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.known import find_entrant, known_entrants, log_grid
from thalweg.race.entrants.space import (
    Space,
    choice,
    integers,
    log_uniform,
    log_uniform_below_one,
    uniform,
)
from thalweg.race.judging.judge import Judgement
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.standings import Standing
from thalweg.race.judging.summary import Summary
from thalweg.race.progress import RaceProgress
from thalweg.race.result import RaceResult
from thalweg.race.runner import Race
from thalweg.race.several import sum_up
from thalweg.race.trials.plan import RacePlan, Trial
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import Curve, RecordFile, TrialRecord

__all__ = [
    "Curve",
    "Entrant",
    "Goal",
    "Judgement",
    "Point",
    "Race",
    "RaceArguments",
    "RacePlan",
    "RaceProgress",
    "RaceResult",
    "RecordFile",
    "Space",
    "Standing",
    "Summary",
    "Trial",
    "TrialRecord",
    "choice",
    "find_entrant",
    "integers",
    "known_entrants",
    "log_grid",
    "log_uniform",
    "log_uniform_below_one",
    "race",
    "sum_up",
    "uniform",
]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(race)

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.__name__,)

    __signature__ = inspect.signature(
        race
    )  # without it, some Pythons leave out the first parameter


sys.modules[__name__].__class__ = _CallablePackage
