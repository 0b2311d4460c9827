"""What printed functions call: PyTorch's functions on lists of tensors, and loops over lists.

On the CPU PyTorch's functions on lists are loops, and a number costs such a loop more than a tensor that
holds it. Elsewhere a number is an argument of the kernel, while a tensor of the CPU would have to be copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.engine.foreach.nodes import BINARY, UNARY
from thalweg.engine.foreach.stacks import Stacks
from thalweg.engine.matrix.printed import functions_of
from thalweg.engine.program.noise import normal
from thalweg.engine.program.ops import TENSOR


class Place(Protocol):
    """What functions ask about the tensors that they are called for: a part of a batch."""

    device: torch.device
    dtype: torch.dtype
    """In which elements are computed."""
    wide: torch.dtype
    """In which reductions are computed."""
    ordinals: list[int]

    @property
    def unit_counts(self) -> list[int]:
        """How many units each tensor has."""

    @property
    def unit_shapes(self) -> list[tuple[int, ...]]:
        """The shape in which a number for each unit meets its tensor."""

    @property
    def tensor_of_unit(self) -> Tensor:
        """Which tensor each unit belongs to."""

    @property
    def stacks(self) -> Stacks:
        """Its tensors as stacks of matrices."""


Lists = list[Tensor] | tuple[Tensor, ...]

_FUSED = ("addcmul", "addcdiv")


def foreach_functions() -> dict[str, Callable[..., Any]]:
    """Return PyTorch's functions on lists, each as it is and in place (with an underscore)."""
    names = [each for name in (*UNARY, *BINARY, *_FUSED) for each in (name, f"{name}_")]
    found = {f"list_{name}": getattr(torch, f"_foreach_{name}") for name in names}
    return {**found, "list_copy_": torch._foreach_copy_}


# -- numbers --------------------------------------------------------------------------------------------


def fitted(x: Any, dtype: torch.dtype) -> Any:
    """Return a plain number as a dtype has it: what is too large for it is infinite."""
    if isinstance(x, bool):
        return x
    most, plain = torch.finfo(dtype).max, float(x)
    return plain if -most <= plain <= most or plain != plain else math.copysign(math.inf, plain)


def scalar_on_cpu(part: Place, x: float) -> Tensor:
    """Return a number as what multiplies a list."""
    return torch.tensor(x, dtype=part.dtype, device="cpu")


def scalar_elsewhere(part: Place, x: float) -> float:
    """Return a number as what multiplies a list."""
    return x


def shift_on_cpu(xs: Lists, x: Tensor) -> Lists:
    """Add a number to a list."""
    return torch._foreach_add(xs, [x] * len(xs))


def shift_on_cpu_(xs: Lists, x: Tensor) -> None:
    """Add a number to a list, in place."""
    torch._foreach_add_(xs, [x] * len(xs))


def number(part: Place, x: Any) -> Tensor:
    """Return a number on the device, as elements are computed."""
    if isinstance(x, bool):
        return torch.full((), x, dtype=torch.bool, device=part.device)
    return torch.full((), fitted(x, part.dtype), dtype=part.dtype, device=part.device)


def lift(part: Place, x: Any) -> Tensor:
    """Return a number on the device, as reductions are computed."""
    dtype = torch.bool if isinstance(x, bool) else part.wide
    return torch.full((), x, dtype=dtype, device=part.device)


# -- from a number for each tensor or unit to lists ------------------------------------------------------


def one(part: Place, x: Tensor) -> Tensor:
    """Return one number for all, as elements are computed."""
    return x if x.dtype == torch.bool else x.to(part.dtype)


def of_tensors(part: Place, x: Tensor) -> list[Tensor]:
    """Return a vector over tensors as a list."""
    return list(one(part, x).unbind())


def of_stacks(part: Place, x: Tensor) -> list[Tensor]:
    """Return a vector over tensors as a list of numbers for matrices."""
    return part.stacks.of_tensors(one(part, x))


def of_units(part: Place, x: Tensor) -> list[Tensor]:
    """Return a vector over units as a list, each shaped so that it meets its tensor."""
    pieces = torch.split(one(part, x), part.unit_counts)
    return [piece.view(s) for piece, s in zip(pieces, part.unit_shapes, strict=True)]


def at_units(part: Place, x: Tensor) -> Tensor:
    """Return a vector over tensors as one over units."""
    return x.index_select(0, part.tensor_of_unit)


# -- reductions -----------------------------------------------------------------------------------------


