"""The curvature of a loss by products with its matrices, and what they tell: spectra, traces, sharpness."""

from thalweg.curvature.kronecker.matrix import KroneckerMatrix
from thalweg.curvature.kronecker.of_data import ekfac, kfac
from thalweg.curvature.krylov import Basis, Solution, conjugate_gradients, lanczos
from thalweg.curvature.noise import NoiseScale, noise_scale
from thalweg.curvature.of_function import hessian_of
from thalweg.curvature.operator import Matrix, Operator, Products
from thalweg.curvature.operators import fisher, ggn, hessian
from thalweg.curvature.sharpness import (
    Edge,
    Sharpness,
    adam_edge,
    edge_of,
    gradient_descent_edge,
    sharpness,
)
from thalweg.curvature.spectrum import Density, Eigenpairs, Extremes, density, extremes
from thalweg.curvature.trace import (
    DiagonalEstimate,
    Estimate,
    hutchinson,
    hutchinson_diag,
    hutchpp,
)

__all__ = [
    "Basis",
    "Density",
    "DiagonalEstimate",
    "Edge",
    "Eigenpairs",
    "Estimate",
    "Extremes",
    "KroneckerMatrix",
    "Matrix",
    "NoiseScale",
    "Operator",
    "Products",
    "Sharpness",
    "Solution",
    "adam_edge",
    "conjugate_gradients",
    "density",
    "edge_of",
    "ekfac",
    "extremes",
    "fisher",
    "ggn",
    "gradient_descent_edge",
    "hessian",
    "hessian_of",
    "hutchinson",
    "hutchinson_diag",
    "hutchpp",
    "kfac",
    "lanczos",
    "noise_scale",
    "sharpness",
]
