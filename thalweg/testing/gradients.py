"""Checks on gradients: untouched, missing, accumulated, broken, sparse."""

from __future__ import annotations

import torch
from torch import Tensor

from thalweg.testing.compare import (
    demand,
    demand_same_path,
    snapshot,
    state_difference,
)
from thalweg.testing.result import Failed, Skipped
from thalweg.testing.subject import OptimizerRun, Subject, seed

COUPLES = "If the update is meant to depend on other tensors, check with couples=True."


def gradient_untouched(subject: Subject) -> None:
    """A step leaves `p.grad` as it was: the same tensor with the same values.

    Whoever logs gradients, clips them, or accumulates the next micro-batch onto them reads them after the
    step. Weight decay added in place, or a sign turned for `maximize`, comes back with the next batch.
    """
    trial = subject.start()
    for k in subject.steps(3):
        step_untouched(trial, k)


def step_untouched(trial: OptimizerRun, k: int) -> None:
    """Do step k, and fail the check if that replaced or changed a gradient."""
    closure = trial.closure(k)
    met: dict[int, tuple[Tensor, Tensor]] = {}

    def recorded() -> Tensor:
        loss = closure()
        for i, p in trial.params.items():
            assert p.grad is not None
            met[i] = p.grad, snapshot(p.grad)
        return loss

    seed(k)
    trial.call(recorded)
    for i, p in trial.params.items():
        grad, before = met[i]
        demand(p.grad is grad, f"Step {k + 1} put another object into the .grad of parameter {i}.")
        changed = state_difference(before, grad, "p.grad")
        demand(
            changed is None,
            f"Step {k + 1} changed the gradient of parameter {i}: {changed}. Compute on a copy: "
            "`grad = grad.add(p, alpha=weight_decay)`, not `grad.add_(...)`.",
        )


def reused_gradient(subject: Subject) -> None:
    """The state keeps copies: overwriting the gradient after a step changes nothing.

    `zero_grad(set_to_none=False)`, CUDA graphs and DDP's buckets write the next gradient into the same
    memory. A state that is the gradient itself (`state["momentum"] = p.grad`) changes with it.
    """
    if subject.sparse:
        raise Skipped("sparse gradients are new tensors at every step")
    fresh, reused = subject.start(), subject.start()
    expected = fresh.run(subject.steps(4))
    buffers = {i: torch.zeros_like(p) for i, p in reused.params.items()}
    reused.shape_gradient = lambda i, grad: buffers[i].copy_(grad)
    demand_same_path(
        expected,
        reused.run(subject.steps(4)),
        "Expected the same run with gradients that are written into the same tensors at every step. "
        "Copy what you keep: `state[...] = p.grad.clone()`.",
    )


def alone(subject: Subject) -> None:
    """A tensor trains with others as it trains alone.

    What one layer does must not depend on a state that the last tensor left behind, or on how many there are.
    A norm over all gradients, a line search or one estimate of a distance breaks this on purpose: such an
    optimizer is checked with `couples=True`.
    """
    if subject.couples:
        raise Skipped("the update of a tensor depends on the others (couples=True)")
    demand(
        subject.coupling is None,
        "Expected a tensor among others to train as it does alone. Keep everything in state[p]. "
        f"{COUPLES} But {subject.coupling}",
    )


def none_gradient(subject: Subject) -> None:
    """A parameter whose gradient is None keeps its value and its state.

    Frozen layers, and branches that a batch did not take, have no gradient. They must see no weight decay, no
    step from old momentum and no count of steps; a step with no gradients at all does nothing.
    """
    if not subject.needs_closure:
        idle = subject.start()
        before = idle.here(0)
        idle.optimizer.step()
        demand_same_path(
            before,
            idle.here(0),
            "Expected a step without any gradient to do nothing. Skip a parameter where p.grad is None.",
        )
    for begun in (0, subject.silent + 3):
        trial = subject.start()
        trial.run(range(begun))
        value, state = trial.here(0), trial.state(1)
        trial.run(range(begun, begun + 2), used=(0, 2))
        when = f"after {begun} steps with one" if begun else "from the start"
        demand_same_path(
            value,
            trial.here(0),
            f"Expected a parameter without a gradient ({when}) to stay where it is. Skip a parameter "
            "where p.grad is None, weight decay and momentum included.",
            only=[1],
        )
        changed = state_difference(state, trial.state(1), "state[p]")
        demand(
            changed is None,
            f"The state of a parameter without a gradient ({when}) changed: {changed}. Make and "
            "update a state only where p.grad is not None.",
        )


