"""Closures as the objectives of solvers: one point, which is where the parameters are put."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.solvers.closure import Closure, number
from thalweg.solvers.objectives.objective import Counts, all_at_once


class GradientObjective:
    """The loss of a closure that calls backward."""

    def __init__(self, closure: Closure) -> None:
        self.closure, self.flat = closure, closure.flat
        self.counts = Counts()
        self.absent: tuple[int, ...] = ()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient at x."""
        self.flat.put(x[0])
        here = self.closure.here()
        self.absent = here.absent
        return x.new_tensor([here.f], dtype=torch.float64), here.g[None]

    def model(self, x: Tensor) -> Any:
        """Return what is known of the objective at x other than its gradient."""
        return None  # the directions that this objective is for use gradients alone


class _Graphs:
    """A closure that calls no backward: its value keeps its graph as long as the parameters stay."""

    def __init__(self, closure: Closure, options: dict[str, Any]) -> None:
        self.closure, self.flat, self.options = closure, closure.flat, options
        self.counts = Counts()
        self.absent: tuple[int, ...] = ()
        self._last: tuple[Tensor, Any] | None = None

    def _at(self, x: Tensor) -> Any:
        """Return what `_evaluated` makes of the closure's value at x, computed once."""
        if self._last is None or not torch.equal(self._last[0], x):
            self._last = None
            self.flat.put(x[0])
            with torch.enable_grad():
                self._last = x.clone(), self._evaluated(self._value())
        return self._last[1]

    def _value(self) -> Any:
        params = self.flat.params
        grads = [p.grad for p in params]
        for p in params:
            p.grad = None
        try:
            value = self.closure.run(**self.options)
            called = any(p.grad is not None for p in params)
        finally:
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad
        if called:
            raise RuntimeError(
                f"The closure of {self.closure.who} called backward. It is to return "
                f"{self._wanted} alone, with its graph: {self.closure.who} differentiates it itself, more "
                "than once."
            )
        return value

    _wanted = "the loss"

    def _evaluated(self, value: Any) -> Any:
        raise NotImplementedError

    def _products(self, outputs: Tensor, vector: Tensor | None, **how: Any) -> Tensor:
        """Return vᵀ·∂outputs/∂parameters as a vector."""
        return self.flat.line(self._grads(outputs, vector, **how))

    def _grads(self, outputs: Tensor, vector: Tensor | None, **how: Any) -> list[Tensor | None]:
        moved = [p for p in self.flat.params if p.requires_grad]
        found = iter(torch.autograd.grad(outputs, moved, vector, allow_unused=True, **how))
        return [next(found) if p.requires_grad else None for p in self.flat.params]


def without_backward(closure: Any) -> dict[str, Any]:
    """Return what a closure is called with so that it does not call backward, as that of `fit` can be."""
    try:
        known = inspect.signature(closure).parameters
    except (TypeError, ValueError):
        return {}
    return {"backward": False} if "backward" in known else {}


class GraphObjective(_Graphs):
    """The loss of a closure that returns it with its graph, so that it has products with its Hessian."""

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient at x."""
        f, g = self._at(x)
        return x.new_tensor([f], dtype=torch.float64), g.detach()[None]

    def model(self, x: Tensor) -> Hessian:
        """Return what is known of the objective at x other than its gradient."""
        return Hessian(self, x)

    def _evaluated(self, value: Any) -> tuple[float, Tensor]:
        who, sign = self.closure.who, self.closure.sign
        f = sign * number(who, value)
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise RuntimeError(
                f"The loss that the closure of {who} returned has no graph. Return it as it was computed, "
                "without item() or detach()."
            )
        grads = self._grads(sign * value.reshape(()), None, create_graph=True)
        self.absent = tuple(k for k, grad in enumerate(grads) if grad is None)
        return f, self.flat.line(grads)


class Hessian:
    """H·v by a second backward pass."""

    def __init__(self, objective: GraphObjective, x: Tensor) -> None:
        self.objective, self.x = objective, x

    def __matmul__(self, vectors: Tensor) -> Tensor:
        objective = self.objective
        objective.counts.products += 1
        _, g = objective._at(self.x)
        if not g.requires_grad:
            return torch.zeros_like(vectors)
        return objective._products(g, vectors[0], retain_graph=True)[None]

    def dense(self) -> Tensor:
        """Return H, a product for each parameter."""
        unit = torch.eye(self.x.shape[1], dtype=self.x.dtype, device=self.x.device)
        return torch.stack([(self @ row[None])[0] for row in unit])[None]


class ResidualClosureObjective(_Graphs):
    """½‖r‖² of a closure that returns residuals r with their graph."""

    _wanted = "the residuals"

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient at x."""
        r = self._at(x)
        values = r.detach().to(self.flat.dtype)
        g = self._products(r, r.detach(), retain_graph=True)
        return values.square().sum()[None] / 2, g[None]

    def model(self, x: Tensor) -> Jacobian:
        """Return what is known of the objective at x other than its gradient."""
        return Jacobian(self, x)

    def _evaluated(self, value: Any) -> Tensor:
        who = self.closure.who
        if not isinstance(value, Tensor) or not value.is_floating_point():
            said = type(value).__name__ if not isinstance(value, Tensor) else str(value.dtype)
            raise TypeError(
                f"The closure of {who} must return the residuals as one tensor of real numbers, such as "
                f"model(x) − y; it returned {said}."
            )
        if not value.requires_grad:
            raise RuntimeError(
                f"The residuals that the closure of {who} returned have no graph. Return them as they were "
                "computed, without detach()."
            )
        return value.reshape(-1)


class Jacobian:
    """r and J at a point."""

    def __init__(self, objective: ResidualClosureObjective, x: Tensor) -> None:
        self.objective, self.x = objective, x

    def residuals(self) -> Tensor:
        """Return r, [1, m]."""
        r: Tensor = self.objective._at(self.x)
        return r.detach().to(self.objective.flat.dtype)[None]

    def jacobian(self) -> Tensor:
        """Return J, [1, m, n], by as many products as its shorter side is long."""
        objective = self.objective
        r, n = objective._at(self.x), objective.flat.size
        objective.counts.products += (
            len(r) if len(r) <= n else n + 1
        )  # uᵀJ is one, each column another
        return (self._rows(r) if len(r) <= n else self._columns(r))[None]

    def _rows(self, r: Tensor) -> Tensor:
        return self._batched(r, torch.eye(len(r), dtype=r.dtype, device=r.device))

    def _columns(self, r: Tensor) -> Tensor:
        """Return J from uᵀJ, which is linear in u: its derivative by u, a column at a time."""
        objective = self.objective
        u = torch.zeros_like(r, requires_grad=True)
        with torch.enable_grad():
            back = objective._products(r, u, create_graph=True)
        if not back.requires_grad:
            return self._rows(r)
        unit = torch.eye(len(back), dtype=back.dtype, device=back.device)

        def column(vectors: Tensor, batched: bool) -> Tensor:
            (found,) = torch.autograd.grad(
                back, u, vectors, is_grads_batched=batched, retain_graph=True
            )
            return found

        return all_at_once(column, unit).mT.to(back.dtype)

    def _batched(self, r: Tensor, unit: Tensor) -> Tensor:
        objective = self.objective

        def row(vectors: Tensor, batched: bool) -> Tensor:
            if not batched:
                return objective._products(r, vectors, retain_graph=True)
            grads = objective._grads(r, vectors, retain_graph=True, is_grads_batched=True)
            return objective.flat.lines(grads, len(vectors))

        return all_at_once(row, unit)
