"""A command line that cannot be read: what is wrong with it, in one line as all other errors."""

from __future__ import annotations

from typing import Any

import typer

from thalweg.errors import sentence, suggest

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What typer raises for it: click's class, of which newer versions of typer have their own."""

_EXPECTED = {"int": "a whole number", "float": "a number", "bool": "true or false"}
"""What the kinds of error begin with that a value of a wrong type is, and what was expected."""


def usage_words(error: Any) -> str:
    """Return what is wrong, where, and where to read more, of an error that typer found."""
    context = getattr(error, "ctx", None)
    path = "thalweg" if context is None else context.command_path
    return f"{_wrong(error, path)} `{path} --help` shows how it is used."


def _wrong(error: Any, path: str) -> str:
    kind = type(error).__name__
    if kind == "NoSuchOption":
        own = [name for each in error.ctx.command.params for name in _spellings(each)]
        return f"{path} has no option {error.option_name}.{suggest(error.option_name, own)}"
    if kind == "BadOptionUsage" and "requires an argument" in error.message:
        return f"{error.option_name} needs a value, and none is given."
    if kind == "MissingParameter":
        return f"{path} needs {_called(error.param)}, and none is given."
    if kind == "BadParameter" and error.param is not None:
        return f"{_called(error.param)}: {_of_value(error)}"
    said = str(error.format_message()).rstrip(".?")
    return f"{said}{'?' if 'Did you mean' in said else '.'}"


def _spellings(parameter: Any) -> list[str]:
    hidden = getattr(parameter, "hidden", False) or parameter.param_type_name == "argument"
    return [] if hidden else [*parameter.opts, *parameter.secondary_opts]


def _called(parameter: Any) -> str:
    """Return what a parameter is called: `--epochs`, `--optimizer or -o`, or the name of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return " or ".join(parameter.opts)


def _of_value(error: Any) -> str:
    """Return what was expected of a value, and what was given."""
    found = getattr(error.__cause__, "errors", None)
    if found is None:  # older versions name the value in the message, as our own errors do
        return sentence(error.message)
    first = found()[0]
    expected = _EXPECTED.get(first["type"].partition("_")[0])
    if expected is None:
        expected = f"a value {first['msg'].removeprefix('Input should be ')}"
    return f"expected {expected}, got {first['input']!r}."
