"""Orthogonalized updates: Muon, as its authors, Keras and Optax have it, and NorMuon."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.engine import (
    EachRow,
    best_orthogonal,
    columns,
    mean_square_of_rows,
    newton_schulz,
    rows,
    rule,
    total,
)
from thalweg.errors import RuleError

__all__ = ["muon", "muon_heavy_ball", "muon_unbiased", "normuon"]


def _adjusted(adjust: str, r: Any, c: Any) -> Any:
    """Return by what an orthogonal matrix of r rows and c columns is multiplied."""
    if adjust == "original":
        return torch.sqrt(torch.clamp(r / c, min=1.0))
    if adjust == "wide":
        return torch.sqrt(torch.clamp(c / r, min=1.0))
    if adjust == "match_rms_adamw":
        return 0.2 * torch.sqrt(torch.maximum(r, c))
    if adjust == "spectral":
        return torch.sqrt(r / c)
    if adjust == "none":
        return 1.0
    raise RuleError(
        "adjust must be 'original', 'wide', 'match_rms_adamw', 'spectral' or 'none', got "
        f"{adjust!r}."
    )


def _orthogonal(
    u, ns_steps, a, b, c, adjust, iteration, precision, space, blocks, eps=0.0
):  # fmt: skip
    """Return s·U·Vᵀ of u = U·S·Vᵀ."""
    how = {"precision": precision, "space": space, "blocks": blocks, "eps": eps}
    if iteration == "polar_express":
        polar = best_orthogonal(u, ns_steps, **how)
    elif iteration == "newton_schulz":
        polar = newton_schulz(u, ns_steps, a, b, c, **how)
    else:
        raise RuleError(f"iteration must be 'newton_schulz' or 'polar_express', got {iteration!r}.")
    return _adjusted(adjust, rows(u) / blocks, columns(u)) * polar


@rule
def muon(
    g,
    m,
    *,
    momentum=0.95,
    nesterov=True,
    ns_steps=5,
    a=3.4445,
    b=-4.7750,
    c=2.0315,
    adjust="original",
    iteration="newton_schulz",
    precision="bfloat16",
    space="matrix",
    blocks=1,
    matrices="first",
):
    """Muon (Jordan et al. 2024): orthogonalized momentum: all of its singular values become about 1.

        m ← μ·m + (1 − μ)·g
        u = μ·m + (1 − μ)·g  with `nesterov`, otherwise u = m;    u = U·S·Vᵀ
        update = s·U·Vᵀ,  by products of matrices alone (`thalweg.newton_schulz`)

    For a matrix of r rows and c columns `adjust` is the meaning of s: "original" √max(1, r/c), "wide"
    √max(1, c/r), "match_rms_adamw" 0.2·√max(r, c), "spectral" √(r/c), "none" 1. A vector is a matrix of one
    column. A tensor of more dimensions is a matrix of its first dimension × the rest: the filters of a
    convolution are rows. With matrices="last" it is a stack of matrices in its last two dimensions, each
    orthogonalized alone: experts.

    `iteration` chooses the polynomials: "newton_schulz" with a, b, c, or "polar_express". `precision`,
    `space` and `blocks` are those of `thalweg.newton_schulz`; a fused query, key and value has `blocks=3`,
    and r rows a block.

    Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; "match_rms_adamw": Liu et al. 2025, "Muon is Scalable for LLM
    Training", arXiv:2502.16982; "polar_express": Amsel et al. 2025, arXiv:2505.16932.
    Defaults: the authors': μ = 0.95, Nesterov, five steps, products in bfloat16.
    Use: for the matrices of hidden layers, with AdamW for embeddings, the last layer, and vectors; with
    "match_rms_adamw" AdamW's learning rate and weight decay can be kept.
    Deviations: a matrix of any norm but 0 is orthogonalized; the authors add 1e-7 to the norm, so that they
    hardly move one of a smaller norm.
    """
    m = momentum * m + (1 - momentum) * g
    u = momentum * m + (1 - momentum) * g if nesterov else m
    return _orthogonal(u, ns_steps, a, b, c, adjust, iteration, precision, space, blocks), m


@rule
def muon_heavy_ball(
    g, m, *, momentum=0.95, nesterov=True, ns_steps=5, a=3.4445, b=-4.7750, c=2.0315, eps=1e-7,
    adjust="match_rms_adamw", iteration="newton_schulz", precision="full", space="matrix", blocks=1,
    matrices="first",
):  # fmt: skip
    """Muon with a momentum that is a sum, as in Keras (Jordan et al. 2024).

        m ← μ·m + g;    u = μ·m + g  with `nesterov`, otherwise u = m
        update = s·U·Vᵀ,  of u/(‖u‖ + ε)

    and the rest as in `muon`.
    """
    m = momentum * m + g
    u = momentum * m + g if nesterov else m
    return _orthogonal(u, ns_steps, a, b, c, adjust, iteration, precision, space, blocks, eps), m


@rule
def muon_unbiased(
    g, m, *, t, momentum=0.95, nesterov=True, ns_steps=5, a=3.4445, b=-4.7750, c=2.0315, eps=1e-8,
    adjust="wide", iteration="newton_schulz", precision="full", space="matrix", blocks=1,
    matrices="first",
):  # fmt: skip
    """Muon with a bias-corrected momentum, as in Optax (Jordan et al. 2024).

        m ← μ·m + (1 − μ)·g
        u = μ·m/(1 − μᵗ⁺¹) + (1 − μ)·g/(1 − μᵗ)  with `nesterov`, otherwise u = m/(1 − μᵗ)
        update = s·U·Vᵀ,  of u/(‖u‖ + ε)

    and the rest as in `muon`.
    """
    m = momentum * m + (1 - momentum) * g
    if nesterov:
        u = momentum * m / (1 - momentum ** (t + 1)) + (1 - momentum) * g / (1 - momentum**t)
    else:
        u = m / (1 - momentum**t)
    return _orthogonal(u, ns_steps, a, b, c, adjust, iteration, precision, space, blocks, eps), m


@rule
def normuon(
    g,
    m,
    v: EachRow,
    *,
    momentum=0.95,
    beta2=0.95,
    eps=1e-10,
    nesterov=False,
    ns_steps=5,
    adjust="match_rms_adamw",
    precision="bfloat16",
    space="matrix",
    matrices="first",
):
    """NorMuon (Li et al. 2025): Muon, with rows that are scaled by their own second moments.

        m ← μ·m + (1 − μ)·g;   O = U·Vᵀ of m = U·S·Vᵀ;   q = mean of each row of O²
        v ← β₂·v + (1 − β₂)·q
        N = O/(√v + ε);   update = s·N/‖N‖

    For a matrix of r rows and c columns s is 0.2·√(r·c) with `adjust="match_rms_adamw"`, so that the root
    mean square is Adam's, and √max(1, r/c)·‖O‖ with "original". With matrices="last" a tensor of more than
    two dimensions is a stack of matrices in the last two, as experts are.

    Paper: Li et al. 2025, "NorMuon: Making Muon more efficient and scalable", algorithm 1, arXiv:2510.05491.
    Defaults: μ and β₂ of the paper; `adjust="original"` with `nesterov=True` is the authors' code.
    Use: as Muon, where rows (neurons) are to move alike; it costs one number a row more.
    Deviations: none; ε is that of the authors' code.
    """
    m = momentum * m + (1 - momentum) * g
    u = momentum * m + (1 - momentum) * g if nesterov else m
    polar = newton_schulz(u, ns_steps, precision=precision, space=space)
    q = mean_square_of_rows(polar)
    v = beta2 * v + (1 - beta2) * q
    scale = torch.sqrt(v) + eps
    # norms of each matrix, from those of its rows: a tensor may be a stack of matrices
    length = torch.sqrt(columns(u) * total(q / (scale * scale)))
    if adjust == "match_rms_adamw":
        wanted: Any = 0.2 * (rows(u) * columns(u)) ** 0.5
    elif adjust == "original":
        wanted = _adjusted("original", rows(u), columns(u)) * torch.sqrt(columns(u) * total(q))
    else:
        raise RuleError(f"adjust must be 'match_rms_adamw' or 'original', got {adjust!r}.")
    return torch.where(length == 0, 0.0, wanted / length) / scale * polar, m, v
