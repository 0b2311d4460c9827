"""Sums that make the factors of a layer's block, from its inputs and the gradients of its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.curvature.kronecker.blocks import KroneckerPair, Spectral, Whole, eigen_of
from thalweg.curvature.kronecker.layers import KroneckerLayer, NormLayer
from thalweg.curvature.kronecker.watch import weights_of_places
from thalweg.errors import TaskError

Sharing = Literal["expand", "reduce"]
"""How positions are taken together; see `PairSum`."""
_CHUNK = 1 << 22
"""The most numbers of the rows' gradients that are held at once."""


@dataclass
class PairSum:
    """A = Σ c·a·aᵀ / Σ c and B = Σ g·gᵀ of a layer, c what a place counts, g with √c in it.

    With "expand" each position is a term of its own: a and g are its inputs and gradients. With "reduce" a
    is the mean over a row's positions and g the sum: exact where the model takes the mean over positions.
    An embedding is expanded always. A bias is one more input, 1; the block of a bias alone has no other.

    Source: Eschenhagen, Immer, Turner, Schneider and Hennig, Kronecker-Factored Approximate Curvature for
    Modern Neural Network Architectures, 2023.
    """

    layer: KroneckerLayer
    has_weight: bool
    has_bias: bool
    sharing: Sharing
    a: Tensor | None = None
    b: Tensor | None = None
    total: float = 0.0

    def add_inputs(self, a: Tensor, mass: Tensor, share: float) -> None:
        """Take the inputs of a batch whose places count `mass`, the batch `share`."""
        with torch.no_grad():
            if self.layer.is_lookup:
                c = weights_of_places(mass, a.shape[1]) * self.layer.counted(a).to(mass)
                flat = c.new_zeros(self.layer.width)
                found = flat.index_add(0, a.reshape(-1), c.reshape(-1))
            else:
                rows, c = self._joined(a, mass)
                found = (rows * c[:, None]).mT @ rows
            self.total += share * float(c.sum())
            self.a = _plus(self.a, share * found)

    def add_gradients(self, a: Tensor, g: Tensor, share: float) -> None:
        """Take the gradients that one score has sent."""
        with torch.no_grad():
            g = g.sum(1, keepdim=True) if self._reduces else g
            flat = g.reshape(-1, g.shape[-1])
            self.b = _plus(self.b, share * (flat.mT @ flat))

    def block(self, weight: Tensor, whole: float) -> KroneckerPair:
        """Return the block of a loss whose batches weigh `whole` together; 0 where nothing passed."""
        width = (self.layer.width if self.has_weight else 0) + self.has_bias
        a, b = self.a, self.b
        out = weight.shape[-1] if self.layer.is_lookup else len(weight)
        if a is None or not self.total:
            a = weight.new_zeros(width) if self.layer.is_lookup else weight.new_zeros(width, width)
        else:
            a = a / self.total
        return KroneckerPair(a, weight.new_zeros(out, out) if b is None else b / whole)

    @property
    def _reduces(self) -> bool:
        return self.sharing == "reduce" and not self.layer.is_lookup

    def _joined(self, a: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
        """Return the terms' inputs, with the bias's, as rows, and what each counts."""
        c = weights_of_places(mass, a.shape[1])
        if self._reduces:
            a, c = a.mean(1, keepdim=True), c.sum(1, keepdim=True)
        return self.with_one(a).flatten(0, 1), c.reshape(-1)

    def with_one(self, a: Tensor) -> Tensor:
        """Return inputs of the weight, of the bias, or of both."""
        one = a.new_ones(*a.shape[:2], 1)
        if not self.has_weight:
            return one
        return torch.cat([a, one], -1) if self.has_bias else a


@dataclass
class SpectrumSum:
    """Λ = Σ (Q_Bᵀ·G·Q_A)∘² over rows' gradients G = Σ_s g_s·a_sᵀ, in the basis of a K-FAC block.

    It is the diagonal of the Fisher information in that basis, and so the nearest of all with that basis.

    Source: George, Laurent, Bouthillier, Ballas and Vincent, Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018.
    """

    pair: PairSum
    q_a: Tensor | None
    q_b: Tensor
    values: Tensor

    @classmethod
    def of(cls, pair: PairSum, block: KroneckerPair) -> SpectrumSum:
        """Return an empty sum in the basis of a block."""
        (_, q_a), (_, q_b) = eigen_of(block.a), eigen_of(block.b)
        assert q_b is not None
        return cls(pair, q_a, q_b, block.b.new_zeros(len(block.b), len(block.a)))

    def add_inputs(self, a: Tensor, mass: Tensor, share: float) -> None:
        """Take nothing: the gradients' rows have all."""

    def add_gradients(self, a: Tensor, g: Tensor, share: float) -> None:
        """Take the gradients that one score has sent."""
        layer = self.pair.layer
        with torch.no_grad():
            inputs = (
                functional.one_hot(a, layer.width).to(g)
                if layer.is_lookup
                else self.pair.with_one(a)
            )
            left = g @ self.q_b
            right = inputs if self.q_a is None else inputs @ self.q_a
            if left.shape[1] == 1:
                self.values += share * (left[:, 0].square().mT @ right[:, 0].square())
                return
            most = max(1, _CHUNK // self.values.numel())
            for some, other in zip(
                torch.functional.split(left, most), torch.functional.split(right, most), strict=True
            ):
                self.values += share * (some.mT @ other).square().sum(0)

    def block(self, weight: Tensor, whole: float) -> Spectral:
        """Return the block."""
        return Spectral(self.q_a, self.q_b, self.values / whole)


@dataclass
class NormSum:
    """The block of scale and shift, exactly: Σ v·vᵀ, v = (Σ_s g_s∘x̂_s, Σ_s g_s) of each row."""

    layer: NormLayer
    has_weight: bool
    has_bias: bool
    matrix: Tensor | None = None

    def add_inputs(self, a: Tensor, mass: Tensor, share: float) -> None:
        """Take nothing: the gradients' rows have all."""

    def add_gradients(self, a: Tensor, g: Tensor, share: float) -> None:
        """Take the gradients that one score has sent."""
        with torch.no_grad():
            parts = [(g * a).sum(1)] if self.has_weight else []
            rows = torch.cat([*parts, g.sum(1)] if self.has_bias else parts, -1)
            self.matrix = _plus(self.matrix, share * (rows.mT @ rows))

    def block(self, weight: Tensor, whole: float) -> Whole:
        """Return the block."""
        if self.matrix is None:
            n = weight.numel() * (self.has_weight + self.has_bias)
            return Whole(weight.new_zeros(n, n))
        return Whole(self.matrix / whole)


BlockSum = PairSum | SpectrumSum | NormSum


def check_sharing(sharing: object) -> None:
    """Raise TaskError where `sharing` is no way of taking positions together."""
    if sharing not in ("expand", "reduce"):
        raise TaskError(f"sharing must be 'expand' or 'reduce'; got {sharing!r}.")


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
