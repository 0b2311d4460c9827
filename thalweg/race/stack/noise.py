"""Noise in the models of a stack: each draws what it would have drawn alone.

A run draws its noise (dropout, the code of a variational auto-encoder) from the global generator,
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
from thalweg.train.restored.randomness import seed_noise

_CPU = torch.device("cpu")
_OF_SIZES = frozenset({"rand", "randn", "randint"})
"""Random operations that are given sizes."""
_OF_SHAPES = frozenset(
    {
        *("rand_like", "randn_like", "randint_like", "bernoulli.p", "bernoulli_.float"),
        *("uniform_", "normal_", "exponential_", "random_", "geometric_", "cauchy_", "log_normal_"),
    }
)
"""Random operations on a tensor of which only the shape matters."""
_OF_VALUES = frozenset({"bernoulli", "normal", "poisson"})
"""Random operations on tensors whose numbers matter: drawn for each model."""


class Noise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Draws, inside its context, the noise of each model from the state of its seed.

    Args:
        seeds: the seed of each model.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._states: dict[int, Tensor] = {}
        self.keep(seeds)

    def keep(self, seeds: Sequence[int]) -> None:
        """Go on with the models of these seeds."""
        self._seeds = list(seeds)
        places: dict[int, list[int]] = {}
        for row, seed in enumerate(seeds):
            places.setdefault(seed, []).append(row)
        self._rows = {seed: torch.tensor(rows) for seed, rows in places.items()}
        order = {seed: k for k, seed in enumerate(places)}
        self._which = torch.tensor([order[seed] for seed in seeds])

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
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if any(isinstance(x, torch.Generator) for x in (*args, *kwargs.values())):
            raise StackError("The model draws noise from a generator of its own.")
        base, _, overload = func._schema.name.removeprefix("aten::"), None, func._overloadname
        if base in _OF_SIZES:
            place = next(k for k, x in enumerate(args) if isinstance(x, (list, tuple, torch.Size)))
            sizes = self._one(list(args[place]), base)
            before, after = args[:place], args[place + 1 :]
            return self._by_seed(lambda row: func(*before, sizes, *after, **kwargs))
        if base in _OF_SHAPES or f"{base}.{overload}" in _OF_SHAPES:
            self._one(list(args[0].shape), base)
            return self._on_shape(func, args, kwargs)
        if base in _OF_VALUES and "Generator" not in overload:
            tensors = [x for x in args if isinstance(x, Tensor)]
            for x in tensors:
                self._one(list(x.shape), base)
            return self._by_row(
                lambda row: func(
                    *(x[row].clone() if isinstance(x, Tensor) else x for x in args), **kwargs
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
        in_place = func._schema.name.endswith("_")

        def draw(row: int) -> Tensor:
            like = torch.empty_like(target[row]) if in_place else target[row]
            drawn: Tensor = func(like, *args[1:], **kwargs)
            return drawn

        drawn = self._by_seed(draw)
        return target.copy_(drawn) if in_place else drawn

    def _by_seed(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Draw once for each seed, and give each model what its seed drew."""
        drawn = []
        for seed, rows in self._rows.items():
            torch.default_generator.set_state(self._states[seed])
            drawn.append(draw(int(rows[0])))
            self._states[seed] = torch.default_generator.get_state()
        if len(drawn) == 1:
            return drawn[0].expand(len(self._seeds), *drawn[0].shape).contiguous()
        return torch.stack(drawn).index_select(0, self._which)

    def _by_row(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Draw for each model, all of one seed from the same state."""
        drawn, after = [], {}
        for row, seed in enumerate(self._seeds):
            torch.default_generator.set_state(self._states[seed])
            drawn.append(draw(row))
            after[seed] = torch.default_generator.get_state()
        self._states.update(after)
        return torch.stack(drawn)
