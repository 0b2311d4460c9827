"""The units of a model's layers: which are added to which, and which layers take them in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ALONE = "joins its units with what does not grow along: it is not made by linear or convolutional layers"


@dataclass
class Use:
    """Units where a layer takes them: `ids` of its inputs in their order, 0 for inputs that are not units.

    `sums` says whether the layer adds them up, each with weights of its own; else it treats each by itself,
    with one entry for each in its parameters, as batch normalization does.
    """

    layer: str
    ids: Tensor
    sums: bool


@dataclass(frozen=True)
class Made:
    """The units that a layer makes: `count` of them, with the ids from `first` on."""

    layer: str
    first: int
    count: int


class Units:
    """Numbers for all units of a model, their ids, and what becomes of them.

    Layers whose units are added one by one, as in a residual sum, grow alike: they are one group.

    >>> units = Units()
    >>> a, b = units.make("a", 2), units.make("b", 2)
    >>> a, b
    (tensor([1, 2]), tensor([3, 4]))
    >>> _ = units.joined(a, b, "the sum")
    >>> units.group("b")
    ['a', 'b']
    """

    def __init__(self) -> None:
        self.made: dict[str, Made] = {}
        self.uses: dict[str, Use] = {}
        self._of: list[Made] = []
        self._parent: dict[str, str] = {}
        self._why: dict[str, str] = {}

    def make(self, layer: str, count: int) -> Tensor:
        """Return the ids of the units of a layer; the same at every call."""
        if layer not in self.made:
            first = 1 if not self._of else self._of[-1].first + self._of[-1].count
            self.made[layer] = Made(layer, first, count)
            self._of.append(self.made[layer])
            self._parent[layer] = layer
        own = self.made[layer]
        return torch.arange(own.first, own.first + own.count)

    def use(self, layer: str, ids: Tensor, *, sums: bool) -> None:
        """Note that a layer takes these units in."""
        before = self.uses.get(layer)
        if before is not None and before.ids.shape == ids.shape:  # it is called again
            self.joined(before.ids, ids, f"layer {layer!r} behind it, called several times,")
        elif before is not None:
            self.hold(ids, f"layer {layer!r} is called several times, with other shapes")
        else:
            self.uses[layer] = Use(layer, ids, sums)

    def hold(self, ids: Tensor, why: str) -> None:
        """Note why these units are to stay as many as they are; the first reason counts."""
        for made in self._makers(ids):
            self._why.setdefault(self._root(made.layer), why)

    def joined(self, a: Tensor, b: Tensor, what: str) -> Tensor:
        """Return the ids where units meet one by one, and let their layers grow alike from now on."""
        one, other = _at_once(a, b)
        differ = one != other
        if not bool(differ.any()):
            return a
        meeting = zip(one[differ].tolist(), other[differ].tolist(), strict=True)
        for first, second in sorted(set(meeting)):
            self._meet(first, second, what)
        return torch.where(a == 0, b, a)

    def _meet(self, a: int, b: int, what: str) -> None:
        one, other = self._maker(a), self._maker(b)
        if one is None or other is None:
            found = one or other
            assert found is not None
            self._why.setdefault(self._root(found.layer), f"{what} {ALONE}")
        elif one.count != other.count or a - one.first != b - other.first:
            for each, with_ in ((one, other), (other, one)):
                why = f"{what} joins its units with others of layer {with_.layer!r}, in number or order"
                self._why.setdefault(self._root(each.layer), why)
        else:
            self._unite(one.layer, other.layer)

    def _unite(self, a: str, b: str) -> None:
        first, second = self._root(a), self._root(b)
        if first == second:
            return
        self._parent[second] = first
        if second in self._why:
            self._why.setdefault(first, self._why[second])

    def _root(self, layer: str) -> str:
        while self._parent[layer] != layer:
            layer = self._parent[layer]
        return layer

    def group(self, layer: str) -> list[str]:
        """Return the layers that grow alike with one, itself among them."""
        root = self._root(layer)
        return [each for each in self.made if self._root(each) == root]

    def why_not(self, layer: str) -> str | None:
        """Return why a layer cannot have more units, None where it can."""
        return self._why.get(self._root(layer))

    def _maker(self, unit: int) -> Made | None:
        if unit == 0:
            return None
        return next(each for each in self._of if each.first <= unit < each.first + each.count)

    def _makers(self, ids: Tensor) -> list[Made]:
        present, _ = _at_once(ids, ids)
        return [
            each
            for each in self._of
            if bool(((present >= each.first) & (present < each.first + each.count)).any())
        ]

    def makers(self, ids: Tensor) -> list[str]:
        """Return the layers that make these units."""
        return [each.layer for each in self._makers(ids)]

    def spread(self, ids: Tensor, layer: str, origin: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return for each input of the wider model which one it was, and among how many it is shared.

        `ids` are the inputs as they are, and `origin` says of which unit of the group of `layer` each one
        is a copy. A picture that was flattened has all places of a unit behind one another, or all units of
        a place; either way the new units stand behind the old ones. None where they come in another order.
        """
        grown = set(self.group(layer))
        if not grown & set(self.makers(ids)):
            return torch.arange(len(ids)), torch.ones(len(ids), dtype=torch.long)
        copies = torch.bincount(origin)[origin]
        numbers = ids.tolist()
        which, among, place = [], [], 0
        while place < len(numbers):
            made = self._maker(numbers[place])
            if made is None or made.layer not in grown:
                which.append(torch.tensor([place]))
                among.append(torch.ones(1, dtype=torch.long))
                place += 1
                continue
            places = 1
            while place + places < len(numbers) and numbers[place + places] == numbers[place]:
                places += 1
            run = torch.arange(made.first, made.first + made.count).repeat_interleave(places)
            if not torch.equal(ids[place : place + len(run)], run):
                return None
            which.append((origin[:, None] * places + torch.arange(places)).flatten() + place)
            among.append(copies.repeat_interleave(places))
            place += len(run)
        return torch.cat(which), torch.cat(among)


def _at_once(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return one place of all those for which both have the same ids, as for all places of a picture."""
    for axis in range(a.ndim):
        if a.stride(axis) == b.stride(axis) == 0 and a.shape[axis]:
            a, b = a.narrow(axis, 0, 1), b.narrow(axis, 0, 1)
    return a, b
