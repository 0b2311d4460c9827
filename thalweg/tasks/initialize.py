"""Initializations that replace the one of PyTorch's layers: of a model, or of an entrant's own in a race."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError, suggest

Draw = Callable[[nn.Module], Any]
Initialization = str | Draw


def check_initialization(how: Initialization) -> Draw:
    """Return what draws the weights of a model; raise TaskError for what is no initialization."""
    draw = _by_name(how) if isinstance(how, str) else how
    if not callable(draw):
        raise TaskError(
            "An initialization is a name such as 'orthogonal', or a function of the model; got "
            f"{how!r}."
        )
    return draw


def initialized(build: Callable[[], nn.Module], how: Initialization) -> Callable[[], nn.Module]:
    """Return a function that builds the model and draws its weights anew.

    A name stands for `torch.nn.init`'s function with an underscore after it, for every trainable
    parameter of two or more axes; other parameters, such as biases and gains, stay as the model set
    them.

    Raises:
        TaskError: for a name that `torch.nn.init` does not have.

    >>> model = initialized(lambda: nn.Linear(3, 3), "orthogonal")()
    >>> torch.allclose(model.weight @ model.weight.T, torch.eye(3), atol=1e-6)
    True
    """
    draw = check_initialization(how)

    def model() -> nn.Module:
        built = build()
        with torch.no_grad():
            draw(built)
        return built

    return model


def initializations() -> list[str]:
    """Return the names that an initialization may have.

    >>> "kaiming_normal" in initializations(), "eye" in initializations()
    (True, True)
    """
    return sorted(
        name.removesuffix("_")
        for name, function in vars(nn.init).items()
        if name.endswith("_")
        and not name.startswith("_")
        and callable(function)
        and _needs_only_the_tensor(function)
    )


def _by_name(name: str) -> Callable[[nn.Module], None]:
    known = initializations()
    if name not in known:
        hint = suggest(name, known) or f" Known are: {', '.join(known)}."
        raise TaskError(f"No initialization is called {name!r}.{hint}")
    function = getattr(nn.init, f"{name}_")

    def draw(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.ndim >= 2:
                function(parameter)

    return draw


def _needs_only_the_tensor(function: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    return all(p.default is not inspect.Parameter.empty for p in parameters[1:])
