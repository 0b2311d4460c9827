"""Checks on the call of `step`: closures, hooks, gradient scaling, autograd."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import torch
from torch import Tensor

from thalweg.testing.compare import Path, demand, demand_same_path, same, state_difference
from thalweg.testing.result import Failed, Skipped
from thalweg.testing.subject import Subject, seed


def closure(subject: Subject) -> str:
    """`step(closure)` evaluates the closure with gradients enabled and returns its loss.

    Lightning and others always pass a closure. For an optimizer that evaluates it once, `step(closure)`
    equals a backward pass and `step()`, and `step(None)` is `step()`.
    """
    trial = subject.start()
    enabled: list[bool] = []
    losses: list[float] = []
    path: Path = {}
    for k in subject.steps(3):
        evaluate = trial.closure(k)

        def recorded() -> Tensor:
            enabled.append(torch.is_grad_enabled())
            with torch.enable_grad():
                loss = evaluate()  # noqa: B023 (called before the loop goes on)
            losses.append(float(loss))
            return loss

        enabled.clear()
        losses.clear()
        seed(k)
        if subject.needs_closure:
            recorded()
        before = len(losses)
        returned: Any = trial.optimizer.step(recorded)  # type: ignore[arg-type]
        demand(len(losses) > before, "step(closure) did not call the closure.")
        demand(
            all(enabled),
            "The closure ran with gradients disabled. Write `with torch.enable_grad(): loss = closure()`.",
        )
        demand(
            returned is not None and float(returned) in losses[before:],
            f"Expected step(closure) to return the closure's loss ({losses[-1]:g}), got {returned!r}.",
        )
        path |= trial.here(k)
    evaluations = len(losses) - before
    if subject.needs_closure or evaluations > 1:
        return f"the closure is evaluated {evaluations} times in a step"
    plain_path = subject.start().run(subject.steps(3))
    try:
        demand_same_path(
            plain_path, path, "Expected step(closure) to equal a backward pass and step()."
        )
    except Failed:
        if not _uses_the_loss(subject):
            raise
        return "the step depends on the loss that the closure returns, so step() is another one"
    plain, none = subject.start([0]), subject.start([0])
    for one in (plain, none):
        one.closure(0)()
        seed(0)
        one.optimizer.step(*([None] if one is none else []))
    demand_same_path(plain.here(0), none.here(0), "Expected step(None) to equal step().")
    return ""


def _uses_the_loss(subject: Subject) -> bool:
    """Whether another loss with the same gradients gives another run: Polyak's step size reads it."""
    ends: list[Path] = []
    for shift in (0.0, 1.0):
        trial = subject.start()
        for k in subject.steps(3):
            evaluate = trial.closure(k)

            def shifted() -> Tensor:
                return evaluate() + shift  # noqa: B023 (called before the loop goes on)

            seed(k)
            trial.optimizer.step(shifted)  # type: ignore[arg-type]
        ends.append(trial.here(0))
    return any(not same(p, ends[1][key]) for key, p in ends[0].items())


def closure_released(subject: Subject) -> None:
    """After the step nothing of the closure is kept.

    A closure holds the batch and the graph of the loss: an optimizer that stores it keeps them in memory
    until the next step.
    """
    trial = subject.start()
    evaluate = trial.closure(0)
    trial.closure(0)()
    trial.optimizer.step(evaluate)  # type: ignore[arg-type]
    alive = weakref.ref(evaluate)
    del evaluate
    if alive() is not None:
        gc.collect()
    demand(
        alive() is None,
        "The closure is still referenced after step(closure) returned. Do not store it in self or state.",
    )


def step_hooks(subject: Subject) -> None:
    """Hooks on `step` run once a step, before and after the update, until they are removed.

    Profilers, loggers and averages of weights hang on `register_step_pre_hook` and `register_step_post_hook`.
    """
    trial = subject.start()
    seen: list[tuple[str, Any]] = []
    start = trial.here(0)
    handles = [
        trial.optimizer.register_step_pre_hook(lambda *_: seen.append(("pre", trial.here(0)))),
        trial.optimizer.register_step_post_hook(lambda *_: seen.append(("post", trial.here(0)))),
    ]
    trial.step(0)
    order = [name for name, _ in seen]
    demand(
        order == ["pre", "post"],
        f"Expected one pre-hook and one post-hook in a step, got {order or 'none'}. torch.optim.Optimizer "
        "wraps `step` to run them: define `step` on the class and call `super().__init__`. The `step` "
        "of a parent is wrapped too: call a method of another name, not `super().step()`.",
    )
    demand_same_path(start, seen[0][1], "Expected the pre-hook to see the parameters as they were.")
    demand_same_path(trial.here(0), seen[1][1], "Expected the post-hook to see the new parameters.")
    for handle in handles:
        handle.remove()
    trial.step(1)
    demand(len(seen) == 2, "Expected removed hooks to run no more.")


