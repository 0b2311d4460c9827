"""The stepper: what makes a chain a true `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.optim.optimizer import (
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)

from thalweg.engine.backend import Backend
from thalweg.engine.backends import ON_DEVICE, Engine, backends, is_required
from thalweg.engine.matrix.states import open_matrix_states
from thalweg.engine.member import called
from thalweg.engine.plan import Plan
from thalweg.engine.rows import Block, holds_line, open_block, read_line
from thalweg.errors import EngineError
from thalweg.optim.stepping import distributed, scheduled
from thalweg.optim.stepping.captured import is_capturing, not_ready, refuse_schedules
from thalweg.optim.stepping.checkpoint import (
    loaded_state,
    own_numbers,
    saved_state,
    without_orphans,
)
from thalweg.optim.stepping.checks import Group, all_params, check_group, check_range
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.evaluation import Evaluating, has_evaluation, keeps_trained
from thalweg.optim.stepping.keeping import convert_all
from thalweg.optim.stepping.members import members_of
from thalweg.optim.stepping.memory_use import KeepsStates
from thalweg.optim.stepping.partition import Partition, partition_of
from thalweg.optim.stepping.plan_check import CheckedPlan, Reader
from thalweg.optim.stepping.shards import ShardsPlan
from thalweg.optim.stepping.shell import of_itself
from thalweg.optim.stepping.steppable import (
    check_gradient,
    is_sharded,
    param_names,
    refuse_without_values,
)
from thalweg.optim.stepping.untraced import untraced

KEPT_PLANS = 8
"""Plans kept for models whose parameters with gradients change from step to step."""


class Stepper(Evaluating, KeepsStates, torch.optim.Optimizer):
    """What every optimizer here shares: the step, the state, checkpoints.

    A subclass says which chain steps a group (`composition`) and what its states are called in `state`
    (`state_names`). Any hyperparameter may be a schedule: a function of the number of steps taken.
    """

    state_names: ClassVar[Mapping[str, str]] = {}
    """What a state of the chain is called in `optimizer.state[p]`, where it is not called the same."""
    engine: Engine
    _current: CheckedPlan | ShardsPlan | None
    _plans: list[CheckedPlan | ShardsPlan]
    _readers: dict[Any, Reader]
    _places: dict[int, tuple[dict[str, Any], Block | Tensor, int]]
    _captured: list[CheckedPlan | ShardsPlan]
    """Plans whose memory the CUDA graphs that captured their steps go on using."""
    _checked: frozenset[str] = frozenset()
    """The hyperparameters whose ranges are known."""
    _default_schedules: scheduled.Schedules
    _schedules: scheduled.Known
    _is_evaluating: bool
    _first_ordinal: int = 0
    _released: Any = None  # what steps the parameters inside the backward pass, if anything does

    def _outer_defaults(self) -> dict[str, Any]:
        """Return the hyperparameters of the links that the user put around."""
        around = self.__dict__.get("_around")
        return {} if around is None else dict(around.defaults)

    def composition(self, group: Group) -> Composition:
        """Return the chain that steps the parameters of a group, and how the group spells its numbers."""
        raise NotImplementedError

    def _is_capturable(self) -> bool:
        """Whether step numbers live on the device, so that a CUDA graph may repeat a step."""
        return self.engine in ON_DEVICE and bool(self.defaults.get("capturable"))

    def _takes_loss_scale(self) -> bool:
        """Whether a step divides by a loss scale itself, and skips itself where a gradient is not finite."""
        return self.engine == "triton" and self._is_capturable()

    def form(self, group: Group, p: Tensor) -> Composition:
        """Return the chain that steps one parameter: that of its group, or a form of it for its size."""
        return self.composition(group)

    def _backends(self) -> Sequence[Backend]:
        """Return the engines to ask for a step, in order."""
        return backends(self.engine)

    def schedules_of(self, group: Group) -> Mapping[str, Any]:
        """Return the hyperparameters of a param group that are functions of the step, by name."""
        return scheduled.of_group(group, self._schedules)

    # -- step -----------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step, and return what the closure returns, if there is one.

        `torch.compile` does not look into it: a step in a compiled function is the step as it is here.
        """
        if is_compiling():
            return _outside_the_graph(self, closure)
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
            if self._released is not None:
                self._released.finish(with_closure=True)
            with torch.enable_grad():
                loss = closure()
        self._advance()
        return loss

    def _advance(self) -> None:
        if not self.state and distributed.is_opening():
            self._open_all_states()
            return
        if self._is_evaluating:
            raise EngineError(
                "The parameters are where the model is evaluated. Call optimizer.train() before the next "
                "step."
            )
        if self._released is not None:
            self._released.finish(with_closure=False)
        if self.engine in ON_DEVICE and self._is_capturable() and is_capturing():
            self._be_captured()
            return
        if not self._schedules:
            self._move()
            return
        scheduled.apply(self.param_groups, self._schedules, self._checked)
        self._move()
        scheduled.count_step(self.param_groups, self._schedules)

    def _be_captured(self) -> None:
        refuse_schedules(bool(self._schedules))
        current = self._current
        if current is None or not current.step(self, self._reader):
            raise not_ready()
        self._captured.append(current)

    def _move(self) -> None:
        current = self._current
        if current is not None and current.step(self, self._reader):
            return
        for known in self._plans:
            if known is not current and known.step(self, self._reader):
                self._current = known
                return
        self._drop_outdated()
        self._current = self._make_plan()
        self._plans = [self._current, *self._plans[: KEPT_PLANS - 1]]
        if not self._current.step(self, self._reader):
            raise EngineError("Parameters or gradients changed while their step was planned.")

    def _reader(self, group: Group, p: Tensor | None = None) -> Reader:
        composition = self.composition(group) if p is None else self.form(group, p)
        key = (composition, *composition.switches(group).values())
        reader = self._readers.get(key)
        if reader is None:
            reader = Reader(composition, group, self.state_names, self.keeping)
            self._readers[key] = reader
        return reader

    # -- plans ----------------------------------------------------------------------------------------

    def _partition(self) -> Partition | None:
        """Return with which processes the parameters are stepped together, or None."""
        return partition_of(self.param_groups, lambda group, p: self._reader(group, p).program)

    def _make_plan(self) -> CheckedPlan | ShardsPlan:
        """Plan a step of the parameters that have gradients now."""
        params = all_params(self.param_groups)
        if any(map(is_sharded, params)):
            return ShardsPlan(self, Stepper.__new__(Stepper))
        grads = [p.grad for p in params]
        readers = [self._reader(group) for group in self.param_groups]
        group_of = [k for k, group in enumerate(self.param_groups) for _ in group["params"]]
        names = [n for group in self.param_groups for n in param_names(group)]
        present = [
            (p, g, k, n)
            for n, (p, g, k) in enumerate(zip(params, grads, group_of, strict=True))
            if g is not None
        ]
        for p, g, _, n in present:
            check_gradient(p, g, called(n, names[n]))
        forms = [self._reader(self.param_groups[k], p) for p, _, k, _ in present]
        wanted = [(p, form) for (p, *_), form in zip(present, forms, strict=True)]
        refuse_without_values(p for p, form in wanted if form.program.number_outputs)
        self._open_states(wanted)
        partition = self._partition()
        places = {id(p): n + self._first_ordinal for p, _, _, n in present}
        places |= {} if partition is None else partition.ordinals()
        plan = Plan(
            list(members_of(present, forms, self.state, self._places, names, places)),
            self._backends(),
            required=is_required(self.engine),
            differentiable=bool(self.defaults.get("differentiable")),
            on_device=self._is_capturable(),
            across=None if partition is None else partition.across(),
        )
        absent = [p for p, g in zip(params, grads, strict=True) if g is None]
        return CheckedPlan(
            plan,
            params,
            absent,
            readers,
            list(self.state.values()),
            compiled=self.engine != "eager",
        )

    def _open_states(self, wanted: Sequence[tuple[Tensor, Reader]]) -> None:
        """Make the states that are missing, and give each parameter a line for its numbers."""
        new: dict[tuple[Reader, torch.device | None], list[dict[str, Any]]] = {}
        for p, reader in wanted:
            state = self.state[p]
            place = self._places.get(id(state))
            # a state that was replaced or loaded has numbers of its own
            mine = place is not None and place[0] is state
            if place is None or not (mine and holds_line(state, reader.numbers_kept, *place[1:])):
                device = p.device if self._is_capturable() else None
                new.setdefault((reader, device), []).append(state)
        for (reader, device), states in new.items():
            first = [
                read_line(state, reader.numbers_kept, reader.fresh, reader.tensors_kept)
                for state in states
            ]
            block = open_block(states, reader.numbers_kept, first, device)
            for line, state in enumerate(states):
                self._places[id(state)] = (state, block, line)
        for p, reader in wanted:
            reader.kept(p).complete(self.state[p], p)
            open_matrix_states(p, self.state[p], reader.matrix_states, reader.program.seen)

    def _open_all_states(self) -> None:
        """Make the states of all parameters that may be trained, as they are before the first step."""
        if any(map(is_sharded, all_params(self.param_groups))):
            ShardsPlan(self, Stepper.__new__(Stepper)).open_states()
            return
        pairs = [(group, p) for group in self.param_groups for p in group["params"]]
        self._open_states([(p, self._reader(group, p)) for group, p in pairs if p.requires_grad])

    def _drop_outdated(self) -> None:
        """Let go of parameters and states that were replaced, which old plans would keep in memory."""
        params = all_params(self.param_groups)
        self._plans = [known for known in self._plans if known.is_for(params)]
        kept = {id(state) for state in self.state.values()}
        self._places = {key: place for key, place in self._places.items() if key in kept}

    def _forget(self) -> None:
        """Drop what was planned; the next step plans again."""
        self._current = None
        self._plans = []
        self._readers = {}
        self._places = {}
        self.__dict__.setdefault("_captured", [])
        self.__dict__.setdefault("_is_evaluating", False)

    # -- PyTorch's optimizer --------------------------------------------------------------------------

    @of_itself
    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does; its hyperparameters may be schedules."""
        if "_places" not in self.__dict__:
            self._forget()
            self.__dict__.setdefault("_default_schedules", {})
            self._schedules = {}
        plain = param_group
        own: scheduled.Schedules = {}
        if isinstance(param_group, dict):
            params = {n: v for n, v in param_group.items() if n in ("params", "param_names")}
            values = {n: v for n, v in param_group.items() if n not in params}
            numbers, own = scheduled.split(values)
            own = scheduled.copied(values, self._schedules) | own
            numbers.pop(scheduled.NUMBER, None)
            known = {**self.defaults, **self._outer_defaults()}
            check_group(values, known)
            for name in set(numbers) & self._checked:
                check_range(name, numbers[name], known[name])
            plain = {**params, **numbers}
        mine = {n: s for n, s in self._default_schedules.items() if n not in plain} | own
        number = len(self._schedules)
        if mine and isinstance(plain, dict):
            plain.setdefault(scheduled.COUNTER, 0)
            plain[scheduled.NUMBER] = number
        super().add_param_group(plain)
        if mine:
            self._schedules[number] = mine

    @of_itself
    def state_dict(self) -> dict[str, Any]:
        """Return the state as PyTorch does: by number, with `param_names` where they are known."""
        if not distributed.is_gathering():
            return self._saved()
        if not distributed.has_stepped(self, lambda group: self._reader(group).names):
            self._open_all_states()  # some entry is there already, so that PyTorch asked for no step
        have_points = [has_evaluation(self.composition(group)) for group in self.param_groups]
        return distributed.with_points(
            self._saved(), self.param_groups, have_points, self._is_evaluating
        )

    def _saved(self) -> dict[str, Any]:
        with without_orphans(self):
            return saved_state(super().state_dict())

    @of_itself
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state written by this class or by PyTorch's class of the same name.

        Parameters are matched by name where both sides know names, otherwise by position. Tensors keep their
        dtype, or get that of `state_dtype`, and go to the device of their parameter; nothing is shared.
        """
        loaded_state(self, state_dict)
        convert_all(self.param_groups, self.state, self.kept_states)
        scheduled.restore(self.param_groups, self._schedules)
        self._is_evaluating = any(map(keeps_trained, self.state.values()))

    def __getstate__(self) -> dict[str, Any]:
        plain = {k: v for k, v in self.__dict__.items() if k not in _NOT_COPIED}
        plain["state"] = {p: own_numbers(state) for p, state in self.state.items()}
        return plain

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in ("_default_schedules", "_schedules"):
            self.__dict__.setdefault(name, {})
        self._forget()
        if not hasattr(self.state, "default_factory"):
            from collections import defaultdict

            self.state = defaultdict(dict, self.state)

    def plan(self, each: bool = False) -> str:
        """Return which engine stepped what, and why no faster one: a line for a batch, or `each` tensor."""
        if self._current is None:
            return "no step yet"
        return self._current.plan.describe(each)


_NOT_COPIED = frozenset(
    (
        "_current",
        "_plans",
        "_readers",
        "_places",
        "_captured",
        "_released",
        "step",
        "_optimizer_step_pre_hooks",
        "_optimizer_step_post_hooks",
        "_optimizer_state_dict_pre_hooks",
        "_optimizer_state_dict_post_hooks",
        "_optimizer_load_state_dict_pre_hooks",
        "_optimizer_load_state_dict_post_hooks",
    )
)


@untraced
def _outside_the_graph(optimizer: Stepper, closure: Callable[[], Any] | None) -> Any:
    return Stepper.step(optimizer, closure)
