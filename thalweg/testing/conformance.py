"""`check_optimizer`: every check on one optimizer."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from thalweg.errors import suggest
from thalweg.testing.checks import CHECKS, contract, left_out
from thalweg.testing.measure import measured
from thalweg.testing.recognise import describe_error, recognise
from thalweg.testing.result import CheckOutcome, CheckResult, Conformance, Failed, Skipped
from thalweg.testing.subject import Factory, Shape, Subject

_FIRST = "first_steps"


def check_optimizer(
    factory: Factory,
    *,
    skip: Collection[str] | Mapping[str, str] = (),
    only: Collection[str] | None = None,
    dtype: torch.dtype = torch.float64,
    couples: bool = False,
    needs_closure: bool | None = None,
    shapes: Sequence[Shape] | None = None,
) -> Conformance:
    """Check that an optimizer keeps the contracts of `torch.optim`, by running it on small problems.

    Every check is a function in `thalweg.testing.CHECKS`, whose docstring says what it demands and why. An
    exception inside the optimizer is a failure of the check that met it. Everything runs on the CPU, in less
    than a second; the global random state comes back as it was.

    Args:
        factory: makes the optimizer of what `torch.optim` takes as `params` (a list of parameters or of
            groups), with a learning rate around 0.01; the class itself if it has a default.
        skip: names of checks to leave out, or a dict from names to reasons.
        only: names of the checks to run, by default all.
        dtype: of the parameters. In float64 rounding hides nothing.
        couples: say True if the update of a tensor depends on other tensors by design: a norm over all of
            them, one line search. The checks that compare with separate optimizers are skipped then. Of an
            optimizer that draws random numbers this is assumed.
        needs_closure: whether `step` has to be given a closure; by default found out.
        shapes: the shapes of three parameters, by default a matrix, a vector and a convolution's kernel, or
            three matrices where the factory refuses those with a ValueError.

    Raises:
        ValueError: a name in `skip` or `only` that no check has.
        TypeError: the factory cannot be called, or returned something that is not an optimizer.

    >>> import torch
    >>> from thalweg.testing import check_optimizer
    >>> class SignDescent(torch.optim.Optimizer):
    ...     def __init__(self, params, lr=0.01, weight_decay=0.1):
    ...         super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
    ...
    ...     @torch.no_grad()
    ...     def step(self, closure=None):
    ...         loss = None if closure is None else torch.enable_grad()(closure)()
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.mul_(1 - group["lr"] * group["weight_decay"])
    ...                 if p.grad is not None:
    ...                     p.sub_(group["lr"] * p.grad.sign())
    ...         return loss
    >>> found = check_optimizer(SignDescent)
    >>> found.ok
    False
    >>> [result.name for result in found.failed]
    ['none_gradient', 'late_gradient']
    >>> print(found["none_gradient"].contract)
    A parameter whose gradient is None keeps its value and its state.

    `print(found)` shows all verdicts; `found.raise_for_failures()` is the line for a test.
    """
    reasons = (
        dict(skip) if isinstance(skip, Mapping) else dict.fromkeys(skip, "left out by the caller")
    )
    _demand_callable(factory)
    for name in [*reasons, *(only or ())]:
        if name not in CHECKS:
            raise ValueError(f"There is no check called {name!r}.{suggest(name, CHECKS)}")
    chosen = [name for name in CHECKS if only is None or name in only]
    with _sandbox():
        optimizer, found = recognise(
            Subject(factory, dtype, couples=couples), needs_closure, shapes
        )
        if isinstance(found, Subject):
            found = measured(found)
    if isinstance(found, str):
        return Conformance(optimizer, _unusable(found, chosen))
    results = [_skipped(n, reasons[n]) if n in reasons else _run(n, found) for n in chosen]
    return Conformance(optimizer, results, found.notes)


def _demand_callable(factory: object) -> None:
    if callable(factory):
        return
    got = "None" if factory is None else f"an instance of {type(factory).__name__}"
    raise TypeError(
        "check_optimizer makes the optimizer itself, for every run. Give the class, or a function of "
        f"params, such as lambda params: torch.optim.Adam(params, lr=0.01); got {got}."
    )


def _unusable(error: str, chosen: Sequence[str]) -> list[CheckResult]:
    """Return the results for an optimizer that cannot be made or called: one failure says why."""
    rest = [_skipped(name, "the optimizer cannot be run") for name in chosen if name != _FIRST]
    return [CheckResult(_FIRST, "fail", error, contract(_FIRST)), *rest]


def _skipped(name: str, reason: str) -> CheckResult:
    return CheckResult(name, "skip", reason, contract(name))


@contextmanager
def _sandbox() -> Iterator[None]:
    """Keep a check's random numbers, warnings and modes from the caller.

    In PyTorch's deterministic mode `torch.empty` returns NaNs: a state that is read before it is written
    always fails, and not by the luck of what the memory held.
    """
    mode = torch.get_deterministic_debug_mode()
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        torch.set_deterministic_debug_mode("warn")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            random.setstate(python)
            np.random.set_state(numpy)


def _run(name: str, subject: Subject) -> CheckResult:
    reason = left_out(name, subject)
    if reason is not None:
        return _skipped(name, reason)
    outcome: CheckOutcome = "pass"
    with _sandbox():
        try:
            detail = CHECKS[name](subject) or ""
        except Skipped as reason:
            outcome, detail = "skip", str(reason)
        except Failed as failure:
            outcome, detail = "fail", str(failure)
        except Exception as error:
            outcome, detail = "fail", f"The optimizer raised {describe_error(error)}"
    return CheckResult(name, outcome, detail, contract(name))
