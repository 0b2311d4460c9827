"""Solvers: a deterministic objective is minimised along directions, in a trust region, or by blocks."""

from thalweg.solvers.blocks.descent import coordinate_descent
from thalweg.solvers.blocks.lasso import lasso
from thalweg.solvers.blocks.quadratic import Quadratic
from thalweg.solvers.blocks.sparse_coding import SparseCoding, sparse_coding
from thalweg.solvers.minimize import least_squares, minimize, minimize_many
from thalweg.solvers.result import Result
from thalweg.solvers.stop import Status

__all__ = [
    "Quadratic",
    "Result",
    "SparseCoding",
    "Status",
    "coordinate_descent",
    "lasso",
    "least_squares",
    "minimize",
    "minimize_many",
    "sparse_coding",
]
