"""Solvers: a deterministic objective is minimized along directions, in a trust region, or by blocks."""

from thalweg.solvers.blocks.descent import coordinate_descent
from thalweg.solvers.blocks.lasso import lasso
from thalweg.solvers.blocks.quadratic import Quadratic
from thalweg.solvers.blocks.sparse_coding import SparseCoding, sparse_coding
from thalweg.solvers.minimize import least_squares, minimize, minimize_many
from thalweg.solvers.objectives.model import FlatObjective, flat_objective
from thalweg.solvers.result import Result
from thalweg.solvers.stop import Status

__all__ = [
    "FlatObjective",
    "Quadratic",
    "Result",
    "SparseCoding",
    "Status",
    "coordinate_descent",
    "flat_objective",
    "lasso",
    "least_squares",
    "minimize",
    "minimize_many",
    "sparse_coding",
]
