"""SOAP as its authors' code has it: the first step makes bases and does not move."""

from __future__ import annotations

import torch

from thalweg.engine import ColumnsByColumns, RowsByRows, gram, gram_of_columns, rule
from thalweg.engine.matrix.refreshed import in_order, ordered_basis_of
from thalweg.rules.soap import beta_of_factors, normalized

__all__ = ["soap_skipping"]


def momentum_from_second(g, m, t, beta1):
    """Return the momentum, that of step 1 without its gradient."""
    return torch.where(t == 1, m, beta1 * m + (1 - beta1) * g)


def scaled_from_second(g, m, v, t, beta2, eps):
    """Return Adam's update without bias corrections, and the new scale, that of step 1 as it was."""
    v = torch.where(t == 1, v, beta2 * v + (1 - beta2) * g * g)
    return m / (torch.sqrt(v) + eps), v


def moved(update, t, beta1, beta2, correct_bias, normalize_grads):
    """Return the update with bias corrections; in step 1 there is none."""
    s = torch.clamp(t - 1, min=1.0)
    size = torch.sqrt(1 - beta2**s) / (1 - beta1**s) if correct_bias else 1.0
    return torch.where(t == 1, 0.0, size * normalized(update, normalize_grads))


@rule
def soap_skipping(
    g, m, v, L: RowsByRows, R: ColumnsByColumns, Q_L: RowsByRows, Q_R: ColumnsByColumns,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP that skips its first step, as its authors' code does (Vyas et al. 2024).

        M ← β₁·M + (1 − β₁)·G,   G′ = Q_Lᵀ·G·Q_R,   M′ = Q_Lᵀ·M·Q_R        not in step 1
        V ← β₂·V + (1 − β₂)·G′²,   N′ = M′ / (√V + ε)                       not in step 1
        update = √(1 − β₂ˢ)/(1 − β₁ˢ) · Q_L·N′·Q_Rᵀ,  s = t − 1             0 in step 1
        L ← β·L + (1 − β)·G·Gᵀ                R ← β·R + (1 − β)·Gᵀ·G
        Q_L, Q_R ← QR(L·Q_L), QR(R·Q_R)       where s is a multiple of k; eigenvectors in step 1

    Before a QR the columns of Q_L and Q_R are put in the order of falling qᵀ·L·q and qᵀ·R·q, and the rows and
    columns of V with them. β is `shampoo_beta`, and β₂ where that is below 0.
    """
    m = momentum_from_second(g, m, t, beta1)
    turned, v = scaled_from_second(Q_L.mT @ g @ Q_R, Q_L.mT @ m @ Q_R, v, t, beta2, eps)
    update = moved(Q_L @ turned @ Q_R.mT, t, beta1, beta2, correct_bias, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * gram(g)
    R = beta * R + (1 - beta) * gram_of_columns(g)
    v = in_order(v, t, every, L, Q_L, R, Q_R)
    return (
        update,
        m,
        v,
        L,
        R,
        ordered_basis_of(L, Q_L, t, every),
        ordered_basis_of(R, Q_R, t, every),
    )


@rule
def soap_skipping_rows(
    g, m, v, L: RowsByRows, Q_L: RowsByRows,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP of the rows alone that skips its first step (Vyas et al. 2024).

    G′ = Q_Lᵀ·G,  update ∝ Q_L·N′,  and the rest as in `soap_skipping`
    """
    m = momentum_from_second(g, m, t, beta1)
    turned, v = scaled_from_second(Q_L.mT @ g, Q_L.mT @ m, v, t, beta2, eps)
    update = moved(Q_L @ turned, t, beta1, beta2, correct_bias, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    L = beta * L + (1 - beta) * gram(g)
    v = in_order(v, t, every, L, Q_L, None, None)
    return update, m, v, L, ordered_basis_of(L, Q_L, t, every)


@rule
def soap_skipping_columns(
    g, m, v, R: ColumnsByColumns, Q_R: ColumnsByColumns,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP of the columns alone that skips its first step (Vyas et al. 2024).

    G′ = G·Q_R,  update ∝ N′·Q_Rᵀ,  and the rest as in `soap_skipping`
    """
    m = momentum_from_second(g, m, t, beta1)
    turned, v = scaled_from_second(g @ Q_R, m @ Q_R, v, t, beta2, eps)
    update = moved(turned @ Q_R.mT, t, beta1, beta2, correct_bias, normalize_grads)
    beta = beta_of_factors(beta2, shampoo_beta)
    R = beta * R + (1 - beta) * gram_of_columns(g)
    v = in_order(v, t, every, None, None, R, Q_R)
    return update, m, v, R, ordered_basis_of(R, Q_R, t, every)


@rule
def soap_skipping_identity(
    g, m, v,
    *, t, beta1=0.95, beta2=0.95, eps=1e-8, every=10, shampoo_beta=-1.0, correct_bias=True,
    normalize_grads=False,
):  # fmt: skip
    """SOAP that skips its first step where both bases are the identity, as of a vector (Vyas et al. 2024).

    m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²;   update = √(1 − β₂ˢ)/(1 − β₁ˢ) · m / (√v + ε)
    """
    m = momentum_from_second(g, m, t, beta1)
    update, v = scaled_from_second(g, m, v, t, beta2, eps)
    return moved(update, t, beta1, beta2, correct_bias, normalize_grads), m, v
