"""Follows the units of a model: while a batch runs through it, or layer by layer along a sequence."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.model.graph import Recorder, is_whole, record
from thalweg.model.outputs import outputs_of
from thalweg.objective.nested import tensors_in
from thalweg.strategies.growth.functions import after, name_of
from thalweg.strategies.growth.modules import CONVOLUTIONS, TRANSPOSED, through
from thalweg.strategies.growth.units import Units
from thalweg.strategies.layers import check_shaped

RETURNED = "return"
"""What takes the outputs of a model."""


class Followed(Recorder):
    """The units of a model, and how its layers were called.

    `calls` are the names of the layers in the order of their calls, `given` the ids of what each layer gave
    at its last call, and `takers` the names of the functions and classes that took it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units = Units()
        self.calls: list[str] = []
        self.given: dict[str, Tensor] = {}
        self.takers: dict[str, list[str]] = {}
        self._ids: dict[int, Tensor] = {}
        self._giver: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no address is used twice

    def note_module(self, module: nn.Module, name: str, args: Any, result: Any) -> None:
        """Follow the units through a layer."""
        taken = [t for t in tensors_in(args) if t.ndim]
        self._take(taken, type(module).__name__)
        self.calls.append(name)
        found: Tensor | None = None
        if len(taken) == 1 and isinstance(result, Tensor):
            shape = tuple(result.shape)
            found = through(module, name, self._of(taken[0]), shape, self.units)
        else:
            for tensor in taken:
                why = f"layer {name!r} behind it, {type(module).__name__}, may mix its units"
                self.units.hold(self._of(tensor), why)
        self._give(result, found)
        if isinstance(result, Tensor):
            self.given[name] = self._of(result)
            self._giver[id(result)] = name

    def note_function(self, function: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """Follow the units through a function."""
        self._take(tensors_in((args, kwargs)), name_of(function))
        self._give(result, after(function, args, kwargs, result, self._of, self.units))

    def ends(self, outputs: Any) -> None:
        """Note what the model returns."""
        for tensor in tensors_in(outputs):
            self._take([tensor], RETURNED)
            self.units.hold(self._of(tensor), "its units are outputs of the model")

    def _of(self, tensor: Tensor) -> Tensor:
        found = self._ids.get(id(tensor))
        return torch.zeros((), dtype=torch.long).expand(tensor.shape) if found is None else found

    def _take(self, tensors: Any, name: str) -> None:
        for tensor in tensors:
            giver = self._giver.get(id(tensor))
            if giver is not None:
                self.takers.setdefault(giver, []).append(name)

    def _give(self, result: Any, found: Any) -> None:
        made = list(tensors_in(result))
        ids = list(tensors_in(found)) if found is not None else []
        for place, tensor in enumerate(made):
            self._kept.append(tensor)
            self._giver.pop(id(tensor), None)
            self._ids.pop(id(tensor), None)  # it may be what was given, changed in place
            if len(ids) == len(made) and bool(ids[place].any()):
                self._ids[id(tensor)] = ids[place]


def followed(model: nn.Module, x: Any = None) -> Followed:
    """Return what becomes of the units of a model.

    Raises:
        TaskError: the model cannot be run on `x`, or it is not a sequence of layers and there is no `x`, or a
            layer of it is lazy.
    """
    check_shaped(model)
    found = Followed()
    if x is not None:
        found.ends(record(copy.deepcopy(model), x, outputs_of, found))
        return found
    tensor = torch.zeros(1, 1)
    for name, layer in layers_in_sequence(model):
        if not found.units.made and isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
            tensor = torch.zeros(1, layer.in_channels, *[1] * len(layer.kernel_size))
        elif not found.units.made and isinstance(layer, nn.Linear):
            tensor = torch.zeros(1, layer.in_features)
        result = torch.zeros(_shape(layer, tensor))
        found.note_module(layer, name, tensor, result)
        tensor = result
    found.ends(tensor)
    return found


def layers_in_sequence(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of an `nn.Sequential`, of sequences in it, too; TaskError for another model."""
    if not isinstance(model, nn.Sequential):
        where = f"Layer {prefix[:-1]!r}" if prefix else "The model"
        raise TaskError(
            f"{where} is {type(model).__name__}, no nn.Sequential of layers: give x=, a batch of inputs, so "
            "that its calls can be followed."
        )
    for name, layer in model.named_children():
        if is_whole(layer):
            yield f"{prefix}{name}", layer
        else:
            yield from layers_in_sequence(layer, f"{prefix}{name}.")


def _shape(layer: nn.Module, given: Tensor) -> tuple[int, ...]:
    """Return the shape of what a layer gives, where each picture is a point: its size is not known."""
    shape = tuple(given.shape)
    if isinstance(layer, nn.Linear):
        return (*shape[:-1], layer.out_features)
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        return (1, layer.out_channels, *shape[2:])
    return tuple(layer(given).shape) if isinstance(layer, nn.Flatten) else shape
