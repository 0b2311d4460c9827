"""What a layer does with units: it makes them, takes them in, treats each by itself, or mixes them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.strategies.growth.units import Units

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid),
    *(nn.Softplus, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.ReLU6, nn.SELU, nn.Hardswish),
    *(nn.Hardsigmoid, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
)
_ON_PLACES = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.Upsample),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ReflectionPad2d, nn.ReplicationPad2d),
)
"""Layers that change the places of a picture, each channel by itself."""


def is_weighted(module: nn.Module) -> bool:
    """Whether a layer makes units and adds up what comes in: linear, or a convolution without groups."""
    if isinstance(module, nn.Linear):
        return True
    return isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)) and module.groups == 1


def width_of(module: nn.Module) -> int:
    """Return the units or channels of a weighted layer."""
    width = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    assert isinstance(width, int)
    return width


def axes_of_weight(module: nn.Module) -> tuple[int, int]:
    """Return the axes of the weight along which the outputs and the inputs lie."""
    return (1, 0) if isinstance(module, TRANSPOSED) else (0, 1)


def why_fixed(module: nn.Module) -> str | None:
    """Return why the weight of a layer cannot have another shape, None where it can."""
    if "weight" in dict(module.named_parameters(recurse=False)):
        return None
    return "its weight is computed from others (a parametrization or a mask)"


def along(ids: Tensor, axis: int) -> Tensor | None:
    """Return the ids along an axis; None where they differ along others, too.

    >>> import torch
    >>> along(torch.tensor([[1, 2], [1, 2]]), 1), along(torch.tensor([[1, 2], [1, 2]]), 0)
    (tensor([1, 2]), None)
    """
    lines = ids.movedim(axis, -1)
    first = lines.reshape(-1, lines.shape[-1])[0] if lines.numel() else lines.new_zeros(0)
    return first if bool((lines == first).all()) else None


def on_axis(ids: Tensor, shape: tuple[int, ...], axis: int) -> Tensor:
    """Return the ids of an output of this shape whose units lie along an axis."""
    at = [1] * len(shape)
    at[axis] = len(ids)
    return ids.reshape(at).expand(shape)


def through(
    module: nn.Module, name: str, ids: Tensor, shape: tuple[int, ...], units: Units
) -> Tensor | None:
    """Return the ids of what a layer gives, and note what it does with those it gets.

    None where the outputs are not units that a layer makes. `shape` is that of the outputs.
    """
    if is_weighted(module):
        return _weighted(module, name, ids, shape, units)
    if _has_entry_for_each(module):
        return _one_by_one(module, name, ids, shape, units)
    if isinstance(module, _ELEMENTWISE) or type(module) in (nn.PReLU, *_NORMS):
        return ids
    if isinstance(module, (nn.Flatten, nn.Unflatten)):
        return module.forward(ids)
    if isinstance(module, _ON_PLACES):
        spread = on_places(ids, shape)
        if spread is not None:
            return spread
    units.hold(ids, f"layer {name!r} behind it, {type(module).__name__}, may mix its units")
    return None


_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


def on_places(ids: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the ids of a picture with other places; None where they differ from place to place."""
    if ids.ndim < 3 or ids.ndim != len(shape) or ids.shape[:2] != shape[:2]:
        return None
    units = along(ids, 1)
    return None if units is None else on_axis(units, shape, 1)


def _has_entry_for_each(module: nn.Module) -> bool:
    if isinstance(module, _NormBase):
        return module.affine or module.track_running_stats
    if isinstance(module, nn.PReLU):
        return module.num_parameters > 1
    depthwise: Any = module
    return isinstance(module, CONVOLUTIONS) and (
        depthwise.groups == depthwise.in_channels == depthwise.out_channels
    )


def _weighted(
    module: nn.Module, name: str, ids: Tensor, shape: tuple[int, ...], units: Units
) -> Tensor:
    axis = _axis(module, len(shape))
    inputs = along(ids, axis)
    made = units.make(name, width_of(module))
    why = why_fixed(module)
    if inputs is None:
        units.hold(ids, f"layer {name!r} behind it takes in its units along another axis")
    elif why is not None:
        units.hold(ids, f"layer {name!r} behind it cannot take in more: {why}")
    else:
        units.use(name, _as_many(module, inputs), sums=True)
    if why is not None:
        units.hold(made, why)
    return on_axis(made, shape, axis)


def _as_many(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return the ids of as many inputs as a layer has: where no batch is run, a picture is a point."""
    places = module.in_features // len(inputs) if isinstance(module, nn.Linear) else 1
    assert isinstance(places, int)
    return inputs.repeat_interleave(places) if places > 1 else inputs


def _axis(module: nn.Module, dimensions: int) -> int:
    """Return the axis of units: the last one of a linear layer, the channels of a convolution."""
    if isinstance(module, nn.Linear):
        return dimensions - 1
    size: Any = module.kernel_size
    return dimensions - len(size) - 1


def _one_by_one(
    module: nn.Module, name: str, ids: Tensor, shape: tuple[int, ...], units: Units
) -> Tensor | None:
    axis = _axis(module, ids.ndim) if isinstance(module, CONVOLUTIONS) else 1
    inputs = along(ids, axis) if ids.ndim > axis else None
    if inputs is None or (isinstance(module, CONVOLUTIONS) and why_fixed(module)):
        units.hold(ids, f"layer {name!r} behind it, {type(module).__name__}, may mix its units")
        return None
    units.use(name, inputs, sums=False)
    return on_axis(inputs, shape, axis)
