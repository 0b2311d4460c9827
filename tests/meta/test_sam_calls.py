"""Weights that come back whatever happens; closures, two calls, loss scalers, other wrappers inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.exact import RERUN, close, differs, same
from tests.meta.problem import BATCHES, Net, mse, numpy_gradient, snapshot
from tests.meta.sam_reference import RHO, closure_of, sam_ascent
from thalweg.meta import SAM, Accumulate, NonFinite

# -- weights come back -----------------------------------------------------------------------------------


def test_a_parameter_without_a_second_gradient_comes_back_bit_for_bit() -> None:
    net = Net()
    # half of the elements far smaller than the perturbation: w + e − e would lose their bits
    with torch.no_grad():
        net.b.mul_(torch.tensor([1e-17, 1.0, 1e-12, 1.0]))
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    mse(net, *BATCHES[0]).backward()
    optimizer.first_step()
    perturbed = net.b.detach().clone()
    (net.W**2).sum().backward()
    optimizer.second_step()
    differs(perturbed, before[1])
    differs(net.W, before[0])
    same(snapshot(net)[1:], before[1:], because="a copy was put back")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_weights_come_back_when_the_second_closure_raises(error: type[BaseException]) -> None:
    net = Net()
    before = snapshot(net)
    inner = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    optimizer = SAM(inner, RHO)
    calls = []

    def closure() -> Tensor:
        calls.append(snapshot(net))
        if len(calls) == 2:
            raise error("stop")
        loss = mse(net, *BATCHES[0])
        loss.backward()
        return loss

    with pytest.raises(error, match="stop"):
        optimizer.step(closure)
    differs(calls[1], before)
    same(snapshot(net), before, because="a copy was put back")
    assert not optimizer.second_pass
    assert not inner.state
    optimizer.step(closure)  # and it goes on
    differs(snapshot(net), before)


def test_weights_come_back_when_perturbing_fails() -> None:
    net = Net()
    mse(net, *BATCHES[0]).backward()
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO, adaptive=True)
    scale, calls = optimizer._scale, []

    def runs_out_of_memory(p: Tensor) -> Tensor:
        calls.append(snapshot(net))
        if len(calls) == 7:  # four for the norm, then two tensors have moved
            raise RuntimeError("no memory")
        return scale(p)

    optimizer._scale = runs_out_of_memory  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no memory"):
        optimizer.first_step()
    differs(calls[-1], before)
    same(snapshot(net), before, because="a copy was put back")
    assert not optimizer.second_pass


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_first_gradient_that_is_not_finite_does_not_perturb(bad: float) -> None:
    net = Net()
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    mse(net, *BATCHES[0]).backward()
    assert net.b.grad is not None
    net.b.grad[1] = bad
    optimizer.first_step()
    same(snapshot(net), before, because="no tensor was moved")
    assert optimizer.second_pass
    mse(net, *BATCHES[0]).backward()
    g = net.W.grad.clone()
    optimizer.second_step()
    close(
        net.W.detach(),
        before[0].add(g, alpha=-0.1),
        ulps=1,
        because="an optimizer may fuse w - lr · g",
    )


def test_a_gradient_of_zero_does_not_perturb() -> None:
    net = Net()
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    (0.0 * mse(net, *BATCHES[0])).backward()
    optimizer.first_step()
    same(snapshot(net), before, because="no tensor was moved")


# -- the call ---------------------------------------------------------------------------------------------


def test_a_closure_of_several_backward_passes_is_the_large_batch() -> None:
    x, y = BATCHES[0]
    ends = []
    for parts in (1, 3):
        net = Net()
        optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)

        def closure(parts: int = parts, net: Net = net, optimizer: SAM = optimizer) -> float:
            optimizer.zero_grad()
            total = 0.0
            for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True):
                loss = mse(net, a, b) / parts
                loss.backward()
                total += loss.item()
            return total

        for _ in range(5):
            optimizer.step(closure)
        ends.append(snapshot(net))
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_closure_that_does_not_zero_gradients_mixes_nothing() -> None:
    ends = []
    for zeroes in (True, False):
        net = Net()
        optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)

        def closure(zeroes: bool = zeroes, net: Net = net, optimizer: SAM = optimizer) -> Tensor:
            if zeroes:
                optimizer.zero_grad()
            loss = mse(net, *BATCHES[0])
            loss.backward()
            return loss

        optimizer.step(closure)
        ends.append(snapshot(net))
    same(*ends, because=RERUN)


def test_gradients_are_on_in_the_closure_under_no_grad() -> None:
    net = Net()
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    with torch.no_grad():
        optimizer.step(closure_of(net, optimizer, *BATCHES[0]))
    differs(snapshot(net), before)


def test_first_step_keeps_the_gradients_if_asked() -> None:
    net = Net()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    mse(net, *BATCHES[0]).backward()
    g = net.W.grad
    optimizer.first_step(zero_grad=False)
    assert net.W.grad is g
    optimizer.restore()
    optimizer.first_step()
    assert net.W.grad is None


def test_calls_out_of_order_say_so() -> None:
    net = Net()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    mse(net, *BATCHES[0]).backward()
    with pytest.raises(RuntimeError, match="Give step a closure"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="first_step"):
        optimizer.second_step()
    optimizer.first_step()
    with pytest.raises(RuntimeError, match=r"call restore\(\) before"):
        optimizer.first_step()
    with pytest.raises(RuntimeError, match="perturbed point"):
        optimizer.step(lambda: 0.0)
    with pytest.raises(RuntimeError, match="would hold the perturbed parameters"):
        optimizer.state_dict()
    optimizer.second_step()
    with pytest.raises(RuntimeError, match="Give step a closure"):
        optimizer.step()
    assert optimizer.state_dict()


def scaled_run(scale: float | None, steps: int = 4) -> list[Tensor]:
    """Two-call steps with a loss scaler, as documented; float32, as scalers ask."""
    net = Net().float()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), RHO)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    for x, y in BATCHES[:steps]:
        x, y = x.float(), y.float()
        scaler.scale(mse(net, x, y)).backward()
        optimizer.first_step()
        scaler.scale(mse(net, x, y)).backward()
        optimizer.restore()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return snapshot(net)


def test_a_loss_scaler_changes_nothing() -> None:
    plain, scaled = scaled_run(None), scaled_run(2.0**12)
    differs(plain, snapshot(Net().float()))
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_a_step_that_the_scaler_leaves_out_leaves_the_weights() -> None:
    net = Net().float()
    before = snapshot(net)
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    x, y = BATCHES[0][0].float(), BATCHES[0][1].float()
    scaler.scale(mse(net, x, y)).backward()
    optimizer.first_step()
    scaler.scale(mse(net, x, y) * float("inf")).backward()
    optimizer.restore()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    assert scaler.get_scale() == 2.0
    same(snapshot(net), before, because="a copy was put back")
    scaler.scale(mse(net, x, y)).backward()
    optimizer.first_step()  # and the next step goes through
    scaler.scale(mse(net, x, y)).backward()
    optimizer.restore()
    scaler.step(optimizer)
    differs(snapshot(net), before)


def test_accumulation_inside_gives_each_micro_batch_a_perturbation_of_its_own() -> None:
    net, k = Net(), 3
    inner = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer = SAM(Accumulate(inner, every=k), RHO)
    w = [p.numpy() for p in snapshot(net)[:4]]
    total = [np.zeros_like(a) for a in w]
    for x, y in BATCHES[:k]:
        assert not optimizer.stepped
        optimizer.step(closure_of(net, optimizer, x, y))
        data = x.numpy(), y.numpy()
        g = numpy_gradient(sam_ascent(w, numpy_gradient(w, *data)), *data)
        total = [a + b for a, b in zip(total, g, strict=True)]
    assert optimizer.stepped
    for p, a, s in zip(net.parameters(), w, total, strict=False):
        np.testing.assert_allclose(p.detach().numpy(), a - 0.1 * s / k, rtol=1e-13, atol=1e-14)


def test_a_policy_inside_looks_at_the_second_gradient() -> None:
    net = Net()
    before = snapshot(net)
    inside = NonFinite(torch.optim.SGD(net.parameters(), lr=0.1), "skip")
    optimizer = SAM(inside, RHO)
    mse(net, *BATCHES[0]).backward()
    optimizer.first_step()
    (mse(net, *BATCHES[0]) * float("nan")).backward()
    optimizer.second_step()
    same(snapshot(net), before, because="a copy was put back")
    assert inside.skipped == 1
    assert not optimizer.stepped
