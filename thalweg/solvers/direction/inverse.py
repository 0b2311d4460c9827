"""The inverse Hessian of one run as a full symmetric matrix, updated by a formula of Broyden's family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.direction.broyden import Family, update
from thalweg.solvers.lanes import cosine, norm

Weights = tuple[tuple[float, float], tuple[float, float]]

_LARGE = 256
"""Rows from which on a matrix is large: it is kept in panels, and its updates are delayed."""
_DELAYED = 16
"""Updates of a large matrix that are kept as vectors and then added at once, by one product of matrices."""
_PANEL = 256
"""Rows of a panel."""
PARALLEL = 1e-6
"""1 − cos² of the angle between a step and the direction up to which they are parallel."""


KEPT = ("base", "scale", "u", "w", "used", "taken", "g", "d")
"""What of an inverse is kept between runs, beside the pair that is still to be taken."""


class Inverse:
    """H = scale · (base + UᵀWU) of one run, and −H·g; changed in place.

    Of the symmetric base only panels are used: rows a to b, columns from a on. A product with a vector uses
    each panel twice while it is in the cache, and so reads half of the matrix.

    One product is all that an update and a direction need, since Hy = Hg⁺ + d where y = g⁺ − g.
    """

    def __init__(self, like: Tensor, family: Family) -> None:
        self.family = family
        self.dtype = torch.promote_types(like.dtype, torch.float32)
        n = like.numel()
        self.base = torch.eye(n, dtype=self.dtype, device=like.device)
        slots = _DELAYED if n >= _LARGE else 1
        self.scale = 1.0
        self.u = self.base.new_zeros(2 * slots, n)
        self.w = self.base.new_zeros(2 * slots, 2 * slots)
        self.used = 0  # rows of U
        self.taken = 0  # pairs
        self.g: Tensor | None = None
        self.d: Tensor | None = None
        self.pair: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any], family: Family) -> Inverse:
        """Return what `kept` was made of; its tensors are used, not copied."""
        inverse = cls(kept["u"][0, :0], family)
        for name in KEPT:
            setattr(inverse, name, kept[name])
        inverse.dtype = inverse.base.dtype
        inverse.pair = None if kept["s"] is None else (kept["s"], kept["y"])
        return inverse

    def kept(self) -> dict[str, Any]:
        """Return tensors and numbers from which `of` goes on; they are changed in place when this does."""
        s, y = self.pair or (None, None)
        return {name: getattr(self, name) for name in KEPT} | {"s": s, "y": y}

    @property
    def panels(self) -> list[tuple[int, Tensor]]:
        """Where each panel begins, and the panel."""
        n = len(self.base)
        size = _PANEL if n >= _LARGE else max(n, 1)
        return [(a, self.base[a : a + size, a:]) for a in range(0, n, size)]

    def add(self, s: Tensor, y: Tensor) -> None:
        """Take a pair, with which H is updated when the next direction is asked for."""
        self.pair = s, y

    def now(self, g: Tensor | None) -> None:
        """Let the pair that is due end at another gradient, or leave it out: the objective is another one."""
        if self.pair is not None and self.g is not None:
            self.pair = None if g is None else (self.pair[0], g - self.g)

    def direction(self, g: Tensor) -> Tensor:
        """Return −H·g, after the update that is due."""
        hg = self.times(g)
        if self.pair is not None:
            hg = self._update(*self.pair, g, hg)
            self.pair = None
        self.g, self.d = g, -hg
        return self.d

    def times(self, vector: Tensor) -> Tensor:
        """Return H·v."""
        out = torch.zeros_like(vector)
        for a, panel in self.panels:
            b = a + len(panel)
            out[a:b].addmv_(panel, vector[a:])
            if b < len(vector):
                out[b:].addmv_(panel[:, b - a :].mT, vector[a:b])
        if self.used:
            u = self.u[: self.used]
            inner = torch.mv(self.w[: self.used, : self.used], torch.mv(u, vector))
            out.addmv_(u.mT, inner)
        return out if self.scale == 1.0 else out.mul_(self.scale)

    def dense(self) -> Tensor:
        """Return H as a whole."""
        whole: Tensor = self.scale * (symmetric(self.base) + self.u.mT @ (self.w @ self.u))
        return whole

    def _update(self, s: Tensor, y: Tensor, g: Tensor, hg: Tensor) -> Tensor:
        """Update H by a pair unless its curvature is within rounding, and return H⁺·g from H·g."""
        before, d = self.g, self.d
        if before is None or d is None:
            return hg
        differs = torch.equal(g - before, y)  # not so at bounds
        hy = hg + d if differs else self.times(y)
        sy, yy, yhy, by_s, by_h, sg, ss, dd, sd, hh = _dots(
            (s, y), (y, y), (y, hy), (s, g), (hy, g), (s, before), (s, s), (d, d), (s, d), (hy, hy)
        )
        if self._are_exact(ss, dd, hh):
            size, length, width = map(math.sqrt, (ss, dd, hh))
            turn = sd / size / length
        else:
            size, length, width, turn = torch.stack(
                [norm(s), norm(d), norm(hy), cosine(s, d)]
            ).tolist()
        if not sy > torch.finfo(self.dtype).eps * size * math.sqrt(yy):
            return hg
        first = sy / yy if self.taken == 0 else 1.0
        yhy *= first
        # s = −αHg, so that sᵀH⁻¹s = −α·sᵀg, with α = sᵀd/dᵀd.
        is_parallel = turn * turn > 1 - PARALLEL
        b = -turn * size / length * sg / first / sy if is_parallel else math.nan
        at = torch.tensor([[b], [sy], [yhy]], dtype=torch.float64)
        numbers = update(self.family, at[0], at[1], at[2], len(s))
        of_ss, of_sh, of_hh, tau, sound = torch.cat(numbers).tolist()
        if not sound:
            return hg
        of_sh, of_hh = (
            of_sh * first,
            of_hh * first**2,
        )  # of the vectors before H is scaled by `first`
        self.taken += 1
        self.scale *= first
        self._append((s, hy), (size, width), ((of_ss, of_sh), (of_sh, of_hh)))
        self.scale /= tau
        along_s, along_h = of_ss * by_s + of_sh * by_h, of_sh * by_s + of_hh * by_h
        return hg.mul_(first / tau).add_(s, alpha=along_s / tau).add_(hy, alpha=along_h / tau)

    def _are_exact(self, *squares: float) -> bool:
        """Return whether squares of lengths keep all digits that the dtype has."""
        kind = torch.finfo(self.dtype)
        return all(kind.tiny / kind.eps < square < kind.max for square in squares)

    def _append(
        self, pair: tuple[Tensor, Tensor], lengths: tuple[float, float], weights: Weights
    ) -> None:
        """Add a pair of vectors to U and W, and these to the base when they are full.

        They are added in units of their own lengths, whose squares the weights then hold.
        """
        at, self.used = self.used, self.used + 2
        units = [math.ldexp(1.0, math.frexp(length)[1]) for length in lengths]
        for row, vector, unit in zip(self.u[at:], pair, units, strict=False):
            torch.div(vector, unit, out=row)
        exact = [
            [weight * a * b / self.scale for weight, b in zip(row, units, strict=True)]
            for row, a in zip(weights, units, strict=True)
        ]
        self.w[at : self.used, at : self.used] = torch.tensor(exact, dtype=self.dtype)
        if self.used < len(self.u):
            return
        wu = self.w @ self.u
        for a, panel in self.panels:
            panel.addmm_(self.u[:, a : a + len(panel)].mT, wu[:, a:])
        self.w.zero_()
        self.used = 0


def symmetric(base: Tensor) -> Tensor:
    """Return the matrix whose upper triangle is that of `base`."""
    return base.triu() + base.triu(1).mT


def _dots(*pairs: tuple[Tensor, Tensor]) -> list[float]:
    numbers: list[float] = torch.stack([torch.dot(a, b) for a, b in pairs]).double().tolist()
    return numbers
