"""Finds, seeds and restores the random generators that data sets, samplers, loaders and models hold."""

from __future__ import annotations

import contextlib
import functools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinMethodType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random

# Enough for a data set's transforms; a long list holds rows, not generators.
_DEPTH, _WIDTH, _MOST = 6, 64, 2000


def is_generator(value: object) -> bool:
    """Return whether `value` is a random generator that can be seeded."""
    return isinstance(value, Generator) and not isinstance(value, random.SystemRandom)


def generators_of(*holders: Any) -> list[Generator]:
    """Return the random generators that `holders` are or hold, in an order that is always the same.

    Attributes are walked through, short lists, tuples and dicts, partial functions, and what a
    function closes over. What a module or a class holds is not looked at, nor are rows of data.

    >>> from types import SimpleNamespace
    >>> own = random.Random(0)
    >>> generators_of(SimpleNamespace(transforms=[functools.partial(own.gauss, 1.0)])) == [own]
    True
    """
    found: list[Generator] = []
    seen: dict[int, Any] = {}
    queue = deque((holder, 0) for holder in holders)
    while queue and len(seen) < _MOST:
        value, depth = queue.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if is_generator(value):
            found.append(value)
        elif depth < _DEPTH:
            queue.extend((part, depth + 1) for part in _parts(value))
    return found


def generators_in(model: nn.Module) -> list[Generator]:
    """Return the random generators among the attributes of a model's modules."""
    found = [each for module in model.modules() for each in vars(module).values()]
    return list({id(each): each for each in found if is_generator(each)}.values())


def with_parts(outer: Any) -> list[Any]:
    """Return an object and those that it wraps: a batch sampler's sampler, a subset's data set."""
    found: list[Any] = []
    while hasattr(outer, "__dict__") and not any(outer is each for each in found):
        found.append(outer)
        outer = vars(outer).get("sampler", vars(outer).get("dataset"))
    return found


def seed_generator(generator: Generator, seed: int) -> None:
    """Begin a generator's stream again under `seed`, an integer from 0 to 2⁶⁴ − 1."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    elif isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        bits.state = type(bits)(seed).state  # each kind takes a seed
    else:
        _seed_legacy(generator, seed)


def seed_numpy(seed: int) -> None:
    """Seed NumPy's global generator, as `np.random.seed` does, which takes half as many bits."""
    _seed_legacy(np.random.mtrand._rand, seed)


def keeper(generator: Generator) -> Callable[[], Any]:
    """Return a function that puts a generator back into the state that it is in now."""
    if isinstance(generator, torch.Generator):
        return functools.partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return functools.partial(generator.setstate, generator.getstate())
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    return functools.partial(generator.set_state, generator.get_state(legacy=False))


@contextlib.contextmanager
def kept(generators: Iterable[Generator]) -> Iterator[None]:
    """Restore the states of generators at the end of the block (a context manager)."""
    restore = [keeper(generator) for generator in generators]
    try:
        yield
    finally:
        for each in restore:
            each()


def _seed_legacy(generator: np.random.RandomState, seed: int) -> None:
    words = [seed & 0xFFFFFFFF, seed >> 32]
    try:
        generator.seed(words[0] if not words[1] else words)
    except TypeError:  # over bits of another kind, which this class cannot seed
        now: Any = generator.get_state(legacy=False)
        fresh = type(generator._bit_generator)(seed).state
        generator.set_state({**now, **fresh, "has_gauss": 0, "gauss": 0.0})


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values()) if len(value) <= _WIDTH else []
    if isinstance(value, (list, tuple)):
        return list(value) if len(value) <= _WIDTH else []
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, (MethodType, BuiltinMethodType)):
        return [value.__self__]
    if isinstance(value, FunctionType):
        return [_content(cell) for cell in value.__closure__ or ()]
    if isinstance(value, (type, ModuleType, torch.Tensor)) or not hasattr(value, "__dict__"):
        return []
    # The live iterator of a loader holds queues and processes.
    skipped = "_iterator" if isinstance(value, DataLoader) else ""
    return [item for name, item in vars(value).items() if name != skipped]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
