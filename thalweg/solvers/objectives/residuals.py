"""The objective ½‖r(x)‖² of least squares: residuals, their Jacobian, and Gauss-Newton's model."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.solvers.objectives.objective import Counts, Function, all_at_once, at_once


class ResidualObjective:
    """½‖r(x)‖² of a function from a point of any shape to residuals of any shape."""

    def __init__(self, fun: Function, shape: torch.Size) -> None:
        self.fun, self.shape = fun, shape
        self.counts = Counts()
        self._last: tuple[Tensor, ResidualModel] | None = None

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ½‖r‖² [lanes] and Jᵀr [lanes, n]; the graph is kept for the model at this point."""
        self.counts.functions += 1
        self.counts.gradients += 1
        model = ResidualModel(self, x)
        r = model.residuals()
        if r.shape[-1] == 0:
            raise ValueError("There are no residuals: the function returned an empty tensor.")
        if not model.depends():
            raise ValueError(
                "The residuals do not depend on x: they must be computed from x by PyTorch's operations, "
                "without detach(), item(), numpy() or torch.no_grad()."
            )
        self._last = x, model
        return r.square().sum(-1) / 2, model.transposed(r)

    def model(self, x: Tensor) -> ResidualModel:
        """Return J and Gauss-Newton's JᵀJ at x."""
        if self._last is not None and self._last[0] is x:
            return self._last[1]
        return ResidualModel(self, x)

    def _residuals(self, point: Tensor) -> Tensor:
        value = self.fun(point.view(self.shape).clone())  # which the function may change
        if not isinstance(value, Tensor):
            raise TypeError(
                f"The residuals are {type(value).__name__}; they must be one tensor, computed from x by "
                "PyTorch's operations."
            )
        if not value.is_floating_point():
            raise ValueError(
                f"The residuals are of type {value.dtype}; they must be real floating-point numbers."
            )
        return value.reshape(-1).to(point.dtype)


class ResidualModel:
    """r, J·v, Jᵀ·u and J at one point of each lane; `model @ v` is JᵀJ·v."""

    def __init__(self, objective: ResidualObjective, x: Tensor) -> None:
        self.objective, self.x = objective, x
        self._graph: tuple[Tensor, Tensor] | None = None

    def residuals(self) -> Tensor:
        """Return r of each lane, [lanes, m]."""
        return self._kept()[1].detach()

    def depends(self) -> bool:
        """Return whether the residuals are computed from the points."""
        return self._kept()[1].requires_grad

    def transposed(self, u: Tensor) -> Tensor:
        """Return Jᵀ·u of each lane: [lanes, m] to [lanes, n]."""
        return self._back(u, False)

    def _back(self, u: Tensor, batched: bool) -> Tensor:
        """Return Jᵀ·u, for one u of each lane or several."""
        points, r = self._kept()
        if not r.requires_grad:
            return u.new_zeros(*u.shape[:-1], points.shape[1])
        (product,) = torch.autograd.grad(
            r, points, u, is_grads_batched=batched, retain_graph=True, materialize_grads=True
        )
        return product

    def times(self, v: Tensor) -> Tensor:
        """Return J·v of each lane: [lanes, n] to [lanes, m]."""
        return self._forward(v, False)

    def _forward(self, v: Tensor, batched: bool) -> Tensor:
        """Return J·v as the derivative of uᵀJ, which is linear in u, for one v of each lane or several."""
        points, r = self._kept()
        if not r.requires_grad:
            return v.new_zeros(*v.shape[:-1], r.shape[-1])
        u = torch.zeros_like(r, requires_grad=True)
        with torch.enable_grad():
            (back,) = torch.autograd.grad(r, points, u, create_graph=True, materialize_grads=True)
        if not back.requires_grad:
            return v.new_zeros(*v.shape[:-1], r.shape[-1])
        (product,) = torch.autograd.grad(
            back, u, v, is_grads_batched=batched, materialize_grads=True
        )
        return product

    def __matmul__(self, vectors: Tensor) -> Tensor:
        self.objective.counts.products += 1
        return self.transposed(self.times(vectors))

    def dense(self) -> Tensor:
        """Return JᵀJ of each lane, [lanes, n, n]."""
        jacobian = self.jacobian()
        return jacobian.mT @ jacobian

    def jacobian(self) -> Tensor:
        """Return J of each lane, [lanes, m, n], by as many products as its shorter side is long."""
        (lanes, m), n = self._kept()[1].shape, self.x.shape[1]
        self.objective.counts.products += min(m, n)
        side = min(m, n)
        units = torch.eye(side, dtype=self.x.dtype, device=self.x.device)
        units = units[:, None, :].expand(side, lanes, side)
        if n < m:
            return all_at_once(self._forward, units).permute(1, 2, 0)
        return all_at_once(self._back, units).transpose(0, 1)

    def _kept(self) -> tuple[Tensor, Tensor]:
        """Return the points, and the residuals with their graph, computed once."""
        if self._graph is None:
            points = self.x.detach().requires_grad_()
            with torch.enable_grad():
                if len(points) > 1:
                    r = at_once(self.objective._residuals, points)
                else:
                    r = self.objective._residuals(points[0])[None]
            self._graph = points, r
        return self._graph
