"""How tensors are stored: what kernels, which go by raw addresses, rely on, read anew at every step.

One compiled loop asks PyTorch's own functions (`foreign.py`) for all tensors of a batch, and compares. Where
PyTorch has no such functions, the same is compared in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.cpu.calls.ahead import LOOKING_AHEAD, looking_ahead
from thalweg.engine.cpu.calls.foreign import exchange_function, handles, python_function
from thalweg.engine.cpu.calls.loops import Called, arguments, compiled_loop, loop_address
from thalweg.engine.storage import first_without_memory

Addresses = np.ndarray[Any, np.dtype[np.int64]]

_ANY = -1
"""In the place of the strides of a tensor without elements, which say nothing."""

_CODES = {
    torch.int8: (0, 8),
    torch.int16: (0, 16),
    torch.float32: (2, 32),
    torch.float64: (2, 64),
    torch.bfloat16: (4, 16),
    torch.complex64: (5, 64),
    torch.complex128: (5, 128),
}
"""DLPack's type code and bits of the dtypes that kernels take."""


class Layouts:
    """What tensors are expected to be like: for each of `models` its shape and strides, and a dtype.

    Strides count only where a dimension has more than one element. A tensor that is not on the CPU is never
    as expected. With `bytes_of`, the bytes that each takes, their storages are looked at, too, and one that
    has no address, as PyTorch's tensors of nothing but zeros, is not as expected.
    """

    def __init__(
        self,
        models: Sequence[Tensor],
        dtypes: Sequence[torch.dtype],
        bytes_of: Sequence[int] | None = None,
    ) -> None:
        self.found: Addresses = np.zeros(len(models), dtype=np.int64)
        """The addresses that were read last."""
        self.without_memory: int | None = None
        """Which of the tensors that were read last is the first whose storage is too small for it."""
        self._expected = [
            (dtype, tuple(x.shape), _strides(x)) for x, dtype in zip(models, dtypes, strict=True)
        ]
        self._bytes_of = bytes_of
        made = _compiled_reader()
        self.called = Called(0, 0)
        """What reads them, where it is compiled and sees all there is to see; otherwise zeros."""
        self._sizes_are_read = made is not None and bytes_of is not None and handles() is not None
        self._reader: Callable[[list[Any], int], int] | None = made[0] if made else None
        if made is not None:
            self._fill(made[1])

    def _fill(self, called: Sequence[int]) -> None:
        """Write the tables that the compiled loop reads."""
        rows: list[int] = []
        dims: list[int] = []
        needed = self._bytes_of if self._sizes_are_read else None
        for k, (dtype, shape, strides) in enumerate(self._expected):
            code, bits = _CODES[dtype]
            rows += [len(shape), code | bits << 8 | 1 << 16, len(dims)]
            rows += [needed[k] if needed else 0, dtype.itemsize]
            dims += [each for pair in zip(shape, strides, strict=True) for each in pair]
        # one more, since an empty array may have no address
        self._tables = [np.array([*table, 0], dtype=np.int64) for table in (rows, dims)]
        addresses = (t.ctypes.data for t in (*self._tables, self.found))
        self._call = np.array([len(self.found), *addresses, *called], dtype=np.int64)
        self._argument = self._call.ctypes.data
        if self._bytes_of is None or self._sizes_are_read:
            self.called = Called(loop_address(_READER, "read"), self._argument)

    def read(self, tensors: list[Any]) -> bool:
        """Return whether the tensors are all as expected; then `found` holds their addresses.

        It holds only some where `without_memory` tells of a tensor.
        """
        self.without_memory = None
        if len(tensors) != len(self.found):
            return False
        if self._reader is None:
            alike = self._read_in_python(tensors)
        else:
            try:
                other = self._reader(tensors, self._argument)
            except Exception:  # a kind of tensor that has no memory to point to
                return False
            alike = other < 0
            if other < _ALIKE:
                self.without_memory = _ALIKE - 1 - other
        if alike and self._bytes_of is not None and not self._sizes_are_read:
            self.without_memory = first_without_memory(tensors, self._bytes_of)
        return alike

    def _read_in_python(self, tensors: list[Any]) -> bool:
        for x, (dtype, shape, strides) in zip(tensors, self._expected, strict=True):
            plain = isinstance(x, Tensor) and x.layout is torch.strided and x.device.type == "cpu"
            if (
                not plain
                or x.dtype is not dtype
                or tuple(x.shape) != shape
                or _strides(x) != strides
            ):
                return False
        try:
            self.found[:] = [x.data_ptr() for x in tensors]
        except RuntimeError:  # a subclass without memory of its own
            return False
        return not any(
            n and not at for n, at in zip(self._bytes_of or (), self.found, strict=False)
        )


def _strides(x: Tensor) -> tuple[int, ...]:
    if not x.numel():
        return (_ANY,) * x.ndim
    return tuple(s if n > 1 else 0 for n, s in zip(x.shape, x.stride(), strict=True))


_ALIKE = -1