def late_gradient(subject: Subject) -> None:
    """A parameter whose gradient comes late trains as if its optimizer began then.

    Layers are thawed, and experts get their first token, in the middle of a run. A step count kept for the
    group or the optimizer gives them the bias correction of old parameters: steps ten times too small, or
    large.
    """
    subject.demand_separate()
    steps = range(3, subject.silent + 7)
    trial, alone = subject.start(), subject.start([1])
    trial.run(range(3), used=(0, 2))
    got = trial.run(steps)
    demand_same_path(
        alone.run(steps),
        got,
        "Expected a parameter that had no gradient for 3 steps to equal one whose optimizer was made "
        f"then. Keep the step count in state[p], not in the group or the optimizer. {COUPLES}",
        subject.tolerance,
    )


def accumulation(subject: Subject) -> None:
    """Gradients of micro-batches that add up give the same run as one large batch.

    Two backward passes and one step are one step: for the count of steps, the averages and the decay. An
    optimizer that listens to backward passes by hooks counts two.
    """

    def run(parts: int) -> OptimizerRun:
        trial = subject.start()

        def linear(k: int, part: int) -> Tensor:
            summed = torch.zeros((), dtype=subject.dtype)
            for p in trial.params.values():
                # eighths, whose sums are exact: any difference is the optimizer's
                slopes = (torch.arange(p.numel(), dtype=p.dtype) % 7 + k + 1).view(p.shape) / 8
                summed = summed + (p * slopes * (1 + 2 * part if parts == 2 else 4)).sum()
            return summed - summed.detach()  # so that sums of losses are exact too

        for k in subject.steps(4):
            losses = [lambda k=k, part=part: linear(k, part) for part in range(parts)]
            trial.step(k, losses=losses)
        return trial

    large, accumulated, steps = run(1), run(2), len(subject.steps(4))
    demand_same_path(
        large.here(0),
        accumulated.here(0),
        f"Expected {steps} steps on two micro-batches each to equal as many on the batches. Advance only "
        "in `step`, and read only p.grad there.",
    )
    changed = state_difference(large.states(), accumulated.states(), "the state")
    demand(changed is None, f"After {steps} steps on two micro-batches each, {changed}.")


def non_finite(subject: Subject) -> str:
    """A NaN in the gradient of one tensor does not reach the other tensors.

    One broken layer must be found where it broke. An optimizer that couples tensors on purpose
    (`couples=True`) cannot keep this.
    """
    subject.demand_separate()

    def poison(index: int, grad: Tensor) -> Tensor:
        if index == 1:
            grad = grad.clone()
            grad.view(-1)[0] = torch.nan
        return grad

    clean, broken = subject.start(), subject.start()
    last = subject.steps(4).stop
    expected = clean.run(range(last))
    got = broken.run(range(1))
    broken.shape_gradient = poison
    got |= broken.run(range(1, 2))
    broken.shape_gradient = None
    got |= broken.run(range(2, last))
    demand_same_path(
        expected,
        got,
        f"Expected a NaN in the gradient of parameter 1 to leave the others alone. {COUPLES}",
        subject.tolerance,
        only=[0, 2],
    )
    p = broken.params[1].detach()
    bad = int((~p.isfinite()).sum())
    if bad == 0:
        return "the tensor with the NaN stays finite"
    return f"one NaN in a gradient makes {bad} of its tensor's {p.numel()} elements non-finite"


