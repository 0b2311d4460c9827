"""`Optimizer`: any chain as a true `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.engine.memory import zeros_like
from thalweg.engine.plan import Engine, Member, Plan
from thalweg.engine.rows import Block, open_block, read_line
from thalweg.errors import EngineError
from thalweg.optim.checkpoint import loaded_state, saved_state
from thalweg.optim.standing import Group, Reader, Standing, all_params, switches

KEPT_PLANS = 8
"""Plans kept for models whose parameters with gradients change from step to step."""


class Stepper(torch.optim.Optimizer):
    """What every optimizer here shares: the step, the state, checkpoints.

    A subclass says which chain steps a group (`group_chain`) and how the chain's numbers are written in it
    (`spelling`) and its states in `state` (`state_names`).
    """

    spelling: ClassVar[Mapping[str, Callable[[Group], Any]]] = {}
    """How to read a hyperparameter of the chain from a group, where it is not called the same there."""
    state_names: ClassVar[Mapping[str, str]] = {}
    """What a state of the chain is called in `optimizer.state[p]`, where it is not called the same."""
    engine: Engine
    _current: Standing | None
    _plans: list[Standing]
    _readers: dict[Any, Reader]
    _places: dict[int, tuple[dict[str, Any], Block, int]]

    def group_chain(self, group: Group) -> Chain:
        """Return the chain that steps the parameters of a group."""
        raise NotImplementedError

    # -- step -----------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step, and return what the closure returns, if there is one."""
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or torch.autograd.profiler._is_profiler_enabled
        ):
            return self._observed_step() if closure is None else self._observed_step(closure)
        if closure is None:
            return self._advance()
        return self._step(closure)

    # PyTorch wraps `step` to run hooks and to record it for the profiler. This one does both itself, and
    # only when there is something to run: the wrapper alone takes longer than the step of a small model.
    step.hooked = True  # type: ignore[attr-defined]

    _observed_step = torch.optim.Optimizer.profile_hook_step(
        lambda self, closure=None: self._step(closure)
    )

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._advance()
        return loss

    def _advance(self) -> None:
        current = self._current
        if current is not None and current.step(self, self._reader):
            return
        for standing in self._plans:
            if (
                standing is not current
                and standing.plan.is_uniform()
                and standing.step(self, self._reader)
            ):
                self._current = standing
                return
        self._drop_outdated()
        self._current = self._make_plan()
        self._plans = [self._current, *self._plans[: KEPT_PLANS - 1]]
        if not self._current.step(self, self._reader):
            raise EngineError("parameters or gradients changed while their step was planned")

    def _reader(self, group: Group) -> Reader:
        made = self.group_chain(group)
        key = (made, *switches(made, group).values())
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = Reader(made, group, self.spelling, self.state_names)
        return reader

    # -- plans ----------------------------------------------------------------------------------------

    def _make_plan(self) -> Standing:
        """Plan a step of the parameters that have gradients now."""
        params = all_params(self.param_groups)
        grads = [p.grad for p in params]
        readers = [self._reader(group) for group in self.param_groups]
        group_of = [k for k, group in enumerate(self.param_groups) for _ in group["params"]]
        present = [
            (p, g, k) for p, g, k in zip(params, grads, group_of, strict=True) if g is not None
        ]
        for p, g, _ in present:
            if g.shape != p.shape:
                raise EngineError(
                    f"a gradient has shape {tuple(g.shape)}, its parameter {tuple(p.shape)}. If you changed "
                    "`param.data` after the backward pass, compute the gradient again"
                )
        self._open_states([(p, readers[k]) for p, _, k in present])
        members = []
        for p, g, k in present:
            reader, state = readers[k], self.state[p]
            block, line = self._places[id(state)][1:]
            members.append(
                Member(p, g.dtype, g.layout, state, reader.names, k, reader.program, block, line)
            )
        plan = Plan(members, self.engine, bool(self.defaults.get("differentiable")))
        absent = [p for p, g in zip(params, grads, strict=True) if g is None]
        return Standing(plan, params, absent, readers, list(self.state.values()))

    def _open_states(self, wanted: Sequence[tuple[Tensor, Reader]]) -> None:
        """Make the states that are missing, and give each parameter a line for its numbers."""
        new: dict[Reader, list[dict[str, Any]]] = {}
        for p, reader in wanted:
            state = self.state[p]
            place = self._places.get(id(state))
            # a state that was replaced or loaded has numbers of its own
            if place is None or place[0] is not state or not _holds_line(state, reader, place):
                new.setdefault(reader, []).append(state)
        for reader, states in new.items():
            first = [read_line(state, reader.numbers_kept, reader.fresh) for state in states]
            block = open_block(states, reader.numbers_kept, first)
            for line, state in enumerate(states):
                self._places[id(state)] = (state, block, line)
        for p, reader in wanted:
            state = self.state[p]
            for name in reader.names:
                if state.get(name) is None:
                    state[name] = zeros_like(p)

    def _drop_outdated(self) -> None:
        """Let go of parameters and states that were replaced, which old plans would keep in memory."""
        params = all_params(self.param_groups)
        self._plans = [standing for standing in self._plans if standing.is_for(params)]
        kept = {id(state) for state in self.state.values()}
        self._places = {key: place for key, place in self._places.items() if key in kept}

    def _forget(self) -> None:
        """Drop what was planned; the next step plans anew."""
        self._current = None
        self._plans = []
        self._readers = {}
        self._places = {}

    # -- PyTorch's optimizer --------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does."""
        if "_places" not in self.__dict__:
            self._forget()
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as PyTorch does: by number, with `param_names` where they are known."""
        return saved_state(super().state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state written by this class or by PyTorch's class of the same name.

        Parameters are matched by name where both sides know names, otherwise by position. Tensors keep their
        dtype and go to the device of their parameter; nothing is shared with `state_dict`.
        """
        loaded_state(self, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        plain = {k: v for k, v in self.__dict__.items() if k not in _NOT_COPIED}
        plain["state"] = {
            p: {k: v.clone() if _is_line(v) else v for k, v in state.items()}
            for p, state in self.state.items()
        }
        return plain

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()
        if not hasattr(self.state, "default_factory"):
            from collections import defaultdict

            self.state = defaultdict(dict, self.state)

    def describe_plan(self) -> str:
        """Return what the last step ran how: the fused batches, and the tensors that ran eagerly."""
        if self._current is None:
            return "no step yet"
        return self._current.plan.describe()


_NOT_COPIED = frozenset(
    (
        "_current",
        "_plans",
        "_readers",
        "_places",
        "step",
        "_optimizer_step_pre_hooks",
        "_optimizer_step_post_hooks",
        "_optimizer_state_dict_pre_hooks",
        "_optimizer_state_dict_post_hooks",
        "_optimizer_load_state_dict_pre_hooks",
        "_optimizer_load_state_dict_post_hooks",
    )
)


def _is_line(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0 and value._is_view()


def _holds_line(state: Mapping[str, Any], reader: Reader, place: tuple[Any, Block, int]) -> bool:
    """Whether the numbers in a state are still the views of its line."""
    _, block, line = place
    if block.shape[1] != len(reader.numbers_kept):
        return False
    start = block[line].ctypes.data
    return all(
        isinstance(state.get(name), Tensor) and state[name].data_ptr() == start + 8 * k
        for k, name in enumerate(reader.numbers_kept)
    )


class Optimizer(Stepper):
    """Steps parameters by a chain of rules.

        p ← p − lr·update

    Args:
        params: a module, or what `torch.optim` takes: tensors, named tensors, or groups. From a module or
            named tensors the names are kept, and saved with the state.
        rule: a chain, a rule, or a rule with its hyperparameters.
        lr: learning rate, by default 0.001; a number or a 0-d tensor. `param_groups` may hold another.
        engine: "auto" fuses what it can and runs the rest eagerly; "eager" runs everything as PyTorch
            calls; "fused" fails where the chain cannot be fused.

    Every hyperparameter of the chain is an entry of the parameter groups, and may differ between groups and
    change between steps.

    Raises:
        ValueError: a negative learning rate, or PyTorch's own errors about parameters.
        RuleError: `rule` is not a rule or a chain of rules.

    >>> import torch
    >>> from thalweg import Optimizer, chain
    >>> from thalweg.rules import adam, clip_by_norm, decay
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = Optimizer(
    ...     model, chain(clip_by_norm(1.0), adam(beta2=0.95), decay(0.1)), lr=3e-4
    ... )
    >>> model(torch.ones(2)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        rule: Chain | Link | Rule,
        lr: float | Tensor = 1e-3,
        *,
        engine: Engine = "auto",
    ) -> None:
        check_engine(engine)
        if not hasattr(lr, "__float__") or not float(lr) >= 0:
            raise ValueError(f"Invalid learning rate: {lr!r}; it is a number of at least 0")
        self.engine = engine
        self.chain = rule if isinstance(rule, Chain) else chain(rule)
        super().__init__(named(params), {"lr": lr, **self.chain.hyperparameters})

    def group_chain(self, group: Group) -> Chain:
        """Return the chain: the same for every group."""
        return self.chain


def named(params: nn.Module | Iterable[Any]) -> Iterable[Any]:
    """Return the parameters of a module with their names; leave anything else as it is."""
    return params.named_parameters() if isinstance(params, nn.Module) else params


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist."""
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}")
