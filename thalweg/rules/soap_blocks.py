"""SOAP of matrices that are cut into blocks, each with bases of its own."""

from __future__ import annotations

import torch

from thalweg.engine import rule
from thalweg.engine.matrix.in_blocks import (
    bases_of,
    blocks_in_order,
    grams_of_columns,
    grams_of_rows,
    identities_like,
    turned_back,
    turned_in,
    turned_in_at_first,
)
from thalweg.engine.program.shapes import ColumnsByColumnsOfBlocks, RowsByRowsOfBlocks
from thalweg.rules.soap import beta_of_factors, normalized, scaled
from thalweg.rules.soap_authors import momentum_from_second, moved, scaled_from_second


@rule
def soap_blocks(
    g, m, v, L: RowsByRowsOfBlocks, R: ColumnsByColumnsOfBlocks,
    Q_L: RowsByRowsOfBlocks, Q_R: ColumnsByColumnsOfBlocks,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False, block_size="1024",
):  # fmt: skip
    """SOAP of a matrix that is cut into blocks, each with bases of its own (Vyas et al. 2024).

        G′ = Q_Lᵢⱼᵀ·Gᵢⱼ·Q_Rᵢⱼ,  update = Q_Lᵢⱼ·Nᵢⱼ′·Q_Rᵢⱼᵀ  for each block

    and the rest as in `soap`. A block has at most `block_size` rows and columns, a text with the number; a
    root mean square is that of the whole.
    """
    Q_L = torch.where(t == 1, identities_like(Q_L, block_size), Q_L)
    Q_R = torch.where(t == 1, identities_like(Q_R, block_size), Q_R)
    m = beta1 * m + (1 - beta1) * g
    g_in, m_in = turned_in(g, Q_L, Q_R, block_size), turned_in(m, Q_L, Q_R, block_size)
    turned, v = scaled(g_in, m_in, v, t, beta1, beta2, eps, correct_bias)
    update = normalized(turned_back(turned, Q_L, Q_R, block_size), normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * grams_of_rows(L, g, block_size)
    R = beta * R + (1 - beta) * grams_of_columns(R, g, block_size)
    Q_L = bases_of(L, Q_L, t, every, False, block_size)
    Q_R = bases_of(R, Q_R, t, every, False, block_size)
    first = turned_in_at_first(g, t, Q_L, Q_R, block_size)
    v = torch.where(t == 1, (1 - beta2) * first * first, v)
    return update, m, v, L, R, Q_L, Q_R


@rule
def soap_skipping_blocks(
    g, m, v, L: RowsByRowsOfBlocks, R: ColumnsByColumnsOfBlocks,
    Q_L: RowsByRowsOfBlocks, Q_R: ColumnsByColumnsOfBlocks,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False, block_size="1024",
):  # fmt: skip
    """SOAP that skips its first step, of a matrix that is cut into blocks (Vyas et al. 2024).

        G′ = Q_Lᵢⱼᵀ·Gᵢⱼ·Q_Rᵢⱼ,  update ∝ Q_Lᵢⱼ·Nᵢⱼ′·Q_Rᵢⱼᵀ  for each block

    and the rest as in `soap_skipping`. A block has at most `block_size` rows and columns, a text with the
    number; a root mean square is that of the whole.
    """
    m = momentum_from_second(g, m, t, beta1)
    g_in, m_in = turned_in(g, Q_L, Q_R, block_size), turned_in(m, Q_L, Q_R, block_size)
    turned, v = scaled_from_second(g_in, m_in, v, t, beta2, eps)
    update = turned_back(turned, Q_L, Q_R, block_size)
    update = moved(update, t, beta1, beta2, correct_bias, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * grams_of_rows(L, g, block_size)
    R = beta * R + (1 - beta) * grams_of_columns(R, g, block_size)
    v = blocks_in_order(v, t, every, L, Q_L, R, Q_R, block_size)
    Q_L = bases_of(L, Q_L, t, every, True, block_size)
    Q_R = bases_of(R, Q_R, t, every, True, block_size)
    return update, m, v, L, R, Q_L, Q_R
