"""BFGS and its relatives: the inverse Hessian as a full matrix, updated with each step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.broyden import Coefficients, Family
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot, times, transposed_times

_DELAYED = 16
"""Updates of a large matrix that are kept as vectors and then added at once, by one product of matrices."""
_LARGE = 256
"""Rows from which on a matrix is large."""


class Inverse(NamedTuple):
    """H = scale · (base + Σ uᵢᵀ wᵢ uᵢ), and what the next update needs.

    With one lane: base [n, n], u [2·slots, n] and w [2·slots, 2·slots], which is symmetric. `used` slots of u
    are filled. d = −H·g is the last direction; s and y are the last step and its change of the gradient,
    where `fresh`.
    """

    base: Tensor
    scale: Tensor
    u: Tensor
    w: Tensor
    used: int
    d: Tensor
    g: Tensor
    s: Tensor
    y: Tensor
    fresh: Tensor
    pairs: Tensor  # how many were taken


class BFGS:
    """d = −H·g, with H updated by a formula of Broyden's family, scaled by 1/τ:

        H⁺ = (H − (Hy)(Hy)ᵀ/yᵀHy + φ·vvᵀ)/τ + ssᵀ/sᵀy,   v = √(yᵀHy)·(s/sᵀy − Hy/yᵀHy)

    BFGS has φ = τ = 1; the first H is γI with γ = sᵀy/yᵀy. `family` chooses φ and τ: bfgs, ssbfgs, ssbroyden.
    A pair without sᵀy > 0 is left out, so H stays positive definite.

    One product of H with a vector is all that an update and a direction need, since Hy = Hg⁺ + d.

    Source: Nocedal and Wright, Numerical Optimization, chapter 6.
    """

    def natural(self, steps: int) -> bool:
        return steps > 0

    def __init__(self, family: Family) -> None:
        self.family = family

    def init(self, x: Tensor, g: Tensor) -> Inverse:
        lanes, n = g.shape
        slots = _DELAYED if lanes == 1 and n >= _LARGE else 1
        wide = {"dtype": torch.promote_types(g.dtype, torch.float32), "device": g.device}
        g = g.to(wide["dtype"])
        one = torch.ones(lanes, 1, **wide)
        return Inverse(
            base=torch.eye(n, **wide).repeat(lanes, 1, 1),
            scale=one,
            u=torch.zeros(lanes, 2 * slots, n, **wide),
            w=torch.zeros(lanes, 2 * slots, 2 * slots, **wide),
            used=0,
            d=-g,
            g=g,
            s=torch.zeros_like(g),
            y=torch.zeros_like(g),
            fresh=torch.zeros(lanes, 1, dtype=torch.bool, device=g.device),
            pairs=torch.zeros(lanes, 1, dtype=torch.long, device=g.device),
        )

    def update(self, state: Inverse, step: Tensor, dg: Tensor) -> Inverse:
        s, y = step.to(state.d.dtype), dg.to(state.d.dtype)
        enough = torch.finfo(s.dtype).eps * (dot(s, s) * dot(y, y)).sqrt()
        return state._replace(s=s, y=y, fresh=dot(s, y) > enough)

    def propose(self, state: Inverse, g: Tensor, model: Model) -> tuple[Tensor, Inverse]:
        kind, g = g.dtype, g.to(state.d.dtype)
        first = state.fresh & (state.pairs == 0)
        gamma = torch.where(first, dot(state.s, state.y) / dot(state.y, state.y), 1.0)
        state = state._replace(scale=state.scale * gamma, d=state.d * gamma)
        hg = _times(state, g)
        state, hg = self._updated(state, g, hg)
        d = -hg
        return d.to(kind), state._replace(d=d, g=g, fresh=torch.zeros_like(state.fresh))

    def _updated(self, state: Inverse, g: Tensor, hg: Tensor) -> tuple[Inverse, Tensor]:
        """Return the state after the update that is due, and H⁺·g from H·g."""
        s, y, fresh = state.s, state.y, state.fresh
        hy = hg + state.d
        sy, yhy = dot(s, y), dot(y, hy)
        # s = −αHg, so that sᵀH⁻¹s = −α·sᵀg, with α = sᵀd/dᵀd.
        sbs = -dot(s, state.d) / dot(state.d, state.d) * dot(s, state.g)
        c = self.family(sbs / sy, yhy / sy, s.shape[-1])
        ss, sh, hh = _weights(c, sy, yhy)
        # Where the family's formula breaks down in rounding, the pair is left out.
        fresh = fresh & (yhy > 0) & torch.isfinite(ss + sh + hh) & (c.tau > 0)
        by_s, by_h = dot(s, g), dot(hy, g)
        changed = (hg + s * (ss * by_s + sh * by_h) + hy * (sh * by_s + hh * by_h)) / c.tau
        over = torch.where(fresh, 1 / state.scale, 0.0)
        weights = torch.stack([torch.cat([ss, sh], -1), torch.cat([sh, hh], -1)], 1)
        weights = torch.where(fresh[..., None], weights * over[..., None], 0.0)
        state = _appended(state, s, hy, weights, fresh)
        scale = torch.where(fresh, state.scale / c.tau, state.scale)
        state = state._replace(scale=scale, pairs=state.pairs + fresh)
        return state, torch.where(fresh, changed, hg)


def _weights(c: Coefficients, sy: Tensor, yhy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights of ssᵀ, of s(Hy)ᵀ + (Hy)sᵀ and of (Hy)(Hy)ᵀ in τ·H⁺ − H."""
    return c.phi * yhy / sy.square() + c.tau / sy, -c.phi / sy, (c.phi - 1) / yhy


def _times(state: Inverse, g: Tensor) -> Tensor:
    """Return H·g."""
    plain = times(state.base, g)
    if state.used:
        u = state.u[:, : 2 * state.used]
        w = state.w[:, : 2 * state.used, : 2 * state.used]
        plain = plain + transposed_times(u, times(w, times(u, g)))
    return state.scale * plain


def _appended(state: Inverse, s: Tensor, hy: Tensor, weights: Tensor, fresh: Tensor) -> Inverse:
    """Return the state with one more pair of vectors, added to the matrix when the slots are full."""
    at = 2 * state.used
    state.u[:, at] = torch.where(fresh, s, 0.0)
    state.u[:, at + 1] = torch.where(fresh, hy, 0.0)
    state.w[:, at : at + 2, at : at + 2] = weights
    if at + 2 < state.u.shape[1]:
        return state._replace(used=state.used + 1)
    base = state.base.baddbmm_(state.u.mT, torch.bmm(state.w, state.u))
    state.w.zero_()
    return state._replace(base=base, used=0)
