"""SAM and ASAM against NumPy, and on every kind of tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, differs, same
from tests.meta.problem import BATCHES, INNER, STEPS, Net, mse, numpy_gradient, snapshot
from tests.meta.sam_reference import RHO, asam_ascent, closure_of, reference, sam_ascent
from thalweg.meta import ASAM, SAM, frozen_batch_norm


@pytest.mark.parametrize("two_calls", [False, True])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("kind", ["SAM", "adaptive", "ASAM"])
def test_trajectory_equals_numpy(kind: str, inner: str, two_calls: bool) -> None:
    make, rule = INNER[inner]
    net = Net()
    unused = net.unused.detach().clone()
    optimizer = {
        "SAM": lambda: SAM(make(net.parameters()), RHO),
        "adaptive": lambda: SAM(make(net.parameters()), RHO, adaptive=True),
        "ASAM": lambda: ASAM(make(net.parameters()), RHO),
    }[kind]()
    expected = reference(sam_ascent if kind == "SAM" else asam_ascent, rule)
    for (x, y), at in zip(BATCHES, expected, strict=True):
        before = mse(net, x, y).item()
        if two_calls:
            mse(net, x, y).backward()
            optimizer.first_step()
            mse(net, x, y).backward()
            optimizer.second_step()
            optimizer.zero_grad()
        else:
            assert optimizer.step(closure_of(net, optimizer, x, y)).item() == before
        for p, w in zip(list(net.parameters())[:4], at, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), w, rtol=1e-12, atol=1e-12)
    assert len(expected) == STEPS
    same(net.unused, unused, because="nothing wrote to it")


@pytest.mark.parametrize(
    ("changed", "adaptive"), [({"rho": 0.31}, False), ({"rho": 0.31}, True), ({"eta": 0.02}, True)]
)
def test_every_hyperparameter_matters(changed: dict[str, float], adaptive: bool) -> None:
    ends = []
    for options in ({}, changed):
        net = Net()
        inner = torch.optim.SGD(net.parameters(), lr=0.1)
        optimizer = SAM(inner, **{"rho": 0.3, "adaptive": adaptive, **options})
        optimizer.step(closure_of(net, optimizer, *BATCHES[0]))
        ends.append(snapshot(net))
    differs(*ends)


def test_defaults() -> None:
    inner = torch.optim.SGD(Net().parameters(), lr=0.1)
    sam, asam = SAM(inner), ASAM(inner)
    assert (sam.rho, sam.adaptive) == (0.05, False)
    assert (asam.rho, asam.adaptive, asam.eta) == (0.5, True, 0.01)


def test_rho_may_change_between_steps() -> None:
    ends = []
    for first in (0.3, 5.0):
        net = Net()
        optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), first)
        optimizer.rho = 0.3
        optimizer.step(closure_of(net, optimizer, *BATCHES[0]))
        ends.append(snapshot(net))
    same(*ends, because=RERUN)


def test_norm_runs_over_all_groups_and_each_keeps_its_learning_rate() -> None:
    net = Net()
    twin = Net()
    groups = [
        {"params": [net.W, net.unused], "lr": 0.1},
        {"params": [net.b, net.v, net.s], "lr": 0.01},
    ]
    optimizer = SAM(torch.optim.SGD(groups, lr=1.0), RHO)
    optimizer.step(closure_of(net, optimizer, *BATCHES[0]))
    w = [p.numpy() for p in snapshot(twin)[:4]]
    data = [a.numpy() for a in BATCHES[0]]
    g = numpy_gradient(sam_ascent(w, numpy_gradient(w, *data)), *data)
    for p, a, d, lr in zip(net.parameters(), w, g, (0.1, 0.01, 0.01, 0.01), strict=False):
        np.testing.assert_allclose(p.detach().numpy(), a - lr * d, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("adaptive", [False, True])
def test_maximizing_the_negative_is_minimizing(adaptive: bool) -> None:
    ends = []
    for sign in (1.0, -1.0):
        net = Net()
        inner = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, maximize=sign < 0)
        optimizer = SAM(inner, RHO, adaptive)

        def closure(net: Net = net, optimizer: SAM = optimizer, sign: float = sign) -> Tensor:
            optimizer.zero_grad()
            loss = sign * mse(net, *BATCHES[0])
            loss.backward()
            return loss

        for _ in range(5):
            optimizer.step(closure)
        ends.append(snapshot(net))
    same(*ends, because="negation is exact, and rounding is symmetric")


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_perturbation_does_not_depend_on_the_scale_of_the_loss(scale: float) -> None:
    points = []
    for c in (1.0, scale):
        net = Net()
        optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
        (c * mse(net, *BATCHES[0])).backward()
        optimizer.first_step()
        points.append(snapshot(net))
    for a, b in zip(*points, strict=True):
        # 1e-12 beside a norm of 1e-8
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    differs(points[0], snapshot(Net()))


def test_the_gradient_left_is_the_one_at_the_perturbed_point() -> None:
    net = Net()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), RHO)
    mse(net, *BATCHES[0]).backward()
    optimizer.first_step()
    mse(net, *BATCHES[0]).backward()
    expected = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    optimizer.second_step()
    assert len(expected) == 4
    same(
        [p.grad for p in net.parameters() if p.grad is not None],
        expected,
        because="nothing wrote to it",
    )


# -- kinds of tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("adaptive", [False, True])
def test_half_precision(dtype: torch.dtype, adaptive: bool) -> None:
    # a gradient so small that ρ/‖g‖ is beyond float16
    w = nn.Parameter(torch.tensor([0.5, -0.25], dtype=dtype))
    w.grad = torch.tensor([3e-6, 4e-6], dtype=dtype)
    optimizer = SAM(torch.optim.SGD([w], lr=0.1), 1.0, adaptive)
    start, g = w.detach().double(), w.grad.double()
    optimizer.first_step()
    scale = start.abs() + 0.01 if adaptive else torch.ones(2, dtype=torch.float64)
    e = scale**2 * g / (scale * g).norm()
    assert w.dtype == dtype
    torch.testing.assert_close(w.detach().double(), start + e, rtol=1e-2, atol=1e-3)
    optimizer.restore()
    same(w.detach().double(), start, because="a copy was put back")


@pytest.mark.parametrize("adaptive", [False, True])
def test_sparse_and_complex_gradients(adaptive: bool) -> None:
    table = nn.Embedding(5, 2, sparse=True, dtype=torch.float64)
    dense = nn.Embedding(5, 2, dtype=torch.float64)
    dense.load_state_dict(table.state_dict())
    for layer in (table, dense):
        optimizer = SAM(torch.optim.SGD(layer.parameters(), lr=0.1), RHO, adaptive)
        (layer(torch.tensor([1, 3, 1])) ** 2).sum().backward()
        optimizer.first_step()
    assert torch.allclose(table.weight, dense.weight, rtol=1e-14)

    z = nn.Parameter(torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128))
    before = z.detach().clone()
    optimizer = SAM(torch.optim.SGD([z], lr=0.1), RHO)
    (z.abs() ** 2).sum().backward()
    g = z.grad.clone()
    optimizer.first_step()
    torch.testing.assert_close(z.detach(), before + RHO * g / torch.linalg.vector_norm(g))


def test_the_norm_of_a_large_matrix_is_exact() -> None:
    from thalweg.meta.gradients import global_norm

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 1500, generator=generator)
    parts = [x, torch.randn(3, generator=generator), torch.zeros(0, 3), torch.tensor(2.0)]
    expected = torch.cat([p.double().flatten() for p in parts]).norm().item()
    assert abs(global_norm(parts) / expected - 1) < 1e-6
    assert global_norm([]) == 0.0


def test_batch_norm_records_the_first_pass_only() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    alone = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    alone.load_state_dict(model.state_dict())
    x = BATCHES[0][0].float()
    optimizer = SAM(torch.optim.SGD(model.parameters(), lr=0.1), RHO)
    passes = []

    def closure() -> Tensor:
        passes.append(optimizer.second_pass)
        optimizer.zero_grad()
        with frozen_batch_norm(model, optimizer.second_pass):
            loss = model(x).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    alone(x)
    assert passes == [False, True]
    assert int(model[1].num_batches_tracked) == 1
    same(list(model[1].buffers()), list(alone[1].buffers()), because=RERUN)


# -- wrong input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.1, float("nan"), float("inf"), "0.1", None, True])
def test_a_wrong_radius_is_refused(rho: object) -> None:
    inner = torch.optim.SGD(Net().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"rho.*at least 0, got"):
        SAM(inner, rho)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ASAM's eta.*at least 0, got"):
        ASAM(inner, eta=rho)  # type: ignore[arg-type]
