"""Layers of a model by name: found, copied from another model, frozen and thawed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.errors import TaskError, suggest
from thalweg.tasks.task import Task
from thalweg.train.restored.randomness import isolated

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers of units or channels, each with weights from all that come in."""

Layers = Iterable[str] | Mapping[str, str] | None
"""Names of layers; or by the name in the new model the name in the old; None for all that agree."""


def layer_of(model: nn.Module, name: str, what: str = "The model") -> nn.Module:
    """Return the layer of a name, a dotted path such as "0" or "features.3".

    Raises:
        TaskError: for a name that no layer has, or of a layer without parameters.
    """
    modules: dict[str, nn.Module] = {n: each for n, each in model.named_modules() if n}
    if name not in modules or not _own(modules[name]):
        known = [each for each, layer in modules.items() if _own(layer)]
        raise TaskError(
            f"{what} has no layer {name!r} with parameters.{suggest(str(name), known)} It has: "
            f"{', '.join(known) or 'none'}."
        )
    return modules[name]


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers of a layer by name."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def check_shaped(model: nn.Module, what: str = "The model") -> None:
    """Raise TaskError for a lazy module, whose parameters have no shapes yet."""
    lazy = next((name for name, p in model.named_parameters() if is_lazy(p)), None)
    if lazy is not None:
        raise TaskError(
            f"{what} has a parameter without a shape, {lazy}: its layer is lazy. Say how many inputs "
            "the layer has, or run the model on a batch where it is built."
        )


def copy_layers(source: nn.Module, target: nn.Module, layers: Layers = None) -> list[str]:
    """Copy parameters and buffers of layers from one model into another; return their names in the latter.

    Args:
        source: the model to copy from.
        target: the model to copy into, in place.
        layers: names of layers that both have; or a mapping from names in `target` to names in `source`;
            None for every layer without parts that has the same name and shapes in both.

    Raises:
        TaskError: a layer is not there, is lazy, or has other shapes; the message names it. None is named.

    >>> deep = nn.Sequential(
    ...     nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)
    ... )
    >>> shallow = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> copy_layers(shallow, deep, {"0": "0", "4": "2"})
    ['0', '4']
    """
    check_shaped(source, "The old model")
    check_shaped(target, "The new model")
    pairs = _agreeing(source, target) if layers is None else _pairs(layers)
    for new, old in pairs.items():
        ours = _own(layer_of(target, new, "The new model"))
        theirs = _own(layer_of(source, old, "The old model"))
        for name in {**ours, **theirs}:
            mine, other = ours.get(name), theirs.get(name)
            if mine is None or other is None or mine.shape != other.shape:
                raise TaskError(
                    f"Layer {new!r} cannot be copied from {old!r}: its {name} is {_shape(other)} there "
                    f"and {_shape(mine)} in the new model. Name layers of equal shapes."
                )
        with torch.no_grad():
            for name, tensor in theirs.items():
                ours[name].copy_(tensor)
    return list(pairs)


def _pairs(layers: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    if isinstance(layers, Mapping):
        pairs = {str(new): str(old) for new, old in layers.items()}
    else:
        names = [layers] if isinstance(layers, str) else list(layers)
        pairs = {str(name): str(name) for name in names}
    if not pairs:
        raise TaskError(
            "No layer is named, so there is nothing to copy. Name some, or leave layers out for all that "
            "agree."
        )
    return pairs


def _agreeing(source: nn.Module, target: nn.Module) -> dict[str, str]:
    theirs = {name: module for name, module in source.named_modules() if name}
    found = {
        name: name
        for name, module in target.named_modules()
        if name in theirs
        and not [*module.children()]
        and _own(module)
        and _shapes(module) == _shapes(theirs[name])
    }
    if not found:
        raise TaskError(
            "No layer of the old model has the name and the shapes of one of the new model. Say which "
            "are meant, as {name in the new model: name in the old one}."
        )
    return found


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in _own(module).items()}


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"


def freeze(model: nn.Module, layers: Iterable[str], *, frozen: bool = True) -> None:
    """Freeze layers, so that no optimizer gets their parameters, or thaw them.

    Raises:
        TaskError: for a layer that is not there, and where nothing is left to train.
    """
    for name in layers:
        layer_of(model, name).requires_grad_(not frozen)
    if not any(p.requires_grad for p in model.parameters()):
        raise TaskError("All layers are frozen: nothing is left to train. Freeze fewer of them.")


def built(task: Task) -> nn.Module:
    """Return a model of the task to look at; no random number of the caller is used up."""
    with isolated():
        return task.build()


def changed(task: Task, change: Callable[[nn.Module], object]) -> Callable[[], nn.Module]:
    """Return a function that builds a model of the task and changes it in place."""

    def build() -> nn.Module:
        model = task.build()
        change(model)
        return model

    return build
