"""What makes a class of `torch.optim` step by a chain of rules.

Each twin is a subclass of PyTorch's class of the same name and shares its constructor: its arguments,
defaults, checks and param groups are PyTorch's own. What it adds are keyword-only arguments:

    dialect        "torch": PyTorch's equations; others where papers and libraries differ
    decay          which meaning the weight decay has
    before, after  links of a chain around the optimizer's own rules
    engine         "auto", "eager", "fused", "foreach" or "triton" (see `thalweg.Optimizer`)
    state_dtype    in which dtype states are kept, and `rounding`, how bfloat16 parameters are rounded

Arguments that PyTorch has only to choose among its own implementations are accepted: `foreach` and `fused`
choose nothing here; `capturable=True` keeps step numbers on the GPU, over lists with "auto" and "foreach", or
with "triton"; with "auto" it chooses nothing for parameters on the CPU, and the other engines refuse it;
`differentiable=True` runs eagerly and lets autograd see the step.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from thalweg.engine.backends import Engine, check_engine, engine_on_device, has_parameter_on_cpu
from thalweg.optim import docstring
from thalweg.optim.shown import show_arguments
from thalweg.optim.stepping import scheduled
from thalweg.optim.stepping.checks import Group, check_dialect, check_finite, check_range
from thalweg.optim.stepping.composition import (
    DECAYS,
    Composition,
    Links,
    Spelling,
    around,
    compose_group,
)
from thalweg.optim.stepping.keeping import Rounding, StateDtype, keeping_of
from thalweg.optim.stepping.steppable import with_names
from thalweg.optim.stepping.stepper import Stepper

_ARGUMENTS = """

