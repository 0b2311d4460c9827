"""How tensors are stored: what kernels, which go by raw addresses, rely on, read anew at every step.

PyTorch exports a C function (DLPack's exchange API) that tells address, shape, strides, dtype and device of a
tensor in some 70 ns; one compiled loop calls it for all tensors of a batch and compares. An older PyTorch has
no such function; there the same is compared in Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.cpu.native import kernel

Addresses = np.ndarray[Any, np.dtype[np.int64]]

_CODES = {
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
    as expected.
    """

    def __init__(self, models: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> None:
        self.found: Addresses = np.zeros(len(models), dtype=np.int64)
        """The addresses that were read last."""
        self._count = len(models)
        rows: list[int] = []
        dims: list[int] = []
        for x, dtype in zip(models, dtypes, strict=True):
            code, bits = _CODES[dtype]
            rows += [x.ndim, code | bits << 8 | 1 << 16, len(dims)]
            for size, stride in zip(x.shape, x.stride(), strict=True):
                dims += [size, stride]
        # one more, since an empty array may have no address
        self._tables = [np.array([*table, 0], dtype=np.int64) for table in (rows, dims)]
        made = _compiled_reader()
        self._reader: Callable[[list[Any], int], int] | None = made[0] if made else None
        if made is None:
            self._expected = [
                (dtype, tuple(x.shape), _strides(x))
                for x, dtype in zip(models, dtypes, strict=True)
            ]
        called = made[1] if made else ()
        addresses = (t.ctypes.data for t in (*self._tables, self.found))
        # one block of arguments: each one that ctypes converts costs as much as a tensor
        self._call = np.array([len(models), *addresses, *called], dtype=np.int64)
        self._argument = self._call.ctypes.data

    def read(self, tensors: list[Any]) -> bool:
        """Return whether the tensors are all as expected; then `found` holds their addresses."""
        if len(tensors) != self._count:
            return False
        if self._reader is None:
            return self._read_in_python(tensors)
        try:
            return self._reader(tensors, self._argument) < 0
        except Exception:  # a kind of tensor that has no memory to point to
            return False

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
        return True


def _strides(x: Tensor) -> tuple[int, ...]:
    return tuple(s if n > 1 else 0 for n, s in zip(x.shape, x.stride(), strict=True))


_READER = """
define i64 @"read"(ptr %list, ptr %call) {
entry:
  %rows_at = getelementptr i64, ptr %call, i64 1
  %dims_at = getelementptr i64, ptr %call, i64 2
  %out_at = getelementptr i64, ptr %call, i64 3
  %item_at = getelementptr i64, ptr %call, i64 4
  %tell_at = getelementptr i64, ptr %call, i64 5
  %none_at = getelementptr i64, ptr %call, i64 6
  %n = load i64, ptr %call
  %rows = load ptr, ptr %rows_at
  %dims = load ptr, ptr %dims_at
  %out = load ptr, ptr %out_at
  %item = load ptr, ptr %item_at
  %tell = load ptr, ptr %tell_at
  %none = load ptr, ptr %none_at
  %dl = alloca [48 x i8], align 8
  %device_at = getelementptr i8, ptr %dl, i64 8
  %ndim_at = getelementptr i8, ptr %dl, i64 16
  %dtype_at = getelementptr i8, ptr %dl, i64 20
  %shape_at = getelementptr i8, ptr %dl, i64 24
  %strides_at = getelementptr i8, ptr %dl, i64 32
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %tensor, label %alike
tensor:
  %i = phi i64 [0, %entry], [%i_next, %next]
  %object = call ptr %item(ptr %list, i64 %i)
  %is_none = icmp eq ptr %object, %none
  br i1 %is_none, label %other, label %present
present:
  %failed = call i32 %tell(ptr %object, ptr %dl)
  %told = icmp eq i32 %failed, 0
  br i1 %told, label %compare, label %other
compare:
  %row = mul i64 %i, 3
  %ndim_p = getelementptr i64, ptr %rows, i64 %row
  %dtype_p = getelementptr i64, ptr %ndim_p, i64 1
  %first_p = getelementptr i64, ptr %ndim_p, i64 2
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
  %either = or i1 %same_stride, %short
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
  br label %next
next:
  %i_next = add i64 %i, 1
  %more = icmp slt i64 %i_next, %n
  br i1 %more, label %tensor, label %alike
alike:
  ret i64 -1
other:
  ret i64 %i
}
"""
"""Calls PyTorch's function for each object of a list; returns the first that is not as expected, or −1.

The offsets are those of DLPack's DLTensor: data 0, device 8, ndim 16, dtype 20, shape 24, strides 32.
"""

_HEADER_WORDS = 2  # of DLPackExchangeAPI: version, previous version
_TELL = _HEADER_WORDS + 3  # its fourth function: dltensor_from_py_object_no_sync


@cache
def _compiled_reader() -> tuple[Callable[..., int], tuple[int, int, int]] | None:
    """Return the compiled loop and the addresses that it calls and compares with, or None.

    There is none where this PyTorch does not export the function.
    """
    tell = _exchange_function()
    if tell is None:
        return None
    item = ctypes.cast(ctypes.pythonapi.PyList_GetItem, ctypes.c_void_p).value
    # called with the GIL held; an error that PyTorch sets is raised on return
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.py_object, ctypes.c_void_p)
    return prototype(kernel(_READER, "read").address), (item or 0, tell, id(None))


def _exchange_function() -> int | None:
    capsule = getattr(Tensor, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    try:
        address = pointer(capsule, b"dlpack_exchange_api")
    except (ValueError, TypeError):
        return None
    if not address:
        return None
    major = ctypes.c_uint32.from_address(address).value
    function = (ctypes.c_uint64 * (_TELL + 1)).from_address(address)[_TELL]
    return int(function) if major == 1 and function else None
