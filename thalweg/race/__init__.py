"""The race: which optimizer trains a task fastest?

The package is callable: `thalweg.race(task)` runs the function `race`. It has to be, because Python makes a
package that was imported an attribute of its parent, in the place of a function of the same name.
"""

import sys
from types import ModuleType

from thalweg.race.entrants import Entrant, find_entrant, known_entrants, log_grid
from thalweg.race.plan import Plan, Trial
from thalweg.race.ranking import Standing, Summary
from thalweg.race.records import Curve, RecordFile, TrialRecord
from thalweg.race.result import RaceResult
from thalweg.race.runner import Race, RaceProgress, race

__all__ = [
    "Curve",
    "Entrant",
    "Plan",
    "Race",
    "RaceProgress",
    "RaceResult",
    "RecordFile",
    "Standing",
    "Summary",
    "Trial",
    "TrialRecord",
    "find_entrant",
    "known_entrants",
    "log_grid",
    "race",
]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(race)


sys.modules[__name__].__class__ = _CallablePackage
