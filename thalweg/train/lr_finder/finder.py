"""`find_lr`: the learning-rate range test over several seeds."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.objective import Cost
from thalweg.report.parts.drawn import Chart
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import LoaderSource
from thalweg.tasks.task import BATCH_SIZE, Task
from thalweg.train.health.check import checked
from thalweg.train.lr_finder.sweep import Stopped, Sweep, SweepSetup, sweep
from thalweg.train.lr_finder.valley import Valley, find_valley
from thalweg.train.machine.devices import usable_device
from thalweg.train.optimizers.choice import choose, is_chain
from thalweg.train.optimizers.known import OptimizerFactory, name_of
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import seed_weights
from thalweg.train.restored.snapshot import untouched
from thalweg.train.running.begin import begin
from thalweg.whole import whole_number

OnSweep = Callable[[Sweep], None]


@dataclass(frozen=True)
class RangeTest:
    """A range test: what `find_lr` gives back.

    `suggestion` is a learning rate, or None where the loss never falls clearly; for groups with different
    rates it is the first group's. `reason` says how it was found or why there is none, `notes` what to
    doubt. `rates` were tried in this order, by each of the `sweeps`; `valley` is what these have in common.

    `batch_size` is the rows of a batch; None is all of them, or what a `DataLoader`'s own sampler decides.

    `str` sums it up, `plot` draws it, `to_dict` gives plain data.
    """

    task: str
    optimizer: str
    batch_size: int | None
    rates: tuple[float, ...]
    sweeps: tuple[Sweep, ...]
    valley: Valley

    @property
    def suggestion(self) -> float | None:
        """The suggested learning rate, or None."""
        return self.valley.suggestion

    @property
    def reason(self) -> str:
        """How the suggestion was found, or why there is none."""
        return self.valley.reason

    @property
    def notes(self) -> tuple[str, ...]:
        """What to doubt about the suggestion."""
        return self.valley.notes

    @property
    def ends(self) -> tuple[float, ...]:
        """For each sweep the rate at which it ended."""
        return tuple(
            self.rates[min(len(each.losses) - (each.stopped != "not finite"), len(self.rates) - 1)]
            for each in self.sweeps
        )

    def __str__(self) -> str:
        found = "no suggestion" if self.suggestion is None else f"lr {self.suggestion:g}"
        ends: dict[str, list[str]] = {}
        for each, end in zip(self.sweeps, self.ends, strict=True):
            ends.setdefault(_STOPPED[each.stopped], []).append(f"{end:.2g}")
        how = "; ".join(f"{words} {', '.join(rates)}" for words, rates in ends.items())
        return "\n".join(
            [
                f"{self.optimizer} on {self.task}: {found}",
                f"How: {self.reason}.",
                f"Sweeps: {len(self.sweeps)} from {self.rates[0]:.2g}; {how}.",
                *self.notes,
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the range test as numbers, texts, lists and dicts."""
        return {
            "schema": "thalweg.range_test/1",
            "task": self.task,
            "optimizer": self.optimizer,
            "batch_size": self.batch_size,
            "suggestion": self.suggestion,
            "reason": self.reason,
            "notes": list(self.notes),
            "start": self.valley.start,
            "rates": list(self.rates),
            "median": [value if math.isfinite(value) else None for value in self.valley.median],
            "curve": list(self.valley.curve),
            "sweeps": [
                {
                    **asdict(each),
                    "losses": list(each.losses),
                    "smoothed": list(each.smoothed),
                    "end": end,
                }
                for each, end in zip(self.sweeps, self.ends, strict=True)
            ],
        }

    def plot(self, path: Any = None) -> Chart:
        """Draw the sweeps and the suggestion; see `thalweg.report.plot_range_test`."""
        from thalweg.report.plots.range_test import plot_range_test

        return plot_range_test(self.to_dict(), path)


_STOPPED: dict[Stopped, str] = {
    "highest": "through to",
    "risen": "risen to 4 times the least loss at",
    "not finite": "not finite at",
}


