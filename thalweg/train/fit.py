"""`fit`: train a task's model with an optimizer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

import torch

from thalweg.tasks.initialize import Initialization
from thalweg.tasks.sources.batches import Shuffle
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task
from thalweg.train.optimizers.known import OptimizerFactory, Rate
from thalweg.train.recipe import Recipe
from thalweg.train.run import Run, SchedulerFactory
from thalweg.train.running.listeners import Listener
from thalweg.train.staged import Staged
from thalweg.train.stopping import EarlyStopping


def fit(
    task: Task,
    optimizer: OptimizerFactory | str | Any,
    *,
    lr: Rate | None = None,
    epochs: int | None = None,
    batch_size: int | Literal["task"] | None = "task",
    seed: int = 0,
    init: Initialization | None = None,
    shuffle: Shuffle = "epoch",
    scheduler: SchedulerFactory | None = None,
    scheduler_step: Literal["epoch", "step"] = "epoch",
    early_stopping: EarlyStopping | None = None,
    gradient_tolerance: float | None = None,
    gradient_budget: float | None = None,
    stop_at: Target | None = None,
    evaluate_every: int | None = None,
    device: str | torch.device | None = None,
    accumulate: int = 1,
    clip_norm: float | None = None,
    autocast: str | torch.dtype | None = None,
    strategy: Staged | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    keep_path: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    callbacks: Iterable[Listener] = (),
    **hyperparameters: Any,
) -> Run:
    """Train a fresh model of `task` by descending J = L + λΩ; return the run.

    Optimizer:
        `optimizer` is a name that `thalweg list optimizers` shows, such as "adam", or with a schedule
        "adam+cosine", whose peak is `lr`; a class of `thalweg.optim` or `torch.optim`, a
        `functools.partial` of one, a function (parameters, lr=…), or a chain of rules. `lr` None
        leaves the learning rate to its own default; it may be a schedule, such as
        `thalweg.schedules.cosine(1e-3, steps=1000)`, if the optimizer is thalweg's. `scheduler` is a
        function (optimizer) -> torch learning rate scheduler, stepped each `scheduler_step`. What
        else is given by name is a hyperparameter: `fit(task, "adam", lr=1e-3, weight_decay=0.01)`.

        Where the optimizer keeps an average (`ema`, `polyak`, `swa`, schedule-free descent), the
        model is measured there, also for `early_stopping` and `stop_at`, and is there at the end.
        Batch normalization then gets statistics of the training set there: a pass over it more for
        each measurement.

        `accumulate` k steps once in k batches, by the gradient of all their rows, and at the end of an
        epoch by what it holds: k batches of b rows give the steps of batches of k·b rows
        (`thalweg.meta.Accumulate`, which may also be the optimizer). Steps are counted, and schedulers
        stepped, where the parameters were updated. `clip_norm` c scales a gradient whose norm over all
        parameters is above c down to c, just before the optimizer's step. `autocast` "bfloat16"
        computes the model's products in it and the loss in float32 (`torch.autocast`), in training
        alone; parameters and gradients stay as they are.

    Strategy:
        `strategy` is one of `thalweg.strategies`, such as `curriculum()`: it makes of the recipe another
        one, or several that are trained one after the other for the same cost as this one.

    Data:
        `batch_size` rows a step, by default the task's own, or all where the optimizer is named and is a
        solver, Rprop or DeltaBarDelta; the last batch of an epoch holds what is left. None, or as many as
        there are rows, is gradient descent on the whole set. A `DataLoader` keeps its own.
        `shuffle` "epoch" draws a new order each epoch, "once" one for the run, "never" none.
        Batches are copies: a model or a loss that works in place does not change the data. They keep
        their kind: named tuples, mappings, data classes, packed sequences, and classes of yours with
        a method `to(device)`.

    Randomness:
        The run is a function of `seed`: initial weights (those after `torch.manual_seed(seed)`,
        `np.random.seed(seed)` and `random.seed(seed)`), order of the data, and what is drawn in
        training: dropout, augmentation, by the global generators of PyTorch, NumPy and Python, or by
        generators that a data set, a loader, its samplers or the model hold. These are seeded for
        each epoch, and the caller's are left as they were. Workers of a `DataLoader` begin again with
        each epoch, those with `persistent_workers` too.

        `init` is how the model starts, instead of as the task says: a strategy of `thalweg.init` or its
        name, such as "he|lsuv"; see `Task`.

    Stopping:
        after `epochs`, by default the task's own; by `early_stopping`, which also restores the best
        parameters; when the norm of the gradient is below `gradient_tolerance` (whole batches only);
        when `gradient_budget`
        gradient-equivalents are computed, those of a closure counted each (`run.gradients`): 1 is a
        gradient over as many rows as a batch of the task has, `task.batch_size`; or when the validation
        set meets `stop_at`, looked at after each epoch and every `evaluate_every` steps. Ctrl-C
        ends the run too: what is finished is returned, with `run.stopped == "interrupted"`. The best
        parameters are restored however the run ends.

    Keeping:
        `checkpoint` is a file, written whole every `checkpoint_every` epochs and at the end. With
        `resume` a run goes on from it, or starts again where there is none: on the same machine with as
        many threads, bit for bit as the run that did not stop. `epochs` may have grown meanwhile.
        `keep_path` is a folder to keep the parameters of some steps in, as `path.safetensors` of bounded
        size, for pictures of the path (`KeepPath`).
        What a file cannot hold (an extra state that is not a number, text, tensor, list or dictionary of
        them) is said before training.

    Callbacks:
        `callbacks` is a list of `Callback`s, told of the start, each step, evaluation and epoch, and the
        end, in their order; `EarlyStopping` and `Checkpoint` may stand among them.

    `device` is where to train; None leaves the model where it was built. `progress` None shows a
    table in a notebook; a bar on a terminal and plain lines elsewhere, on standard error; False nothing.

    Raises TaskError and DataError for what cannot be learned, or fails on the way, DivergedError
    when the loss becomes NaN or infinite, CheckpointError for a checkpoint that does not fit or
    cannot be written. What is raised after the first step carries the run so far as `error.run`.

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    >>> task = Task(data=(x, 2 * x + 1), cost="mse", model=lambda: torch.nn.Linear(1, 1))
    >>> run = fit(task, torch.optim.SGD, lr=0.5, epochs=50, batch_size=None, progress=False)
    >>> round(run.predict(np.array([[3.0]])).item(), 3)
    7.0
    """
    recipe = Recipe(
        task=task,
        optimizer=optimizer,
        lr=lr,
        epochs=epochs,  # type: ignore[arg-type]  # None is the task's
        batch_size=batch_size,  # type: ignore[arg-type]  # "task" is its own
        seed=seed,
        init=init,
        shuffle=shuffle,
        scheduler=scheduler,
        scheduler_step=scheduler_step,
        early_stopping=early_stopping,
        gradient_tolerance=gradient_tolerance,
        gradient_budget=gradient_budget,
        stop_at=stop_at,
        evaluate_every=evaluate_every,
        accumulate=accumulate,
        clip_norm=clip_norm,
        autocast=autocast,
        strategy=strategy,
        device=device,
        hyperparameters=hyperparameters,
    )
    return recipe.fit(
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        keep_path=keep_path,
        progress=progress,
        callbacks=callbacks,
    )
