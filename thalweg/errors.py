"""The exceptions of the package, drawn as a tree.

    ThalwegError
    ├── RuleError          (TypeError)        an update rule breaks the contract of `rule` or `chain`
    ├── EngineError        (RuntimeError)     an engine was asked for what it cannot do
    ├── TaskError          (ValueError)       a task, its data, cost or model is not usable
    │   └── DataError                         a data set or a data file is missing, empty or broken
    ├── CheckpointError    (RuntimeError)     a checkpoint cannot be written, read or applied
    ├── DivergedError      (ArithmeticError)  a loss became NaN or infinite
    └── MissingExtraError  (ImportError)      an optional dependency is not installed

    CacheWarning           (UserWarning)      the kernel cache is not used, since others may write to it
    LogWarning             (UserWarning)      a log of a run failed, and the run goes on without it
    ProcessesWarning       (UserWarning)      several processes do not share work, or a norm, as one may think

Each message says what is wrong, where, what was expected and what to do. Each class is also the built-in
exception that a caller would naturally catch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ThalwegError(Exception):
    """Base of every error this package raises on purpose."""


class RuleError(ThalwegError, TypeError):
    """An update rule, or its use in a chain, breaks the contract."""


class EngineError(ThalwegError, RuntimeError):
    """An engine was asked for something that it cannot do."""


class TaskError(ThalwegError, ValueError):
    """A task, or one of its parts, cannot be used as given."""


class DataError(TaskError):
    """A data set or a data file is missing, empty or broken."""


class CheckpointError(ThalwegError, RuntimeError):
    """A checkpoint cannot be written, read, or applied to this run."""


class DivergedError(ThalwegError, ArithmeticError):
    """Training produced a loss that is NaN or infinite."""


class CacheWarning(UserWarning):
    """The folder of compiled kernels, or a file in it, is not the user's own, so it is not used."""


class LogWarning(UserWarning):
    """A logger failed while a run trained; the run goes on without its log."""


class ProcessesWarning(UserWarning):
    """Several processes run, and work, or a reduction over all parameters, is not shared among them."""


class MissingExtraError(ThalwegError, ImportError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str = "lab") -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "thalweg[{extra}]"'
        )


def check_each_once(what: str, names: Sequence[str]) -> None:
    """Raise TaskError for a name that is given twice where each is to be given once.

    >>> check_each_once("optimizer", ["sgd", "adam"])
    """
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise TaskError(f"The {what} {twice[0]!r} is named twice: name each once.")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean …?' with the names close to `name`, or an empty string.

    >>> suggest("Adma", ["Adam", "AdamW", "SGD"])
    " Did you mean 'Adam' or 'AdamW'?"
    >>> suggest("zzz", ["Adam"])
    ''
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if not close:
        return ""
    return f" Did you mean {' or '.join(repr(by_lower[key]) for key in close)}?"


def sentence(error: object) -> str:
    """Return what an error says as one sentence of a message, with one full stop.

    >>> sentence(ValueError("no such axis")), sentence(TaskError("There is no axis."))
    ('no such axis.', 'There is no axis.')
    """
    return f"{str(error).rstrip('.')}."
