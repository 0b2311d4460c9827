"""Search spaces of a hyperparameter: its range and its scale.

A space maps the unit interval onto values, `at(u)`, and it does so monotonically: a search draws u
and need not know the scale. Values are rounded where the rounding does not matter for training, so
that they read well and the same point is the same number wherever it is found.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole, plain_value

_DIGITS = 3
"""Significant digits of a value on a logarithmic scale, as in a grid of learning rates."""

_DECIMALS_OF_WIDTH = 3
"""A uniform value is rounded to a thousandth of its range's power of ten."""


class Space(ABC):
    """The values that a search may give to a hyperparameter."""

    @abstractmethod
    def at(self, u: float) -> Any:
        """Return the value at `u` from 0 to 1; it never falls as u grows."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The space in words."""

    @property
    def size(self) -> int | None:
        """How many values there are, None for a continuum."""
        return None


@dataclass(frozen=True)
class Uniform(Space):
    """See `uniform`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("uniform", self.low, self.high)

    def at(self, u: float) -> float:
        """Return low + u (high − low)."""
        decimals = _DECIMALS_OF_WIDTH - math.floor(math.log10(self.high - self.low))
        u = _checked(u)
        return _within(self.low, round((1 - u) * self.low + u * self.high, decimals), self.high)

    @property
    def text(self) -> str:
        """The space in words."""
        return f"{self.low:.10g} … {self.high:.10g}"


@dataclass(frozen=True)
class LogUniform(Space):
    """See `log_uniform`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("log_uniform", self.low, self.high)
        if self.low <= 0:
            raise TaskError(
                f"log_uniform needs 0 < low, got low={self.low}: a logarithmic scale has no zero. "
                "For a range with zero use uniform, or choice(0, …)."
            )

    def at(self, u: float) -> float:
        """Return low (high / low)^u."""
        return _within(self.low, _on_log_scale(self.low, self.high, _checked(u)), self.high)

    @property
    def text(self) -> str:
        """The space in words."""
        return f"{self.low:.10g} … {self.high:.10g}, logarithmic"


@dataclass(frozen=True)
class LogUniformBelowOne(Space):
    """See `log_uniform_below_one`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range("log_uniform_below_one", self.low, self.high)
        if self.low < 0 or self.high >= 1:
            raise TaskError(
                f"log_uniform_below_one needs 0 ≤ low < high < 1, got low={self.low}, "
                f"high={self.high}: it is 1 − value that is searched on a logarithmic scale."
            )

    def at(self, u: float) -> float:
        """Return 1 − (1 − low) ((1 − high) / (1 − low))^u."""
        gap = _on_log_scale(1 - self.high, 1 - self.low, 1 - _checked(u))
        return _within(self.low, float(f"{1 - gap:.12g}"), self.high)

    @property
    def text(self) -> str:
        """The space in words."""
        return f"{self.low:.10g} … {self.high:.10g}, logarithmic in 1 − value"


@dataclass(frozen=True)
class Integers(Space):
    """See `integers`."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_range("integers", self.low, self.high)

    def at(self, u: float) -> int:
        """Return low + ⌊u (high − low + 1)⌋."""
        return min(self.low + math.floor(_checked(u) * self.size), self.high)

    @property
    def text(self) -> str:
        """The space in words."""
        return f"{self.low} … {self.high}, integers"

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1


