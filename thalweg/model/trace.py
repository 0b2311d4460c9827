"""Finds the activation behind each layer, the output layers, and the ends of residual branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from thalweg.kept import buffers_kept
from thalweg.model.activations import gain_of, name_of, options_of
from thalweg.model.graph import Call, CallGraph, ancestors, followers, graph_of
from thalweg.model.layers import Layer, attention_of, layers_of
from thalweg.model.outputs import outputs_of

_WEIGHTS = ("hidden", "output", "recurrent", "embedding", "other")


@dataclass(frozen=True)
class Traced:
    """The layers of a model, with how what is behind them was found, and what was not found."""

    layers: tuple[Layer, ...]
    by: str
    unfound: tuple[str, ...]


def traced(model: nn.Module, x: Any = None, graph: CallGraph | None = None) -> Traced:
    """Return the layers of a model with what stands behind each.

    With a batch it is recorded, without one traced by `torch.fx`; where that fails, the order in which the
    modules were defined is taken, which is a guess. A graph that is known already is taken as it is.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> [(layer.name, layer.kind, layer.activation) for layer in traced(net).layers]
    [('0', 'hidden', 'relu'), ('2', 'output', 'linear')]
    """
    with buffers_kept(model):  # reading a weight may move those of its parametrization
        layers = layers_of(model)
        graph = graph_of(model, x, outputs_of) if graph is None else graph
    if graph is None:
        _by_order(model, layers)
        by = "the order of definition, a guess: give a batch x"
    else:
        _ActivationFinder(model, graph, layers).find()
        by = graph.by
    unfound = tuple(
        layer.name for layer in layers if layer.gain is None and layer.kind in ("hidden", "output")
    )
    return Traced(tuple(layers), by, unfound)


class _ActivationFinder:
    """One walk over the graph of a model."""

    def __init__(self, model: nn.Module, graph: CallGraph, layers: list[Layer]) -> None:
        self.modules = dict(model.named_modules())
        self.graph = graph
        self.after = followers(graph)
        self.before = ancestors(graph)
        self.of: dict[str, list[Layer]] = {}
        for layer in layers:
            if layer.kind in _WEIGHTS:
                self.of.setdefault(layer.called, []).append(layer)
        for layer in layers:  # attention multiplies by the weight of a module that it does not call
            owner = attention_of(layer, self.modules)
            if owner is not None:
                self.of[owner].append(layer)

    def find(self) -> None:
        for place, call in enumerate(self.graph.calls):
            for layer in self._layers(call):
                self._activation(place, layer)
                self._feeds(place, layer)
        self._outputs()
        self._branches()

    def _layers(self, call: Call) -> list[Layer]:
        return [] if call.module is None else self.of.get(call.module, [])

    def _behind(self, start: int, *, through_sums: bool) -> Iterator[tuple[int, Call]]:
        """Walk to what follows, past what neither multiplies nor bends."""
        seen, ahead = set(), list(self.after[start])
        while ahead:
            place = ahead.pop(0)
            if place in seen:
                continue
            seen.add(place)
            call = self.graph.calls[place]
            yield place, call
            stops = self._layers(call) or self._bends(call) is not None
            if not stops and (through_sums or not call.is_sum):
                ahead += self.after[place]

    def _bends(self, call: Call) -> tuple[str, Mapping[str, Any]] | None:
        name = name_of(call.label)
        if name is None:
            return None
        return name, options_of(self.modules[call.module]) if call.module else call.options

    def _activation(self, place: int, layer: Layer) -> None:
        if layer.gain is not None or layer.kind in ("recurrent", "embedding"):
            return
        for _, call in self._behind(place, through_sums=False):
            bends = self._bends(call)
            if bends is not None:
                layer.activation, layer.gain = bends[0], gain_of(*bends)
                return
        layer.activation, layer.gain = "linear", 1.0

    def _feeds(self, place: int, layer: Layer) -> None:
        """Find the layers that the units go to, each unit to inputs of its own."""
        ahead, seen, found = list(self.after[place]), set(), list[str]()
        if layer.feeds is not None or place in self.graph.returned or layer.kind != "hidden":
            return
        while ahead:
            at = ahead.pop()
            call, layers = self.graph.calls[at], self._layers(self.graph.calls[at])
            if layers:
                found += [each.name for each in layers]
            elif at in self.graph.returned or len(call.inputs) != 1:
                return  # the units are added to others, or leave the model
            elif at not in seen:
                ahead += self.after[at]
            seen.add(at)
        layer.feeds = tuple(dict.fromkeys(found))

    def _outputs(self) -> None:
        ahead, seen = list(self.graph.returned), set()
        while ahead:
            place = ahead.pop()
            call = self.graph.calls[place]
            if place in seen or call.is_sum:
                continue
            seen.add(place)
            found = self._layers(call)
            for layer in found:
                if layer.kind == "hidden" and not isinstance(layer.module, nn.MultiheadAttention):
                    layer.kind = "output"
            if not found:
                ahead += call.inputs

    def _branches(self) -> None:
        ends: dict[int, list[Layer]] = {}
        for place, call in enumerate(self.graph.calls):
            if call.is_sum and len(call.inputs) == 2:
                ends[place] = self._end_of(*call.inputs)
                if ends[place]:
                    self._within(*call.inputs)
        found = [layers for layers in ends.values() if layers]
        for layers in found:
            layers[-1].branch_end = True
        for layer in (layer for layers in self.of.values() for layer in layers):
            layer.branches = len(found)

    def _within(self, a: int, b: int) -> None:
        """Count the layers of a branch, those on one way alone."""
        ways = [{p, *self.before[p]} for p in (a, b)]
        alone = max((ways[0] - ways[1], ways[1] - ways[0]), key=len)
        layers = [layer for p in sorted(alone) for layer in self._layers(self.graph.calls[p])]
        for layer in layers:
            layer.branch_layers = max(layer.branch_layers, len(layers))

    def _end_of(self, a: int, b: int) -> list[Layer]:
        """Return the last layer of the branch among two results that are added, none if neither is one."""
        if (
            not self.before[a] & self.before[b]
            and a not in self.before[b]
            and b not in self.before[a]
        ):
            return []
        if a in self.before[b]:
            a, b = b, a
        elif (
            b not in self.before[a]
        ):  # a shortcut with a layer of its own: the longer way is the branch
            a, b = sorted((a, b), key=lambda p: -len(self.before[p]))
        ahead = [a]
        while ahead:
            place = ahead.pop(0)
            call = self.graph.calls[place]
            layers = [layer for layer in self._layers(call) if layer.kind != "embedding"]
            if layers:
                return layers
            if place not in self.before[b] and place != b and not call.is_sum:
                ahead += call.inputs
        return []


def _by_order(model: nn.Module, layers: list[Layer]) -> None:
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    modules = dict(model.named_modules())
    weighted = [layer for layer in layers if layer.kind in ("hidden", "output")]
    starts = sorted(order[layer.called] for layer in weighted)
    for layer in weighted:
        start = order[layer.called]
        end = next((other for other in starts if other > start), len(order))
        names = [name for name, place in order.items() if start < place < end]
        for name in names:
            activation = name_of(type(modules[name]).__name__)
            if activation is not None and layer.gain is None:
                layer.activation = activation
                layer.gain = gain_of(activation, options_of(modules[name]))
    if weighted and not isinstance(weighted[-1].module, nn.MultiheadAttention):
        weighted[-1].kind = "output"
