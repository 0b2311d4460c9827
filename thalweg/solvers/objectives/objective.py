"""The objective of a solver: a function of one point, its gradient, and products with its Hessian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model

Function = Callable[[Tensor], Any]


class Counts:
    """What has been computed: evaluations of the objective, gradients, products with its Hessian."""

    def __init__(self) -> None:
        self.functions = self.gradients = self.products = 0


class ScalarObjective:
    """A function of a point of any shape to a number, evaluated at one point of each lane.

    One point is evaluated as it is; several in one call under `torch.func.vmap`.
    """

    def __init__(self, fun: Function, shape: torch.Size) -> None:
        self.fun, self.shape = fun, shape
        self.counts = Counts()

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f [lanes] and its gradient [lanes, n] at x [lanes, n]."""
        self.counts.functions += 1
        self.counts.gradients += 1
        if len(x) > 1:
            points = x.detach().requires_grad_()
            with torch.enable_grad():
                f = at_once(self._value, points)
                g = _gradient(f.sum(), points)
            return f.detach(), g.detach()
        point = x[0].detach().requires_grad_()
        with torch.enable_grad():
            f = self._value(point)
            g = _gradient(f, point)
        return f.detach()[None], g.detach()[None]

    def model(self, x: Tensor) -> Model:
        """Return the products with H at x."""
        return HessianModel(self, x)

    def _value(self, point: Tensor) -> Tensor:
        value = self.fun(point.view(self.shape).clone())  # which the function may change
        return as_scalar(value, point)


class HessianModel:
    """H at one point of each lane, by double backward; the graph is made when it is first used."""

    def __init__(self, objective: ScalarObjective, x: Tensor) -> None:
        self.objective, self.x = objective, x
        self._graph: tuple[Tensor, Tensor] | None = None

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.objective.counts.products += 1
        if len(self.x) > 1:
            products: Tensor = torch.func.vmap(self._product)(self.x, vectors)
            return products.detach()
        point, g = self._kept()
        if not g.requires_grad:
            return torch.zeros_like(vectors)
        return _gradient(g, point, vectors[0], keep=True)[None]

    def dense(self) -> Tensor:
        """Return H of each lane, [lanes, n, n]: n products."""
        lanes, n = self.x.shape
        self.objective.counts.products += n
        rows: Tensor
        if lanes > 1:
            hessian = torch.func.jacrev(torch.func.grad(self.objective._value))
            rows = torch.func.vmap(hessian)(self.x).detach()
            return (rows + rows.mT) / 2
        point, g = self._kept()
        if not g.requires_grad:
            return self.x.new_zeros(1, n, n)

        def row(vectors: Tensor, batched: bool) -> Tensor:
            (found,) = torch.autograd.grad(
                g,
                point,
                vectors,
                is_grads_batched=batched,
                retain_graph=True,
                materialize_grads=True,
            )
            return found

        rows = all_at_once(row, torch.eye(n, dtype=g.dtype, device=g.device))
        return ((rows + rows.mT) / 2)[None]

    def _product(self, point: Tensor, vector: Tensor) -> Tensor:
        gradient = torch.func.grad(self.objective._value)
        product: Tensor = torch.func.vjp(gradient, point)[1](vector)[0]
        return product

    def _kept(self) -> tuple[Tensor, Tensor]:
        """Return the point and its gradient with its graph, computed once."""
        if self._graph is None:
            self.objective.counts.gradients += 1
            point = self.x[0].detach().requires_grad_()
            with torch.enable_grad():
                value = self.objective._value(point)
                self._graph = point, _gradient(value, point, graph=True)
        return self._graph


def all_at_once(product: Callable[[Tensor, bool], Tensor], vectors: Tensor) -> Tensor:
    """Return the products with all vectors in one pass, or in a loop where an operation has no batching rule.

    `product` takes all of them and True, or one and False. A vector of a loop is a copy: complex numbers are
    seen as pairs only where a tensor begins at a pair.
    """
    try:
        return product(vectors, True)
    except RuntimeError:
        return torch.stack([product(vector.clone(), False) for vector in vectors])


def at_once(fun: Function, points: Tensor) -> Tensor:
    """Return what a function gives at each point, in one call under `torch.func.vmap`.

    Raises:
        ValueError: where vmap cannot take the function.
    """
    try:
        values: Tensor = torch.func.vmap(fun)(points)
    except RuntimeError as error:
        said = str(error)
        if "vmap" not in said and "have storage" not in said:
            raise
        raise ValueError(
            "fun is called for all starts at once, under torch.func.vmap, and does what vmap cannot take: "
            "if or while on a tensor's value, item(), float(), numpy(), changes of other tensors, or random "
            "numbers. Use torch.where for a choice by value, or call thalweg.minimize for each start. "
            f"PyTorch says: {said.splitlines()[0][:200]}"
        ) from error
    return values


def as_scalar(value: Any, point: Tensor) -> Tensor:
    """Return an objective's value as a tensor without axes, of the point's precision.

    Raises:
        ValueError: for anything but one real number, and where it does not depend on the point.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"The objective returned {type(value).__name__}; it must return a tensor with one number, "
            "computed from x by PyTorch's operations, so that it has a gradient."
        )
    if value.numel() != 1:
        raise ValueError(
            f"The objective returned a tensor of shape {tuple(value.shape)}; it must return one number, "
            "for example value.sum(). For residuals use thalweg.least_squares."
        )
    if value.is_complex():
        raise ValueError(
            "The objective returned a complex number; it must return a real one, for example value.abs()."
        )
    return value.reshape(()).to(point.dtype)


def _gradient(
    value: Tensor,
    point: Tensor,
    vector: Tensor | None = None,
    *,
    graph: bool = False,
    keep: bool = False,
) -> Tensor:
    if not value.requires_grad:
        raise ValueError(
            "The objective does not depend on x: it must be computed from x by PyTorch's operations, without "
            "detach(), item(), numpy() or torch.no_grad()."
        )
    (gradient,) = torch.autograd.grad(
        value, point, vector, create_graph=graph, retain_graph=graph or keep, materialize_grads=True
    )
    return gradient
