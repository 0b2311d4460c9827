"""Strategies by name, as the command line and a race take them."""

from __future__ import annotations

import inspect
from typing import Any

from thalweg.errors import TaskError, suggest

# Importing a module of strategies defines them.
from thalweg.init.strategies import (
    biases,  # noqa: F401
    learned,  # noqa: F401
    lsuv,  # noqa: F401
    residual,  # noqa: F401
    search,  # noqa: F401
    torch_names,
    weights,  # noqa: F401
)
from thalweg.init.strategies.strategy import DEFINITIONS, InitChain, InitStrategy, parts_of
from thalweg.numeric import plain_value

_UNNAMED = ("from_torch",)
"""Strategies that have names of their own: those of PyTorch."""


def strategy_names() -> list[str]:
    """Return the names that a strategy may have: those of `thalweg.init`, and those of `torch.nn.init`.

    >>> {"he", "orthogonal", "kaiming_normal"} <= set(strategy_names())
    True
    """
    return sorted({*DEFINITIONS, *torch_names.torch_names()} - {*_UNNAMED})


def find_strategy(text: str) -> InitStrategy | InitChain:
    """Return the strategy of a text: a name, arguments behind a colon, several joined by `|`.

    Where a name is both ours and PyTorch's (`orthogonal`) it is ours. Several numbers in one
    argument are separated by slashes, as are the layers of `on`.

    Raises:
        TaskError: for a name or an argument that is not known, with the close ones.

    >>> find_strategy("orthogonal:gain=1.4,on=hidden/output|bias")
    orthogonal:gain=1.4,on=hidden/output|bias
    """
    parts = [part.strip() for part in text.split("|")]
    found = [_one(part, text) for part in parts]
    return found[0] if len(found) == 1 else InitChain(tuple(found))


def as_strategy(given: Any) -> InitStrategy | InitChain:
    """Return a strategy as it is, or the one that a text names."""
    if isinstance(given, str):
        return find_strategy(given)
    parts = parts_of(given)
    return parts[0] if len(parts) == 1 else InitChain(parts)


def _one(text: str, whole: str) -> InitStrategy:
    name, _, rest = (part.strip() for part in text.partition(":"))
    given = _arguments(rest, whole)
    where = tuple(filter(None, str(given.pop("on", "")).split("/")))
    if name in DEFINITIONS and name not in _UNNAMED:
        _check_arguments(name, given)
        return InitStrategy(name, {key: _value(value) for key, value in given.items()}, where)
    if name in torch_names.torch_names():
        if given or where:
            raise TaskError(
                f"{name!r} is a function of torch.nn.init, which is called with the tensor alone; got "
                f"{rest!r}."
            )
        return InitStrategy("from_torch", {"name": name})
    known = strategy_names()
    hint = suggest(name, known) or f" Known are: {', '.join(known)}."
    raise TaskError(f"No initialization is called {name!r}.{hint}")


def _arguments(text: str, whole: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (each.strip() for each in part.partition("="))
        if not (equals and key.isidentifier() and value):
            raise TaskError(
                f"In {whole!r}, {part!r} is not an argument: expected name=value, several separated by "
                "commas, such as orthogonal:gain=1.4,aspect=false."
            )
        if key in found:
            raise TaskError(f"{whole!r} gives {key!r} twice.")
        found[key] = value
    return found


def _check_arguments(name: str, given: dict[str, Any]) -> None:
    parameters = DEFINITIONS[name].parameters
    known = [*parameters, "on"]
    for key in given:
        if key not in known:
            raise TaskError(
                f"The initialization {name!r} has no argument {key!r}.{suggest(key, known)} It has: "
                f"{', '.join(known)}."
            )
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in given:
            raise TaskError(
                f"The initialization {name!r} needs {key}, which is given in Python: init.{name}."
            )


def _value(text: str) -> Any:
    values = [plain_value(word) for word in text.split("/")]
    return values[0] if len(values) == 1 else tuple(values)
