"""A strategy: from a recipe to stages of recipes, and the run that they make together."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thalweg.errors import TaskError, ThalwegError
from thalweg.strategies.stages.identity import identified, written
from thalweg.strategies.stages.merged import (
    EndedStage,
    Offset,
    StagedRun,
    merged,
    offset_after,
    offset_of,
)
from thalweg.strategies.stages.relay import Mark, Relay, Told
from thalweg.strategies.stages.shares import share_of, within_budget
from thalweg.strategies.stages.stage import Stage
from thalweg.train.callbacks import Callback, Callbacks, Checkpoint
from thalweg.train.run import BaseRecipe
from thalweg.train.running.checkpoint import checkpoint_file
from thalweg.train.running.listeners import Listener, sorted_out

_DONE = ("epochs", "gradients", "gradient", "early stopping")
"""Reasons for which a stage stops and the next one begins; any other ends the whole."""


class Strategy(abc.ABC):
    """What takes a recipe and returns recipes: give one to `fit(…, strategy=)` or to an entrant of a race.

    A subclass is a frozen dataclass whose fields are its settings, and says its stages. These are trained
    one after the other, each within its share of the budget; all that they compute is counted in
    gradient-equivalents of the whole recipe, a pass over a row alike whatever the size of the model.

    >>> import numpy as np, torch
    >>> from dataclasses import dataclass
    >>> from thalweg import Task, fit
    >>> @dataclass(frozen=True)
    ... class twice(Strategy):
    ...     def stages(self, recipe):
    ...         def on(recipe, models):
    ...             return recipe.replace(model=models[-1])
    ...
    ...         return [Stage("first"), Stage("again", on)]
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> line = Task((x, 2 * x), "mse", lambda: torch.nn.Linear(1, 1), batch_size=None)
    >>> run = fit(line, "sgd", lr=0.5, epochs=6, strategy=twice(), progress=False)
    >>> run.steps, [(stage.name, stage.epochs, stage.gradients) for stage in run.stages]
    (6, [('first', 3, 3.0), ('again', 3, 3.0)])
    """

    @abc.abstractmethod
    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the stages of a recipe, at least one."""

    def fit(
        self,
        recipe: BaseRecipe,
        *,
        checkpoint: Checkpoint,
        progress: bool | None = None,
        callbacks: Iterable[Listener] = (),
    ) -> StagedRun:
        """Train by the recipe, which has no strategy of its own, in stages; `Recipe.fit` calls it.

        Each of several stages keeps a checkpoint of its own beside the file that is named; a stage that
        was done before a run was killed is read from it, the one that was going on is resumed.

        Raises:
            TaskError, DataError, DivergedError, CheckpointError: as in `fit`; of several stages, the
                message names the one.
        """
        whole, keep, told = sorted_out(recipe, checkpoint, callbacks)
        stages = _checked(self, whole)
        is_kept = keep.path is not None
        files = _files(checkpoint_file(keep.path, keep.resume or is_kept), len(stages))
        for file in files:
            checkpoint_file(file, keep.resume)
        runner = _StageRunner(self, whole, stages, files, keep, told)
        return runner.run(progress)

    def identity(self) -> str:
        """Return a text that is another one for a strategy that trains otherwise.

        Of a function among the settings its code counts, not where it lies in memory.
        """
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # each is a dataclass
        settings = (f"{f.name}={identified(getattr(self, f.name))}" for f in fields)
        return f"{type(self).__name__}({', '.join(settings)})"

    def __str__(self) -> str:
        """The strategy as the command line has it, NAME:setting=value, where its settings are plain."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        given = {f.name: getattr(self, f.name) for f in fields}
        return written(
            type(self).__name__,
            {f.name: given[f.name] for f in fields if given[f.name] is not f.default},
        )


class _StageRunner:
    """Trains the stages of one run."""

    def __init__(
        self,
        strategy: Strategy,
        plain: BaseRecipe,
        stages: Sequence[Stage],
        files: Sequence[Path | None],
        keep: Checkpoint,
        told: Callbacks,
    ) -> None:
        self.plain, self.stages, self.files, self.keep = plain, stages, files, keep
        self.whole = plain.replace(strategy=strategy)
        self.identity = strategy.identity()
        self.told = Told(told)
        self.ended: list[EndedStage] = []
        self.made: BaseRecipe | None = None

    def run(self, progress: bool | None) -> StagedRun:
        """Train all stages; return the run."""
        for k in range(len(self.stages)):
            with self._named(k):
                self._train(k, progress)
            if self.ended[-1].run.stopped not in _DONE:
                break
        run = merged(self.ended, self.whole)
        if self.told.seen is not None:
            try:
                self.told.callbacks.tell("end", self.told.seen)
            except Exception as error:
                error.run = run  # type: ignore[attr-defined]  # as `fit` does
                raise
        return run

    def _train(self, k: int, progress: bool | None) -> None:
        stage = self.stages[k]
        before = offset_after(self.ended, self.whole)
        base = share_of(self.plain, self.stages, k, before)
        models = tuple(each.model for each in self.ended)
        made = within_budget(stage.make(base, models), self.plain, self.stages, k, before)
        self.made = made
        offset = offset_of(stage, made, before, self.whole)
        run = made.fit(
            checkpoint=self.files[k],
            checkpoint_every=self.keep.every,
            resume=self.keep.resume,
            progress=progress,
            callbacks=self._callbacks(k, offset),
        )
        self.ended.append(EndedStage(stage, made, run))

    def _callbacks(self, k: int, offset: Offset) -> list[Callback]:
        stage = self.stages[k]
        mark = Mark(self.identity, f"{k + 1} {stage.name}", self.plain)
        relay = Relay(
            self.told,
            self.whole,
            self.ended,
            offset,
            is_last=k == len(self.stages) - 1,
            is_judged=stage.is_judged,
        )
        silent = not self.told.callbacks.each
        return [mark, *stage.callbacks, *([] if silent else [relay])]

    @contextlib.contextmanager
    def _named(self, k: int) -> Iterator[None]:
        """Name the stage in the message of what is raised inside, and add the run so far to it."""
        try:
            yield
        except Exception as error:
            part = getattr(error, "run", None)
            if part is not None and self.made is not None:
                ended = [*self.ended, EndedStage(self.stages[k], self.made, part)]
                error.run = merged(ended, self.whole)  # type: ignore[attr-defined]
                if self.told.seen is not None:
                    with contextlib.suppress(Exception):  # the error being raised matters more
                        self.told.callbacks.tell("end", self.told.seen)
            if isinstance(error, ThalwegError) and len(self.stages) > 1 and error.args:
                name = f"Stage {k + 1} of {len(self.stages)}, {self.stages[k].name!r}"
                error.args = (f"{name}: {error.args[0]}", *error.args[1:])
            raise


def _checked(strategy: Strategy, recipe: BaseRecipe) -> list[Stage]:
    stages = list(strategy.stages(recipe))
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise TaskError(
            f"{type(strategy).__name__}.stages returns Stages, at least one; got {stages!r:.80}."
        )
    names = [stage.name for stage in stages]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TaskError(f"Two stages of {type(strategy).__name__} are called {twice!r}.")
    return stages


def _files(path: Path | None, count: int) -> list[Path | None]:
    """Return the checkpoint of each stage: of a single one the file that is named."""
    if path is None or count == 1:
        return [path] * count
    return [path.with_name(f"{path.stem}.stage-{k}{path.suffix}") for k in range(1, count + 1)]
