"""Eigenvalues, densities, traces and solutions against dense ones; stated errors against the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.curvature.nets import net, settings
from tests.exact import same
from thalweg.curvature import (
    Estimate,
    Matrix,
    Products,
    conjugate_gradients,
    density,
    extremes,
    fisher,
    hessian,
    hutchinson,
    hutchinson_diag,
    hutchpp,
    lanczos,
)
from thalweg.errors import TaskError

STUDENT = {9: 1.383, 11: 1.363}
"""Quantiles .9 of Student's distribution, by degrees of freedom."""


def random_symmetric(n: int, eigenvalues: Tensor | None = None, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
    values = torch.randn(n, dtype=torch.float64) if eigenvalues is None else eigenvalues
    matrix = q @ torch.diag(values) @ q.mT
    found: Tensor = (matrix + matrix.mT) / 2
    return found


def test_the_largest_eigenvalue_is_not_the_largest_in_modulus() -> None:
    found = extremes(Matrix(torch.diag(torch.tensor([-5.0, 3.0, 1.0], dtype=torch.float64))))
    assert abs(found.top.value - 3) < 1e-12
    assert abs(found.bottom.value + 5) < 1e-12
    assert found.condition() == math.inf
    assert abs(extremes(Matrix(torch.diag(torch.tensor([2.0, 8.0])))).condition() - 4) < 1e-5


@pytest.mark.parametrize("k", [1, 3])
def test_the_ends_of_a_net_s_spectrum_are_those_of_the_dense_matrix(k: int) -> None:
    model, x = net("mlp")
    a = hessian(model, "cross_entropy", (x, settings()["cross_entropy"].targets))
    dense = torch.linalg.eigvalsh(a.dense())
    before = a.products
    found = extremes(a, k, tol=1e-8)
    assert found.products == a.products - before
    assert found.gradients >= 2 * found.products
    for pairs, expected in ((found.largest, dense.flip(0)[:k]), (found.smallest, dense[:k])):
        assert pairs.converged
        off = (pairs.values - expected).abs()
        assert bool((off <= pairs.residuals + 1e-14).all())
        assert float(off.max()) < 1e-8
        assert float((a @ pairs.vectors - pairs.vectors * pairs.values).norm()) < 1e-7


def test_a_residual_bounds_the_error_before_it_has_converged() -> None:
    values = torch.linspace(-1, 1, 200, dtype=torch.float64) ** 3
    a = Matrix(random_symmetric(200, values))
    rough = extremes(a, 1, tol=1e-12, most=12)
    assert not rough.largest.converged
    error = abs(rough.top.value - 1)
    assert 1e-8 < error <= rough.top.stderr
    assert abs(extremes(a, 1, tol=1e-6).top.value - 1) < 1e-6


def test_matrices_with_few_distinct_eigenvalues_end_early() -> None:
    for matrix in (torch.zeros(9, 9), torch.eye(9), torch.ones(9, 9)):
        found = extremes(Matrix(matrix))
        dense = torch.linalg.eigvalsh(matrix)
        assert abs(found.top.value - float(dense[-1])) < 1e-5
        assert found.products < 9
    basis = lanczos(Matrix(random_symmetric(30)), torch.randn(30, dtype=torch.float64), 30)
    assert float((basis.q.mT @ basis.q - torch.eye(30)).abs().max()) < 1e-13


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, count: hutchinson(a, count(8)), "probes must be an integer ≥ 2"),
        (lambda a, count: hutchinson_diag(a, count(8)), "probes must be an integer ≥ 2"),
        (lambda a, count: hutchpp(a, count(12)), "products must be an integer ≥ 6"),
        (lambda a, count: lanczos(a, torch.ones(6), count(3)), "steps must be an integer ≥ 1"),
        (lambda a, count: extremes(a, count(2)), "k must be an integer ≥ 1"),
        (lambda a, count: extremes(a, most=count(9)), "most must be an integer ≥ 1"),
        (lambda a, count: density(a, steps=count(4)), "steps must be an integer ≥ 1"),
        (lambda a, count: density(a, probes=count(2)), "probes must be an integer ≥ 1"),
    ],
)
def test_counts_are_whole_numbers_of_any_kind(call: Callable[..., Any], message: str) -> None:
    a = Matrix(torch.diag(torch.arange(1.0, 7.0)))
    assert str(call(a, np.int64)) == str(call(a, int))
    for wrong in (1.5, True, 0, "3"):
        with pytest.raises(TaskError, match=f"{message}; got {wrong!r}"):
            call(a, lambda _, wrong=wrong: wrong)


