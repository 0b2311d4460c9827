"""Orthogonalization against the singular value decomposition in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import thalweg
from tests.engine.kinds import DOUBLE, draw
from tests.exact import same
from thalweg import best_orthogonal, newton_schulz
from thalweg.engine.matrix.orthogonal import GRAM_PAYS, PRECISIONS
from thalweg.engine.matrix.polar_express import CUSHION, SAFETY, best_quintic, polar_express

QUINTIC = (3.4445, -4.7750, 2.0315)
FUNCTIONS = {"newton_schulz": newton_schulz, "best_orthogonal": best_orthogonal}
each_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
# bfloat16 has 8 bits: products of a few roundings of 2⁻⁹ each, five times in a row
ROUNDED = 0.02


def with_singular_values(
    values: Tensor, columns: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, V and the matrix U·diag(values)·Vᵀ in float64."""
    u, _ = torch.linalg.qr(draw(len(values), len(values), seed=seed))
    v, _ = torch.linalg.qr(draw(columns, len(values), seed=seed + 1))
    return u, v, (u * values) @ v.T


def spread(low: float, count: int = 24) -> Tensor:
    """Singular values from `low` to 1, relative to the norm of all."""
    values = torch.logspace(np.log10(low), 0, count, dtype=DOUBLE)
    return values.clamp(min=low * float(values.norm()) * 1.01)


LIMITS: dict[str, tuple[Any, float, float]] = {
    "newton_schulz": (newton_schulz, 0.68, 1.14),
    "best_orthogonal": (best_orthogonal, 0.87, 1.13),
}


@pytest.mark.parametrize(("function", "least", "most"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize(
    "options", [{"precision": "full"}, {"precision": "bfloat16"}, {"space": "gram"}], ids=str
)
def test_singular_values_come_near_one(
    function: Any, least: float, most: float, tall: bool, options: dict[str, str]
) -> None:
    """Singular values above 1 % of the norm, with X's own singular vectors."""
    u, v, x = with_singular_values(spread(0.01), 60)
    given = (x.T if tall else x).float()
    got = function(given, **options).double()
    inside = u.T @ (got.T if tall else got) @ v
    slack = ROUNDED if options.get("precision") == "bfloat16" else 1e-4
    values = torch.diagonal(inside)
    assert least - slack <= float(values.min())
    assert float(values.max()) <= most + slack
    beside = inside - torch.diag(values)
    assert float(beside.norm() / values.norm()) < (0.03 if slack == ROUNDED else 1e-3)


@settings(deadline=None, max_examples=12)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 30),
    seed=st.integers(0, 99),
    steps=st.integers(0, 6),
    function=st.sampled_from(list(FUNCTIONS)),
)
def test_the_gram_space_computes_the_same(
    rows: int, columns: int, seed: int, steps: int, function: str
) -> None:
    """Also of tall matrices, and of those for which it does not pay. In exact arithmetic they are equal."""
    x = draw(rows, columns, seed=seed)
    made = FUNCTIONS[function]
    plain = made(x, steps, precision="full")
    gram = made(x, steps, space="gram", precision="full")
    # squares of singular values lose half of the digits of the smallest
    torch.testing.assert_close(gram, plain, rtol=0.0, atol=1e-6)


def test_the_polynomial_is_that_of_the_singular_values() -> None:
    values = spread(0.01)
    u, v, x = with_singular_values(values, 40)
    sigma = values / values.norm()
    for _ in range(3):
        sigma = QUINTIC[0] * sigma + QUINTIC[1] * sigma**3 + QUINTIC[2] * sigma**5
    expected = (u * sigma) @ v.T
    torch.testing.assert_close(newton_schulz(x, 3, precision="full"), expected, rtol=0, atol=1e-12)


# The list of the paper's code, before the safety factor: arXiv:2505.16932, listing 1.
PUBLISHED = [
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
]


def test_polar_express_is_the_published_sequence() -> None:
    """Computed by Remez' exchange, ill-conditioned where the interval is nearly a point (1e-8)."""
    for k, (got, expected) in enumerate(zip(polar_express(8), PUBLISHED, strict=True)):
        safe = (
            [x / SAFETY**p for x, p in zip(expected, (1, 3, 5), strict=True)] if k < 7 else expected
        )
        np.testing.assert_allclose(got, safe, rtol=1e-8)


@pytest.mark.parametrize(("low", "high"), [(CUSHION, 1.0), (0.1, 1.0), (0.5, 1.2), (0.99, 1.01)])
def test_no_quintic_is_better(low: float, high: float) -> None:
    """The error takes its largest size four times in turn, which is Chebyshev's mark of the best."""
    (a, b, c), error = best_quintic(low, high)
    x = np.linspace(low, high, 20001)
    away = 1 - (a * x + b * x**3 + c * x**5)
    assert np.abs(away).max() == pytest.approx(abs(error), rel=1e-6, abs=1e-13)
    largest = x[np.abs(away) > abs(error) * (1 - 1e-6)]
    signs = np.sign(np.interp(largest, x, away))
    assert 1 + np.count_nonzero(np.diff(signs)) == 4


