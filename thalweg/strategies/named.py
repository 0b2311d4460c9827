"""Strategies by name, as the command line and the record of a run have them."""

from __future__ import annotations

import dataclasses
from typing import Any

from thalweg.errors import TaskError, sentence, suggest
from thalweg.numeric import plain_value
from thalweg.strategies.batches import growing_batches
from thalweg.strategies.curriculum import curriculum
from thalweg.strategies.depth import stochastic_depth
from thalweg.strategies.freezing import freezing
from thalweg.strategies.net2net import net2net
from thalweg.strategies.pretraining import pretraining
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.teachers import distillation, hints
from thalweg.strategies.transfer import copied_layers, transfer
from thalweg.strategies.unchanged import plain
from thalweg.tasks.by_name.files import held_in_file, is_in_file

STRATEGIES: dict[str, type[Strategy]] = {
    kind.__name__: kind
    for kind in (plain, curriculum, pretraining, growing_batches, stochastic_depth)
}
"""The strategies that a text can name."""

IN_PYTHON: dict[str, type[Strategy]] = {
    kind.__name__: kind
    for kind in (copied_layers, distillation, freezing, hints, net2net, transfer)
}
"""Those that are made of models or of tables, which no text says."""


def strategy_named(text: str) -> Strategy:
    """Return the strategy of a text NAME or NAME:setting=value,setting=value, or what "file.py:name" holds.

    A value is a number, true, false, none or a text; + joins several.

    Raises:
        TaskError: for a name or a setting that is not known, for a value out of its range, and for a file
            that cannot be run, or holds no strategy under that name.

    >>> strategy_named("curriculum:order=hard,start=0.5").start
    0.5
    """
    if is_in_file(text):
        return _in_file(text)
    name, _, given = (part.strip() for part in text.partition(":"))
    kind = _kind_named(name)
    settings = _settings(text, kind, given)
    lacking = [each.name for each in dataclasses.fields(kind) if _must_be_given(each)]  # type: ignore[arg-type]
    for key in lacking:
        if key not in settings:
            raise TaskError(
                f"{kind.__name__} needs the setting {key!r}: write {kind.__name__}:{key}=…; + joins several."
            )
    try:
        return kind(**settings)
    except TypeError as error:
        raise TaskError(f"{kind.__name__} cannot be made of {text!r}: {sentence(error)}") from error


def _kind_named(name: str) -> type[Strategy]:
    """Return the class that a text names."""
    called = name.lower().replace("-", "_")
    if called in STRATEGIES:
        return STRATEGIES[called]
    if called in IN_PYTHON:
        first = dataclasses.fields(IN_PYTHON[called])[0].name  # type: ignore[arg-type]
        raise TaskError(
            f"{called} takes {first!r}, which no text can say. Make one in Python, and give it to fit("
            f"…, strategy={called}({first}=…)), or name it as file.py:name."
        )
    raise TaskError(
        f"There is no strategy {name!r}.{suggest(called, [*STRATEGIES, *IN_PYTHON])} By name there are: "
        f"{', '.join(STRATEGIES)}; in Python, or as file.py:name, also {', '.join(IN_PYTHON)}."
    )


def _settings(text: str, kind: type[Strategy], given: str) -> dict[str, Any]:
    """Return the settings that a text gives behind the name."""
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
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
        settings[key] = _value(known[key], value)
    return settings


def _value(field: dataclasses.Field[Any], text: str) -> Any:
    """Return what the text of a setting stands for; names of layers, which may be digits, stay texts."""
    words = [word.strip() for word in text.split("+")]
    if field.type == "tuple[str, ...]":  # annotations are texts here
        return tuple(words)
    values = [plain_value(word) for word in words]
    return values[0] if len(values) == 1 else tuple(values)


def _must_be_given(field: dataclasses.Field[Any]) -> bool:
    nothing = dataclasses.MISSING
    return field.default is nothing and field.default_factory is nothing


def _in_file(text: str) -> Strategy:
    """Return the strategy that "file.py:name" holds."""
    found = held_in_file(text, "a strategy", "a strategy")
    if not isinstance(found, Strategy):
        more = " Make one: call it." if isinstance(found, type) else ""
        raise TaskError(
            f"{text} is {found!r:.80}; expected a strategy, such as "
            f"thalweg.strategies.curriculum().{more}"
        )
    return found
