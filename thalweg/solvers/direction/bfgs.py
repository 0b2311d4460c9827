"""BFGS and its relatives: the inverse Hessian as a full matrix, updated with each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.broyden import Family, update
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.direction.inverse import PARALLEL, Inverse
from thalweg.solvers.lanes import dot


class OneInverse(NamedTuple):
    """The matrix of a single run, which is changed in place."""

    inverse: Inverse


class Inverses(NamedTuple):
    """H of several runs, [lanes, n, n], their last pairs s and y, last directions and last gradients."""

    h: Tensor
    vectors: Tensor  # s, y, d and g, [lanes, 4, n]
    fresh: Tensor  # whether the pair is still to be taken
    taken: Tensor  # pairs


class BroydenDirection:
    """d = −H·g, with H updated by a formula of Broyden's family, scaled by 1/τ:

        H⁺ = (H − (Hy)(Hy)ᵀ/yᵀHy + φ·vvᵀ)/τ + ssᵀ/sᵀy,   v = √(yᵀHy)·(s/sᵀy − Hy/yᵀHy)

    BFGS has φ = τ = 1; the first H is γI with γ = sᵀy/yᵀy. `family` chooses φ and τ: bfgs, ssbfgs,
    ssbroyden. A pair without sᵀy > 0 is left out, so H stays positive definite. A step that is not along d,
    as at bounds, has φ = τ = 1.

    Source: Nocedal and Wright, Numerical Optimization, chapter 6.
    """

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
        blank = torch.zeros_like(g)
        return Inverses(
            h=torch.eye(n, **wide).repeat(lanes, 1, 1),
            vectors=torch.stack([blank, blank, -g, g], 1),
            fresh=torch.zeros(lanes, 1, dtype=torch.bool, device=g.device),
            taken=torch.zeros(lanes, 1, dtype=torch.long, device=g.device),
        )

    def update(
        self, state: OneInverse | Inverses, step: Tensor, dg: Tensor
    ) -> OneInverse | Inverses:
        """Return the state after a step."""
        if isinstance(state, OneInverse):
            state.inverse.add(step[0].to(state.inverse.dtype), dg[0].to(state.inverse.dtype))
            return state
        pair = torch.stack([step, dg], 1).to(state.h.dtype)
        s, y = pair.unbind(1)
        sy = dot(s, y)
        enough = torch.finfo(s.dtype).eps * dot(s, s).sqrt() * dot(y, y).sqrt()
        vectors = torch.cat([pair, state.vectors[:, 2:]], 1)
        return state._replace(vectors=vectors, fresh=sy > enough)

    def propose(
        self, state: OneInverse | Inverses, g: Tensor, model: Model
    ) -> tuple[Tensor, OneInverse | Inverses]:
        """Return the direction, and the state, whose H of several runs is changed in place."""
        if isinstance(state, OneInverse):
            return state.inverse.direction(g[0].to(state.inverse.dtype)).to(g.dtype)[None], state
        wide = g.to(state.h.dtype)
        d, h, fresh = self._updated(state, wide)
        vectors = torch.stack([*state.vectors.unbind(1)[:2], d, wide], 1)
        taken = state.taken + fresh.to(state.taken.dtype)
        return d.to(g.dtype), Inverses(h, vectors, torch.zeros_like(fresh), taken)

    def _updated(self, state: Inverses, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return −H⁺g and H⁺ after the update that is due, and in which lanes there was one."""
        s, y, d, before = state.vectors.unbind(1)
        hy, hg = torch.bmm(torch.stack([y, g], 1), state.h).unbind(1)
        left, right = torch.stack([s, y, y, s, d, s, s]), torch.stack([y, y, hy, d, d, before, s])
        sy, yy, yhy, sd, dd, sg, ss = (left * right).sum(-1, keepdim=True).unbind()
        first = torch.where(state.fresh & (state.taken == 0), sy / yy, 1.0)
        hy, yhy = first * hy, first * yhy
        # s = −αHg, so that sᵀH⁻¹s = −α·sᵀg, with α = sᵀd/dᵀd.
        b = torch.where(sd * sd > (1 - PARALLEL) * ss * dd, -sd / dd * sg / (first * sy), torch.nan)
        c = update(self.family, b, sy, yhy, s.shape[-1])
        fresh = state.fresh & c.sound
        weights = torch.where(fresh, torch.cat([c.ss, c.sh, c.sh, c.hh], -1) / c.tau, 0.0)
        pair = torch.where(fresh[..., None], torch.stack([s, hy], 1), 0.0)
        mixed = torch.bmm(weights.view(-1, 2, 2), pair)
        kept = torch.where(fresh, first / c.tau, 1.0)
        h = state.h.mul_(kept[..., None]).baddbmm_(pair.mT, mixed)
        change = torch.bmm((pair @ g[..., None]).mT, mixed)[:, 0]
        return torch.addcmul(change, kept, hg).neg_(), h, fresh
