"""Eigenvalues of a matrix that is known by its products: both ends with error bounds, and the density
between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.curvature.krylov import Lanczos, lanczos
from thalweg.curvature.operator import Operator
from thalweg.curvature.trace import CostSince, Estimate, Probes, mean_and_error
from thalweg.whole import whole_number


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues, and for each its vector as a column and the residual ‖A·y − λ·y‖.

    An eigenvalue of A lies within the residual of each value, so it is the bound of the value's error. A
    simple eigenvalue has an error of the order of its square. `converged` says whether all residuals are
    as small as was asked.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: bool

    def estimate(self, place: int, products: int, gradients: float) -> Estimate:
        """Return one value with its residual as the error."""
        value, error = float(self.values[place]), float(self.residuals[place])
        return Estimate(value, error, products, gradients)


@dataclass(frozen=True)
class Extremes:
    """Both ends of a spectrum: the `largest` eigenvalues, descending, and the `smallest`, ascending."""

    largest: Eigenpairs
    smallest: Eigenpairs
    products: int
    gradients: float

    @property
    def top(self) -> Estimate:
        """The largest eigenvalue (not the largest in modulus)."""
        return self.largest.estimate(0, self.products, self.gradients)

    @property
    def bottom(self) -> Estimate:
        """The smallest eigenvalue, negative where the matrix bends down somewhere."""
        return self.smallest.estimate(0, self.products, self.gradients)

    def condition(self) -> float:
        """Return λ_max / λ_min; infinity where the smallest is not positive beyond its error."""
        least = self.bottom
        return self.top.value / least.value if least.value > least.stderr else math.inf


def extremes(
    a: Operator, k: int = 1, *, tol: float = 1e-3, most: int = 200, seed: int = 0
) -> Extremes:
    """Return the k largest and the k smallest eigenvalues, with vectors and residuals.

    Lanczos' method from a random vector, fully orthogonalized, until all 2·k residuals are at most `tol`
    times the largest |eigenvalue|, or `most` products were made. Unlike power iteration it tells a large
    positive eigenvalue from a larger negative one. Copies of a multiple eigenvalue are found once. The
    residual of each is computed again by a product.

    Raises TaskError for a k or a bound that is not an integer above 0.

    Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13.

    >>> from thalweg.curvature import Matrix
    >>> found = extremes(Matrix(torch.diag(torch.tensor([-5.0, 3.0, 1.0]))))
    >>> round(found.top.value, 3), round(found.bottom.value, 3)
    (3.0, -5.0)
    """
    k, most = whole_number("k", k), whole_number("most", most)
    spent = CostSince(a)
    building = Lanczos(a, Probes(a, "gaussian", seed)(1)[:, 0])
    while True:
        going = building.step()
        steps = building.steps
        if going and steps < most and (steps % 5 or steps < 2 * k):
            continue
        basis = building.basis()
        values, s, bounds = basis.ritz()
        ends = torch.cat([bounds[:k], bounds[-k:]])
        enough = bool((ends <= tol * values.abs().max()).all()) and steps >= 2 * k
        if enough or not going or steps >= most:
            break
    taken = min(k, len(values))
    low, high = range(taken), range(len(values) - 1, len(values) - 1 - taken, -1)
    enough = enough or not going
    pairs = [_pairs(a, basis.q, values, s, list(places), enough) for places in (high, low)]
    return Extremes(pairs[0], pairs[1], spent.products(), spent.gradients())


def _pairs(
    a: Operator, q: Tensor, values: Tensor, s: Tensor, places: list[int], enough: bool
) -> Eigenpairs:
    vectors = q @ s[:, places].to(q)
    vectors = vectors / vectors.norm(dim=0)
    residuals = (a @ vectors - vectors * values[places].to(q)).norm(dim=0)
    return Eigenpairs(values[places], vectors, residuals, enough)


@dataclass(frozen=True)
class Density:
    """The spectral density of a matrix, from `probes` random vectors: of each the `nodes` and their
    `weights`.

    Each row is a quadrature: Σⱼ wⱼ·f(θⱼ) ≈ vᵀf(A)v/vᵀv, the mean of which over vectors is tr f(A)/n.
    """

    n: int
    nodes: Tensor
    weights: Tensor
    products: int
    gradients: float

    def mean(self, f: Callable[[Tensor], Tensor]) -> Estimate:
        """Return tr f(A)/n, the mean of f over the eigenvalues, with its standard error over the probes.

        The error of the quadrature itself is not in it; for polynomials of degree below twice the steps
        there is none.
        """
        value, stderr = mean_and_error((self.weights * f(self.nodes)).sum(1))
        return Estimate(value, stderr, self.products, self.gradients, len(self.nodes))

    def share_below(self, bound: float) -> Estimate:
        """Return the share of eigenvalues below a number."""
        return self.mean(lambda nodes: (nodes < bound).double())

    def curve(self, points: int = 200, width: float = 0.01) -> dict[str, list[float]]:
        """Return the density as a smooth curve: places, values, and the values' standard errors.

        Each node is widened to a Gaussian of standard deviation `width` times the range of the nodes.
        """
        low, high = float(self.nodes.min()), float(self.nodes.max())
        sigma = width * ((high - low) or abs(high) or 1.0)
        x = torch.linspace(low - 4 * sigma, high + 4 * sigma, points, dtype=torch.float64)
        z = (x[:, None, None] - self.nodes) / sigma
        each = ((-0.5 * z**2).exp() * self.weights).sum(2) / (sigma * math.sqrt(2 * math.pi))
        count = each.shape[1]
        stderr = each.std(1) / math.sqrt(count) if count > 1 else torch.full_like(x, math.nan)
        return {"x": x.tolist(), "density": each.mean(1).tolist(), "stderr": stderr.tolist()}

    def to_dict(self, points: int = 200, width: float = 0.01) -> dict[str, Any]:
        """Return the curve and what it cost as plain numbers."""
        return {
            **self.curve(points, width),
            "probes": len(self.nodes),
            "products": self.products,
            "gradients": self.gradients,
        }


def density(a: Operator, *, steps: int = 40, probes: int = 8, seed: int = 0) -> Density:
    """Estimate the spectral density of A by stochastic Lanczos quadrature.

    Of each of `probes` Gaussian vectors `steps` of Lanczos' method give nodes (Ritz values) and weights
    (squares of the first components of their vectors). It costs steps × probes products.

    Source: Golub and Meurant, 2010; Ghorbani, Krishnan and Xiao, 2019.

    >>> from thalweg.curvature import Matrix
    >>> found = density(Matrix(torch.diag(torch.arange(1.0, 21.0))), steps=20, probes=16)
    >>> mean = found.mean(lambda nodes: nodes)  # of the eigenvalues: 10.5
    >>> abs(mean.value - 10.5) < 3 * mean.stderr
    True
    """
    steps, probes = whole_number("steps", steps), whole_number("probes", probes)
    spent, draw, n = CostSince(a), Probes(a, "gaussian", seed), a.shape[0]
    nodes = np.zeros((probes, min(steps, n)))
    weights = np.zeros_like(nodes)
    for row in range(probes):
        values, s, _ = lanczos(a, draw(1)[:, 0], min(steps, n)).ritz()
        nodes[row, : len(values)] = values.numpy()
        nodes[row, len(values) :] = float(values[0])  # of weight 0: the basis ended before
        weights[row, : len(values)] = (s[0] ** 2).numpy()
    return Density(
        n, torch.from_numpy(nodes), torch.from_numpy(weights), spent.products(), spent.gradients()
    )
