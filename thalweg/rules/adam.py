"""Adam and variants: a running mean of the gradient over a running scale."""

from __future__ import annotations

import torch

from thalweg.engine import Chain, Scalar, chain, rule
from thalweg.rules.parts.decay import decay

__all__ = ["adam", "adam_scale", "adamax", "adamw", "amsgrad", "nadam", "radam"]


@rule
def adam(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam (Kingma and Ba 2015, algorithm 1).

    m ← β₁·m + (1 − β₁)·g           m̂ = m / (1 − β₁ᵗ)
    v ← β₂·v + (1 − β₂)·g²          v̂ = v / (1 − β₂ᵗ)
    update = m̂ / (√v̂ + ε)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m_hat / (torch.sqrt(v_hat) + eps), m, v


def adamw(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01
) -> Chain:
    """AdamW (Loshchilov and Hutter 2019) as the chain that it is: Adam, and weight decay after the step.

    The defaults are PyTorch's.

    >>> adamw(beta2=0.95)
    chain(adam(beta1=0.9, beta2=0.95, eps=1e-08), decay(weight_decay=0.01))
    """
    return chain(adam(beta1, beta2, eps), decay(weight_decay))


@rule
def adam_scale(g, v, *, t, beta2=0.999, eps=1e-8):
    """Adam's scale without its momentum, for rules that bring one of their own.

    v ← β₂·v + (1 − β₂)·g²          v̂ = v / (1 − β₂ᵗ)
    update = g / (√v̂ + ε)
    """
    v = beta2 * v + (1 - beta2) * g * g
    return g / (torch.sqrt(v / (1 - beta2**t)) + eps), v


@rule
def amsgrad(g, m, v, v_max, *, t, beta1=0.9, beta2=0.999, eps=1e-8):
    """AMSGrad (Reddi, Kale and Kumar 2018, algorithm 2) with Adam's bias corrections, as in PyTorch.

    m ← β₁·m + (1 − β₁)·g           m̂ = m / (1 − β₁ᵗ)
    v ← β₂·v + (1 − β₂)·g²
    v_max ← max(v_max, v)           v̂ = v_max / (1 − β₂ᵗ)
    update = m̂ / (√v̂ + ε)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = torch.maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return m_hat / (torch.sqrt(v_hat) + eps), m, v, v_max


@rule
def adamax(g, m, u, *, t, beta1=0.9, beta2=0.999, eps=1e-8, eps_outside=False):
    """AdaMax (Kingma and Ba 2015, algorithm 2), with the ε that PyTorch adds to |g|.

        m ← β₁·m + (1 − β₁)·g
        u ← max(β₂·u, |g| + ε)
        update = m / (1 − β₁ᵗ) / u

    With `eps_outside` u ← max(β₂·u, |g|), and ε is added to u where it divides, as in Keras.
    """
    m = beta1 * m + (1 - beta1) * g
    u = torch.maximum(beta2 * u, torch.abs(g) + (0.0 if eps_outside else eps))
    return m / (1 - beta1**t) / (u + eps if eps_outside else u), m, u


@rule
def nadam(
    g, m, v, mu_product: Scalar = 1.0, *, t, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3
):
    """NAdam (Dozat 2016, algorithm 2) with the momentum schedule μₜ = β₁·(1 − ½·0.96^(t·ψ)) of PyTorch.

    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²          v̂ = v / (1 − β₂ᵗ)
    m̂ = μₜ₊₁·m / (1 − Πᵢ₌₁ᵗ⁺¹ μᵢ) + (1 − μₜ)·g / (1 − Πᵢ₌₁ᵗ μᵢ)
    update = m̂ / (√v̂ + ε)
    """
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return m_hat / (torch.sqrt(v_hat) + eps), m, v, mu_product


@rule
def radam(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-8):
    """RAdam (Liu et al. 2020, algorithm 2): Adam whose scale is used once its variance is tractable.

        ρ∞ = 2/(1 − β₂) − 1,   ρₜ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ)
        rₜ = √((ρₜ − 4)(ρₜ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρₜ))
        update = rₜ·m̂·√(1 − β₂ᵗ) / (√v + ε) where ρₜ > 5, otherwise m̂

    The paper's threshold is 4; PyTorch uses 5, and so does this rule.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    correction = 1 - beta2**t
    rho_max = 2 / (1 - beta2) - 1
    rho = rho_max - 2 * t * beta2**t / correction
    r = torch.sqrt((rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho))
    scale = r * torch.sqrt(correction) / (torch.sqrt(v) + eps)
    return m_hat * torch.where(rho > 5, scale, 1.0), m, v
