"""A wider model that computes the same function: copies of units, whose weights onwards are shared."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole
from thalweg.strategies.growth.followed import followed
from thalweg.strategies.growth.kept import check_same
from thalweg.strategies.growth.modules import axes_of_weight, is_weighted, width_of
from thalweg.strategies.growth.units import Units
from thalweg.tasks.sources.batches import derive

_Model = TypeVar("_Model", bound=nn.Module)


def widened(model: _Model, widths: Mapping[str, int], seed: int = 0, x: Any = None) -> _Model:
    """Return a wider model that computes the same function.

        W′ⱼ = W_g(j),    U′ₖⱼ = U_k,g(j) / |{i : g(i) = g(j)}|

    W are the weights into the layer, U those of the layers that its units go to, and g(j) = j for the units
    that there are; the new ones are copies of units drawn at random. Batch normalization and depthwise
    convolutions between the two are copied along. Layers whose units are added to those of the layer, as in
    a residual sum, become as wide, with copies of the same units.

    Args:
        model: any module; with `x` its calls are followed while the batch runs through. It is left as it is.
        widths: units or channels by the name of the layer, a linear or convolutional one without groups.
        seed: of the choice of units.
        x: a batch of inputs, as the model takes them; two rows are enough. An nn.Sequential of PyTorch's
            layers needs none.

    Raises:
        TaskError: for a layer that cannot be widened, with its name and the reason, such as that its units
            are outputs of the model or go to layer normalization; for a wider model that does not run on `x`,
            or gives something else there.

    Source: Chen, Goodfellow and Shlens 2016, Net2Net, section 2.2.

    >>> small = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> wide, x = widened(small, {"0": 8}), torch.randn(5, 2)
    >>> wide[0].out_features, torch.allclose(wide(x), small(x), atol=1e-6)
    (8, True)
    """
    grown = copy.deepcopy(model)
    for place, (name, width) in enumerate(widths.items()):
        _widen(grown, name, width, torch.Generator().manual_seed(derive(seed, "widen", place)), x)
    if x is not None:
        check_same(model, grown, x, f"wider ({', '.join(map(repr, widths))})")
    return grown


def _widen(model: nn.Module, name: str, width: int, generator: torch.Generator, x: Any) -> None:
    layer = _layer(model, name)
    old = width_of(layer)
    if (as_whole(width) or 0) < old:
        raise TaskError(f"Layer {name!r} has {old} units; it can become wider, got {width!r}.")
    units = followed(model, x).units
    _check(model, units, name)
    drawn = torch.randint(old, (width - old,), generator=generator)
    origin = torch.cat([torch.arange(old), drawn])
    for use in units.uses.values():
        spread = units.spread(use.ids, name, origin)
        if spread is None:
            raise TaskError(
                f"Layer {name!r} cannot be widened: layer {use.layer!r} takes in its units in another order."
            )
        taker = model.get_submodule(use.layer)
        _spread_in(taker, *spread) if use.sums else _spread_each(taker, spread[0])
    for each in units.group(name):
        _spread_out(model.get_submodule(each), origin)


def _layer(model: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    known = {each: layer for each, layer in modules.items() if is_weighted(layer)}
    if not name or name not in modules:
        raise TaskError(
            f"There is no layer {name!r}.{suggest(str(name), known)} These can be widened, if their units "
            f"go to layers alone: {', '.join(known) or 'none'}."
        )
    if name not in known:
        raise TaskError(
            f"Layer {name!r} is {type(modules[name]).__name__}: a linear or convolutional layer without "
            "groups can be widened."
        )
    return known[name]


def _check(model: nn.Module, units: Units, name: str) -> None:
    """Raise TaskError for a layer that cannot have more units."""
    if name not in units.made:
        raise TaskError(
            f"Layer {name!r} cannot be widened: the model does not call it on x, or another layer does."
        )
    group = units.group(name)
    alike = f" (alike with it: {', '.join(e for e in group if e != name)})" if group[1:] else ""
    why = units.why_not(name)
    if why is not None:
        raise TaskError(f"Layer {name!r} cannot be widened{alike}: {why}.")
    takers = (use for use in units.uses.values() if set(units.makers(use.ids)) & set(group))
    _check_shared(model, [*group, *(use.layer for use in takers)], name)


def _check_shared(model: nn.Module, layers: list[str], widened: str) -> None:
    """Raise TaskError where a layer that would change has a parameter that another one has, too."""
    owner: dict[int, str] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            if parameter is None:
                continue
            first = owner.setdefault(id(parameter), name)
            if first != name and (first in layers or name in layers):
                raise TaskError(
                    f"Layer {widened!r} cannot be widened: layers {first!r} and {name!r} have one parameter "
                    "in common."
                )


def _spread_out(layer: nn.Module, origin: Tensor) -> None:
    _replace(layer, "weight", origin, axes_of_weight(layer)[0])
    _replace(layer, "bias", origin)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", len(origin))


def _spread_each(layer: nn.Module, which: Tensor) -> None:
    """Copy the entry of each unit in a layer that treats each by itself."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        _replace(layer, name, which)
    for name in ("num_features", "num_parameters", "in_channels", "out_channels", "groups"):
        if hasattr(layer, name):
            setattr(layer, name, len(which))


def _spread_in(layer: nn.Module, which: Tensor, among: Tensor) -> None:
    """Share the weights of a unit among its copies."""
    axis = axes_of_weight(layer)[1]
    _replace(layer, "weight", which, axis)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    share = (1 / among.to(weight.dtype)).to(weight.device)
    with torch.no_grad():
        weight.mul_(share.reshape(-1, *[1] * (weight.ndim - axis - 1)))
    setattr(layer, "in_features" if isinstance(layer, nn.Linear) else "in_channels", len(which))


def _replace(layer: nn.Module, name: str, which: Tensor, axis: int = 0) -> None:
    value = getattr(layer, name, None)
    if not isinstance(value, Tensor):
        return
    spread = value.detach().index_select(axis, which.to(value.device))
    is_parameter = isinstance(value, nn.Parameter)
    setattr(layer, name, nn.Parameter(spread, value.requires_grad) if is_parameter else spread)
