"""Who walks over a surface: an optimizer of rules, descent along coordinates, or a recorded solver."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.program.noise import normal
from thalweg.errors import EngineError, TaskError, ThalwegError, sentence, suggest
from thalweg.movies.rules import PrintedOptimizer, print_optimizer
from thalweg.movies.surface import Surface
from thalweg.numeric import is_real
from thalweg.optim.cards.cost import cost_of
from thalweg.optim.named import named_optimizers
from thalweg.optim.optimizer import stepping
from thalweg.solvers import coordinate_descent, minimize
from thalweg.solvers.methods import METHODS
from thalweg.tasks.by_name.files import is_in_file
from thalweg.train.optimizers.choice import ChosenOptimizer, choose, is_chain
from thalweg.train.optimizers.known import has_routes
from thalweg.whole import whole_number

GRADIENT, COORDINATE = "gd", "coordinate"
"""Gradient descent, which sees no noise; and exact minimization along one coordinate after the other."""

RATES = tuple(float(f"{10 ** (half / 2):.3g}") for half in range(-8, 3))
"""The learning rates that are tried where none is given: 1e-4 to 10, two a decade."""

MOST_STEPS = 100_000
"""A page holds the points of all steps, and its reader sees no more of them."""

NOISE_ORDINAL = 1
"""Keeps the noise on gradients apart from that of rules, which draw with ordinal 0 here."""

Path = np.ndarray
"""Points (steps + 1, 2); not a number from where a path left the numbers."""


@dataclass(frozen=True)
class Course:
    """What all walkers share: the surface, the steps, and the noise on each coordinate of the gradient.

    Raises:
        TaskError: for steps and a seed that are not integers, and for a noise below 0.
    """

    surface: Surface
    steps: int = 200
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if whole_number("steps", self.steps, 1) > MOST_STEPS:
            raise TaskError(f"A movie has at most {MOST_STEPS} steps; got {self.steps}.")
        whole_number("seed", self.seed, 0)
        if not (is_real(self.noise) and 0 <= self.noise < math.inf):
            raise TaskError(
                f"noise must be a standard deviation, a number ≥ 0; got {self.noise!r}."
            )

    def draws(self) -> np.ndarray:
        """Return the noise of each step, standard normal (steps, 2): the same for every walker."""
        like = torch.zeros(2, dtype=torch.float64)
        each = [normal(self.seed, t, NOISE_ORDINAL, like) for t in range(1, self.steps + 1)]
        return torch.stack(each).numpy() if each else np.zeros((0, 2))

    def shifts(self, noisy: bool) -> np.ndarray:
        """Return what is added to the gradient of each step (steps, 2)."""
        return self.noise * self.draws() if noisy and self.noise else np.zeros((self.steps, 2))


@dataclass(frozen=True)
class Walker:
    """One path: its name, what it is, and what makes it.

    `kind` is "rule" (the page steps it), "coordinate" (so, too) or "recorded" (the page shows `path`).
    `chosen` says that the learning rate was the best of `RATES` here, not given.
    """

    name: str
    kind: str
    path: Path
    lr: float | None = None
    chosen: bool = False
    noisy: bool = False
    printed: PrintedOptimizer | None = None
    said: str = field(default="")
    average: Path | None = None
    """Where the model is to be evaluated at each step, of an optimizer that averages."""


def find_walker(name: str, course: Course, lr: float | None = None) -> Walker:
    """Return a walker by name: an optimizer's, "gd", "coordinate", a solver's ("newton", "cg", "lbfgs"), or
    "file.py:name", an optimizer of the user's own.

    Raises:
        TaskError: nothing is called so; an optimizer is not a chain of rules, is for matrices, or calls
            PyTorch outside the engine's vocabulary.
    """
    name = name.strip() if is_in_file(name.strip()) else name.strip().lower()
    if name == COORDINATE:
        return Walker(
            name,
            COORDINATE,
            _by_coordinate(course),
            said="each step sets one coordinate to its best",
        )
    if name in METHODS:
        path, said = _recorded(name, course)
        return Walker(name, "recorded", path, said=said)
    named, noisy = _chosen("sgd" if name == GRADIENT else name), name != GRADIENT
    name = GRADIENT if name == GRADIENT else named.name
    try:
        printed = print_optimizer(_made(named, [torch.zeros(2, dtype=torch.float64)], lr))
    except EngineError as error:
        raise TaskError(f"A page cannot step {name}: {sentence(error)}") from error
    chosen = lr is None
    rate, path = _best(named, course, noisy) if lr is None else (lr, walk(named, course, lr, noisy))
    average = averaged(named, course, rate, noisy) if printed.averages else None
    return Walker(name, "rule", path, rate, chosen, noisy, printed, average=average)


def _chosen(name: str) -> ChosenOptimizer:
    known = [*named_optimizers(), *METHODS, GRADIENT, COORDINATE]
    if name not in known and not is_in_file(name):
        hint = suggest(name, known) or f" Known are: {', '.join(sorted(set(known)))}."
        raise TaskError(f"No optimizer and no solver is called {name!r}.{hint}")
    chosen = choose(name, {})
    if chosen.schedule is not None:
        raise TaskError(
            f"{name} has a schedule; a movie steps by a rate that is the same all the way."
        )
    if not is_chain(chosen.factory) or has_routes(chosen.factory):
        return chosen
    return replace(chosen, factory=functools.partial(stepping, chosen.factory))


def _made(named: ChosenOptimizer, params: Any, lr: float | None, engine: str = "auto") -> Any:
    given: Mapping[str, Any] = {} if lr is None else {"lr": lr}
    try:
        return named.factory(params, engine=engine, **given, **named.hyperparameters)
    except TypeError as error:
        raise TaskError(
            f"{named.name} is not a chain of rules, so a page cannot step it."
        ) from error
    except ValueError as error:  # what an optimizer of matrices says to a point
        raise TaskError(
            f"{named.name} cannot step a point of a surface: {sentence(error)}"
        ) from error


def walk(named: ChosenOptimizer, course: Course, lr: float, noisy: bool = True) -> Path:
    """Return the path of an optimizer, stepped by the eager engine."""
    return _walked(named, course, lr, noisy, lambda p, optimizer: p.detach().numpy())


def averaged(named: ChosenOptimizer, course: Course, lr: float, noisy: bool = True) -> Path:
    """Return where an optimizer says at each step that its model is to be evaluated."""

    def seen(p: Tensor, optimizer: Any) -> np.ndarray:
        with optimizer.evaluating():
            return p.detach().numpy().copy()

    return _walked(named, course, lr, noisy, seen)


def _walked(
    named: ChosenOptimizer,
    course: Course,
    lr: float,
    noisy: bool,
    seen: Callable[[Tensor, Any], np.ndarray],
) -> Path:
    p = torch.nn.Parameter(torch.tensor(course.surface.start, dtype=torch.float64))
    optimizer = _made(named, [p], lr, "eager")
    path = np.full((course.steps + 1, 2), math.nan)
    path[0] = course.surface.start
    for t, shift in enumerate(course.shifts(noisy)):
        slope = np.array(course.surface.at(*p.tolist())[1:]) + shift
        if not np.isfinite(slope).all():
            break
        p.grad = torch.from_numpy(slope)
        optimizer.step()
        path[t + 1] = seen(p, optimizer)
    return path


def losses(surface: Surface, path: Path) -> np.ndarray:
    """Return f at each point of a path."""
    return np.array([surface.at(float(x), float(y))[0] for x, y in path])


def _best(named: ChosenOptimizer, course: Course, noisy: bool) -> tuple[float, Path]:
    """Return the rate, of `RATES` and the optimizer's own, whose path is lowest over all its steps.

    Of paths that stay in view where there are such: others may be lower, and cannot be seen.
    """
    own = _made(named, [torch.zeros(2, dtype=torch.float64)], None).param_groups[0]["lr"]
    rates = sorted({*RATES, float(own)})
    paths = _paths(named, course, rates, noisy)
    heights = course.surface.at_many(paths[..., 0], paths[..., 1])[0]
    heights[~np.isfinite(heights)] = math.nan
    above = heights - np.nanmin(heights)
    scores = np.log10(np.maximum(above, 1e-9)).mean(axis=1)
    scores[np.isnan(scores)] = math.inf
    seen = _in_view(course.surface, paths)
    if seen.any():
        scores[~seen] = math.inf
    rate = rates[int(np.argmin(scores))]
    return rate, walk(named, course, rate, noisy)


def _in_view(surface: Surface, paths: np.ndarray) -> np.ndarray:
    """Return which of paths (rates, steps + 1, 2) never leave what is shown."""
    left, right, bottom, top = surface.view
    x, y = paths[..., 0], paths[..., 1]
    within = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    found: np.ndarray = np.all(within, axis=1)
    return found


def _paths(
    named: ChosenOptimizer, course: Course, rates: Sequence[float], noisy: bool
) -> np.ndarray:
    """Return the path for each rate, (rates, steps + 1, 2), stepped together where none sees another."""
    surface, shifts = course.surface, course.shifts(noisy)
    params = [torch.nn.Parameter(torch.tensor(surface.start, dtype=torch.float64)) for _ in rates]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(params, rates, strict=True)]
    optimizer = _made(named, groups, None)
    if cost_of(optimizer).couples:
        return np.stack([walk(named, course, rate, noisy) for rate in rates])
    found = np.full((len(rates), course.steps + 1, 2), math.nan)
    for t in range(course.steps + 1):
        found[:, t] = points = torch.stack([p.detach() for p in params]).numpy()
        if t == course.steps:
            break
        slope = np.stack(surface.at_many(points[:, 0], points[:, 1])[1:], axis=1)
        for p, g in zip(params, torch.from_numpy(np.nan_to_num(slope) + shifts[t]), strict=True):
            p.grad = g
        optimizer.step()
    return found


def _by_coordinate(course: Course) -> Path:
    """Return the points after each update of exact coordinate descent, x first."""
    function = course.surface.of_point
    points = [list(course.surface.start)]

    def solve(x: Tensor, block: Tensor) -> Tensor:
        def along(value: Tensor) -> Tensor:
            return function(x.index_copy(0, block, value))

        values = minimize(along, x[block], "newton", tol=1e-12, max_iter=100).x
        points.append(x.index_copy(0, block, values).tolist())
        return values

    start = torch.tensor(course.surface.start, dtype=torch.float64)
    coordinate_descent(function, start, solve=solve, tol=0.0, max_sweeps=max(1, course.steps // 2))
    return _filled(points, course.steps)


def _recorded(method: str, course: Course) -> tuple[Path, str]:
    points = [list(course.surface.start)]

    def keep(x: Tensor, fun: float) -> None:
        points.append(x.tolist())

    start = torch.tensor(course.surface.start, dtype=torch.float64)
    try:
        found = minimize(
            course.surface.of_point, start, method, max_iter=max(course.steps, 1), callback=keep
        )
        said = f"{found.status.value} after {found.nit} iterations, {found.nfev} evaluations"
    except ThalwegError as error:
        said = str(error)
    return _filled(points, course.steps), said


def _filled(points: list[list[float]], steps: int) -> Path:
    """Return points for every step: a path that has ended stays where it is."""
    kept = points[: steps + 1]
    return np.array([*kept, *([kept[-1]] * (steps + 1 - len(kept)))])
