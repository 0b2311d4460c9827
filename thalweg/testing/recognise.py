"""Finding out how an optimizer is to be run: with which shapes, gradients and calls."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.optim import Optimizer

from thalweg.testing.subject import MATRICES, Shape, Subject

_DTYPE = re.compile(r"\bdtype\b|scalar type|\b(Double|Float|float64|float32)\b")
_OWN = (str(Path(__file__).parent), str(Path(torch.__file__).parent))


def recognise(
    subject: Subject, needs_closure: bool | None, shapes: Sequence[Shape] | None
) -> tuple[str, Subject | str]:
    """Return the name of the optimizer's class, and the subject as it can be run.

    Only what an optimizer refuses on purpose changes how it is run. In place of a subject comes the error of
    one that cannot be run.
    """
    name = getattr(subject.factory, "__name__", "the optimizer")
    try:
        if shapes is not None:
            subject = subject.with_shapes(shapes)
        subject, optimizer = _made(subject, may_fall_back=shapes is None)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "The factory has to return a torch.optim.Optimizer, got "
                f"{type(optimizer).__name__}: {optimizer!r}."
            )
        name = type(optimizer).__name__
        if needs_closure is not None:
            subject = replace(subject, needs_closure=needs_closure)
        return name, _stepped(subject, needs_closure, shapes is not None)
    except _Unusable as unusable:
        return name, str(unusable)


class _Unusable(Exception):  # noqa: N818
    """The optimizer cannot be made, or cannot step; says why."""


def _made(subject: Subject, may_fall_back: bool) -> tuple[Subject, Optimizer]:
    try:
        return subject, subject.start().optimizer
    except Exception as error:
        if may_fall_back and isinstance(error, ValueError):
            note = f"run on matrices only, since it refuses other shapes ({error})"
            matrices = replace(subject, shapes=MATRICES, notes=(*subject.notes, note))
            try:
                return matrices, matrices.start().optimizer
            except Exception as again:
                error = again
        raise _Unusable(
            f"factory(params) raised {describe_error(error)}. It is called with a list of three parameters "
            f"of shapes {', '.join(map(str, subject.shapes))}; give shapes=[...] if it takes others."
        ) from error


def _stepped(subject: Subject, needs_closure: bool | None, fixed_shapes: bool) -> Subject:
    """Return the subject after it has taken a step, changed where it refuses the usual one."""
    for _ in range(5):
        try:
            subject.start().step(0)
        except Exception as error:
            changed = _changed(subject, error, needs_closure, fixed_shapes)
            if changed is None:
                call = "step(closure)" if subject.needs_closure else "step()"
                raise _Unusable(
                    f"The first {call} raised {describe_error(error)}. {_advice(error)}"
                ) from error
            subject = changed
        else:
            break
    return subject


def _advice(error: Exception) -> str:
    if "does not require grad" in str(error) or "create_graph" in str(error):
        return (
            "An optimizer that differentiates gradients needs backward(create_graph=True), which this kit "
            "does not call; one that evaluates a closure has to do so under torch.enable_grad()."
        )
    return (
        "Give needs_closure=True if it has to be called with a closure, and shapes=[...] if it takes certain "
        "shapes only."
    )


def _changed(
    subject: Subject, error: Exception, needs_closure: bool | None, fixed_shapes: bool
) -> Subject | None:
    """Return the subject with the change that the refusal of the usual step asks for, or None."""
    text = str(error).lower()
    if "train" in text and not subject.trains and callable(_method(subject, "train")):
        note = f"put into train mode first, since step() raised {type(error).__name__}: {error}"
        return replace(subject, trains=True, notes=(*subject.notes, note))
    asks_closure = isinstance(error, TypeError) or "closure" in text
    if asks_closure and needs_closure is None and not subject.needs_closure:
        note = f"called with a closure, since step() raised {type(error).__name__}: {error}"
        return replace(subject, needs_closure=True, notes=(*subject.notes, note))
    if isinstance(error, RuntimeError) and "dense" in text and not subject.sparse:
        note = f"run with sparse gradients, since it refuses others ({error})"
        return replace(subject, sparse=True, notes=(*subject.notes, note))
    if isinstance(error, ValueError) and not fixed_shapes and subject.shapes != MATRICES:
        note = f"run on matrices only, since it refuses other shapes ({error})"
        return replace(subject, shapes=MATRICES, notes=(*subject.notes, note))
    if subject.dtype == torch.float64 and _DTYPE.search(str(error)):
        note = f"run in float32, since it does not take float64 ({error})"
        return replace(subject, dtype=torch.float32, notes=(*subject.notes, note))
    return None


def _method(subject: Subject, name: str) -> object:
    return getattr(subject.start().optimizer, name, None)


def describe_error(error: Exception) -> str:
    """Return the type and the text of an error, and where outside of PyTorch and this kit it was raised."""
    text = f"{type(error).__name__}: {error}".strip().rstrip(".:")
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OWN)]
    if not theirs:
        return text
    frame = theirs[-1]
    return f"{text} ({Path(frame.filename).name}:{frame.lineno}, in {frame.name})"
