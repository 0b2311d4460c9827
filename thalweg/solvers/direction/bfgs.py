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
    """H of several runs, [lanes, n, n], their last gradients and directions, and their last pairs."""

    h: Tensor
    g: Tensor
    d: Tensor
    s: Tensor
    y: Tensor
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
        return Inverses(
            h=torch.eye(n, **wide).repeat(lanes, 1, 1),
            g=g,
            d=-g,
            s=torch.zeros_like(g),
            y=torch.zeros_like(g),
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
        s, y = step.to(state.d.dtype), dg.to(state.d.dtype)
        enough = torch.finfo(s.dtype).eps * dot(s, s).sqrt() * dot(y, y).sqrt()
        return state._replace(s=s, y=y, fresh=dot(s, y) > enough)

    def propose(
        self, state: OneInverse | Inverses, g: Tensor, model: Model
    ) -> tuple[Tensor, OneInverse | Inverses]:
        """Return the direction, and the state."""
        if isinstance(state, OneInverse):
            return state.inverse.direction(g[0].to(state.inverse.dtype)).to(g.dtype)[None], state
        wide = g.to(state.d.dtype)
        state = self._updated(state)
        d = -torch.bmm(state.h, wide[..., None])[..., 0]
        return d.to(g.dtype), state._replace(d=d, g=wide)

    def _updated(self, state: Inverses) -> Inverses:
        """Return the state after the update that is due."""
        s, y, d = state.s, state.y, state.d
        sy, yy = dot(s, y), dot(y, y)
        first = torch.where(state.fresh & (state.taken == 0), sy / yy, 1.0)
        hy = first * torch.bmm(state.h, y[..., None])[..., 0]
        yhy = dot(y, hy)
        # s = −αHg, so that sᵀH⁻¹s = −α·sᵀg, with α = sᵀd/dᵀd.
        sd, dd = dot(s, d), dot(d, d)
        b = -sd / dd * dot(s, state.g) / first / sy
        b = torch.where(sd.square() > (1 - PARALLEL) * dot(s, s) * dd, b, torch.nan)
        c = update(self.family, b, sy, yhy, s.shape[-1])
        fresh = state.fresh & c.sound
        over = torch.where(fresh, 1 / c.tau, 0.0)
        left = torch.stack([s, hy], -1)
        mixed = torch.stack([c.ss * s + c.sh * hy, c.sh * s + c.hh * hy], 1) * over[..., None]
        mixed = torch.where(fresh[..., None], mixed, 0.0)
        kept = torch.where(fresh, first / c.tau, 1.0)[..., None]
        h = torch.baddbmm(state.h * kept, torch.where(fresh[..., None], left, 0.0), mixed)
        return state._replace(
            h=h, fresh=torch.zeros_like(fresh), taken=state.taken + fresh.to(state.taken.dtype)
        )
