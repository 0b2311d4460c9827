"""What kind each parameter of a model is of: found from modules, names and the order of calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from thalweg.errors import TaskError
from thalweg.kept import undisturbed
from thalweg.model import names
from thalweg.model.ends import Ends, ends_of
from thalweg.model.layers import Layer, is_norm, layers_of

PARAMETER_KINDS: Mapping[str, str] = {
    "hidden": "the matrix of an inner layer",
    "qkv": "a hidden matrix that holds queries, keys and values one under the other",
    "convolution": "the filters of an inner convolution",
    "experts": "matrices of several experts in one tensor, in its last two dimensions",
    "input": "the first layer, which takes what the model is given",
    "head": "the matrix of an output layer",
    "embedding": "a table of vectors: tokens, positions",
    "tied": "an embedding that is the output layer's matrix, too",
    "recurrent": "the weights of a recurrent layer",
    "norm": "scales and shifts of a normalization",
    "bias": "what a layer adds",
    "lora": "the factors of a low-rank addition",
    "other": "anything else",
}
"""The kinds, and what each is."""

PART_OF: Mapping[str, str] = {
    "qkv": "hidden",
    "convolution": "hidden",
    "tied": "embedding",
}
"""Kinds that are special cases of another one. Experts are not: a rule for matrices, which takes the first
dimension for rows if it is not told otherwise, would see one matrix with a row for each expert."""


@dataclass(frozen=True)
class KindOfParameter:
    """A parameter, its kind, and by what that was found: "type", "name", "torch.fx" or "order", a guess.

    `blocks` is how many matrices of equal size lie one under the other in it.
    """

    name: str
    parameter: nn.Parameter
    kind: str
    by: str = "type"
    blocks: int = 1


def kinds_of(model: nn.Module) -> list[KindOfParameter]:
    """Return the kind of each parameter of a model, in the order of `model.named_parameters()`.

    No data are needed: what is an input or output layer is found by `torch.fx`, where it can follow the
    model, else by names, else by the order in which the layers were defined.

    Raises:
        TaskError: for parameters without a shape yet.

    >>> net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 9))
    >>> [(each.name, each.kind) for each in kinds_of(net)][:4]
    [('0.weight', 'embedding'), ('1.weight', 'hidden'), ('1.bias', 'bias'), ('2.weight', 'norm')]
    """
    lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise TaskError(
            f"{lazy[0]!r} has no shape yet, so its kind is not known. Run the model on a batch first: "
            "model(x)."
        )
    with undisturbed(model):  # reading a weight may move the buffers of its parametrization
        found = _Kinds(model)
    return [found.of(name, p) for name, p in model.named_parameters()]


class _Kinds:
    """One look at a model."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        layers = layers_of(model)
        ends = ends_of(model, layers)
        self.known: dict[int, tuple[str, str, int]] = {}
        self.of_layers(layers, ends)

    def of_layers(self, layers: Iterable[Layer], ends: Ends) -> None:
        """Note what layers say: their weights, their biases; a tied weight has several."""
        uses: dict[int, set[str]] = {}
        for layer in layers:
            for p in layer.parameters_of(layer.parameter):
                uses.setdefault(id(p), set()).add(layer.kind)
                if layer.kind != "other" and p.shape == layer.weight.shape:
                    self.known.setdefault(id(p), _of_weight(layer, ends))
            if layer.bias is not None:
                for p in layer.parameters_of(layer.bias):
                    kind = "norm" if layer.kind == "norm" else "bias"
                    self.known.setdefault(id(p), (kind, "type", 1))
        for key, kinds in uses.items():
            if {"embedding", "hidden"} <= kinds:
                self.known[key] = ("tied", "type", 1)

    def of(self, name: str, p: nn.Parameter) -> KindOfParameter:
        """Return the kind of one parameter."""
        owner, _, last = name.rpartition(".")
        module = self.modules[owner]
        if names.is_lora(name, type(module).__name__):
            return KindOfParameter(name, p, "lora", "name")
        known = self.known.get(id(p)) or _of_own(name, last, module, p)
        return KindOfParameter(name, p, *known)


def _of_weight(layer: Layer, ends: Ends) -> tuple[str, str, int]:
    full = f"{layer.called}.{layer.parameter}" if layer.called else layer.parameter
    if layer.kind != "hidden":
        return layer.kind, "type", layer.blocks
    if layer.name in ends.heads:
        return "head", ends.by, 1
    if layer.name in ends.inputs:
        return "input", ends.by, 1
    if "convolution" in layer.marks or layer.is_transposed:
        return "convolution", "type", 1
    if names.is_qkv(full):
        return "qkv", "name", _blocks(layer.weight)
    return "hidden", "type", 1


def _of_own(name: str, last: str, module: Any, p: nn.Parameter) -> tuple[str, str, int]:
    """Return the kind of a parameter of a module that PyTorch does not have."""
    owner = type(module).__name__
    if is_norm(module) and p.ndim < 2:
        return "norm", "type", 1
    if names.is_bias(name):
        return "bias", "name", 1
    if p.ndim < 2:
        return "other", "name", 1
    if "conv" in owner.lower() and p.ndim > 2 and last == "weight":
        return "convolution", "name", 1
    if names.is_of_experts(name, owner) and p.ndim > 2:
        return "experts", "name", 1
    if names.is_embedding(name, owner):
        return "embedding", "name", 1
    if names.is_qkv(name):
        return "qkv", "name", _blocks(p)
    return ("hidden" if names.is_matrix(name) else "other"), "name", 1


def _blocks(weight: Any) -> int:
    """Return 3 for queries, keys and values of the same size, one under the other."""
    return 3 if len(weight) == 3 * weight[0].numel() else 1
