"""Comparing floats: to the bit or within a bound, and why that may be asked for.

Two programs that mean the same agree bitwise only where the same instructions run on the same shapes in
the same order. Another processor, another number of threads, another size of a batch, and a product of
matrices is summed in another order. So each exact comparison says what makes it hold:

    same(actual, expected, because="a copy")
    same(resumed, whole, because="the same instructions on the same shapes")
    close(stacked, alone, ulps=8, because="a batched product sums in another order")
    differs(before, after)

All of them take tensors, arrays, numbers, and mappings and sequences of them, such as state dicts. Whole
numbers, booleans and strings are always compared exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

# reasons that many tests share
RERUN = "the same instructions on the same shapes"
RESUMED = "from a copy on, the same instructions on the same shapes"


def same(actual: Any, expected: Any, *, because: str) -> None:
    """Assert the same structure, dtypes, shapes and bits; strides and devices may differ.

    A NaN is the same as any other NaN. 0.0 is not the same as -0.0: its reciprocal is another infinity.
    """
    check(because)
    for where, a, b in pairs(actual, expected):
        complaint = unlike(a, b)
        assert complaint is None, (
            f"{where}: {complaint}\nexpected the same bits, because: {because}"
        )


def is_same(actual: Any, expected: Any, *, because: str) -> bool:
    """Return whether `same` would pass."""
    check(because)
    try:
        same(actual, expected, because=because)
    except AssertionError:
        return False
    return True


def differs(a: Any, b: Any, *, everywhere: bool = False) -> None:
    """Assert the same structure, dtypes and shapes, and another value in some leaf, or in each one.

    Here 0.0 equals -0.0, so that a change of sign of a zero is not taken for a difference.
    """
    leaves = list(pairs(a, b))
    equal = [where for where, x, y in leaves if same_values(where, x, y)]
    expected = "a difference in each" if everywhere else "some difference"
    count = len(leaves) - len(equal)
    assert count == len(leaves) if everywhere else count, (
        f"{expected} expected, but these are equal: {', '.join(equal)}"
    )


def close(
    actual: Any, expected: Any, *, ulps: float, scale: float | Tensor | None = None, because: str
) -> None:
    """Assert the same structure, dtypes and shapes, and values within `ulps` units in the last place.

    A unit is that of the largest finite magnitude in each expected tensor: rounding errors of sums are as
    large as their largest terms. `scale` gives another magnitude, a number or one for each element:
    `scale=expected.abs()` bounds each element by its own size. NaNs and infinities must be in place.
    """
    check(because)
    for where, a, b in pairs(actual, expected):
        complaint = apart(a, b, ulps, scale)
        assert complaint is None, f"{where}: {complaint}\nmay differ, because: {because}"


def check(because: str) -> None:
    if not (isinstance(because, str) and because.strip()):
        raise ValueError("because must say why the values agree")


def pairs(a: Any, b: Any, where: str = "the value") -> Iterator[tuple[str, Any, Any]]:
    """Yield the leaves of two structures with their place; assert that the structures are the same."""
    if isinstance(a, Iterator) or isinstance(b, Iterator):
        a, b = list(a), list(b)
        assert a or b, f"{where}: two empty iterators, nothing would be compared"
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        assert a.keys() == b.keys(), f"{where}: keys {list(a)}, expected {list(b)}"
        for key in a:
            yield from pairs(a[key], b[key], f"{where}[{key!r}]")
    elif is_sequence(a) and is_sequence(b):
        assert len(a) == len(b), f"{where}: {len(a)} items, expected {len(b)}"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from pairs(x, y, f"{where}[{i}]")
    elif isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        # NumPy's arithmetic makes scalars of arrays without axes
        yield where, *(np.asarray(x) if isinstance(x, np.generic) else x for x in (a, b))
    else:
        yield where, a, b


def is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def kind(value: Any) -> str:
    """Say what must agree before values are compared."""
    if isinstance(value, Tensor):
        return f"tensor of {value.dtype}, shape {tuple(value.shape)}"
    if isinstance(value, float):  # np.float64 too
        return "float"
    if isinstance(value, np.ndarray | np.generic):
        return f"array of {value.dtype}, shape {value.shape}"
    return type(value).__name__


def floats(value: Any) -> Tensor | None:
    """Return floats and complex numbers as a tensor of floats on the CPU, None for what else there is."""
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fc":
        value = torch.from_numpy(np.array(value))
    if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_complex()):
        return None
    value = value.detach().cpu()
    value = value if value.layout is torch.strided else value.to_dense()
    value = torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
    return value.contiguous()


def plainly_equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a.cpu(), b.cpu())
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def unlike(a: Any, b: Any) -> str | None:
    """Say how two leaves are not the same bits, or None."""
    if kind(a) != kind(b):
        return f"{kind(a)}, expected {kind(b)}"
    x, y = floats(a), floats(b)
    if x is None or y is None:
        return None if plainly_equal(a, b) else f"{a!r}, expected {b!r}"
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    equal = (x.view(bits) == y.view(bits)) | (x.double().isnan() & y.double().isnan())
    return None if equal.all() else difference(x, y, ~equal)


def same_values(where: str, a: Any, b: Any) -> bool:
    assert kind(a) == kind(b), f"{where}: {kind(a)}, expected {kind(b)}"
    x, y = floats(a), floats(b)
    if x is None or y is None:
        return plainly_equal(a, b)
    x, y = x.double(), y.double()
    return bool(((x == y) | (x.isnan() & y.isnan())).all())


def apart(a: Any, b: Any, ulps: float, scale: float | Tensor | None) -> str | None:
    """Say how two leaves are further apart than they may be, or None."""
    x, y = (floats(a), floats(b)) if kind(a) == kind(b) else (None, None)
    if x is None or y is None:
        return unlike(a, b)
    info = torch.finfo(x.dtype)
    x, y = x.double(), y.double()
    if scale is None:
        scale = float(y[y.isfinite()].abs().max()) if y.isfinite().any() else 0.0
    size = torch.as_tensor(scale).detach().cpu().double().abs()
    unit = (info.eps * size).clamp(min=info.eps * info.tiny)
    agree = (x == y) | (x.isnan() & y.isnan()) | ((x - y).abs() <= ulps * unit)
    if agree.all():
        return None
    worst = float(((x - y).abs() / unit).nan_to_num(0.0, posinf=float("inf")).max())
    return f"{difference(x, y, ~agree)}; {worst:.3g} units in the last place, at most {ulps:g}"


def difference(x: Tensor, y: Tensor, wrong: Tensor) -> str:
    first = tuple(wrong.nonzero()[0].tolist())
    values = f"{float(x[first])!r}, expected {float(y[first])!r}"
    return f"{int(wrong.sum())} of {wrong.numel()} values differ, the first at {first}: {values}"
