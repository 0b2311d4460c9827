"""The curvature of a loss by products with its matrices, and what they tell: spectra, traces, sharpness."""

from thalweg.curvature.krylov import Basis, Solution, conjugate_gradients, lanczos
from thalweg.curvature.of_function import hessian_of
from thalweg.curvature.operator import Matrix, Operator, Products
from thalweg.curvature.operators import fisher, ggn, hessian
from thalweg.curvature.trace import (
    DiagonalEstimate,
    Estimate,
    hutchinson,
    hutchinson_diag,
    hutchpp,
)

__all__ = [
    "Basis",
    "DiagonalEstimate",
    "Estimate",
    "Matrix",
    "Operator",
    "Products",
    "Solution",
    "conjugate_gradients",
    "fisher",
    "ggn",
    "hessian",
    "hessian_of",
    "hutchinson",
    "hutchinson_diag",
    "hutchpp",
    "lanczos",
]
