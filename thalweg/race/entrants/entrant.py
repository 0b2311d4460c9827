"""An entrant of a race: an optimizer, what is searched of it, its schedule, its initialization."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, Literal

import torch

from thalweg.engine import Chain, Link, Rule
from thalweg.errors import TaskError
from thalweg.numeric import as_whole
from thalweg.optim.optimizer import stepping
from thalweg.optim.routing.route import Routing
from thalweg.optim.stepping.stepper import Stepper
from thalweg.race.entrants.space import Space
from thalweg.schedules import Schedule
from thalweg.schedules.named import ScheduleMaker, schedule_named
from thalweg.tasks import Task
from thalweg.tasks.initialize import Initialization, check_initialization, text_of
from thalweg.train.optimizers.choice import ChosenOptimizer
from thalweg.train.optimizers.known import OptimizerFactory
from thalweg.train.staged import Staged, check_strategy

BatchSize = int | None | Literal["race"]
"""Rows in a batch of an entrant's own, None for all of them, or those of the race."""


@dataclass(frozen=True)
class Entrant:
    """An optimizer that takes part in a race.

    Args:
        name: what it is called.
        factory: builds a `torch.optim.Optimizer` by `factory(params, lr=lr, **hyperparameters)`; or
            a chain of rules, or several by route.
        hyperparameters: those that stay fixed.
        lrs: the learning rates to try; a search that draws takes them from between the first and
            the last.
        search: what else to search, as spaces by name.
        schedule: "constant", "cosine", "linear" or "wsd" (each to 0 at the trial's end, the last
            over its last fifth), or with a warm-up over the first twentieth "warmup", "warmup-cosine",
            "warmup-linear", "warmup-wsd"; or a function (lr, steps) -> Schedule. None: constant. It
            spans the steps of an optimizer that computes one gradient a step; SAM, with two, ends
            in its middle.
        init: how its models start: a strategy of `thalweg.init` or its name, such as "he" or
            "orthogonal:gain=1.4", the name of a function of `torch.nn.init` such as
            "kaiming_normal", or a function of the model; None: the task's own.
        batch_size: how many rows it takes in a step, None for all of them; "race": as the race has it.
            Whoever takes more pays more: the budget of a trial is counted in gradients over so many
            rows as a batch of the task has, so every entrant trains for as many epochs.
        initialization: another name of `init`.
        strategy: one of `thalweg.strategies` by which it trains, such as `curriculum()`. All of its stages
            together have the budget of a trial.

    Raises:
        TaskError: for a schedule or initialization that is not known, or one that is given by both
            names, a hyperparameter that is both fixed and searched, or a batch size that is not one.

    Example:
        >>> entrant = Entrant("heavy ball", torch.optim.SGD, {"momentum": 0.9}, lrs=(0.01, 0.1))
        >>> entrant.build([torch.zeros(2, requires_grad=True)], lr=0.1).defaults["momentum"]
        0.9
    """

    name: str
    factory: OptimizerFactory | Chain | Link | Rule | Routing
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    lrs: tuple[float, ...] = ()
    search: Mapping[str, Space] = field(default_factory=dict)
    schedule: str | ScheduleMaker | None = None
    init: Initialization | None = None
    batch_size: BatchSize = "race"
    strategy: Staged | None = None
    initialization: InitVar[Initialization | None] = None

    def __post_init__(self, initialization: Initialization | None) -> None:
        if initialization is not None:
            if self.init is not None:
                raise TaskError(
                    f"{self.name!r} has init={self.init!r} and initialization={initialization!r}, two "
                    "names of one argument: give one of them."
                )
            object.__setattr__(self, "init", initialization)
        for name in self.search:
            if name in self.hyperparameters or name == "lr":
                kept = (
                    "the learning rate is searched by lrs" if name == "lr" else "it is fixed, too"
                )
                raise TaskError(f"{self.name!r} searches {name!r}, but {kept}.")
        if isinstance(self.schedule, str):
            schedule_named(self.schedule)  # says at once what is not known
        if self.init is not None:
            check_initialization(self.init)  # says at once what is not known
        check_strategy(self.strategy)
        if self.batch_size is not None and self.batch_size != "race":
            object.__setattr__(self, "batch_size", _checked_size(self.name, self.batch_size))

    @property
    def chosen(self) -> ChosenOptimizer:
        """What trains where no race is: the optimizer and its schedule; what is searched is at its default.

        Raises TaskError for an entrant with a start or a strategy, which are settings of a training.
        """
        for name in ("init", "strategy"):
            if (value := getattr(self, name)) is not None:
                raise TaskError(
                    f"The entrant {self.name!r} has {name}={value!r}, which is no part of an optimizer: "
                    f"leave it out of the entrant, and give it to the training."
                )
        named = self.schedule
        schedule = schedule_named(named) if isinstance(named, str) else named
        everything = self.batch_size is None
        return ChosenOptimizer(
            self.name, self.factory, self.hyperparameters, schedule, wants_all_rows=everything
        )

    def build(self, params: Any, lr: float | Schedule, **searched: Any) -> torch.optim.Optimizer:
        """Build the optimizer for the given parameters and learning rate."""
        return self.bound(searched)(params, lr=lr)

    def bound(self, searched: Mapping[str, Any]) -> Callable[..., torch.optim.Optimizer]:
        """Return the factory with all hyperparameters set but the learning rate."""
        values = {**self.hyperparameters, **searched}
        if isinstance(self.factory, (Chain, Link, Rule, Routing)):
            return functools.partial(stepping, self.factory, **values)
        return functools.partial(self.factory, **values) if values else self.factory

    def rate(self, lr: float, steps: int | None) -> float | Schedule:
        """Return the learning rate of a trial of so many steps: a number or a schedule.

        >>> Entrant("sgd", torch.optim.SGD, schedule="cosine").rate(0.1, 100)(50)
        0.05
        """
        if self.schedule is None or self.schedule == "constant":
            return lr
        if steps is None:
            raise TaskError(
                f"{self.name!r} has a schedule, which needs to know how many steps a trial has; the "
                "training set does not say how many rows it has."
            )
        make = schedule_named(self.schedule) if isinstance(self.schedule, str) else self.schedule
        return make(lr, steps)

    def schedule_factor(self, lr: float, steps: int | None) -> Any:
        """Return the schedule as a factor of the learning rate, with the peak 1."""
        if isinstance(self.schedule, str):  # those by name are proportional to the rate
            return self.rate(1.0, steps)
        schedule: Any = self.rate(lr, steps)
        return schedule * (1 / lr)

    @property
    def takes_schedules(self) -> bool:
        """Whether the optimizer takes a schedule instead of its learning rate: thalweg's do."""
        factory = self.factory
        while isinstance(factory, functools.partial):
            factory = factory.func
        return isinstance(factory, (Chain, Link, Rule, Routing)) or (
            isinstance(factory, type) and issubclass(factory, Stepper)
        )

    def task(self, task: Task) -> Task:
        """Return the task with the entrant's own initialization."""
        return task if self.init is None else task.replace(init=self.init)

    @property
    def description(self) -> str:
        """The first sentence of what the optimizer's documentation says, with the fixed
        hyperparameters.
        """
        fixed = [f"{name}={value!r}" for name, value in self.hyperparameters.items()]
        if isinstance(self.schedule, str):
            fixed.append(f"schedule {self.schedule}")
        start = text_of(self.init)
        if start is not None:
            fixed.append(f"initialization {start}")
        if self.batch_size != "race":
            size = self.batch_size
            fixed.append("all rows in a batch" if size is None else f"batches of {size}")
        if self.strategy is not None:
            fixed.append(f"strategy {self.strategy}")
        text = _DESCRIPTIONS.get(self.name) or _first_sentence(_documentation(self.factory))
        return f"{text} ({', '.join(fixed)})" if fixed else text


Contender = str | Entrant | OptimizerFactory | Chain | Link | Rule | Routing
"""What may stand for an entrant: its name, itself, an optimizer's class or function, a chain, routes."""


def _checked_size(name: str, given: Any) -> int:
    size = as_whole(given)
    if size is None or size < 1:
        raise TaskError(
            f"batch_size of {name!r} must be a number of rows, None for all of them, or 'race' for "
            f"those of the race; got {given!r}."
        )
    return size


def _documentation(factory: Any) -> str:
    if isinstance(factory, (Chain, Link, Routing)):
        return repr(factory)
    return inspect.getdoc(factory) or ""


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<! al)\. (?=[A-Z])", paragraph)[0].rstrip(".")


_DESCRIPTIONS = {
    "sgd": "Stochastic gradient descent",
    "momentum": "Stochastic gradient descent with heavy-ball momentum",
    "nesterov": "Stochastic gradient descent with Nesterov momentum",
}
