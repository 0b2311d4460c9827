"""A second device, "second", whose memory this process's own is: for tests of what runs on a GPU.

    python -m tests.second_device MODULE…     calls the modules' functions check_… with the device there

Its tensors are of PyTorch's device for private use. Every call is computed on the CPU, in the same memory,
but refused as on a GPU where tensors of the CPU are among the operands, and noted in `waits` where the host
asks for a number. Random numbers come from a generator of its own. The device is there for the whole process,
so tests ask for a process of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree, backend_registration

NAME = "second"
waits: list[str] = []
"""The operations at which the host has waited for the device."""
free_bytes = 1 << 30
"""What the device says is free of its memory."""

_TAKES_BOTH = {"aten::copy_", "aten::_copy_from", "aten::_to_copy", "aten::set_"}
_WAITING = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero"}
_EXT_DEVICE = 12  # kDLExtDev of DLPack
_WIDEST = 16
"""Bytes of the widest number: a memory of so many can be seen in any dtype."""
_STRIDED = torch.ops.aten.as_strided.default
_SET = torch.ops.aten.set_.source_Storage_storage_offset
_OF_CPU = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
"""Whose kernels make a view: they look at no number, and serve any device."""


def run_there(*modules: str) -> None:
    """Call the checks of modules in a process that has the device; fail as they fail."""
    command = [sys.executable, "-W", "error", "-m", "tests.second_device", *modules]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def is_possible() -> bool:
    """Return whether this version of PyTorch can have such a device."""
    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


class _Module(backend_registration._DummyBackendModule if is_possible() else object):  # type: ignore[misc]
    """What PyTorch asks of a device: `torch.second`."""

    synchronized = 0

    def synchronize(self, device: Any = None) -> None:
        """Note that somebody waits; everything is done at once."""
        type(self).synchronized += 1

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Return the bytes that are free, and those there are."""
        return free_bytes, 1 << 31

    def get_device_name(self, device: Any = None) -> str:
        """Return what the device is called."""
        return "Second Device 1"

    def manual_seed_all(self, seed: int) -> None:
        """Seed the generator of the device."""
        _state[0] = torch.Generator().manual_seed(seed + 1).get_state()

    def get_rng_state(self) -> Tensor:
        """Return the state of the generator."""
        return _state[0].clone()

    def set_rng_state(self, state: Tensor) -> None:
        """Go back to a state of the generator."""
        _state[0] = state.clone()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Return what autocast may compute in."""
        return [torch.bfloat16]


def begin() -> None:
    """Give this process the device."""
    module = _Module()
    backend_registration._setup_privateuseone_for_python_backend(NAME, module)
    library = torch.library.Library("_", "IMPL")
    library.fallback(_called, "PrivateUse1")
    convolutions = torch.library.Library("aten", "IMPL")
    for name in ("convolution_overrideable", "convolution_backward_overrideable"):
        operation = getattr(torch.ops.aten, name).default
        convolutions.impl(name, functools.partial(_called, operation), "PrivateUse1")
    _kept.extend([library, convolutions])


_kept: list[Any] = []
_memory: dict[int, Any] = {}
_state = [torch.Generator().manual_seed(99).get_state()]
"""That of the device's generator."""


