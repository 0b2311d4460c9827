"""`Wrapper`: an optimizer that wraps another one and behaves as a `torch.optim.Optimizer`."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import EngineError, sentence
from thalweg.meta import distributed
from thalweg.meta.stepping import guarded
from thalweg.optim.stepping.checkpoint import by_name
from thalweg.optim.stepping.distributed import is_gathering, is_within
from thalweg.optim.stepping.shell import of_itself
from thalweg.optim.stepping.untraced import uncompiled, untraced

Group = dict[str, Any]

_NEARBY = 12
"""Stack frames to search for a loss scaler: hooks, schedulers and wrappers lie between it and the step."""

_OF_THE_INSTANCE = ("step", "_opt_called", "_zero_grad_profile_name")
"""Attributes that PyTorch and its schedulers set on an instance; a copy gets its own."""


class Wrapper(torch.optim.Optimizer):
    """An optimizer that steps another one, its `optimizer`.

    `param_groups`, `state` and `defaults` are those of the optimizer inside, so a learning rate set on
    either is set on both. Hooks registered here run around the wrapper's step, hooks of the optimizer inside
    around its own. A state dict is that of the optimizer inside with one entry more, `wrappers`, so it loads
    into an optimizer without the wrapper, and the other way round: a wrapper that finds nothing of its own
    begins again.

    A subclass defines `step`, in which it calls `_step_inside`, and, if it has a state, `_saved` and
    `_loaded`.

    Attributes: `optimizer`, the optimizer inside; `stepped`, whether the last call of `step` was a step of
    the innermost optimizer, for schedulers that count such steps:

        if optimizer.stepped:
            scheduler.step()

    Raises:
        TypeError: what is to be wrapped is not an optimizer, or one that evaluates a closure itself.
    """

    needs_closure: ClassVar[bool] = False
    """Whether a step evaluates the closure itself, so that no other wrapper can do it before."""

    tensors: ClassVar[tuple[str, ...]] = ()
    """The entries of what `_saved` returns that are tensors by the number of the parameter."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        _check_wrappable(type(self), optimizer)
        # Optimizer.__init__ would make groups and a state; this makes the hooks, and patches `step`
        super().__setstate__({"optimizer": optimizer, "stepped": False})

    def _patch_step_function(self) -> None:
        # PyTorch patches the `step` of the class when the first optimizer of it is made, to run hooks. What
        # is not a step for the wrapper is seen to inside of that, what keeps compilers away is outside
        kind = type(self)
        is_new = not getattr(kind.step, "hooked", False)
        if is_new:
            kind.step = guarded(kind.step)  # type: ignore[method-assign]
        super()._patch_step_function()
        if is_new:
            kind.step = uncompiled(kind.step)  # type: ignore[method-assign]

    optimizer: torch.optim.Optimizer
    stepped: bool

    # -- for subclasses -------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step, and return what the closure returns, if there is one."""
        raise NotImplementedError(f"{type(self).__name__} defines no step.")

    def _step_inside(self, **arguments: Any) -> None:
        """Step the optimizer inside, on the gradients that the parameters have now."""
        inside = self.optimizer
        inside.step(**arguments)
        self.stepped = inside.stepped if isinstance(inside, Wrapper) else True

    def _check_training(self) -> None:
        """Refuse a step while the parameters are where the model is evaluated, before anything changes."""
        inside: Any = self.optimizer
        while isinstance(inside, Wrapper):
            inside = inside.optimizer
        if getattr(inside, "_is_evaluating", False):
            raise EngineError(
                "The parameters are where the model is evaluated. Call optimizer.train() before the next "
                "step."
            )

    def _saved(self) -> dict[str, Any]:
        """Return the wrapper's own state: numbers, strings, tensors, and lists and dicts of them."""
        return {}

    def _loaded(self, own: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes to set, from what `_saved` returned or from nothing, and change none.

        `saved` is the whole state dict, for `saved_params`.
        """
        return {}

    # -- the point of evaluation ----------------------------------------------------------------------

    @untraced
    @of_itself
    def eval(self) -> None:
        """Move the parameters to where the optimizer inside says that the model is to be evaluated.

        If it keeps no average, nothing is done: training loops call `eval()` and `train()` on any optimizer
        that has them.
        """
        move = getattr(self.optimizer, "eval", None)
        if callable(move):
            move()

    @untraced
    @of_itself
    def train(self) -> None:
        """Move the parameters back to where training left them; without an average, do nothing."""
        move = getattr(self.optimizer, "train", None)
        if callable(move):
            move()

    @of_itself
    def evaluating(self) -> AbstractContextManager[None]:
        """Evaluate the model inside this context at the average that the optimizer inside keeps.

        Raises:
            EngineError: the optimizer inside keeps no average, or is of a kind that has no such point.

        >>> import torch
        >>> from thalweg import optim
        >>> from thalweg.meta import NonFinite
        >>> from thalweg.rules import polyak
        >>> w = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = NonFinite(optim.SGD([w], lr=1.0, after=polyak()))
        >>> for _ in range(3):
        ...     w.grad = torch.full_like(w, -1.0)
        ...     optimizer.step()
        >>> with optimizer.evaluating():
        ...     w.item()
        2.0
        """
        found: Callable[[], Any] | None = getattr(self.optimizer, "evaluating", None)
        if not callable(found):
            kind = type(self.optimizer).__name__
            raise EngineError(
                f"{type(self).__name__} wraps {kind}, which has no evaluating(): it keeps no average to "
                "evaluate the model at. Wrap an optimizer that does, such as optim.SGD(model, "
                "after=ema(0.999))."
            )
        context: AbstractContextManager[None] = found()
        return context

    # -- PyTorch's optimizer --------------------------------------------------------------------------

    @property
    def param_groups(self) -> list[Group]:
        """The parameter groups of the optimizer inside."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[Group]) -> None:
        self.optimizer.param_groups = groups

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """The state of the optimizer inside."""
        return self.optimizer.state

    @state.setter
    def state(self, state: defaultdict[Tensor, Any]) -> None:
        self.optimizer.state = state

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the optimizer inside."""
        return self.optimizer.defaults

    @defaults.setter
    def defaults(self, defaults: dict[str, Any]) -> None:
        self.optimizer.defaults = defaults

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters to the optimizer inside."""
        self.optimizer.add_param_group(param_group)

    @untraced
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters."""
        self.optimizer.zero_grad(set_to_none=set_to_none)

    @of_itself
    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer inside, and under `wrappers` the own of each wrapper.

        In a distributed checkpoint, of which PyTorch keeps nothing but states and groups, `wrappers` is an
        entry of the first group.
        """
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        inside = self.optimizer.state_dict()
        own = {"name": type(self).__name__, **self._saved()}
        if is_gathering():
            saved = distributed.within_groups(all_params(self), inside, own, self.tensors)
        else:
            saved = {**inside, "wrappers": [own, *inside.get("wrappers", ())]}
        for after in self._optimizer_state_dict_post_hooks.values():
            replaced = after(self, saved)
            if replaced is not None:
                saved = replaced
        return saved

    @of_itself
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state written with or without this wrapper; nothing is shared with `state_dict`.

        Raises:
            ValueError: the state is of another optimizer or other parameters. Nothing has changed then.
        """
        saved = dict(state_dict)
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = before(self, saved)
            if replaced is not None:
                saved = replaced
        saved = distributed.beside_groups(saved)
        wrappers = list(saved.get("wrappers", ()))
        name = type(self).__name__
        mine = next((k for k, entry in enumerate(wrappers) if entry.get("name") == name), None)
        own = {} if mine is None else wrappers.pop(mine)
        try:
            attributes = self._loaded(own, saved)
        except KeyError as error:
            raise ValueError(
                f"The state dict's entry for {name} lacks {sentence(error)} Give what state_dict() returned."
            ) from error
        self.optimizer.load_state_dict({**saved, "wrappers": wrappers})
        self.__dict__.update(attributes)
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in _OF_THE_INSTANCE and not name.startswith("_optimizer_")
        }

    def __repr__(self) -> str:
        inside = repr(self.optimizer).replace("\n", "\n    ")
        return f"{type(self).__name__} ({self._settings()}\n    {inside}\n)"

    def _settings(self) -> str:
        return ""


def _check_wrappable(wrapper: type[Wrapper], optimizer: object) -> None:
    """Refuse what is not an optimizer, and an optimizer that cannot be stepped without a closure."""
    name, twice = wrapper.__name__, wrapper.needs_closure
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"{name} wraps an optimizer, got the class {optimizer.__name__}. Make one of it first: "
            f"{name}({optimizer.__name__}(model.parameters(), …))."
        )
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"{name} wraps an optimizer, such as torch.optim.SGD(model.parameters(), lr=0.1), got "
            f"{type(optimizer).__name__}."
        )
    kind = type(optimizer).__name__
    if isinstance(optimizer, Wrapper) and optimizer.needs_closure:
        raise TypeError(
            f"{name} cannot wrap {kind}, which evaluates the gradient twice in a step. "
            + ("One of the two is enough" if twice else f"Put {kind} outside: {kind}({name}(…))")
        )
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise TypeError(
            f"{name} cannot wrap {kind}, whose step evaluates a closure as often as it likes: a wrapper "
            "steps the optimizer inside on gradients that are already there."
        )


def evaluate_closure(closure: Callable[[], Any] | None) -> Any:
    """Return the loss of a closure, evaluated with gradients, or None without one.

    Raises:
        RuntimeError: a loss scaler was given the closure, and has unscaled the gradients of before already.
    """
    if closure is None:
        return None
    if is_within("torch.amp.grad_scaler", "GradScaler", "_maybe_opt_step", depth=_NEARBY):
        raise RuntimeError(
            "GradScaler.step(optimizer, closure) would step by scaled gradients: the scaler unscales those "
            "that are there before the closure runs, not those that it computes. Call scaler.step(optimizer) "
            "without a closure, after the backward pass; with SAM by first_step() and restore(), as its "
            "docstring shows."
        )
    with torch.enable_grad():
        return closure()


def all_params(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters of all groups, in order."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def all_names(groups: list[Group]) -> list[str] | None:
    """Return the names of all parameters in order, or None where they are not known."""
    named = by_name(groups)
    return None if named is None else list(named)


def saved_params(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> dict[int, Tensor]:
    """Return the parameter of each number in a state dict: by name where both sides know the same names."""
    groups = saved["param_groups"]
    here, there = by_name(optimizer.param_groups), by_name(groups)
    if here is not None and there is not None and here.keys() == there.keys():
        return {number: here[name] for name, number in there.items()}
    numbers = [number for group in groups for number in group["params"]]
    return dict(zip(numbers, all_params(optimizer), strict=False))
