"""Levenberg and Marquardt's step: a trust region around the linearized residuals."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from thalweg.solvers.lanes import dot, norm, power_of_two, take, times, transposed_times
from thalweg.solvers.trust.exact import within


class Linearised(Protocol):
    """Residuals near a point: r + J·p."""

    def jacobian(self) -> Tensor:
        """Return J of each lane, [lanes, m, n]."""
        ...

    def residuals(self) -> Tensor:
        """Return r of each lane, [lanes, m]."""
        ...


class Singular(NamedTuple):
    """J·D⁻¹ = UΣVᵀ: Σ² ascending, V [n, k], a = ΣUᵀr, and the scales D."""

    squares: Tensor
    vectors: Tensor
    a: Tensor
    scales: Tensor


class GaussNewton:
    """min ‖r + J·p‖² with ‖D·p‖ ≤ Δ: p = −(JᵀJ + σD²)⁻¹Jᵀr, from the singular values of J·D⁻¹.

    D holds the largest norms that J's columns had, so that the scale of each parameter does not matter. With
    fewer residuals than parameters the decomposition is as small as the residuals are few: that is the kernel
    form, −Jᵀ(JJᵀ + σI)⁻¹r.

    Source: Moré (1978), The Levenberg-Marquardt algorithm: implementation and theory.
    """

    by_curvature = True

    def prepare(self, before: Singular | None, g: Tensor, model: Linearised) -> Singular:
        """Return what is computed once at a point."""
        jacobian, residuals = model.jacobian(), model.residuals()
        finite = torch.isfinite(jacobian).all(-1).all(-1)[:, None, None]
        jacobian = torch.where(finite, jacobian, 0.0)
        scales = norm(jacobian.mT)
        if before is not None and len(before.scales) == len(scales):
            scales = torch.maximum(scales, before.scales)
        scales = torch.where(scales > 0, scales, 1.0)
        u, sigma, vt = torch.linalg.svd(jacobian / scales[:, None, :], full_matrices=False)
        a = sigma * transposed_times(u, residuals)
        return Singular(sigma.square().flip(-1), vt.mT.flip(-1), a.flip(-1), scales)

    def length(self, at: Singular, x: Tensor) -> Tensor:
        """Return ‖D·x‖ of each lane."""
        scaled: Tensor = at.scales * x
        return norm(scaled)

    def leave(self, at: Singular, lanes: Tensor) -> Singular:
        """Return what was prepared, of these lanes alone."""
        return take(at, lanes)

    def solve(self, at: Singular, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the steps, by how much the model falls, and their lengths."""
        unit = power_of_two(radius)
        a, squares = unit * at.a, unit * (unit * at.squares)
        q = within(squares, a, radius / unit)
        # Directions that no residual depends on: nothing is to be had there.
        q = torch.where(at.squares > 0, q, 0.0)
        fall = -(dot(a, q) + dot(squares * q, q) / 2)
        return unit * (times(at.vectors, q) / at.scales), fall, unit * norm(q)[:, None]
