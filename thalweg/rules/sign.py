"""Steps by the sign alone: SignSGD, Signum, Lion."""

from __future__ import annotations

import torch

from thalweg.engine import rule

__all__ = ["lion", "sign", "signum"]


@rule
def sign(u):
    """SignSGD (Bernstein et al. 2018): every coordinate moves by the same amount.

        update = sign(u)

    At the head of a chain u is the gradient; after a momentum this is the sign of the momentum.

    Paper: Bernstein et al. 2018, "signSGD: Compressed Optimisation for Non-Convex Problems", algorithm 1,
    arXiv:1802.04434.
    Defaults: none; the learning rate is the size of every coordinate's step, so it is near Adam's.
    Use: when one bit a coordinate must do, or as the plainest normalized step; not on small noisy batches,
    where the sign of the gradient is the noise's.
    Deviations: none; sign(0) = 0.
    """
    return torch.sign(u)


@rule
def signum(g, m, *, beta=0.9):
    """Signum (Bernstein et al. 2018): the sign of a momentum.

        m ← β·m + (1 − β)·g
        update = sign(m)

    Paper: Bernstein et al. 2018, "signSGD: Compressed Optimisation for Non-Convex Problems", algorithm 2,
    arXiv:1802.04434.
    Defaults: β = 0.9, the usual momentum; the learning rate is the size of every step, so it is near Adam's.
    Use: when Adam would do and one state must be enough; Lion keeps one state too and tracks the gradient
    more closely.
    Deviations: none. Without the factor 1 − β the signs are the same.
    """
    m = beta * m + (1 - beta) * g
    return torch.sign(m), m


@rule
def lion(g, m, *, beta1=0.9, beta2=0.99):
    """Lion (Chen et al. 2023): the sign of a momentum that weighs the present gradient more.

        update = sign(β₁·m + (1 − β₁)·g)
        m ← β₂·m + (1 − β₂)·g

    Paper: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2, arXiv:2302.06675.
    Defaults: β₁ and β₂ of the paper. It asks for a learning rate 3 to 10 times smaller than AdamW's, and a
    weight decay larger by the same factor.
    Use: when Adam works, batches are large and memory counts: it keeps one state, Adam two; not on small
    batches, where the paper finds no gain.
    Deviations: none; the paper's decoupled weight decay is a link of its own, `decay`.
    """
    update = torch.sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return update, m
