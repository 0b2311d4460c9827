"""Problems with a fixed seed, trajectories on them, and the comparison of two trajectories."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

# Sizes that are not a multiple of a vector register, one element, none, and 0, 1, 2 and 4 dimensions.
SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (1,),
    (7,),
    (5, 3),
    (4, 3, 3, 3),
    (1037,),
    (0,),
    (43, 17),
)
STEPS = 50

Point = list[Tensor]
Gradient = Callable[[int, Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True, eq=False)
class Problem:
    """A starting point and a gradient for every step, both of float64."""

    name: str
    starts: tuple[Tensor, ...]
    gradient: Gradient
    steps: int = STEPS

    def parameters(self, dtype: torch.dtype = torch.float64) -> list[Parameter]:
        return [Parameter(start.to(dtype, copy=True)) for start in self.starts]


def recorded(
    shapes: Sequence[tuple[int, ...]] = SHAPES, steps: int = STEPS, seed: int = 0
) -> Problem:
    """Gradients drawn beforehand, from 1e-4 to 1e2 by tensor, by step and by element."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    starts = tuple(normal(shape) for shape in shapes)
    scales = torch.logspace(-2.0, 1.0, len(shapes), dtype=torch.float64)
    gradients = [
        [
            scale * torch.exp(normal(shape)) * normal(shape)
            for scale, shape in zip(scales, shapes, strict=True)
        ]
        for _ in range(steps)
    ]
    return Problem("recorded", starts, lambda step, _: gradients[step], steps)


def quadratic(
    shapes: Sequence[tuple[int, ...]] = ((), (7,), (5, 3), (137,)), seed: int = 1
) -> Problem:
    """The separable quadratic ½ Σ h (w − c)² with curvatures h from 0.1 to 1.

    Every element starts at least ½ away from its minimum: where all gradients of an element are
    tiny, g/√v would magnify the roundings of g beyond any useful tolerance.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        curvature = 0.1 + 0.9 * torch.rand(shape, generator=generator, dtype=torch.float64)
        start, offset = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
        return curvature, start, start + offset + 0.5 * offset.sign()

    curvatures, starts, minima = zip(*map(draw, shapes), strict=True)

    def gradient(_: int, point: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return [
                h * (w - c).to(torch.float64)
                for h, w, c in zip(curvatures, point, minima, strict=True)
            ]

    return Problem("quadratic", tuple(starts), gradient)


def gentle(shapes: Sequence[tuple[int, ...]] = SHAPES, steps: int = 10, seed: int = 4) -> Problem:
    """Start within ±1, with gradients of magnitude ½ to 1½: 16 bits hold their squares."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(shape: tuple[int, ...]) -> Tensor:
        return 2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0

    def gradient(shape: tuple[int, ...]) -> Tensor:
        around = uniform(shape)
        return around + 0.5 * around.sign()

    starts = tuple(uniform(shape) for shape in shapes)
    gradients = [[gradient(shape) for shape in shapes] for _ in range(steps)]
    return Problem("gentle", starts, lambda step, _: gradients[step], steps)


def rounded(problem: Problem, dtype: torch.dtype) -> Problem:
    """Return the problem in float64, with start and gradients as `dtype` holds them."""
    if dtype == torch.float64:
        return problem

    def hold(xs: Sequence[Tensor]) -> list[Tensor]:
        return [x.to(dtype).to(torch.float64) for x in xs]

    def gradient(step: int, point: Sequence[Tensor]) -> list[Tensor]:
        return hold(problem.gradient(step, point))

    return Problem(problem.name, tuple(hold(problem.starts)), gradient, problem.steps)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype, in which NAdam and ASGD keep their scalar states."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype in (torch.float32, torch.float64) else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def snapshot(parameters: Sequence[Tensor]) -> Point:
    return [p.detach().to(torch.float64, copy=True) for p in parameters]


def give_gradients(problem: Problem, step: int, parameters: Sequence[Tensor]) -> None:
    for p, g in zip(parameters, problem.gradient(step, parameters), strict=True):
        p.grad = g.to(p.dtype, copy=True)


def follow(
    problem: Problem,
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int | None = None,
    start: int = 0,
    before_step: Callable[[int], object] = lambda step: None,
) -> list[Point]:
    """Take the steps `start` … `start + steps − 1` and return the point after each."""
    path = []
    for step in range(start, start + (problem.steps if steps is None else steps)):
        before_step(step)
        give_gradients(problem, step, parameters)
        optimizer.step()
        path.append(snapshot(parameters))
    return path


def assert_same_path(
    actual: Sequence[Point],
    expected: Sequence[Point],
    starts: Sequence[Tensor],
    tolerance: float,
    strays: float = 0.0,
) -> None:
    """Compare at every step, and refuse a path that goes nowhere.

    The tolerance is relative to the largest magnitude that the tensor has had so far: one element
    that passes through zero has no relative precision of its own. One element and a share of `strays`
    may be elsewhere, for steps that jump where a rounding decides; without `strays`, none.
    """
    assert len(actual) == len(expected)
    for index, start in enumerate(starts):
        if not start.numel():
            continue
        ours, theirs = (
            torch.cat([point[index].reshape(1, -1) for point in path])
            for path in (actual, expected)
        )
        sizes = torch.cat([start.abs().amax().reshape(1), theirs.abs().amax(dim=1)])
        errors = (ours - theirs).abs_() / sizes.cummax(0).values[1:, None]
        wrong = ~(errors.amax(dim=1) <= tolerance)
        if wrong.any() and strays:
            wrong = (~(errors <= tolerance)).sum(dim=1) > 1 + strays * start.numel()
        if wrong.any():
            step = int(wrong.nonzero()[0])
            error = errors[step].amax().item()
            raise AssertionError(
                f"step {step + 1}, tensor {index}: {error:.2e} > {tolerance:.0e} at "
                f"{int((~(errors[step] <= tolerance)).sum())} of {start.numel()}"
            )
    assert_moved(actual[-1], starts)


def assert_moved(point: Sequence[Tensor], starts: Sequence[Tensor]) -> None:
    for index, (now, start) in enumerate(zip(point, starts, strict=True)):
        if start.numel():
            change = (now - start).abs().amax() / start.abs().amax()
            assert change > 1e-6, f"tensor {index} has not moved"


def outcome(make: Callable[[], object]) -> tuple[type[BaseException], str] | None:
    """Return the type and text of what is raised, a warning included, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            make()
        except Exception as error:
            return type(error), str(error)
    return None
