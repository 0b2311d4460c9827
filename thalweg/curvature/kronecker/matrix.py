"""A matrix of blocks, one a layer, that is multiplied with and inverted directly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real

import torch
from torch import Tensor

from thalweg.curvature.kronecker.blocks import LayerBlock, Whole
from thalweg.curvature.krylov import Solution
from thalweg.curvature.layout import VectorLayout
from thalweg.curvature.operator import Operator
from thalweg.errors import TaskError
from thalweg.numeric import plural


class KroneckerMatrix(Operator):
    """A block-diagonal matrix of a model's layers: A ⊗ B each, or in its eigenbasis; see `kfac`, `ekfac`.

    `damped(λ)` and `inverse(λ)` are matrices of the same kind, `solve` is direct. `names` says which
    parameters each block is of, `method` how the blocks were made. The matrix is that of the model as it
    was: it does not follow later steps.
    """

    def __init__(
        self,
        layout: VectorLayout,
        blocks: Sequence[tuple[tuple[str, ...], Tensor, LayerBlock]],
        method: str,
        gradients: float = 0.0,
    ) -> None:
        super().__init__(layout.n, layout.dtype, layout.device)
        self.layout, self.method = layout, method
        self._blocks, self._gradients = tuple(blocks), gradients

    @property
    def gradients(self) -> float:
        """What the factors took, in gradients of the loss over the data; products take none."""
        return self._gradients

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """The places in the vector of each layer, the module that holds the parameters, by its path."""
        return self.layout.layers

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The parameters of each block."""
        return tuple(names for names, _, _ in self._blocks)

    @property
    def blocks(self) -> tuple[LayerBlock, ...]:
        """The blocks, with their factors."""
        return tuple(block for _, _, block in self._blocks)

    def __repr__(self) -> str:
        n = self.shape[0]
        return (
            f"{type(self).__name__}({n} × {n}, {plural(len(self._blocks), 'block')}, {self.method})"
        )

    def damped(self, damping: float, *, factored: bool = True) -> KroneckerMatrix:
        """Return the matrix with `damping` λ ≥ 0 added.

        `factored` adds π√λ·I to A and √λ/π·I to B, π² = (tr A/dim A)/(tr B/dim B), which stays a Kronecker
        product; otherwise λI is added exactly, as it always is in an eigenbasis and to norms.

        Raises:
            TaskError: for a negative damping.
        """
        amount = _damping(damping)
        if amount == 0:
            return self
        return self._with(lambda block: block.damped(amount, factored), f"damped by {amount:g}")

    def inverse(self, damping: float = 0.0, *, factored: bool = True) -> KroneckerMatrix:
        """Return the inverse of the matrix, or of `damped(damping)`.

        Raises:
            TaskError: where it is singular.
            EngineError: where a factor is not finite.
        """
        damped = self.damped(damping, factored=factored)
        return damped._with(lambda block: block.inverse(), "inverted")

    def solve(self, b: Tensor, *, tol: float = 1e-6, most: int | None = None) -> Solution:
        """Return x = A⁻¹·b, directly: no iterations are needed. `tol` says which residual is small."""
        del most
        x = self.inverse() @ b
        residual = float(torch.linalg.vector_norm(b - self @ x))
        small = residual <= tol * float(torch.linalg.vector_norm(b))
        return Solution(x, residual, 0, "tolerance" if small else "iterations")

    def _with(self, change: Callable[[LayerBlock], LayerBlock], how: str) -> KroneckerMatrix:
        changed = [(names, places, change(block)) for names, places, block in self._blocks]
        return KroneckerMatrix(self.layout, changed, f"{self.method}, {how}", self._gradients)

    def _times(self, vectors: Tensor) -> Tensor:
        found = torch.zeros_like(vectors)
        for _, places, block in self._blocks:
            m = vectors[places.reshape(-1)].mT.reshape(-1, *places.shape)
            if isinstance(block, Whole):
                m = m.reshape(len(m), -1)
            found[places.reshape(-1)] = block.times(m).reshape(len(m), -1).mT
        return found


def _damping(damping: object) -> float:
    if isinstance(damping, bool) or not isinstance(damping, Real):
        raise TypeError(f"damping must be a number; got {damping!r}.")
    if not 0 <= float(damping) < math.inf:
        raise TaskError(f"damping must be finite and not negative; got {damping!r}.")
    return float(damping)
