"""Checks on parameters and groups: learning rates, new groups, wrong arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.errors import sentence
from thalweg.testing.compare import Path, demand, demand_same_path, rounding, same
from thalweg.testing.gradients import step_untouched
from thalweg.testing.result import Failed, Skipped
from thalweg.testing.subject import OptimizerRun, Subject


def _demand_lr(subject: Subject) -> float:
    lr = subject.start().lr
    if lr is None:
        raise Skipped("the groups have no 'lr'")
    return float(lr)


def groups(subject: Subject) -> None:
    """Two groups with different learning rates equal two optimizers.

    Heads get ten times the learning rate of backbones, and biases no decay. An optimizer that reads
    `self.defaults`, or the first group, trains everything with the same numbers.
    """
    subject.demand_separate()
    steps = subject.steps(4)
    defaults = subject.start().optimizer.defaults
    other = {"lr": float(defaults["lr"]) / 4} if defaults.get("lr") is not None else {}
    if "weight_decay" in defaults:
        other["weight_decay"] = 0.125

    def pack(params: list[nn.Parameter]) -> Any:
        return [{"params": params[:2]}, {"params": params[2:], **other}]

    together = subject.start(pack=pack).run(steps)
    first = subject.start([0, 1]).run(steps)
    second = subject.start([2], pack=lambda params: [{"params": params, **other}]).run(steps)
    demand_same_path(
        first | second,
        together,
        f"Expected two groups, the second with {other}, to equal two optimizers. Read every "
        "hyperparameter from the group of the parameter: `for group in self.param_groups: group['lr']`.",
        subject.tolerance,
    )


def scheduler(subject: Subject) -> None:
    """A learning rate changed between steps, by hand or by a scheduler, counts from the next step.

    Schedulers write `group["lr"]`. An optimizer that copies it when it is made, or into a state, ignores the
    warm-up and the decay silently.
    """
    lr = _demand_lr(subject)
    constant, by_hand, scheduled = subject.start(), subject.start(), subject.start()
    half = subject.silent + 3
    last = 2 * subject.silent + 6  # one that moves now and then does so once more
    plain = constant.run(range(last))
    got = by_hand.run(range(half))
    by_hand.set_lr(lr / 2)
    got |= by_hand.run(range(half, last))
    for i in by_hand.params:
        moving = [k for k in range(half, last) if not same(plain[k - 1, i], plain[k, i])]
        changed = [k for k in range(half, last) if not same(plain[k, i], got[k, i])]
        if not moving:
            raise Skipped(f"parameter {i} does not move in steps {half + 1} to {last}")
        effect = f"had its first effect in step {changed[0] + 1}" if changed else "had no effect"
        demand(
            changed[:1] == moving[:1],
            f"Expected group['lr'] set to half after step {half} to change step {moving[0] + 1}; on "
            f"parameter {i} it {effect} (of {last}). Read group['lr'] in every step, and keep no copy of it.",
        )
    rates = torch.optim.lr_scheduler.LambdaLR(
        scheduled.optimizer, lambda epoch: 1.0 if epoch < half else 0.5
    )
    path: Path = {}
    for k in range(last):
        path |= scheduled.run([k])
        rates.step()
    demand_same_path(
        got, path, "Expected torch's LambdaLR to do what setting group['lr'] by hand does."
    )


def learning_rate_zero(subject: Subject) -> None:
    """Steps with learning rate 0 change no parameter, and leave nothing behind that breaks later steps.

    Linear warm-ups begin at 0. Dividing by lr turns that into NaN; a decay or a noise that forgets lr moves
    the parameters before the training starts.
    """
    lr = _demand_lr(subject)
    trial = subject.start()
    trial.set_lr(0.0)
    before = trial.here(0)
    trial.run(range(2))
    demand_same_path(
        before,
        trial.here(0),
        "Expected steps with group['lr'] = 0 to leave the parameters alone.",
        # (1 − a)·p + a·p rounds, and so does a copy in float32
        max(rounding(subject.dtype), 8 * torch.finfo(torch.float32).eps),
    )
    trial.set_lr(lr)
    later = range(2, 2 + subject.steps(3).stop)
    trial.run(later)
    for i, p in trial.params.items():
        demand(
            bool(p.isfinite().all()),
            f"After two steps with lr = 0 and {len(later)} with lr = {lr:g}, parameter {i} is not finite.",
        )
        demand(
            not same(before[0, i], p),
            f"After two steps with lr = 0, parameter {i} does not move any more with lr = {lr:g}.",
        )


def add_param_group(subject: Subject) -> None:
    """A group added in the middle trains as if its optimizer began then, and disturbs no other.

    Fine-tuning thaws layer by layer with `add_param_group`. Buffers and counts that were sized when the
    optimizer was made do not know the new parameters.
    """
    trial = subject.start([0, 1])
    got = trial.run(range(3))
    trial.optimizer.add_param_group({"params": [trial.extend(2)]})
    before, later = trial.here(2), range(3, subject.silent + 6)
    got |= trial.run(later)
    if subject.couples or subject.coupling is not None:
        for i, p in trial.params.items():
            demand(bool(p.isfinite().all()), f"Parameter {i} is not finite after add_param_group.")
        demand(
            not same(before[2, 2], trial.params[2]),
            "The parameter added with add_param_group does not move.",
        )
        return
    old = subject.start([0, 1])
    expected = old.run(range(later.stop)) | subject.start([2]).run(later)
    demand_same_path(
        expected,
        got,
        "Expected a group added after 3 steps (parameter 2) to equal an optimizer made then, and the "
        "others to go on undisturbed. Keep states and step counts in state[p].",
        subject.tolerance,
    )


def maximize(subject: Subject) -> None:
    """With `maximize=True` the negative of a function is maximized as the function is minimized.

    And the gradient stays as it is: it is negated in a copy.
    """
    if "maximize" not in subject.start().optimizer.defaults:
        raise Skipped("the groups have no 'maximize'")

    def start(way: bool) -> OptimizerRun:
        return subject.start(pack=lambda params: [{"params": params, "maximize": way}])

    down, up = start(False), start(True)
    up.sign = -1.0
    expected = down.run(subject.steps(4))
    got: Path = {}
    for k in subject.steps(4):
        step_untouched(up, k)
        got |= up.here(k)
    demand_same_path(
        expected,
        got,
        "Expected maximize=True on −f to equal minimizing f. Negate the gradient before anything else "
        "uses it, and read `maximize` from the group.",
    )


def _demand_refused(make: Callable[[], Any], what: str) -> None:
    try:
        make()
    except ValueError:
        return
    except Exception as error:
        raise Failed(
            f"Expected a ValueError for {what}, got {type(error).__name__}: {sentence(error)} Call "
            "`super().__init__(params, defaults)` before using the parameters."
        ) from error
    raise Failed(
        f"Expected a ValueError for {what}; it was accepted. Give `super().__init__` the parameters as they "
        "came: torch.optim.Optimizer checks them."
    )


def empty_refused(subject: Subject) -> None:
    """An empty list of parameters is refused with a `ValueError`.

    It is always a mistake, most often a generator that was consumed before; silently training nothing
    costs a run.
    """
    _demand_refused(lambda: subject.factory([]), "an empty list of parameters")


def duplicates_refused(subject: Subject) -> None:
    """A parameter in two groups is refused with a `ValueError`; twice in one group, refused or warned of.

    It would be stepped twice.
    """
    first, second = subject.start().params[0], subject.start().params[1]
    _demand_refused(
        lambda: subject.factory([{"params": [first, second]}, {"params": [first]}]),
        "a parameter that is in two groups",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            subject.factory([first, first])
        except ValueError:
            return
    demand(
        any("duplicate" in str(warning.message) for warning in caught),
        "Expected a ValueError or a warning for a parameter that is twice in a list; it was accepted.",
    )


def generator(subject: Subject) -> None:
    """A generator of parameters, as `model.parameters()` returns, works as a list does.

    An optimizer that goes through its argument twice finds nothing the second time.
    """
    demand_same_path(
        subject.start().run(subject.steps(3)),
        subject.start(pack=iter).run(subject.steps(3)),
        "Expected an optimizer made of a generator to equal one made of a list. Go through "
        "self.param_groups, not through the argument again.",
    )
