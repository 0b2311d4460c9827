"""BFGS and its relatives: the inverse Hessian as a full matrix, updated with each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.broyden import Family, update
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.direction.inverse import PARALLEL, Inverse
from thalweg.solvers.lanes import add_products, cosine, norm, times


class OneInverse(NamedTuple):
    """The matrix of a single run, which is changed in place."""

    inverse: Inverse


class Inverses(NamedTuple):
    """H of several runs, [lanes, n, n], their last pairs s and y, last directions and last gradients."""

    h: Tensor
    pair: Tensor  # [lanes, 2, n]; zero once it is taken
    last: Tensor  # [lanes, 2, n]
    taken: Tensor  # pairs


class BroydenDirection:
    """d = −H·g, with H updated by a formula of Broyden's family, scaled by 1/τ:

        H⁺ = (H − (Hy)(Hy)ᵀ/yᵀHy + φ·vvᵀ)/τ + ssᵀ/sᵀy,   v = √(yᵀHy)·(s/sᵀy − Hy/yᵀHy)

    BFGS has φ = τ = 1; the first H is γI with γ = sᵀy/yᵀy. `family` chooses φ and τ: bfgs, ssbfgs,
    ssbroyden. A pair without sᵀy > 0 is left out, so H stays positive definite. A step that is not along d,
    as at bounds, has φ = τ = 1.

    Source: Nocedal and Wright, Numerical Optimization, chapter 6.
    """

    learns = True

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return steps > 0

    def __init__(self, family: Family) -> None:
        self.family = family

    def init(self, x: Tensor, g: Tensor) -> OneInverse | Inverses:
        """Return the state before the first step."""
        lanes, n = g.shape
        if lanes == 1:
            return OneInverse(Inverse(g[0], self.family))
        wide: dict[str, Any] = {
            "dtype": torch.promote_types(g.dtype, torch.float32),
            "device": g.device,
        }
        g = g.to(wide["dtype"])
        last = torch.stack([-g, g], 1)
        return Inverses(
            h=torch.eye(n, **wide).repeat(lanes, 1, 1),
            pair=torch.zeros_like(last),
            last=last,
            taken=torch.zeros(lanes, 1, dtype=torch.long, device=g.device),
        )

    def update(
        self, state: OneInverse | Inverses, step: Tensor, dg: Tensor
    ) -> OneInverse | Inverses:
        """Return the state after a step."""
        if isinstance(state, OneInverse):
            state.inverse.add(step[0].to(state.inverse.dtype), dg[0].to(state.inverse.dtype))
            return state
        return state._replace(pair=torch.stack([step, dg], 1).to(state.h.dtype))

    def propose(
        self, state: OneInverse | Inverses, g: Tensor, model: Model
    ) -> tuple[Tensor, OneInverse | Inverses]:
        """Return the direction, and the state, whose H of several runs is changed in place."""
        if isinstance(state, OneInverse):
            return state.inverse.direction(g[0].to(state.inverse.dtype)).to(g.dtype)[None], state
        wide = g.to(state.h.dtype)
        d, h, taken = self._updated(state, wide)
        last = torch.stack([d, wide], 1)
        return d.to(g.dtype), Inverses(h, torch.zeros_like(state.pair), last, taken)

    def _updated(self, state: Inverses, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return −H⁺g and H⁺ after the update that is due, and the pairs taken."""
        s, y = state.pair.unbind(1)
        d, before = state.last.unbind(1)
        hy, hg = times(state.h, y), times(state.h, g)
        left = torch.stack([s, y, y, s, s, hy])
        right = torch.stack([y, y, hy, before, g, g])
        dots = (left * right).sum(-1, keepdim=True)
        sy, yy, yhy, sg, by_s, by_h = dots.unbind()
        size, length, turn = (row[:, None] for row in (norm(s), norm(d), cosine(s, d)))
        fresh = sy > torch.finfo(s.dtype).eps * size * yy.sqrt()
        first = torch.where(fresh & (state.taken == 0), sy / yy, 1.0)
        hy, yhy, by_h = first * hy, first * yhy, first * by_h
        # s = −αHg, so that sᵀH⁻¹s = −α·sᵀg, with α = sᵀd/dᵀd; `alpha` is −α.
        alpha = -turn * size / length
        b = torch.where(turn * turn > 1 - PARALLEL, alpha * sg / (first * sy), torch.nan)
        c = update(self.family, b, sy, yhy, s.shape[-1])
        fresh = fresh & c.sound
        weights = torch.where(fresh, torch.stack([c.ss, c.sh, c.hh]) / c.tau, 0.0)
        of_ss, of_sh, of_hh = weights.unbind()
        kept = torch.where(fresh, first / c.tau, 1.0)
        hy, by_h = torch.where(fresh, hy, 0.0), torch.where(fresh, by_h, 0.0)
        with_s = torch.addcmul(of_ss * s, of_sh, hy)
        with_h = torch.addcmul(of_sh * s, of_hh, hy)
        h = add_products(state.h.mul_(kept[..., None]), (s, with_s), (hy, with_h))
        hg = torch.addcmul(torch.addcmul(kept * hg, by_s, with_s), by_h, with_h)
        return hg.neg_(), h, state.taken + fresh.to(state.taken.dtype)
