"""Inverse roots and eigenbases of stacks of symmetric matrices, beside float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from tests.exact import same
from thalweg import EngineError
from thalweg.engine.matrix.bases import eigenbasis, refreshed_basis
from thalweg.engine.matrix.roots import inverse_root, inverse_root_newton

Root = Callable[[Tensor, int, float], Tensor]
each_root = pytest.mark.parametrize("root", [inverse_root, inverse_root_newton])
N = 12


def psd(count: int, condition: float, dtype: torch.dtype, n: int = N) -> Tensor:
    """Return matrices whose eigenvalues fall from 1 to 1/condition."""
    noise = torch.randn(count, n, n, generator=torch.Generator().manual_seed(n)).double()
    q, _ = torch.linalg.qr(noise)
    values = condition ** -torch.linspace(0, 1, n, dtype=torch.float64)
    made: Tensor = (q * values) @ q.mT
    return made.to(dtype)


def exact(a: Tensor, p: float, damping: float) -> Tensor:
    """Return the root by the eigenvalues in float64, one matrix after the other."""
    found = []
    for matrix in a.double():
        values, q = torch.linalg.eigh(matrix)
        damped = values.clamp(min=0) + damping * values.norm()
        found.append(q @ torch.diag(damped ** (-1 / p)) @ q.T)
    return torch.stack(found)


def relative(a: Tensor, b: Tensor) -> float:
    error = torch.linalg.matrix_norm(a.double() - b) / torch.linalg.matrix_norm(b)
    return float(error.max())


@each_root
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_roots_are_as_accurate_as_they_say(root: Root, dtype: torch.dtype) -> None:
    for condition, p, damping in itertools.product((1, 1e3, 1e9), (1, 2, 4), (1e-6, 1e-3)):
        a = psd(3, condition, dtype)
        smallest = 1 / condition + damping
        # ‖A‖ < 2; and what N products and a sum of rounded numbers lose, whatever the condition
        bound = N * torch.finfo(dtype).eps * (1 + 2 / (p * smallest))
        error = relative(root(a, p, damping), exact(a, p, damping))
        assert error < bound, (condition, p, damping)


@each_root
def test_a_root_undoes_the_matrix(root: Root) -> None:
    """The definition: X^p·(A + δ‖A‖I) = I."""
    a = psd(2, 1e2, torch.float64)
    for p in (1, 2, 3, 4):
        damped = a + 1e-3 * torch.linalg.matrix_norm(a, keepdim=True) * torch.eye(N).double()
        product = torch.linalg.matrix_power(root(a, p, 1e-3), p) @ damped
        assert float((product - torch.eye(N)).abs().max()) < 1e-12


@each_root
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_a_root_is_in_proportion(root: Root, scale: float) -> None:
    a = psd(2, 1e3, torch.float32)
    scaled = root(a * scale, 4, 1e-4)
    assert bool(scaled.isfinite().all())
    expected = exact(a, 4, 1e-4) * scale**-0.25
    assert relative(scaled, expected) < 1e-3


@each_root
def test_a_zero_matrix_has_a_root_of_zero(root: Root) -> None:
    a = torch.stack([torch.zeros(N, N), torch.eye(N)])
    found = root(a, 2, 1e-6)
    same(found[0], torch.zeros(N, N), because="it is set")
    assert float((found[1] - torch.eye(N)).abs().max()) < 1e-5


@each_root
def test_a_matrix_of_rank_one(root: Root) -> None:
    v = torch.linspace(1, 2, N).double()
    a = torch.outer(v, v)[None]
    damping = 1e-3
    expected = exact(a, 4, damping)
    assert relative(root(a, 4, damping), expected) < 1e-10
    # without damping only its own direction is seen
    direction = v / v.norm()
    pseudo = torch.outer(direction, direction) * v.norm() ** (-2 / 4)
    assert relative(root(a, 4, 0.0)[0], pseudo) < 1e-10


@each_root
def test_a_matrix_of_one_number(root: Root) -> None:
    found = root(torch.tensor([[16.0]]), 4, 0.0)
    assert found.shape == (1, 1)
    assert abs(float(found) - 0.5) < 1e-6
    assert root(torch.zeros(0, 3, 3), 4, 0.0).shape == (0, 3, 3)


@each_root
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_stays_in_its_own_matrix(root: Root, bad: float) -> None:
    a = psd(3, 1e2, torch.float64)
    clean = root(a, 2, 1e-6)
    a[1, 2, 3] = bad
    found = root(a, 2, 1e-6)
    assert bool(found[1].isnan().all())
    assert float((found[[0, 2]] - clean[[0, 2]]).abs().max()) < 1e-12


@each_root
def test_half_precision_is_computed_in_float32(root: Root) -> None:
    a = psd(2, 1e2, torch.bfloat16)
    found = root(a, 4, 1e-3)
    assert found.dtype == torch.bfloat16
    wide = root(a.float(), 4, 1e-3).to(torch.bfloat16)
    same(found, wide, because="the same call on the same numbers, rounded once")


def test_orders_and_shapes_are_checked() -> None:
    eye = torch.eye(2)
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: inverse_root(torch.ones(2, 3), 2), "square"),
        (lambda: inverse_root(eye, 0), "above 0"),
        (lambda: inverse_root(eye, 2, -1.0), "at least 0"),
        (lambda: inverse_root_newton(eye, 2.5), "whole orders"),  # type: ignore[arg-type]
        (lambda: eigenbasis(torch.ones(3)), "square"),
    ]
    for call, said in calls:
        with pytest.raises(EngineError, match=said):
            call()


def test_what_does_not_converge_is_tried_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    eigh: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.linalg.eigh
    a = psd(2, 1e2, torch.float32)
    expected = inverse_root(a, 2)

    def only_float64(x: Tensor) -> tuple[Tensor, Tensor]:
        if x.dtype != torch.float64:
            raise LinAlgError("failed to converge")
        return eigh(x)

    monkeypatch.setattr(torch.linalg, "eigh", only_float64)
    assert relative(inverse_root(a, 2), expected.double()) < 1e-4

    def never(x: Tensor) -> tuple[Tensor, Tensor]:
        if x.ndim == 3 or float(x[0, 0]) == 1.0:
            raise LinAlgError("failed to converge")
        return eigh(x)

    monkeypatch.setattr(torch.linalg, "eigh", never)
    with pytest.raises(EngineError, match=r"matrix 1 of a stack of 2 × 2 matrices do not converge"):
        eigenbasis(torch.stack([torch.tensor([[0.5, 1.0], [1.0, 0.5]]), torch.eye(2)]))


def orthogonal(q: Tensor) -> float:
    return float((q.mT @ q - torch.eye(q.shape[-1])).abs().max())


def test_a_basis_makes_the_matrix_diagonal_largest_first() -> None:
    a = psd(3, 1e3, torch.float64)
    q = eigenbasis(a)
    turned = q.mT @ a @ q
    values = turned.diagonal(dim1=-2, dim2=-1)
    assert orthogonal(q) < 1e-13
    assert float((turned - torch.diag_embed(values)).abs().max()) < 1e-13
    assert bool((values.diff(dim=-1) < 0).all())


def test_the_refresh_is_one_power_iteration() -> None:
    """The span of the first k vectors becomes A times it, for every k: what a QR decomposition keeps."""
    a = psd(2, 1e2, torch.float64)
    q = eigenbasis(psd(2, 1e2, torch.float64, N + 1)[:, :N, :N])
    new = refreshed_basis(a, q)
    assert orthogonal(new) < 1e-13
    for k in (1, 5):
        span, image = new[..., :k], (a @ q)[..., :k]
        assert float((image - span @ (span.mT @ image)).abs().max()) < 1e-13


def test_refreshes_come_to_the_eigenvectors() -> None:
    a = psd(2, 1e4, torch.float64, 4)
    q = torch.eye(4).double().expand(2, 4, 4)
    for _ in range(10):
        q = refreshed_basis(a, q)
    assert float((q.abs() - eigenbasis(a).abs()).abs().max()) < 1e-10


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_bases_do_not_depend_on_the_scale(scale: float) -> None:
    a = psd(2, 1e2, torch.float32)
    turned = refreshed_basis(a * scale, eigenbasis(a * scale))
    assert orthogonal(turned) < 1e-5
    off = turned.mT @ a @ turned
    assert float((off - torch.diag_embed(off.diagonal(dim1=-2, dim2=-1))).abs().max()) < 1e-5


def test_bases_of_zero_of_rank_one_and_of_one_number() -> None:
    zero, one = torch.zeros(3, 3), torch.outer(torch.ones(3), torch.ones(3))
    a = torch.stack([zero, one])
    q = eigenbasis(a)
    same(q[0], torch.eye(3), because="it is set")
    kept = refreshed_basis(a, q)
    same(kept[0], torch.eye(3), because="it is kept")
    assert orthogonal(kept) < 1e-6
    assert float((kept[1, :, 0].abs() - 3**-0.5).abs().max()) < 1e-6
    assert abs(abs(float(eigenbasis(torch.full((1, 1), 1e-20)))) - 1.0) < 1e-6


def test_nan_stays_in_its_own_basis() -> None:
    a = psd(3, 1e2, torch.float64)
    q = eigenbasis(a)
    clean = refreshed_basis(a, q)
    a[0, 1, 1] = torch.nan
    assert eigenbasis(a).isnan().any((-2, -1)).tolist() == [True, False, False]
    q[2, 0, 0] = torch.nan
    found = refreshed_basis(a, q)
    assert found.isnan().any((-2, -1)).tolist() == [True, False, True]
    assert float((found[1] - clean[1]).abs().max()) < 1e-12
    assert eigenbasis(psd(1, 10, torch.bfloat16)).dtype == torch.bfloat16
