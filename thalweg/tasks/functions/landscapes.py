"""Functions of two variables with noisy gradients: small enough to be drawn.

`noise` is the standard deviation of a row's noise on each coordinate of the gradient, averaged over
a batch. The start is moved by up to 0.1 in each coordinate under the run's seed: so seeds differ,
and no optimizer with steps of equal length meets a minimum by counting. 30 epochs in batches of 128
are 750 steps; Adam at lr = 0.3 is there after 75 to 250.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from torch import Tensor

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.tasks.functions.function_task import BATCH, function_task, uniform_noise
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

_STEPS = 25  # in an epoch
_noisy = functools.partial(
    built_in,
    seconds=0.2,
    data_hash="39801a780dc4d373918de94e9dcf1ff5936a9839bcc2438b127c582dcc1c3bdc",
)


@_noisy(target=Target("loss", 1e-3))
def beale(noise: float = 1.0) -> Task:
    """Beale's function of two variables, noisy: flat regions and a sharp valley.

    f = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)², with its minimum 0 at (3, ½); from
    (1, 1).
    """
    return _task("beale", beale_value, (1.0, 1.0), noise)


@_noisy(target=Target("loss", 1e-3))
def booth(noise: float = 1.0) -> Task:
    """Booth's function of two variables, noisy: a tilted bowl.

    f = (x + 2y − 7)² + (2x + y − 5)², with its minimum 0 at (1, 3); from (−5, −5).
    """
    return _task("booth", booth_value, (-5.0, -5.0), noise)


@_noisy(target=Target("loss", 1e-3))
def himmelblau(noise: float = 1.0) -> Task:
    """Himmelblau's function of two variables, noisy: four equally deep minima.

    f = (x² + y − 11)² + (x + y² − 7)², with minima 0 at (3, 2) and three other places; from (0, 0).
    """
    return _task("himmelblau", himmelblau_value, (0.0, 0.0), noise)


@_noisy(target=Target("loss", 5.0))
def rastrigin(noise: float = 1.0) -> Task:
    """Rastrigin's function of two variables, noisy: a minimum near all integers.

    f = Σ 10 + x² − 10 cos 2πx, with its minimum 0 at (0, 0); from (2.2, −1.3). The minimum nearest to
    the start, by (2, −1), has the value 4.97.
    """
    return _task("rastrigin", rastrigin_value, (2.2, -1.3), noise)


@_noisy(target=Target("loss", 1e-3))
def saddle(noise: float = 1.0) -> Task:
    """A saddle in two variables, noisy: x² − y² with walls.

    f = x² − y² + y⁴/4 + 1, with its minima 0 at (0, ±√2) and its saddle 1 at (0, 0); from (1, 0).
    """
    return _task("saddle", saddle_value, (1.0, 0.0), noise)


@_noisy(target=Target("loss", 1e-3))
def ravine(condition: float = 100.0, noise: float = 1.0) -> Task:
    """A ravine in two variables, noisy: a quadratic of condition 100 across the axes.

    f = ¼(x + y)² + ¼κ(x − y)², with curvature 1 along the diagonal and κ across it; from (5, 3).
    """
    if not (is_real(condition) and 0 < condition < math.inf):
        raise TaskError(f"condition must be a number > 0; got {condition!r}.")

    def value(point: Tensor) -> Tensor:
        x, y = point[0], point[1]
        return 0.25 * (x + y).square() + 0.25 * condition * (x - y).square()

    return _task("ravine", value, (5.0, 3.0), noise)


def beale_value(point: Tensor) -> Tensor:
    """Return Beale's function of a tensor (2,)."""
    x, y = point[0], point[1]
    return (
        (1.5 - x + x * y).square()
        + (2.25 - x + x * y.square()).square()
        + (2.625 - x + x * y.pow(3)).square()
    )


def booth_value(point: Tensor) -> Tensor:
    """Return Booth's function of a tensor (2,)."""
    x, y = point[0], point[1]
    return (x + 2 * y - 7).square() + (2 * x + y - 5).square()


def himmelblau_value(point: Tensor) -> Tensor:
    """Return Himmelblau's function of a tensor (2,)."""
    x, y = point[0], point[1]
    return (x.square() + y - 11).square() + (x + y.square() - 7).square()


def rastrigin_value(point: Tensor) -> Tensor:
    """Return Rastrigin's function of a tensor (dimensions,)."""
    return (10 + point.square() - 10 * (2 * math.pi * point).cos()).sum()


def saddle_value(point: Tensor) -> Tensor:
    """Return x² − y² + y⁴/4 + 1 of a tensor (2,)."""
    x, y = point[0], point[1]
    return x.square() - y.square() + 0.25 * y.pow(4) + 1


def _task(
    name: str,
    function: Callable[[Tensor], Tensor],
    start: tuple[float, float],
    noise: float,
) -> Task:
    return function_task(
        name,
        function,
        start,
        noise=uniform_noise(_STEPS * BATCH, 2, noise),
        spread=0.1,
        description=f"{name.capitalize()}, a noisy function of two variables",
    )
