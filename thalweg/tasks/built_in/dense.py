"""The model of most built-in tasks: a dense network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import nn

from thalweg.errors import TaskError


def mlp(
    sizes: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    *,
    flatten: bool = False,
) -> nn.Sequential:
    """Return a dense network of layers between `sizes`, with `activation` and dropout after each
    but the last.

    `sizes` runs from inputs to outputs. The last layer gives plain numbers: logits for classes,
    values for regression. `flatten` puts a layer first that turns each sample into a row.

    >>> sum(p.numel() for p in mlp([784, 32, 10], nn.Sigmoid).parameters())
    25450
    """
    if len(sizes) < 2 or any(size < 1 for size in sizes):
        raise TaskError(
            f"mlp needs at least two positive sizes, inputs and outputs; got {list(sizes)}."
        )
    layers: list[nn.Module] = [nn.Flatten()] if flatten else []
    for i, (width_in, width_out) in enumerate(itertools.pairwise(sizes)):
        if i:
            layers.append(activation())
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(width_in, width_out))
    return nn.Sequential(*layers)
