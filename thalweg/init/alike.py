"""Hidden units that begin alike, and an error that names them."""

from __future__ import annotations

from torch import nn

from thalweg.errors import TaskError
from thalweg.model.symmetry import SymmetricUnits, symmetric_in
from thalweg.model.trace import traced


def symmetric_units(model: nn.Module, x: object = None) -> tuple[SymmetricUnits, ...]:
    """Return the groups of hidden units that can be exchanged without changing the model.

    Two units are such if their incoming and their outgoing weights are equal, up to an exchange of such
    units in the layers before and behind, and, where the activation is odd, up to a sign. A layer whose
    units are added to others, or leave the model, is left out.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> for p in net.parameters():
    ...     _ = nn.init.constant_(p, 0.5)
    >>> [str(group) for group in symmetric_units(net)]
    ["layer '0', 3 units: 0, 1, 2"]
    """
    return symmetric_in(traced(model, x).layers)


def check_symmetry(model: nn.Module, x: object = None) -> None:
    """Raise TaskError, with layers and units, if hidden units begin alike."""
    found = symmetric_units(model, x)
    if found:
        raise TaskError(
            f"Hidden units begin alike and would stay so: {'; '.join(map(str, found))}. Draw their "
            "weights, such as by init.apply(model, init.he())."
        )
