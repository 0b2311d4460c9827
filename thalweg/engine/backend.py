"""What an engine offers to the plan of a step: which parameters it can step, and batches of them.

A new engine is a class with the methods of `Backend`, and a line in `thalweg.engine.backends`. The plan knows
nothing else of engines.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from thalweg.engine.cohort import Cohort
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass
from thalweg.engine.program.program import Program


class EngineBatch(Protocol):
    """Parameters of one cohort that an engine steps together.

    A step is `prepare`, which changes nothing and may refuse, then either `step` or `run`. What `prepare`
    returned is alive until the step is over. A batch may have `one_call` besides, which returns a
    `StepInOneCall` or None.
    """

    moved: bool
    """Whether memory that the batch writes has moved since the plan looked last; the plan sets it back."""

    def holds(self) -> bool:
        """Whether parameters and states are still stored as they were when the batch was made.

        The numbers in a state are the same objects as then.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """

    def prepare(self) -> Any | None:
        """Return the gradients as the engine reads them, or None where they are not what the batch is for.

        Raises:
            EngineError: the memory behind a tensor is gone.
        """

    def step(self, prepared: Any, count: int) -> None:
        """Step the parameters by a program of one pass."""

    def run(self, prepared: Any, count: int) -> Pass:
        """Step the parameters stage by stage; `count` is the number of elements of all parameters.

        After each stage but the last it yields its share of the reductions over all tensors, and is sent the
        whole. When it ends, parameters and states are written.
        """

    def describe(self) -> str:
        """Return in a line what runs how."""


class StepInOneCall(Protocol):
    """Check, prepare and run the step of a plan at once, while nothing changes that it relies on."""

    def step(self, params: list[Any], states: dict[Any, Any], numbers: Sequence[list[Any]]) -> bool:
        """Step, or change nothing where something is other than it was."""


class Backend(Protocol):
    """An engine."""

    name: str

    alone: bool
    """Whether its batches may be stepped at any time: they share no memory with other parameters.

    Otherwise they go on in the order of the parameters, each in its turn.
    """

    def problem(self, program: Program) -> str | None:
        """Return why no parameter can be stepped by this program, or None."""

    def kind(self, member: Member) -> Hashable | None:
        """Return what parameters of one batch have in common, or None for one that it cannot step."""

    def refusal(self, member: Member) -> str | None:
        """Return what it is about a parameter that it cannot be stepped, or None; for `plan`."""

    def batch(self, cohort: Cohort, kind: Any, positions: Sequence[int]) -> EngineBatch:
        """Return a batch of the members of a cohort at these positions in the plan."""
