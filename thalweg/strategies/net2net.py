"""Net2net: a trained model grows wider and deeper, and computes the same function as before."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole
from thalweg.strategies.layers import WEIGHTED, built, changed
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.strategies.transfer import check_share
from thalweg.tasks.sources.batches import derive
from thalweg.train.run import BaseRecipe

_ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus),
    *(nn.Hardtanh, nn.ReLU6, nn.SELU, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
    *(nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d, nn.Flatten),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
)
"""Layers that treat every unit or channel alike, and by itself."""
_IDEMPOTENT = (nn.ReLU, nn.ReLU6, nn.Identity)
"""Activations with f(f(x)) = f(x), behind which an identity keeps the function."""


def widened(model: nn.Sequential, widths: Mapping[str, int], seed: int = 0) -> nn.Sequential:
    """Return a wider model that computes the same function.

        W′ⱼ = W_g(j),    U′ₖⱼ = U_k,g(j) / |{i : g(i) = g(j)}|

    W are the weights into the layer, U those of the next one, and g(j) = j for the units that there are; the
    new ones are copies of units drawn at random. Batch normalisation between the two is copied along.

    Args:
        model: a sequence of linear or convolutional layers, with layers between them that treat each unit
            by itself.
        widths: units or channels by the name of the layer.
        seed: of the choice of units.

    Raises:
        TaskError: for a layer that cannot be widened, with its name.

    Source: Chen, Goodfellow and Shlens 2016, Net2Net, section 2.2.

    >>> small = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> wide, x = widened(small, {"0": 8}), torch.randn(5, 2)
    >>> wide[0].out_features, torch.allclose(wide(x), small(x), atol=1e-6)
    (8, True)
    """
    grown = _sequence(model)
    for place, (name, width) in enumerate(widths.items()):
        _check_name(grown, name)
        _widen(grown, name, width, torch.Generator().manual_seed(derive(seed, "widen", place)))
    return grown


def deepened(model: nn.Sequential, after: Iterable[str]) -> nn.Sequential:
    """Return a deeper model that computes the same function: identities behind the layers named.

    Behind an activation stands an identity and the activation once more, so that f(I·f(x)) = f(x): it has to
    be ReLU or the like. An identity after a convolution is one with a 3 × 3 kernel (of a single axis, 3).

    Args:
        model: a sequence of layers.
        after: names of activations, each behind a linear or convolutional layer, with batch normalisation,
            dropout or pooling between them or without.

    Raises:
        TaskError: for a layer behind which no identity can be, with its name.

    Source: Chen, Goodfellow and Shlens 2016, Net2Net, section 2.3.
    """
    wanted = [after] if isinstance(after, str) else list(after)
    for name in wanted:
        _check_name(model, name)
    layers: list[nn.Module] = []
    width: nn.Module | None = None
    for name, layer in _sequence(model).named_children():
        layers.append(layer)
        width = layer if _is_weighted(layer) else width
        if name in wanted:
            layers += [_identity(name, layer, width), copy.deepcopy(layer)]
    return nn.Sequential(*layers).train(model.training)


def _sequence(model: nn.Module) -> nn.Sequential:
    if not isinstance(model, nn.Sequential):
        raise TaskError(f"Net2net grows an nn.Sequential of layers; got {type(model).__name__}.")
    return copy.deepcopy(model)


def _check_name(model: nn.Module, name: str) -> None:
    known = [each for each, _ in model.named_children()]
    if name not in known:
        raise TaskError(
            f"There is no layer {name!r}.{suggest(str(name), known)} There are: {', '.join(known)}."
        )


def _is_weighted(layer: nn.Module) -> bool:
    return isinstance(layer, WEIGHTED)


def _width(layer: nn.Module) -> int:
    width = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    assert isinstance(width, int)
    return width


def _widen(model: nn.Sequential, name: str, width: int, generator: torch.Generator) -> None:
    layers = dict(model.named_children())
    names = list(layers)
    layer = layers[name]
    if not _is_weighted(layer) or getattr(layer, "groups", 1) != 1:
        raise TaskError(
            f"Layer {name!r} is {type(layer).__name__}: a linear or convolutional layer without groups "
            "can be widened."
        )
    old = _width(layer)
    if (as_whole(width) or 0) < old:
        raise TaskError(f"Layer {name!r} has {old} units; it can become wider, got {width!r}.")
    drawn = torch.randint(old, (width - old,), generator=generator)
    origin = torch.cat([torch.arange(old), drawn])
    between: list[nn.Module] = []
    for after in names[names.index(name) + 1 :]:
        following = layers[after]
        if _is_weighted(following) and getattr(following, "groups", 1) == 1:
            break
        if not isinstance(following, (*_ELEMENTWISE, _BatchNorm)):
            raise TaskError(
                f"Layer {name!r} cannot be widened: layer {after!r} behind it, "
                f"{type(following).__name__}, may mix its units."
            )
        between.append(following)
    else:
        raise TaskError(f"Layer {name!r} is the last one: its width is that of the outputs.")
    _spread_out(layer, origin)
    for each in between:
        if isinstance(each, _BatchNorm):
            _spread_norm(each, origin)
    _spread_in(following, origin, old)


def _spread_out(layer: nn.Module, origin: Tensor) -> None:
    _replace(layer, "weight", origin)
    _replace(layer, "bias", origin)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", len(origin))


def _spread_norm(layer: _BatchNorm, origin: Tensor) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        _replace(layer, name, origin)
    layer.num_features = len(origin)


def _spread_in(layer: nn.Module, origin: Tensor, old: int) -> None:
    """Share the weights of a unit among its copies; behind a flattening a channel is several inputs."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    share = 1 / torch.bincount(origin, minlength=old)[origin].to(weight.dtype)
    rest = weight.shape[2:]
    by_unit = weight.detach().reshape(weight.shape[0], old, -1)
    grown = by_unit[:, origin] * share.to(weight.device)[None, :, None]
    layer.weight = nn.Parameter(
        grown.reshape(weight.shape[0], -1, *rest), requires_grad=weight.requires_grad
    )
    which = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
    setattr(layer, which, layer.weight.shape[1])


