"""Orthogonalization: from X = U·S·Vᵀ to about U·Vᵀ, by products of matrices alone.

Every step replaces each singular value σ by a polynomial of it, which a product with X·Xᵀ computes:

    A = X·Xᵀ;   X ← a·X + (b·A + c·A²)·X        σ ← a·σ + b·σ³ + c·σ⁵

Before the first step X is divided by its Frobenius norm, so that σ ≤ 1, and a tall matrix is transposed. With
ε the divisor is ‖X‖ + ε, as other libraries have it: a matrix of a smaller norm hardly counts.

Results after five steps, measured against the singular value decomposition in float64
(`tests/engine/matrix/test_orthogonal.py`), for singular values above 1 % of the norm: those of the quintic
lie in [0.68, 1.14], those of Polar Express in [0.87, 1.13], in bfloat16 up to 0.02 further from 1. Singular
vectors are X's own. A zero matrix stays zero, however small or large the numbers are does not matter, and a
NaN or an infinity makes NaN of its own matrix alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.engine.matrix.function import matrix_function
from thalweg.engine.matrix.polar_express import Quintic, polar_express
from thalweg.errors import RuleError

PRECISIONS = ("bfloat16", "full")
SPACES = ("matrix", "gram")

GRAM_PAYS = 1.5
"""From this many columns a row on, products of m × m matrices are fewer: 4·m²n + (8k − 6)·m³ multiplications
in k steps, instead of k·(4·m²n + 2·m³)."""


@matrix_function
def newton_schulz(
    x: Tensor,
    steps: float = 5,
    a: float = 3.4445,
    b: float = -4.7750,
    c: float = 2.0315,
    *,
    precision: str = "bfloat16",
    space: str = "matrix",
    blocks: float = 1,
    eps: float = 0.0,
) -> Tensor:
    """Return about U·Vᵀ of X = U·S·Vᵀ, by Newton-Schulz iterations with one quintic.

        A = X·Xᵀ;   X ← a·X + (b·A + c·A²)·X

    Args:
        x: matrices; a result has the size of its matrix.
        steps: how many; with 0 it is X divided by its norm.
        a: coefficient of σ. The default three make small singular values grow quickly, and stop short of 1.
        b: coefficient of σ³.
        c: coefficient of σ⁵.
        precision: of the products: "bfloat16", as PyTorch's Muon has it, or "full", the matrix's own.
        space: "matrix", as above, or "gram": for wide or tall matrices products of the smaller size m × m,
            A ← P·A·P and Q ← P·Q with P = a + b·A + c·A², and one product Q·X at the end, in full precision.
        blocks: how many blocks of rows are orthogonalized each alone, as 3 for a fused query, key and value.
        eps: ε of the divisor ‖X‖ + ε; with 0 the size of a matrix does not matter.

    Raises:
        RuleError: an argument is none of these, or the rows cannot be divided into blocks.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; `space="gram"` is the same polynomial in another order.

    >>> x = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> newton_schulz(x, 5, 15 / 8, -10 / 8, 3 / 8, precision="full").round(decimals=2)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    return _in_blocks(x, [(a, b, c)] * int(steps), precision, space, blocks, eps)


