"""A step of which nothing has changed, prepared in one compiled call.

Each of the compiled loops that check a plan takes less time than its call from Python. Where a plan is one
batch of one pass, one function calls them in a row, by the very tables that Python calls them with; then it
computes the scalars, and counts the step. Where any of them finds something changed, nothing is written, and
the step is gone through in Python, which checks the same again and knows what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from thalweg.engine.cpu.calls.loops import Called, arguments, compiled_loop
from thalweg.engine.dense import is_flagged
from thalweg.engine.refusals import Refusals

Words = np.ndarray[Any, np.dtype[np.int64]]


class Compiled(Protocol):
    """What is done by compiled code."""

    called: Called


class Reads(Compiled, Protocol):
    """The layouts of tensors."""

    found: Words
    """The addresses that were read last."""


class Gets(Compiled, Protocol):
    """The gradients of parameters."""

    params: list[Tensor]


class Scalars(Compiled, Protocol):
    """The scalars of rows, see `HostScalars`."""

    table: Words
    lines: Words
    width: int

    def take(self, numbers: Sequence[list[float]]) -> None:
        """Take the numbers of the groups."""


class PreparedBatch(Protocol):
    """A batch whose step was prepared."""

    moved: bool
    """Whether memory has moved that the plan has not looked at."""

    def finish(self) -> None:
        """Write the new parameters and states."""


class OneCall:
    """The step of a batch, the only one of its plan, as long as nothing has changed.

    Args:
        batch: what steps when all is prepared.
        same: the parameters and states of the optimizer.
        entries: what the states hold.
        written: the parameters and states of the batch, a list that stays the same one, and their layouts.
        known: the addresses at which they were last.
        gradients: how the gradients are read, and their layouts.
        odd: the parameters whose gradients may be negated or conjugated.
        pointers: the table of addresses that the kernel reads; its first column is the gradients'.
        blocks: the numbers of all members: the address where they are, the one where they are as the last
            step left them, and how many they are.
        scalars: the rows.

    The block of arguments has addresses of what batch and plan keep, which they change in place alone.
    """

    def __init__(
        self,
        batch: PreparedBatch,
        *,
        same: Compiled,
        entries: Compiled,
        written: tuple[list[Tensor], Reads],
        known: Words,
        gradients: tuple[Gets, Reads],
        odd: Sequence[Tensor],
        pointers: Words,
        blocks: Sequence[tuple[int, int, int]],
        scalars: Scalars,
    ) -> None:
        self._batch = batch
        self._odd = odd
        self._scalars = scalars
        self._count = len(pointers)
        # what the block has the addresses of
        self._kept = (same, entries, written, known, gradients, pointers)
        self._blocks = np.array(blocks, dtype=np.int64)
        words = {
            **_called("compare", same.called),
            **_called("look_up", entries.called),
            **_called("read", written[1].called),
            "written": id(written[0]),
            "found": written[1].found.ctypes.data,
            "known": known.ctypes.data,
            "known_count": len(known),
            "blocks": self._blocks.ctypes.data,
            "block_count": len(self._blocks),
            **_called("get", gradients[0].called),
            "owners": id(gradients[0].params),
            "grad_call": gradients[1].called.block,
            "grad_found": gradients[1].found.ctypes.data,
            "pointers": pointers.ctypes.data,
            "stride": pointers.shape[1],
            "count": len(pointers),
            **_called("scalars", scalars.called),
            "rows": scalars.table.ctypes.data,
            "row_count": len(scalars.table),
            "lines": scalars.lines.ctypes.data,
            "line_count": len(scalars.lines),
            "width": scalars.width,
        }
        assert tuple(words) == tuple(_WORDS)
        self._call = np.array(list(words.values()), dtype=np.int64)
        self._argument = self._call.ctypes.data
        self._prepare = compiled_loop(_PREPARE, "prepare", 3)
        self._check = compiled_loop(_CHECK, "check", 3)
        self._commit = compiled_loop(_COMMIT, "commit", 0)
        self._refusals = Refusals()

    def step(
        self, params: list[Any], states: dict[Any, Any], numbers: Sequence[list[float]]
    ) -> bool:
        """Step, if nothing has changed; otherwise change nothing.

        `numbers` are lr and the hyperparameters of each group.
        """
        if self._refusals.is_pausing():
            return False
        grads = [None] * self._count  # it keeps them alive until the step is over
        is_prepared = self._is_well(self._prepare, params, states, grads, numbers)
        self._refusals.note(refused=not is_prepared)
        if is_prepared:
            self._batch.finish()
        return is_prepared

    def check(
        self, params: list[Any], states: dict[Any, Any], numbers: Sequence[list[float]]
    ) -> list[Any] | None:
        """Make the checks of `step` alone; see `thalweg.engine.together`."""
        grads: list[Any] = [None] * self._count
        return grads if self._is_well(self._check, params, states, grads, numbers) else None

    def take(self) -> None:
        """Step, all having been checked."""
        self._commit(self._argument)
        self._batch.finish()

    def _is_well(
        self,
        compiled: Any,
        params: list[Any],
        states: dict[Any, Any],
        grads: list[Any],
        numbers: Any,
    ) -> bool:
        """Call a compiled function, and return whether it found nothing changed."""
        if self._batch.moved or (self._odd and any(map(_is_flagged, self._odd))):
            return False
        self._scalars.take(numbers)
        try:
            return compiled(params, states, grads, self._argument) == 0  # type: ignore[no-any-return]
        # a kind of tensor that has no memory to point to; or Python is to raise it
        except Exception:
            return False


def _is_flagged(param: Tensor) -> bool:
    """Whether a parameter has a gradient that still is to be conjugated or negated."""
    grad = param.grad
    return grad is not None and is_flagged(grad)


def _called(name: str, called: Called) -> dict[str, int]:
    return {name: called[0], f"{name}_call": called[1]}


_NAMES = """
    compare compare_call look_up look_up_call read read_call written found known known_count
    blocks block_count get get_call owners grad_call grad_found pointers stride count
    scalars scalars_call rows row_count lines line_count width
