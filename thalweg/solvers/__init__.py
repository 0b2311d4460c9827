"""Solvers: a deterministic objective is minimised along directions, or in a trust region."""

from thalweg.solvers.minimize import least_squares, minimize, minimize_many
from thalweg.solvers.model import FlatObjective, flat_objective
from thalweg.solvers.result import Result
from thalweg.solvers.stop import Status

__all__ = [
    "FlatObjective",
    "Result",
    "Status",
    "flat_objective",
    "least_squares",
    "minimize",
    "minimize_many",
]
