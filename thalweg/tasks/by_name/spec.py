"""A task as text, as the command line takes it: where it is, and options by name."""

from __future__ import annotations

import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import TaskError, suggest

DEFAULT_FUNCTION = "task"
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Spec:
    """A task's text in its parts: `home` is the name of a built-in task, a file, or a module."""

    home: str
    function: str
    options: dict[str, str]

    @property
    def is_file(self) -> bool:
        """Whether the home is a Python file."""
        return self.home.endswith(".py")


def read_spec(text: str, built_in: Collection[str]) -> Spec:
    """Read "name", "file.py", "file.py:function" or "module:function", each with options behind a
    further colon, separated by commas.

    >>> read_spec("parity:bits=12,relevant=3", ["parity"])
    Spec(home='parity', function='', options={'bits': '12', 'relevant': '3'})
    >>> read_spec("mine.py:make:width=64", [])
    Spec(home='mine.py', function='make', options={'width': '64'})
    >>> read_spec("my_package.tasks:make", [])
    Spec(home='my_package.tasks', function='make', options={})
    """
    file = re.match(r"(.*\.py)(?::(.*))?$", text, re.DOTALL)
    home, _, rest = text.partition(":") if file is None else (file[1], ":", file[2] or "")
    function = ""
    if home not in built_in or file is not None:
        head, _, tail = rest.partition(":")
        function, rest = (DEFAULT_FUNCTION, rest) if "=" in head else (head, tail)
    return Spec(home, function or DEFAULT_FUNCTION if file else function, _options(rest, text))


def _options(text: str, whole: str) -> dict[str, str]:
    options: dict[str, str] = {}
    name = ""
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if equals and key.strip().isidentifier():
            name = key.strip()
            if name in options:
                raise TaskError(f"The task {whole!r} gives the option {name!r} twice.")
            options[name] = value
        elif name:  # a comma within a value, as in a file's name
            options[name] += f",{part}"
        else:
            raise TaskError(
                f"In {whole!r}, {part!r} is not an option: expected name=value, several separated by "
                "commas, such as parity:bits=12,relevant=3."
            )
    return options


def spec_text(spec: Spec, options: Mapping[str, Any]) -> str | None:
    """Return the text from which any process on this machine can load the task: a file by its whole path.

    None where an option was given that is neither a number, a text nor a path: no text stands for it.

    >>> spec_text(Spec("parity", "", {"bits": "12"}), {"relevant": 3})
    'parity:bits=12,relevant=3'
    """
    if any(
        not isinstance(value, bool | int | float | str | os.PathLike) for value in options.values()
    ):
        return None
    home = str(Path(spec.home).resolve()) if spec.is_file else spec.home
    function = spec.function if spec.function != DEFAULT_FUNCTION or not spec.is_file else ""
    given = {**spec.options, **{name: _as_text(value) for name, value in options.items()}}
    rest = ",".join(f"{name}={value}" for name, value in given.items())
    return ":".join(part for part in (home, function, rest) if part)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_options(make: Callable[..., Any], options: Mapping[str, Any], called: str) -> None:
    """Raise TaskError for an option that `make` does not take."""
    parameters = inspect.signature(make).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for option in options:
        if option not in known:
            has = f"It has: {', '.join(known)}." if known else "It has none."
            raise TaskError(
                f"The task {called!r} has no option {option!r}.{suggest(option, known)} {has}"
            )


def typed(make: Callable[..., Any], options: Mapping[str, str]) -> dict[str, Any]:
    """Return options given as text as the types that the annotations of `make` ask for.

    An option without an annotation has the type of its default. Raises TaskError for a text that is
    not of the type.

    >>> def make(width: int = 32, file: Path | None = None) -> None: ...
    >>> typed(make, {"width": "64"})
    {'width': 64}
    """
    parameters = inspect.signature(make).parameters
    try:
        hints = typing.get_type_hints(make)
    except Exception:  # names that exist for type checkers alone
        hints = {}
    found = {}
    for name, text in options.items():
        default = parameters[name].default if name in parameters else None
        guess = type(default) if isinstance(default, (bool, int, float, str, Path)) else str
        kinds = _kinds(hints.get(name, guess))
        found[name] = _converted(name, text, kinds)
    return found


def _kinds(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
    if typing.get_origin(annotation) is typing.Literal:
        return [type(value) for value in typing.get_args(annotation)]
    return [typing.get_origin(annotation) or annotation]


def _converted(name: str, text: str, kinds: list[Any]) -> Any:
    """Return the text as the first of these types that it can be read as."""
    for kind in (bool, int, float, types.NoneType, Path, os.PathLike, str):
        if kind in kinds:
            try:
                return _CONVERSIONS[kind](text)
            except ValueError:
                continue
    words = [_WORDS[kind] for kind in kinds if kind in _WORDS]
    if not words:
        raise TaskError(
            f"The option {name!r} cannot be given as text; give it in Python, by load_task."
        )
    raise TaskError(f"The option {name!r} must be {' or '.join(words)}; got {text!r}.")


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _nothing(text: str) -> None:
    if text.lower() != "none":
        raise ValueError(text)


def _path(text: str) -> Path:
    if not text:
        raise ValueError(text)  # Path would take it for the working folder
    return Path(text).expanduser()


_CONVERSIONS: dict[Any, Callable[[str], Any]] = {
    bool: _truth,
    int: int,
    float: float,
    types.NoneType: _nothing,
    Path: _path,
    os.PathLike: _path,
    str: str,
}
_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    types.NoneType: "none",
    Path: "a path",
    os.PathLike: "a path",
    str: "a text",
}
