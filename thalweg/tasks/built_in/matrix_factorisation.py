"""Matrix factorization: a low-rank matrix from some of its entries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.objective import Cost
from thalweg.tasks.data import Data
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.whole import whole_number

_SHAPE = (96, 64)


class Factors(nn.Module):
    """The product U Vᵀ, U (rows, rank) and V (columns, rank), looked up at pairs (row, column).

    For indices (batch, 2) it gives the entries (batch,). Initial factors are normal with standard
    deviation `scale`.
    """

    def __init__(self, rows: int, columns: int, rank: int, scale: float = 0.3) -> None:
        super().__init__()
        self.left = nn.Parameter(scale * torch.randn(rows, rank))
        self.right = nn.Parameter(scale * torch.randn(columns, rank))

    def forward(self, index: Tensor) -> Tensor:
        """Return (U Vᵀ) at each (row, column) of `index`."""
        return (self.left[index[:, 0]] * self.right[index[:, 1]]).sum(1)


@built_in(
    target=Target("loss", 0.01),
    seconds=0.2,
    data_hash="fda7e26beb82f199014f6f4e97cde1451f2eec2622b34edb177c2290a946f0c3",
)
def matrix_factorisation(rank: int = 4) -> Task:
    """Matrix factorization: a 96 × 64 matrix of rank 4 from 60 % of its entries.

    M = U Vᵀ/√rank with normal factors, so entries have a variance of about 1. Each row of the data
    is a pair (i, j) and M's entry there; 10 % of the entries validate, 30 % are never seen. The
    model is U Vᵀ of the same rank, and its loss the mean squared error: not convex, but without bad
    minima. 30 epochs in batches of 128 are 870 steps; Adam at lr = 0.03 is there after some 160.
    Source: R. Ge, J. Lee, T. Ma, Matrix completion has no spurious local minimum, NeurIPS 2016.
    """
    whole_number("rank", rank)
    rng = np.random.Generator(np.random.PCG64(0))
    left, right = (rng.standard_normal((size, rank)) for size in _SHAPE)
    matrix = left @ right.T / np.sqrt(rank)
    order = np.argsort(rng.random(matrix.size), kind="stable")
    index = np.stack(np.divmod(order, _SHAPE[1]), axis=1)
    entries = matrix[index[:, 0], index[:, 1]].astype("float32")
    first, last = 6 * matrix.size // 10, 7 * matrix.size // 10
    data = Data.arrays(
        index[:first],
        entries[:first],
        validation=(index[first:last], entries[first:last]),
    )
    return Task(
        data=data,
        cost=Cost("mse"),
        model=lambda: Factors(*_SHAPE, rank),
        description=f"A matrix of rank {rank} from 60 % of its entries",
    )