@matrix_function
def best_orthogonal(
    x: Tensor,
    steps: float = 5,
    *,
    precision: str = "bfloat16",
    space: str = "matrix",
    blocks: float = 1,
    eps: float = 0.0,
) -> Tensor:
    """Return about U·Vᵀ of X = U·S·Vᵀ by Polar Express: the best quintic of each step.

    Arguments and errors are those of `newton_schulz`; the polynomials are those of
    `thalweg.engine.matrix.polar_express`.

    >>> x = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    >>> best_orthogonal(x, 8, precision="full").round(decimals=2)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    return _in_blocks(x, polar_express(int(steps)), precision, space, blocks, eps)


def _in_blocks(
    x: Tensor,
    quintics: Sequence[Quintic],
    precision: str,
    space: str,
    blocks: float,
    eps: float,
) -> Tensor:
    _check(precision, PRECISIONS, "precision")
    _check(space, SPACES, "space")
    count, rows, columns = x.shape
    parts = int(blocks)
    if parts < 1 or rows % parts:
        raise RuleError(
            f"A matrix of {rows} rows cannot be divided into {blocks:g} blocks of rows of one size."
        )
    cut = x.reshape(count * parts, rows // parts, columns)
    return _orthogonal(cut, quintics, precision, space, eps).reshape(x.shape)


def _check(given: str, known: Sequence[str], name: str) -> None:
    if given not in known:
        raise RuleError(f"{name} must be {' or '.join(map(repr, known))}, got {given!r}.")


def _orthogonal(
    x: Tensor, quintics: Sequence[Quintic], precision: str, space: str, eps: float
) -> Tensor:
    if not x.numel():
        return x
    tall = x.shape[-2] > x.shape[-1]
    wide = _near_one(x.mT if tall else x)
    less = _lessened(x, eps) if eps else None
    if space == "gram" and wide.shape[-1] > GRAM_PAYS * wide.shape[-2] and quintics:
        done = _in_gram_space(_over_norm(wide, less), quintics)
    elif precision == "full":
        done = _over_norm(wide, less)
        for a, b, c in quintics:
            done = _step(done, a, b, c)
    elif has_bfloat16_products(x.device):
        done = _over_norm(wide.bfloat16(), less)
        for a, b, c in quintics:
            done = _step(done, a, b, c)
    else:
        done = _rounded_steps(wide, quintics, less)
    return (done.mT if tall else done).to(x.dtype)


def _near_one(x: Tensor) -> Tensor:
    """Multiply each matrix by a power of two, so that its largest number is near 1; exact.

    A factor is no more than the dtype has, so a matrix of subnormal numbers only comes nearer to 1.
    """
    largest = torch.linalg.vector_norm(x, torch.inf, dim=(-2, -1), keepdim=True)
    most = -math.frexp(torch.finfo(x.dtype).tiny)[1]
    exponent = torch.frexp(largest).exponent.clamp(-most, most)
    return torch.ldexp(x, -exponent)


def _over_norm(x: Tensor, less: Tensor | None) -> Tensor:
    """Divide each matrix by its Frobenius norm, times what it is lessened by; zero stays zero."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    done = x / norm.clamp_min(torch.finfo(x.dtype).tiny)
    return done if less is None else done * less.to(x.dtype)


def _lessened(x: Tensor, eps: float) -> Tensor:
    """Return ‖X‖/(‖X‖ + ε) of each matrix: 1 where the norm is not finite, 0 where it is 0."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    return 1 / (1 + eps / norm)


def _step(x: Tensor, a: float, b: float, c: float) -> Tensor:
    """Compute a·X + (b·A + c·A²)·X, in the order in which PyTorch's Muon does."""
    gram = torch.bmm(x, x.mT)
    return torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)


def _rounded_steps(x: Tensor, quintics: Sequence[Quintic], less: Tensor | None) -> Tensor:
    """Compute in float32 and round each result to bfloat16, as bfloat16 products do.

    A product of two numbers of bfloat16 is exact in float32, where such products are summed, too.
    """
    x = _rounded(x.float())
    norm = _rounded(torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True))
    x = _rounded(x / norm.clamp_min(torch.finfo(x.dtype).tiny))
    if less is not None:
        x = _rounded(x * _rounded(less.float()))
    for a, b, c in quintics:
        gram = _round(torch.bmm(x, x.mT))
        inner = _round(torch.baddbmm(gram, gram, gram, beta=b, alpha=c))
        x = _round(torch.baddbmm(x, inner, x, beta=a))
    return x


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def _round(x: Tensor) -> Tensor:
    """Round in place, where a product was just made."""
    return x.copy_(x.bfloat16())


def _in_gram_space(x: Tensor, quintics: Sequence[Quintic]) -> Tensor:
    """Compute the same steps by products of the size of X·Xᵀ: A ← P·A·P, Q ← P·Q, and Q·X at the end."""
    gram = torch.bmm(x, x.mT)
    eye = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device)
    whole: Tensor | None = None
    for k, (a, b, c) in enumerate(quintics):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * eye
        whole = factor if whole is None else torch.bmm(factor, whole)
        if k + 1 < len(quintics):
            gram = torch.bmm(torch.bmm(factor, gram), factor)
    assert whole is not None
    return torch.bmm(whole, x)


def has_bfloat16_products(device: torch.device) -> bool:
    """Whether products of bfloat16 matrices are quick on a device: CPUs need instructions for them."""
    if device.type != "cpu":
        return True
    return _processor_has_bfloat16_products()


@functools.cache
def _processor_has_bfloat16_products() -> bool:
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)
