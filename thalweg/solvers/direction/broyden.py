"""The coefficients of Broyden's family and of its scaling: which BFGS, as a function of three numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Coefficients(NamedTuple):
    """φ, 1 for BFGS and 0 for DFP; and τ, by which H is divided before ssᵀ/sᵀy is added."""

    phi: Tensor
    tau: Tensor


Family = Callable[[Tensor, Tensor, int], Coefficients]
"""(b, h, n) -> coefficients, where b = sᵀH⁻¹s/sᵀy, h = yᵀHy/sᵀy, n the number of parameters."""


def bfgs(b: Tensor, h: Tensor, n: int) -> Coefficients:
    """φ = τ = 1 (Broyden, Fletcher, Goldfarb and Shanno, 1970)."""
    return Coefficients(torch.ones_like(b), torch.ones_like(b))


def ssbfgs(b: Tensor, h: Tensor, n: int) -> Coefficients:
    """φ = 1, τ = min(1, 1/b): self-scaled BFGS (Al-Baali, 1998)."""
    return Coefficients(torch.ones_like(b), (1 / b).clamp(max=1))


def ssbroyden(b: Tensor, h: Tensor, n: int) -> Coefficients:
    """Self-scaled Broyden: θ between the bounds that keep the eigenvalues in check, φ and τ from θ.

        a = bh − 1,  c = √(a/(a+1)),  ρ⁻ = min(1, h(1−c)),  θ⁻ = (ρ⁻−1)/a,  θ⁺ = 1/ρ⁻
        θ = max(θ⁻, min(θ⁺, (1−b)/b)),  σ = 1 + θa,  φ = (1−θ)/σ
        τ = min(ρ⁻σ^{1/(1−n)}, σ) where θ ≤ 0, else ρ⁻·min(σ^{1/(1−n)}, 1/θ)

    Source: Al-Baali and Khalfan (2005); Urbán, Stefanou and Pons (2025), Unveiling the optimization
    process of physics informed neural networks, equations 13 to 23.
    """
    tiny = torch.finfo(b.dtype).eps
    a = (b * h - 1).clamp(min=tiny)
    lowest = (h * (1 - (a / (a + 1)).sqrt())).clamp(max=1)
    theta = torch.maximum((lowest - 1) / a, torch.minimum(1 / lowest, (1 - b) / b))
    sigma = 1 + theta * a
    power = sigma.abs() ** (1 / (1 - n)) if n > 1 else torch.ones_like(sigma)
    below = torch.minimum(lowest * power, sigma)
    above = lowest * torch.minimum(power, 1 / theta)
    return Coefficients((1 - theta) / sigma, torch.where(theta <= 0, below, above))


class Update(NamedTuple):
    """H⁺ = (H + ss·ssᵀ + sh·(s(Hy)ᵀ + (Hy)sᵀ) + hh·(Hy)(Hy)ᵀ)/τ."""

    ss: Tensor
    sh: Tensor
    hh: Tensor
    tau: Tensor
    sound: Tensor  # whether the formula holds in rounding


def update(family: Family, b: Tensor, sy: Tensor, yhy: Tensor, n: int) -> Update:
    """Return the weights of an update; where b is NaN, since it is not known, those of BFGS."""
    phi, tau = family(b, yhy / sy, n)
    known = torch.isfinite(b)
    phi, tau = torch.where(known, phi, 1.0), torch.where(known, tau, 1.0)
    ss = (phi * (yhy / sy) + tau) / sy
    sh = -phi / sy
    hh = (phi - 1) / yhy
    sound = (yhy > 0) & (tau > 0) & torch.isfinite(ss + sh + hh)
    return Update(ss, sh, hh, tau, sound)


FAMILIES: dict[str, Family] = {"bfgs": bfgs, "ssbfgs": ssbfgs, "ssbroyden": ssbroyden}
