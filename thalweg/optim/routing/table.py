"""A table of routes: how an optimizer steps each parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.model.kinds import kinds_of
from thalweg.numeric import plural
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.memory_use import Size, memory_use
from thalweg.optim.stepping.steppable import param_names
from thalweg.text_table import aligned, html_table

_HEADINGS = ("name", "kind", "route", "shape", "lr", "decay", "state bytes")


@dataclass(frozen=True)
class RouteRow:
    """How one parameter is stepped.

    `lr` and `decay` are those of the step to come, `decay` None where there is none. `state_bytes` is what is
    kept for it, as it is or as the first step will make it (`optimizer.memory()`). `by` is how the kind was
    found: "type", "name", "torch.fx", or "order", a guess.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    by: str
    route: str
    chain: str
    lr: float
    decay: float | None
    state_bytes: int
    frozen: bool

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        kind = f"{self.kind}?" if self.by == "order" else self.kind
        return (
            self.name,
            kind,
            f"{self.route} (frozen)" if self.frozen else self.route,
            " × ".join(map(str, self.shape)) or "a number",
            f"{self.lr:g}",
            "-" if self.decay is None else f"{self.decay:g}",
            f"{self.state_bytes:,}",
        )


@dataclass(frozen=True)
class RouteTable:
    """How each parameter is stepped; `str` gives a table, a notebook shows one.

    A kind with a question mark was guessed from the order in which layers were defined.
    """

    rows: tuple[RouteRow, ...]

    @property
    def chains(self) -> dict[str, str]:
        """The chain of each route, as code; of one whose chain depends on a parameter's size, all of them."""
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            found.setdefault(row.route, {})[row.chain] = None
        return {route: " or ".join(texts) for route, texts in found.items()}

    @property
    def state_bytes(self) -> int:
        """What is kept for all parameters; for a frozen one that was never stepped nothing."""
        return sum(row.state_bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the rows, the chains by route, the bytes of all states."""
        rows = [{**asdict(row), "shape": list(row.shape)} for row in self.rows]
        return {"parameters": rows, "routes": self.chains, "state_bytes": self.state_bytes}

    def __str__(self) -> str:
        lines = aligned(_HEADINGS, (row.cells() for row in self.rows))
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *self._totals()])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        totals = "<br>".join(map(escape, self._totals()))
        return f"{html_table(_HEADINGS, (row.cells() for row in self.rows))}<p>{totals}</p>"

    def _totals(self) -> list[str]:
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.route] = counts.get(row.route, 0) + prod(row.shape)
        each = [
            f"{name}: {plural(counts[name], 'number')} by {text}"
            for name, text in self.chains.items()
        ]
        return [*each, f"{self.state_bytes:,} bytes of states"]


def routes_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> RouteTable:
    """Return how an optimizer steps the parameters of a model; behind a wrapper, the optimizer in it.

    Raises:
        TaskError: for an optimizer that is not made of rules.

    >>> from thalweg import optim
    >>> net = nn.Linear(2, 1)
    >>> [row.decay for row in routes_of(optim.AdamW(net, weight_decay=0.2), net).rows]
    [0.2, 0.2]
    """
    inner: Any = optimizer
    while not hasattr(inner, "form") and isinstance(
        getattr(inner, "optimizer", None), torch.optim.Optimizer
    ):
        inner = inner.optimizer
    if not hasattr(inner, "form"):
        raise TaskError(
            f"{type(inner).__name__} is not made of rules, so nothing is known of how it steps a parameter. "
            "Those of thalweg.optim that step by gradients are."
        )
    kinds = {each.name: (each.kind, each.by) for each in kinds_of(model)}
    return table_of(inner, inner.form, inner.state_sizes, kinds)


def table_of(
    optimizer: torch.optim.Optimizer,
    form: Callable[[Group, Tensor], Composition],
    sizes: Callable[[Group, Tensor], Mapping[str, Size]],
    kinds: Mapping[str, tuple[str, str]],
) -> RouteTable:
    """Return how an optimizer steps its parameters.

    `form` says by which chain it steps a parameter of a group, `sizes` what it keeps for it; `kinds` are
    those that are known, by name.
    """
    rows: list[RouteRow] = []
    for number, group in enumerate(optimizer.param_groups):
        for p, named in zip(group["params"], param_names(group), strict=True):
            name = named or f"parameter {len(rows)}"
            kind, by = kinds.get(name, ("-", ""))
            composed = form(group, p)
            rows.append(
                RouteRow(
                    name,
                    tuple(p.shape),
                    kind,
                    by,
                    str(group.get("route", f"group {number}")),
                    _text(composed, group),
                    float(group["lr"]),
                    decay_of(composed, group),
                    memory_use([{**group, "params": [p]}], optimizer.state, sizes).state,
                    not p.requires_grad,
                )
            )
    return RouteTable(tuple(rows))


def _text(composition: Composition, group: Group) -> str:
    """Return the chain of a group, with the numbers that are not the defaults of its rules."""
    links = []
    for place in composition.chain.places:
        defaults = place.rule.signature.hyperparameters
        given = {
            own: composition.getter(full)(group)
            for own, full in place.names.items()
            if own in defaults
        }
        shown = ", ".join(f"{n}={v!r}" for n, v in given.items() if v != defaults[n])
        links.append(f"{place.rule.name}({shown})")
    return f"chain({', '.join(links)})" if len(links) > 1 else links[0]


def decay_of(composition: Composition, group: Group) -> float | None:
    """Return the weight decay of a group, summed where its chain has several, or None."""
    whole = composition.chain
    names = [n for n in whole.hyperparameters if n.split(".")[-1] == "weight_decay"]
    found = [float(composition.getter(name)(group)) for name in names]
    return sum(found) if found else None
