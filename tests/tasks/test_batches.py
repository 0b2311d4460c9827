from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import examples
from tests.exact import same
from thalweg.errors import TaskError
from thalweg.tasks import Order, batches
from thalweg.tasks import batches as batches_function
from thalweg.tasks.sources.batches import _BLOCK, Lent, derive


@settings(max_examples=60 * examples.MORE)
@given(
    rows=st.integers(1, 40),
    batch_size=st.one_of(st.none(), st.integers(1, 50)),
    shuffle=st.sampled_from(["epoch", "once", "never"]),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_row_once_an_epoch(
    rows: int, batch_size: int | None, shuffle: str, seed: int
) -> None:
    x = torch.arange(rows * 3).reshape(rows, 3)
    order = Order(seed, shuffle)  # type: ignore[arg-type]
    parts = list(batches(x, x[:, 0], batch_size, order.permutation(rows, 2)))
    seen = torch.cat([inputs for inputs, _ in parts])
    same(seen.sort(0).values, x, because="integers")
    same([inputs[:, 0] for inputs, _ in parts], [y for _, y in parts], because="integers")
    size = batch_size or rows
    assert [len(inputs) for inputs, _ in parts[:-1]] == [size] * (len(parts) - 1)
    assert len(parts[-1][0]) == (rows % size or min(size, rows))


def test_blocks_larger_than_the_cache_give_the_same_batches() -> None:
    width = _BLOCK // 4
    x = torch.arange(10.0).reshape(10, 1).expand(10, width)
    permutation = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    seen = [inputs[:, 0].tolist() for inputs, _ in batches(x, x[:, 0], 3, permutation)]
    assert seen == [part.tolist() for part in permutation.float().split(3)]


def test_a_batch_of_all_rows_is_the_set_in_its_own_order() -> None:
    x = torch.arange(4.0)
    for size in (None, 4, 9):
        ((inputs, _),) = batches_function(x, x, size, torch.tensor([3, 2, 1, 0]))
        same(inputs, x, because="a copy")


@pytest.mark.parametrize("size", [None, 2, 9])
@pytest.mark.parametrize("permuted", [False, True])
def test_a_batch_shares_no_memory_with_the_set(size: int | None, permuted: bool) -> None:
    x = torch.arange(4.0)
    for inputs, targets in batches_function(x, x, size, torch.arange(4) if permuted else None):
        inputs.zero_()
        assert targets.sum() > 0
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_orders() -> None:
    def orders(seed: int, shuffle: str) -> list[list[int] | None]:
        order = Order(seed, shuffle)  # type: ignore[arg-type]
        drawn = [order.permutation(20, epoch) for epoch in (1, 2)]
        return [None if p is None else p.tolist() for p in drawn]

    first, second = orders(0, "epoch")
    assert first != second
    assert orders(0, "epoch") == [first, second]
    assert orders(1, "epoch")[0] != first
    once = orders(0, "once")
    assert once[0] == once[1] != list(range(20))
    assert orders(0, "never") == [None, None]


def test_bad_order() -> None:
    with pytest.raises(TaskError, match="'epoch', 'once' or 'never'; got 'always'"):
        Order(0, "always")  # type: ignore[arg-type]


def test_drawing_an_order_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    Order(0).permutation(10, 1)
    same(torch.get_rng_state(), before, because="no random number was drawn")


def test_streams_do_not_meet() -> None:
    seeds = {
        derive(s, name, e) for s in range(20) for name in ("order", "noise") for e in range(20)
    }
    assert len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("write", ["not at all", "in place", "around the count"])
@pytest.mark.parametrize("size", [None, 2])
def test_a_copy_that_is_lent_is_as_the_set_whoever_wrote_to_it(
    write: str, size: int | None
) -> None:
    x = torch.arange(4.0)
    lent = Lent(x, x)
    addresses = set()
    for _ in range(3):
        for k, (inputs, targets) in enumerate(batches_function(x, x, size, None, lent)):
            for part in (inputs, targets):
                same(part, x[2 * k :][: len(inputs)], because="a copy")
            addresses.add(inputs.data_ptr())
            if write == "in place":
                inputs.add_(1)
            elif write == "around the count":
                inputs.data.add_(1)
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]
    if write == "not at all":
        assert len(addresses) == (1 if size is None else 2)


def test_a_large_set_is_copied_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Order.__module__], "_KEPT", 8)
    x = torch.arange(4.0)
    for inputs, _ in batches_function(x, x, 2, None, Lent(x, x)):
        inputs.zero_()
    assert x.sum() == 6
