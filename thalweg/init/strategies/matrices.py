"""What is drawn: matrices of units × inputs with the scale 1, in float64 on the CPU.

Each is drawn from a generator of its own, so that a layer gets the same numbers on every device, in every
type and whatever other layers there are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FLOAT = torch.float64


def normal(units: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Return a matrix of N(0, 1)."""
    return torch.randn(units, inputs, generator=generator, dtype=FLOAT)


def uniform(units: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Return a matrix of U(−√3, √3), whose variance is 1."""
    drawn = torch.rand(units, inputs, generator=generator, dtype=FLOAT)
    return math.sqrt(3) * (2 * drawn - 1)


def truncated(units: int, inputs: int, generator: torch.Generator, cut: float = 2.0) -> Tensor:
    """Return a matrix of normals that are cut off at ±cut standard deviations, then scaled to variance 1.

    Cut off at 2 the variance is .774; `torch.nn.init.trunc_normal_` leaves it there.
    """
    inside = math.erf(cut / math.sqrt(2))
    drawn = torch.rand(units, inputs, generator=generator, dtype=FLOAT)
    values = math.sqrt(2) * torch.erfinv(inside * (2 * drawn - 1))
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    scaled: Tensor = values.clamp(-cut, cut) / math.sqrt(1 - 2 * cut * density / inside)
    return scaled


def orthogonal(units: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Return a matrix with orthonormal rows, or columns where it has more rows: uniform among them
    (Haar), by QR with the signs of R's diagonal.
    """
    tall = torch.randn(max(units, inputs), min(units, inputs), generator=generator, dtype=FLOAT)
    q, r = torch.linalg.qr(tall)
    signed: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return signed if units >= inputs else signed.T.contiguous()


def gram_schmidt(units: int, inputs: int, generator: torch.Generator) -> Tensor:
    """Return rows, or columns where there are more rows, made orthonormal one after the other.

    Each is made orthogonal to those before it twice, which is enough for rounding errors
    (Giraud 2005).
    """
    rows = torch.randn(min(units, inputs), max(units, inputs), generator=generator, dtype=FLOAT)
    for place in range(len(rows)):
        row = rows[place]
        for _ in range(2):
            row = row - rows[:place].T @ (rows[:place] @ row)
        rows[place] = row / row.norm()
    return rows if units <= inputs else rows.T.contiguous()


def sparse(units: int, inputs: int, generator: torch.Generator, nonzeros: int) -> Tensor:
    """Return a matrix with exactly so many N(0, 1) in each row, and 0 elsewhere."""
    places = torch.rand(units, inputs, generator=generator, dtype=FLOAT).argsort(dim=1)
    kept = places[:, :nonzeros]
    values = torch.randn(units, kept.shape[1], generator=generator, dtype=FLOAT)
    return torch.zeros(units, inputs, dtype=FLOAT).scatter_(1, kept, values)
