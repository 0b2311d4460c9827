"""A point: one configuration of an entrant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """One configuration of an entrant: the learning rate, and the other hyperparameters searched.

    >>> Point(0.1, (("beta1", 0.9),)).values
    {'lr': 0.1, 'beta1': 0.9}
    """

    lr: float
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The hyperparameters by name, the learning rate first."""
        return {"lr": self.lr, **dict(self.others)}

    def __str__(self) -> str:
        others = "".join(f", {name} {value}" for name, value in self.others)
        return f"learning rate {self.lr:g}{others}"
