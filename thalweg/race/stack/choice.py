"""Whether stacking pays: a few steps of a stack against steps of single models."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.race.stack.errors import StackError
from thalweg.race.stack.probe import CPU, Probe
from thalweg.race.stack.train import ModelStack, enter
from thalweg.race.stack.try_task import probe_task
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import FAULTS
from thalweg.tasks import Task
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.cached import free_memory
from thalweg.tasks.sources.source import ArraySource
from thalweg.train.machine.devices import free_on, is_cpu, synchronize
from thalweg.train.machine.threads import torch_threads
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import isolated
from thalweg.train.running.step import TrainingStep
from thalweg.train.trained.evaluate import evaluate

Way = tuple[Callable[[], Any], Callable[[], Any]]
"""A step, and an evaluation."""

_MOST = 128
"""Models of a stack: with a hundred the cost of a call is nothing to a model, and with more of them what
a step works on leaves the caches."""
_GAIN = 1.15
"""What stacking must gain to be chosen: a stack has no times of its own, and fails together."""
_STEP = 0.06
"""Seconds that a step of the stack that is tried may take, about."""
_REPEATS = 5
_MOST_ON_DEVICE = 1024
"""As many on a device of its own, which works on all of them at once."""
_BYTES = 1 << 30
_OF_PARAMETERS = 8
"""Tensors of a parameter's size, at most: itself, its gradients, states, and copies at compaction."""


@dataclass(frozen=True)
class StackChoice:
    """Whether to stack, up to how many models, and why, in words."""

    stack: bool
    size: int
    why: str


def worth_it(task: Task, trials: Sequence[Trial], setting: Setting) -> StackChoice:
    """Measure whether stacking the trials pays, by steps of both kinds in turns.

    The global generator is left as it was.
    """
    if len(trials) < 2:
        return StackChoice(False, 1, "one by one: there is a single trial")
    try:
        with isolated(CPU), torch_threads(setting.threads):
            return _measured(task, trials, setting)
    except FAULTS as error:
        first = str(error).strip().split("\n")[0]
        return StackChoice(False, 1, f"one by one: {type(error).__name__}: {first}")


def _measured(task: Task, trials: Sequence[Trial], setting: Setting) -> StackChoice:
    found = probe_task(task, setting.device)
    chosen = {trial.entrant.name: trial for trial in trials}
    names = sorted(chosen)[:: max(1, len(chosen) // 3)][:3]
    recipes = [recipe_of(task, chosen[name], setting) for name in names]
    singles = _singles(recipes, found)
    device = found.device
    alone = statistics.mean(_median(step, 2, device) for step, _ in singles)
    most = _MOST if is_cpu(device) else _MOST_ON_DEVICE
    size = max(2, min(most, _limit(device) // _footprint(recipes[0], found)))
    count = int(max(2, min(len(trials), size, _STEP / alone)))
    stack = _stack([recipe_of(task, t, setting) for t in _spread(trials, count)], found)
    ways = [stack, *singles]
    share = _share(recipes[0], found)
    _once(stack, share, device)
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(_REPEATS):
        for each, way in zip(times, ways, strict=True):
            each.append(_once(way, share, device))
    stacked, *others = (statistics.median(each) for each in times)
    gain = statistics.mean(others) * count / stacked
    size = min(size, len(trials))
    if gain < _GAIN:
        return StackChoice(
            False, 1, f"one by one: a stack of {count} would be {gain:.2g} × as fast"
        )
    return StackChoice(True, size, f"stacked: {gain:.2g} × faster in stacks of {size}")


def _share(recipe: Recipe, found: Probe) -> float:
    """Return how many evaluations there are to a step."""
    if recipe.evaluate_every is not None:
        return 1 / recipe.evaluate_every
    return 1 / math.ceil(len(found.train.inputs) / (recipe.batch_size or len(found.train.inputs)))


def _once(way: Way, share: float, device: torch.device) -> float:
    """Return the time of a step with its share of an evaluation."""
    step, measure = way
    return _time(step, device) + share * _time(measure, device)


def _singles(recipes: Sequence[Recipe], found: Probe) -> list[Way]:
    """The ways of those that can be built: a rate that an optimizer refuses is said by its trials.

    Raises:
        StackError: for one that cannot be in a stack; and the error of the last, where all raise.
    """
    ways: list[Way] = []
    for recipe in recipes:
        try:
            ways.append(_single(recipe, found))
        except StackError:
            raise
        except FAULTS:
            if recipe is recipes[-1] and not ways:
                raise
    return ways


def _single(recipe: Recipe, found: Probe) -> Way:
    member = enter(recipe)
    member.model.train()
    cost, is_plain = recipe.task.cost, isinstance(found.train, ArraySource)
    step = TrainingStep(
        member.model,
        member.optimizer,
        cost.surrogate,
        cost.bind_penalty(member.model),
        is_matched=is_plain,
        by_rows=is_plain,
    )
    inputs, targets = next(found.train.batches(recipe.batch_size, Order(recipe.seed), 1))

    def take() -> None:
        step.take(inputs, targets)

    def measure() -> None:
        if found.validation is not None:
            evaluate(member.model, found.validation, cost)

    return take, measure


def _stack(recipes: list[Recipe], found: Probe) -> Way:
    members = []
    for recipe in recipes:
        try:
            members.append(enter(recipe))
        except StackError:
            raise
        except FAULTS:  # it will not enter when trained, either
            continue
    stack = ModelStack(members, found)
    return stack.try_step, stack.measured


def _spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    return [trials[k * len(trials) // count] for k in range(count)]


def _footprint(recipe: Recipe, found: Probe) -> int:
    """Return the bytes that a model needs in a stack: parameters, batch, and what the backward pass
    keeps.
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model = recipe.task.build().to(found.device)
    model.train()
    inputs, targets = next(found.train.batches(recipe.batch_size))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        recipe.task.cost.surrogate(model(inputs), targets)
    parameters: int = sum(p.nbytes for p in (*model.parameters(), *model.buffers()))
    batch: int = inputs.nbytes
    return 1 + _OF_PARAMETERS * parameters + 2 * sum(kept.values()) + 2 * batch


def _limit(device: torch.device) -> int:
    """Return the bytes that a stack may need: a gigabyte, or a quarter of what is free if less; of a
    device's own memory, which holds nothing else, half of what is free.
    """
    own = None if is_cpu(device) else free_on(device)
    if own is not None:
        return own // 2
    free = free_memory()
    return _BYTES if free is None else min(_BYTES, free // 4)


def _median(step: Callable[[], Any], repeats: int, device: torch.device) -> float:
    return statistics.median(_time(step, device) for _ in range(repeats))


def _time(step: Callable[[], Any], device: torch.device) -> float:
    # of a single thread the time on a core, which others at work on the machine do not lengthen
    own_core = torch.get_num_threads() == 1 and is_cpu(device)
    clock = time.thread_time if own_core else time.perf_counter
    synchronize(device)
    started = clock()
    step()
    synchronize(device)
    return clock() - started
