"""The members of a step: the parameters that have gradients, with states and lines of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from thalweg.engine.member import Member
from thalweg.engine.rows import NOT_ON_HOST, Block
from thalweg.engine.storage import PLAIN
from thalweg.optim.stepping.keeping import KeptStates


class _Form(Protocol):
    """How a parameter is stepped."""

    @property
    def matrix_states(self) -> Mapping[str, Any]:
        """The states of other shapes than the parameter's."""

    @property
    def numbers_kept(self) -> tuple[str, ...]:
        """The names of its numbers."""

    def kept(self, p: Tensor) -> KeptStates:
        """Return how the states of a parameter are kept, and the program that steps it."""


def members_of(
    present: Sequence[tuple[Tensor, Tensor, int, int]],
    forms: Sequence[_Form],
    states: Mapping[Any, dict[str, Any]],
    lines: Mapping[int, tuple[dict[str, Any], Block | Tensor, int]],
    names: Sequence[str | None],
    places: Mapping[int, int],
) -> Iterator[Member]:
    """Yield the members, each stepped by its form.

    `present` are parameters with their gradients, the numbers of their groups, and their places in the
    optimizer; `lines` says where the numbers of a state lie, by its id; `places` which number the noise of a
    parameter is drawn with, by its id.
    """
    for (p, g, k, ordinal), reader in zip(present, forms, strict=True):
        state, kept = states[p], reader.kept(p)
        block, line = lines[id(state)][1:]
        yield Member(
            param=p,
            grad_dtype=g.dtype,
            grad_layout=g.layout,
            grad_is_plain=type(g) in PLAIN,
            state=state,
            names=kept.names,
            matrix_names=tuple(reader.matrix_states),
            kept=reader.numbers_kept,
            group=k,
            program=kept.program,
            block=NOT_ON_HOST if isinstance(block, Tensor) else block,
            line=line,
            ordinal=places[id(p)],
            name=names[ordinal],
        )
