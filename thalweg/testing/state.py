"""Checks on state: checkpoints, copies, repeatability."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import re
import sys
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.testing.compare import (
    Path,
    demand,
    demand_same_path,
    snapshot,
    state_difference,
    state_tensors,
)
from thalweg.testing.recognise import describe_error
from thalweg.testing.result import Failed, Skipped
from thalweg.testing.subject import OptimizerRun, Subject


def _through_file(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state after a save and a load that unpickles nothing."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError as error:
        raise Failed(
            f"Expected torch.load(weights_only=True) to read the state_dict; it refuses {_refused(error)}. "
            "Keep only tensors, numbers, strings, lists and dicts in state and param_groups."
        ) from error
    return loaded


def _refused(error: pickle.UnpicklingError) -> str:
    """Return what a load that unpickles nothing stumbled over, without the advice around it."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"an object of {found[1]}" if found else str(error).splitlines()[0].rstrip(". ")


def _resumed(trial: OptimizerRun) -> OptimizerRun:
    """Return a new run, with a new optimizer, that goes on from here."""
    subject = trial.subject
    twin = subject.start(trial.params, values=trial.params)
    twin.optimizer.load_state_dict(_through_file(trial.optimizer.state_dict()))
    return twin


def resume(subject: Subject) -> None:
    """A run resumed from its `state_dict` in the middle continues bit by bit, without pickle.

    What is kept in an attribute (`self.k`), in a Python number that rounds, or in a group that
    `load_state_dict` replaces, is lost when a run is resumed; weeks later nobody knows why the curve has a
    kink.
    """
    trial = subject.start()
    if trial.lr is not None:
        trial.set_lr(float(trial.lr) / 2)
    trial.run(subject.steps(4))
    twin, uncast = _resumed(trial), _resumed(trial)
    cast = _undo_casts(trial, uncast)
    changed = state_difference(trial.states(), uncast.states(), "the state")
    demand(changed is None, f"After load_state_dict, {changed}.")
    begun = subject.steps(4).stop
    later = range(begun, begun + 4)
    expected = trial.run(later)
    message = (
        f"Expected a new optimizer that loaded the state_dict after step {begun} to continue bit by bit. "
        "Everything that a step reads and writes belongs into state[p] or the group."
    )
    try:
        demand_same_path(expected, twin.run(later), message)
    except Failed:
        if cast is None:
            raise
        demand_same_path(expected, uncast.run(later), message)
        reason = f"continues bit by bit but for what load_state_dict casts ({cast})"
        raise Skipped(f"{reason}: see `state_dtype`") from None


def _undo_casts(trial: OptimizerRun, twin: OptimizerRun) -> str | None:
    """Give loaded states the dtypes they were saved in; return what the first cast was."""
    first = None
    for i, p in twin.params.items():
        saved, loaded = trial.state(i), twin.optimizer.state.get(p, {})
        for name, before in saved.items():
            pairs = zip(state_tensors(before), state_tensors(loaded.get(name)), strict=False)
            cast = [(a.dtype, b.dtype) for a, b in pairs if a.dtype != b.dtype]
            if cast:
                first = first or f"state[p][{name!r}] from {cast[0][0]} to {cast[0][1]}"
                loaded[name] = snapshot(before)
    return first


def state_dtype(subject: Subject) -> str | None:
    """Loading a state keeps each tensor's dtype and values, whatever the dtype of the parameters.

    `torch.optim.Optimizer.load_state_dict` casts states to the dtype of their parameter: a float32 average
    over bfloat16 parameters loses 16 bits at every resume, unless the class prevents it.
    """
    kept = set()
    for dtype in (torch.bfloat16, torch.float32):
        trial = subject.with_dtype(dtype).start()
        trial.run(subject.steps(3))
        states = trial.states()
        kept |= {v.dtype for s in states.values() for v in s.values() if isinstance(v, Tensor)}
        changed = state_difference(states, _resumed(trial).states(), "the state")
        demand(
            changed is None,
            f"With {dtype} parameters, after load_state_dict {changed}. Override load_state_dict and put "
            "the saved tensors back in their own dtype.",
        )
    if not kept:
        raise Skipped("there are no tensors in the state")
    return None


