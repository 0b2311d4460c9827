"""Hooks on a model's layers that last as long as an optimizer, and are not part of the model's copies."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from thalweg.curvature.kronecker.layers import FactoredLayer
from thalweg.curvature.kronecker.watch import Passes
from thalweg.objective.nested import rows_of


class LayerWatch:
    """Watches the layers of a model while `is_on`, until `remove()`.

    `passes` are those of the forward pass that began last, `rows` those of its inputs; `begins`, a method,
    is called before one begins. Neither hooks nor this object keep an optimizer alive: they go when it does.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[FactoredLayer], begins: Callable[[], None]
    ) -> None:
        self.layers, self.is_on = tuple(layers), False
        self.passes = [Passes(layer) for layer in self.layers]
        self.rows: int | None = None
        self._model = model
        self._begins = weakref.WeakMethod(begins)
        self._handles: list[Any] = []
        self._is_removed = False
        weakref.finalize(self, _remove, self._handles)

    def watch(self, is_on: bool) -> None:
        """Watch from now on, or no more: modules without hooks are called faster."""
        self.forget()
        if is_on and not self._handles and not self._is_removed:
            me = weakref.ref(self)
            self._handles.append(self._model.register_forward_pre_hook(_Beginning(me)))
            self._handles += [
                layer.module.register_forward_hook(_AfterLayer(me, place), with_kwargs=True)
                for place, layer in enumerate(self.layers)
            ]
        elif not is_on:
            _remove(self._handles)
        self.is_on = is_on

    def remove(self) -> None:
        """Take the hooks off the model for good."""
        _remove(self._handles)
        self._is_removed = True

    def begin(self, args: Any) -> None:
        """Be told that a forward pass of these inputs begins."""
        if self.is_on:
            begins = self._begins()
            if begins is not None:
                begins()
            self.forget()
            self.rows = rows_of(args)

    def forget(self) -> None:
        """Forget what passed."""
        self.passes = [Passes(layer) for layer in self.layers]


class _Hook:
    """Copies of a model have hooks of this kind, too; they do nothing."""

    def __init__(self, watch: weakref.ref[LayerWatch] | None = None) -> None:
        self._watch = watch

    def _found(self) -> LayerWatch | None:
        return None if self._watch is None else self._watch()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Hook:
        return type(self)()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class _Beginning(_Hook):
    def __call__(self, module: nn.Module, args: Any) -> None:
        watch = self._found()
        if watch is not None:
            watch.begin(args)


class _AfterLayer(_Hook):
    def __init__(self, watch: weakref.ref[LayerWatch] | None = None, place: int = 0) -> None:
        super().__init__(watch)
        self._place = place

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        watch = self._found()
        if watch is not None and watch.is_on:
            watch.passes[self._place].called(args, kwargs, output)


def _remove(handles: list[Any]) -> None:
    while handles:
        handles.pop().remove()
