"""A model's parameters as one vector: names, places, layers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, suggest


class VectorLayout:
    """The parameters that an operator is of, one after the other in the order of
    `model.named_parameters()`.

    Those that require gradients, or those `chosen` by name. A shared parameter is there once, under its
    first name. A layer is the module that holds a parameter itself, by its path; the model's own are the
    layer "".

    Raises:
        TaskError: where there are none, and where they are of several types or devices, or complex.
    """

    def __init__(self, model: nn.Module, chosen: Sequence[str] | None = None) -> None:
        named = dict(model.named_parameters())
        if chosen is None:
            named = {name: p for name, p in named.items() if p.requires_grad}
        else:
            for name in chosen:
                if name not in named:
                    raise TaskError(
                        f"The model has no parameter {name!r}.{suggest(name, named)} Of a shared "
                        "parameter the first name counts."
                    )
            named = {name: p for name, p in named.items() if name in set(chosen)}
        if not named:
            raise TaskError(
                "The model has no parameter that requires gradients: it has no curvature."
            )
        kinds = sorted({f"{p.dtype} on {p.device}" for p in named.values()})
        if len(kinds) > 1 or any(not p.is_floating_point() for p in named.values()):
            raise TaskError(
                f"The parameters of one operator are real numbers of one type on one device; these are "
                f"{', '.join(kinds)}. Convert the model, or choose some with parameters=[names]."
            )
        self.names = tuple(named)
        self.parameters = tuple(named.values())
        self.shapes = [p.shape for p in self.parameters]
        self.sizes = [p.numel() for p in self.parameters]
        self.n = sum(self.sizes)
        self.dtype, self.device = self.parameters[0].dtype, self.parameters[0].device

    def split(self, columns: Tensor) -> list[list[Tensor]]:
        """Return, of each column of (n, k), its parts in the parameters' shapes."""
        return [
            [
                part.view(shape)
                for part, shape in zip(column.split(self.sizes), self.shapes, strict=True)
            ]
            for column in columns.mT.contiguous()
        ]

    def flat(self, parts: Sequence[Tensor]) -> Tensor:
        """Return parts of the parameters' shapes as one vector."""
        return torch.cat([part.detach().reshape(-1) for part in parts])

    @functools.cached_property
    def layers(self) -> dict[str, Tensor]:
        """The places in the vector of each layer."""
        found: dict[str, list[Tensor]] = {}
        start = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            places = torch.arange(start, start + size, device=self.device)
            found.setdefault(layer_of(name), []).append(places)
            start += size
        return {name: torch.cat(places) for name, places in found.items()}


def layer_of(name: str) -> str:
    """Return the layer that a parameter belongs to.

    >>> (
    ...     layer_of("encoder.0.weight"),
    ...     layer_of("scale"),
    ...     layer_of("0.parametrizations.weight.original0"),
    ... )
    ('encoder.0', '', '0')
    """
    return (
        name.partition(".parametrizations.")[0]
        if ".parametrizations." in name
        else name.rpartition(".")[0]
    )


class WholeModel(nn.Module):
    """Holds a model, so that `functional_call` can give it parameters in any call of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, use: Callable[[nn.Module], Any]) -> Any:
        """Return what `use` makes of the model."""
        return use(self.model)


def real_numbers(buffer: Tensor) -> Tensor:
    """Return the numbers of a buffer as a vector; of complex ones both parts."""
    buffer = buffer.detach()
    return (torch.view_as_real(buffer) if buffer.is_complex() else buffer).reshape(-1)