def _stacked(part: Place, xs: Lists) -> Tensor:
    return torch.stack(list(xs)).to(part.wide)


def sums(part: Place, xs: Lists) -> Tensor:
    """Return the sum of each tensor."""
    return _stacked(part, [torch.sum(x) for x in xs])


def squares_on_cpu(part: Place, xs: Lists) -> Tensor:
    """Return the sum of squares of each tensor; the norms of the CPU add up in float32, one by one."""
    return _stacked(part, [torch.sum(x * x) for x in xs])


def squares_elsewhere(part: Place, xs: Lists) -> Tensor:
    """Return the sum of squares of each tensor."""
    norms = _stacked(part, torch._foreach_norm(xs))
    return norms * norms


def maxima(part: Place, xs: Lists) -> Tensor:
    """Return the largest element of each tensor, −∞ of an empty one."""
    return _stacked(part, [x.max() if x.numel() else x.new_full((), -math.inf) for x in xs])


def unit_sums(part: Place, xs: Lists) -> Tensor:
    """Return the sum of each unit."""
    return _by_unit(part, xs, lambda x: x.sum(1))


def unit_maxima(part: Place, xs: Lists) -> Tensor:
    """Return the largest element of each unit."""
    return _by_unit(
        part, xs, lambda x: x.amax(1) if x.numel() else x.new_full(x.shape[:1], -math.inf)
    )


def _by_unit(part: Place, xs: Lists, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    counts = part.unit_counts
    rows = [x.reshape(n, x.numel() // n if n else 0) for x, n in zip(xs, counts, strict=True)]
    return torch.cat([reduce(x) for x in rows]).to(part.wide)


# -- one by one -----------------------------------------------------------------------------------------


def widened(part: Place, xs: Lists) -> list[Tensor]:
    """Return copies with the precision in which half precision is computed."""
    wide = [torch.empty_like(x, dtype=part.dtype, requires_grad=False) for x in xs]
    torch._foreach_copy_(wide, list(xs))
    return wide


def filled(part: Place, xs: Lists, value: Any) -> list[Tensor]:
    """Return lists like another, of one number."""
    dtype = torch.bool if isinstance(value, bool) else part.dtype
    number = fitted(value, part.dtype)
    return [torch.full_like(x, number, dtype=dtype, requires_grad=False) for x in xs]


def spread(part: Place, xs: Lists, values: Lists) -> list[Tensor]:
    """Return lists like another, of a number for each tensor or unit."""
    return [
        v.expand(x.shape).clone(memory_format=torch.contiguous_format)
        for x, v in zip(xs, values, strict=True)
    ]


def noises(part: Place, like: Lists, seed: Any, t: Any, draw: int) -> list[Tensor]:
    """Return the noise of each tensor; seed and step are numbers, or lists of them."""
    n = len(like)
    seeds = seed if isinstance(seed, list) else [seed] * n
    steps = t if isinstance(t, list) else [t] * n
    drawn = zip(seeds, steps, part.ordinals, like, strict=True)
    return [normal(s, u, ordinal, x, draw) for s, u, ordinal, x in drawn]


def copies(xs: Lists) -> list[Tensor]:
    """Return copies of tensors."""
    return [x.clone() for x in xs]


_OWN: Mapping[str, Callable[..., Any]] = {
    "number": number,
    "lift": lift,
    "one": one,
    "of_tensors": of_tensors,
    "of_stacks": of_stacks,
    "of_units": of_units,
    "at_units": at_units,
    "sums": sums,
    "maxima": maxima,
    "unit_sums": unit_sums,
    "unit_maxima": unit_maxima,
    "widened": widened,
    "filled": filled,
    "spread": spread,
    "noises": noises,
    "copies": copies,
}


def functions(on_cpu: bool) -> dict[str, Any]:
    """Return what a printed function calls."""
    on_lists = foreach_functions()
    own = {**functions_of(()), **_OWN, "where": torch.where}
    named: dict[str, Any] = {**TENSOR, **on_lists, **own}
    if on_cpu:
        shifts = {"list_shift": shift_on_cpu, "list_shift_": shift_on_cpu_}
        return {**named, **shifts, "scalar": scalar_on_cpu, "squares": squares_on_cpu}
    plain = {"list_shift": on_lists["list_add"], "list_shift_": on_lists["list_add_"]}
    return {**named, **plain, "scalar": scalar_elsewhere, "squares": squares_elsewhere}
