"""The first and the last layers of a model: those that take its inputs, and those that give its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from thalweg.kept import attributes_kept
from thalweg.model import names
from thalweg.model.graph import CallGraph, ancestors, graph_of
from thalweg.model.layers import Layer
from thalweg.model.trace import traced


@dataclass(frozen=True)
class Ends:
    """The names of the first layers and of the last ones, and by what they were found."""

    inputs: frozenset[str]
    heads: frozenset[str]
    by: str


def ends_of(model: nn.Module, layers: Sequence[Layer]) -> Ends:
    """Return the ends of a model: by `torch.fx`, else by names, else by the order of definition."""
    with attributes_kept(model):  # what a forward stores in its module would be a symbol
        graph = graph_of(model)
    inner = [each for each in layers if each.kind == "hidden" and not _is_attention(each)]
    if graph is not None:
        found = traced(model, graph=graph).layers
        heads = frozenset(layer.name for layer in found if layer.kind == "output")
        return Ends(_inputs_by(graph, layers) - heads, heads, "torch.fx")
    heads = _heads_by_names(inner)
    by = "name" if heads else "order"
    if not heads and not _are_tied(layers):
        heads = _heads_by_order(inner, dict(model.named_modules()))
    return Ends(_inputs_by_order(layers) - heads, heads, by)


def _is_attention(layer: Layer) -> bool:
    """Whether it projects to queries, keys and values, as no first or last layer does."""
    return isinstance(layer.module, nn.MultiheadAttention) or names.is_qkv(f"{layer.called}.weight")


def _inputs_by(graph: CallGraph, layers: Sequence[Layer]) -> frozenset[str]:
    """Return the layers before whose call no other layer was called."""
    weighted = {layer.called: layer for layer in layers if layer.kind not in ("norm", "other")}
    before = ancestors(graph)
    called = [weighted.get(c.module) if c.module is not None else None for c in graph.calls]
    return frozenset(
        layer.name
        for place, layer in enumerate(called)
        if layer is not None
        and layer.kind == "hidden"
        and not _is_attention(layer)
        and all(called[k] is None for k in before[place])
    )


def _inputs_by_order(layers: Sequence[Layer]) -> frozenset[str]:
    """Return the first layer, where no embedding and no recurrent layer takes its place; and stems."""
    stems = {layer.name for layer in layers if layer.kind == "hidden" and names.is_stem(layer.name)}
    kinds = {layer.kind for layer in layers}
    weighted = [layer for layer in layers if layer.kind in ("hidden", "recurrent")]
    if not stems and "embedding" not in kinds and weighted:
        stems = {
            each.name for each in weighted[:1] if each.kind == "hidden" and not _is_attention(each)
        }
    return frozenset(stems)


def _heads_by_names(layers: Sequence[Layer]) -> frozenset[str]:
    """Return the last layer of each part that is called a head."""
    last: dict[str, str] = {}
    for layer in layers:
        region = names.head_region(layer.called)
        if region is not None:
            last[region] = layer.name
    return frozenset(last.values())


def _heads_by_order(layers: Sequence[Layer], modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """Return the layer that was defined last, unless it is in a block: a repeated one, or PyTorch's."""
    if not layers:
        return frozenset()
    last = layers[-1]
    owner = modules[last.called.rpartition(".")[0]]
    if last.called and _is_block(owner):
        return frozenset()
    alike = names.repeated(
        layer.name for layer in layers if layer.weight.shape == last.weight.shape
    )
    return frozenset() if last.name in alike else frozenset({last.name})


def _is_block(module: nn.Module) -> bool:
    """Whether a module is a block of PyTorch's own, such as an encoder layer, and no mere container."""
    own = type(module).__module__.startswith("torch.nn.")
    return own and not isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))


def _are_tied(layers: Sequence[Layer]) -> bool:
    """Whether an embedding is an output layer's matrix, too."""
    embeddings = {layer.name for layer in layers if layer.kind == "embedding"}
    return any(layer.kind == "hidden" and layer.tied in embeddings for layer in layers)