def _demand_independent(trial: OptimizerRun, twin: OptimizerRun) -> None:
    """Fail unless a copy of an optimizer runs like the original, and each leaves the other alone."""
    before, states = trial.here(0), trial.states()
    begun = trial.subject.steps(3).stop
    later = range(begun, begun + 3)
    try:
        ahead = twin.run(later)
    except AttributeError as error:
        raise Failed(
            f"The copy raised {describe_error(error)}. torch.optim.Optimizer.__getstate__ copies defaults, "
            "state and param_groups only: keep options in the group, or extend __getstate__ and __setstate__."
        ) from error
    advice = (
        "Leave __getstate__, __setstate__ and __deepcopy__ to torch.optim.Optimizer, or copy all."
    )
    demand_same_path(
        before,
        trial.here(0),
        f"Expected steps of the copy to leave the original's parameters alone. {advice}",
    )
    changed = state_difference(states, trial.states(), "the original's state")
    demand(changed is None, f"After steps of the copy, {changed}. {advice}")
    demand_same_path(
        trial.run(later),
        ahead,
        f"Expected the copy to take the steps that the original takes. {advice}",
    )


def deepcopied(subject: Subject) -> None:
    """`copy.deepcopy` of parameters and optimizer gives one that runs alike and independently.

    Learning-rate finders, populations and tests copy optimizers. One that holds references besides
    `param_groups` (views, hooks, cached lists) steps the original's parameters from the copy.
    """
    trial = subject.start()
    trial.run(subject.steps(3))
    params, optimizer = copy.deepcopy((trial.params, trial.optimizer))
    twin = OptimizerRun(subject, trial.quadratics, params, optimizer)
    _demand_independent(trial, twin)


def pickled(subject: Subject) -> None:
    """Parameters and optimizer that were pickled together run alike and independently.

    Distributed launchers send optimizers to other processes this way.
    """
    trial = subject.start()
    cls = type(trial.optimizer)
    if _is_local(cls):
        raise Skipped(f"pickle finds only classes of modules, and {cls.__qualname__} is not in one")
    demand(
        _is_importable(cls),
        f"The class says that it is {cls.__module__}.{cls.__qualname__}, and is not: pickle cannot find it. "
        "Set __module__ and __qualname__ of a class that is made by a function.",
    )
    trial.run(subject.steps(3))
    params, optimizer = pickle.loads(pickle.dumps((trial.params, trial.optimizer)))  # noqa: S301
    _demand_independent(trial, OptimizerRun(subject, trial.quadratics, params, optimizer))


def _is_local(cls: type[Optimizer]) -> bool:
    """Whether a class was made inside a function, or typed in and not read from a file."""
    functions = [inspect.unwrap(f) for f in vars(cls).values() if inspect.isfunction(f)]
    typed_in = any(f.__code__.co_filename.startswith("<") for f in functions)
    return typed_in or "<locals>" in cls.__qualname__


def _is_importable(cls: type[Optimizer]) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls


def determinism(subject: Subject) -> None:
    """The same run on the same tensors gives the same bits, also while another optimizer of its class works.

    State in a class attribute, a default argument or a global couples optimizers that know nothing of each
    other (a generator and a discriminator). Before each step the generators of PyTorch, Python
    and NumPy are seeded alike.
    """
    expected = subject.start().run(subject.steps(4))
    again, other = subject.start(), subject.start()
    other.sign = -1.0
    got: Path = {}
    for k in subject.steps(4):
        other.step(k)
        got |= again.run([k])
    demand_same_path(
        expected,
        got,
        "Expected a second run, beside another optimizer of the same class, to repeat the first bit by "
        "bit. Keep state in self.state, and draw random numbers from torch's generator or a seeded one.",
    )
    demand(
        subject.repeatable, "Two equal runs, one after the other, differ. Keep state in self.state."
    )