def grad_scaler(subject: Subject) -> None:
    """Under `torch.amp.GradScaler` steps equal unscaled ones, and one with an infinite gradient is skipped.

    Mixed precision in float16 needs both; a step count that goes on over skipped steps breaks the second.
    """
    if subject.needs_closure:
        raise Skipped("GradScaler takes no closure")
    if subject.sparse:
        raise Skipped("not checked with sparse gradients")
    trial, plain = subject.start(), subject.start()
    expected = plain.run(subject.steps(4))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
    got: Path = {}
    for k in subject.steps(4):
        for broken in (True, False) if k in (0, subject.silent + 2) else (False,):
            seed(k)
            trial.clear()
            loss = torch.stack(
                [trial.quadratics[i].loss(p, k) for i, p in trial.params.items()]
            ).sum()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            before, states = trial.here(k), trial.states()
            if broken:
                _make_infinite(trial.params[0])
            scaler.step(trial.optimizer)
            scaler.update()
            if broken:
                advice = (
                    "A class with `_step_supports_amp_scaling` has to honour `found_inf` itself."
                )
                message = f"Expected a step with an infinite gradient to be skipped. {advice}"
                demand_same_path(before, trial.here(k), message)
                # a state made in a skipped first step is no harm if the run goes on as it should
                changed = state_difference(states, trial.states(), "the state") if k else None
                demand(changed is None, f"In a step that GradScaler skips, {changed}. {advice}")
        got |= trial.here(k)
    demand_same_path(expected, got, "Expected steps under GradScaler to equal unscaled steps.")


def _make_infinite(p: Tensor) -> None:
    assert p.grad is not None
    p.grad.view(-1)[0] = torch.inf


def stale_graph(subject: Subject) -> None:
    """After a step, autograd refuses to go back through a graph that was built before it.

    Autograd notices a changed parameter by its version counter. Writing through `p.data` does not count: the
    backward pass of a stale graph then silently gives a wrong gradient.
    """
    trial = subject.start()
    trial.run(range(subject.silent))
    evaluate = trial.closure(subject.silent)
    evaluate()
    stale = {i: (p * p).sum() for i, p in trial.params.items()}
    versions = {i: p._version for i, p in trial.params.items()}
    if subject.needs_closure:
        trial.optimizer.step(evaluate)  # type: ignore[arg-type]
    else:
        trial.optimizer.step()
    for i, graph in stale.items():
        try:
            graph.backward()  # type: ignore[no-untyped-call]
        except RuntimeError:
            continue
        version = trial.params[i]._version
        demand(
            False,
            f"Expected a RuntimeError from a backward pass through the old value of parameter {i}; autograd "
            f"did not notice the step (version {versions[i]} before, {version} after). Update p in place "
            "under torch.no_grad(), not p.data.",
        )


def autograd_left_alone(subject: Subject) -> None:
    """A step records no graph: parameters stay leaves, states have no history, grad mode stays as it was.

    With `backward(create_graph=True)` the gradient has a history. A state computed of it outside
    `torch.no_grad()` keeps every graph of the run: memory grows until it ends.
    """
    trial = subject.start()
    for k in subject.steps(3):
        evaluate = trial.closure(k)

        def second_order() -> Tensor:
            loss = evaluate()  # noqa: B023 (called before the loop goes on)
            if not subject.sparse:
                for p in trial.params.values():
                    assert p.grad is not None
                    p.grad = p.grad + 0 * p  # a gradient with a history
            return loss

        trial.call(second_order)
        demand(
            torch.is_grad_enabled(), "step() left gradients disabled. Use `with torch.no_grad():`."
        )
    for i, p in trial.params.items():
        demand(
            p.is_leaf and p.requires_grad,
            f"Parameter {i} is no longer a leaf that requires a gradient. Update under torch.no_grad().",
        )
        for name, value in trial.optimizer.state.get(p, {}).items():
            demand(
                not (isinstance(value, Tensor) and value.requires_grad),
                f"state[p][{name!r}] of parameter {i} is part of a graph. Compute under torch.no_grad().",
            )


def in_place(subject: Subject) -> None:
    """A step writes into the parameters: same object, same memory.

    The model, tied layers, averages and other optimizers hold the tensor; a replaced one trains beside the
    model.
    """
    trial = subject.start()
    places = {i: p.data_ptr() for i, p in trial.params.items()}
    trial.run(subject.steps(2))
    mine = {id(p) for group in trial.optimizer.param_groups for p in group["params"]}
    for i, p in trial.params.items():
        demand(
            id(p) in mine,
            f"Parameter {i} is no longer the tensor in param_groups. Keep the tensors that you are given.",
        )
        demand(
            p.data_ptr() == places[i],
            f"Parameter {i} has moved in memory. Write `p.add_(update)`, not `p.data = p + update`.",
        )
        demand(
            not same(trial.quadratics[i].start, p),
            f"Parameter {i} has not changed after {len(subject.steps(2))} steps.",
        )
