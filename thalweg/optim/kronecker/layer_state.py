"""What K-FAC keeps of a layer: the averages of its factors, and their inverses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from thalweg.curvature.kronecker.blocks import (
    KroneckerPair,
    LayerBlock,
    Whole,
    inverses_of,
    shifted,
    tikhonov,
)

State = dict[str, Any]


def learn(state: State, block: LayerBlock, averaging: float) -> None:
    """Average the factors of a new batch into a layer's state.

        F̄ ← β·F̄ + (1 − β)·F,   used as F̄ / (1 − βᵏ) after k batches

    So the first batch counts wholly: without the division its factors would be too small by 1 − β.
    """
    assert isinstance(block, (KroneckerPair, Whole))
    for name, new in _factors(block).items():
        old = state.get(name)
        now = (1 - averaging) * new if old is None else old.lerp(new, 1 - averaging)
        state[name] = now.contiguous()
    state["refreshes"] = state.get("refreshes", 0) + 1


def block_of(state: State, averaging: float) -> KroneckerPair | Whole:
    """Return the average of a layer's blocks, its bias corrected."""
    share = 1 - averaging ** state["refreshes"]
    if "factor" in state:
        return Whole(state["factor"] / share)
    return KroneckerPair(state["factor_a"] / share, state["factor_b"] / share)


def invert(
    states: Sequence[State], averaging: float, dampings: Sequence[float], factored: bool
) -> None:
    """Put into each state the inverses of its damped factors, those of one size computed together.

    Raises:
        EngineError: where a factor is not finite.
        TaskError: where one is singular.
    """
    wanted: list[tuple[State, str, Tensor]] = []
    for state, damping in zip(states, dampings, strict=True):
        block = block_of(state, averaging)
        if isinstance(block, Whole):
            wanted.append((state, "inverse", shifted(block.matrix, damping)))
        elif factored:
            a, b = tikhonov(block.a, block.b, damping)
            wanted.append((state, "inverse_a", shifted(block.a, a)))
            wanted.append((state, "inverse_b", shifted(block.b, b)))
        else:
            spectral = block.eigen()
            state["eigenvalues"] = spectral.values + damping
            state["basis_b"] = spectral.q_b.contiguous()
            if spectral.q_a is not None:
                state["basis_a"] = spectral.q_a.contiguous()
    found = inverses_of([factor for _, _, factor in wanted])
    for (state, name, _), inverse in zip(wanted, found, strict=True):
        # a checkpoint keeps no strides, and products of other strides are rounded in another way
        state[name] = inverse.contiguous()


def times_inverse(state: State, gradient: Tensor) -> Tensor:
    """Return the product of a layer's inverse with its gradient, in the gradient's dtype."""
    kept: Tensor = state["factor" if "factor" in state else "factor_b"]
    return _product(state, gradient.to(kept.dtype)).to(gradient.dtype)


def _product(state: State, m: Tensor) -> Tensor:
    if "inverse" in state:
        inverse: Tensor = state["inverse"]
        return m @ inverse
    if "eigenvalues" in state:
        q_a, q_b = state.get("basis_a"), state["basis_b"]
        inside = q_b.mT @ m if q_a is None else q_b.mT @ m @ q_a
        outside: Tensor = q_b @ (inside / state["eigenvalues"])
        return outside if q_a is None else outside @ q_a.mT
    left: Tensor = state["inverse_b"] @ m
    a: Tensor = state["inverse_a"]
    return left * a if a.ndim == 1 else left @ a


def _factors(block: KroneckerPair | Whole) -> dict[str, Tensor]:
    if isinstance(block, Whole):
        return {"factor": block.matrix}
    return {"factor_a": block.a, "factor_b": block.b}
