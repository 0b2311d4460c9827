"""The comparisons of the tests find what differs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.exact import close, differs, is_same, same

HERE = "a copy"
NAN = float("nan")


def payload(bits: int) -> torch.Tensor:
    return torch.tensor([bits], dtype=torch.int64).view(torch.float64)


EQUAL: dict[str, tuple[Any, Any]] = {
    "floats": (0.1 + 0.2, 0.1 + 0.2),
    "a float of NumPy": (np.float64(0.5), 0.5),
    "tensors": (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])),
    "another layout": (torch.arange(6.0).view(2, 3), torch.arange(6.0).view(2, 3).T.contiguous().T),
    "a parameter": (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
    "bfloat16": (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
    "complex": (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
    "a scalar of NumPy": (np.float64(0.5), np.array(0.5)),
    "arrays": (np.arange(3.0), np.arange(3.0)),
    "strings in arrays": (np.array(["a", "b"]), np.array(["a", "b"])),
    "NaNs of any payload": (payload(0x7FF8000000000001), payload(-0x8000000000002)),
    "nothing": (torch.empty(0), torch.empty(0)),
    "a state dict": (
        {"state": {0: {"m": torch.ones(2), "step": 3}}, "groups": [{"lr": 0.1, "name": "a"}]},
        {"state": {0: {"m": torch.ones(2), "step": 3}}, "groups": ({"lr": 0.1, "name": "a"},)},
    ),
}
UNEQUAL: dict[str, tuple[Any, Any]] = {
    "the last bit of a float": (0.1 + 0.2, 0.3),
    "signs of zero": (torch.zeros(2), -torch.zeros(2)),
    "the last bit": (torch.ones(2), torch.ones(2).nextafter(torch.tensor(2.0))),
    "dtypes": (torch.ones(2), torch.ones(2, dtype=torch.float64)),
    "shapes that broadcast": (torch.ones(2), torch.ones(1, 2)),
    "an array and a tensor": (np.ones(2), torch.ones(2, dtype=torch.float64)),
    "a float and an integer": (1.0, 1),
    "a NaN and a number": (torch.tensor([NAN]), torch.tensor([1.0])),
    "integers": (torch.tensor([1]), torch.tensor([2])),
    "lengths": ([torch.ones(1)], [torch.ones(1), torch.ones(1)]),
    "keys": ({"a": 1.0}, {"b": 1.0}),
    "a value within": ({"a": [1.0, {"b": torch.ones(1)}]}, {"a": [1.0, {"b": torch.zeros(1)}]}),
    "words": ({"name": "a"}, {"name": "b"}),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_same_passes(name: str) -> None:
    same(*EQUAL[name], because=HERE)
    assert is_same(*EQUAL[name], because=HERE)
    close(*EQUAL[name], ulps=0, because=HERE)
    with pytest.raises(AssertionError):
        differs(*EQUAL[name])


@pytest.mark.parametrize("name", UNEQUAL)
def test_any_difference_fails(name: str) -> None:
    with pytest.raises(AssertionError):
        same(*UNEQUAL[name], because=HERE)
    assert not is_same(*UNEQUAL[name], because=HERE)


def test_the_place_is_told() -> None:
    a, b = {"w": [torch.zeros(2, 3)]}, {"w": [torch.zeros(2, 3)]}
    b["w"][0][1, 2] = 0.5
    with pytest.raises(
        AssertionError, match=r"\['w'\]\[0\]: 1 of 6 values differ, the first at \(1, 2\)"
    ):
        same(a, b, because=HERE)


@pytest.mark.parametrize("because", ["", "  ", None])
@pytest.mark.parametrize("compare", [same, is_same, lambda a, b, **k: close(a, b, ulps=1, **k)])
def test_a_reason_is_needed(compare: Callable[..., Any], because: Any) -> None:
    with pytest.raises(ValueError, match="because"):
        compare(1.0, 1.0, because=because)


def test_iterators_are_compared_whole_and_never_empty() -> None:
    model = torch.nn.Linear(2, 1)
    same(model.parameters(), model.parameters(), because=HERE)
    with pytest.raises(AssertionError, match="1 items, expected 2"):
        same(iter([model.weight]), model.parameters(), because=HERE)
    with pytest.raises(AssertionError, match="empty"):
        same(iter([]), iter([]), because=HERE)


def test_a_difference_is_one_of_values() -> None:
    one, other = [torch.ones(2), torch.zeros(2)], [torch.ones(2), torch.ones(2)]
    differs(one, other)
    with pytest.raises(AssertionError, match=r"equal: the value\[0\]"):
        differs(one, other, everywhere=True)
    with pytest.raises(AssertionError, match="equal"):
        differs(torch.zeros(2), -torch.zeros(2))
    with pytest.raises(AssertionError, match="expected"):
        differs(torch.zeros(2), torch.zeros(3))


def test_units_are_those_of_the_largest_value() -> None:
    expected = torch.tensor([1.0, 1e-6], dtype=torch.float64)
    moved = expected + torch.tensor([0.0, 2.0**-52])
    close(moved, expected, ulps=1, because=HERE)
    with pytest.raises(AssertionError, match=r"units in the last place, at most 0\.5"):
        close(moved, expected, ulps=0.5, because=HERE)
    with pytest.raises(AssertionError, match="units in the last place, at most 1"):
        close(moved, expected, ulps=1, scale=expected.abs(), because=HERE)
    close(moved, expected, ulps=1, scale=1.0, because=HERE)


def test_bounds_hold_in_every_dtype() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        one = torch.ones(3, dtype=dtype)
        close(one + torch.finfo(dtype).eps, one, ulps=1, because=HERE)
        with pytest.raises(AssertionError):
            close(one + 2 * torch.finfo(dtype).eps, one, ulps=1, because=HERE)
        with pytest.raises(AssertionError):
            close(one, torch.zeros_like(one), ulps=1000, because=HERE)


def test_what_is_not_finite_must_be_in_its_place() -> None:
    expected = torch.tensor([NAN, float("inf"), 1.0])
    close(expected.clone(), expected, ulps=1, because=HERE)
    for wrong in ([1.0, float("inf"), 1.0], [NAN, -float("inf"), 1.0], [NAN, float("inf"), NAN]):
        with pytest.raises(AssertionError, match="1 of 3 values differ"):
            close(torch.tensor(wrong), expected, ulps=1e9, because=HERE)


def test_what_is_no_float_must_be_equal_within_any_bound() -> None:
    close({"step": 3, "m": torch.ones(1)}, {"step": 3, "m": torch.ones(1)}, ulps=1, because=HERE)
    with pytest.raises(AssertionError, match=r"\['step'\]"):
        close({"step": 3}, {"step": 4}, ulps=1e9, because=HERE)
