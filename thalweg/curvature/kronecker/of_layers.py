"""Which layers of a model have blocks, and where their numbers lie in the vector of all parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.curvature.kronecker.factors import NormSum, PairSum, Sharing
from thalweg.curvature.kronecker.layers import (
    KINDS,
    FactoredLayer,
    NormLayer,
    layer_of_module,
    why_unknown,
)
from thalweg.errors import TaskError


@dataclass(frozen=True)
class BlockPlan:
    """A block: its layer, and whether it is of the weight, of the bias, or of both."""

    layer: FactoredLayer
    has_weight: bool
    has_bias: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        before = f"{self.layer.name}." if self.layer.name else ""
        chosen = (("weight", self.has_weight), ("bias", self.has_bias))
        return tuple(before + each for each, there in chosen if there)

    def sums(self, sharing: Sharing) -> PairSum | NormSum:
        """Return what its factors are summed in."""
        if isinstance(self.layer, NormLayer):
            return NormSum(self.layer, self.has_weight, self.has_bias)
        return PairSum(self.layer, self.has_weight, self.has_bias, sharing)

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Return tensors of the shapes of its parameters as the block takes them.

        That is (d_out, d_in), a bias as the last column; of a norm one vector.
        """
        if isinstance(self.layer, NormLayer):
            return torch.cat([part.reshape(-1) for part in parts])
        columns = [self.layer.places(parts[0])] if self.has_weight else []
        return torch.cat([*columns, parts[-1][:, None]] if self.has_bias else columns, 1)

    def parts(self, joined: Tensor, shapes: list[Any]) -> list[Tensor]:
        """Return the inverse of `joined`."""
        if isinstance(self.layer, NormLayer):
            sizes = [shape.numel() for shape in shapes]
            split = torch.functional.split(joined, sizes)
            return [part.reshape(shape) for part, shape in zip(split, shapes, strict=True)]
        found = []
        if self.has_weight:
            matrix = joined[:, : self.layer.width]
            found.append(matrix.mT if self.layer.is_lookup else matrix.reshape(shapes[0]))
        return [*found, joined[:, -1]] if self.has_bias else found


def plan_blocks(model: nn.Module, chosen: Collection[str], joint: bool) -> list[BlockPlan]:
    """Return the blocks of the parameters `chosen` by name; `joint` puts bias and weight into one.

    Raises TaskError that names what has none: layers of other kinds, and tied parameters.
    """
    known, unknown = sorted_layers(model, chosen)
    if unknown:
        listed = "; ".join(f"{name!r}: {why}" for name, why in unknown.items())
        raise TaskError(
            f"K-FAC has no block for these parameters: {listed}. It knows {KINDS}. Choose those of known "
            "layers with parameters=[names], or take ggn(…)."
        )
    found = []
    for layer, has_weight, has_bias in known:
        if joint or isinstance(layer, NormLayer) or not (has_weight and has_bias):
            found.append(BlockPlan(layer, has_weight, has_bias))
        else:
            found += [BlockPlan(layer, True, False), BlockPlan(layer, False, True)]
    return found


def sorted_layers(
    model: nn.Module, chosen: Collection[str]
) -> tuple[list[tuple[FactoredLayer, bool, bool]], dict[str, str]]:
    """Return the layers that K-FAC knows, with which of weight and bias are chosen, and why others are
    unknown, by the parameters' names.
    """
    uses: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        uses.setdefault(id(p), []).append(name)
    known: list[tuple[FactoredLayer, bool, bool]] = []
    unknown: dict[str, str] = {}
    for path, module in model.named_modules():
        before = f"{path}." if path else ""
        own = {before + name: p for name, p in module.named_parameters(recurse=False)}
        wanted = [name for name in own if name in chosen]
        if not wanted:
            continue
        tied = {name: uses[id(own[name])] for name in wanted if len(uses[id(own[name])]) > 1}
        why = why_unknown(module)
        if tied:
            for name in wanted:
                names = tied.get(name, next(iter(tied.values())))
                unknown[name] = f"tied, {' and '.join(map(repr, names))} are one parameter"
        elif why is not None:
            unknown |= dict.fromkeys(wanted, why)
        else:
            layer = layer_of_module(path, module)
            known.append((layer, f"{before}weight" in wanted, f"{before}bias" in wanted))
    return known, unknown
