"""Zeros for states, on huge pages where there is memory to ask them for."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from thalweg.engine import memory

SIZE = 100_000
Advice = list[tuple[int, int, int]]


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> Iterator[Advice]:
    """Return what the system is asked for; all tensors here are large."""
    given: Advice = []
    monkeypatch.setattr(memory, "HUGE_PAGE", 2**12)
    monkeypatch.setattr(memory, "_madvise", lambda: lambda *words: given.append(words))
    return given


class OfUsers(Tensor):
    """A subclass, which may lie anywhere."""


def fake() -> Tensor:
    return FakeTensorMode().from_tensor(torch.ones(SIZE))


def functional() -> Tensor:
    return torch._to_functional_tensor(torch.ones(SIZE))


NOWHERE: dict[str, Callable[[], Tensor]] = {
    "meta": lambda: torch.ones(SIZE, device="meta"),
    "fake": fake,
    "functional": functional,
    "subclass": lambda: torch.ones(SIZE).as_subclass(OfUsers),
    "small": lambda: torch.ones(5),
    "empty": lambda: torch.ones(0),
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_only_memory_is_asked_about(kind: str, advice: Advice) -> None:
    """Many a tensor is on "cpu", and has no address, or none of its own."""
    x = NOWHERE[kind]()
    zeros = memory.zeros_like(x)
    assert (type(zeros), zeros.shape, zeros.device) == (type(x), x.shape, x.device)
    assert not advice


def test_tensors_of_transforms(advice: Advice) -> None:
    """Those of `torch.func` are plain tensors by type, and raise when asked for their address."""

    def of(x: Tensor) -> Tensor:
        return (x + memory.zeros_like(x)).sum()

    x = torch.arange(1.0, SIZE + 1)
    assert (torch.func.grad(of)(x) == 1).all()
    assert torch.func.vmap(of)(x.expand(2, -1)).shape == (2,)
    assert not advice


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="this system has no huge pages")
@pytest.mark.parametrize("make", [torch.ones, torch.nn.Parameter])
def test_whole_pages_inside_of_large_memory_are_asked_for(
    make: Callable[..., Tensor], advice: Advice
) -> None:
    zeros = memory.zeros_like(make(torch.ones(SIZE)) if make is not torch.ones else make(SIZE))
    assert not zeros.requires_grad
    assert not zeros.any()
    ((first, size, what),) = advice
    assert what == mmap.MADV_HUGEPAGE
    assert first % memory.HUGE_PAGE == size % memory.HUGE_PAGE == 0
    assert zeros.data_ptr() <= first < first + size <= zeros.data_ptr() + zeros.nbytes
    assert size > zeros.nbytes - 2 * memory.HUGE_PAGE


def test_a_system_without_huge_pages_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert memory._madvise.__wrapped__() is None


def test_nothing_is_said_of_fake_tensors(advice: Advice) -> None:
    """PyTorch warns where their address is read, and will raise."""
    with warnings.catch_warnings(), FakeTensorMode():
        warnings.simplefilter("error")
        memory.zeros_like(torch.ones(SIZE))
    assert not advice
