"""What a step does with a thousand Python objects, each in one compiled loop: compare, look up, get, count.

A loop in Python over the entries of states, gradients and version counters takes longer than the arithmetic
of a small tensor. Raw pointers stand only for objects that these classes keep alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.engine.cpu.calls.ahead import LOOKING_AHEAD, looking_ahead
from thalweg.engine.cpu.calls.foreign import handles, python_function
from thalweg.engine.cpu.calls.loops import Called, arguments, compiled_loop, loop_address


class DictEntries:
    """Entries of dictionaries that are expected to hold certain objects."""

    def __init__(
        self, dicts: Sequence[dict[str, Any]], names: Sequence[str], objects: Sequence[Any]
    ) -> None:
        self._kept = (dicts, names)
        self._table = np.zeros((len(dicts), 3), dtype=np.int64)
        self._table[:, 0] = [id(x) for x in dicts]
        self._table[:, 1] = [id(x) for x in names]
        self.expect(objects)
        called = (python_function("PyDict_GetItemWithError"), self._table.ctypes.data)
        self._call = np.array([len(dicts), *called], dtype=np.int64)
        self._argument = self._call.ctypes.data
        self._look = compiled_loop(_LOOK_UP, "look_up", 0)
        self.called = Called(loop_address(_LOOK_UP, "look_up"), self._argument)

    def expect(self, objects: Sequence[Any]) -> None:
        """Expect other objects from now on, in the same table."""
        self._table[:, 2] = [id(x) for x in objects]
        self._objects = objects

    def hold(self) -> bool:
        """Whether each entry holds the very object that it is expected to hold."""
        return self._look(self._argument) < 0  # type: ignore[no-any-return]


class Gradients:
    """The gradients of parameters."""

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        functions = ("PyList_GetItem", "PyObject_GetAttr", "PyList_SetItem")
        called = (*map(python_function, functions), id(_GRAD), looking_ahead())
        self._call = np.array([len(params), *called], dtype=np.int64)
        self._argument = self._call.ctypes.data
        self._get = compiled_loop(_GET, "get", 2)
        self.called = Called(loop_address(_GET, "get"), self._argument)

    def read(self) -> list[Any]:
        """Return `p.grad` of each parameter."""
        found = [None] * len(self.params)
        self._get(self.params, found, self._argument)
        return found


_GRAD = "grad"


class Same:
    """The parameters and the states of an optimizer, expected to be the same objects in the same order."""

    def __init__(self, params: Sequence[Tensor], states: Sequence[Any]) -> None:
        self._kept = (params, states)
        words = [id(x) for x in (*params, *states)]
        self._table = np.array([*words, 0], dtype=np.int64)
        functions = ("PyList_Size", "PyDict_Size", "PyList_GetItem", "PyDict_Next")
        called = (*map(python_function, functions), self._table.ctypes.data)
        self._call = np.array([len(params), len(states), *called], dtype=np.int64)
        self._argument = self._call.ctypes.data
        self._compare = compiled_loop(_COMPARE, "compare", 2)
        self.called = Called(loop_address(_COMPARE, "compare"), self._argument)

    def are_in(self, params: list[Any], states: dict[Any, Any]) -> bool:
        """Whether a list holds the parameters, and a dictionary the states as its values."""
        return self._compare(params, states, self._argument) == 0  # type: ignore[no-any-return]


_AHEAD = 8
"""How many tensors ahead counters are asked for."""


class Versions:
    """The version counters of tensors, by which autograd sees that they have changed."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._count: Any = None
        known = handles()
        # a tensor made in inference mode has no counter
        if known is not None and known.bump and not any(x.is_inference() for x in tensors):
            words = [word for x in tensors for word in (id(x) + known.tensor, x._cdata)]
            self._table = np.array([*words, *[0] * 2 * _AHEAD], dtype=np.int64)
            called = (known.bump, self._table.ctypes.data)
            self._call = np.array([len(tensors), *called], dtype=np.int64)
            self._argument = self._call.ctypes.data
            self._count = compiled_loop(_COUNT, "count", 0)

    def increment(self) -> None:
        """Count a change of each tensor."""
        # `torch.utils.swap_tensors` may have put another C++ tensor into an object, which is seen here
        if self._count is None or self._count(self._argument) >= 0:
            torch.autograd.graph.increment_version(self._tensors)


_LOOK_UP = (
    """
define i64 @"look_up"(ptr %call) {
entry:
"""
    + arguments(n="i64", get="ptr", table="ptr")
    + """  br label %check
check:
  %i = phi i64 [0, %entry], [%i_next, %same]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %look, label %all
look:
  %k = mul i64 %i, 3
  %dict_p = getelementptr i64, ptr %table, i64 %k
  %name_p = getelementptr i64, ptr %dict_p, i64 1
  %object_p = getelementptr i64, ptr %dict_p, i64 2
  %dict = load ptr, ptr %dict_p
  %name = load ptr, ptr %name_p
  %object = load ptr, ptr %object_p
  %found = call ptr %get(ptr %dict, ptr %name)
  %is_same = icmp eq ptr %found, %object
  br i1 %is_same, label %same, label %other
same:
  %i_next = add i64 %i, 1
  br label %check
all:
  ret i64 -1
other:
  ret i64 %i
}
"""
)
"""Looks each name up in its dictionary; returns the first that is not the expected object, or −1."""