def find_lr(
    task: Task | nn.Module,
    optimizer: OptimizerFactory | torch.optim.Optimizer | str | Any,
    data: Any = None,
    loss: Any = None,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int | Literal["task"] | None = "task",
    seed: int = 0,
    seeds: int = 5,
    device: str | torch.device | None = None,
    on_sweep: OnSweep | None = None,
) -> RangeTest:
    """Suggest a learning rate: train a few steps while it rises from `lowest` to `highest`, and watch the
    loss fall and rise again.

        ηₖ = lowest · (highest / lowest)^(k / (steps − 1)),   k = 0 … steps − 1

    A task, or a model in the middle of its training:

        find_lr(task, optimizer)
            `optimizer` is what `fit` takes. Each of `seeds` sweeps trains a fresh model, with the initial
            weights and the order of the data that `fit` has under that seed: `seed`, `seed` + 1, …
        find_lr(model, optimizer, data, loss)
            `optimizer` is bound to the model; `data` is what `Task` takes (a `DataLoader`, a data set, a
            pair of arrays), `loss` a loss or a `Cost`. Each sweep starts at the model's present weights and
            the optimizer's present state.

    A sweep ends when the exponential mean of the objective J = L + λΩ exceeds 4 times its least value, or
    when J is not finite; what was measured before counts. Param groups keep the ratios of their rates. No
    schedule and no scheduler is used. The suggestion is two fifths of the middle of the valley in the
    median curve of all sweeps (`thalweg.train.lr_finder.valley`): a place to start, good to a factor of
    about three.

    Everything is left as it was, also after an error or Ctrl-C: parameters, buffers, gradients, modes, the
    optimizer's state and groups, the generators of PyTorch, NumPy, Python and of a `DataLoader`. Training
    goes on bitwise as without the test, on the same machine with as many threads. What data sets and
    modules keep in objects of their own is not known here, nor is the place in a stream that can be read only
    once.

    `batch_size` rows a step, by default a task's own, or 128 for a model; None is all of them.
    `on_sweep` is called with each `Sweep` when it has ended.

    Raises TaskError for what cannot be tested, DivergedError where the loss is not finite before any step.

    Source: L. N. Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3.

    >>> x = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
    >>> task = Task((x, 2 * x + 1), "mse", lambda: nn.Linear(1, 1), name="line")
    >>> found = find_lr(task, torch.optim.SGD, seeds=3, batch_size=None)
    >>> 0.01 < found.suggestion < 1.0
    True
    """
    rates = _rates(lowest, highest, steps)
    seeds, seed = whole_number("seeds", seeds), whole_number("seed", seed, 0)
    if batch_size == "task":
        batch_size = task.batch_size if isinstance(task, Task) else BATCH_SIZE
    if isinstance(task, Task):
        if data is not None or loss is not None:
            raise TaskError(
                "A task has its own data and loss: find_lr(task, optimizer) takes no others."
            )
        chosen = choose(optimizer, {})
        if chosen.schedule is not None:
            raise TaskError(
                "A range test sets the learning rate of each step itself: name the optimizer without "
                f"+{chosen.name.partition('+')[2]}."
            )
        lr = rates[0] if _takes_rate(chosen.factory) else None
        run = functools.partial(_fresh, task, optimizer, lr, rates, batch_size, device)
        source, name, called = task.data.train, task.name, chosen.name
    elif isinstance(task, nn.Module):
        own = _task_of(task, optimizer, data, loss, device)
        run = functools.partial(_live, own, task, optimizer, rates, batch_size)
        source, name, called = own.data.train, own.name, type(optimizer).__name__
    else:
        raise TaskError(
            "find_lr takes a thalweg Task and an optimizer, or a model, its optimizer, data and a loss; "
            f"got {type(task).__name__}."
        )
    sweeps = []
    for each in range(seed, seed + seeds):
        with torch.inference_mode(False), torch.enable_grad():  # the caller's may be switched off
            sweeps.append(run(each))
        if on_sweep is not None:
            on_sweep(sweeps[-1])
    rows = source.loader.batch_size if isinstance(source, LoaderSource) else batch_size
    return RangeTest(name, called, rows, rates, tuple(sweeps), find_valley(rates, sweeps))


def _fresh(
    task: Task,
    optimizer: Any,
    lr: float | None,
    rates: tuple[float, ...],
    batch_size: int | None,
    device: str | torch.device | None,
    seed: int,
) -> Sweep:
    """Sweep with a fresh model and optimizer of the task."""
    recipe = Recipe(task, optimizer, lr=lr, batch_size=batch_size, seed=seed, device=device)
    home = None if device is None else usable_device(device)
    with untouched(source=task.data.train):
        seed_weights(seed, home or torch.device("cpu"))
        state = begin(recipe, home)
        state.model.train()
        subject = SweepSetup(state.model, state.optimizer, state.train, task.cost, state.place)
        return sweep(subject, rates, seed, batch_size)


def _live(
    task: Task,
    model: nn.Module,
    optimizer: Any,
    rates: tuple[float, ...],
    batch_size: int | None,
    seed: int,
) -> Sweep:
    """Sweep from where the model and its optimizer are, and put them back."""
    with untouched(model, optimizer, source=task.data.train):
        if not model.training:  # a model in training mode keeps the modes of its modules
            model.train()
        place = place_of(model)
        source = checked(task, model, task.data.train.placed(place), "train", place, batch_size)
        return sweep(
            SweepSetup(model, optimizer, source, task.cost, place), rates, seed, batch_size
        )


def _task_of(
    model: nn.Module, optimizer: Any, data: Any, loss: Any, device: str | torch.device | None
) -> Task:
    """Return model, data and loss as a task; refuse what does not go with a model of the user's own."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TaskError(
            "With a model, the optimizer must be the one that trains it, such as Adam(model.parameters()); "
            f"got {name_of(optimizer)}. To try an optimizer on fresh models give a Task."
        )
    if data is None or loss is None:
        raise TaskError(
            "With a model, data and a loss are needed: find_lr(model, optimizer, loader, 'cross_entropy')."
        )
    if device is not None:
        raise TaskError("device is for a task; a model of your own is tested where it is.")
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise TaskError(
            "The optimizer holds none of the model's parameters: it was made for another model."
        )
    cost = loss if isinstance(loss, Cost) else Cost(loss)
    return Task(data, cost, model, name=type(model).__name__)


def _takes_rate(optimizer: Any) -> bool:
    """Return whether a function that builds an optimizer takes `lr`."""
    if is_chain(optimizer):
        return True
    try:
        parameters = inspect.signature(optimizer).parameters
    except (TypeError, ValueError):
        return True
    return "lr" in parameters or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )


def _rates(lowest: float, highest: float, steps: int) -> tuple[float, ...]:
    for name, value in (("lowest", lowest), ("highest", highest)):
        if not is_real(value) or not 0 < value < math.inf:
            raise TaskError(f"{name} must be a learning rate, a positive number; got {value!r}.")
    if not lowest < highest:
        raise TaskError(
            f"The rates rise from lowest to highest; got lowest {lowest:g} and highest {highest:g}."
        )
    steps = whole_number("steps", steps, 10)
    return tuple(np.geomspace(lowest, highest, steps).tolist())
