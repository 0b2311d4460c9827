"""Snapshots of models, optimizers, random generators and data loaders, to restore them after a trial.

Values are restored in place: parameters, groups and states stay the same objects.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader

from thalweg.errors import TaskError
from thalweg.generators import is_generator, keeper, with_parts
from thalweg.tasks.sources.source import DatasetSource, LoaderSource, Source

Undo = Callable[[], Any]


class Snapshot:
    """What `objects` hold at this moment; `restore` puts it back, any number of times.

    Of modules and optimizers all attributes are kept, through lists, tuples, sets and dicts: parameters,
    buffers, gradients, modes, states, groups, counters, generators. Of a source, if one is given, the
    attributes of its loader, samplers and data set, and the states of the generators that these hold, but not
    the contents of the data. Of the process, the global generators of PyTorch, NumPy and Python. What an
    object of another kind keeps inside is left alone.

    Raises:
        TaskError: for a lazy module that has not seen a batch.
    """

    def __init__(
        self, *objects: nn.Module | torch.optim.Optimizer, source: Source | None = None
    ) -> None:
        self._undo: list[Undo] = []
        self._seen: dict[
            int, Any
        ] = {}  # kept alive, since an id is unique only among living objects
        self._leaves: list[Tensor] = []
        self._keep_global_generators()
        for part in _parts(source):
            self._keep_attributes(part, deep=False)
        for generator in () if source is None else source.generators:
            self._keep_generator(generator)
        for each in objects:
            self._keep(each)

    def restore(self) -> None:
        """Put everything back. A Ctrl-C on the way does not leave it half done."""
        try:
            self._restore()
        except KeyboardInterrupt:
            self._restore()
            raise

    def _restore(self) -> None:
        with torch.no_grad():
            for undo in self._undo:
                undo()

    def clear_gradients(self) -> None:
        """Set the gradients to None, so that the kept tensors are not written into."""
        for leaf in self._leaves:
            leaf.grad = None

    def _keep(self, value: Any) -> None:
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self._keep_tensor(value)
        elif isinstance(value, (nn.Module, torch.optim.Optimizer)):
            self._keep_attributes(value, deep=True)
        elif isinstance(value, dict):
            self._keep_dict(value, deep=True)
        elif isinstance(value, (list, deque)):
            items = list(value)
            self._undo.append(lambda: _refill(value, items))
            self._keep_each(items)
        elif isinstance(value, set):
            members = set(value)
            self._undo += [value.clear, lambda: value.update(members)]
        elif isinstance(value, tuple):
            self._keep_each(value)
        elif isinstance(value, np.ndarray) and value.flags.writeable:
            content = value.copy()
            self._undo.append(lambda: np.copyto(value, content))
        else:
            self._keep_generator(value)

    def _keep_each(self, values: Any) -> None:
        for value in values:
            self._keep(value)

    def _keep_tensor(self, tensor: Tensor) -> None:
        if is_lazy(tensor):
            raise TaskError(
                "The model has lazy parameters that do not exist yet. Run one batch through it before."
            )
        if tensor.grad_fn is not None or _overlaps(tensor):
            return  # computed from others, or one that cannot be written to
        content = tensor.detach().clone()
        self._undo.append(lambda: tensor.detach().copy_(content))
        if tensor.is_leaf:
            grad, wants = tensor.grad, tensor.requires_grad
            self._leaves.append(tensor)
            self._undo += [
                lambda: tensor.requires_grad_(wants),
                lambda: setattr(tensor, "grad", grad),
            ]

    def _keep_attributes(self, holder: Any, *, deep: bool) -> None:
        self._keep_dict(vars(holder), deep=deep)
        forget = getattr(holder, "_forget", None)
        if isinstance(holder, torch.optim.Optimizer) and callable(forget):
            self._undo.append(forget)  # thalweg's optimizers drop their cached plans

    def _keep_dict(self, holder: dict[Any, Any], *, deep: bool) -> None:
        items = dict(holder)
        self._undo.append(lambda: _renew(holder, items))
        for value in items.values():
            if deep:
                self._keep(value)
            else:
                self._keep_generator(value)

    def _keep_generator(self, value: Any) -> None:
        if is_generator(value):
            self._undo.append(keeper(value))

    def _keep_global_generators(self) -> None:
        torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state(), random.getstate()
        self._undo += [
            lambda: torch.set_rng_state(torchs),
            lambda: np.random.set_state(numpys),
            lambda: random.setstate(pythons),
        ]
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            cudas = torch.cuda.get_rng_state_all()
            self._undo.append(lambda: torch.cuda.set_rng_state_all(cudas))


@contextmanager
def untouched(
    *objects: nn.Module | torch.optim.Optimizer, source: Source | None = None
) -> Iterator[Snapshot]:
    """Restore everything at the end, also after an error; see `Snapshot`."""
    snapshot = Snapshot(*objects, source=source)
    try:
        snapshot.clear_gradients()
        if isinstance(source, LoaderSource):
            # Persistent workers have generators that cannot be kept here: new workers take their place.
            source.loader._iterator = None
        yield snapshot
    finally:
        snapshot.restore()


def _parts(source: Source | None) -> list[Any]:
    """Return the objects of a source that may keep something from one pass to the next."""
    if isinstance(source, DatasetSource):
        return with_parts(source.dataset)
    if not isinstance(source, LoaderSource):
        return []
    loader: DataLoader[Any] = source.loader
    found: list[Any] = [loader]
    for name in ("sampler", "batch_sampler"):
        found += with_parts(getattr(loader, name, None))
    return found + with_parts(loader.dataset)


def _renew(holder: dict[Any, Any], items: dict[Any, Any]) -> None:
    """Restore the items of a dict and their order."""
    if list(holder) == list(items):
        for key, value in items.items():
            if holder[key] is not value:
                holder[key] = value
        return
    holder.clear()
    holder.update(items)


def _refill(holder: Any, items: list[Any]) -> None:
    holder.clear()
    holder.extend(items)


def _overlaps(tensor: Tensor) -> bool:
    """Return whether elements share memory, as after `expand`; such a tensor cannot be written to."""
    if tensor.layout is not torch.strided:
        return False
    return any(
        step == 0 and size > 1 for step, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
