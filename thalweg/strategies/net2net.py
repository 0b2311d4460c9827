"""Net2net: a small model is trained, and the task's model begins as the same function, wider and deeper."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.strategies.growth.deepening import deepened
from thalweg.strategies.growth.followed import Followed, followed
from thalweg.strategies.growth.kept import check_runs, check_same
from thalweg.strategies.growth.modules import is_weighted, width_of
from thalweg.strategies.growth.widening import widened
from thalweg.strategies.layers import built, changed
from thalweg.strategies.stages.shares import check_share
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.tasks.place import place_of
from thalweg.tasks.task import Task
from thalweg.train.run import BaseRecipe


def grown_into(
    small: nn.Module, big: nn.Module, x: Any, deepen: Iterable[str] = (), seed: int = 0
) -> None:
    """Set the parameters of `big` so that it computes what `small` does: deepened, then widened.

    Layers with weights are paired in the order in which the two models call them on the batch `x`; other
    parameters by their names.

    Raises:
        TaskError: for a layer of `big` that `small` cannot grow into, and where it then computes something
            else on `x`.
    """
    model = deepened(small, deepen, x)
    calls, last = followed(model, x), followed(big, x)
    pairs = _paired(_with_state(model, calls), _with_state(big, last))
    widths = {
        ours: width_of(layer)
        for ours, theirs in pairs.items()
        if is_weighted(layer := big.get_submodule(theirs))
        and width_of(layer) != width_of(model.get_submodule(ours))
    }
    model = widened(model, widths, seed, x)
    _load(model, big, pairs)
    why = "Its parameters fit; its activations, skips or strides are others: compare the forward passes."
    check_same(small, big, x, "that of the task", why)


def _with_state(model: nn.Module, calls: Followed) -> dict[str, str]:
    """Return the classes of layers that have parameters or buffers, in the order of their first calls."""
    return {
        name: type(layer).__name__
        for name in dict.fromkeys(calls.calls)
        if (layer := model.get_submodule(name)).state_dict()
    }


def _paired(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    for (name, kind), (other, wanted) in zip(ours.items(), theirs.items(), strict=False):
        if kind != wanted:
            raise TaskError(
                f"The small model, deepened, has layer {name!r}, {kind}, where the task's model has layer "
                f"{other!r}, {wanted}. Name the activations behind which it has more layers: deepen=(…)."
            )
    if len(ours) != len(theirs):
        raise TaskError(
            f"The small model, deepened, calls {len(ours)} layers with parameters, and the task's model "
            f"{len(theirs)}: {', '.join(ours)}, and {', '.join(theirs)}. Name the activations behind which "
            "it has more layers: deepen=(…)."
        )
    return dict(zip(ours, theirs, strict=True))


def _load(model: nn.Module, big: nn.Module, pairs: dict[str, str]) -> None:
    """Copy parameters and buffers: of layers that are pairs, and of others by name."""
    names = {**{name: name for name in _others(model, pairs)}, **_own(model, big, pairs)}
    state, current = model.state_dict(), big.state_dict()
    for key, new in names.items():
        if new not in current or current[new].shape != state[key].shape:
            there = tuple(current[new].shape) if new in current else "missing"
            raise TaskError(
                f"Layer {new.rpartition('.')[0]!r} of the task's model is not what the small one grows "
                f"into: {key} has the shape {tuple(state[key].shape)} there, and is {there} here."
            )
    big.load_state_dict({new: state[key] for key, new in names.items()}, strict=False)


def _own(model: nn.Module, big: nn.Module, pairs: dict[str, str]) -> dict[str, str]:
    return {
        f"{ours}.{key}" if ours else key: f"{theirs}.{key}" if theirs else key
        for ours, theirs in pairs.items()
        for key in model.get_submodule(ours).state_dict()
    }


def _others(model: nn.Module, pairs: dict[str, str]) -> list[str]:
    """Return the names of parameters that no paired layer has: of the user's own modules."""
    called = tuple(f"{name}." for name in pairs)
    own: dict[str, Tensor] = model.state_dict()
    return [key for key in own if not key.startswith(called)] if "" not in pairs else []


@dataclass(frozen=True)
class net2net(Strategy):
    """Train a small model first; the task's model begins as the same function, wider and deeper.

    Any module will do, as `widened` and `deepened` take it: linear and convolutional layers, batch
    normalization, residual sums, feed-forward blocks of transformers. Both models call their layers in the
    same order.

    Args:
        small: builds the small model, or is one.
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
        given: object = self.deepen
        if not (isinstance(given, (tuple, list)) and all(isinstance(each, str) for each in given)):
            raise TaskError(
                f"deepen has the names of layers of the small model, in a tuple; got {given!r:.80}."
            )

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the training of the small model, then that of the task's."""
        small = recipe.task.replace(model=self.small, target=None)
        model = built(recipe.task)
        x = _rows(recipe.task, model)
        first_model = built(small)
        check_runs(first_model, x, "The small model")
        check_runs(model, x, "The task's model")
        grown_into(first_model, model, x, self.deepen)  # says now what does not fit

        def first(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return recipe.replace(model=self.small, target=None)

        def big(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            def grow(model: nn.Module) -> None:
                rows = _rows(recipe.task, model)
                grown_into(models[-1], model, rows, self.deepen, recipe.seed)

            return recipe.replace(model=changed(recipe.task, grow))

        return [
            Stage("small", first, self.share, is_judged=False),
            Stage("grown", big, 1 - self.share),
        ]


def _rows(task: Task, model: nn.Module) -> Any:
    """Return two rows of the training set where the model is."""
    return place_of(model)(task.data.train.first(2)[0])
