"""Callbacks: what a run tells of itself while it trains, and how to stop it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from thalweg.errors import TaskError, ThalwegError
from thalweg.objective.blame import blame
from thalweg.tasks.task import Task
from thalweg.train.gradients import Computed
from thalweg.train.history import Epoch, Evaluation, History


class Training(Protocol):
    """A run in progress, as a callback sees it.

    `epoch` counts the finished epochs, `step` the updates of the parameters, `epochs` how many epochs are
    planned. `seconds` is time spent in training, evaluations and callbacks excluded; `gradients` what it
    computed, in gradient-equivalents (see `Run`); `computed` counts them, also those of a callback that
    trains: `training.computed.forward(rows)`. `stopped` is the reason to stop, empty while there is
    none. `batch` is the batch of the last step, (inputs, targets), where a callback is told of steps.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    evaluations: list[Evaluation]
    epoch: int
    step: int
    seconds: float
    stopped: str
    computed: Computed
    batch: Any

    @property
    def recipe(self) -> Any:
        """The recipe that the run follows, a `Recipe`."""

    @property
    def task(self) -> Task:
        """The task that is learned."""

    @property
    def epochs(self) -> int:
        """How many epochs are planned."""

    @property
    def gradients(self) -> float:
        """What was computed, in gradient-equivalents."""

    def stop(self, reason: str = "callback") -> None:
        """End the run after the step or epoch that it is in; `run.stopped` will be `reason`."""


class Callback:
    """Told of what happens in a run: `fit(…, callbacks=[…])`. Override what you need.

    | method | when | where the model is |
    |---|---|---|
    | `start` | before the first step, after a checkpoint was loaded | where training begins |
    | `step` | after each update of the parameters | where the update led; gradients as it left them |
    | `evaluation` | after the validation set was measured | where it was measured |
    | `epoch` | after each epoch and its evaluation | where it was measured |
    | `end` | when the run is over, however it ended | where it is to be used |

    An optimizer that keeps an average is measured there, so a change of the parameters belongs in `step`.
    Callbacks are called in their order. What one raises ends the run: the error says which one it was
    and carries the run so far as `error.run`. Drawing random numbers in a callback changes what training
    draws.

    A callback with a state that a resumed run needs returns it from `state_dict`: numbers, texts, tensors,
    lists and dictionaries, which the checkpoint holds.

    >>> import numpy as np
    >>> from thalweg import Task, fit
    >>> class Patient(Callback):
    ...     def epoch(self, training, record):
    ...         if record.train.loss < 1e-3:
    ...             training.stop("learned")
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> line = Task((x, 2 * x), "mse", lambda: nn.Linear(1, 1))
    >>> run = fit(line, torch.optim.SGD, lr=0.5, epochs=99, callbacks=[Patient()], progress=False)
    >>> run.stopped, run.epochs < 99
    ('learned', True)
    """

    def start(self, training: Training) -> None:
        """Training begins, or goes on."""

    def step(self, training: Training, loss: float) -> None:
        """The parameters were updated; `loss` is that of the last batch, before the update."""

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """The validation set was measured."""

    def epoch(self, training: Training, record: Epoch) -> None:
        """An epoch is over."""

    def end(self, training: Training) -> None:
        """The run is over: `training.stopped` says why."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs of this callback."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that `state_dict` returned."""


@dataclass(frozen=True)
class Checkpoint:
    """Keep a run in a file while it trains, instead of `fit`'s arguments of these names.

    Args:
        path: a file, or a folder to keep `checkpoint.safetensors` in; None keeps nothing.
        every: it is written every so many epochs, and at the end.
        resume: go on from it, where there is one.

    It is written after all callbacks were told of an epoch, and holds their states.
    """

    path: str | os.PathLike[str] | None
    every: int = 1
    resume: bool = False


EVENTS = ("start", "step", "evaluation", "epoch", "end")


class Callbacks:
    """The callbacks of a run, in their order; each event goes to those that override it.

    Raises:
        TaskError: if it is not a callback.
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self.each = list(callbacks)
        for one in self.each:
            if not isinstance(one, Callback):
                raise TaskError(
                    "A callback must be an object of a class derived from thalweg.train.Callback, an "
                    f"EarlyStopping or a Checkpoint; got {one!r:.80}."
                    + (" Make one of the class: call it." if isinstance(one, type) else "")
                )
        self._told = {
            event: [c for c in self.each if getattr(type(c), event) is not getattr(Callback, event)]
            for event in EVENTS
        }

    def wants(self, event: str) -> bool:
        """Return whether any callback is told of an event."""
        return bool(self._told[event])

    def tell(self, event: str, training: Training, *what: Any) -> None:
        """Tell those that listen. Raises TaskError that names the method which raised."""
        for callback in self._told[event]:
            try:
                getattr(callback, event)(training, *what)
            except (ThalwegError, MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # the user's own code: anything can be wrong in it
                raise TaskError(
                    f"The callback {type(callback).__name__}.{event} fails. {blame(error)}"
                ) from error

    def state(self) -> list[dict[str, Any]]:
        """Return the states of all callbacks that have one, with their names."""
        return [
            {"name": type(c).__qualname__, "state": state}
            for c in self.each
            if (state := c.state_dict())
        ]

    def load(self, stored: Iterable[dict[str, Any]]) -> None:
        """Give stored states back, to those of the same name in the same order; others begin again."""
        waiting = list(stored)
        for callback in self.each:
            name = type(callback).__qualname__
            own = next((each for each in waiting if each["name"] == name), None)
            if own is not None:
                waiting.remove(own)
                callback.load_state_dict(own["state"])