def _replace(layer: nn.Module, name: str, origin: Tensor) -> None:
    value = getattr(layer, name, None)
    if not isinstance(value, Tensor):
        return
    spread = value.detach()[origin.to(value.device)].clone()
    is_parameter = isinstance(value, nn.Parameter)
    setattr(layer, name, nn.Parameter(spread, value.requires_grad) if is_parameter else spread)


def _identity(name: str, activation: nn.Module, layer: nn.Module | None) -> nn.Module:
    """Return a layer that gives its inputs back."""
    if not isinstance(activation, _IDEMPOTENT):
        raise TaskError(
            f"No identity can stand behind layer {name!r}, {type(activation).__name__}: twice "
            "the activation is not once. ReLU, ReLU6 and Identity are possible."
        )
    if layer is None:
        raise TaskError(f"Before layer {name!r} stands no linear or convolutional layer.")
    like: dict[str, Any] = {"dtype": layer.weight.dtype, "device": layer.weight.device}
    width, axes = _width(layer), cast("Tensor", layer.weight).ndim - 2
    make: Any = nn.utils.skip_init  # the weights are known: no random number is drawn
    if axes == 0:
        made = make(nn.Linear, width, width, **like)
        eye = torch.eye(width)
    else:
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        made = make(kind, width, width, 3, padding=1, **like)
        units = torch.arange(width)
        eye = torch.zeros(width, width, 3**axes)
        eye[units, units, 3**axes // 2] = 1
        eye = eye.reshape(width, width, *[3] * axes)
    with torch.no_grad():
        made.weight.copy_(eye)
        made.bias.zero_()
    identity: nn.Module = made
    return identity


def grown_into(small: nn.Module, big: nn.Module, deepen: Iterable[str] = (), seed: int = 0) -> None:
    """Set the parameters of `big` so that it computes what `small` does: deepened, then widened.

    Raises TaskError for a layer of `big` that `small` cannot grow into.
    """
    model = deepened(_sequence(small), deepen)
    theirs = list(_sequence(big).named_children())
    ours = list(model.named_children())
    if [type(layer) for _, layer in ours] != [type(layer) for _, layer in theirs]:
        place = next(
            (
                k
                for k, (a, b) in enumerate(zip(ours, theirs, strict=False))
                if type(a[1]) is not type(b[1])
            ),
            min(len(ours), len(theirs)),
        )
        found = [
            type(each[place][1]).__name__ if place < len(each) else "nothing"
            for each in (ours, theirs)
        ]
        raise TaskError(
            f"The small model, deepened, has {found[0]} at place {place}, and the task's model {found[1]}. "
            "Name the activations behind which it has more layers: deepen=(…)."
        )
    last = [name for name, layer in ours if _is_weighted(layer)][-1:]
    widths = {
        ours[k][0]: _width(layer)
        for k, (_, layer) in enumerate(theirs)
        if _is_weighted(layer) and ours[k][0] not in last and _width(layer) != _width(ours[k][1])
    }
    model = widened(model, widths, seed)
    renamed = dict(zip((n for n, _ in model.named_children()), (n for n, _ in theirs), strict=True))
    state = {
        f"{renamed[key.partition('.')[0]]}.{key.partition('.')[2]}": value
        for key, value in model.state_dict().items()
    }
    current = big.state_dict()
    for key, value in state.items():
        if key not in current or current[key].shape != value.shape:
            there = tuple(current[key].shape) if key in current else "missing"
            raise TaskError(
                f"Layer {key.rpartition('.')[0]!r} of the task's model is not what the small one grows "
                f"into: {key} has the shape {tuple(value.shape)} there, and is {there} here."
            )
    big.load_state_dict(state)


@dataclass(frozen=True)
class net2net(Strategy):
    """Train a small model first; the task's model begins as the same function, wider and deeper.

    Args:
        small: builds the small model, a sequence of layers as `widened` takes them.
        deepen: the names of activations of the small model behind which the task's model has one more layer,
            as `deepened` takes them.
        share: of the budget, for the small model.

    Raises:
        TaskError: where the task's model is not what the small one grows into, with the layer.

    Source: Chen, Goodfellow and Shlens 2016, Net2Net: accelerating learning via knowledge transfer.
    """

    small: Callable[[], nn.Module] | nn.Module
    deepen: tuple[str, ...] = ()
    share: float = 0.3

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the training of the small model, then that of the task's."""
        small = recipe.task.replace(model=self.small, target=None)
        grown_into(built(small), built(recipe.task), self.deepen)  # says now what does not fit

        def first(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return recipe.replace(model=self.small, target=None)

        def big(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            def grow(model: nn.Module) -> None:
                grown_into(models[-1], model, self.deepen, recipe.seed)

            return recipe.replace(model=changed(recipe.task, grow))

        return [
            Stage("small", first, self.share, is_judged=False),
            Stage("grown", big, 1 - self.share),
        ]
