"""Finds hidden units that begin alike and so stay alike: gradient descent cannot tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.model.layers import Layer
from thalweg.numeric import plural

_ODD = ("tanh", "linear", "softsign", "hardtanh")
"""Activations with φ(−z) = −φ(z), as `hardtanh` has it by default."""
_MIX = (-0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)  # splitmix64
_ROUNDS = 12


@dataclass(frozen=True)
class SymmetricUnits:
    """Units of a layer that compute the same and get the same gradients."""

    layer: str
    units: tuple[int, ...]

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.units[:6])) + (" …" if len(self.units) > 6 else "")
        return f"layer {self.layer!r}, {plural(len(self.units), 'unit')}: {shown}"


def symmetric_in(layers: Sequence[Layer]) -> tuple[SymmetricUnits, ...]:
    """Return the groups of units of these layers that can be exchanged without changing the model.

    They are found by refining a colouring of all units until it is stable (Weisfeiler and Leman
    1968): units of one colour have the same weights to and from units of each colour.
    """
    if not any(_has_like_rows(each) for each in layers if each.kind == "hidden"):
        return ()
    sides = {layer.name: _Side(layer) for layer in layers if layer.kind in ("hidden", "output")}
    joined: list[tuple[_Side, _Side, int]] = []
    for side in sides.values():
        fed = [sides.get(name) for name in side.layer.feeds or ()]
        if not fed or any(f is None or f.inputs % side.units or f.grouped for f in fed):
            continue
        side.known = True
        joined += [(side, f, f.inputs // side.units) for f in fed if f is not None]
    for side, _, _ in joined:
        side.turn([(f, taps) for s, f, taps in joined if s is side])
    before = -1
    for _ in range(_ROUNDS):
        for side in sides.values():
            side.begin([(s, taps) for s, f, taps in joined if f is side])
        for side, f, taps in joined:
            side.add_outgoing(f, taps)
        count = sum(side.end() for side in sides.values())
        if count == before:
            break
        before = count
    return tuple(
        SymmetricUnits(side.layer.name, units)
        for side in sides.values()
        if side.known
        for units in side.groups()
    )


def _has_like_rows(layer: Layer) -> bool:
    """Whether two units have the same sizes of weights and bias in some order, as like units must."""
    rows = _mixed(_bits(layer.matrix().cpu().double().abs())).sum(1)
    if layer.bias is not None:
        rows += _mixed(_bits(getattr(layer.module, layer.bias).detach().cpu().double().abs()))
    return len(set(rows.tolist())) < len(rows)


class _Side:
    """The units of one layer with their colours; those whose outgoing weights are not known are all
    unlike.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.weight = layer.matrix().cpu().double().clone()
        self.units, self.inputs = self.weight.shape
        self.grouped = getattr(layer.module, "groups", 1) != 1 or layer.blocks != 1
        bias = None if layer.bias is None else getattr(layer.module, layer.bias).detach()
        self.bias = torch.zeros(self.units) if bias is None else bias.cpu()
        self.bias = self.bias.double().clone()
        self.known = False
        self.colours = torch.arange(self.units)
        self.signature = self.colours

    def turn(self, fed: Sequence[tuple[_Side, int]]) -> None:
        """Turn each unit of an odd activation so that its first weight that is not 0 is positive."""
        self.colours = torch.zeros_like(self.colours)
        if self.layer.activation not in _ODD:
            return
        first = (self.weight != 0).double().argmax(1, keepdim=True)
        sign = torch.where(self.weight.gather(1, first) < 0, -1.0, 1.0)
        self.weight *= sign
        self.bias *= sign[:, 0]
        for side, taps in fed:
            side.weight *= sign[:, 0].repeat_interleave(taps)

    def begin(self, sources: Sequence[tuple[_Side, int]]) -> None:
        sources = sources or [(self, 0)]
        source, taps = sources[0]
        colours = torch.arange(self.inputs) if taps == 0 else source.places(taps)
        self.signature = _mixed(_bits(self.weight) ^ _mixed(colours)[None]).sum(1)
        self.signature += _mixed(_bits(self.bias)) + _mixed(self.colours)

    def places(self, taps: int) -> Tensor:
        """The colours of what this layer gives a next one: its units, and the places of each."""
        own = self.colours[:, None] * 1_000_003 + torch.arange(taps)[None]
        return own.flatten() + 7

    def add_outgoing(self, fed: _Side, taps: int) -> None:
        weight = _bits(fed.weight).reshape(fed.units, self.units, taps)
        inner = _mixed(fed.colours)[:, None, None] ^ _mixed(torch.arange(taps))[None, None]
        self.signature = _mixed(self.signature) + _mixed(weight ^ inner).sum((0, 2))

    def end(self) -> int:
        if self.known:
            self.colours = torch.unique(self.signature, return_inverse=True)[1]
        return len(set(self.colours.tolist()))

    def groups(self) -> list[tuple[int, ...]]:
        counts = torch.bincount(self.colours)
        found = [
            tuple((self.colours == colour).nonzero().flatten().tolist())
            for colour in (counts > 1).nonzero().flatten().tolist()
        ]
        return sorted(found)


def _bits(values: Tensor) -> Tensor:
    """The bits of numbers as whole ones; 0 and −0 have the same."""
    return (values + 0.0).contiguous().view(torch.int64)


def _mixed(values: Tensor) -> Tensor:
    """Scatter integers over all 64 bits, so that sums of them tell multisets apart."""
    z = values + _MIX[0]
    z = (z ^ (z >> 30)) * _MIX[1]
    z = (z ^ (z >> 27)) * _MIX[2]
    return z ^ (z >> 31)
