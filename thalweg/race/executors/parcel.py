"""Parcels: values pickled for another process, with the code of a user's own files.

Python pickles a function or a class as the name under which to import it. A task file, a notebook
and a script cannot be imported elsewhere, and the file need not even exist there: what they define
travels as code. Parcels go to the workers of one race only, and are never kept in files.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import sysconfig
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from thalweg.engine import Rule
from thalweg.engine.language.compose import check_link
from thalweg.errors import EngineError, sentence
from thalweg.tasks.by_name.files import TASK_MODULE

_tokens: weakref.WeakKeyDictionary[Rule, str] = weakref.WeakKeyDictionary()
_rules: dict[str, Rule] = {}


def pack(value: Any, what: str) -> bytes:
    """Return `value` as bytes that `unpack` makes it from again in another process.

    Raises:
        EngineError: for what cannot leave its process, such as an open file; `what` says in the
            message what was to be sent.
    """
    cloudpickle = importlib.import_module("ray.cloudpickle")
    own = _own_modules()
    buffer = io.BytesIO()
    try:
        with _as_code(cloudpickle, own):
            _pickler(cloudpickle, own)(buffer).dump(value)
    except Exception as error:  # pickling runs code of whatever is pickled
        raise EngineError(
            f"{what} cannot be sent to another process: {type(error).__name__}: {sentence(error)} Build "
            "inside its functions what cannot be sent, or race with the local executor."
        ) from error
    return buffer.getvalue()


def unpack(parcel: bytes | memoryview, what: str) -> Any:
    """Return the value that `pack` was given.

    Raises:
        EngineError: if this process lacks something that it is made with.
    """
    try:
        return pickle.loads(parcel)  # noqa: S301 - from the race's own process
    except Exception as error:
        raise EngineError(
            f"{what} cannot be loaded by a worker: {type(error).__name__}: {sentence(error)} What it imports "
            "must be installed on every machine, or lie beside the task's file."
        ) from error


class TorchDefaults(NamedTuple):
    """The settings of torch on which numbers depend, and which hold for a whole process."""

    dtype: torch.dtype
    device: torch.device
    matmul: str
    deterministic: int

    @classmethod
    def of_process(cls) -> TorchDefaults:
        """Return the settings of this process."""
        return cls(
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_float32_matmul_precision(),
            torch.get_deterministic_debug_mode(),
        )

    def apply(self) -> None:
        """Set them in this process."""
        torch.set_default_dtype(self.dtype)
        torch.set_float32_matmul_precision(self.matmul)
        torch.set_deterministic_debug_mode(self.deterministic)
        if self.device != torch.get_default_device():  # a default device slows each call of torch
            torch.set_default_device(self.device)


def _own_modules() -> list[ModuleType]:
    """The modules of task files, and those beside them, from where they are imported."""
    modules = list(sys.modules.items())
    files = [module for name, module in modules if name.startswith(TASK_MODULE)]
    installed = {Path(path) for path in sysconfig.get_paths().values()}
    folders = {folder for file in files if (folder := _folder(file))} - installed
    beside = [
        module
        for name, module in modules
        if "." not in name and name not in ("__main__", "thalweg") and _folder(module) in folders
    ]
    return list({id(module): module for module in (*files, *beside)}.values())


def _folder(module: Any) -> Path | None:
    """The folder from which a module, or a package as a whole, is imported."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    path = Path(file)
    return path.parent.parent if path.name == "__init__.py" else path.parent


@contextmanager
def _as_code(cloudpickle: ModuleType, modules: list[ModuleType]) -> Iterator[None]:
    """Inside the block, what these modules define is pickled as code."""
    before = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in before]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _pickler(cloudpickle: ModuleType, own: list[ModuleType]) -> Callable[[io.BytesIO], Any]:
    names = {"__main__", *(module.__name__ for module in own)}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        """Sends update rules of a user's own, too, which cloudpickle takes for importable."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Rule) and _is_own(obj, names):
                token = _tokens.setdefault(obj, uuid.uuid4().hex)
                return _rule_of, (token, obj.function, obj.kind, obj.evaluation)
            return super().reducer_override(obj)

    return Pickler


def _is_own(made: Rule, names: set[str]) -> bool:
    package = made.__module__.partition(".")[0]
    return "<locals>" in made.__qualname__ or made.__module__ in names or package in names


def _rule_of(token: str, function: Callable[..., Any], kind: Any, evaluation: Any) -> Rule:
    """The rule sent under a token: the same object each time, since kernels are kept by rule."""
    if token not in _rules:
        made = _rules[token] = Rule(function, kind, check_link)
        made.evaluation = evaluation
    return _rules[token]
