"""A copy of a model's weights: its state dict, and the buffers that a state dict leaves out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Weights:
    """A copy of the weights of a model.

    `state` is its state dict, with a module's extra state where it has one; `hidden` are the buffers
    that are not persistent, which the state dict leaves out; `buffers` are the names of those in it.
    """

    state: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Tensor] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module) -> Weights:
        """Return a copy of what `model` holds now."""
        state = model.state_dict()
        named = dict(model.named_buffers())
        return cls(
            {name: _copied(value) for name, value in state.items()},
            {name: _copied(tensor) for name, tensor in named.items() if name not in state},
            [name for name in named if name in state],
        )

    def __bool__(self) -> bool:
        return bool(self.state or self.hidden)

    def put(self, model: nn.Module) -> None:
        """Load the copy into `model`."""
        self.make_buffers(model)
        model.load_state_dict(self.state)
        here = dict(model.named_buffers())
        with torch.no_grad():
            for name, tensor in self.hidden.items():
                here[name].copy_(tensor)

    def make_buffers(self, model: nn.Module) -> None:
        """Register in `model` the buffers that it creates or enlarges only during training."""
        here = dict(model.named_buffers())
        like = {name: self.state[name] for name in self.buffers if name in self.state}
        for name, tensor in (like | self.hidden).items():
            found = here.get(name)
            if found is not None and kind_of(found) == kind_of(tensor):
                continue
            path, _, last = name.rpartition(".")
            try:
                module = model.get_submodule(path)
                device = _device_of(model)
                empty = torch.empty_like(tensor, device=device)
                module.register_buffer(last, empty, persistent=name in like)
            except (AttributeError, KeyError):  # another model: loading raises its own error
                continue


def kind_of(value: Any) -> str:
    """Return dtype and shape of a tensor, or the type of what is not a tensor."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _device_of(model: nn.Module) -> torch.device:
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")
