"""What watching costs: the same training with the doctor and without, block by block in turns."""

from __future__ import annotations

import functools
import gc
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from _case import Case

from thalweg import doctor
from thalweg.doctor.gauges.gauge import Gauge
from thalweg.doctor.gauges.layers import LayerGauge
from thalweg.doctor.gauges.numbers import norms
from thalweg.doctor.gauges.updates import UpdateGauge
from thalweg.doctor.undisturbed import losses_of
from thalweg.doctor.watched import Watched
from thalweg.objective.losses import as_loss
from thalweg.tasks import load_task

BLOCK = 200
"""Steps that one of the two takes before the other one's turn."""


def cases(steps: int) -> dict[str, Case]:
    """Return the cases, each with as many epochs as the steps need."""
    return {
        name: Case(task, "adam", lr, -(-steps * batch // (task.data.train.rows or 1)), batch)
        for name, lr, batch in (
            ("digits", 1e-2, 128),
            ("digits_cnn", 3e-3, 32),
            ("char_transformer", 1e-3, 16),
        )
        for task in (load_task(name),)
    }


def _steps(case: Case, budget: float | None) -> Iterator[None]:
    """Train, with a doctor where there is a budget for one."""
    loop = case.loop()
    if budget is None:
        for loss, _ in loop:
            loss.item()
            yield
        return
    cost = case.task.cost
    with doctor.Doctor(loop.model, loop.optimizer, loss=cost, budget=budget) as watching:
        for loss, batch in loop:
            loss.item()
            watching.step(loss, batch=batch)
            yield


def print_overhead(steps: int, budget: float) -> None:
    """Print the processor time of each case with the doctor, as a share of that without."""
    print(f"{steps} steps, budget {budget:.0%}, blocks of {BLOCK} steps in turns, processor time")
    print(
        f"{'case':18} {'ms a step':>10} {'with the doctor':>16} {'in all':>8} {'median block':>13}"
    )
    for name, case in cases(steps).items():
        off, on = _blocks(case, steps, budget)
        ratios = [b / a for a, b in zip(off, on, strict=True)]
        runs = 1e3 / (2 * steps)
        print(
            f"{name:18} {sum(off) * runs:10.3f} {sum(on) * runs:16.3f} {sum(on) / sum(off) - 1:+8.1%} "
            f"{statistics.median(ratios) - 1:+13.1%}",
            flush=True,
        )


def _blocks(case: Case, steps: int, budget: float) -> tuple[list[float], list[float]]:
    """Return the seconds of blocks without and with the doctor, each of two runs.

    Of two equal runs the one that is made first was faster by .6 %, for whatever it finds in memory. So one
    of each kind is made first.
    """
    for _ in zip(range(BLOCK), _steps(case, None), strict=False):
        pass  # what is compiled and imported at the first step is part of neither
    # A full collection looks at all that was imported, .2 s here, in the turn of whoever comes to it.
    gc.collect()
    gc.freeze()
    kinds = (0, 1, 1, 0)
    runs = [_steps(case, budget if kind else None) for kind in kinds]
    blocks: tuple[list[float], list[float]] = ([], [])
    for turn in range(steps // BLOCK):
        for place in (range(4), reversed(range(4)))[turn % 2]:
            began = time.process_time()
            for _ in range(BLOCK):
                next(runs[place])
            blocks[kinds[place]].append(time.process_time() - began)
    gc.unfreeze()
    return blocks


def print_looks(repeats: int = 9) -> None:
    """Print what the parts of a look take beyond a step, in processor time: the least of several.

    `losses` are computed in every second look; `norms` are the part of `updates` that the kernel of an
    optimizer's step could give.
    """
    print(f"parts of a look beyond a step, the least of {repeats}, processor time in ms")
    print(
        f"{'case':18} {'a step':>8} {'update':>8} {'layers':>8} {'updates':>8} {'losses':>8} {'norms':>8}"
    )
    for name, case in cases(1).items():
        print(
            f"{name:18} " + " ".join(f"{each:8.3f}" for each in _parts(case, repeats)), flush=True
        )


def _parts(case: Case, repeats: int) -> list[float]:
    """Return the milliseconds of a step, of its update, and of the parts of a look."""
    loop = case.loop()
    _, batch = next(iter(loop))
    loss = as_loss(case.task.cost.surrogate)
    watched = Watched(loop.model, loop.optimizer)
    before = {name: p.detach().clone() for name, p in loop.model.named_parameters()}

    def step(gauge: Gauge | None = None) -> None:
        loop.optimizer.zero_grad()
        if gauge is not None:
            gauge.attach()
        loop.loss(loop.model, batch).backward()
        loop.optimizer.step()
        if gauge is not None:
            gauge.read(1)
            gauge.detach()

    weights = list(loop.model.parameters())
    others = [p.detach().clone() for p in weights]

    def norms_alone() -> None:
        with torch.no_grad():
            torch._foreach_sub_(others, weights)
            for tensors in (weights, [p.grad for p in weights], others):
                norms(tensors)

    step()
    gauges = [kind(watched, _raise) for kind in (LayerGauge, UpdateGauge)]
    alone, *looked, update, losses, sizes = _least(
        repeats,
        step,
        *(functools.partial(step, gauge) for gauge in gauges),
        loop.optimizer.step,
        lambda: losses_of(loop.model, loss, batch, before, None),
        norms_alone,
    )
    return [alone, update, *(each - alone for each in looked), losses, sizes]


def _raise(_: str, error: Exception) -> None:
    raise error


def _least(repeats: int, *parts: Callable[[], object], calls: int = 8) -> list[float]:
    """Return the milliseconds of one call of each part: the least mean over 8, the parts in turns."""
    found: list[list[float]] = [[] for _ in parts]
    for _ in range(repeats + 1):
        for times, do in zip(found, parts, strict=True):
            began = time.process_time()
            for _ in range(calls):
                do()
            times.append(1e3 * (time.process_time() - began) / calls)
    return [min(times[1:]) for times in found]
