"""The functions of `torch.nn.init` as strategies, by PyTorch's names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.init.strategies.strategy import Setup, of_model


def torch_names() -> list[str]:
    """Return the functions of `torch.nn.init` that need no more than the tensor, without the underscore.

    >>> "kaiming_normal" in torch_names(), "constant" in torch_names()
    (True, False)
    """
    return sorted(
        name.removesuffix("_")
        for name, function in vars(nn.init).items()
        if name.endswith("_")
        and not name.startswith("_")
        and callable(function)
        and _needs_only_the_tensor(function)
    )


@of_model("*", data_driven=False, reads=False)
def from_torch(setup: Setup, name: str) -> None:
    """Draw every trainable parameter of two or more axes by a function of `torch.nn.init`.

    Args:
        name: of the function, without the underscore, such as "kaiming_normal".
    """
    function: Callable[..., Any] = getattr(nn.init, f"{name}_")
    taken = inspect.signature(function).parameters
    # Under a seed of its own a draw is the same on every device only if it is made on the CPU.
    own = None if setup.shared else setup.generator("torch", name)
    for parameter, tensor in setup.model.named_parameters():
        if not (tensor.requires_grad and tensor.ndim >= 2):
            continue
        if own is None or "generator" not in taken:
            function(tensor)
        else:
            drawn = torch.empty_like(tensor, device="cpu")
            function(drawn, generator=own)
            with torch.no_grad():
                tensor.copy_(drawn)
        setup.notes[parameter] = (name, None)


def _needs_only_the_tensor(function: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    return all(p.default is not inspect.Parameter.empty for p in parameters[1:])
