"""Steihaug's step of a trust region: conjugate gradients to the boundary, by products alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot, norm, power_of_two
from thalweg.solvers.preconditioner import Preconditioner


class Here(NamedTuple):
    """The gradient and the model at a point."""

    g: Tensor
    model: Model
    first: Tensor


class Steihaug:
    """Conjugate gradients on H·p = −g that end at the boundary, where H bends down, or at ‖Hp + g‖ ≤ η‖g‖.

    With a preconditioner M ≈ H⁻¹ the radius is one of √(pᵀM⁻¹p), in which these steps only grow. M⁻¹·p
    follows the same recursion as p, so M⁻¹ is not needed.

    Source: Steihaug (1983); Nocedal and Wright, Numerical Optimization, algorithm 7.2; Conn, Gould and Toint
    (2000), Trust-region methods, algorithm 7.5.1, for M.
    """

    def __init__(
        self, most: int | None = None, preconditioner: Preconditioner | None = None
    ) -> None:
        self.most, self.m = most, preconditioner
        self.by_curvature = preconditioner is not None

    def prepare(self, before: Here | None, g: Tensor, model: Model) -> Here:
        """Return what is computed once at a point."""
        size = norm(g)[:, None]
        known = before is not None and len(before.first) == len(size)
        return Here(g, model, before.first if known and before is not None else size)

    def length(self, at: Here, x: Tensor) -> Tensor:
        """Return √(xᵀM⁻¹x) of each lane, or what it is at least: xᵀx/√(xᵀMx)."""
        if self.m is None:
            return norm(x)
        mx = torch.where(x == 0, x, self.m(x))
        return torch.where(norm(x) > 0, dot(x, x) / dot(x, mx).sqrt(), 0.0)[:, 0]

    def leave(self, at: Here, lanes: Tensor) -> Here:
        """Return what was prepared, of these lanes alone."""
        return at._replace(first=at.first[lanes])

    def solve(self, at: Here, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the steps, by how much the model falls, and their lengths."""
        # steps in units of the radius and gradients in those of g, so that squares stay within the dtype
        size = norm(at.g)[:, None]
        unit, weight = power_of_two(radius), power_of_two(size)
        g, radius, size = at.g / weight, radius / unit, size / weight
        enough = (weight * size / at.first).sqrt().clamp(max=0.5) * size
        step = dual = hp_of_step = torch.zeros_like(g)
        residual, z = g, self._preconditioned(g)
        p, w = -z, -g  # w = M⁻¹p and dual = M⁻¹step, which without M are the same
        squared = dot(g, z)
        going = torch.ones_like(squared, dtype=torch.bool)
        for _ in range(self.most or 10 * g.shape[-1]):
            hp = (at.model @ (unit * p)) / weight
            # Where a product is not finite nothing is known of the bend: the step goes to the boundary.
            hp = torch.where(torch.isfinite(hp).all(-1, keepdim=True), hp, 0.0)
            bend = dot(p, hp)
            alpha = squared / bend
            far, far_dual = step + alpha * p, dual + alpha * w
            beyond = (bend <= 0) | (dot(far, far_dual).sqrt() >= radius)
            alpha = torch.where(beyond, _to_boundary(step, dual, p, w, radius), alpha)
            alpha = torch.where(going, alpha, 0.0)
            step, hp_of_step = step + alpha * p, hp_of_step + alpha * hp
            dual = step if self.m is None else dual + alpha * w
            residual = residual + alpha * hp
            going = going & ~beyond & (norm(residual)[:, None] > enough)
            if not bool(going.any()):
                break
            z = self._preconditioned(residual)
            after = dot(residual, z)
            p = torch.where(going, after / squared * p - z, p)
            w = p if self.m is None else torch.where(going, after / squared * w - residual, w)
            squared = torch.where(going, after, squared)
        fall = -unit * (weight * (dot(g, step) + dot(step, hp_of_step) / 2))
        return unit * step, fall, unit * dot(step, dual).clamp(min=0).sqrt()

    def _preconditioned(self, r: Tensor) -> Tensor:
        return r if self.m is None else self.m(r)


def _to_boundary(step: Tensor, dual: Tensor, p: Tensor, w: Tensor, radius: Tensor) -> Tensor:
    """Return τ ≥ 0 with (step + τp)ᵀM⁻¹(step + τp) = Δ²; dual and w are M⁻¹ times step and p."""
    a, b, c = dot(p, w), dot(step, w), dot(step, dual) - radius.square()
    return (-b + (b.square() - a * c).clamp(min=0).sqrt()) / a
