"""Sharpness-aware minimization: the gradient at the worst point nearby."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.meta.gradients import global_norm, widened
from thalweg.meta.wrapper import Wrapper, all_params, evaluate_closure
from thalweg.optim.stepping.shell import of_itself
from thalweg.optim.stepping.steppable import refuse_sharded
from thalweg.optim.stepping.untraced import untraced


class SAM(Wrapper):
    """Steps by the gradient at the point of highest loss within a radius ρ (Foret et al. 2021, algorithm 1).

        g  = ∇L(w)
        e  = ρ·g / (‖g‖ + 1e-12)                        the norm is over all parameters of all groups
        g̃  = ∇L(w + e)
        w ← step of the optimizer inside at w with g̃

    and with `adaptive`, which makes the neighbourhood follow the scale of each weight (ASAM, Kwon et al.
    2021, algorithm 1, elementwise):

        T  = |w| + η
        e  = ρ·T²·g / (‖T·g‖ + 1e-12)

    The closure is evaluated twice in a step; the loss returned is the first, at w:

        def closure():
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            return loss

        loss = optimizer.step(closure)

    It may go through several micro-batches with a backward pass each: the two gradients are their sums. In a
    loop of one's own a step is two calls:

        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.first_step()
        loss_fn(model(x), y).backward()
        optimizer.second_step()
        optimizer.zero_grad()

    With a loss scaler, e does not depend on the scale, so the first gradient must not be unscaled; `restore`
    brings the weights back also where the scaler leaves the step out because of an overflow:

        scaler.scale(loss_fn(model(x), y)).backward()
        optimizer.first_step()
        scaler.scale(loss_fn(model(x), y)).backward()
        optimizer.restore()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    After a step `p.grad` is g̃, the gradient that the optimizer inside has stepped by. The weights come back
    bit for bit, from a copy, also those without a gradient at w + e, and also when the closure raises.
    Parameters without a gradient at w are not moved; in a group with `maximize`, e is −e. Where the first
    gradient is not finite, e is 0. Batch normalization sees each batch twice; to keep its running statistics
    to the first, use `frozen_batch_norm(model, optimizer.second_pass)` in the closure. With `Accumulate`
    inside, each micro-batch has an e of its own (m-sharpness in the paper).

    Cost: two gradients a step, and a copy of the parameters between them.

    Args:
        optimizer: any optimizer that can be stepped without a closure.
        rho: ρ ≥ 0, the radius, by default 0.05 (the paper's for CIFAR); it may be changed between steps.
        adaptive: ASAM, for which ρ is about ten times as large.
        eta: η ≥ 0, the least scale of a weight under `adaptive`, by default 0.01. The paper's code scales
            only parameters named weight (T = 1 for biases); here, as in its equations, all are alike.

    Raises:
        TypeError: `optimizer` is not an optimizer, or one that needs a closure.
        ValueError: `rho` or `eta` is negative or not finite.
        RuntimeError: `step` without a closure and without `first_step`.

    >>> import torch
    >>> w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    >>> optimizer = SAM(torch.optim.SGD([w], lr=0.1), rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 0.5 * (w**2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    12.5
    >>> w.grad
    tensor([3.3000, 4.4000])
    """

    needs_closure: ClassVar[bool] = True

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        rho: float = 0.05,
        adaptive: bool = False,
        *,
        eta: float = 0.01,
    ) -> None:
        super().__init__(optimizer)
        name = type(self).__name__
        self.rho = _at_least_zero(f"{name}'s rho, the radius of the neighbourhood,", rho)
        self.adaptive = adaptive
        self.eta = _at_least_zero(f"{name}'s eta, the least scale of a weight,", eta)
        self._kept: list[tuple[Tensor, Tensor]] | None = None
        self._first_done = False

    @property
    def second_pass(self) -> bool:
        """Whether the parameters are at w + e now, between the two gradients."""
        return self._kept is not None

    def step(self, closure: Callable[[], Any] | None = None, **arguments: Any) -> Any:
        """Perform one step, and return the first loss of the closure; without one, do the second step.

        What else is given goes to the wrapper inside, as `weight` to `Accumulate`.
        """
        if closure is None:
            if not self._first_done:
                raise RuntimeError(
                    f"{type(self).__name__} needs gradients at two points. Give step a closure that zeroes "
                    "the gradients, computes the loss, calls backward and returns the loss; or call "
                    "first_step() after the first backward pass and second_step() after the second."
                )
            self.restore()
            self._first_done = False
            self._step_inside(**arguments)
            return None
        self._check_training()
        self._refuse_second_pass()
        self._first_done = False
        loss = evaluate_closure(closure)
        self._perturb()
        try:
            # a closure that forgets to would otherwise mix the gradients of two points
            self.zero_grad()
            evaluate_closure(closure)
        finally:
            self.restore()
        self._step_inside(**arguments)
        return loss

    @untraced
    @of_itself
    def first_step(self, zero_grad: bool = True) -> None:
        """Move the parameters from w to w + e by the gradients they have, and zero the gradients.

        Raises:
            RuntimeError: the parameters are at w + e already.
            EngineError: they are where the model is evaluated.
        """
        self._check_training()
        self._refuse_second_pass()
        self._perturb()
        self._first_done = True
        if zero_grad:
            self.zero_grad()

    @untraced
    @of_itself
    def restore(self) -> None:
        """Bring the parameters back to w, if they are not there; the second step is still to come."""
        kept, self._kept = self._kept, None
        with torch.no_grad():
            for p, before in kept or ():
                p.copy_(before)

    @untraced
    @of_itself
    def second_step(self, /, **arguments: Any) -> None:
        """Bring the parameters back to w and step by the gradients they have; hooks run as at `step`."""
        self.step(**arguments)

    @torch.no_grad()
    def _perturb(self) -> None:
        refuse_sharded(all_params(self), type(self).__name__)
        # the worst point of what is maximized lies downhill
        present = [
            (p, p.grad, -1.0 if group.get("maximize") else 1.0)
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        length = global_norm(
            self._scale(p) * _dense(g) if self.adaptive else _dense(g) for p, g, _ in present
        )
        self._kept = []
        if not math.isfinite(length):
            return
        factor = self.rho / (length + 1e-12)
        try:
            for p, g, sign in present:
                direction = _dense(g)
                if self.adaptive:
                    direction = self._scale(p).square() * direction
                self._kept.append((p, p.detach().clone()))
                p.add_(direction, alpha=sign * factor)
        except BaseException:
            self.restore()
            raise

    def _scale(self, p: Tensor) -> Tensor:
        return widened(p).abs() + self.eta

    def _refuse_second_pass(self) -> None:
        if self.second_pass:
            raise RuntimeError(
                "The parameters are still at the perturbed point of the last first_step(). Finish it with "
                "second_step(); with a GradScaler, which leaves steps out, call restore() before "
                "scaler.step(optimizer)."
            )

    @of_itself
    def state_dict(self) -> dict[str, Any]:
        """Return the state, as `Wrapper` does.

        Raises:
            RuntimeError: the parameters are at w + e, so a model saved with this state would be as well.
        """
        if self.second_pass:
            raise RuntimeError(
                "A checkpoint between first_step() and second_step() would hold the perturbed parameters. "
                "Write it after second_step(), or call restore() first."
            )
        return super().state_dict()

    @untraced
    @of_itself
    def eval(self) -> None:
        """Move the parameters to where the optimizer inside says that the model is to be evaluated.

        Raises:
            RuntimeError: the parameters are at w + e, which the optimizer inside would take for w.
        """
        self._refuse_second_pass()
        super().eval()

    @of_itself
    def evaluating(self) -> AbstractContextManager[None]:
        """Evaluate the model inside this context at the average that the optimizer inside keeps.

        Raises:
            RuntimeError: the parameters are at w + e, which the optimizer inside would take for w.
            EngineError: the optimizer inside keeps no average.
        """
        self._refuse_second_pass()
        return super().evaluating()

    def _loaded(self, own: Any, saved: Any) -> dict[str, Any]:
        return {"_kept": None, "_first_done": False}

    def _settings(self) -> str:
        return f"rho={self.rho}, adaptive={self.adaptive}" + (
            f", eta={self.eta}" if self.adaptive else ""
        )


class ASAM(SAM):
    """Adaptive SAM (Kwon et al. 2021, algorithm 1): `SAM` with `adaptive=True` and the paper's ρ = 0.5.

    e = ρ·T²·g / (‖T·g‖ + 1e-12),   T = |w| + η

    Scaling a layer's weights by c and the next one's by 1/c leaves a ReLU network as it is, and, up to η, the
    sharpness that ASAM sees.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = ASAM(torch.optim.SGD(model.parameters(), lr=0.1))
    >>> optimizer.rho, optimizer.eta
    (0.5, 0.01)
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, rho: float = 0.5, *, eta: float = 0.01
    ) -> None:
        super().__init__(optimizer, rho, adaptive=True, eta=eta)


def _dense(g: Tensor) -> Tensor:
    return widened(g.to_dense() if g.is_sparse else g)


def _at_least_zero(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{what} must be a number of at least 0, got {value!r}.")
    return float(value)
