"""A fused batch: all tensors of one program and one set of dtypes, stepped by one kernel call a pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine import threads
from thalweg.engine.eager import Pass, elements
from thalweg.engine.kernel import Layout, print_kernel
from thalweg.engine.native import Kernel, kernel
from thalweg.engine.program import Level, Program, Value
from thalweg.engine.source import ReducedFunction
from thalweg.errors import EngineError

CHUNK = 16384
"""Elements of a chunk: a few slots of it fit the second-level cache, and it takes some 10 µs."""

THREADED_BYTES = 2**20
"""Below this much memory to go through, waking another thread costs more than it saves."""

ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2}


@dataclass(frozen=True)
class FusedPass:
    """One pass over the data: its kernel and what it reads and reduces."""

    kernel: Kernel
    reduced: ReducedFunction
    width: int
    reductions: tuple[Value, ...]


def compile_passes(program: Program, dtypes: tuple[str, ...]) -> tuple[FusedPass, ...]:
    """Return the compiled passes of a program for slots of these dtypes."""
    key = (program, dtypes)
    if key not in _passes:
        _passes[key] = tuple(
            _compile_pass(program, stage, dtypes) for stage in range(program.stages + 1)
        )
    return _passes[key]


_passes: dict[tuple[Program, tuple[str, ...]], tuple[FusedPass, ...]] = {}


def _compile_pass(program: Program, stage: int, dtypes: tuple[str, ...]) -> FusedPass:
    part = program.part(program.outputs_of(stage), Level.TENSOR)
    reduced = tuple(v for v in part.reads if v.level == Level.REDUCED)
    text = print_kernel(program, stage, Layout(dtypes, program.host_reads, reduced), "step")
    reductions = () if stage == program.stages else program.reductions(stage)
    return FusedPass(
        kernel(text, "step"), ReducedFunction(program, reduced), len(reduced), reductions
    )


class FusedBatch:
    """Tensors that step together. Addresses of gradients and parameters are read anew at every step.

    `slots[k]` are the tensors of slot k (slot 0, the gradients, changes at every step); `row_of[i]` is the
    row of scalars of tensor i.
    """

    def __init__(
        self,
        program: Program,
        dtypes: tuple[str, ...],
        params: Sequence[Tensor],
        states: Sequence[Sequence[Tensor]],
        row_of: Sequence[int],
    ) -> None:
        self.program = program
        self.dtypes = dtypes
        self.passes = compile_passes(program, dtypes)
        self.params = list(params)
        self._contiguous = all(p.is_contiguous() for p in params)
        self._layouts = [_layout(p) for p in params]
        self._strides = [p.stride() for p in params]
        self._bytes = [_grad_bytes(p, dtypes[0]) for p in params]
        # of a complex tensor, or of one number, a gradient may be a conjugated or negated view
        self._odd = [k for k, p in enumerate(params) if p.is_complex() or p.numel() == 1]
        self._addresses: list[int] | None = None
        self.counts = np.array([elements(p) for p in params], dtype=np.int64)
        self.row_of = np.array(row_of, dtype=np.int64)
        self.pointers = np.zeros((len(params), 2 + len(states)), dtype=np.int64)
        for slot, tensors in enumerate(states, start=2):
            self.pointers[:, slot] = [x.data_ptr() for x in tensors]
        self.chunks, self.first = _chunk(self.counts, self.row_of)
        self.counter = np.zeros(1, dtype=np.int64)
        size = int(self.counts.sum()) * sum(ITEM_BYTES[d] for d in dtypes)
        self.holds()  # reads the addresses of the parameters
        self._most_threads = len(self.chunks) if size >= THREADED_BYTES else 1

    def holds(self) -> bool:
        """Whether the parameters are still stored as they were; their addresses may have changed."""
        addresses = list(map(Tensor.data_ptr, self.params))
        if addresses != self._addresses:
            if [_layout(p) for p in self.params] != self._layouts:
                return False
            self._addresses = addresses
            self.pointers[:, 1] = addresses
        return True

    def addresses(self, grads: Sequence[Tensor]) -> tuple[list[int], Sequence[Tensor]]:
        """Return the addresses of the gradients, and the tensors that must live until the step is over.

        A gradient that is sparse or stored in another order than its parameter is copied into that order.
        """
        try:
            if self._in_order(grads):
                return list(map(Tensor.data_ptr, grads)), grads
        except RuntimeError:  # a sparse gradient has no address
            pass
        grads = [_in_order(g, p) for g, p in zip(grads, self.params, strict=True)]
        if list(map(_nbytes, grads)) != self._bytes:
            raise EngineError(
                "a gradient has another size or dtype than its parameter had. If you changed `param.data` "
                "after the backward pass, compute the gradient again"
            )
        return [g.data_ptr() for g in grads], grads

    def _in_order(self, grads: Sequence[Tensor]) -> bool:
        """Whether every gradient is stored as its parameter is; every kernel relies on it."""
        if list(map(_nbytes, grads)) != self._bytes:
            return False
        if self._contiguous:
            alike = all(map(Tensor.is_contiguous, grads))
        else:
            alike = list(map(Tensor.stride, grads)) == self._strides
        return alike and not any(grads[k].is_conj() or grads[k].is_neg() for k in self._odd)

    def run(self, gradients: Sequence[int], rows: np.ndarray[Any, Any], count: int) -> Pass:
        """Step all tensors, given the addresses of their gradients and the rows of scalars."""
        self.pointers[:, 0] = gradients
        reductions: dict[Value, Any] = {}
        for each in self.passes:
            table = self._reduced(each, rows, reductions, count)
            partials = self._launch(each, rows, table)
            if not each.reductions:
                continue
            whole = self._gather(each, partials, reductions)
            sent = yield tuple(whole.values())
            reductions.update(zip(whole, sent, strict=True))

    def finish(self, _: Any) -> None:
        """Tell autograd that the parameters and states changed."""
        torch.autograd.graph.increment_version(self.params)

    def _reduced(
        self, each: FusedPass, rows: Any, reductions: dict[Value, Any], count: int
    ) -> np.ndarray[Any, Any]:
        """Return the table of per-tensor scalars that a pass reads."""
        table = np.empty((len(self.params), each.width), dtype=np.float64)
        if each.width:
            columns = {v: k for k, v in enumerate(self.program.host_reads)}
            reads = [
                reductions[v] if v.is_reduction else rows[self.row_of, columns[v]]
                for v in each.reduced.reads
            ]
            counts = [self.counts if v.data == "tensor" else count for v in each.reduced.counts]
            for column, values in enumerate(each.reduced((*reads, *counts))):
                table[:, column] = values
        return table

    def _launch(self, each: FusedPass, rows: Any, table: Any) -> np.ndarray[Any, Any]:
        partials = np.empty((len(self.chunks), len(each.reductions)), dtype=np.float64)
        arrays = (self.pointers, self.chunks, rows, table, partials, self.counter)
        self.counter[0] = 0
        work: Callable[[], None] = functools.partial(
            each.kernel, *(a.ctypes.data for a in arrays), len(self.chunks)
        )
        if self._most_threads == 1:
            work()
        else:
            threads.run_on(min(torch.get_num_threads(), self._most_threads), work)
        return partials

    def _gather(
        self, each: FusedPass, partials: Any, reductions: dict[Value, Any]
    ) -> dict[Value, Any]:
        """Reduce the chunks of each tensor; return those to be reduced over all tensors."""
        whole: dict[Value, Any] = {}
        for column, value in enumerate(each.reductions):
            combine = np.add if value.op == "sum" else np.maximum
            if value.data == "all":
                whole[value] = combine.reduce(partials[:, column])
            else:
                reductions[value] = combine.reduceat(partials[:, column], self.first)
        return whole


_nbytes = attrgetter("nbytes")


def _layout(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.stride(), x.dtype, x.device


def _grad_bytes(param: Tensor, dtype: str) -> int:
    return elements(param) * ITEM_BYTES[dtype]


def _in_order(grad: Tensor, param: Tensor) -> Tensor:
    """Return the gradient as dense numbers in the order in which the parameter stores its own."""
    grad = grad.detach()
    if grad.layout is not torch.strided:
        grad = grad.to_dense()
    same = grad.stride() == param.stride() or (grad.is_contiguous() and param.is_contiguous())
    if same and not (grad.is_conj() or grad.is_neg()):
        return grad
    return torch.empty_like(param, dtype=grad.dtype).copy_(grad)


def _chunk(counts: np.ndarray[Any, Any], row_of: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the chunks (tensor, offset, length, row), and each tensor's first; an empty tensor has one."""
    pieces = np.maximum(1, -(-counts // CHUNK))
    first = np.concatenate(([0], np.cumsum(pieces)[:-1]))
    tensor = np.repeat(np.arange(len(counts)), pieces)
    offset = (np.arange(len(tensor)) - first[tensor]) * CHUNK
    length = np.minimum(CHUNK, counts[tensor] - offset)
    chunks = np.stack([tensor, offset, length, row_of[tensor]], axis=1)
    return np.ascontiguousarray(chunks, dtype=np.int64), first
