"""A surface: a function of two numbers, evaluated by numbers, on a grid, and printed as JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from thalweg.engine.javascript import operations
from thalweg.engine.program.ops import ARRAY
from thalweg.engine.program.printing import define, operand, statement
from thalweg.engine.program.program import Value
from thalweg.movies.traced import TracedSurface, trace_surface

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A function f(x, y) with a start and the rectangle that is shown.

    Attributes: `name`; `function`, of two float64 tensors without dimensions; `start`; `view`, the rectangle
    (left, right, bottom, top); `about`, a sentence.

    >>> bowl = Surface("bowl", lambda x, y: x**2 + 2 * y**2, (-3.0, 3.0), (-4.0, 4.0, -4.0, 4.0))
    >>> bowl.at(-3.0, 3.0)
    (27.0, -6.0, 12.0)
    """

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    start: Point
    view: tuple[float, float, float, float]
    about: str = ""

    @cached_property
    def traced(self) -> TracedSurface:
        """The function and its gradient in the engine's vocabulary."""
        return trace_surface(self.function, self.name)

    def at(self, x: float, y: float) -> tuple[float, float, float]:
        """Return f, ∂f/∂x and ∂f/∂y at a point, in float64."""
        with np.errstate(all="ignore"):
            f, dx, dy = self._evaluated(np.float64(x), np.float64(y))
        return float(f), float(dx), float(dy)

    def at_many(self, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Return f, ∂f/∂x and ∂f/∂y at several points, each of the shape of x and y."""
        with np.errstate(all="ignore"):
            found = self._evaluated(x, y)
        return [np.broadcast_to(each, x.shape).astype(float) for each in found]

    def grid(
        self, columns: int = 121, rows: int = 121
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x (columns,), y (rows,) and f (rows, columns) over the view."""
        left, right, bottom, top = self.view
        x, y = np.linspace(left, right, columns), np.linspace(bottom, top, rows)
        with np.errstate(all="ignore"):
            f = self._evaluated(x[None, :], y[:, None])[0]
        return x, y, np.broadcast_to(f, (rows, columns)).astype(float)

    def of_point(self, point: Tensor) -> Tensor:
        """Return f of a tensor (2,), as solvers ask for it."""
        return self.function(point[0], point[1])

    @cached_property
    def _evaluated(self) -> Callable[..., tuple[Any, Any, Any]]:
        surface = self.traced
        roots = (surface.f, *surface.slope)
        known = surface.needed(roots)
        names = {v.data: v.name for v in surface.values if v.op == "tensor"}
        body = [statement(v, "number({})") for v in known]
        body.append(f"return ({', '.join(map(operand, roots))},)")
        return define("surface", [names["x"], names["y"]], body, ARRAY)

    def javascript(self) -> str:
        """Return a JavaScript object {f(x, y), at(x, y)}; `at` returns [f, ∂f/∂x, ∂f/∂y]."""
        surface = self.traced
        roots = (surface.f, *surface.slope)
        names = {v.data: v.name for v in surface.values if v.op == "tensor"}
        arguments = f"{names['x']}, {names['y']}"

        def body(values: tuple[Value, ...], returned: str) -> str:
            lines = [operations.statement(v) for v in surface.needed(values)]
            return "\n".join(f"    {line}" for line in (*lines, f"return {returned};"))

        every = ", ".join(map(operations.operand, roots))
        return f"""{{
  f({arguments}) {{
{body((surface.f,), operations.operand(surface.f))}
  }},
  at({arguments}) {{
{body(roots, f"[{every}]")}
  }},
}}"""
