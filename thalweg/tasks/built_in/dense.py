"""The model of most built-in tasks: a dense network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import nn

from thalweg.errors import TaskError
from thalweg.tasks.initialize import Initialization, initialized


def mlp(
    sizes: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    *,
    flatten: bool = False,
    initialization: Initialization | None = None,
) -> nn.Sequential:
    """Return a dense network of layers between `sizes`, with `activation` and dropout after each
    but the last.

    `sizes` runs from inputs to outputs. The last layer gives plain numbers: logits for classes,
    values for regression. `flatten` puts a layer first that turns each sample into a row.

    `initialization` draws the weights anew: the name of a function of `torch.nn.init` such as
    "orthogonal", for every matrix of weights, or a function of the model. Without it they are
    PyTorch's: uniform on ±1/√(inputs of the layer).

    Raises TaskError for sizes that make no network and for an initialization that is not known.

    >>> sum(p.numel() for p in mlp([784, 32, 10], nn.Sigmoid).parameters())
    25450
    >>> mlp([2, 2, 1], initialization="ones")[0].weight.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
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
    network = nn.Sequential(*layers)
    if initialization is None:
        return network
    initialized(lambda: network, initialization)()
    return network