Args:
    params: a module, or what `torch.optim.{name}` takes: tensors, named tensors, or groups.
    dialect: {dialects}: whose equation to step by, where they differ.
{around}
All other arguments, their defaults and their checks are those of `torch.optim.{name}`, and every number may
be a schedule; `foreach` and `fused` choose nothing here, `capturable` keeps step numbers on the GPU, with
engine="auto", "foreach" or "triton", `differentiable` runs eagerly and lets autograd see the step.
"""

_EXAMPLE = """
>>> import torch
>>> from thalweg import optim
>>> model = torch.nn.Linear({layer})
>>> optimizer = optim.{name}(model, lr=0.1)
>>> model(torch.ones(2)).sum().backward()
>>> optimizer.step()
"""


_ADDED = ("dialect", "decay", "before", "after", "engine", "state_dtype", "rounding")


class TorchTwin(Stepper):
    """A class of `torch.optim` whose step is a chain of rules."""

    dialects: ClassVar[tuple[str, ...]] = ("torch",)
    refuses_sparse: ClassVar[str | None] = None
    spelling: ClassVar[Spelling] = {}
    """How to read a hyperparameter of a rule from a group, where it is not called the same there."""
    own_decay: ClassVar[str] = "l2"
    """What weight decay means to PyTorch's class."""
    extra: ClassVar[Mapping[str, float]] = {}
    """Numbers that PyTorch's class has not, with their defaults; given by name."""
    example: ClassVar[str] = _EXAMPLE
    """How it is used, with `{name}` instead of its name."""
    of_matrices: ClassVar[bool] = False
    """Whether it steps matrices alone."""
    arguments: ClassVar[inspect.Signature]
    """What its constructor takes."""
    dialect: str

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        *args: Any,
        dialect: str = "torch",
        decay: str | None = None,
        before: Any = (),
        after: Any = (),
        engine: Engine = "auto",
        state_dtype: StateDtype | None = None,
        rounding: Rounding = "nearest",
        **kwargs: Any,
    ) -> None:
        check_engine(engine)
        check_dialect(type(self).__name__, dialect, self.dialects)
        self.dialect, self.engine = dialect, engine
        self.keeping = keeping_of(state_dtype, rounding, bool(kwargs.get("differentiable")))
        self._decay = decay
        self._around = around(before, after, decay or self.own_decay, DECAYS)
        self._decoupled = replace(self._around, decay="decoupled")
        names = list(inspect.signature(self.twin()).parameters)[1:]
        # what PyTorch's signature has no place for goes to its constructor, which says so
        spare = args[len(names) :]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        extra = {name: given.pop(name, default) for name, default in self.extra.items()}
        numbers, schedules = scheduled.split(given)
        outer, outer_schedules = scheduled.split({**self._around.defaults, **extra})
        self._default_schedules = schedules | outer_schedules
        self._checked = self._around.checked | {"lr", *extra}
        for name in (*self._around.checked, *extra):
            check_range(name, outer[name], outer[name])
        super().__init__(with_names(params), *_positional(names, args, numbers), *spare, **numbers)
        chooses_nothing = engine == "auto" and has_parameter_on_cpu(self.param_groups)
        if self.defaults.get("capturable") and not chooses_nothing:
            self.engine = engine_on_device(engine, self.param_groups)
        check_finite(self.defaults)
        for name, value in outer.items():
            self.defaults[name] = value
            for group in self.param_groups:
                group.setdefault(name, value)
        for group in self.param_groups:
            self.composition(group)  # links that cannot stand where they were put are refused here
        # PyTorch's fused kernels divide by GradScaler's scale themselves; here GradScaler does it, as usual
        self._step_supports_amp_scaling = self._takes_loss_scale()

    @classmethod
    def twin(cls) -> type[torch.optim.Optimizer]:
        """Return PyTorch's class of the same name."""
        # some of PyTorch's say that they are of the package itself
        return next(b for b in cls.__mro__ if f"{b.__module__}.".startswith("torch.optim."))

    def __init_subclass__(cls) -> None:
        """Show PyTorch's signature with the arguments that are added here."""
        super().__init_subclass__()
        if cls.twin() not in cls.__bases__:
            return  # a subclass of a twin says itself what it is and takes
        parameters = inspect.signature(TorchTwin.__init__, eval_str=True).parameters.values()
        added = [p for p in parameters if p.name in _ADDED]
        theirs = list(inspect.signature(cls.twin()).parameters.values())
        keyword = inspect.Parameter.KEYWORD_ONLY
        own = [inspect.Parameter(n, keyword, default=x) for n, x in cls.extra.items()]
        cls.arguments = inspect.Signature([*theirs, *own, *added])
        show_arguments(cls, cls.arguments)
        ours = "decoupled" if issubclass(cls, torch.optim.AdamW) else cls.own_decay
        cls.__doc__ = docstring.of(cls) + (_ARGUMENTS + cls.example).format(
            name=cls.__name__,
            dialects=" or ".join(map(repr, cls.dialects)),
            layer="2, 1, bias=False" if cls.of_matrices else "2, 1",
            around=docstring.AROUND.format(decay=f'"{ours}"'),
        )

    def links(self, group: Group) -> Links:
        """Return the rules that stand between the gradient and the step."""
        raise NotImplementedError

    def composition(self, group: Group) -> Composition:
        """Return the chain of a group."""
        return self._composed(group, self.links(group))

    def _composed(self, group: Group, links: Links) -> Composition:
        decouples = self._decay is None and group.get("decoupled_weight_decay")
        extra = self._decoupled if decouples else self._around
        decayed = bool(group.get("weight_decay"))
        return compose_group(bool(group.get("maximize")), decayed, extra, links, self._spelling)

    @classmethod
    def _spelling(cls) -> Mapping[str, Any]:
        return cls.spelling

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a checkpoint."""
        # PyTorch's classes take every value of the state for one of theirs, with its step
        kept = state.get("state", {})
        theirs = {k: v for k, v in kept.items() if isinstance(v, dict) and "step" in v}
        super().__setstate__({**state, "state": theirs})
        self.state = kept if isinstance(kept, defaultdict) else defaultdict(dict, kept)

    def _make_plan(self) -> Any:
        for group in self.param_groups:
            problem = self._sparse_problem(group)
            if problem and any(p.grad is not None and p.grad.is_sparse for p in group["params"]):
                raise RuntimeError(problem)
        return super()._make_plan()

    def _sparse_problem(self, group: Group) -> str | None:
        """Return PyTorch's message on a sparse gradient, where PyTorch refuses it."""
        return self.refuses_sparse


def _positional(names: list[str], args: tuple[Any, ...], numbers: dict[str, Any]) -> list[Any]:
    """Take the arguments that were given by position out of `numbers`, in order."""
    return [numbers.pop(name) for name, _ in zip(names, args, strict=False)]
