"""Looking ahead: a loop over tensors asks for the memory of the next ones while it reads the present one.

Between two steps a model's forward and backward pass go through more memory than a cache holds, so what is
known of a tensor (the Python object, the C++ object, its storage) has to come from far away: some 10 lines of
the cache, each of which would be waited for in turn.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from thalweg.engine.cpu.calls.foreign import handles, python_function

LOOKING_AHEAD = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

define internal ptr @ahead_item(ptr %call, ptr %list, i64 %k, i64 %n) alwaysinline {
  %inside = icmp slt i64 %k, %n
  br i1 %inside, label %get, label %none
get:
  %item = load ptr, ptr %call
  %object = call ptr %item(ptr %list, i64 %k)
  ret ptr %object
none:
  ret ptr null
}

define internal ptr @ahead_tensor(ptr %call, ptr %list, i64 %k, i64 %n) alwaysinline {
  %object = call ptr @ahead_item(ptr %call, ptr %list, i64 %k, i64 %n)
  %is_none = icmp eq ptr %object, null
  br i1 %is_none, label %no, label %some
some:
  %type_at = getelementptr i64, ptr %object, i64 1
  %type = load ptr, ptr %type_at
  %first_at = getelementptr i64, ptr %call, i64 3
  %second_at = getelementptr i64, ptr %call, i64 4
  %first = load ptr, ptr %first_at
  %second = load ptr, ptr %second_at
  %is_first = icmp eq ptr %type, %first
  %is_second = icmp eq ptr %type, %second
  %plain = or i1 %is_first, %is_second
  br i1 %plain, label %yes, label %no
yes:
  %inside_at = getelementptr i64, ptr %call, i64 1
  %inside = load i64, ptr %inside_at
  %tensor_at = getelementptr i8, ptr %object, i64 %inside
  %tensor = load ptr, ptr %tensor_at
  ret ptr %tensor
no:
  ret ptr null
}

define internal void @look_ahead(ptr %call, ptr %list, i64 %i, i64 %n) alwaysinline {
  %known = icmp ne ptr %call, null
  br i1 %known, label %objects, label %done
objects:
  %k8 = add i64 %i, 8
  %far = call ptr @ahead_item(ptr %call, ptr %list, i64 %k8, i64 %n)
  call void @llvm.prefetch.p0(ptr %far, i32 0, i32 3, i32 1)
  %k4 = add i64 %i, 4
  %near_tensor = call ptr @ahead_tensor(ptr %call, ptr %list, i64 %k4, i64 %n)
  %some_near = icmp ne ptr %near_tensor, null
  br i1 %some_near, label %tensors, label %storages
tensors:
  %second = getelementptr i8, ptr %near_tensor, i64 64
  %third = getelementptr i8, ptr %near_tensor, i64 128
  call void @llvm.prefetch.p0(ptr %near_tensor, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %second, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %third, i32 0, i32 3, i32 1)
  br label %storages
storages:
  %k2 = add i64 %i, 2
  %next_tensor = call ptr @ahead_tensor(ptr %call, ptr %list, i64 %k2, i64 %n)
  %some_next = icmp ne ptr %next_tensor, null
  br i1 %some_next, label %storage, label %done
storage:
  %inside_at = getelementptr i64, ptr %call, i64 2
  %inside = load i64, ptr %inside_at
  %storage_at = getelementptr i8, ptr %next_tensor, i64 %inside
  %memory = load ptr, ptr %storage_at
  call void @llvm.prefetch.p0(ptr %memory, i32 0, i32 3, i32 1)
  br label %done
done:
  ret void
}

define internal void @look_ahead_at_gradients(ptr %call, ptr %list, i64 %i, i64 %n) alwaysinline {
  %known = icmp ne ptr %call, null
  br i1 %known, label %autograd, label %done
autograd:
  call void @look_ahead(ptr %call, ptr %list, i64 %i, i64 %n)
  %autograd_at = getelementptr i64, ptr %call, i64 5
  %autograd_in = load i64, ptr %autograd_at
  %has_autograd = icmp ne i64 %autograd_in, 0
  br i1 %has_autograd, label %near, label %done
near:
  %k3 = add i64 %i, 3
  %k3_tensor = call ptr @ahead_tensor(ptr %call, ptr %list, i64 %k3, i64 %n)
  %k3_some = icmp ne ptr %k3_tensor, null
  br i1 %k3_some, label %near_autograd, label %next
near_autograd:
  %k3_at = getelementptr i8, ptr %k3_tensor, i64 %autograd_in
  %k3_autograd = load ptr, ptr %k3_at
  call void @llvm.prefetch.p0(ptr %k3_autograd, i32 0, i32 3, i32 1)
  br label %next
next:
  %k2 = add i64 %i, 2
  %k2_tensor = call ptr @ahead_tensor(ptr %call, ptr %list, i64 %k2, i64 %n)
  %k2_some = icmp ne ptr %k2_tensor, null
  br i1 %k2_some, label %next_autograd, label %done
next_autograd:
  %k2_at = getelementptr i8, ptr %k2_tensor, i64 %autograd_in
  %k2_autograd = load ptr, ptr %k2_at
  %has_gradient = icmp ne ptr %k2_autograd, null
  br i1 %has_gradient, label %gradient, label %done
gradient:
  %gradient_at = getelementptr i64, ptr %call, i64 6
  %gradient_in = load i64, ptr %gradient_at
  %k2_gradient_at = getelementptr i8, ptr %k2_autograd, i64 %gradient_in
  %k2_gradient = load ptr, ptr %k2_gradient_at
  call void @llvm.prefetch.p0(ptr %k2_gradient, i32 0, i32 3, i32 1)
  br label %done
done:
  ret void
}
"""
"""`@look_ahead(call, list, i, n)` asks for what is known of the objects after the i-th of n in a list, and
`@look_ahead_at_gradients` also for what is known of their gradients.

Only of a plain tensor or parameter anything but its address is used, for only there it is known where the C++
object is. Asking for memory that is not there does no harm.
"""


@cache
def looking_ahead() -> int:
    """Return the address of the block that `@look_ahead` is called with, or 0 where it is to do nothing."""
    found = handles()
    if found is None:
        return 0
    _block[:] = (
        python_function("PyList_GetItem"),
        found.tensor,
        found.storage,
        id(torch.Tensor),
        id(torch.nn.Parameter),
        found.autograd,
        found.gradient,
    )
    return int(_block.ctypes.data)


_block: Any = np.zeros(7, dtype=np.int64)
