"""Why trials cannot train as a stack, found by a dry run on a few rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from thalweg.objective.losses import Loss
from thalweg.race.stack.alike import check_stackable
from thalweg.race.stack.errors import StackError
from thalweg.race.stack.probe import CPU, OFF_THE_CPU, Probe
from thalweg.race.stack.train import ModelStack, StackedModel, enter
from thalweg.race.stack.try_task import probe_task
from thalweg.race.trials.host_noise import noise_on_host
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import FAULTS
from thalweg.tasks import Task
from thalweg.tasks.sources.weighted import Rows, WeightedSource
from thalweg.train.machine.devices import is_cpu
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import isolated, seed_noise

_ROWS = 8


@dataclass(frozen=True)
class Reasons:
    """Why the task cannot be stacked at all, or else why an entrant, by its name, cannot.

    `failed` names those whose first steps raise, with the error: alone, each of their trials will say
    so, and they keep nobody else from being stacked.
    """

    task: str | None = None
    entrants: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def why_not(task: Task, trials: Sequence[Trial], setting: Setting) -> str | None:
    """Return in one sentence why trials of a task cannot train as a stack, or None where they can.

    A few rows are tried; the global generator is left as it was.

    >>> from thalweg.race.entrants.known import Entrant
    >>> from thalweg.race.trials.point import Point
    >>> x = torch.linspace(-1, 1, 32).reshape(-1, 1)
    >>> line = Task(data=(x, 2 * x), cost="mse", model=lambda: torch.nn.Linear(1, 1))
    >>> trial = Trial(Entrant("lbfgs", torch.optim.LBFGS), Point(1.0), seed=0, epochs=1)
    >>> why_not(line, [trial], Setting(8, "loss", "min"))
    'lbfgs: LBFGS evaluates the objective itself, several times in a step.'
    """
    found = reasons(task, trials, setting)
    if found.task is not None:
        return found.task
    return next((f"{name}: {reason}" for name, reason in found.entrants.items()), None)


def reasons(task: Task, trials: Sequence[Trial], setting: Setting) -> Reasons:
    """Return why the task, or which of the entrants, cannot be stacked."""
    firsts = {trial.entrant.name: trial for trial in reversed(trials)}
    entrants: dict[str, str] = {}
    failed: dict[str, str] = {}
    recipes: list[Recipe] = []
    with isolated(CPU):
        for name, trial in reversed(firsts.items()):
            try:
                recipe = recipe_of(task, trial, setting)
                check_stackable(recipe)
            except StackError as error:
                return Reasons(str(error))
            except FAULTS as error:
                failed[name] = _error(error)
                continue
            if recipe.strategy is not None:
                entrants[name] = "Its strategy trains one model at a time."
                continue
            try:
                _check_optimizer(enter(recipe))
                recipes.append(recipe)
            except StackError as error:
                entrants[name] = str(error)
            except FAULTS as error:
                failed[name] = _error(error)
        return Reasons(_dry_run(recipes, setting) if recipes else None, entrants, failed)


def _error(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _check_optimizer(member: StackedModel) -> None:
    """Refuse an optimizer that draws random numbers, of which a stack has one stream for all."""
    for p in member.model.parameters():
        p.grad = torch.zeros_like(p) if p.requires_grad else None
    before = torch.default_generator.get_state()
    for _ in range(2):
        member.optimizer.step()
    if not torch.equal(before, torch.default_generator.get_state()):
        raise StackError("The optimizer draws from the global generator, which a stack shares.")


def _dry_run(recipes: list[Recipe], setting: Setting) -> str | None:
    """Return why models of these recipes cannot take steps together, or None."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        try:
            found = _few(probe_task(recipes[0].task, setting.device))
            # all few rows at once, whatever each one's batch size
            recipes = [recipe.replace(batch_size=None) for recipe in recipes]
            twice = [*recipes, recipes[0].replace(seed=recipes[0].seed ^ 1)]
            alone = _alone(twice[0], found), _alone(twice[-1], found)
            stack = ModelStack([enter(recipe) for recipe in twice], found)
            together = stack.try_step()
            apart = 1e-3 if is_cpu(found.device) else OFF_THE_CPU
            for value, k in zip(alone, (0, -1), strict=True):
                if abs(float(together[k]) - value) > apart * max(1.0, abs(value)):
                    return "The model draws other noise in a stack than alone."
        except StackError as error:
            return str(error)
        except FAULTS as error:
            return _in_words(error)
    for note in noted:
        if "performance drop" in str(note.message):
            operation = str(note.message).partition("aten::")[2].partition(".")[0].split(" ")[0]
            return f"PyTorch runs {operation or 'an operation'} of the model one by one in a stack."
    return None


def _few(found: Probe) -> Probe:
    train = _first(found.train)
    if found.validation is None:
        return replace(found, train=train)
    return replace(found, train=train, validation=_first(found.validation))


def _first(rows: Rows) -> Rows:
    """Return a few rows of a set, some of which count."""
    index = torch.arange(len(rows.inputs), device=rows.inputs.device)
    if isinstance(rows, WeightedSource):
        index = index[rows.weights > 0]
    return rows.select(index[:_ROWS])


def _alone(recipe: Recipe, found: Probe) -> float:
    """Return the first loss of a model by itself, in training."""
    member = enter(recipe)
    member.model.train()
    seed_noise(recipe.seed, 1, CPU)
    surrogate: Loss = recipe.task.cost.surrogate
    inputs, targets = next(found.train.batches(None))
    with noise_on_host(found.device, found.draws):
        return float(surrogate(member.model(inputs), targets).detach())


_SAYINGS = (
    ("data-dependent control flow", "the model or the loss branches on the data"),
    (".item()", "the model or the loss turns a tensor into a number of Python"),
    ("inplace", "the model changes a tensor in place that is the same for all models"),
    ("in-place", "the model changes a tensor in place that is the same for all models"),
    (
        "match the broadcast shape",
        "the model changes a tensor in place that is the same for all models",
    ),
    ("does not support", "an operation of the model has no stacked form"),
    ("rule not implemented", "an operation of the model has no stacked form"),
    ("not yet support", "an operation of the model has no stacked form"),
)


def _in_words(error: BaseException) -> str:
    text = str(error)
    said = next((said for part, said in _SAYINGS if part in text), "a step of two models fails")
    first = text.strip().split("\n")[0].split(". ")[0]
    return f"It cannot be stacked, {said} ({type(error).__name__}: {first[:160].rstrip('.')})."
