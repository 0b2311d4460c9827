"""Solvers: a deterministic objective is minimised along directions, or in a trust region."""

from thalweg.solvers.minimize import least_squares, minimize, minimize_many
from thalweg.solvers.result import Result
from thalweg.solvers.stop import Status

__all__ = ["Result", "Status", "least_squares", "minimize", "minimize_many"]
