"""What all loggers do: choose what is logged and when, and keep a run alive whose log fails."""

from __future__ import annotations

import abc
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from thalweg.errors import LogWarning, sentence
from thalweg.objective import Scores
from thalweg.train.callbacks import Callback, Training
from thalweg.train.folder.layout import beginning
from thalweg.train.history import Epoch, Evaluation
from thalweg.train.optimizers.known import learning_rate
from thalweg.whole import whole_number

Plain = bool | int | float | str


@dataclass(frozen=True)
class Opening:
    """What a log is opened with.

    `task` and `name` are those of the task and of task and optimizer; `key` is what `open` returned when
    the run began, if it is resumed, and "" else; `step` is how many updates the run has taken.
    """

    task: str
    name: str
    hyperparameters: Mapping[str, Plain]
    key: str
    step: int


class LogRow(NamedTuple):
    """Figures of one step, and when they were known, in seconds since 1970."""

    step: int
    time: float
    figures: Mapping[str, float]


class Logger(Callback, abc.ABC):
    """Logs a run: hyperparameters, figures, learning rate, and how it ended.

    | name | when | what |
    |---|---|---|
    | `batch/loss` | every `every` steps | loss of the last batch, before the step |
    | `lr` | every `every` steps, and each epoch | learning rate of the next step; of an epoch, of its last |
    | `train/loss`, `train/penalty`, `train/METRIC` | each epoch | running figures of the epoch |
    | `validation/loss`, `validation/METRIC` | each evaluation | figures of the validation set |
    | `epoch` | each epoch | its number, from 1 |

    All are over the number of steps. A run that is resumed from a checkpoint goes on in its log: the
    checkpoint holds where that is.

    A log that cannot be opened is an error before training. One that fails later, as on a full disk, does
    not cost the run: a `LogWarning` says so once, `failure` holds the error, and nothing more is logged.

    Figures are written once a second and at the end; what a process that is killed loses is that second.

    To write one of your own, derive from this class: `open` returns what finds the log again.

    Args:
        folder: where the log is kept.
        every: the loss of a step is logged every so many steps.

    Raises:
        TaskError: for `every` below one.
    """

    pause: ClassVar[float] = 1.0
    """Seconds between two calls of `write`, which would take too long at every step."""

    def __init__(self, folder: str | os.PathLike[str], every: int = 10) -> None:
        self.folder = Path(folder)
        self.every = whole_number("every", every)
        self.key = ""
        self.failure: Exception | None = None
        self._resumed = ""
        self._is_open = False
        self._rows: list[LogRow] = []
        self._written = 0.0

    @abc.abstractmethod
    def open(self, opening: Opening) -> str:
        """Open the log of a run that begins or goes on; return a text that finds it again."""

    @abc.abstractmethod
    def write(self, rows: Sequence[LogRow]) -> None:
        """Write figures into the log; their steps do not fall."""

    @abc.abstractmethod
    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Close the log: why the run ended ("epochs", "diverged", …), and its last figures."""

    def start(self, training: Training) -> None:
        """Open the log."""
        record = beginning(training.recipe, training.optimizer, training.model)
        task = str(record["task"]["name"])
        name = f"{task}-{record['recipe']['optimizer']}"
        values = _hyperparameters(record)
        self.failure, self._rows, self._written = None, [], time.monotonic()
        self.key = self.open(Opening(task, name, values, self._resumed, training.step))
        self._resumed, self._is_open = "", True

    def step(self, training: Training, loss: float) -> None:
        """Log the loss of a step and the learning rate, every `every` steps."""
        if training.step % self.every == 0:
            figures = {"batch/loss": loss, "lr": learning_rate(training.optimizer)}
            self._add(training.step, figures)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Log the validation figures."""
        self._add(evaluation.step, _figures("validation", evaluation.scores))

    def epoch(self, training: Training, record: Epoch) -> None:
        """Log the training figures of an epoch."""
        figures = {"epoch": record.epoch, "lr": record.lr, **_figures("train", record.train)}
        self._add(record.step, figures)

    def end(self, training: Training) -> None:
        """Close the log."""
        if self._is_open:
            self._is_open = False
            last = training.history[-1].as_dict() if len(training.history) else {}
            self._attempt(self._write)
            self._attempt(self.close, training.stopped, last)

    def state_dict(self) -> dict[str, Any]:
        """Return where the log is."""
        return {"key": self.key}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the log that a checkpoint names."""
        self._resumed = str(state["key"])

    def _add(self, step: int, figures: Mapping[str, float]) -> None:
        self._rows.append(LogRow(step, time.time(), figures))
        if time.monotonic() - self._written >= self.pause:
            self._attempt(self._write)

    def _write(self) -> None:
        rows, self._rows, self._written = self._rows, [], time.monotonic()
        if rows:
            self.write(rows)

    def _attempt(self, act: Callable[..., None], *what: Any) -> None:
        if self.failure is not None:
            self._rows.clear()
            return
        try:
            act(*what)
        except MemoryError:  # not the log's alone
            raise
        except Exception as error:  # whatever the package raises
            self.failure = error
            warnings.warn(
                f"The log of {type(self).__name__} in {self.folder} ends here: "
                f"{type(error).__name__}: {sentence(error)} Training goes on without it.",
                LogWarning,
                stacklevel=3,
            )


def _figures(part: str, scores: Scores) -> dict[str, float]:
    figures = {f"{part}/loss": scores.loss}
    if part == "train":
        figures[f"{part}/penalty"] = scores.penalty
    return figures | {f"{part}/{name}": value for name, value in scores.metrics.items()}


def _hyperparameters(record: dict[str, Any]) -> dict[str, Plain]:
    """Return the settings of a run, flat: of what was not given, the optimizer's own values."""
    recipe = dict(record["recipe"])
    own = recipe.pop("hyperparameters")
    recipe.pop("by_name")
    given = {name: value for name, value in recipe.items() if value is not None}
    values = {
        "task": record["task"]["name"],
        "loss": record["task"]["loss"],
        "parameters": record["model"]["parameters"],
        **record["optimizer"]["defaults"],
        **given,
        **own,
        **{f"version of {name}": text for name, text in record["versions"].items()},
    }
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in values.items()
        if value is not None
    }
