"""Surfaces by name: the tasks that minimize a function of two numbers, and functions of the user's own."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import TaskError, suggest
from thalweg.movies.surface import Surface
from thalweg.tasks.by_name.files import run_file
from thalweg.tasks.by_name.registry import list_tasks, load_task
from thalweg.tasks.functions import landscapes
from thalweg.tasks.functions.function_task import PointModel
from thalweg.tasks.functions.rosenbrock import rosenbrock

View = tuple[float, float, float, float]

SHOWN: Mapping[str, tuple[tuple[float, float], View]] = {
    "rosenbrock": ((-1.2, 1.0), (-2.0, 2.0, -1.0, 3.0)),
    "beale": ((1.0, 1.0), (-0.5, 4.0, -2.25, 2.25)),
    "booth": ((-5.0, -5.0), (-7.0, 7.0, -7.0, 7.0)),
    "himmelblau": ((0.0, 0.0), (-6.0, 6.0, -6.0, 6.0)),
    "rastrigin": ((2.2, -1.3), (-3.2, 3.2, -3.2, 3.2)),
    "saddle": ((1.5, 0.01), (-2.2, 2.2, -2.2, 2.2)),
    "ravine": ((5.0, 3.0), (-6.5, 6.5, -6.5, 6.5)),
    "bowl": ((-3.0, 3.0), (-4.0, 4.0, -4.0, 4.0)),
}
"""Where a known surface begins, and the rectangle that is shown: left, right, bottom, top."""

_MADE_BY = {
    "rosenbrock": rosenbrock,
    **{name: vars(landscapes)[name] for name in SHOWN if name in vars(landscapes)},
}


def bowl_value(x: Tensor, y: Tensor) -> Tensor:
    """Return x² + 2y², whose gradient descent has a closed form: (x(1 − 2·lr)ᵏ, y(1 − 4·lr)ᵏ).

    >>> bowl_value(torch.tensor(-3.0), torch.tensor(3.0)).item()
    27.0
    """
    return x.square() + 2 * y.square()


def find_surface(
    target: str, start: Sequence[float] | None = None, view: Sequence[float] | None = None
) -> Surface:
    """Return a surface by its name, or that of a function of the user's own.

    Args:
        target: "rosenbrock" and others of `SHOWN`, also with a task's options ("ravine:condition=30"), or
            "file.py" with a function called `surface` or no other one, or "file.py:function". It takes x and
            y, float64 tensors without dimensions, or one tensor (2,), and returns one number.
        start: x and y, instead of the surface's own.
        view: left, right, bottom and top of what is shown.

    Raises:
        TaskError: for an unknown name, a file without such a function, and numbers that are not finite.

    >>> find_surface("bowl").at(1.0, 1.0)
    (3.0, 2.0, 4.0)
    """
    found = _own(target) if _is_file(target) else _known(target)
    if start is not None:
        found = replace(found, start=_checked(start, 2, "start: x,y"))
    if view is not None:
        left, right, bottom, top = _checked(view, 4, "view: left,right,bottom,top")
        if not (left < right and bottom < top):
            raise TaskError(
                f"A view must be left,right,bottom,top with left < right and bottom < top; got {view}."
            )
        found = replace(found, view=(left, right, bottom, top))
    return found if view is not None else replace(found, view=_around(found.view, found.start))


def _is_file(target: str) -> bool:
    return target.partition(":")[0].endswith(".py")


def _known(target: str) -> Surface:
    name, _, options = target.partition(":")
    name = name.strip().lower()
    if name not in SHOWN:
        hint = suggest(name, SHOWN)
        is_task = (
            " It is a task, whose model has more than two numbers." if name in list_tasks() else ""
        )
        raise TaskError(
            f"There is no surface {target!r}.{is_task}{hint} Known are: {', '.join(SHOWN)}; one of your own "
            "is given as file.py, with a function `surface(x, y)` of PyTorch, or file.py:function."
        )
    start, view = SHOWN[name]
    if name == "bowl":
        return Surface(
            "bowl", bowl_value, start, view, "f = x² + 2y², with its minimum 0 at (0, 0)."
        )
    if name == "rosenbrock" and "dimensions" not in options:
        options = ",".join(filter(None, (options, "dimensions=2")))
    task = load_task(f"{name}:{options}" if options else name)
    model = task.build()
    if not isinstance(model, PointModel) or len(model.point) != 2:
        raise TaskError(
            f"{target} is not a function of two numbers; leave its dimensions as they are."
        )
    return Surface(name, of_two(model.function), start, view, _formula(_MADE_BY[name]))


def _formula(task: Callable[..., Any]) -> str:
    """Return what a task's docstring says of its function: "f = …, with its minimum 0 at (3, ½)"."""
    said = " ".join((inspect.getdoc(task) or "").split())
    found = re.search(r"\bf(\(θ\))? = [^;]*", said)
    return f"{found[0]}." if found else ""


def of_two(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of a tensor (2,) as one of x and y."""
    return lambda x, y: function(torch.stack([x, y]))


def _own(target: str) -> Surface:
    home, _, name = target.partition(":")
    path = Path(home)
    if not path.is_file():
        raise TaskError(f"There is no file {home} to take a surface from.")
    module = run_file(path)
    function = _function(module, home, name)
    takes = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    if len(takes) not in (1, 2):
        raise TaskError(
            f"{home}:{function.__name__} takes {len(takes)} arguments; a surface takes x and y, or one "
            "tensor of two numbers."
        )
    called = f"{path.stem}:{function.__name__}" if name else path.stem
    of = function if len(takes) == 2 else of_two(function)
    about = (inspect.getdoc(function) or "").partition("\n")[0]
    return Surface(called, of, (-1.5, 1.5), (-3.0, 3.0, -3.0, 3.0), about)


def _function(module: ModuleType, home: str, name: str) -> Callable[..., Any]:
    own = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }
    alone = next(iter(own)) if len(own) == 1 else ""
    wanted = name or ("surface" if "surface" in own else alone)
    if wanted in own:
        return own[wanted]
    listed = f" It has {', '.join(own)}: name one as {home}:{next(iter(own))}." if own else ""
    asked = name or "surface"
    raise TaskError(f"{home} has no function {asked!r}.{suggest(asked, own) or listed}")


def _checked(given: Sequence[float], count: int, what: str) -> Any:
    if len(given) != count or not all(math.isfinite(x) for x in given):
        raise TaskError(f"{count} finite numbers are expected as {what}; got {tuple(given)}.")
    return tuple(float(x) for x in given)


def _around(view: View, point: tuple[float, float]) -> View:
    """Return the view, made wider where a start is not well inside."""
    left, right, bottom, top = view
    beside, above = 0.08 * (right - left), 0.08 * (top - bottom)
    x, y = point
    return (
        min(left, x - beside),
        max(right, x + beside),
        min(bottom, y - above),
        max(top, y + above),
    )