"""
_NUMBERS = ("known_count", "block_count", "stride", "count", "row_count", "line_count", "width")
_WORDS = {name: "i64" if name in _NUMBERS else "ptr" for name in _NAMES.split()}
"""The words of the block: addresses, and numbers."""


def _each(name: str, given: str, record: dict[str, str], body: str) -> str:
    """Return the LLVM text of a loop over n records of words, until one of them is not `%well`."""
    return f"""
define internal i1 @{name}(ptr %records, i64 %n{given}) optsize {{
entry:
  br label %check
check:
  %i = phi i64 [0, %entry], [%i_next, %next]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %record, label %yes
record:
  %at = mul i64 %i, {len(record)}
  %call = getelementptr i64, ptr %records, i64 %at
{arguments(**record)}{body}  br i1 %well, label %next, label %no
next:
  %i_next = add i64 %i, 1
  br label %check
yes:
  ret i1 true
no:
  ret i1 false
}}
"""


_WORDS_OF_MEMORY = """
declare i32 @memcmp(ptr, ptr, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define internal i1 @alike(ptr %a, ptr %b, i64 %n) optsize {
  %bytes = shl i64 %n, 3
  %order = call i32 @memcmp(ptr %a, ptr %b, i64 %bytes)
  %is_same = icmp eq i32 %order, 0
  ret i1 %is_same
}

define internal i1 @copied(ptr %from, ptr %to, i64 %n) optsize {
  %bytes = shl i64 %n, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  ret i1 true
}
"""
"""Whether n words are the same in two places (as bits: a NaN is not equal to itself), and their copy."""

_BLOCK = {"now": "ptr", "left": "ptr", "words": "i64"}

_AS_LEFT = _each(
    "as_left", "", _BLOCK, "  %well = call i1 @alike(ptr %now, ptr %left, i64 %words)\n"
)
"""Whether each block of lines holds what the last step left."""

_LEAVE = _each("leave", "", _BLOCK, "  %well = call i1 @copied(ptr %now, ptr %left, i64 %words)\n")
"""Notes what the blocks hold at the end of a step."""

_COMPUTED = _each(
    "computed",
    ", ptr %scalars, ptr %scalars_call",
    {"line": "ptr", "numbers": "ptr", "reads": "ptr", "kept": "ptr"},
    "  %refused = call i64 %scalars("
    "ptr %line, ptr %numbers, ptr %reads, ptr %kept, ptr %scalars_call)\n"
    "  %well = icmp eq i64 %refused, 0\n",
)
"""Computes the scalars of each row, unless one is refused; the lines stay as they are."""

_COUNTED = _each(
    "counted",
    ", i64 %width",
    {"from": "ptr", "to": "ptr"},
    "  %well = call i1 @copied(ptr %from, ptr %to, i64 %width)\n",
)
"""Writes the new numbers of its row into each line."""

_POINTED = _each(
    "pointed",
    ", ptr %table, i64 %stride",
    {"address": "i64"},
    """  %to_at = mul i64 %i, %stride
  %to_p = getelementptr i64, ptr %table, i64 %to_at
  store i64 %address, ptr %to_p
  %well = icmp eq i64 %n, %n
""",
)
"""Puts addresses into the first column of a table."""

_HELPERS = "".join((_WORDS_OF_MEMORY, _AS_LEFT, _LEAVE, _COMPUTED, _COUNTED, _POINTED))

_WRITE = """  call i1 @pointed(ptr %grad_found, i64 %count, ptr %pointers, i64 %stride)
  call i1 @counted(ptr %lines, i64 %line_count, i64 %width)
  call i1 @leave(ptr %blocks, i64 %block_count)
"""
"""Writes all that a kernel reads, and counts the step."""


def _checks(name: str, then: str) -> str:
    """Return the LLVM text of a function that makes all checks, then does `then`; or returns 1.

    It writes nothing before but tables that every step writes again.
    """
    return (
        _HELPERS
        + f"""
define i64 @"{name}"(ptr %params, ptr %states, ptr %grads, ptr %call) optsize {{
entry:
"""
        + arguments(**_WORDS)
        + _CHECKS
        + f"""commit:
{then}  ret i64 0
changed:
  ret i64 1
}}
"""
    )


_CHECKS = """  %others = call i64 %compare(ptr %params, ptr %states, ptr %compare_call)
  %are_same = icmp eq i64 %others, 0
  br i1 %are_same, label %entries, label %changed
entries:
  %other_entry = call i64 %look_up(ptr %look_up_call)
  %hold = icmp eq i64 %other_entry, -1
  br i1 %hold, label %layouts, label %changed
layouts:
  %other_layout = call i64 %read(ptr %written, ptr %read_call)
  %stored_alike = icmp eq i64 %other_layout, -1
  br i1 %stored_alike, label %addresses, label %changed
addresses:
  %stayed = call i1 @alike(ptr %found, ptr %known, i64 %known_count)
  br i1 %stayed, label %numbers, label %changed
numbers:
  %left = call i1 @as_left(ptr %blocks, i64 %block_count)
  br i1 %left, label %gradients, label %changed
gradients:
  %no_gradient = call i64 %get(ptr %owners, ptr %grads, ptr %get_call)
  %got = icmp eq i64 %no_gradient, -1
  br i1 %got, label %grad_layouts, label %changed
grad_layouts:
  %other_grad = call i64 %read(ptr %grads, ptr %grad_call)
  %grads_alike = icmp eq i64 %other_grad, -1
  br i1 %grads_alike, label %compute, label %changed
compute:
  %well = call i1 @computed(ptr %rows, i64 %row_count, ptr %scalars, ptr %scalars_call)
  br i1 %well, label %commit, label %changed
"""
"""The checks, each of which goes to `changed` where it fails, and the last of which goes to `commit`."""

_PREPARE = _checks("prepare", _WRITE)
_CHECK = _checks("check", "")
_COMMIT = (
    _HELPERS
    + """
define i64 @"commit"(ptr %call) optsize {
entry:
"""
    + arguments(**_WORDS)
    + _WRITE
    + "  ret i64 0\n}\n"
)