@dataclass(frozen=True)
class Choice(Space):
    """See `choice`."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise TaskError("choice needs at least one value, as in choice(True, False); got none.")
        for value in self.values:
            if not _is_plain(value):
                raise TaskError(
                    "choice takes numbers, texts, True, False and None, which a record can hold; "
                    f"got {value!r}. For anything else choose a name, and let the optimizer's "
                    "function look it up."
                )
            if self.values.count(value) > 1:
                raise TaskError(f"choice is given {value!r} twice.")

    def at(self, u: float) -> Any:
        """Return the value at the index ⌊u n⌋ of n."""
        return self.values[min(math.floor(_checked(u) * self.size), self.size - 1)]

    @property
    def text(self) -> str:
        """The space in words."""
        return " or ".join(str(value) for value in self.values)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)


def uniform(low: float, high: float) -> Uniform:
    """Return the space of the numbers from `low` to `high`, all alike: value = low + u (high − low).

    Raises:
        TaskError: unless low < high, both finite.

    >>> uniform(0.5, 0.99).at(0.5), uniform(0.5, 0.99).text
    (0.745, '0.5 … 0.99')
    """
    return Uniform(_number("uniform", low), _number("uniform", high))


def log_uniform(low: float, high: float) -> LogUniform:
    """Return the space of the numbers from `low` to `high`, all decades alike:
    value = low (high / low)^u, to three significant digits.

    It suits scales: a learning rate, a weight decay.

    Raises:
        TaskError: unless 0 < low < high, both finite.

    >>> log_uniform(0.001, 1).at(0.5), log_uniform(0.001, 1).text
    (0.0316, '0.001 … 1, logarithmic')
    """
    return LogUniform(_number("log_uniform", low), _number("log_uniform", high))


def log_uniform_below_one(low: float, high: float) -> LogUniformBelowOne:
    """Return the space of the numbers from `low` to `high` below 1, all decades of 1 − value alike:
    1 − value = (1 − low) ((1 − high) / (1 − low))^u.

    It suits the betas of moving averages, whose memory is 1 / (1 − β) steps long.

    Raises:
        TaskError: unless 0 ≤ low < high < 1.

    >>> log_uniform_below_one(0.9, 0.999).at(0.5)
    0.99
    """
    name = "log_uniform_below_one"
    return LogUniformBelowOne(_number(name, low), _number(name, high))


def integers(low: int, high: int) -> Integers:
    """Return the space of the integers from `low` to `high`, both included.

    Raises:
        TaskError: unless low < high, both integers.

    >>> [integers(1, 3).at(u) for u in (0, 0.5, 0.99)]
    [1, 2, 3]
    """
    return Integers(_whole(low), _whole(high))


def choice(*values: Any) -> Choice:
    """Return the space of the values given, all alike: numbers, texts, True, False or None.

    Raises:
        TaskError: without a value, with one given twice, or one that a record cannot hold.

    >>> [choice(True, False).at(u) for u in (0.2, 0.7)]
    [True, False]
    """
    return Choice(values)


def parse_space(text: str) -> tuple[str, Space]:
    """Return name and space from a text as the command line takes it.

        beta1=0.5:0.99              the numbers from 0.5 to 0.99
        weight_decay=log:1e-5:0.1   on a logarithmic scale
        beta2=1-log:0.9:0.9999      on a logarithmic scale of 1 − value
        k=int:1:10                  integers
        nesterov=true|false         one of these; none, numbers and other words go as well

    Raises:
        TaskError: for a text that is not one of these.

    >>> parse_space("weight_decay=log:1e-5:0.1")
    ('weight_decay', LogUniform(low=1e-05, high=0.1))
    """
    name, equals, given = (part.strip() for part in text.partition("="))
    if not equals or not name.isidentifier() or not given:
        raise TaskError(f"{text!r} does not say what to search. {_EXAMPLES}")
    try:
        return name, _parsed(given)
    except TaskError as error:
        raise TaskError(f"{text!r} does not say what to search: {error}") from None


_EXAMPLES = (
    "Write a name and its space: beta1=0.5:0.99, weight_decay=log:1e-5:0.1, beta2=1-log:0.9:0.9999, "
    "k=int:1:10 or nesterov=true|false."
)
_SCALES = {"log": log_uniform, "1-log": log_uniform_below_one, "int": integers}


def _parsed(given: str) -> Space:
    if "|" in given:
        return choice(*(_value(word.strip()) for word in given.split("|")))
    *scale, low, high = given.split(":") if ":" in given else ("", "", "")
    if not low or not high or len(scale) > 1:
        raise TaskError(f"{given!r} is neither a range nor a choice. {_EXAMPLES}")
    if not scale:
        return uniform(_bound(low), _bound(high))
    if scale[0] not in _SCALES:
        hint = suggest(scale[0], _SCALES) or f" Known are: {', '.join(_SCALES)}."
        raise TaskError(f"No scale is called {scale[0]!r}.{hint}")
    return _SCALES[scale[0]](*(_bound(bound, whole=scale[0] == "int") for bound in (low, high)))


def _bound(text: str, whole: bool = False) -> Any:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        kind = "an integer" if whole else "a number"
        raise TaskError(f"{text!r} is not {kind}. {_EXAMPLES}") from None


def _value(word: str) -> Any:
    if not word:
        raise TaskError(f"A choice is empty. {_EXAMPLES}")
    return plain_value(word)


def _number(kind: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TaskError(f"{kind} takes two numbers, got {value!r}.")
    return float(value)


def _whole(value: Any) -> int:
    whole = as_whole(value)
    if whole is None:
        raise TaskError(f"integers takes two integers, got {value!r}.")
    return whole


def _check_range(kind: str, low: float, high: float) -> None:
    if not (low < high and math.isfinite(high - low)):
        raise TaskError(
            f"{kind} needs low < high, both finite; got low={low}, high={high}. What has only one "
            "value is not searched: fix it among the hyperparameters."
        )


def _checked(u: float) -> float:
    if not 0 <= u <= 1:
        raise ValueError(f"A space is asked at u from 0 to 1, got {u}.")
    return float(u)


def _on_log_scale(low: float, high: float, u: float) -> float:
    """Round to three significant digits, or to more where the range is a fraction of a decade."""
    decades = math.log10(high) - math.log10(low)
    if decades < 1:
        decades = math.log1p((high - low) / low) / math.log(10)
    narrow = max(0, math.ceil(-math.log10(decades)))
    return float(f"{low ** (1 - u) * high**u:.{_DIGITS + narrow}g}")


def _within(low: float, value: float, high: float) -> float:
    """Clip a value that rounding has put outside the range."""
    return min(max(low, value), high)


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)
