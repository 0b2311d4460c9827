"""L-BFGS in its compact form: the inverse Hessian as a matrix of low rank, four passes over the history."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot, times, transposed_times

_FIRST_ROWS = 8
"""Rows that a history begins with; they are doubled when they are full."""


class History(NamedTuple):
    """The last pairs (s, y), in rows that are overwritten in turn, and their products in order of time.

    With one lane: s and y [rows, n]; sy[i, j] = sᵢᵀyⱼ and yy [rows, rows], the newest last, in
    float64; sg and yg [rows], the products with the last gradient, by row.
    """

    s: Tensor
    y: Tensor
    sy: Tensor
    yy: Tensor
    sg: Tensor
    yg: Tensor
    count: Tensor  # of the pairs that were taken
    fresh: Tensor  # whether the products with the newest pair are still to be found
    newest: Tensor  # sᵀy and yᵀy of the newest pair


class LBFGS:
    """d = −H·g, where H is BFGS's inverse Hessian made of γI and the last `history` pairs.

    H = γI + [S γY] [R⁻ᵀ(D + γYᵀY)R⁻¹, −R⁻ᵀ; −R⁻¹, 0] [S γY]ᵀ with R the upper triangle of SᵀY, D its
    diagonal, γ = sᵀy/yᵀy of the newest pair. A pair without sᵀy > 0 is left out. The products with a new
    pair are differences of those with the gradients, so that a step reads the history four times; two
    loops over the pairs read it ten times.

    Source: Byrd, Nocedal and Schnabel (1994), Representations of quasi-Newton matrices.
    """

    def natural(self, steps: int) -> bool:
        return steps > 0

    def __init__(self, history: int = 10) -> None:
        self.history = history

    def init(self, x: Tensor, g: Tensor) -> History:
        lanes, n = g.shape
        rows = min(self.history, _FIRST_ROWS) if lanes == 1 else self.history
        wide = {"dtype": torch.promote_types(g.dtype, torch.float32), "device": g.device}
        exact = {"dtype": torch.float64, "device": g.device}
        return History(
            s=torch.zeros(lanes, rows, n, **wide),
            y=torch.zeros(lanes, rows, n, **wide),
            sy=torch.eye(rows, **exact).repeat(lanes, 1, 1),
            yy=torch.zeros(lanes, rows, rows, **exact),
            sg=torch.zeros(lanes, rows, **exact),
            yg=torch.zeros(lanes, rows, **exact),
            count=torch.zeros(lanes, 1, dtype=torch.long, device=g.device),
            fresh=torch.zeros(lanes, 1, dtype=torch.bool, device=g.device),
            newest=torch.ones(lanes, 2, **exact),
        )

    def propose(self, state: History, g: Tensor, model: Model) -> tuple[Tensor, History]:
        if bool(state.fresh.any()) is False and int(state.count.max()) == 0:
            return -g, state
        state, by_age = _with_products(state, g.to(state.s.dtype))
        rows = state.sy.shape[-1]
        gamma = state.newest[:, :1] / state.newest[:, 1:]
        upper = state.sy.triu()
        u = _solve(upper, state.sg.gather(1, by_age))
        inner = times(state.yy * gamma[..., None], u) + state.sy.diagonal(dim1=1, dim2=2) * u
        v = _solve(upper, inner - gamma * state.yg.gather(1, by_age), transposed=True)
        blank = torch.zeros(len(g), rows, dtype=torch.float64, device=g.device)
        of_s = blank.scatter(1, by_age, v).to(state.s.dtype)
        of_y = blank.scatter(1, by_age, gamma * u).to(state.s.dtype)
        d = transposed_times(state.y, of_y) - transposed_times(state.s, of_s)
        return d.to(g.dtype).sub_(gamma.to(g.dtype) * g), state

    def update(self, state: History, step: Tensor, dg: Tensor) -> History:
        step, dg = step.to(state.s.dtype), dg.to(state.s.dtype)
        sy, yy = dot(step, dg).double(), dot(dg, dg).double()
        # A pair whose curvature is within its rounding says nothing.
        good = sy > torch.finfo(step.dtype).eps * (dot(step, step).double() * yy).sqrt()
        state = _with_room(state, self.history)
        rows = state.s.shape[1]
        row = (state.count % rows)[:, 0]
        lanes = torch.arange(len(row), device=row.device)
        s, y = state.s, state.y
        s[lanes, row] = torch.where(good, step, s[lanes, row])
        y[lanes, row] = torch.where(good, dg, y[lanes, row])
        newest = torch.where(good, torch.cat([sy, yy], -1), state.newest)
        return state._replace(count=state.count + good, fresh=good, newest=newest)


def _with_products(state: History, g: Tensor) -> tuple[History, Tensor]:
    """Return the state with the products for the gradient `g`, and the rows from the oldest to the newest."""
    rows = state.s.shape[1]
    by_age = (state.count + torch.arange(rows, device=g.device)) % rows
    sg, yg = times(state.s, g).double(), times(state.y, g).double()
    s_new, y_new = (sg - state.sg).gather(1, by_age), (yg - state.yg).gather(1, by_age)
    s_new[:, -1], y_new[:, -1] = state.newest[:, 0], state.newest[:, 1]
    sy, yy = state.sy.roll((-1, -1), (1, 2)), state.yy.roll((-1, -1), (1, 2))
    sy[:, :, -1] = s_new
    yy[:, :, -1] = yy[:, -1, :] = y_new
    fresh = state.fresh[..., None]
    sy, yy = torch.where(fresh, sy, state.sy), torch.where(fresh, yy, state.yy)
    known = state._replace(sg=sg, yg=yg, sy=sy, yy=yy, fresh=torch.zeros_like(state.fresh))
    return known, by_age


def _with_room(state: History, most: int) -> History:
    """Return a state with twice as many rows where they are full, `most` at the most."""
    lanes, rows, n = state.s.shape
    if rows >= most or int(state.count.max()) < rows:
        return state
    more = min(2 * rows, most) - rows
    blank = torch.zeros(lanes, more, n, dtype=state.s.dtype, device=state.s.device)
    padding = (more, 0, more, 0)  # small matrices are ordered by age: the new rows are the oldest
    sy = torch.nn.functional.pad(state.sy, padding)
    sy[:, range(more), range(more)] = 1.0
    return state._replace(
        s=torch.cat([state.s, blank], 1),
        y=torch.cat([state.y, blank], 1),
        sy=sy,
        yy=torch.nn.functional.pad(state.yy, padding),
        sg=torch.nn.functional.pad(state.sg, (0, more)),
        yg=torch.nn.functional.pad(state.yg, (0, more)),
    )


def _solve(upper: Tensor, right: Tensor, transposed: bool = False) -> Tensor:
    """Return R⁻¹·b of each lane, or R⁻ᵀ·b."""
    matrices = upper.mT if transposed else upper
    return torch.linalg.solve_triangular(matrices, right[..., None], upper=not transposed)[..., 0]