def sparse_gradient(subject: Subject) -> str:
    """A sparse gradient gives the dense gradient's step, or an error about sparse gradients.

    `nn.Embedding(sparse=True)` makes them, with an entry for each occurrence of a row: one that is not
    added up first goes wrong in everything that is not linear. Silently wrong is the worst of the three; an
    error of PyTorch's from the middle of a step, with parameters or states changed already, is little better.
    """
    if subject.sparse:
        raise Skipped("the optimizer takes sparse gradients only")
    if (*subject.shapes[0], 0)[0] < 2:
        raise Skipped("the first of the shapes has no two rows")

    dense, got = subject.start([0]), subject.start([0])
    dense.shape_gradient = lambda _, grad: _rows(grad)
    got.shape_gradient = lambda _, grad: _rows_twice(grad)
    last = subject.steps(3)[-1]
    for k in subject.steps(3):
        dense.step(k)
        before = got.here(k), got.states()
        try:
            got.step(k)
        except Exception as error:
            changed = state_difference(before[0][k, 0], got.here(k)[k, 0], "the parameter")
            changed = changed or state_difference(before[1], got.states(), "the state")
            return _refusal(error, changed)
    demand_same_path(
        dense.here(last),
        got.here(last),
        "Expected a sparse gradient to give the step of the same gradient made dense. Add up its "
        "entries first (`grad.coalesce()`), treat missing rows as zeros, or refuse it in words.",
        subject.tolerance,
    )
    return "works, equal to dense"


_REFUSAL = 200
"""The most characters of a refusal; PyTorch's error on a missing sparse operator lists every backend."""


def _refusal(error: Exception, changed: str | None) -> str:
    """Return the remark on an optimizer that refuses sparse gradients on purpose; any other error fails."""
    kind, words = type(error).__name__, str(error).rstrip(".:")
    text = f"{kind}: {words}" if words else f"{kind} without a word"
    asked = "sparse" in words.lower() and "grad" in words.lower() and len(words) <= _REFUSAL
    advice = (
        'Refuse it before anything changes: `if p.grad.is_sparse: raise RuntimeError("… does not support '
        'sparse gradients")`.'
    )
    if not asked:
        got = text if len(text) <= _REFUSAL else f"{text[:_REFUSAL]}…"
        raise Failed(
            "Expected a sparse gradient to work, or to be refused with a short error about sparse "
            f"gradients; got {got}. {advice}"
        ) from error
    if changed is not None:
        raise Failed(f"Refused ({text}), but after a change: {changed}. {advice}") from error
    if not isinstance(error, RuntimeError):
        return f"refused: {text} (PyTorch's own raise a RuntimeError, which callers may catch)"
    return f"refused: {text}"


def _rows(grad: Tensor) -> Tensor:
    """Keep two of the four rows, as a batch of an embedding does."""
    return torch.cat([grad[:2], torch.zeros_like(grad[2:])])


def _rows_twice(grad: Tensor) -> Tensor:
    """Return the same as a sparse tensor in which one row comes in two parts."""
    part = 0.25 * grad[:1]
    values = torch.cat([part, grad[1:2], grad[:1] - part])
    return torch.sparse_coo_tensor(torch.tensor([[0, 1, 0]]), values, grad.shape)


def zero_grad(subject: Subject) -> None:
    """`zero_grad()` drops gradients, `zero_grad(set_to_none=False)` zeroes them, and nothing else changes.

    Training loops trust both.
    """
    trial = subject.start()
    trial.run(range(2))
    value, state = trial.here(0), trial.states()
    trial.optimizer.zero_grad()
    left = [i for i, p in trial.params.items() if p.grad is not None]
    demand(
        not left, f"Expected zero_grad() to set .grad to None; parameters {left} still have one."
    )
    trial.closure(2)()
    grads = {i: p.grad for i, p in trial.params.items()}
    trial.optimizer.zero_grad(set_to_none=False)
    for i, p in trial.params.items():
        kept = p.grad is grads[i] and p.grad is not None and not bool(p.grad.to_dense().any())
        demand(
            kept,
            f"Expected zero_grad(set_to_none=False) to zero the gradient of parameter {i} in place.",
        )
    demand_same_path(value, trial.here(0), "Expected zero_grad to leave the parameters alone.")
    changed = state_difference(state, trial.states(), "the state")
    demand(changed is None, f"Expected zero_grad to leave the state alone, but {changed}.")
