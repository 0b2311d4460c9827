"""The race: which optimizer trains a task fastest?"""

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
