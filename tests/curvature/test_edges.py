"""The edge of stability and the noise scale, by simulation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.curvature.nets import net, settings
from thalweg import optim
from thalweg.curvature import (
    Edge,
    Matrix,
    adam_edge,
    edge_of,
    gradient_descent_edge,
    hessian,
    noise_scale,
    sharpness,
)
from thalweg.curvature.summary import Effort, summarize
from thalweg.errors import DataError, TaskError

KINDS = (torch.optim, optim)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({}, 2.0),
        ({"momentum": 0.5}, 3.0),
        ({"momentum": 0.9}, 3.8),
        ({"momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
    ],
)
def test_steps_of_gradient_descent_begin_to_grow_at_the_edge(
    source: Any, options: dict[str, Any], threshold: float
) -> None:
    curvature = 4.0
    for share, grows in ((0.97, False), (1.03, True)):
        x = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = source.SGD([x], lr=share * threshold / curvature, **options)
        edge = edge_of(optimizer)
        assert abs(edge.threshold - threshold) < 1e-12
        assert (curvature > edge.largest) is grows
        for _ in range(500):
            x.grad = curvature * x.detach()
            optimizer.step()
        assert (abs(float(x.detach())) > 1) is grows


def test_steps_of_adam_with_a_fixed_preconditioner_begin_to_grow_at_the_edge() -> None:
    for beta in (0.0, 0.5, 0.9):
        for share, grows in ((0.99, False), (1.01, True)):
            x, m = 1.0, 0.0
            lr = share * adam_edge(beta)
            for _ in range(3000):
                m = beta * m + (1 - beta) * x
                x = min(x - lr * m, 1e100)
            assert (abs(x) > 1) is grows


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop"])
def test_sharpness_of_an_adaptive_optimizer_is_that_of_the_preconditioned_hessian(
    source: Any, name: str
) -> None:
    model, x = net("mlp")
    y = settings()["cross_entropy"].targets
    parts = list(model.parameters())
    optimizer = getattr(source, name)([*reversed(parts)], lr=1e-3)  # in another order
    with pytest.raises(TaskError, match="has not stepped"):
        edge_of(optimizer, model)
    squares = [torch.zeros_like(p) for p in parts]
    share = 0.99 if name == "RMSprop" else 0.999
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
        for v, p in zip(squares, parts, strict=True):
            assert p.grad is not None
            v.mul_(share).add_((1 - share) * p.grad**2)
        optimizer.step()
    bias = 1.0 if name == "RMSprop" else 1 - share**3
    p_half = torch.cat([(v / bias).sqrt().add(1e-8).sqrt().reshape(-1) for v in squares])
    a = hessian(model, "cross_entropy", (x, y))
    expected = torch.linalg.eigvalsh(a.dense() / p_half[:, None] / p_half)[-1]
    edge = edge_of(optimizer, model)
    found = sharpness(a, edge, tol=1e-8)
    assert abs(found.value.value / float(expected) - 1) < 1e-6
    assert abs(edge.threshold - (2.0 if name == "RMSprop" else 38.0)) < 1e-9
    assert abs(found.ratio - 1e-3 * float(expected) / edge.threshold) < 1e-6 * found.ratio


def test_an_edge_that_is_not_known_is_an_error() -> None:
    x = torch.zeros(2, requires_grad=True)
    y = torch.zeros(2, requires_grad=True)
    for optimizer in (
        torch.optim.Adagrad([x]),
        torch.optim.Adam([x], amsgrad=True),
        torch.optim.SGD([x], lr=0.1, momentum=0.9, dampening=0.5),
        torch.optim.RMSprop([x], centered=True),
    ):
        with pytest.raises(TaskError, match="not known"):
            edge_of(optimizer)
    groups: list[dict[str, Any]] = [{"params": [x], "lr": 0.2}, {"params": [y]}]
    with pytest.raises(TaskError, match="differ in lr"):
        edge_of(torch.optim.SGD(groups, lr=0.1))
    for kind, name, differing in (
        (torch.optim.SGD, "dampening", {"momentum": 0.9, "dampening": 0.5}),
        (torch.optim.Adam, "amsgrad", {"amsgrad": True}),
        (torch.optim.RMSprop, "centered", {"centered": True}),
    ):
        options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        mixed: Any = kind([{"params": [x]}, {"params": [y], **differing}], lr=0.1, **options)
        with pytest.raises(TaskError, match=f"differ in {name}"):
            edge_of(mixed)
    assert Edge("SGD", 0.0, 2.0).largest == math.inf
    assert gradient_descent_edge(0.0, nesterov=True) == 2.0


class Linear(nn.Module):
    """Outputs x·w, so that the gradient of their mean is the mean row."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(n, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def test_the_noise_scale_averages_numerator_and_denominator_apart() -> None:
    """Rows of mean μ and variances σ²: the scale is Σσ²/‖μ‖² = 16; batches of 4 rows are mostly noise."""
    mean, sigma = torch.tensor([1.0, 0.0, 0.0, 0.0]).double(), 2.0
    generator = torch.Generator().manual_seed(0)
    tops, bottoms, inside = [], [], 0
    runs = 60
    for _ in range(runs):
        noise = torch.randn(24, 4, 4, generator=generator, dtype=torch.float64)
        data = [(mean + sigma * rows, torch.zeros(4)) for rows in noise]
        found = noise_scale(Linear(4), lambda outputs, targets: outputs.mean(), data)
        tops.append(found.numerator.value)
        bottoms.append(found.denominator.value)
        inside += abs(found.numerator.value - 16) < 2 * found.numerator.stderr
    for values, truth in ((tops, 16.0), (bottoms, 1.0)):
        each = torch.tensor(values)
        assert abs(float(each.mean()) - truth) < 4 * float(each.std()) / math.sqrt(runs)
    assert 0.8 < inside / runs <= 1.0
    many = torch.randn(300, 4, 4, generator=generator, dtype=torch.float64)
    data = [(mean + sigma * rows, torch.zeros(4)) for rows in many]
    data.append((mean + sigma * many[0][:1], torch.zeros(1)))  # a shorter one is left out
    found = noise_scale(Linear(4), lambda outputs, targets: outputs.mean(), data, most=301)
    assert abs(found.scale.value - 16) < 4 * found.scale.stderr
    assert found.scale.stderr < 6
    assert (found.rows, found.scale.samples, found.scale.gradients) == (4, 300, 1.0)
    some = noise_scale(Linear(4), lambda outputs, targets: outputs.mean(), data, most=30)
    assert some.scale.samples == 30
    sums = (
        noise_scale(Linear(4), lambda outputs, targets: outputs.mean() * 1.0, data[:30]),
        noise_scale(Linear(4), nn.L1Loss(reduction="sum"), [(x, y - 100) for x, y in data[:30]]),
    )  # far above its target |o − y| has the gradient of o
    assert abs(sums[0].scale.value - sums[1].scale.value) < 1e-9
    with pytest.raises(DataError, match="at least 3 batches"):
        noise_scale(Linear(4), lambda outputs, targets: outputs.mean(), data[:2])


