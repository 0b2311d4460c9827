"""Strategies by name, as the command line and the record of a run have them."""

from __future__ import annotations

import dataclasses
from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.numeric import plain_value
from thalweg.strategies.batches import growing_batches
from thalweg.strategies.curriculum import curriculum
from thalweg.strategies.pretraining import pretraining
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.unchanged import plain

STRATEGIES: dict[str, type[Strategy]] = {
    kind.__name__: kind for kind in (plain, curriculum, pretraining, growing_batches)
}
"""The strategies that a text can name."""


def strategy_named(text: str) -> Strategy:
    """Return the strategy of a text NAME or NAME:setting=value,setting=value.

    A value is a number, true, false, none or a text; + joins several.

    Raises:
        TaskError: for a name or a setting that is not known, and for a value out of its range.

    >>> strategy_named("curriculum:order=hard,start=0.5").start
    0.5
    """
    name, _, given = (part.strip() for part in text.partition(":"))
    kind = STRATEGIES.get(name.lower().replace("-", "_"))
    if kind is None:
        raise TaskError(
            f"There is no strategy {name!r}.{suggest(name, STRATEGIES)} There are: "
            f"{', '.join(STRATEGIES)}."
        )
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        key, equals, value = (each.strip() for each in part.partition("="))
        key = key.replace("-", "_")
        if not equals or not value:
            raise TaskError(
                f"The settings of a strategy must be NAME:setting=value,setting=value; got {part!r} in "
                f"{text!r}."
            )
        if key not in known:
            raise TaskError(
                f"{kind.__name__} has no setting {key!r}.{suggest(key, known)} It has: "
                f"{', '.join(known) or 'none'}."
            )
        if key in settings:
            raise TaskError(f"{text!r} gives {key!r} twice.")
        words = [plain_value(word.strip()) for word in value.split("+")]
        settings[key] = words[0] if len(words) == 1 else tuple(words)
    try:
        return kind(**settings)
    except TypeError as error:
        raise TaskError(f"{kind.__name__} cannot be made of {text!r}: {error}.") from error
