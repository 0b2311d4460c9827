"""Traces and diagonals estimated by products with random vectors, with their standard errors."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from thalweg.curvature.operator import Operator
from thalweg.errors import TaskError
from thalweg.whole import whole_number

Distribution = Literal["rademacher", "gaussian"]


@dataclass(frozen=True)
class Estimate:
    """A number that was estimated, or computed: value ± stderr.

    `stderr` is the standard error of the mean of `samples` random values; for few of them an interval takes
    quantiles of Student's distribution with samples − 1 degrees of freedom. It is 0 for what is exact up
    to rounding (`samples` 0) and NaN for a single sample. `products` were computed for it, at the cost of
    `gradients` gradient-equivalents.
    """

    value: float
    stderr: float
    products: int
    gradients: float = 0.0
    samples: int = 0

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.stderr:.2g}"

    def to_dict(self) -> dict[str, float | int]:
        """Return its fields as plain numbers."""
        return dataclasses.asdict(self)


class CostSince:
    """What was computed with an operator since this was made."""

    def __init__(self, a: Operator) -> None:
        self.a, self._products, self._gradients = a, a.products, a.gradients

    def products(self) -> int:
        """Return the number of products since then."""
        return self.a.products - self._products

    def gradients(self) -> float:
        """Return their cost in gradient-equivalents."""
        return self.a.gradients - self._gradients

    def estimate(self, value: float, stderr: float, samples: int) -> Estimate:
        """Return an estimate that cost this much."""
        return Estimate(value, stderr, self.products(), self.gradients(), samples)


def hutchinson(
    a: Operator, probes: int = 32, *, distribution: Distribution = "rademacher", seed: int = 0
) -> Estimate:
    """Estimate tr A by the mean of vᵀAv over random vectors v with E vvᵀ = I.

    The variance of one probe is 2·Σᵢ≠ⱼ Aᵢⱼ² for Rademacher vectors (±1), so that diagonal matrices are
    exact, and 2·‖A‖² for Gaussian ones. One product a probe; at least 2 probes, so that there is a
    standard error.

    Source: Hutchinson, 1990.

    >>> from thalweg.curvature import Matrix
    >>> print(hutchinson(Matrix(torch.diag(torch.tensor([1.0, 2.0])))))
    3 ± 0
    """
    probes = whole_number("probes", probes, 2)
    spent = CostSince(a)
    draw = Probes(a, distribution, seed)
    values = []
    for count in _chunks(probes):
        v = draw(count)
        values.append((v * (a @ v)).sum(0, dtype=torch.float64))
    value, stderr = mean_and_error(torch.cat(values))
    return spent.estimate(value, stderr, probes)


def hutchpp(
    a: Operator, products: int = 48, *, distribution: Distribution = "rademacher", seed: int = 0
) -> Estimate:
    """Estimate tr A by the exact trace on a random subspace and Hutchinson's estimate on what is
    orthogonal to it.

        Q = orth(A·S),  tr A ≈ tr(QᵀAQ) + mean of gᵀ(I − QQᵀ)A(I − QQᵀ)g

    A third of the products each for A·S, for A·Q and for the probes g. Where few eigenvalues carry the
    matrix the error falls as 1/products instead of 1/√products. The standard error is that of the probes,
    given the subspace. With 3·n products or more the subspace is everything, and the trace exact.

    Source: Meyer, Musco, Musco and Woodruff, Hutch++: Optimal Stochastic Trace Estimation, 2021.

    >>> from thalweg.curvature import Matrix
    >>> low_rank = torch.ones(20, 20)
    >>> round(hutchpp(Matrix(low_rank), 6).value, 3)
    20.0
    """
    products = whole_number("products", products, 6)
    spent, n = CostSince(a), a.shape[0]
    draw = Probes(a, distribution, seed)
    side = min(products // 3, n)
    q = torch.linalg.qr(
        torch.eye(n, dtype=a.dtype, device=a.device) if side == n else a @ draw(side)
    ).Q
    exact = float((q * (a @ q)).sum(dtype=torch.float64))
    if side == n:
        return spent.estimate(exact, 0.0, 0)
    g = draw(products - 2 * side)
    g = g - q @ (q.mT @ g)
    g = g - q @ (q.mT @ g)  # again, against rounding
    value, stderr = mean_and_error((g * (a @ g)).sum(0, dtype=torch.float64))
    return spent.estimate(exact + value, stderr, g.shape[1])


@dataclass(frozen=True)
class DiagonalEstimate:
    """A diagonal that was estimated: values (n,) ± stderr (n,), by `samples` products."""

    values: Tensor
    stderr: Tensor
    products: int
    gradients: float
    samples: int


def hutchinson_diag(a: Operator, probes: int = 32, *, seed: int = 0) -> DiagonalEstimate:
    """Estimate the diagonal of A by the mean of v ∘ Av over Rademacher vectors v.

    Source: Bekas, Kokiopoulou and Saad, 2007.
    """
    probes = whole_number("probes", probes, 2)
    spent, draw = CostSince(a), Probes(a, "rademacher", seed)
    found = []
    for count in _chunks(probes):
        v = draw(count)
        found.append((v * (a @ v)).double())
    each = torch.cat(found, 1)
    stderr = each.std(1) / math.sqrt(probes)
    return DiagonalEstimate(each.mean(1), stderr, spent.products(), spent.gradients(), probes)


class Probes:
    """Draws random vectors with E vvᵀ = I from a generator of its own, as columns."""

    def __init__(self, a: Operator, distribution: Distribution, seed: int) -> None:
        if distribution not in ("rademacher", "gaussian"):
            raise TaskError(
                f"distribution must be 'rademacher' or 'gaussian'; got {distribution!r}."
            )
        self.a, self.distribution = a, distribution
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, count: int) -> Tensor:
        """Return so many vectors (n, count)."""
        shape = (count, self.a.shape[0])
        if self.distribution == "gaussian":
            drawn = torch.randn(shape, generator=self._generator, dtype=torch.float64)
        else:
            drawn = 2.0 * torch.randint(0, 2, shape, generator=self._generator) - 1.0
        return drawn.mT.to(dtype=self.a.dtype, device=self.a.device)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Return the mean of independent values and its standard error; NaN for a single one."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


def _chunks(total: int, most: int = 16) -> list[int]:
    return [most] * (total // most) + ([total % most] if total % most else [])