ODD: dict[str, Callable[[], Tensor]] = {
    "zero": lambda: torch.zeros(3, 5),
    "one row": lambda: draw(1, 5, dtype=torch.float32),
    "one column": lambda: draw(5, 1, dtype=torch.float32),
    "one number": lambda: torch.tensor([[-2.0]]),
    "no rows": lambda: torch.zeros(0, 3),
    "no columns": lambda: torch.zeros(3, 0),
    "huge": lambda: 1e38 * draw(3, 5, dtype=torch.float32).clamp(-3, 3),
    "tiny": lambda: 1e-30 * draw(3, 5, dtype=torch.float32),
    "subnormal": lambda: 1e-42 * draw(3, 5, dtype=torch.float32),
    "bfloat16": lambda: draw(3, 5, dtype=torch.bfloat16),
    "rank one": lambda: draw(3, 1, dtype=torch.float32) @ draw(1, 5, seed=1, dtype=torch.float32),
}


@each_function
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ODD)
def test_odd_matrices_survive(name: str, precision: str, function: Any) -> None:
    x = ODD[name]()
    got = function(x, precision=precision)
    assert (got.shape, got.dtype) == (x.shape, x.dtype)
    values = torch.linalg.svdvals(got.double()) if x.numel() else torch.zeros(0)
    if name == "zero" or not x.numel():
        assert not values.any()
        return
    rank = int(torch.linalg.matrix_rank(x.double() / float(x.double().abs().max()), rtol=1e-4))
    # what rounding leaves of a singular value of zero is some 1e-7, and grows by 3.4⁵, or by 8.3·4.1·3.9·…;
    # bfloat16 leaves 2⁻⁹, which grows to anything below 1
    assert float(values[rank - 1]) > 0.6
    assert float(values[0]) < 1.25
    assert precision == "bfloat16" or not (values[rank:] > 1e-3).any()


@each_function
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_own_matrix(
    bad: float, precision: str, function: Any
) -> None:
    stack = torch.stack([draw(3, 5, seed=k, dtype=torch.float32) for k in range(3)])
    clean = function(stack, precision=precision)
    stack[1, 2, 3] = bad
    got = function(stack, precision=precision)
    assert got[1].isnan().all()
    same(
        got[[0, 2]],
        clean[[0, 2]],
        because="each matrix of a stack is computed by the same instructions",
    )


@each_function
@pytest.mark.parametrize("options", [{"precision": "full"}, {}, {"space": "gram"}], ids=str)
def test_a_stack_is_its_matrices(options: dict[str, str], function: Any) -> None:
    stack = torch.stack([draw(4, 9, seed=k, dtype=torch.float32) for k in range(5)])
    alone = torch.stack([function(x, **options) for x in stack])
    # a batched product may sum in another order; bfloat16 rounds it to a neighbour
    bound = 0.03 if not options else 1e-5
    torch.testing.assert_close(function(stack, **options), alone, rtol=0.0, atol=bound)


def test_the_size_of_a_matrix_does_not_matter() -> None:
    """Powers of two are exact: the results are the same to the bit."""
    x = draw(4, 6, dtype=torch.float32)
    same(
        newton_schulz(x * 2.0**-90),
        newton_schulz(x),
        because="a power of two is taken out before anything is rounded",
    )


def test_blocks_of_rows_are_orthogonalised_alone() -> None:
    x = draw(6, 5)
    got = newton_schulz(x, blocks=3, precision="full")
    parts = torch.cat([newton_schulz(part, precision="full") for part in torch.split(x, 2)])
    torch.testing.assert_close(got, parts, rtol=1e-12, atol=1e-12)


def test_no_steps_are_the_matrix_over_its_norm() -> None:
    x = draw(3, 4)
    torch.testing.assert_close(newton_schulz(x, 0, precision="full"), x / x.norm())


def test_gram_space_pays_where_it_is_used() -> None:
    """Multiplications of k steps: k·(4m²n + 2m³) against 4m²n + (8k − 6)m³."""
    for steps in (2, 5, 8):
        for m, n in ((100, 149), (100, 151)):
            matrix = steps * (4 * m * m * n + 2 * m**3)
            gram = 4 * m * m * n + (8 * steps - 6) * m**3
            assert (gram < matrix) == (n > GRAM_PAYS * m)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "precision": (
        {"precision": "float32"},
        "precision must be 'bfloat16' or 'full', got 'float32'",
    ),
    "space": ({"space": "rows"}, "space must be 'matrix' or 'gram', got 'rows'"),
    "blocks": ({"blocks": 2}, "3 rows cannot be divided into 2 blocks"),
}


@each_function
@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str, function: Any) -> None:
    with pytest.raises(thalweg.RuleError, match=message):
        function(draw(3, 4), **options)
