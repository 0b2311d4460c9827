"""Steihaug's step of a trust region: conjugate gradients to the boundary, by products alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot, norm


class Here(NamedTuple):
    """The gradient and the model at a point."""

    g: Tensor
    model: Model
    first: Tensor


class Steihaug:
    """Conjugate gradients on H·p = −g that end at the boundary, where H bends down, or at ‖Hp + g‖ ≤ η‖g‖.

    Source: Steihaug (1983); Nocedal and Wright, Numerical Optimization, algorithm 7.2.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def prepare(self, before: Here | None, g: Tensor, model: Model) -> Here:
        """Return what is computed once at a point."""
        size = g.norm(dim=-1, keepdim=True)
        known = before is not None and len(before.first) == len(size)
        return Here(g, model, before.first if known and before is not None else size)

    def length(self, at: Here, x: Tensor) -> Tensor:
        """Return ‖D·x‖ of each lane."""
        return norm(x)

    def leave(self, at: Here, lanes: Tensor) -> Here:
        """Return what was prepared, of these lanes alone."""
        return at._replace(first=at.first[lanes])

    def solve(self, at: Here, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the steps, by how much the model falls, and their lengths."""
        g, model = at.g, at.model
        size = g.norm(dim=-1, keepdim=True)
        enough = (size / at.first).sqrt().clamp(max=0.5) * size
        step = hp_of_step = torch.zeros_like(g)
        residual, p = g, -g
        squared = dot(g, g)
        going = torch.ones_like(squared, dtype=torch.bool)
        for _ in range(self.most or 10 * g.shape[-1]):
            hp = model @ p
            bend = dot(p, hp)
            alpha = squared / bend
            beyond = (bend <= 0) | ((step + alpha * p).norm(dim=-1, keepdim=True) >= radius)
            alpha = torch.where(beyond, _to_boundary(step, p, radius), alpha)
            alpha = torch.where(going, alpha, 0.0)
            step, hp_of_step = step + alpha * p, hp_of_step + alpha * hp
            residual = residual + alpha * hp
            after = dot(residual, residual)
            going = going & ~beyond & (after.sqrt() > enough)
            if not bool(going.any()):
                break
            p = torch.where(going, after / squared * p - residual, p)
            squared = torch.where(going, after, squared)
        fall = -(dot(g, step) + dot(step, hp_of_step) / 2)
        return step, fall, step.norm(dim=-1, keepdim=True)


def _to_boundary(step: Tensor, p: Tensor, radius: Tensor) -> Tensor:
    """Return τ ≥ 0 with ‖step + τp‖ = Δ."""
    a, b, c = dot(p, p), dot(step, p), dot(step, step) - radius.square()
    return (-b + (b.square() - a * c).clamp(min=0).sqrt()) / a