# -- memory -----------------------------------------------------------------------------------------


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Array(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = (("array", _Array), ("context", ctypes.c_void_p), ("deleter", _Deleter))


@_Deleter
def _forget(managed: Any) -> None:
    _memory.pop(ctypes.addressof(managed.contents), None)


_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _bytes_there(memory: Tensor) -> Tensor:
    """Return bytes of the device that lie where those of the CPU lie."""
    count = memory.numel()
    managed, one, size = _Managed(), (ctypes.c_int64 * 1)(1), (ctypes.c_int64 * 1)(count)
    device, kind = _Device(_EXT_DEVICE, 0), _Type(1, 8, 1)
    managed.array = _Array(memory.data_ptr(), device, 1, kind, size, one, 0)
    managed.deleter = _forget
    address = ctypes.addressof(managed)
    _memory[address] = (managed, one, size, memory)
    return torch.from_dlpack(_capsule(address, b"dltensor", None))


def _there(x: Tensor) -> Tensor:
    """Return a copy of a tensor of the CPU on the device."""
    size = x.untyped_storage().nbytes()
    memory = torch.zeros(-(-max(size, 1) // _WIDEST) * _WIDEST, dtype=torch.uint8)
    memory[:size].copy_(torch.empty(0, dtype=torch.uint8).set_(x.untyped_storage(), 0, (size,)))
    return _seen(_bytes_there(memory), x)


def _here(x: Tensor) -> Tensor:
    """Return a tensor of the CPU that is the same memory."""
    if not x.numel():  # which an operation may resize
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
    storage = x.untyped_storage()
    buffer = (ctypes.c_char * storage.nbytes()).from_address(storage.data_ptr())
    buffer.keeps = storage
    memory = torch.frombuffer(buffer, dtype=torch.uint8).untyped_storage()
    return torch.empty(0, dtype=x.dtype).set_(memory, x.storage_offset(), x.shape, x.stride())


def _seen(base: Tensor, like: Tensor) -> Tensor:
    """Return the memory of a tensor of the device in the dtype and layout of one of the CPU."""
    if base.dtype != like.dtype:
        count = base.untyped_storage().nbytes() // base.itemsize
        whole = _STRIDED.redispatch(_OF_CPU, base, (count,), (1,), 0)
        base = torch.ops.aten.view.dtype.redispatch(_OF_CPU, whole, like.dtype)
    layout = like.shape, like.stride(), like.storage_offset()
    seen: Tensor = _STRIDED.redispatch(_OF_CPU, base, *layout)
    return seen


# -- calls ------------------------------------------------------------------------------------------


def _called(operation: Any, *given: Any, **named: Any) -> Any:
    """Compute an operation on the CPU, and give its results a place on the device."""
    name = operation._schema.name
    leaves, form = _pytree.tree_flatten((given, named))
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    own = [x for x in tensors if x.device.type == NAME]
    strangers = [x for x in tensors if x.device.type != NAME and x.ndim]
    if own and strangers and name not in _TAKES_BOTH:
        raise RuntimeError(
            f"{name}: Expected all tensors to be on the same device, but found at least two devices, "
            f"{NAME}:0 and {strangers[0].device}!"
        )
    device = named.get("device")
    if device is None:
        device = next((x for x in leaves if isinstance(x, torch.device)), None)
    stays = device is not None and device.type != NAME
    if name in _WAITING or stays or _target(name, given) == "cpu":
        waits.append(name)
    at = {id(x): _here(x) for x in own}
    given, named = _pytree.tree_unflatten([_moved(x, at) for x in leaves], form)
    with _own_generator(operation):
        found = _OWN_WAYS.get(name, operation)(*given, **named)
    for x in own:
        if at[id(x)].shape != x.shape:  # resized to hold a result
            new = _there(at[id(x)])
            _SET.redispatch(_OF_CPU, x, new.untyped_storage(), 0, new.shape, new.stride())
    back = {id(at[id(x)]): x for x in own}
    back |= {id(x): x for x in tensors if id(x) not in at}
    by_memory = {at[id(x)].untyped_storage().data_ptr(): x for x in own if x.numel()}

    def placed(x: Any) -> Any:
        if not isinstance(x, Tensor) or stays:
            return x
        if id(x) in back:
            return back[id(x)]
        base = by_memory.get(x.untyped_storage().data_ptr())
        return _there(x) if base is None else _seen(base, x)

    return _pytree.tree_map(placed, found)


@contextlib.contextmanager
def _own_generator(operation: Any) -> Iterator[None]:
    """Let what draws random numbers draw those of the device, not those of the CPU."""
    if torch.Tag.nondeterministic_seeded not in operation.tags:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(_state[0])
        yield
        _state[0] = torch.get_rng_state()


def _target(name: str, given: Any) -> str:
    """Return the kind of device that a copy writes to, empty where nothing is copied."""
    place = {"aten::copy_": 0, "aten::_copy_from": 1}.get(name)
    return "" if place is None else str(given[place].device.type)


def _convolved_back(g: Tensor, x: Tensor, w: Tensor, *settings: Any) -> Any:
    """Return the gradients of a convolution."""
    bias = [g.shape[1]]
    return torch.ops.aten.convolution_backward(g, x, w, bias, *settings)


_OWN_WAYS = {
    "aten::_copy_from": lambda source, target, *_: target.copy_(source),
    "aten::convolution_overrideable": torch.ops.aten.convolution.default,
    "aten::convolution_backward_overrideable": _convolved_back,
}
"""Operations that are not operations of the CPU."""


def _moved(x: Any, at: dict[int, Tensor]) -> Any:
    if isinstance(x, Tensor):
        return at.get(id(x), x)
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == NAME else x


def main() -> None:
    """Call the checks of the modules that the command line names."""
    from tests import (
        second_device,
    )  # this file is the module __main__, of which there is to be no other

    second_device.begin()
    for module in sys.argv[1:]:
        checks = vars(importlib.import_module(module))
        for name in [name for name in checks if name.startswith("check_")]:
            print(name, flush=True)
            checks[name]()


if __name__ == "__main__":
    main()
