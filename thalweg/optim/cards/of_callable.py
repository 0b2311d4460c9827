"""The card of anything that is called, by its docstring and its signature alone."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from typing import Any

from thalweg.optim import docstring
from thalweg.optim.cards.card import Card
from thalweg.optim.docstring import read_docstring

WITHOUT_EFFECT = ("foreach", "fused")
"""Arguments by which PyTorch chooses among its own implementations; here they choose nothing."""

_ROOM = 76
"""The columns of an example that a terminal of 80 shows unbroken."""


def describe_callable(thing: Any, kind: str) -> Card:
    """Return the card of something else that is called, by its docstring alone."""
    given = docstring.of(thing)
    text = read_docstring(given)
    shown = doctest.DocTestParser().get_examples(given)
    name, package = thing.__name__, ".".join(thing.__module__.split(".")[:2])
    lines = [f"from {package} import {name}", *map(_with_result, shown)]
    example = "\n".join(lines) if shown else ""
    return Card(name, kind, text, text.blocks, signature_of(thing), example)


def _with_result(shown: doctest.Example) -> str:
    """Return the code of an example, with what it shows as a comment: beside it where there is room."""
    source, result = shown.source.rstrip(), shown.want.rstrip().splitlines()
    if not result:
        return source
    if len(result) == 1 and len(source.splitlines()[-1]) + len(result[0]) + 4 <= _ROOM:
        return f"{source}  # {result[0]}"
    return "\n".join([source, *(f"# {line}" for line in result)])


def signature_of(kind: Callable[..., Any]) -> str:
    """Return how something is called: its name and parameters, with their defaults."""
    signature = inspect.signature(kind)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name not in WITHOUT_EFFECT
    ]
    empty = inspect.Signature.empty
    return f"{kind.__name__}{signature.replace(parameters=parameters, return_annotation=empty)}"
