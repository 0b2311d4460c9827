"""What values hyperparameters may have: refused by name and range, wherever they are set."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from itertools import chain as concatenate
from typing import Any

from torch import Tensor

from thalweg.engine import Rule
from thalweg.errors import suggest

Group = dict[str, Any]
"""A param group of PyTorch: its parameters, and its hyperparameters by name."""


def all_params(groups: Iterable[Group]) -> list[Tensor]:
    """Return the parameters of all groups, in order."""
    return list(concatenate.from_iterable(group["params"] for group in groups))


Range = tuple[float, float, str]
"""The least and the most, and how the range is said."""

_LARGEST = sys.float_info.max
_FINITE: Range = (-_LARGEST, _LARGEST, "finite")
_AT_LEAST_0: Range = (0.0, _LARGEST, "at least 0, and finite")
_ABOVE_0: Range = (math.ulp(0.0), _LARGEST, "above 0, and finite")
_UNBOUNDED: Range = (0.0, math.inf, "at least 0")
_FROM_1: Range = (1.0, math.inf, "at least 1")
_FROM_0_TO_1: Range = (0.0, 1.0, "from 0 to 1")
_BELOW_1: Range = (0.0, math.nextafter(1.0, 0.0), "at least 0 and below 1")
RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "temperature", "initial"), _AT_LEAST_0),
    **dict.fromkeys(("relative", "warmup", "momentum", "trust_coefficient"), _AT_LEAST_0),
    **dict.fromkeys(("graft_eps", "eps1", "eps2", "ns_steps"), _AT_LEAST_0),
    "exponent": _ABOVE_0,
    "block_size": (3.0, math.inf, "at least 3"),
    "shampoo_beta": (-1.0, _BELOW_1[1], "below 1, or -1 for β₂"),
    "d": _FROM_1,
    **dict.fromkeys(("alpha", "gamma", "final_lr", "kappa", "r", "power", "eta"), _AT_LEAST_0),
    **dict.fromkeys(("lr_decay", "momentum_decay", "lambd"), _AT_LEAST_0),
    **dict.fromkeys(("initial_accumulator_value", "smallest"), _AT_LEAST_0),
    # no bound, or never, may be meant
    **dict.fromkeys(
        ("max_norm", "max_value", "clipping", "start", "t0", "largest", "max_dim"), _UNBOUNDED
    ),
    **dict.fromkeys(("beta1", "beta2", "beta3", "betas", "rho"), _BELOW_1),
    **dict.fromkeys(("beta", "decay", "theta", "phi", "eta_minus"), _FROM_0_TO_1),
    **dict.fromkeys(("d0", "d_coef"), _ABOVE_0),
    **dict.fromkeys(("every", "growth_rate", "eta_plus"), _FROM_1),
    "lookahead.alpha": _FROM_0_TO_1,
}
"""The ranges of hyperparameters by name; others may have any finite value."""

TEXTS = (str, bytes, bytearray)
"""Types that `float` reads as numbers and that are not numbers."""

_WHOLE = ("seed", "block_size")

_MAY_BE_INFINITE = ("t0", "step_sizes")
"""Arguments of PyTorch's classes for which infinity may be meant."""

KEPT_AS = ("state_dtype", "rounding")
OF_THE_OPTIMIZER = ("decay", "dialect", "before", "after", "engine", "capturable", *KEPT_AS)
"""Arguments that hold for all groups."""


def is_ours(rule: Rule) -> bool:
    """Whether a rule is of this package: of others it is not known what their hyperparameters mean."""
    return str(rule.__module__).startswith("thalweg.rules")


def check_range(name: str, value: Any, default: Any = 0.0) -> None:
    """Refuse a value that no rule can use; `name` may be that of a link's, "rule.name"."""
    if name == "lr":
        return check_learning_rate(value)
    last = name.split(".")[-1]
    if isinstance(default, (tuple, list)):
        _check_length(name, value, default)
    elif isinstance(default, (bool, str)):
        if type(value) is not type(default):
            raise TypeError(f"{name} must be a {type(default).__name__}, got {value!r}.")
        return None
    each = value if isinstance(value, (tuple, list)) else (value,)
    for number in each:
        if isinstance(number, str) or not hasattr(number, "__float__"):
            raise TypeError(f"{name} must be a number, got {value!r}.")
        least, most, said = RANGES.get(name, RANGES.get(last, _FINITE))
        if not least <= _plain(number) <= most:
            raise ValueError(f"Invalid {name}: {value!r}; it must be {said}.")
        if last in _WHOLE and math.isfinite(number) and not _plain(number).is_integer():
            raise ValueError(f"Invalid {name}: {value!r}; it must be an integer.")
    return None


def check_learning_rate(lr: Any) -> None:
    """Reject an invalid learning rate."""
    if isinstance(lr, str) or not hasattr(lr, "__float__") or not 0 <= _plain(lr) < math.inf:
        raise ValueError(
            f"Invalid learning rate: {lr!r}; it must be a finite number of at least 0, or a function from "
            "the number of steps taken to one."
        )


def check_finite(given: Mapping[str, Any]) -> None:
    """Refuse infinite numbers and NaN, which PyTorch's classes let through."""
    for name, value in given.items():
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(number, (bool, str)) or not hasattr(number, "__float__"):
                continue
            most = math.inf if name in _MAY_BE_INFINITE else _LARGEST
            if not -_LARGEST <= _plain(number) <= most:
                raise ValueError(f"Invalid {name}: {value!r}; it must be finite.")


def check_no_texts(groups: Iterable[Group], names: Iterable[str]) -> None:
    """Refuse texts among these entries of groups, which `float` would read as numbers."""
    for k, group in enumerate(groups):
        for name in names:
            if isinstance(group[name], TEXTS):
                raise TypeError(
                    f"param group {k} has {name}={group[name]!r}, which is not a number: it is a "
                    f"{type(group[name]).__name__}."
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
                "constructor, or make an optimizer for these parameters."
            )
        if "." in name and name not in known and name.split(".")[0] in rules:
            raise ValueError(f"A param group has no hyperparameter {name!r}.{suggest(name, known)}")


def _plain(number: Any) -> float:
    """Return a number; of a tensor that requires a gradient, without its history."""
    return float(number.detach() if isinstance(number, Tensor) else number)


def _check_length(name: str, value: Any, default: tuple[Any, ...] | list[Any]) -> None:
    if not isinstance(value, (tuple, list)) or len(value) != len(default):
        raise ValueError(
            f"{name} must be {len(default)} numbers, such as {tuple(default)}, got {value!r}."
        )
