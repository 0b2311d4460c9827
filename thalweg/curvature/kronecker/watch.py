"""What passes through a model's layers: inputs on the way forward, gradients of outputs on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from thalweg.curvature.kronecker.layers import FactoredLayer
from thalweg.errors import TaskError


class Passes:
    """The calls of one layer in a forward pass: of each its inputs, and the gradient that came last."""

    def __init__(self, layer: FactoredLayer) -> None:
        self.layer = layer
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor | None] = []

    def called(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Take the inputs of a call, and be told the gradient of its output.

        A hook on the tensor, which sees the gradient before anything that changes the output in place.
        """
        if not isinstance(output, Tensor) or not output.requires_grad:
            return
        given: Tensor = args[0] if args else kwargs["input"]
        with torch.no_grad():
            self.inputs.append(self.layer.inputs(given.detach()))
        self.gradients.append(None)
        came: Any = partial(self._came, len(self.inputs) - 1)
        output.register_hook(came)  # type: ignore[no-untyped-call]

    def _came(self, call: int, g: Tensor) -> None:
        if call < len(self.inputs):
            self.gradients[call] = self.layer.gradients(g.detach(), self.inputs[call])

    def forget(self) -> None:
        """Forget the gradients, before others are sent."""
        self.gradients = [None] * len(self.inputs)

    def pairs(self, rows: int) -> tuple[Tensor, Tensor] | None:
        """Return a and g of all calls as (rows, positions, …), or None where no gradient came.

        Several calls, as of a layer that is used for each step of a sequence, are more positions. A layer
        that sees each row's positions as rows of its own gets them back.

        Raises:
            TaskError: where the rows of the batch are not to be found in the layer's.
        """
        came = [(a, g) for a, g in zip(self.inputs, self.gradients, strict=True) if g is not None]
        if not came:
            return None
        inputs = [_by_row(a, rows, self.layer.name) for a, _ in came]
        gradients = [_by_row(g, rows, self.layer.name) for _, g in came]
        return torch.cat(inputs, 1), torch.cat(gradients, 1)


@contextmanager
def watched(layers: Iterable[FactoredLayer]) -> Iterator[list[Passes]]:
    """Watch the layers of a model inside the block; the hooks are gone after it."""
    found, handles = [], []
    try:
        for layer in layers:
            passes = Passes(layer)
            found.append(passes)
            handles.append(
                layer.module.register_forward_hook(
                    lambda _, args, kwargs, out, passes=passes: passes.called(args, kwargs, out),
                    with_kwargs=True,
                )
            )
        yield found
    finally:
        for handle in handles:
            handle.remove()


def weights_of_places(mass: Tensor, positions: int) -> Tensor:
    """Return what each position of a layer counts, (rows, positions), from what the loss's places count.

    Where a row has as many places as the layer has positions they are the same ones; else each position
    counts its share of the row.

    >>> weights_of_places(torch.tensor([2.0, 4.0]), 2)
    tensor([[1., 1.],
            [2., 2.]])
    """
    by_row = mass.reshape(len(mass), -1)
    if by_row.shape[1] == positions:
        return by_row
    return (by_row.sum(1, keepdim=True) / positions).expand(-1, positions)


def _by_row(x: Tensor, rows: int, name: str) -> Tensor:
    if len(x) == rows:
        return x
    if rows and len(x) % rows == 0:
        return x.reshape(rows, -1, *x.shape[2:])
    if len(x) and rows % len(x) == 0 and x.shape[1] % (rows // len(x)) == 0:
        # the loss takes the positions of a row as rows
        return x.reshape(rows, -1, *x.shape[2:])
    raise TaskError(
        f"The layer {name!r} sees {len(x)} rows where the loss has {rows}: K-FAC cannot tell which of them "
        "belong together. The first axis of a layer's inputs is that of the rows, or rows times positions."
    )
