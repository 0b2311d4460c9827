"""What values hyperparameters may have: refused by name and range, wherever they are set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.engine import Rule
from thalweg.errors import suggest

Range = tuple[float, float, str]
"""The least and the most, and how the range is said."""

_AT_LEAST_0: Range = (0.0, math.inf, "at least 0")
_FROM_0_TO_1: Range = (0.0, 1.0, "from 0 to 1")
_BELOW_1: Range = (0.0, math.nextafter(1.0, 0.0), "at least 0 and below 1")
RANGES: Mapping[str, Range] = {
    **dict.fromkeys(
        ("lr", "eps", "weight_decay", "max_norm", "max_value", "temperature", "initial"),
        _AT_LEAST_0,
    ),
    **dict.fromkeys(("clipping", "relative", "start", "warmup"), _AT_LEAST_0),
    **dict.fromkeys(("beta1", "beta2", "beta3", "betas", "rho"), _BELOW_1),
    **dict.fromkeys(("beta", "decay", "theta"), _FROM_0_TO_1),
    "d0": (math.ulp(0.0), math.inf, "above 0"),
    "every": (1.0, math.inf, "at least 1"),
}
"""The ranges of hyperparameters by name; others may have any value."""

OF_THE_OPTIMIZER = ("decay", "dialect", "before", "after", "engine")
"""Arguments that hold for all groups."""


def is_ours(rule: Rule) -> bool:
    """Whether a rule is of this package, whose names have the ranges above; another's mean what it says."""
    return str(rule.__module__).startswith("thalweg.rules")


def check_value(name: str, value: Any, default: Any = 0.0) -> None:
    """Refuse a value that no rule can use; `name` may be that of a link's, "rule.name"."""
    if name == "lr":
        return check_learning_rate(value)
    last = name.split(".")[-1]
    if isinstance(default, (tuple, list)):
        _check_length(name, value, default)
    elif isinstance(default, (bool, str)):
        if type(value) is not type(default):
            raise TypeError(f"{name} is a {type(default).__name__}, got {value!r}")
        return None
    each = value if isinstance(value, (tuple, list)) else (value,)
    for number in each:
        if isinstance(number, str) or not hasattr(number, "__float__"):
            raise TypeError(f"{name} must be a number, got {value!r}")
        least, most, said = RANGES.get(last, (-math.inf, math.inf, ""))
        if not least <= float(number) <= most and last in RANGES:
            raise ValueError(f"Invalid {name}: {value!r}; it is {said}")
    return None


def check_learning_rate(lr: Any) -> None:
    """Refuse what is no learning rate."""
    if isinstance(lr, str) or not hasattr(lr, "__float__") or not float(lr) >= 0:
        raise ValueError(
            f"Invalid learning rate: {lr!r}; it is a number of at least 0, or a function from the number of "
            "steps taken to one"
        )


def check_dialect(owner: str, dialect: str, known: Iterable[str]) -> None:
    """Refuse a dialect that an optimizer does not have."""
    if dialect not in known:
        raise ValueError(
            f"{owner} has no dialect {dialect!r}; it has: {', '.join(known)}.{suggest(str(dialect), known)}"
        )


def check_group(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse entries of a param group that would have no effect."""
    known = list(known)
    rules = {name.split(".")[0] for name in known if "." in name}
    for name in given:
        if name in OF_THE_OPTIMIZER and name not in known:
            raise ValueError(
                f"{name!r} in a param group has no effect: it holds for the whole optimizer. Give it to the "
                "constructor, or make an optimizer for these parameters"
            )
        if "." in name and name not in known and name.split(".")[0] in rules:
            raise ValueError(f"a param group has no hyperparameter {name!r}.{suggest(name, known)}")


def _check_length(name: str, value: Any, default: tuple[Any, ...] | list[Any]) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != len(default):
        raise ValueError(
            f"{name} must be {len(default)} numbers, such as {tuple(default)}, got {value!r}"
        )
