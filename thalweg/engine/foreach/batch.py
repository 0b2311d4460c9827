"""A foreach batch: tensors of one program, device and set of dtypes, stepped by functions over lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.capturing import counted_by_the_host, is_capturing, moved
from thalweg.engine.cohort import Cohort
from thalweg.engine.foreach.counted import Counted
from thalweg.engine.foreach.lists import fitted, lift
from thalweg.engine.foreach.part import ListPart, PartGradients
from thalweg.engine.foreach.printed import Kind, Segment, printed
from thalweg.engine.foreach.slices import can_be_cut, largest_part, sliced
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass, combined
from thalweg.engine.precision import computed_in, reduced_in
from thalweg.engine.storage import (
    PLAIN,
    elements,
    first_without_memory,
    holds_its_numbers,
    is_dense,
    memory_problem,
)
from thalweg.errors import EngineError
from thalweg.numeric import plural

FUSES = True
"""Whether operations are put together; tests compare what is not, to the last bit."""

_PLAIN = set(PLAIN)
_address = Tensor.data_ptr
_shape = Tensor.size
_strides = Tensor.stride
_dtype: Any = Tensor.dtype.__get__  # type: ignore[attr-defined]


class ForeachBatch:
    """Tensors that step together, by functions over lists of them.

    Args:
        cohort: the parameters of one program.
        positions: which of them.
        states_hold: says whether their states hold the same objects as now.
    """

    def __init__(
        self, cohort: Cohort, positions: Sequence[int], states_hold: Callable[[], bool]
    ) -> None:
        self._cohort = cohort
        self.program = cohort.program
        self._members = [cohort.members[k] for k in positions]
        self._rows = [
            m.group if cohort.on_device else cohort.row_of[k]
            for k, m in zip(positions, self._members, strict=True)
        ]
        self._sorted_rows = sorted(set(self._rows))
        self._counted = {
            row: Counted(cohort, [self._members[k] for k in self._of_row(row)])
            for row in (self._sorted_rows if cohort.on_device else ())
        }
        self.params = [m.param for m in self._members]
        first = self._members[0]
        self._grad_dtype = first.grad_dtype
        self.device, stored = first.param.device, [x.dtype for x in _written([first])]
        self.dtype = computed_in(stored[0])
        self._wide = reduced_in(self.device)
        widens = any(d != self.dtype for d in (first.grad_dtype, *stored))
        self._kind = Kind(self.device.type == "cpu", widens, FUSES)
        self._cuts = can_be_cut(self.program)
        self._conditions = [k for k, v in enumerate(self.program.host_reads) if v.boolean]
        self._states_hold = states_hold
        self._tensors = _written(self._members)
        self._bytes = [x.nbytes for x in self._tensors]
        self._grad_bytes = [p.numel() * first.grad_dtype.itemsize for p in self.params]
        self._shapes = list(map(_shape, self.params))
        self._layouts = _layouts(self._tensors)
        self._note_addresses(list(map(_address, self._tensors)))
        self._parts: dict[tuple[int, int], list[ListPart]] = {}
        self._cut_strides: list[tuple[int, tuple[int, ...]]] = []
        """The strides of the parameters that are cut, for which pieces of memory were noted."""
        self.moved = False
        """Whether memory has moved since the owner looked last."""

    # -- checking ------------------------------------------------------------------------------------

    def _note_addresses(self, found: list[int]) -> None:
        self._addresses = found
        self._places = frozenset(found) - {0}  # an empty tensor is nowhere

    def holds(self) -> bool:
        """Whether states hold the same objects, and tensors are as they were; their memory may have moved.

        What has not moved is looked at as far as a parameter may become another tensor in the same memory.

        Raises:
            EngineError: a storage that has moved is too small for its tensor.
        """
        if not self._states_hold() or list(map(_shape, self.params)) != self._shapes:
            return False
        found = list(map(_address, self._tensors))
        if found == self._addresses:
            return all(_strides(self.params[k]) == s for k, s in self._cut_strides)
        if _layouts(self._tensors) != self._layouts:
            return False
        small = first_without_memory(self._tensors, self._bytes)
        if small is not None:
            raise EngineError(memory_problem(self._tensors[small], self._called(small)))
        self._note_addresses(found)
        self._parts, self._cut_strides = {}, []
        self.moved = True
        return True

    def _called(self, k: int) -> str:
        """Return what the k-th of the tensors that are written is called in a message."""
        first = self._members[0]
        k, slot = divmod(k, 1 + len(first.names) + len(first.matrix_names))
        return self._members[k].slot_called(slot)

    def prepare(self) -> PartGradients | None:
        """Return the gradients, or None where one is missing or of another kind.

        Raises:
            EngineError: the storage of a gradient is too small for it; a CUDA graph is being captured.
        """
        if is_capturing(self.device) and not self._cohort.on_device:
            raise counted_by_the_host()
        grads: list[Any] = [p.grad for p in self.params]
        if not set(map(type, grads)) <= _PLAIN or set(map(_dtype, grads)) != {self._grad_dtype}:
            return None
        if list(map(_shape, grads)) != self._shapes:
            return None
        try:
            places = list(map(_address, grads))
        except RuntimeError:  # sparse, or of another kind without memory
            return None
        self._check_memory(grads)
        # what is written must not change what is read later
        if not self._places.isdisjoint(places):
            grads = [
                g.clone() if at in self._places else g for g, at in zip(grads, places, strict=True)
            ]
        return PartGradients(grads, self.params)

    def _check_memory(self, grads: list[Tensor]) -> None:
        if first_without_memory(grads, self._grad_bytes) is None:
            return
        for g, member in zip(grads, self._members, strict=True):
            if not holds_its_numbers(g):
                raise EngineError(memory_problem(g, member.gradient_called))

    # -- stepping ------------------------------------------------------------------------------------

    def step(self, prepared: PartGradients, count: int) -> None:
        """Step all tensors by a program of one pass."""
        with torch.no_grad():
            for part, segments in self._ready(count):
                self._run(segments[-1], part, prepared, ())

    def run(self, prepared: PartGradients, count: int) -> Pass:
        """Step all tensors stage by stage; `count` is the number of all elements."""
        ready = self._ready(count)
        known: list[tuple[Any, ...]] = [() for _ in ready]
        reducing = {segment.stage: k for k, segment in enumerate(ready[0][1][:-1])}
        for stage in range(self.program.stages):
            if stage not in reducing:
                yield ()
                continue
            place = reducing[stage]
            with torch.no_grad():
                made = [
                    self._run(segments[place], part, prepared, k)
                    for (part, segments), k in zip(ready, known, strict=True)
                ]
                ops = ready[0][1][place].ops
                shares = combined(ops, [each for each, _ in made])
            wholes = yield shares
            known = [
                (*(_received(part, x) for x in wholes), *carried)
                for (part, _), (_, carried) in zip(ready, made, strict=True)
            ]
        with torch.no_grad():
            for (part, segments), k in zip(ready, known, strict=True):
                numbers, _ = self._run(segments[-1], part, prepared, k)
                part.keep(numbers)

    def _ready(self, count: int) -> list[tuple[ListPart, tuple[Segment, ...]]]:
        """Return the parts with the functions that step them now."""
        ready = []
        for row in self._sorted_rows:
            reads = self._reads(row)
            truths = tuple(
                bool(reads[k]) for k in self._conditions if not isinstance(reads[k], Tensor)
            )
            columns = zip(
                self.program.host_reads, reads, strict=False
            )  # then plain numbers beside vectors
            vectors = frozenset(v for v, x in columns if isinstance(x, Tensor))
            fit = [x if isinstance(x, Tensor) else fitted(x, self.dtype) for x in reads]
            segments = printed(self.program, truths, self._kind, vectors)
            for part in self._parts_of(row, max(s.temporaries for s in segments)):
                part.count, part.reads = count, [part.own(x) for x in fit]
                ready.append((part, segments))
        return ready

    def _reads(self, row: int) -> Sequence[Any]:
        """Return the numbers that a step of a row reads; those on the device count it now."""
        if not self._cohort.on_device:
            return self._cohort.reads[row]
        return self._counted[row].advance(is_capturing(self.device))

    def _of_row(self, row: int) -> list[int]:
        return [k for k, own in enumerate(self._rows) if own == row]

    def _parts_of(self, row: int, temporaries: int) -> list[ListPart]:
        key = (row, temporaries)
        if key not in self._parts:
            if is_capturing(self.device):
                raise moved()
            ratio = -(-self.dtype.itemsize // self.params[0].itemsize)
            total = sum(p.numel() for p in self.params)
            most = largest_part(self.device, total, temporaries * ratio)
            sizes = [
                (k, p.numel(), self._cuts and _can_be_cut(self._members[k]))
                for k, p in ((k, self.params[k]) for k in self._of_row(row))
            ]
            if self.program.sees_matrices:  # those of one size lie in one part, as far as they can
                sizes.sort(key=lambda each: tuple(self._shapes[each[0]]))
            cut = {each[0] for each in sizes if each[2] and each[1] > most}
            self._cut_strides += [(k, self.params[k].stride()) for k in cut]
            place = {k: n for n, k in enumerate(self._of_row(row))}
            self._parts[key] = [
                ListPart(
                    self._members,
                    items,
                    self.dtype,
                    self._wide,
                    [place[k] for k, *_ in items] if self._cohort.on_device else None,
                )
                for items in sliced(sizes, most)
            ]
        return self._parts[key]

    def _run(
        self, segment: Segment, part: ListPart, prepared: PartGradients, known: tuple[Any, ...]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return segment.run(part, prepared.of(part.items), part.slots, part.reads, known)

    def describe(self) -> str:
        """Return how many tensors and numbers step together, and where."""
        size = sum(elements(p) for p in self.params)
        dtype = str(self.params[0].dtype).removeprefix("torch.")
        many = f"{plural(len(self.params), 'tensor')}, {plural(size, 'number')}"
        return f"foreach  {many}, {dtype} {self.device}"


def _written(members: Sequence[Member]) -> list[Tensor]:
    """Return what a step writes: of each member the parameter, its states, then those of other shapes."""
    return [x for m in members for x in (m.param, *m.states, *m.matrix_states)]


def _layouts(xs: Sequence[Tensor]) -> list[Any]:
    """Return what tensors are like, apart from where they are."""
    return [(x.device, x.dtype, x.shape, x.stride()) for x in xs]


def _can_be_cut(member: Member) -> bool:
    """Whether the elements of a member's tensors are stored in one order, without gaps."""
    p = member.param
    return is_dense(p) and all(x.stride() == p.stride() for x in member.states)


def _received(part: ListPart, whole: Any) -> Tensor:
    """Return a reduction over all tensors on the device of a part."""
    if isinstance(whole, Tensor):
        return whole.to(device=part.device, dtype=part.wide)
    return lift(part, whole)