def test_the_draws_of_a_fisher_matrix_are_a_whole_number_of_any_kind() -> None:
    model, x = net("mlp")
    data = (x, settings()["cross_entropy"].targets)
    v = torch.ones(24, dtype=torch.float64)
    found, expected = (
        fisher(model, "cross_entropy", data, kind="sampled", draws=draws) @ v
        for draws in (np.int64(3), 3)
    )
    same(found, expected, because="the labels are drawn from one seed")
    for wrong in (1.5, True, 0):
        with pytest.raises(TaskError, match=f"draws must be an integer ≥ 1; got {wrong!r}"):
            fisher(model, "cross_entropy", data, kind="sampled", draws=wrong)  # type: ignore[arg-type]


def test_a_matrix_that_is_not_finite_and_a_start_of_zeros_are_errors() -> None:
    with pytest.raises(TaskError, match="not finite"):
        extremes(Products(lambda v: v * math.nan, 3))
    with pytest.raises(TaskError, match="other than zero"):
        lanczos(Matrix(torch.eye(2)), torch.zeros(2), 1)
    with pytest.raises(TaskError, match="not symmetric"):
        Matrix(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))


def test_the_density_has_the_moments_of_the_eigenvalues() -> None:
    values = torch.cat([torch.full((15,), -2.0), torch.linspace(0, 1, 45)]).double()
    found = density(Matrix(random_symmetric(60, values)), steps=40, probes=24)
    for f in (lambda x: x, lambda x: x**2, torch.exp):
        estimate = found.mean(f)
        assert abs(estimate.value - float(f(values).mean())) < 4 * estimate.stderr
        assert 0 < estimate.stderr < 0.15
    share = found.share_below(-1)
    assert abs(share.value - 0.25) < 4 * share.stderr
    curve = found.curve(400)
    step = curve["x"][1] - curve["x"][0]
    assert abs(sum(curve["density"]) * step - 1) < 1e-3
    assert found.products == 24 * 40


def coverage(estimate: Callable[[int], Estimate], truth: float, runs: int = 150) -> float:
    inside = 0
    for seed in range(runs):
        found = estimate(seed)
        inside += abs(found.value - truth) <= STUDENT[found.samples - 1] * found.stderr
    return inside / runs


@pytest.mark.parametrize(
    "distribution", ["rademacher", pytest.param("gaussian", marks=pytest.mark.full)]
)
def test_the_stated_errors_of_traces_cover(distribution: Any) -> None:
    """An interval of 80 %: 150 runs are within .8 ± 3·.033 with near certainty."""
    matrix = random_symmetric(40, seed=1)
    a, truth = Matrix(matrix), float(matrix.trace())
    how: Any = {"distribution": distribution}
    for estimate in (
        lambda seed: hutchinson(a, 12, seed=seed, **how),
        lambda seed: hutchpp(a, 30, seed=seed, **how),
    ):
        assert 0.7 < coverage(estimate, truth) < 0.9
    assert (
        0.71
        < coverage(
            lambda seed: density(a, steps=8, probes=12, seed=seed).mean(lambda x: x * 40),
            truth,
            100,
        )
        < 0.95
    )


