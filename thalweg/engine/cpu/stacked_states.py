"""States of other shapes than the parameter's, kept where matrix functions read them: one behind the other.

The states of one name of a stack lie in one memory, and each tensor in the state of a parameter has a storage
of its own that begins within it. So nothing is copied before a step, and what a step computes is written by
one copy for a slice; a saved or copied state takes along its own numbers alone. The tensor objects stay the
same: their memory is exchanged once, and again where somebody replaced one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from thalweg.engine.matrix.printed import fitted
from thalweg.engine.member import Member
from thalweg.engine.program.program import Program
from thalweg.engine.program.shapes import state_size
from thalweg.engine.storage import PLAIN, holds_its_numbers, memory_problem
from thalweg.errors import EngineError


class Group(Protocol):
    """Members of one size."""

    sizes: tuple[int, int, int]
    places: list[int]


class WatchedStates(Protocol):
    """Tensors in states that are expected to stay the same, and to lie where they lie."""

    def hold(self) -> bool:
        """Whether they do."""

    def count_change(self) -> None:
        """Tell autograd that their numbers have changed."""


Watch = Callable[[Sequence[dict[str, Any]], Sequence[str], Sequence[Tensor]], WatchedStates]
"""From states, a name in each, and the tensors that are there."""


class StatesOfStack:
    """The states of one name of all members of a stack, as one tensor.

    `whole` is None where somebody else has moved one of them since. `are_there` says whether the states
    themselves lie in it; otherwise it is a copy, made for one step.
    """

    def __init__(self, whole: Tensor, states: Sequence[Tensor], are_there: bool) -> None:
        self.whole: Tensor | None = whole
        self.states, self.are_there = states, are_there
        self.addresses = [x.data_ptr() for x in states]
        self._slices: dict[tuple[int, int], Tensor] = {}

    def holds(self, states: Sequence[Tensor]) -> bool:
        """Whether states lie in its memory."""
        there = self.are_there and self.whole is not None
        return there and self.addresses == [x.data_ptr() for x in states]

    def let_go(self) -> None:
        """Forget the memory, which others use or no one needs."""
        self.whole = None
        self._slices = {}

    def slice(self, start: int, end: int) -> Tensor:
        """Return the states of some members, as a stack of matrices."""
        known = self._slices.get((start, end))
        if known is None:
            assert self.whole is not None
            each = len(self.whole) // max(1, len(self.states))
            known = self._slices[start, end] = self.whole[start * each : end * each]
        return known

    def write(self, start: int, end: int, new: object) -> None:
        """Write new states of some members: a stack, or what is repeated to one."""
        target = self.slice(start, end)
        if new is target:
            return
        if self.are_there and isinstance(new, Tensor):
            target.copy_(new)
            return
        chosen = self.states[start:end]
        each = len(target) // max(1, len(chosen))
        for k, state in enumerate(chosen):
            part = new
            if isinstance(new, Tensor) and new.ndim and len(new) != 1:
                part = new[k * each : (k + 1) * each]
            state.copy_(fitted(part, state))


_MOVED: WeakValueDictionary[int, StatesOfStack] = WeakValueDictionary()
"""Where a state begins that lies in the memory of a stack."""


class StackedStates:
    """The states of other shapes of a batch.

    Args:
        program: what steps the members.
        members: the parameters.
        stacks: which of them lie together.
        dtype: in which matrix functions compute. States of another dtype are copied at each step.
        watch: what tells whether tensors are still the same.
    """

    def __init__(
        self,
        program: Program,
        members: Sequence[Member],
        stacks: Sequence[Group],
        dtype: torch.dtype,
        watch: Watch,
    ) -> None:
        self._members, self._stacks, self._dtype = members, stacks, dtype
        self._shapes, self._seen = list(program.matrix_states.values()), program.seen
        cells = [
            (members[place], members[place].matrix_names[k])
            for stack in stacks
            for k in range(len(self._shapes))
            for place in stack.places
        ]
        self._dicts, self._names = [m.state for m, _ in cells], [name for _, name in cells]
        self._watch = watch
        self._found: list[list[StatesOfStack]] = []
        self._watched: WatchedStates | None = None
        self.memories: set[int] = set()
        """Where the memory of each stack begins."""

    def of(self, stack: int, k: int) -> StatesOfStack:
        """Return the k-th states of a stack, as they were read last."""
        return self._found[stack][k]

    def read(self) -> None:
        """Find the states, which may be other objects at every step, and may lie elsewhere.

        Raises:
            EngineError: a state has another size than the parameter asks for, or its memory is gone.
        """
        if not self._shapes:
            return
        every = [x for each in self._found for x in each]
        if self._watched and self._watched.hold() and all(x.whole is not None for x in every):
            return
        self._watched = None
        before = self._found or [[] for _ in self._stacks]
        self._found = [
            [self._gathered(stack, k, known) for k in range(len(self._shapes))]
            for stack, known in zip(self._stacks, before, strict=True)
        ]
        every = [x for each in self._found for x in each]
        self.memories = {memory_of(x.slice(0, 1)) for x in every}
        if all(x.are_there for x in every):
            self._watched = self._watch(
                self._dicts, self._names, [state for x in every for state in x.states]
            )

    def count_change(self) -> None:
        """Tell autograd that the states have changed."""
        if self._watched is not None:
            self._watched.count_change()

    def _gathered(self, stack: Group, k: int, known: Sequence[StatesOfStack]) -> StatesOfStack:
        """Return the k-th states of a stack, put into one memory where they can be."""
        states = [self._checked(self._members[place], k) for place in stack.places]
        movable = all(map(self._may_move, states))
        old = known[k] if known else None
        if movable and old is not None and old.holds(states):
            old.states = states
            return old
        each, *_ = stack.sizes
        size = (len(states) * each, *states[0].shape[-2:])
        if not movable:
            whole = torch.stack(states).to(self._dtype).reshape(size)
            return StatesOfStack(whole, states, False)
        if old is not None:
            old.let_go()
        if len(states) > 1:
            return _moved(states, size)
        alone = StatesOfStack(states[0].detach().view(size), states, True)
        _MOVED.setdefault(alone.addresses[0], alone)
        return alone

    def _may_move(self, x: Tensor) -> bool:
        """Whether a state can be given other memory, and be computed with where it lies."""
        return (
            type(x) in PLAIN
            and x.dtype is self._dtype
            and x.device.type == "cpu"
            and x.is_contiguous()
            and x.numel() > 0
            and not (x.requires_grad or x.is_inference() or x._is_view() or x.is_neg())
            and not torch.is_inference_mode_enabled()
        )

    def _checked(self, member: Member, k: int) -> Tensor:
        """Return a state of a member."""
        state: Tensor = member.state[member.matrix_names[k]]
        size = state_size(self._shapes[k], member.param.shape, self._seen)
        name = member.state_called(member.matrix_names[k])
        if tuple(state.shape) != size:
            raise EngineError(f"{name} has shape {tuple(state.shape)}, not {size}.")
        if not holds_its_numbers(state):
            raise EngineError(memory_problem(state, name))
        return state


def memory_of(x: Tensor) -> int:
    """Return where the storage of a tensor begins."""
    return x.untyped_storage().data_ptr()


def _moved(states: Sequence[Tensor], size: tuple[int, ...]) -> StatesOfStack:
    """Put states behind each other into one memory; each keeps a storage of its own numbers alone.

    Storages that NumPy lends begin anywhere in a memory, and keep all of it while one of them lives.
    """
    whole = torch.empty(size, dtype=states[0].dtype, device="cpu")
    parts = whole.numpy().reshape(len(states), *states[0].shape)
    for state, part in zip(states, parts, strict=True):
        before = _MOVED.pop(state.data_ptr(), None)
        if before is not None:
            before.let_go()  # another plan, whose memory would be kept for nothing
        own = torch.from_numpy(part)
        own.copy_(state)
        state.data = own
    made = StatesOfStack(whole, states, True)
    _MOVED.update(dict.fromkeys(made.addresses, made))
    return made
