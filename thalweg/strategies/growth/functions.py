"""What a function between layers does with units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.objective.nested import mapped, tensors_in
from thalweg.strategies.growth.modules import on_places
from thalweg.strategies.growth.units import ALONE, Units

IdsOf = Callable[[Tensor], Tensor]

_BY_ELEMENTS = """
relu relu6 leaky_relu elu celu selu gelu silu mish tanh sigmoid softplus softsign logsigmoid hardtanh
hardswish hardsigmoid dropout dropout1d dropout2d dropout3d feature_dropout clamp clamp_min clamp_max abs
neg positive exp expm1 log log1p sqrt rsqrt square pow sin cos erf sign round floor reciprocal add sub rsub
mul div true_divide multiply divide subtract maximum minimum lerp addcmul addcdiv where iadd isub imul
itruediv radd rmul truediv rtruediv rpow ipow to float double half bfloat16 type clone contiguous detach
nan_to_num
"""
_BY_MOVING = """
view view_as reshape reshape_as flatten unflatten ravel permute transpose swapaxes movedim moveaxis t squeeze
unsqueeze getitem select narrow index_select chunk split split_with_sizes tensor_split unbind cat concat
concatenate stack hstack vstack dstack expand expand_as repeat broadcast_to tile flip roll pixel_shuffle
pixel_unshuffle channel_shuffle adjoint
"""
_BY_PLACES = """
avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate upsample pad
"""
_ELEMENTWISE = frozenset(_BY_ELEMENTS.split())
_MOVING = frozenset(_BY_MOVING.split())
"""Functions that move numbers and leave them as they are."""
_ON_PLACES = frozenset(_BY_PLACES.split())
_MEANS = frozenset({"mean", "sum", "amax", "amin", "var", "std"})
_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "data", "real"})


def name_of(function: Any) -> str:
    """Return what a function is called, without the underscores of the forms that work in place.

    >>> name_of(torch.Tensor.__iadd__), name_of(torch.nn.functional.relu_)
    ('iadd', 'relu')
    """
    return str(getattr(function, "__name__", function)).strip("_")


def after(
    function: Any, args: Any, kwargs: dict[str, Any], result: Any, ids_of: IdsOf, units: Units
) -> Any:
    """Return the ids of what a function gives, in the structure of its result; None where there are none."""
    name = name_of(function)
    made = [t for t in tensors_in(result) if t.ndim]
    if not made:
        return None
    given = [t for t in tensors_in((args, kwargs)) if t.ndim]
    if name in _ELEMENTWISE and len(made) == 1 and result is made[0]:
        return _one_by_one(name, given, made[0], ids_of, units)
    found = None
    if name in _MOVING or (name == "get" and _attribute(function) in _ATTRIBUTES):
        found = _moved(function, args, kwargs, ids_of)
    elif name in _MEANS:
        found = _mean(args, kwargs, ids_of)
    elif name in _ON_PLACES and len(made) == 1 and given:
        found = on_places(ids_of(given[0]), tuple(made[0].shape))
    if found is None:
        for tensor in given:
            units.hold(ids_of(tensor), f"the function {name!r} behind it may mix its units")
    return found


def _attribute(function: Any) -> str:
    return str(getattr(getattr(function, "__self__", None), "__name__", ""))


def _moved(function: Any, args: Any, kwargs: dict[str, Any], ids_of: IdsOf) -> Any:
    """Let a function that only moves numbers move their ids; integers say where to."""

    def replaced(tensor: Tensor) -> Tensor:
        return ids_of(tensor).contiguous() if tensor.is_floating_point() else tensor

    try:
        return function(*mapped(args, replaced), **mapped(kwargs, replaced))
    except (RuntimeError, TypeError):  # not for integers
        return None


def _one_by_one(
    name: str, given: list[Tensor], result: Tensor, ids_of: IdsOf, units: Units
) -> Tensor:
    """Return the ids of a result each element of which comes of the same elements of what was given."""
    shape, what = result.shape, f"the function {name!r} behind it"
    found = torch.zeros((), dtype=torch.long).expand(shape)
    for tensor in given:
        ids = ids_of(tensor).broadcast_to(shape)
        if bool(ids.any()):
            found = units.joined(found, ids, what) if bool(found.any()) else ids
    for tensor in given:
        if not bool(ids_of(tensor).any()) and _varies_with(found, tensor):
            units.hold(found, f"{what} {ALONE}")
    return found


def _varies_with(ids: Tensor, tensor: Tensor) -> bool:
    """Whether the ids change along an axis along which a tensor that is broadcast to them has a size."""
    axes = range(ids.ndim - tensor.ndim, ids.ndim)
    sized = (axis for axis, size in zip(axes, tensor.shape, strict=True) if size > 1)
    return any(bool((ids != ids.narrow(axis, 0, 1)).any()) for axis in sized)


def _mean(args: Any, kwargs: dict[str, Any], ids_of: IdsOf) -> Tensor | None:
    """Return the ids of a mean or sum over places; None where it is one over units."""
    given: Any = dict(zip(("input", "dim", "keepdim"), args, strict=False)) | kwargs
    axes = given.get("dim", given.get("axis"))
    if axes is None or isinstance(axes, bool):
        return None
    ids, keepdim = ids_of(given["input"]), bool(given.get("keepdim", False))
    low, high = (f(ids, dim=axes, keepdim=keepdim) for f in (torch.amin, torch.amax))
    return low if torch.equal(low, high) else None