def test_a_summary_has_every_figure_with_its_cost() -> None:
    model, x = net("mlp")
    y = settings()["cross_entropy"].targets
    a = hessian(model, "cross_entropy", (x, y))
    batches = [(x[i : i + 2], y[i : i + 2]) for i in (0, 2, 4)]
    edge = Edge("SGD", 0.1, 2.0)
    found = summarize(a, edge=edge, batches=batches, effort=Effort(k=2, trace=72, steps=10))
    document = found.to_dict()
    dense = torch.linalg.eigvalsh(Matrix(a.dense()).dense())
    assert abs(document["eigenvalues"]["largest"][0] - float(dense[-1])) < 1e-3
    assert len(document["eigenvalues"]["smallest"]) == 2
    assert list(document["layers"]) == ["0", "2"]
    assert abs(document["trace"]["value"] - float(dense.sum())) < 1e-10
    assert document["noise_scale"]["batch_rows"] == 2
    assert abs(document["sharpness"]["ratio"] - 0.05 * float(dense[-1])) < 1e-3
    parts = [
        document[name]["gradients"] for name in ("eigenvalues", "trace", "density", "sharpness")
    ]
    parts += [each["gradients"] for each in document["layers"].values()]
    assert abs(document["gradients"] - sum(parts) - 1) < 1e-6 + 2 * 24 + 1, (
        "and that of the dense matrix"
    )
    assert document["sharpness"]["gradients"] == 0, (
        "of gradient descent it is the largest eigenvalue"
    )
    scaled = summarize(a, edge=Edge("Adam", 0.1, 38.0, torch.full((24,), 2.0).double()))
    assert scaled.sharpness is not None
    assert abs(scaled.sharpness.value.value - 4 * float(dense[-1])) < 1e-3
    assert scaled.sharpness.value.gradients > 10
    few = summarize(a, batches=batches[:1], by_layer=False, effort=Effort(most=2))
    assert (few.layers, few.noise, few.sharpness) == ({}, None, None)
    assert "at least 3 batches" in few.notes[0]
    assert "not converged" in few.notes[1]
