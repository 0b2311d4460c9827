"""Snapshots of tensors and states, and comparisons that say where two of them differ."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.testing.result import Failed

Path = dict[tuple[int, int], Tensor]
"""A trajectory: the value of parameter i after step k, by (k, i)."""


def snapshot(value: Any) -> Any:
    """Return a deep copy of a state: tensors cloned, and objects that cannot be copied kept."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple | deque):
        return [snapshot(item) for item in value]
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def state_tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a state."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple | deque):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from state_tensors(item)


def state_difference(expected: Any, got: Any, name: str = "", *, dtypes: bool = True) -> str | None:
    """Return where two states differ, with `dtypes` also in those, or None; a NaN equals a NaN."""
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        if dtypes and expected.dtype != got.dtype:
            return f"{name} has dtype {got.dtype}, expected {expected.dtype}"
        return None if same(expected, got) else f"{name}{_worst_difference(expected, got)}"
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for key in [*expected, *(k for k in got if k not in expected)]:
            inner = f"{name}[{key!r}]"
            if key not in got:
                return f"{inner} is missing"
            if key not in expected:
                return f"{inner} is there, expected none"
            found = state_difference(expected[key], got[key], inner, dtypes=dtypes)
            if found:
                return found
        return None
    if isinstance(expected, _SEQUENCES) and isinstance(got, _SEQUENCES):
        if len(expected) != len(got):
            return f"{name} has {len(got)} entries, expected {len(expected)}"
        pairs = enumerate(zip(expected, got, strict=True))
        found_in = (state_difference(a, b, f"{name}[{k}]", dtypes=dtypes) for k, (a, b) in pairs)
        return next((found for found in found_in if found), None)
    if _is_plain_object(expected) and type(expected) is type(got):
        return state_difference(vars(expected), vars(got), f"{name}'s attributes", dtypes=dtypes)
    return None if _equal(expected, got) else f"{name} is {got!r}, expected {expected!r}"


_SEQUENCES = (list, tuple, deque)


def _is_plain_object(value: Any) -> bool:
    """Whether `==` asks for the same object, so that only its attributes can tell two of them apart."""
    by_identity = getattr(type(value), "__eq__", None) is getattr(object, "__eq__", None)
    return by_identity and hasattr(value, "__dict__") and not callable(value)


def _equal(expected: Any, got: Any) -> bool:
    if expected is got:
        return True
    try:
        equal = expected == got
        return bool(equal.all() if hasattr(equal, "all") else equal)
    except Exception:
        return type(expected) is type(got)  # what cannot be compared does not prove a difference


def same(expected: Tensor, got: Tensor) -> bool:
    """Whether two tensors hold the same values, NaNs where the other has NaNs."""
    return expected.shape == got.shape and bool(_differs(expected, got).logical_not().all())


def _differs(expected: Tensor, got: Tensor) -> Tensor:
    a, b = _dense(expected), _dense(got)
    return (a != b) & ~((a != a) & (b != b))


def _dense(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _near(expected: Tensor, got: Tensor, tolerance: float) -> bool:
    if expected.shape != got.shape:
        return False
    apart = (expected - got).abs() > tolerance * expected.abs().clamp(min=1.0)
    return not bool((_differs(expected, got) & (apart | got.isnan() | expected.isnan())).any())


def rounding(dtype: torch.dtype) -> float:
    """Return the tolerance for runs that may round otherwise.

    50 units of the last place, and in float64 1e-11: differences of sums multiply what rounding does, and no
    broken contract is as small as that.
    """
    return max(50 * torch.finfo(dtype).eps, 1e-11)


def demand(condition: bool, message: str) -> None:
    """Fail the check with the message unless the condition holds."""
    if not condition:
        raise Failed(message)


def demand_same_path(
    expected: Path,
    got: Path,
    message: str,
    tolerance: float = 0.0,
    only: Iterable[int] | None = None,
) -> None:
    """Fail the check at the first step where two trajectories differ.

    The steps and parameters compared are those of `expected`, and of them those in `only`. A value may be
    off by `tolerance` times max(1, |expected|).
    """
    kept = None if only is None else set(only)
    keys = sorted(key for key in expected if kept is None or key[1] in kept)
    for k, i in keys:
        a, b = expected[k, i], got[k, i]
        if not (_near(a, b, tolerance) if tolerance else same(a, b)):
            last = max(
                step for step, index in keys if index == i
            )  # the difference has grown by then
            raise Failed(
                f"{message} But parameter {i} of shape {tuple(a.shape)} differs from step {k + 1} on: after "
                f"step {last + 1} it{_worst_difference(expected[last, i], got[last, i])}."
            )


def _worst_difference(expected: Tensor, got: Tensor) -> str:
    if expected.shape != got.shape:
        return f" has shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    a, b = _dense(expected), _dense(got)
    if same(a, b):
        return " is equal again"
    apart = torch.where(_differs(a, b), (a.double() - b.double()).abs().nan_to_num(torch.inf), -1.0)
    n = int(apart.argmax())
    where = [int(k) for k in torch.unravel_index(torch.tensor(n), a.shape)] if a.ndim else []
    place = f" at {where}" if where else ""
    old, new = a.reshape(-1)[n].item(), b.reshape(-1)[n].item()
    digits = 6 if f"{old:.6g}" != f"{new:.6g}" else 17
    return f" is {new:.{digits}g}{place}, expected {old:.{digits}g}"
