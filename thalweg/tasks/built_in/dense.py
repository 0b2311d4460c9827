"""The model of most built-in tasks: a dense network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import as_whole, is_real
from thalweg.objective.blame import blame
from thalweg.tasks.initialize import Initialization, check_initialization, started


def mlp(
    sizes: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    *,
    flatten: bool = False,
    init: Initialization | None = None,
    initialization: Initialization | None = None,
) -> nn.Sequential:
    """Return a dense network of layers between `sizes`, with `activation` and dropout after each
    but the last.

    `sizes` runs from inputs to outputs, all of them in one list. The last layer gives plain numbers:
    logits for classes, values for regression. `activation` is a class, or a function without
    arguments that makes a layer. `flatten` puts a layer first that turns each sample into a row.

    `init` draws the weights again: a strategy of `thalweg.init` or its name, such as "orthogonal", the
    name of a function of `torch.nn.init`, or a function of the model. Without it they are PyTorch's:
    uniform on ±1/√(inputs of the layer). `initialization` is another name of `init`.

    Raises:
        TaskError: for sizes that make no network, what makes no layer, no share of dropout, and an
            initialization that is not known or is given by both names.

    >>> sum(p.numel() for p in mlp([784, 32, 10], nn.Sigmoid).parameters())
    25450
    >>> mlp([2, 2, 1], init="ones")[0].weight.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    how = _start(init, initialization)
    widths = _widths(sizes, activation, dropout)
    if not (is_real(dropout) and 0 <= dropout <= 1):
        raise TaskError(f"dropout of mlp must be a share from 0 to 1; got {dropout!r}.")
    layers: list[nn.Module] = [nn.Flatten()] if flatten else []
    for i, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
        if i:
            layers.append(_layer(activation))
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(width_in, width_out))
    network = nn.Sequential(*layers)
    if how is not None:
        started(network, check_initialization(how))
    return network


def _start(
    init: Initialization | None, initialization: Initialization | None
) -> Initialization | None:
    """Return how the weights are drawn, by whichever name it is given."""
    if init is not None and initialization is not None:
        raise TaskError(
            f"mlp has init={init!r} and initialization={initialization!r}, two names of one argument: "
            "give one of them."
        )
    return initialization if init is None else init


def _widths(sizes: Any, *others: Any) -> list[int]:
    """Return the sizes as integers; `others` are what was given after them."""
    if as_whole(sizes) is not None:  # mlp(4, 32, 2)
        meant = [sizes, *itertools.takewhile(lambda each: as_whole(each) is not None, others)]
        shown = ", ".join(map(str, meant)) if len(meant) > 1 else f"{sizes}, 32, 1"
        raise TaskError(
            f"The sizes of mlp are one list, from inputs to outputs: write mlp([{shown}]), not "
            f"mlp({', '.join(map(str, meant))})."
        )
    try:
        given = list(sizes)
    except TypeError:
        given = [sizes]
    widths = [size for size in map(as_whole, given) if size is not None and size >= 1]
    if isinstance(sizes, str) or len(widths) < max(2, len(given)):
        raise TaskError(
            "The sizes of mlp must be a list of at least two integers ≥ 1, from inputs to outputs, such "
            f"as mlp([4, 32, 2]); got {sizes!r}."
        )
    return widths


def _layer(activation: Any) -> nn.Module:
    """Return a fresh layer of an activation."""
    advice = (
        "The activation of mlp is a class of layers such as torch.nn.ReLU, without brackets, or a function "
        "without arguments that makes one, such as `lambda: torch.nn.LeakyReLU(0.1)`"
    )
    if isinstance(activation, nn.Module) or not callable(activation):
        raise TaskError(f"{advice}; got {activation!r}.")
    try:
        layer = activation()
    except Exception as error:  # the user's own function, or one of tensors such as torch.relu
        raise TaskError(f"{advice}; {activation!r} fails. {blame(error)}") from error
    if not isinstance(layer, nn.Module):
        raise TaskError(f"{advice}; {activation!r} makes {type(layer).__name__}.")
    return layer
