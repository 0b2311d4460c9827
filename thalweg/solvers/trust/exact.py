"""The exact step of a trust region, from all eigenvalues of the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot, norm, power_of_two, take, times, transposed_times

_ROUNDS = 60
_CLOSE = 1e-3
"""A step on the boundary may be this much, relatively, from the radius."""


class Spectrum(NamedTuple):
    """Eigenvalues λ, ascending, their vectors Q, and a = Qᵀg."""

    eigenvalues: Tensor
    vectors: Tensor
    a: Tensor


class Exact:
    """min gᵀp + ½pᵀHp with ‖p‖ ≤ Δ, solved to a thousandth of Δ, the hard case too: p = −(H + σI)⁻¹g.

    Source: Moré and Sorensen (1983), Computing a trust region step.
    """

    by_curvature = False

    def prepare(self, before: Any, g: Tensor, model: Model) -> Spectrum:
        """Return what is computed once at a point."""
        hessian = model.dense()
        finite = torch.isfinite(hessian).all(-1).all(-1)[:, None, None]
        eigenvalues, vectors = torch.linalg.eigh(torch.where(finite, hessian, 0.0))
        return Spectrum(eigenvalues, vectors, transposed_times(vectors, g))

    def length(self, at: Spectrum, x: Tensor) -> Tensor:
        """Return ‖D·x‖ of each lane."""
        return norm(x)

    def leave(self, at: Spectrum, lanes: Tensor) -> Spectrum:
        """Return what was prepared, of these lanes alone."""
        return take(at, lanes)

    def solve(self, at: Spectrum, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the steps, by how much the model falls, and their lengths."""
        unit = power_of_two(radius)
        a, eigenvalues = unit * at.a, unit * (unit * at.eigenvalues)
        q = within(eigenvalues, a, radius / unit)
        fall = -(dot(a, q) + dot(eigenvalues * q, q) / 2)
        return unit * times(at.vectors, q), fall, unit * norm(q)[:, None]


def within(eigenvalues: Tensor, a: Tensor, radius: Tensor) -> Tensor:
    """Return q with ‖q‖ ≤ Δ that minimizes aᵀq + ½·Σ λᵢqᵢ², λ ascending: q = −a/(λ + σ), σ ≥ 0."""
    lowest = eigenvalues[:, :1]
    least = (-lowest).clamp(min=0)
    scale = eigenvalues.abs().amax(-1, keepdim=True)
    tiny = torch.finfo(a.dtype).eps * torch.maximum(scale, norm(a)[:, None] / radius)
    tiny = tiny.clamp(min=torch.finfo(a.dtype).tiny)
    low = least + torch.where(lowest > tiny, 0.0, tiny)
    high = low + norm(a)[:, None] / radius + tiny
    sigma = _secular(eigenvalues, a, radius, low, high)
    q = -a / (eigenvalues + sigma)
    return _filled(q, radius, hard=(lowest < -tiny))


def _secular(eigenvalues: Tensor, a: Tensor, radius: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return σ in [low, high] with ‖a/(λ + σ)‖ = Δ, or `low` where that is short of Δ: Newton on 1/‖q‖."""
    sigma = low
    for _ in range(_ROUNDS):
        shifted = eigenvalues + sigma
        q = a / shifted
        size = norm(q)[:, None]
        over = size > radius
        done = ((size - radius).abs() <= _CLOSE * radius) | (~over & (sigma <= low))
        if bool(done.all()):
            break
        low = torch.where(over, sigma, low)
        high = torch.where(over, high, sigma)
        newton = sigma + (size - radius) / radius * dot(q, q) / dot(q / shifted, q)
        inside = (newton > low) & (newton < high) & torch.isfinite(newton)
        sigma = torch.where(done, sigma, torch.where(inside, newton, (low + high) / 2))
    return sigma


def _filled(q: Tensor, radius: Tensor, hard: Tensor) -> Tensor:
    """Return q, longer along the first eigenvector to Δ where it is short of it though H is not positive."""
    size = norm(q)[:, None]
    q = torch.where(size > radius, q * (radius / size), q)
    rest = (radius.square() - q[:, 1:].square().sum(-1, keepdim=True)).clamp(min=0).sqrt()
    side = torch.where(q[:, :1] < 0, -rest, rest)
    short = hard & (size < (1 - _CLOSE) * radius)
    return torch.cat([torch.where(short, side, q[:, :1]), q[:, 1:]], -1)