def test_hutchpp_is_the_better_where_few_eigenvalues_carry_the_matrix() -> None:
    values = 0.5 ** torch.arange(50, dtype=torch.float64)
    a = Matrix(random_symmetric(50, values))
    plain, better = hutchinson(a, 30), hutchpp(a, 30)
    assert plain.products == better.products == 30
    assert better.stderr < 0.05 * plain.stderr
    assert abs(better.value - float(values.sum())) < 4 * better.stderr + 1e-9
    exact = hutchpp(a, 150)
    assert (exact.stderr, exact.products, exact.samples) == (0.0, 50, 0)
    assert abs(exact.value - float(values.sum())) < 1e-12


def test_the_diagonal_and_its_error() -> None:
    matrix = random_symmetric(20)
    found = hutchinson_diag(Matrix(matrix), 400)
    z = (found.values - matrix.diag()) / found.stderr
    assert float(z.abs().max()) < 4.5
    assert 0.5 < float(z.std()) < 1.6
    assert float((Matrix(matrix).diag() - matrix.diag()).abs().max()) < 1e-15
    with pytest.raises(TaskError, match="probes must be an integer ≥ 2; got 1"):
        hutchinson(Matrix(matrix), 1)


def test_conjugate_gradients_take_at_most_n_steps_and_one_with_the_inverse() -> None:
    values = torch.linspace(1, 50, 12, dtype=torch.float64)
    matrix = random_symmetric(12, values)
    b = torch.ones(12, dtype=torch.float64)
    a = Matrix(matrix)
    found = a.solve(b, tol=1e-10)
    assert found.converged
    assert found.iterations <= 12
    assert float((found.x - torch.linalg.solve(matrix, b)).norm()) < 1e-10
    inverse = torch.linalg.inv(matrix)
    helped = conjugate_gradients(a, b, tol=1e-10, preconditioner=Matrix((inverse + inverse.mT) / 2))
    assert helped.iterations == 1
    assert helped.residual < 1e-10
    assert conjugate_gradients(a, b, tol=1e-10, most=2).ended == "iterations"
    for scale in (1e-8, 1e8):
        assert (scale * a).solve(b, tol=1e-10).iterations == found.iterations
    bends = conjugate_gradients(
        Matrix(torch.diag(torch.tensor([1.0, -1.0]))), torch.tensor([0.0, 1.0])
    )
    assert (bends.ended, bends.converged) == ("bends_down", False)


def test_sums_multiples_and_scaled_matrices() -> None:
    a, b = random_symmetric(6), random_symmetric(6, seed=1)
    scale = torch.arange(1.0, 7.0, dtype=torch.float64)
    eye = torch.eye(6, dtype=torch.float64)
    made = (2 * Matrix(a) - Matrix(b).shifted(0.5)).scaled(scale)
    expected = scale[:, None] * (2 * a - b - 0.5 * eye) * scale
    assert float((made.dense() - expected).abs().max()) < 1e-13
    assert float(((-Matrix(a)).dense() + a).abs().max()) < 1e-15
    assert made.products == 6
    with pytest.raises(TaskError, match="one size"):
        Matrix(a) + Matrix(torch.eye(6))
    with pytest.raises(TypeError, match="finite number"):
        Matrix(a) * math.nan


def test_a_block_of_any_matrix_with_layers() -> None:
    class Named(Matrix):
        @property
        def layers(self) -> dict[str, Tensor]:
            return {"a": torch.arange(2), "b": torch.arange(2, 5), "c": torch.arange(5, 6)}

    a = random_symmetric(6)
    kept = [0, 1, 5]
    block = Named(a).block("c", "a")
    assert float((block.dense() - a[kept][:, kept]).abs().max()) < 1e-15
    assert float((block.block("c").dense() - a[5, 5]).abs().max()) < 1e-15
    scale = torch.arange(1.0, 7.0, dtype=torch.float64)
    scaled = (2 * Named(a)).scaled(scale).block("a", "c")
    expected = (2 * scale[:, None] * a * scale)[kept][:, kept]
    assert float((scaled.dense() - expected).abs().max()) < 1e-14