_READER = (
    LOOKING_AHEAD
    + """
define i64 @"read"(ptr %list, ptr %call) {
entry:
"""
    + arguments(
        n="i64",
        rows="ptr",
        dims="ptr",
        out="ptr",
        item="ptr",
        tell="ptr",
        none="ptr",
        tell_size="ptr",
        tell_offset="ptr",
        inside="i64",
        ahead="ptr",
    )
    + """  %dl = alloca [48 x i8], align 8
  %number = alloca i64, align 8
  %device_at = getelementptr i8, ptr %dl, i64 8
  %ndim_at = getelementptr i8, ptr %dl, i64 16
  %dtype_at = getelementptr i8, ptr %dl, i64 20
  %shape_at = getelementptr i8, ptr %dl, i64 24
  %strides_at = getelementptr i8, ptr %dl, i64 32
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %tensor, label %alike
tensor:
  %i = phi i64 [0, %entry], [%i_next, %next]
  call void @look_ahead(ptr %ahead, ptr %list, i64 %i, i64 %n)
  %object = call ptr %item(ptr %list, i64 %i)
  %is_none = icmp eq ptr %object, %none
  br i1 %is_none, label %other, label %present
present:
  %failed = call i32 %tell(ptr %object, ptr %dl)
  %told = icmp eq i32 %failed, 0
  br i1 %told, label %compare, label %other
compare:
  %row = mul i64 %i, 5
  %ndim_p = getelementptr i64, ptr %rows, i64 %row
  %dtype_p = getelementptr i64, ptr %ndim_p, i64 1
  %first_p = getelementptr i64, ptr %ndim_p, i64 2
  %needed_p = getelementptr i64, ptr %ndim_p, i64 3
  %itemsize_p = getelementptr i64, ptr %ndim_p, i64 4
  %ndim = load i64, ptr %ndim_p
  %dtype = load i64, ptr %dtype_p
  %first = load i64, ptr %first_p
  %device_x = load i32, ptr %device_at
  %ndim_x32 = load i32, ptr %ndim_at
  %ndim_x = zext i32 %ndim_x32 to i64
  %dtype_x32 = load i32, ptr %dtype_at
  %dtype_x = zext i32 %dtype_x32 to i64
  %on_cpu = icmp eq i32 %device_x, 1
  %same_ndim = icmp eq i64 %ndim_x, %ndim
  %same_dtype = icmp eq i64 %dtype_x, %dtype
  %a = and i1 %on_cpu, %same_ndim
  %b = and i1 %a, %same_dtype
  br i1 %b, label %kind, label %other
kind:
  %shape = load ptr, ptr %shape_at
  %strides = load ptr, ptr %strides_at
  %has_dims = icmp sgt i64 %ndim, 0
  br i1 %has_dims, label %dim, label %store
dim:
  %d = phi i64 [0, %kind], [%d_next, %dim_next]
  %twice = shl i64 %d, 1
  %at = add i64 %first, %twice
  %size_p = getelementptr i64, ptr %dims, i64 %at
  %stride_p = getelementptr i64, ptr %size_p, i64 1
  %size = load i64, ptr %size_p
  %stride = load i64, ptr %stride_p
  %size_xp = getelementptr i64, ptr %shape, i64 %d
  %stride_xp = getelementptr i64, ptr %strides, i64 %d
  %size_x = load i64, ptr %size_xp
  %stride_x = load i64, ptr %stride_xp
  %same_size = icmp eq i64 %size_x, %size
  %same_stride = icmp eq i64 %stride_x, %stride
  %short = icmp slt i64 %size, 2
  %any = icmp slt i64 %stride, 0
  %open = or i1 %any, %short
  %either = or i1 %same_stride, %open
  %fits = and i1 %same_size, %either
  br i1 %fits, label %dim_next, label %other
dim_next:
  %d_next = add i64 %d, 1
  %more_dims = icmp slt i64 %d_next, %ndim
  br i1 %more_dims, label %dim, label %store
store:
  %address = load i64, ptr %dl
  %out_p = getelementptr i64, ptr %out, i64 %i
  store i64 %address, ptr %out_p
  %needed = load i64, ptr %needed_p
  %is_read = icmp sgt i64 %needed, 0
  br i1 %is_read, label %memory, label %next
memory:
  %nowhere = icmp eq i64 %address, 0
  br i1 %nowhere, label %other, label %storage
storage:
  %handle = getelementptr i8, ptr %object, i64 %inside
  %no_size = call i32 %tell_size(ptr %handle, ptr %number)
  %size_told = icmp eq i32 %no_size, 0
  br i1 %size_told, label %whole, label %other
whole:
  %has = load i64, ptr %number
  %exactly = icmp eq i64 %has, %needed
  br i1 %exactly, label %next, label %part
part:
  %no_offset = call i32 %tell_offset(ptr %handle, ptr %number)
  %offset_told = icmp eq i32 %no_offset, 0
  br i1 %offset_told, label %end, label %other
end:
  %offset = load i64, ptr %number
  %itemsize = load i64, ptr %itemsize_p
  %begins = mul i64 %offset, %itemsize
  %ends = add i64 %begins, %needed
  %holds = icmp sge i64 %has, %ends
  br i1 %holds, label %next, label %small
next:
  %i_next = add i64 %i, 1
  %more = icmp slt i64 %i_next, %n
  br i1 %more, label %tensor, label %alike
alike:
  ret i64 -1
other:
  ret i64 %i
small:
  %less = sub i64 -2, %i
  ret i64 %less
}
"""
)
"""Calls PyTorch's function for each object of a list; returns the first that is not as expected, or −1.

Where the i-th is as expected, but its storage does not hold all of its numbers, it returns −2 − i.
The offsets are those of DLPack's DLTensor: data 0, device 8, ndim 16, dtype 20, shape 24, strides 32.
"""


@cache
def _compiled_reader() -> tuple[Callable[..., int], tuple[int, ...]] | None:
    """Return the compiled loop and the end of its block of arguments, or None.

    There is none where this PyTorch does not export the function that tells of a tensor.
    """
    tell, known = exchange_function(), handles()
    if tell is None:
        return None
    sizes = (0, 0, 0) if known is None else (known.size, known.offset, known.tensor)
    called = (python_function("PyList_GetItem"), tell, id(None), *sizes, looking_ahead())
    return compiled_loop(_READER, "read", 1), called
