"""C functions of PyTorch that compiled loops call: found in this process, and tried before they are trusted.

- DLPack's exchange API tells address, shape, strides, dtype and device of a tensor in some 40 ns.
- `aoti_torch_get_storage_size` and `…_offset`, of PyTorch's stable C interface, tell what its storage holds.
- `bump_version` counts a change of a tensor for autograd.
- `pow` of the C library, if it is the one of Python's `math`.

Size, offset and count take a handle: the address of the C++ tensor inside the Python object. Where it lies
is found by comparing with what Python tells of a tensor, so a PyTorch that lays it out otherwise is seen.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

_SIZE = "aoti_torch_get_storage_size"
_OFFSET = "aoti_torch_get_storage_offset"
_BUMP = "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"
_TENSOR_BYTES = 64
"""Every C++ tensor is larger than that."""
_AUTOGRAD_BYTES = 96
"""Every C++ `AutogradMeta` is larger than that."""
_HEADER_WORDS = 2  # of DLPackExchangeAPI: version, previous version
_TELL = _HEADER_WORDS + 3  # its fourth function: dltensor_from_py_object_no_sync


@dataclass(frozen=True)
class Handles:
    """Where the C++ tensor lies in a Python object, and its storage in what it points to, in bytes."""

    tensor: int
    storage: int
    size: int
    """The address of the function that tells the bytes of a tensor's storage."""
    offset: int
    """That of the function that tells where in its storage a tensor begins, in elements."""
    bump: int
    """That of the function that counts a change, or 0."""
    autograd: int
    """Where a C++ tensor has the pointer to what autograd knows of it, or 0."""
    gradient: int
    """Where that has the pointer to the gradient, or 0."""


@cache
def exchange_function() -> int | None:
    """Return the address of the function that tells of a tensor, or None where PyTorch exports none."""
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


@cache
def handles() -> Handles | None:
    """Return how to call PyTorch's functions on a tensor, or None where they are not as they are known."""
    around = torch.zeros(7, dtype=torch.float64, device="cpu")
    samples = [around[2:5], torch.nn.Parameter(torch.zeros(3, device="cpu"))]
    try:
        library = ctypes.CDLL(torch._C.__file__)
        size, offset = getattr(library, _SIZE), getattr(library, _OFFSET)
        bump = getattr(library, _BUMP, None)
        tensor = _common([_within(id(x), type(x).__basicsize__, x._cdata) for x in samples])
        storage = _common(
            [_within(x._cdata, _TENSOR_BYTES, x.untyped_storage()._cdata) for x in samples]
        )
    except (OSError, AttributeError, TypeError):
        return None
    if tensor is None or storage is None:
        return None
    for x in samples:
        if _told(size, id(x) + tensor) != x.untyped_storage().nbytes():
            return None
        if _told(offset, id(x) + tensor) != x.storage_offset():
            return None
    if bump is not None and not _counts(bump, samples, tensor):
        bump = None
    autograd, gradient = _places_of_gradients()
    return Handles(
        tensor=tensor,
        storage=storage,
        size=address_of(size),
        offset=address_of(offset),
        bump=0 if bump is None else address_of(bump),
        autograd=autograd,
        gradient=gradient,
    )


def address_of(function: Any) -> int:
    """Return where a function of ctypes lies."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _within(start: int, size: int, word: int) -> set[int]:
    """Return at which bytes of an object after its header, or of other memory, a word stands."""
    words = (ctypes.c_int64 * (size // 8)).from_address(start)
    return {8 * k for k, found in enumerate(words) if found == word}


def _places_of_gradients() -> tuple[int, int]:
    """Return where to look for the gradient of a C++ tensor, or zeros.

    A tensor that autograd knows nothing of has a null where others have a pointer; all else that they begin
    with is there in both or in neither.
    """
    unknown, known = (torch.zeros(3, device="cpu") for _ in range(2))
    known.requires_grad_()
    known.grad = torch.zeros(3, device="cpu")
    nulls = _within(unknown._cdata, _TENSOR_BYTES, 0) - _within(known._cdata, _TENSOR_BYTES, 0)
    if len(nulls) != 1:
        return 0, 0
    (autograd,) = nulls
    start = ctypes.c_int64.from_address(known._cdata + autograd).value
    gradient = _common([_within(start, _AUTOGRAD_BYTES, known.grad._cdata)])
    return (0, 0) if gradient is None else (autograd, gradient)


def _common(places: list[set[int]]) -> int | None:
    """Return the one place that all have in common."""
    found = set.intersection(*places)
    return found.pop() if len(found) == 1 else None


def _told(function: Any, handle: int) -> int | None:
    number = ctypes.c_int64()
    failed = function(ctypes.c_void_p(handle), ctypes.byref(number))
    return None if failed else number.value


def _counts(bump: Any, samples: list[Tensor], tensor: int) -> bool:
    bump.restype = None
    for x in samples:
        before = x._version
        bump(ctypes.c_void_p(id(x) + tensor))
        if x._version != before + 1:
            return False
    return True


@cache
def power_function() -> int | None:
    """Return the address of the C library's pow, if Python's `math.pow` is that one."""
    try:
        power = ctypes.CDLL(None).pow
    except (AttributeError, OSError, TypeError):
        return None
    power.restype, power.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_double]
    bases = (0.9, 0.95, 0.99, 0.999, 0.9999, 1.5, 2.0, 0.1 + 0.2, 7.0 / 3.0)
    exponents = (*range(1, 200, 7), 0.25, 1.0 / 3.0, 0.5, 0.8, -0.8, -2.0)
    alike = all(power(b, e) == math.pow(b, e) for b in bases for e in exponents)
    return address_of(power) if alike else None


def python_function(name: str) -> int:
    """Return where a function of Python's C interface lies."""
    return address_of(getattr(ctypes.pythonapi, name))