_GET = (
    LOOKING_AHEAD
    + """
define i64 @"get"(ptr %objects, ptr %found, ptr %call) {
entry:
"""
    + arguments(n="i64", item="ptr", get="ptr", set="ptr", name="ptr", ahead="ptr")
    + """  br label %check
check:
  %i = phi i64 [0, %entry], [%i_next, %got]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %read, label %all
read:
  call void @look_ahead_at_gradients(ptr %ahead, ptr %objects, i64 %i, i64 %n)
  %object = call ptr %item(ptr %objects, i64 %i)
  %value = call ptr %get(ptr %object, ptr %name)
  %failed = icmp eq ptr %value, null
  br i1 %failed, label %error, label %got
got:
  %done = call i32 %set(ptr %found, i64 %i, ptr %value)
  %i_next = add i64 %i, 1
  br label %check
all:
  ret i64 -1
error:
  ret i64 %i
}
"""
)
"""Puts an attribute of each object of a list into another list; on an error Python raises it on return."""

_COUNT = (
    """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)

define i64 @"count"(ptr %call) {
entry:
"""
    + arguments(n="i64", bump="ptr", table="ptr")
    + """  br label %check
check:
  %i = phi i64 [0, %entry], [%i_next, %same]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %compare, label %all
compare:
  %twice = shl i64 %i, 1
  %handle_p = getelementptr i64, ptr %table, i64 %twice
  %expected_p = getelementptr i64, ptr %handle_p, i64 1
  %later_handle_p = getelementptr i64, ptr %handle_p, i64 16
  %later_p = getelementptr i64, ptr %handle_p, i64 17
  %later_handle = load ptr, ptr %later_handle_p
  %later = load ptr, ptr %later_p
  call void @llvm.prefetch.p0(ptr %later_handle, i32 0, i32 3, i32 1)
  call void @llvm.prefetch.p0(ptr %later, i32 0, i32 3, i32 1)
  %handle = load ptr, ptr %handle_p
  %expected = load ptr, ptr %expected_p
  %tensor = load ptr, ptr %handle
  %is_same = icmp eq ptr %tensor, %expected
  br i1 %is_same, label %same, label %other
same:
  call void %bump(ptr %handle)
  %i_next = add i64 %i, 1
  br label %check
all:
  ret i64 -1
other:
  ret i64 %i
}
"""
)
"""Counts a change of each tensor, until a handle does not lead to the expected C++ tensor.

Returns which one that was, or −1.
"""

_COMPARE = (
    """
define i64 @"compare"(ptr %params, ptr %states, ptr %call) {
entry:
"""
    + arguments(
        n="i64",
        count="i64",
        list_size="ptr",
        dict_size="ptr",
        item="ptr",
        next="ptr",
        table="ptr",
    )
    + """  %place = alloca i64, align 8
  %key = alloca ptr, align 8
  %value = alloca ptr, align 8
  store i64 0, ptr %place
  %n_x = call i64 %list_size(ptr %params)
  %count_x = call i64 %dict_size(ptr %states)
  %as_many = icmp eq i64 %n_x, %n
  %as_many_states = icmp eq i64 %count_x, %count
  %all_there = and i1 %as_many, %as_many_states
  br i1 %all_there, label %check, label %other
check:
  %i = phi i64 [0, %entry], [%i_next, %same]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %param, label %values
param:
  %param_p = getelementptr i64, ptr %table, i64 %i
  %expected = load ptr, ptr %param_p
  %found = call ptr %item(ptr %params, i64 %i)
  %is_same = icmp eq ptr %found, %expected
  br i1 %is_same, label %same, label %other
same:
  %i_next = add i64 %i, 1
  br label %check
values:
  %k = phi i64 [0, %check], [%k_next, %same_state]
  %more_states = icmp slt i64 %k, %count
  br i1 %more_states, label %state, label %all
state:
  %there = call i32 %next(ptr %states, ptr %place, ptr %key, ptr %value)
  %is_there = icmp ne i32 %there, 0
  br i1 %is_there, label %compare_state, label %other
compare_state:
  %after_params = add i64 %n, %k
  %state_p = getelementptr i64, ptr %table, i64 %after_params
  %expected_state = load ptr, ptr %state_p
  %found_state = load ptr, ptr %value
  %is_same_state = icmp eq ptr %found_state, %expected_state
  br i1 %is_same_state, label %same_state, label %other
same_state:
  %k_next = add i64 %k, 1
  br label %values
all:
  ret i64 0
other:
  ret i64 1
}
"""
)
"""Compares the items of a list, and the values of a dictionary, with the expected objects."""
