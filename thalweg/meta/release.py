"""Gradient release: step each parameter inside the backward pass, as soon as its gradient is ready.

No two gradients of large parameters need to be there at once, so their memory is that of a few layers.
"""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from thalweg.errors import EngineError
from thalweg.optim.stepping import scheduled
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.on_behalf import OnBehalf
from thalweg.optim.stepping.stepper import Stepper


class Released:
    """An optimizer whose parameters step inside the backward pass (see `release_gradients`)."""

    def __init__(self, optimizer: Stepper) -> None:
        self._optimizer = optimizer
        self._done: set[int] = set()
        self._supports_scaling = getattr(optimizer, "_step_supports_amp_scaling", False)
        self._handles: list[RemovableHandle] = []
        ordinal = 0
        for number, group in enumerate(optimizer.param_groups):
            for p in group["params"]:
                if p.requires_grad:
                    alone = _Alone(optimizer, number, p, ordinal)
                    self._handles.append(
                        p.register_post_accumulate_grad_hook(
                            lambda p, alone=alone: self._step(p, alone)
                        )
                    )
                ordinal += 1
        optimizer._released = self
        optimizer._step_supports_amp_scaling = _RefusesScaler()  # type: ignore[attr-defined]

    def remove(self) -> None:
        """Let the optimizer step all parameters at once again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._optimizer._released = None
        self._optimizer._step_supports_amp_scaling = (  # type: ignore[attr-defined]
            self._supports_scaling
        )

    def __enter__(self) -> Released:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def finish(self, with_closure: bool) -> None:
        """Begin the next step; called by `optimizer.step`, which steps what still has a gradient.

        Raises:
            EngineError: the step has a closure, which would run backward within it.
        """
        if with_closure:
            raise EngineError(
                "gradients are released inside the backward pass, so a step cannot run a closure. Call "
                "loss.backward(), then optimizer.step()."
            )
        self._done.clear()

    def _step(self, p: Tensor, alone: _Alone) -> None:
        if id(p) in self._done:
            raise EngineError(
                "A second backward pass before optimizer.step(): gradients are released as soon as they are "
                "ready, so they cannot be accumulated. Call optimizer.step() after each backward pass, or do "
                "without release_gradients."
            )
        optimizer = self._optimizer
        if optimizer._is_evaluating:
            raise EngineError(
                "The parameters are where the model is evaluated. Call optimizer.train() before backward."
            )
        self._done.add(id(p))
        if optimizer._schedules:
            scheduled.apply(optimizer.param_groups, optimizer._schedules, optimizer._checked)
        alone.step_alone()
        p.grad = None


class _Alone(OnBehalf):
    """Steps one parameter of an optimizer, by the optimizer's own group and state."""

    def __init__(self, owner: Stepper, number: int, p: Tensor, ordinal: int) -> None:
        self._owner, self._number, self._p = owner, number, p
        self._params = [p]
        self._begin([], {p: owner.state[p]}, owner.engine)
        self.keeping = owner.keeping
        self.state_names = owner.state_names  # type: ignore[misc]
        self._first_ordinal = ordinal

    def owner_of(self, group: Group) -> Stepper:
        """Return the optimizer whose parameter it is."""
        return self._owner

    def step_alone(self) -> None:
        """Step the parameter by what the owner's group and state are now."""
        state = self._owner.state[self._p]
        if self.state[self._p] is not state:  # another one was loaded
            self.state = {self._p: state}
            self._forget()
        group = self._owner.param_groups[self._number]
        names = {"param_names": [""]} if "param_names" in group else {}
        self.param_groups = [{**group, "params": self._params, **names}]
        self._move()


class _RefusesScaler:
    """What `GradScaler` asks for before it steps an optimizer."""

    def __bool__(self) -> NoReturn:
        raise EngineError(
            "gradients are released inside the backward pass, before a GradScaler could divide them by its "
            "scale. Train in bfloat16, which needs no scaler, or do without release_gradients."
        )


def release_gradients(optimizer: Any) -> Released:
    """Step each parameter inside the backward pass, as soon as its gradient is ready, and free the gradient.

    Steps are bitwise those of the optimizer. `optimizer.step()` is still called once after each backward
    pass: it steps what has a gradient left, counts schedules, and begins the next step.

    Args:
        optimizer: one of thalweg's, without wrappers around it.

    Returns: a handle whose `remove()` ends it; also a context manager.

    Raises:
        TypeError: it is not an optimizer of thalweg's, or one inside a wrapper.
        EngineError: a step needs all gradients at once (clipping by a global norm, Prodigy), is
            differentiable, or captured. Later: at a second backward pass without a step between, at a step
            with a closure, and at a step by a `GradScaler`.

    >>> import torch
    >>> from thalweg import optim
    >>> from thalweg.meta import release_gradients
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = optim.AdamW(model, state_dtype="bfloat16")
    >>> released = release_gradients(optimizer)
    >>> model(torch.ones(2)).sum().backward()
    >>> model.weight.grad is None
    True
    >>> optimizer.step()
    """
    if not isinstance(optimizer, Stepper):
        raise TypeError(
            f"release_gradients takes an optimizer of thalweg's, not {type(optimizer).__name__}: a wrapper "
            "or another optimizer decides itself when parameters step."
        )
    if optimizer._released is not None:
        raise EngineError("The gradients of this optimizer are released already.")
    if optimizer.defaults.get("differentiable") or optimizer._is_capturable():
        raise EngineError(
            "A differentiable or captured step needs all gradients at once; they cannot be released."
        )
    for group in optimizer.param_groups:
        program = optimizer._reader(group).program
        over_all = [v.op for v in program.reached() if v.data == "all"]
        if over_all:
            raise EngineError(
                f"{program.label} reduces over all tensors, so a step needs all gradients at once; they "
                "cannot be released. Clip each tensor by itself (clip_by_norm), or take another rule."
            )
    return Released(optimizer)
