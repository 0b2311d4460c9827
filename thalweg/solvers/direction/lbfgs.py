"""L-BFGS in its compact form: the inverse Hessian as a matrix of low rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.direction.pairs import Pairs
from thalweg.solvers.lanes import dot, norm, times, transposed_times


class OneHistory(NamedTuple):
    """The history of a single run, which is changed in place."""

    pairs: Pairs


class Histories(NamedTuple):
    """The last pairs (s, y) of several runs, in rows that are overwritten in turn, and their products by age.

    s and y are [lanes, rows, n]; sy[i, j] = sᵢᵀyⱼ and yy [lanes, rows, rows], the newest last, in float64.
    """

    s: Tensor
    y: Tensor
    sy: Tensor
    yy: Tensor
    taken: Tensor  # how many pairs
    newest: Tensor  # sᵀy and yᵀy of the newest pair


class LBFGSDirection:
    """d = −H·g, where H is BFGS's inverse Hessian made of γI and the last `history` pairs; see `Pairs`."""

    learns = True

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return steps > 0

    def __init__(self, history: int = 10) -> None:
        self.history = history

    def init(self, x: Tensor, g: Tensor) -> OneHistory | Histories:
        """Return the state before the first step."""
        lanes, n = g.shape
        if lanes == 1:
            return OneHistory(Pairs(g[0], self.history))
        rows = self.history
        wide: dict[str, Any] = {
            "dtype": torch.promote_types(g.dtype, torch.float32),
            "device": g.device,
        }
        exact: dict[str, Any] = {"dtype": torch.float64, "device": g.device}
        return Histories(
            s=torch.zeros(lanes, rows, n, **wide),
            y=torch.zeros(lanes, rows, n, **wide),
            sy=torch.eye(rows, **exact).repeat(lanes, 1, 1),
            yy=torch.zeros(lanes, rows, rows, **exact),
            taken=torch.zeros(lanes, 1, dtype=torch.long, device=g.device),
            newest=torch.ones(lanes, 2, **exact),
        )

    def propose(
        self, state: OneHistory | Histories, g: Tensor, model: Model
    ) -> tuple[Tensor, OneHistory | Histories]:
        """Return the direction, and the state."""
        if isinstance(state, OneHistory):
            wide = g[0].to(state.pairs.dtype)
            return state.pairs.direction(wide).to(g.dtype)[None], state
        return _direction(state, g), state

    def update(
        self, state: OneHistory | Histories, step: Tensor, dg: Tensor
    ) -> OneHistory | Histories:
        """Return the state after a step."""
        if isinstance(state, OneHistory):
            state.pairs.add(step[0].to(state.pairs.dtype), dg[0].to(state.pairs.dtype))
            return state
        return _with_pair(state, step.to(state.s.dtype), dg.to(state.s.dtype))


def _direction(state: Histories, g: Tensor) -> Tensor:
    rows = state.sy.shape[-1]
    by_age = (state.taken + torch.arange(rows, device=g.device)) % rows
    wide = g.to(state.s.dtype)
    sg = times(state.s, wide).double().gather(1, by_age)
    yg = times(state.y, wide).double().gather(1, by_age)
    gamma = state.newest[:, :1] / state.newest[:, 1:]
    upper = state.sy.triu()
    u = _solve(upper, sg)
    inner = times(state.yy * gamma[..., None], u) + state.sy.diagonal(dim1=1, dim2=2) * u
    v = _solve(upper, inner - gamma * yg, transposed=True)
    blank = torch.zeros(len(g), rows, dtype=torch.float64, device=g.device)
    of_s = blank.scatter(1, by_age, v).to(state.s.dtype)
    of_y = blank.scatter(1, by_age, gamma * u).to(state.s.dtype)
    d = transposed_times(state.y, of_y) - transposed_times(state.s, of_s)
    return d.sub_(gamma.to(d.dtype) * wide).to(g.dtype)


def _with_pair(state: Histories, step: Tensor, dg: Tensor) -> Histories:
    """Return the state with one more pair in the lanes where its curvature is beyond its rounding."""
    sy, yy = dot(step, dg).double(), dot(dg, dg).double()
    kind = torch.finfo(step.dtype)
    good = (yy > kind.tiny) & (sy > kind.eps * norm(step)[:, None].double() * yy.sqrt())
    rows = state.s.shape[1]
    row = (state.taken % rows)[:, 0]
    lanes = torch.arange(len(row), device=row.device)
    state.s[lanes, row] = torch.where(good, step, state.s[lanes, row])
    state.y[lanes, row] = torch.where(good, dg, state.y[lanes, row])
    count = state.taken + good
    by_age = (count + torch.arange(rows, device=row.device)) % rows
    s_new = times(state.s, dg).double().gather(1, by_age)
    y_new = times(state.y, dg).double().gather(1, by_age)
    s_new[:, -1], y_new[:, -1] = sy[:, 0], yy[:, 0]
    new_sy, new_yy = state.sy.roll((-1, -1), (1, 2)), state.yy.roll((-1, -1), (1, 2))
    new_sy[:, :, -1] = s_new
    new_yy[:, :, -1] = new_yy[:, -1, :] = y_new
    return state._replace(
        sy=torch.where(good[..., None], new_sy, state.sy),
        yy=torch.where(good[..., None], new_yy, state.yy),
        taken=count,
        newest=torch.where(good, torch.cat([sy, yy], -1), state.newest),
    )


def _solve(upper: Tensor, right: Tensor, transposed: bool = False) -> Tensor:
    """Return R⁻¹·b of each lane, or R⁻ᵀ·b."""
    matrices = upper.mT if transposed else upper
    solved: Tensor = torch.linalg.solve_triangular(matrices, right[..., None], upper=not transposed)
    return solved[..., 0]
