"""The training loop: epochs of steps, evaluations between them, and reasons to stop."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from thalweg.errors import DivergedError
from thalweg.generators import generators_of, kept
from thalweg.kept import modes_kept
from thalweg.numeric import plural
from thalweg.objective import Scores
from thalweg.tasks.data import SPLITS
from thalweg.tasks.target import figure
from thalweg.train.callbacks import Checkpoint
from thalweg.train.health.moment import Moment
from thalweg.train.history import Epoch, Evaluation, Reached
from thalweg.train.machine.devices import usable_device
from thalweg.train.machine.processes import warn_of_copies
from thalweg.train.optimizers.known import learning_rate
from thalweg.train.restored.randomness import isolated, seed_noise, seed_weights
from thalweg.train.run import BaseRecipe, Run
from thalweg.train.running.begin import begin
from thalweg.train.running.checkpoint import checkpoint_file, load, rehearse, save
from thalweg.train.running.listeners import Listener, sorted_out
from thalweg.train.running.progress import Reporter, reporter
from thalweg.train.running.state import State
from thalweg.train.running.steps import Steps
from thalweg.train.trained.evaluate import evaluate
from thalweg.whole import whole_number


def train(
    recipe: BaseRecipe,
    *,
    checkpoint: Checkpoint,
    progress: bool | None,
    callbacks: Iterable[Listener],
) -> Run:
    """Train by `recipe`; `fit` documents the arguments."""
    warn_of_copies()
    recipe, keep, told = sorted_out(recipe, checkpoint, callbacks)
    every = whole_number("checkpoint_every", keep.every)
    file = checkpoint_file(keep.path, keep.resume)
    device = None if recipe.device is None else usable_device(recipe.device)
    with _surroundings(recipe, device):
        state = begin(recipe, device, told)
        if file is not None:
            rehearse(state)
            if keep.resume and file.exists():
                load(file, state)
        show = reporter(progress, recipe.epochs, state.epoch)
        message = ""
        held = state.epoch
        try:
            _epochs(state, show, file, every)
            message = _last_word(state, held)
        except KeyboardInterrupt:
            state.stopped = "interrupted"
            message = f"interrupted in epoch {state.epoch + 1}"
        except Exception as error:
            state.stopped = "diverged" if isinstance(error, DivergedError) else "failed"
            with contextlib.suppress(Exception):  # the error that is being raised matters more
                _leave(state)
                error.run = state.run()  # type: ignore[attr-defined]  # as FitDivergedError has it
                told.tell("end", state)
            raise
        finally:
            show.close(message)
        _leave(state)
        run = state.run()
        try:
            told.tell("end", state)
        except Exception as error:
            error.run = run  # type: ignore[attr-defined]
            raise
        return run


@contextlib.contextmanager
def _surroundings(recipe: BaseRecipe, device: torch.device | None) -> Iterator[None]:
    """Seed the run and switch gradients on; restore the caller's settings and generators at the end."""
    # Without `device` the model may still be built on one: seed_weights seeds that as well.
    home = device or torch.device("cpu")
    with contextlib.ExitStack() as stack:
        # The caller's may be switched off. A model or data that were made so are copied.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(kept(generators_of(recipe.task.cost)))
        for name in SPLITS:
            source = getattr(recipe.task.data, name)
            if source is not None:
                stack.enter_context(source.untraced())
        stack.enter_context(isolated(home))
        seed_weights(recipe.seed, home)
        yield


def _leave(state: State) -> None:
    """Move the model to the optimizer's average, and to the best parameters, if there are any."""
    best = state.tracker is not None and bool(state.tracker.weights)
    state.point.go(recompute=not best)
    if state.tracker is not None:
        state.tracker.restore(state.model)


def _epochs(state: State, show: Reporter, file: Path | None, checkpoint_every: int) -> None:
    recipe = state.recipe
    steps = Steps(state, show, functools.partial(_evaluate, state))
    with modes_kept(state.model):
        state.model.train()
        state.callbacks.tell("start", state)
        while not state.stopped:
            if state.epoch >= recipe.epochs:
                state.stopped = "epochs"
                break
            if recipe.gradient_budget is not None and state.gradients >= recipe.gradient_budget:
                state.stopped = "gradients"  # before, in the run that this one goes on from
                break
            seed_noise(recipe.seed, state.epoch + 1, state.place.device, state.noise)
            train_scores = steps.run()
            _finish_epoch(state, train_scores, show)
            due = state.epoch % checkpoint_every == 0 or state.epoch == recipe.epochs
            if file is not None and (due or state.stopped):
                save(file, state)


def _finish_epoch(state: State, train_scores: Scores, show: Reporter) -> None:
    recipe = state.recipe
    epoch = state.epoch + 1
    lr = learning_rate(state.optimizer)
    callbacks = state.callbacks
    with contextlib.ExitStack() as stack:
        if state.tracker is not None or callbacks.wants("epoch"):  # theirs is the measured model
            stack.enter_context(state.point.entered())
        with _told(state, epoch, "validation"):
            validation = _evaluate(state, epoch)
        record = Epoch(epoch, state.step, state.seconds, lr, train_scores, validation)
        state.history.epochs.append(record)
        state.epoch = epoch
        if state.tracker is not None and state.tracker.update(record, state.model):
            state.stopped = state.stopped or "early stopping"
        callbacks.tell("epoch", state, record)
    if state.scheduler is not None and recipe.scheduler_step == "epoch" and not state.stopped:
        with _told(state, epoch, "optimizer"):
            if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                state.scheduler.step(train_scores.loss if validation is None else validation.loss)
            else:
                state.scheduler.step()
    show.epoch(record)


@contextlib.contextmanager
def _told(state: State, epoch: int, part: str) -> Iterator[None]:
    """Add epoch and part of training to the message of what is raised inside."""
    try:
        yield
    except Exception as error:
        told = state.failure(error, Moment(epoch, part=part))
        if told is error:
            raise
        raise told from error


def _evaluate(state: State, epoch: int) -> Scores | None:
    """Evaluate on the validation set, once at each step; record when the target is first met."""
    if state.validation is None:
        return None
    if state.evaluations and state.evaluations[-1].step == state.step:
        return state.evaluations[-1].scores
    recipe, cost = state.recipe, state.recipe.task.cost
    with state.point.entered():
        scores = evaluate(state.model, state.validation, cost, needed="validation")
        measured = Evaluation(epoch, state.step, state.seconds, state.gradients, scores)
        state.evaluations.append(measured)
        target = recipe.stop_at or recipe.task.target
        if target is not None and state.reached is None and target.is_reached(scores, cost):
            value = scores[figure(target.metric)]
            state.reached = Reached(state.step, epoch, state.seconds, value)
            if recipe.stop_at is not None:
                state.stopped = "target"
        state.callbacks.tell("evaluation", state, measured)
    return scores


def _last_word(state: State, held: int) -> str:
    """Return the closing message of a run that began with `held` epochs from a checkpoint."""
    if state.stopped == "epochs":
        count = plural(held, "epoch")
        nothing = f"the checkpoint already holds {count}; nothing to train"
        return nothing if held >= state.recipe.epochs else ""
    if state.stopped == "target" and state.reached is not None:
        hit = state.reached
        return f"target reached at step {hit.step}, after {hit.seconds:.2f} s of training"
    reason = {
        "early stopping": "early stopping",
        "gradient": "the gradient is below the tolerance",
        "gradients": "the budget of gradients is spent",
    }
    return f"stopped after epoch {state.epoch}: {reason.get(state.stopped, state.stopped)}"
