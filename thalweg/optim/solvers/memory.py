"""What L-BFGS keeps from step to step, under the names that PyTorch gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.solvers.flat import Flat

_LEAST_CURVATURE = 1e-10
"""A pair whose sᵀy is not above this is left out, as PyTorch does it."""


@dataclass
class Memory:
    """The last pairs (s, y), the last direction d and step length t, and the gradient before that step.

    `scale` is γ = sᵀy/yᵀy of the newest pair. `absent` are the parameters that had no gradient then.
    `origin` is the point before a move whose end was not evaluated.
    """

    n_iter: int = 0
    d: Tensor | None = None
    t: float = 0.0
    y: list[Tensor] = field(default_factory=list)
    s: list[Tensor] = field(default_factory=list)
    ro: list[float] = field(default_factory=list)
    scale: float = 1.0
    g: Tensor | None = None
    f: float = 0.0
    absent: tuple[int, ...] = ()
    origin: Tensor | None = None

    @classmethod
    def read(cls, state: Mapping[str, Any], flat: Flat) -> Memory:
        """Return what a state holds, PyTorch's or one of this package.

        Raises:
            ValueError: for the state of other parameters.
        """
        memory = cls(n_iter=int(state.get("n_iter", 0)))
        if state.get("d") is None:
            return memory
        memory.d, memory.g = _vector(state["d"], flat), _vector(state["prev_flat_grad"], flat)
        memory.t, memory.f = float(state["t"]), float(state["prev_loss"])
        memory.scale = float(state["H_diag"])
        memory.y = [_vector(y, flat) for y in state["old_dirs"]]
        memory.s = [_vector(s, flat) for s in state["old_stps"]]
        memory.ro = [float(ro) for ro in state["ro"]]
        memory.absent = tuple(state.get("absent", ()))
        if state.get("origin") is not None:
            memory.origin = _vector(state["origin"], flat)
        return memory

    def write(self, state: dict[str, Any]) -> None:
        """Put all of it into a state, as PyTorch does."""
        state["n_iter"] = self.n_iter
        if self.d is None:
            return
        state |= {"d": self.d, "t": self.t, "prev_flat_grad": self.g, "prev_loss": self.f}
        state |= {"old_dirs": self.y, "old_stps": self.s, "ro": self.ro, "H_diag": self.scale}
        state.pop("al", None)  # room that PyTorch makes again
        extra = {"absent": list(self.absent), "origin": self.origin}
        for name, value in extra.items():
            state.pop(name, None)
            if value is not None and not (name == "absent" and not self.absent):
                state[name] = value

    def forget(self) -> None:
        """Drop the pairs."""
        self.y, self.s, self.ro, self.scale = [], [], [], 1.0

    def learn(self, g: Tensor, absent: Sequence[int], most: int, flat: Flat) -> None:
        """Take the pair of the last step, from the gradient `g` after it.

        A parameter without a gradient before or after the step has no part in the pair.
        """
        assert self.d is not None
        assert self.g is not None
        unknown = sorted({*absent, *self.absent})
        y = flat.without(g - self.g, unknown)
        s = flat.without(self.d * self.t, unknown)
        ys = float(y.dot(s))
        if not ys > _LEAST_CURVATURE:
            return
        while len(self.y) >= max(most, 1):
            del self.y[0], self.s[0], self.ro[0]
        self.y.append(y)
        self.s.append(s)
        self.ro.append(1.0 / ys)
        self.scale = ys / float(y.dot(y))

    def direction(self, g: Tensor) -> Tensor:
        """Return −H·g by two loops over the pairs (Nocedal and Wright, algorithm 7.4)."""
        q = g.neg()
        shares = []
        for y, s, ro in zip(reversed(self.y), reversed(self.s), reversed(self.ro), strict=True):
            shares.append(float(s.dot(q)) * ro)
            q.add_(y, alpha=-shares[-1])
        d = q.mul_(self.scale)
        for y, s, ro, share in zip(self.y, self.s, self.ro, reversed(shares), strict=True):
            d.add_(s, alpha=share - float(y.dot(d)) * ro)
        return d


VECTORS = ("d", "prev_flat_grad", "origin")
LISTS = ("old_dirs", "old_stps")


def rearranged(state: dict[str, Any], change: Any) -> None:
    """Apply a function to all vectors of a state."""
    for name in VECTORS:
        if state.get(name) is not None:
            state[name] = change(state[name])
    for name in LISTS:
        if state.get(name):
            state[name] = [change(vector) for vector in state[name]]


def _vector(value: Tensor, flat: Flat) -> Tensor:
    if value.numel() != flat.size:
        raise ValueError(
            f"The state of LBFGS is of {value.numel()} numbers, the parameters have {flat.size}. Was it "
            "saved for another model?"
        )
    vector: Tensor = torch.as_tensor(value).to(dtype=flat.dtype, device=flat.device)
    return vector
