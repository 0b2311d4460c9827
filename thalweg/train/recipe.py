"""The recipe: data, cost, model and optimizer, declared; each can be exchanged alone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from thalweg.train.callbacks import Checkpoint
from thalweg.train.folder.path import KeepPath
from thalweg.train.optimizers.around import around
from thalweg.train.optimizers.binding import build_optimizer
from thalweg.train.run import BaseRecipe, Run
from thalweg.train.running.listeners import Listener
from thalweg.train.running.loop import train


@dataclass(frozen=True, repr=False)
class Recipe(BaseRecipe):
    """A task, an optimizer and the settings of training: all that a run is a function of.

    The settings are those of `fit`, which says what each means.

    >>> import numpy as np, torch
    >>> from thalweg.objective import Cost
    >>> from thalweg.tasks import Task
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> task = Task(data=(x, 2 * x), cost=Cost("mse"), model=lambda: torch.nn.Linear(1, 1))
    >>> recipe = Recipe(task, torch.optim.SGD, lr=0.5, epochs=20, batch_size=None)
    >>> run = recipe.replace(cost=Cost("l1"), epochs=5).fit(progress=False)
    >>> run.steps, run.recipe.optimizer is recipe.optimizer
    (5, True)
    """

    def bind(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer, bound to the parameters of a model of the task.

        Raises:
            TaskError: where it cannot be built for the model.
        """
        chosen = self.chosen
        built = build_optimizer(chosen.factory, model, self.rate, chosen.hyperparameters)
        return around(built, self.accumulate, self.clip_norm)

    def fit(
        self,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        keep_path: str | os.PathLike[str] | None = None,
        progress: bool | None = None,
        callbacks: Iterable[Listener] = (),
    ) -> Run:
        """Train; return the run. The arguments are those of `fit`; but for callbacks that stop it, they
        do not change the result.
        """
        keep = Checkpoint(checkpoint, checkpoint_every, resume)
        if keep_path is not None:
            callbacks = [KeepPath(keep_path), *callbacks]
        if self.strategy is not None:
            plain = self.replace(strategy=None)
            run: Run = self.strategy.fit(
                plain, checkpoint=keep, progress=progress, callbacks=callbacks
            )
            return run
        return train(self, checkpoint=keep, progress=progress, callbacks=callbacks)
