"""Models that take several inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from thalweg.errors import TaskError


class Unpacked(nn.Module):
    """A model of several arguments as one of a single tuple, list or mapping.

    What a batch has as inputs reaches a model as one argument. This one hands the parts of a tuple or list
    to `model` in order, and those of a mapping by name.

    >>> import torch
    >>> model = Unpacked(nn.Bilinear(2, 3, 1))
    >>> model((torch.zeros(5, 2), torch.zeros(5, 3))).shape
    torch.Size([5, 1])

    Raises:
        TaskError: `model` is not a module, but for example a class of modules.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TaskError(
                "Unpacked takes an nn.Module, such as Unpacked(Net()), with brackets after its class; got "
                f"{model!r}."
            )
        self.model = model

    def forward(self, inputs: Any) -> Any:
        """Return what the model gives of the parts of `inputs`."""
        if isinstance(inputs, Mapping):
            return self.model(**inputs)
        if isinstance(inputs, (tuple, list)):
            return self.model(*inputs)
        raise TaskError(
            f"Unpacked takes a tuple, a list or a mapping of inputs; got {type(inputs).__name__}."
        )
