"""Noise in the models of a stack: each draws what it would have drawn alone.

A run draws its noise (dropout, the code of a variational autoencoder) from the global generator,
seeded for each epoch. Here every seed has a generator's state of its own. Below `torch.vmap` a
random operation is one call for all models; it is caught there, drawn once for each seed from that
seed's state in the shape that one model would draw, and shared among the models of the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.race.stack.errors import StackError
from thalweg.race.trials.host_noise import (
    DROPOUT,
    OF_VALUES,
    drawn,
    draws,
    dropped,
    has_own_generator,
    is_of_shape,
    is_of_sizes,
    mask,
    name_of,
)
from thalweg.train.restored.randomness import seed_noise

_CPU = torch.device("cpu")


class Noise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Draws, inside its context, the noise of each model from the state of its seed.

    Args:
        seeds: the seed of each model.
        device: where the models are; the noise is drawn on the CPU, and brought there.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device = _CPU) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self._states: dict[int, Tensor] = {}
        self.keep(seeds)

    def keep(self, seeds: Sequence[int]) -> None:
        """Go on with the models of these seeds."""
        self._seeds = list(seeds)
        places: dict[int, list[int]] = {}
        for row, seed in enumerate(seeds):
            places.setdefault(seed, []).append(row)
        self._rows = places
        order = {seed: k for k, seed in enumerate(places)}
        self._which = torch.tensor([order[seed] for seed in seeds], device=self._device)

    def seed(self, epoch: int) -> None:
        """Seed the noise of an epoch."""
        with torch.random.fork_rng(devices=[]):
            for seed in self._rows:
                seed_noise(seed, epoch, _CPU)
                self._states[seed] = torch.default_generator.get_state()

    def states(self) -> dict[int, Tensor]:
        """Return the states, to be given back by `go_back`."""
        return dict(self._states)

    def go_back(self, states: dict[int, Tensor]) -> None:
        """Draw again what was drawn since."""
        self._states = dict(states)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not draws(func, args, kwargs):
            return func(*args, **kwargs)
        if has_own_generator(args, kwargs):
            raise StackError("The model draws noise from a generator of its own.")
        base = name_of(func)
        if base == DROPOUT:
            inputs, p, _ = (*args, *kwargs.values())[:3]
            self._one(list(inputs.shape), base)
            return dropped(inputs, self._by_seed(lambda row: mask(inputs[row], p)))
        if is_of_sizes(func):
            place = next(k for k, x in enumerate(args) if isinstance(x, (list, tuple, torch.Size)))
            sizes = self._one(list(args[place]), base)
            own = (*args[:place], sizes, *args[place + 1 :])
            return self._by_seed(lambda row: drawn(func, own, kwargs))
        if is_of_shape(func):
            self._one(list(args[0].shape), base)
            return self._on_shape(func, args, kwargs)
        if base in OF_VALUES and "Generator" not in func._overloadname:
            tensors = [x for x in args if isinstance(x, Tensor)]
            for x in tensors:
                self._one(list(x.shape), base)
            return self._by_row(
                lambda row: drawn(
                    func, [x[row].clone() if isinstance(x, Tensor) else x for x in args], kwargs
                )
            )
        raise StackError(f"The model draws noise by {base}, which a stack cannot share out.")

    def _one(self, sizes: list[int], name: str) -> list[int]:
        """Return the sizes of one model."""
        if not sizes or sizes[0] != len(self._seeds):
            raise StackError(f"The model draws noise by {name} in a shape of no model.")
        return sizes[1:]

    def _on_shape(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        target: Tensor = args[0]
        found = self._by_seed(lambda row: drawn(func, (target[row], *args[1:]), kwargs))
        return target.copy_(found) if func._schema.name.endswith("_") else found

    def _by_seed(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Draw once for each seed, and give each model what its seed drew."""
        found = []
        for seed, rows in self._rows.items():
            torch.default_generator.set_state(self._states[seed])
            found.append(draw(rows[0]))
            self._states[seed] = torch.default_generator.get_state()
        if len(found) == 1:
            one = found[0].to(self._device)
            return one.expand(len(self._seeds), *one.shape).contiguous()
        return torch.stack(found).to(self._device).index_select(0, self._which)

    def _by_row(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Draw for each model, all of one seed from the same state."""
        found, after = [], {}
        for row, seed in enumerate(self._seeds):
            torch.default_generator.set_state(self._states[seed])
            found.append(draw(row))
            after[seed] = torch.default_generator.get_state()
        self._states.update(after)
        return torch.stack(found).to(self._device)
