"""What happens at a gradient that is NaN or infinite, and only then."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, same
from tests.meta.problem import BATCHES, MAKES, Net, mse, snapshot, through_file
from thalweg.errors import DivergedError
from thalweg.meta import NonFinite

NAN, INF = float("nan"), float("inf")


def give(net: Net, k: int, bad: float | None = None) -> None:
    net.zero_grad()
    mse(net, *BATCHES[k]).backward()
    if bad is not None:
        net.W.grad[1, 2] = bad  # type: ignore[index]


def states(optimizer: torch.optim.Optimizer) -> dict[Any, Any]:
    return {
        p: {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
        for p, state in optimizer.state.items()
    }


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("name", MAKES)
def test_skip_leaves_everything_as_it_is(name: str, bad: float) -> None:
    net, twin = Net(), Net()
    optimizer, alone = NonFinite(MAKES[name](net.parameters())), MAKES[name](twin.parameters())
    for k in range(10):
        spoilt = k in (0, 3, 4, 9)
        give(net, k, bad if spoilt else None)
        before, kept = snapshot(net), states(optimizer)
        optimizer.step()
        assert optimizer.stepped is not spoilt
        if spoilt:
            same(snapshot(net), before, because="nothing wrote to it")
            same(states(optimizer), kept, because="nothing wrote to it")
        else:
            give(twin, k)
            alone.step()
        same(snapshot(net), snapshot(twin), because=RERUN)
        assert optimizer.consecutive == {0: 1, 3: 1, 4: 2, 9: 1}.get(k, 0)
    assert (optimizer.found, optimizer.skipped) == (4, 4)


@pytest.mark.parametrize("policy", ["ignore", "skip", "raise"])
def test_finite_gradients_step_as_without_it(policy: Any) -> None:
    net, twin = Net(), Net()
    optimizer = NonFinite(MAKES["torch Adam"](net.parameters()), policy)
    alone = MAKES["torch Adam"](twin.parameters())
    for k in range(10):
        give(net, k)
        give(twin, k)
        optimizer.step()
        alone.step()
    same(snapshot(net), snapshot(twin), because=RERUN)
    assert (optimizer.found, optimizer.skipped, optimizer.consecutive) == (0, 0, 0)


def test_ignore_steps_and_counts() -> None:
    net, twin = Net(), Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), "ignore")
    for n in (net, twin):
        give(n, 0, INF)
    optimizer.step()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    assert optimizer.stepped
    same(snapshot(net), snapshot(twin), because=RERUN)
    assert not net.W.isfinite().all()
    assert (optimizer.found, optimizer.skipped, optimizer.consecutive) == (1, 0, 1)


@pytest.mark.parametrize("named", [True, False])
def test_raise_names_the_parameters_before_anything_changes(named: bool) -> None:
    net = Net()
    params = list(net.named_parameters()) if named else list(net.parameters())
    optimizer = NonFinite(torch.optim.SGD(params, lr=0.1, momentum=0.9), "raise")
    give(net, 0, NAN)
    net.W.grad[0, 0] = INF
    net.s.grad.fill_(-INF)
    before = snapshot(net)
    with pytest.raises(DivergedError) as caught:
        optimizer.step()
    message = str(caught.value)
    first = "W" if named else "parameter 0 of shape (5, 4)"
    last = "s" if named else "parameter 3 of shape ()"
    assert f"in 2 of 5 parameters: {first} (1 NaN, 1 infinite of 20), {last} (0 NaN, 1" in message
    same(snapshot(net), before, because="nothing wrote to it")
    assert not optimizer.state
    assert not optimizer.stepped
    assert optimizer.found == 1


def test_a_long_list_of_parameters_is_cut() -> None:
    params = [nn.Parameter(torch.zeros(2)) for _ in range(9)]
    for p in params:
        p.grad = torch.full((2,), NAN)
    with pytest.raises(DivergedError, match=r"in 9 of 9 .*parameter 4 of .* and 4 more\. Look"):
        NonFinite(torch.optim.SGD(params, lr=0.1), "raise").step()


def test_the_limit_counts_skips_in_a_row() -> None:
    net = Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), limit=3)
    before = snapshot(net)
    for bad in (NAN, NAN, None, NAN, NAN):
        give(net, 0, bad)
        optimizer.step()
        if bad is None:
            before = snapshot(net)
    give(net, 0, NAN)
    with pytest.raises(DivergedError, match=r"3 steps in a row were left out.*parameter 0"):
        optimizer.step()
    same(snapshot(net), before, because="nothing wrote to it")
    assert (optimizer.skipped, optimizer.consecutive) == (5, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_sum_that_overflows_is_not_taken_for_infinity(dtype: torch.dtype) -> None:
    w = nn.Parameter(torch.zeros(8, dtype=dtype))
    w.grad = torch.full((8,), torch.finfo(dtype).max, dtype=dtype)
    assert not w.grad.sum().isfinite()
    optimizer = NonFinite(torch.optim.SGD([w], lr=0.01), "raise")
    optimizer.step()
    assert optimizer.found == 0
    w.grad[5] = -INF
    w.grad[6] = INF
    with pytest.raises(DivergedError, match="0 NaN, 2 infinite of 8"):
        optimizer.step()


def test_missing_empty_complex_and_sparse_gradients() -> None:
    none, empty = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(0, 3))
    empty.grad = torch.zeros(0, 3)
    z = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    z.grad = torch.ones(2, dtype=torch.complex64)
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1, 1])).sum().backward()
    optimizer = NonFinite(torch.optim.SGD([none, empty, z, table.weight], lr=0.1), "skip")
    optimizer.step()
    assert optimizer.stepped
    z.grad[1] = complex(1.0, NAN)
    optimizer.step()
    assert optimizer.skipped == 1
    z.grad[1] = 1.0
    (table(torch.tensor([1, 1])) * INF).sum().backward()
    optimizer.step()
    assert optimizer.skipped == 2
    optimizer.policy = "raise"
    with pytest.raises(DivergedError, match=r"parameter 3 of shape \(4, 2\) \(0 NaN, 2 infinite"):
        optimizer.step()


def test_the_closure_is_evaluated_once_and_its_loss_returned() -> None:
    net = Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1))
    calls = []

    def closure() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = mse(net, *BATCHES[0]) * (NAN if len(calls) == 2 else 1.0)
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure).item() for _ in range(3)]
    assert len(calls) == 3
    assert losses[0] > losses[2]
    assert losses[1] != losses[1]
    assert optimizer.skipped == 1


def test_counters_are_saved() -> None:
    net = Net()
    optimizer = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), limit=3)
    for bad in (NAN, None, NAN, NAN):
        give(net, 0, bad)
        optimizer.step()
    resumed = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), limit=3)
    resumed.load_state_dict(through_file(optimizer.state_dict()))
    assert (resumed.found, resumed.skipped, resumed.consecutive) == (3, 3, 2)
    give(net, 0, NAN)
    with pytest.raises(DivergedError):
        resumed.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "skipp"}, r"got 'skipp'. Did you mean 'skip'\?"),
        ({"policy": None}, "must be one of 'ignore', 'skip', 'raise'"),
        ({"policy": "raise", "limit": 3}, "limit counts skips in a row; with policy='raise'"),
        ({"limit": 0}, "at least 1, got 0"),
        ({"limit": 1.5}, r"at least 1, got 1\.5"),
        ({"limit": True}, "at least 1, got True"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonFinite(torch.optim.SGD(Net().parameters(), lr=0.1), **options)
