"""Gradients times the layers' inverses, those of equal size in one batched product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.optim.kronecker.layer_state import State, times_inverse


class Directions:
    """The products of some layers; it holds copies of their inverses, so it is made anew after a refresh."""

    def __init__(self, states: Sequence[State]) -> None:
        self._states = tuple(states)
        sizes: dict[tuple[object, ...], list[int]] = {}
        for place, state in enumerate(states):
            a, b = state.get("inverse_a"), state.get("inverse_b")
            is_pair = a is not None and b is not None and a.ndim == 2
            key = (a.shape, b.shape, a.dtype, a.device) if is_pair else (place,)  # type: ignore[union-attr]
            sizes.setdefault(key, []).append(place)
        self._groups = [(places, *self._stacked(places)) for places in sizes.values()]

    def _stacked(self, places: list[int]) -> tuple[Tensor | None, Tensor | None]:
        if len(places) == 1:
            return None, None
        a, b = (
            torch.stack([self._states[place][name] for place in places])
            for name in ("inverse_a", "inverse_b")
        )
        return a, b

    def of(self, gradients: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return U of each layer's gradient G, and Σ U·G over all of them in float64."""
        found: dict[int, Tensor] = {}
        totals = []
        for places, a, b in self._groups:
            if a is None or b is None:
                (place,) = places
                g = gradients[place]
                found[place] = u = times_inverse(self._states[place], g)
            else:
                g = torch.stack([gradients[place] for place in places])
                u = b @ g.to(b.dtype) @ a
                found |= zip(places, u.unbind(), strict=True)
            totals.append((u * g).sum(dtype=torch.float64))
        device = totals[0].device
        total = torch.stack([each.to(device) for each in totals]).sum()
        return [found[place] for place in range(len(gradients))], total
