"""A deeper model that computes the same function: identities behind activations."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, suggest
from thalweg.strategies.growth.followed import Followed, followed
from thalweg.strategies.growth.kept import check_same
from thalweg.strategies.growth.modules import CONVOLUTIONS, TRANSPOSED, along

_Model = TypeVar("_Model", bound=nn.Module)
_IDEMPOTENT = (nn.ReLU, nn.ReLU6, nn.Identity)
"""Activations with f(f(x)) = f(x), behind which an identity keeps the function."""
_FUNCTIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}
"""The same by the names of functions."""


def deepened(model: _Model, after: Iterable[str], x: Any = None) -> _Model:
    """Return a deeper model that computes the same function: identities behind the layers named.

    Behind an activation stands an identity and the activation once more, so that f(I·f(x)) = f(x): it has to
    be ReLU or the like. An identity after a convolution is one with a 3 × 3 kernel (of a single axis, 3).
    In an nn.Sequential the new layers stand between the others, which are numbered again; elsewhere the layer
    named becomes a sequence of itself and the new ones.

    Args:
        model: any module; with `x` its calls are followed while the batch runs through. It is left as it is.
        after: names of activations behind linear or convolutional layers, with batch normalization,
            dropout or pooling between them or without; where the activation is a function, the name of the
            layer whose outputs it takes.
        x: a batch of inputs, as the model takes them; two rows are enough. An nn.Sequential of PyTorch's
            layers needs none.

    Raises:
        TaskError: for a layer behind which no identity can be, with its name and the reason.

    Source: Chen, Goodfellow and Shlens 2016, Net2Net, section 2.3.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> deep, x = deepened(net, ["1"]), torch.randn(5, 2)
    >>> len(deep), torch.allclose(deep(x), net(x), atol=1e-6)
    (5, True)
    """
    wanted = [after] if isinstance(after, str) else list(after)
    found = followed(model, x)
    new = {name: _behind(model, name, found, is_run=x is not None) for name in wanted}
    grown = _inserted(copy.deepcopy(model), new)
    if x is not None and new:
        check_same(model, grown, x, f"deeper (behind {', '.join(map(repr, new))})")
    return grown


def _inserted(model: _Model, new: dict[str, list[nn.Module]]) -> _Model:
    direct = new if type(model) is nn.Sequential else {}
    for name, layers in sorted(new.items(), key=lambda each: -each[0].count(".")):
        if name not in direct or "." in name:
            layer = model.get_submodule(name)
            model.set_submodule(name, nn.Sequential(layer, *layers).train(layer.training))
    if not direct:
        return model
    flat = [
        each
        for name, layer in model.named_children()
        for each in (layer, *(() if "." in name else new.get(name, ())))
    ]
    return cast("_Model", nn.Sequential(*flat).train(model.training))


def _behind(model: nn.Module, name: str, found: Followed, *, is_run: bool) -> list[nn.Module]:
    """Return what is put behind a layer: an identity, and the activation before or behind it."""
    modules = {each: module for each, module in model.named_modules() if each}
    if name not in modules:
        known = [each for each, module in modules.items() if isinstance(module, _IDEMPOTENT)]
        raise TaskError(
            f"There is no layer {name!r}.{suggest(str(name), known)} The activations behind which an "
            f"identity can be are: {', '.join(known) or 'none'}."
        )
    layer, calls = modules[name], found.calls.count(name)
    if calls != 1:
        often = f"{calls} times" if calls else "not once, or within another layer"
        raise TaskError(
            f"No identity can stand behind layer {name!r}: it is called {often}. Name a layer that is called "
            "once."
        )
    if isinstance(layer, _IDEMPOTENT):
        return [_identity(model, name, found, is_run), copy.deepcopy(layer)]
    takers = {taker.lower() for taker in found.takers.get(name, ())}
    if len(takers) == 1 and takers <= _FUNCTIONS.keys():
        return [_FUNCTIONS[takers.pop()](), _identity(model, name, found, is_run)]
    raise TaskError(
        f"No identity can stand behind layer {name!r}, {type(layer).__name__}: it is to be ReLU, ReLU6 or "
        "Identity, which twice are what they are once, or a layer whose outputs go to relu() alone."
    )


def _identity(model: nn.Module, name: str, found: Followed, is_run: bool) -> nn.Module:
    """Return a layer that gives its inputs back."""
    ids = found.given.get(name)
    makers = [] if ids is None else found.units.makers(ids)
    if ids is None or not makers:
        raise TaskError(f"Before layer {name!r} stands no linear or convolutional layer.")
    maker = model.get_submodule(makers[0])
    is_of_picture = isinstance(maker, (*CONVOLUTIONS, *TRANSPOSED))
    is_picture = is_of_picture and ids.ndim > 2
    if is_of_picture and not is_picture and not is_run:
        raise TaskError(
            f"Before layer {name!r} a picture is flattened, whose size is not known: give x=, a batch."
        )
    axis = 1 if is_picture else ids.ndim - 1
    if along(ids, axis) is None:
        raise TaskError(
            f"No identity can stand behind layer {name!r}: the units of layer {makers[0]!r} lie along "
            "another axis there."
        )
    like = cast("Tensor", maker.weight)
    return _identity_of(ids.shape[axis], ids.ndim - 2 if is_picture else 0, like)


def _identity_of(width: int, axes: int, like: Tensor) -> nn.Module:
    kind: Any = CONVOLUTIONS[axes - 1] if axes else nn.Linear
    with torch.random.fork_rng(devices=[]):  # no random number of the caller is used up
        made: nn.Module = kind(width, width, **({"kernel_size": 3, "padding": 1} if axes else {}))
    if axes == 0:
        eye = torch.eye(width)
    else:
        units = torch.arange(width)
        eye = torch.zeros(width, width, 3**axes)
        eye[units, units, 3**axes // 2] = 1
        eye = eye.reshape(width, width, *[3] * axes)
    with torch.no_grad():
        made.weight.copy_(eye)  # type: ignore[operator]  # it has both
        made.bias.zero_()  # type: ignore[operator]
    return made.to(like.device, like.dtype)
