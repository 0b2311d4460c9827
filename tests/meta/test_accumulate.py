"""Accumulated micro-batches equal the large batch: trajectory, states, ragged ends, a resume in between."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, differs, is_same, same
from tests.meta.problem import BATCHES, MAKES, Make, Net, mse, snapshot
from thalweg.meta import Accumulate

K = 4
EQUAL = (3, 3, 3, 3)
RAGGED = (5, 1, 4, 2)


def large(make: Make, steps: int, *, total: bool = False) -> tuple[list[list[Tensor]], Net]:
    """Return the path of steps on whole batches, by the optimizer alone."""
    net = Net()
    optimizer = make(net.parameters())
    path = []
    for x, y in BATCHES[:steps]:
        optimizer.zero_grad()
        (mse(net, x, y) * (len(y) if total else 1)).backward()
        optimizer.step()
        path.append(snapshot(net))
    return path, net


def assert_close(a: list[list[Tensor]], b: list[list[Tensor]]) -> None:
    for u, v in zip(a, b, strict=True):
        for p, q in zip(u, v, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("zeroes", ["optimizer", "model", "nobody", "to zero"])
@pytest.mark.parametrize("name", MAKES)
def test_equal_micro_batches_are_the_large_batch(name: str, zeroes: str) -> None:
    steps = 50 if zeroes == "optimizer" else 5
    net = Net()
    optimizer = Accumulate(MAKES[name](net.parameters()), every=K)
    path = []
    for x, y in BATCHES[:steps]:
        for a, b in zip(x.split(EQUAL), y.split(EQUAL), strict=True):
            if zeroes == "optimizer" or optimizer.stepped:
                optimizer.zero_grad()
            elif zeroes == "model":
                net.zero_grad()
            elif zeroes == "to zero":
                optimizer.zero_grad(set_to_none=False)
            mse(net, a, b).backward()
            before = snapshot(net)
            optimizer.step()
            assert optimizer.stepped is (optimizer.pending == 0)
            rested = is_same(snapshot(net), before, because="no step was taken")
            assert rested is not optimizer.stepped
        path.append(snapshot(net))
    assert optimizer.steps == steps
    assert_close(path, large(MAKES[name], steps)[0])
    counts = {int(s["step"]) for s in optimizer.state.values() if "step" in s}
    assert counts <= {steps}


@pytest.mark.parametrize("name", MAKES)
def test_weighted_micro_batches_of_any_size_are_the_large_batch(name: str) -> None:
    net = Net()
    optimizer = Accumulate(MAKES[name](net.parameters()), every=K)
    path = []
    for x, y in BATCHES:
        for a, b in zip(x.split(RAGGED), y.split(RAGGED), strict=True):
            optimizer.zero_grad()
            mse(net, a, b).backward()
            optimizer.step(weight=len(b))
        path.append(snapshot(net))
    assert_close(path, large(MAKES[name], 50)[0])


@pytest.mark.parametrize("sizes", [EQUAL, RAGGED])
def test_losses_that_are_sums(sizes: tuple[int, ...]) -> None:
    def make(params: object) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, lr=0.002, momentum=0.9)  # type: ignore[arg-type]

    net = Net()
    optimizer = Accumulate(make(net.parameters()), every=K, reduction="sum")
    path = []
    for x, y in BATCHES:
        for a, b in zip(x.split(sizes), y.split(sizes), strict=True):
            optimizer.zero_grad()
            (mse(net, a, b) * len(b)).backward()
            optimizer.step()
        path.append(snapshot(net))
    assert_close(path, large(make, 50, total=True)[0])


@pytest.mark.parametrize("name", MAKES)
def test_bit_for_bit_what_autograd_accumulates(name: str) -> None:
    net, twin = Net(), Net()
    optimizer, alone = (
        Accumulate(MAKES[name](net.parameters()), every=3),
        MAKES[name](twin.parameters()),
    )
    for start in range(0, 15, 3):
        for x, y in BATCHES[start : start + 3]:
            mse(net, x, y).backward()
            optimizer.step()
            mse(twin, x, y).backward()
        optimizer.zero_grad()
        for p in twin.parameters():
            if p.grad is not None:
                p.grad.div_(3)
        alone.step()
        alone.zero_grad()
        same(snapshot(net), snapshot(twin), because="the same sums and divisions in the same order")
    assert optimizer.steps == 5


@pytest.mark.parametrize("name", ["torch AdamW", "chain with decay"])
def test_one_micro_batch_a_step_is_the_optimizer_itself(name: str) -> None:
    net = Net()
    optimizer = Accumulate(MAKES[name](net.parameters()), every=1)
    path = []
    for x, y in BATCHES[:5]:
        optimizer.zero_grad()
        mse(net, x, y).backward()
        grads = [p.grad for p in net.parameters()]
        optimizer.step(weight=7)
        assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))
        assert not optimizer._sums
        path.append(snapshot(net))
    assert optimizer.steps == 5
    same(path, large(MAKES[name], 5)[0], because=RERUN)


@pytest.mark.parametrize("weighted", [False, True])
def test_flush_steps_by_the_ragged_end(weighted: bool) -> None:
    net, twin = Net(), Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=K)
    alone = torch.optim.SGD(twin.parameters(), lr=0.1)
    x, y = BATCHES[0]
    sizes = (5, 1) if weighted else (3, 3)
    for a, b in zip(x[:6].split(sizes), y[:6].split(sizes), strict=True):
        mse(net, a, b).backward()
        optimizer.step(weight=len(b) if weighted else None)
    assert (optimizer.pending, optimizer.steps) == (2, 0)
    optimizer.flush()
    assert optimizer.stepped
    assert (optimizer.pending, optimizer.steps) == (0, 1)
    mse(twin, x[:6], y[:6]).backward()
    alone.step()
    assert_close([snapshot(net)], [snapshot(twin)])
    before = snapshot(net)
    optimizer.flush()  # nothing is left
    assert not optimizer.stepped
    assert optimizer.steps == 1
    same(snapshot(net), before, because="nothing wrote to it")


def test_flush_leaves_gradients_that_no_step_has_taken() -> None:
    net, twin = Net(), Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=K)
    mse(net, *BATCHES[0]).backward()
    optimizer.step()
    mse(net, *BATCHES[1]).backward()
    grads = [p.grad for p in net.parameters()]
    optimizer.flush()
    assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))
    mse(twin, *BATCHES[0]).backward()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    same(snapshot(net), snapshot(twin), because=RERUN)


def test_the_gradient_of_the_last_micro_batch_is_left_as_it_was() -> None:
    net = Net()
    optimizer = Accumulate(torch.optim.SGD(net.parameters(), lr=0.1), every=2)
    mse(net, *BATCHES[0]).backward()
    first = net.W.grad
    copied = first.clone()
    optimizer.step()
    assert net.W.grad is None
    mse(net, *BATCHES[1]).backward()
    second, last = net.W.grad, net.W.grad.clone()
    optimizer.step()
    assert net.W.grad is second
    # neither tensor was written to: it may be a view of someone else's memory
    same(first, copied, because="nothing wrote to it")
    same(second, last, because="nothing wrote to it")


def test_a_parameter_reached_by_some_micro_batches_only() -> None:
    a, b, c = (nn.Parameter(torch.ones((), dtype=torch.float64)) for _ in range(3))
    inner = torch.optim.SGD([a, b, c], lr=1.0, momentum=0.9, weight_decay=0.1)
    optimizer = Accumulate(inner, every=2)
    (2 * a).backward()
    optimizer.step()
    (4 * a + 8 * b).backward()
    optimizer.step()
    assert [p.item() for p in (a, b)] == pytest.approx([1 - 3 - 0.1, 1 - 4 - 0.1], abs=1e-15)
    assert c.item() == 1.0  # no gradient: neither decay nor momentum
    assert c not in optimizer.state


def test_half_precision_is_summed_in_float32() -> None:
    w = nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = Accumulate(torch.optim.SGD([w], lr=1.0), every=257)
    for _ in range(257):  # in bfloat16 the sum would stop at 256
        w.grad = torch.full((1,), 1.0 if optimizer.pending else 258.0, dtype=torch.bfloat16)
        optimizer.step()
    assert optimizer.steps == 1
    assert w.dtype == torch.bfloat16
    assert w.item() == -2.0


def test_sparse_gradients() -> None:
    ends = []
    for sparse in (True, False):
        layer = nn.Embedding(5, 2, sparse=sparse, dtype=torch.float64)
        nn.init.ones_(layer.weight)
        optimizer = Accumulate(torch.optim.SGD(layer.parameters(), lr=0.1), every=3)
        for k, rows in enumerate(([0, 2], [2, 2], [4])):
            (layer(torch.tensor(rows)) ** 2).sum().backward()
            if k == 2 and sparse:  # as of a layer whose weight is tied
                layer.weight.grad = layer.weight.grad.to_dense()
            optimizer.step(weight=k + 1)
        ends.append(layer.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-14, atol=0)
    differs(ends[0], torch.ones_like(ends[0]))


# -- wrong input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [0, -1, 2.0, "2", None, True])
def test_a_wrong_number_of_micro_batches_is_refused(every: object) -> None:
    with pytest.raises(ValueError, match=r"every.*at least 1, got"):
        Accumulate(torch.optim.SGD(Net().parameters(), lr=0.1), every)  # type: ignore[arg-type]


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 'maen'. Did you mean 'mean'\?"):
        Accumulate(torch.optim.SGD(Net().parameters(), lr=0.1), 2, "maen")  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), float("inf"), "3", True])
def test_a_wrong_weight_is_refused(weight: object) -> None:
    optimizer = Accumulate(torch.optim.SGD(Net().parameters(), lr=0.1), 2)
    with pytest.raises(ValueError, match=r"weight.*above 0, got"):
        optimizer.step(weight=weight)  # type: ignore[arg-type]
    assert optimizer.pending == 0


@pytest.mark.parametrize("first", [None, 3])
def test_weights_for_some_micro_batches_only_are_refused(first: int | None) -> None:
    optimizer = Accumulate(torch.optim.SGD(Net().parameters(), lr=0.1), 2)
    optimizer.step(weight=first)
    with pytest.raises(ValueError, match="for some micro-batches of a step and none for others"):
        optimizer.step(weight=3 if first is None else None)


def test_a_weight_for_a_sum_is_refused() -> None:
    optimizer = Accumulate(torch.optim.SGD(Net().parameters(), lr=0.1), 2, "sum")
    with pytest.raises(ValueError, match="add up as they are"):
        optimizer.step(weight=3)
