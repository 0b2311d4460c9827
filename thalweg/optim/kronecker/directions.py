"""Gradients times the layers' inverses, those of equal layers in one batched product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.curvature.kronecker.layers import NormLayer
from thalweg.curvature.kronecker.of_layers import BlockPlan
from thalweg.optim.kronecker.layer_state import State, times_inverse


@dataclass
class EqualLayers:
    """Layers of one shape with factors A and B: their inverses as batches of matrices."""

    places: list[int]
    a: Tensor
    b: Tensor
    plan: BlockPlan

    def of(
        self, gradients: Sequence[Sequence[Tensor]]
    ) -> tuple[list[list[Tensor]], Tensor, Tensor]:
        """Return U in the parameters' shapes, and U and G as batches of matrices."""
        columns = [torch.stack(each) for each in zip(*gradients, strict=True)]
        shapes = [each.shape for each in columns]
        count, out = shapes[0][:2]
        g = torch.cat([each.reshape(count, out, -1) for each in columns], -1)
        u = (self.b @ g.to(self.b.dtype) @ self.a).to(g.dtype)
        widths = [shape[2:].numel() for shape in shapes]
        parts = [
            part.reshape(shape).unbind()
            for part, shape in zip(torch.functional.split(u, widths, -1), shapes, strict=True)
        ]
        return [list(each) for each in zip(*parts, strict=True)], u, g


class Directions:
    """The products of some layers; it holds copies of their inverses, so it is made again after a refresh."""

    def __init__(self, plans: Sequence[BlockPlan], states: Sequence[State]) -> None:
        self._plans, self._states = tuple(plans), tuple(states)
        sizes: dict[tuple[object, ...], list[int]] = {}
        self._alone: list[int] = []
        for place, (plan, state) in enumerate(zip(plans, states, strict=True)):
            key = _key(plan, state)
            if key is None:
                self._alone.append(place)
            else:
                sizes.setdefault(key, []).append(place)
        self._alone += [places[0] for places in sizes.values() if len(places) == 1]
        self._groups = [self._stacked(places) for places in sizes.values() if len(places) > 1]

    def _stacked(self, places: list[int]) -> EqualLayers:
        a, b = (
            torch.stack([self._states[place][name] for place in places])
            for name in ("inverse_a", "inverse_b")
        )
        return EqualLayers(places, a, b, self._plans[places[0]])

    def of(
        self, gradients: Sequence[Sequence[Tensor]]
    ) -> tuple[list[list[Tensor]], Tensor, list[Tensor]]:
        """Return U of each layer's gradients in the shapes of its parameters, Σ U·G in float64, and the
        tensors that all U are parts of.
        """
        found: dict[int, list[Tensor]] = {}
        pairs = []
        for group in self._groups:
            parts, u, g = group.of([gradients[place] for place in group.places])
            found |= zip(group.places, parts, strict=True)
            pairs.append((u, g))
        for place in self._alone:
            plan, given = self._plans[place], gradients[place]
            g = plan.joined(list(given))
            u = times_inverse(self._states[place], g)
            found[place] = plan.parts(u, [each.shape for each in given])
            pairs.append((u, g))
        totals = [(u * g).sum(dtype=torch.float64) for u, g in pairs]
        total = torch.stack([each.to(totals[0].device) for each in totals]).sum()
        return [found[place] for place in range(len(gradients))], total, [u for u, _ in pairs]


def _key(plan: BlockPlan, state: State) -> tuple[object, ...] | None:
    """Return what layers that are computed together have in common; None for one that is computed alone."""
    a, b = state.get("inverse_a"), state.get("inverse_b")
    if a is None or b is None or a.ndim == 1 or isinstance(plan.layer, NormLayer):
        return None
    weight = plan.layer.module.weight
    shape, dtype = weight.shape, weight.dtype
    return plan.has_weight, plan.has_bias, shape, dtype, a.dtype, a.device
