"""Products of Hessian, Gauss-Newton and Fisher matrices against dense ones from the definitions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.curvature.nets import (
    FUNCTIONAL,
    SHAPES,
    cuts,
    dense_ggn,
    dense_hessian,
    dense_jacobian,
    net,
    settings,
)
from thalweg.curvature import fisher, ggn, hessian, hessian_of
from thalweg.objective import L2, Cost

SETTINGS = tuple(settings())
MATRICES = {
    "hessian": (hessian, dense_hessian),
    "ggn": (ggn, dense_ggn),
    "fisher": (fisher, dense_ggn),  # of these losses the same
}
# sums of some hundred numbers of size 1 in float64
ROUNDING = 1e-12


def near(a: Tensor, b: Tensor, bound: float = ROUNDING) -> None:
    assert a.shape == b.shape
    assert float((a - b).abs().max()) <= bound * (1 + float(b.abs().max()))


CASES = [("mlp", name) for name in SETTINGS] + [
    (kind, "ignoring") for kind in SHAPES if kind != "mlp"
]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_matrix_is_the_one_of_its_definition_however_the_rows_are_cut(
    matrix: str, kind: str, name: str
) -> None:
    model, x = net(kind)
    given = settings()[name]
    made, dense = MATRICES[matrix]
    expected = dense(model, x, given.targets, given.whole)
    assert float(expected.abs().max()) > 1e-3
    for data in ((x, given.targets), cuts(x, given.targets, 1, 3, 2), cuts(x, given.targets, 5, 1)):
        near(made(model, given.loss, data).dense(), expected)


def test_products_are_linear_symmetric_and_the_difference_of_gradients() -> None:
    model, x = net("mlp")
    given = settings()["cross_entropy"]
    h = hessian(model, given.loss, (x, given.targets))
    v, w = torch.randn(2, h.shape[0], dtype=torch.float64)
    near(h @ (2 * v - 3 * w), 2 * (h @ v) - 3 * (h @ w))
    near(w @ (h @ v), v @ (h @ w))
    near(h @ torch.stack([v, w], 1), torch.stack([h @ v, h @ w], 1))

    def gradient(step: float) -> Tensor:
        start = 0
        for p in model.parameters():
            p.data += step * v[start : start + p.numel()].view(p.shape)
            start += p.numel()
        loss = nn.functional.cross_entropy(model(x), given.targets)
        return torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))]
        )

    product = h @ v
    ahead, behind = gradient(1e-5), gradient(-2e-5)
    # the error is of order step² and rounding / step
    near((ahead - behind) / 2e-5, product, 1e-8)


def test_the_gauss_newton_matrix_has_no_negative_eigenvalue_where_the_hessian_has() -> None:
    model, x = net("mlp")
    given = settings()["cross_entropy"]
    data = (x, given.targets)
    assert float(torch.linalg.eigvalsh(hessian(model, given.loss, data).dense())[0]) < -1e-2
    assert float(torch.linalg.eigvalsh(ggn(model, given.loss, data).dense())[0]) > -ROUNDING
    linear = nn.Linear(3, 3).double()
    near(ggn(linear, given.loss, data).dense(), hessian(linear, given.loss, data).dense())


@pytest.mark.parametrize("name", SETTINGS)
def test_the_sampled_fisher_tends_to_the_exact_one_and_the_empirical_does_not(name: str) -> None:
    model, x = net("mlp")
    given = settings()[name]
    data = cuts(x, given.targets, 4, 2)
    exact = fisher(model, given.loss, data).dense()
    size = float(exact.norm())
    draws = 4000
    sampled = fisher(model, given.loss, data, kind="sampled", draws=draws, seed=1).dense()
    # the error of one draw is a few times the matrix itself
    assert float((sampled - exact).norm()) < 10 * size / draws**0.5
    few = fisher(model, given.loss, data, kind="sampled", draws=1, seed=1).dense()
    assert float((few - exact).norm()) > 0.1 * size
    other = fisher(model, given.loss, data, kind="sampled", draws=1, seed=2).dense()
    assert float((few - other).norm()) > 0.1 * size
    empirical = fisher(model, given.loss, data, kind="empirical").dense()
    assert float((empirical - exact).norm()) > 0.1 * size


def test_the_sampled_fisher_of_one_row_has_the_weights_of_the_classes() -> None:
    """The mean of one weighted row divides by that row's weight: it counts once, whatever the weight."""
    model, x = net("mlp", rows=1)
    y = torch.tensor([1])
    plain = fisher(model, "cross_entropy", (x, y), kind="sampled", draws=3).dense()
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64))
    near(fisher(model, loss, (x, y), kind="sampled", draws=3).dense(), plain)
    near(fisher(model, loss, (x, y)).dense(), dense_ggn(model, x, y, nn.functional.cross_entropy))


def test_the_empirical_fisher_is_the_mean_of_the_outer_products_of_the_rows_gradients() -> None:
    model, x = net("mlp")
    y = settings()["ignoring"].targets
    j = dense_jacobian(model, x).reshape(6, 3, -1)
    p = model(x).softmax(1).detach()
    weights = torch.tensor([1.0, 4.0, 0.25], dtype=torch.float64)
    expected, total = torch.zeros(j.shape[2], j.shape[2], dtype=torch.float64), 0.0
    for i in range(6):
        if int(y[i]) != -100:
            g = (p[i] - nn.functional.one_hot(y[i], 3)) @ j[i]
            expected += weights[y[i]] * torch.outer(g, g)
            total += float(weights[y[i]])
    loss = nn.CrossEntropyLoss(weight=weights)
    near(fisher(model, loss, cuts(x, y, 2, 4), kind="empirical").dense(), expected / total)
    values = settings()["mse"].targets
    each = 2 * (model(x) - values).detach()  # of the squares' sum of a row
    g = torch.einsum("ro,rop->rp", each, j)
    near(fisher(model, "mse", (x, values), kind="empirical").dense(), g.mT @ g / 18)


def test_ignored_rows_count_for_nothing_and_positions_count_one_by_one() -> None:
    model, x = net("mlp")
    y = torch.tensor([0, -100, 1, -100, -100, 2])
    kept = y >= 0
    for made in (hessian, ggn, fisher):
        alone = made(model, "cross_entropy", (x[kept], y[kept])).dense()
        near(made(model, "cross_entropy", cuts(x, y, 3, 2, 1)).dense(), alone)
        # as positions of two sequences: (rows, classes, positions)
        data = (x.reshape(2, 3, 3), y.reshape(2, 3))
        near(made(_Positions(model), "cross_entropy", data).dense(), alone)


class _Positions(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x.reshape(-1, 3)).reshape(*x.shape[:2], -1).movedim(2, 1)
        return out


def test_log_probabilities_have_the_same_fisher_information() -> None:
    model, x = net("mlp")
    y = settings()["cross_entropy"].targets
    logs = nn.Sequential(model, nn.LogSoftmax(1))
    for kind in ("exact", "sampled", "empirical"):
        near(
            fisher(logs, "nll", (x, y), kind=kind, seed=4).dense(),
            fisher(model, "cross_entropy", (x, y), kind=kind, seed=4).dense(),
        )


def test_weights_of_rows_count_as_so_many_rows() -> None:
    model, x = net("mlp")
    y = settings()["cross_entropy"].targets
    weights = torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0, 1.0])
    repeated = torch.repeat_interleave(torch.arange(6), weights.long())
    data = [(x[:2], y[:2], weights[:2]), (x[2:], y[2:], weights[2:])]
    for made in (hessian, ggn, fisher):
        near(
            made(model, "cross_entropy", data).dense(),
            made(model, "cross_entropy", (x[repeated], y[repeated])).dense(),
        )


def test_any_loss_any_outputs_and_the_penalty() -> None:
    model, x = net("mlp")

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            found = self.inner(x)
            return {"a": found[:, :1], "b": found[:, 1:].exp()}

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return (outputs["a"].cosh() * outputs["b"].sum(1, keepdim=True)).mean() + 0 * targets.sum()

    y = torch.zeros(6, 1, dtype=torch.float64)

    def whole(o: Tensor, y: Tensor) -> Tensor:
        return loss({"a": o[:, :1], "b": o[:, 1:].exp()}, y)

    near(hessian(Two(), loss, (x, y)).dense(), dense_hessian(model, x, y, whole))

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat(list(self.two(x).values()), 1)

    def joined(o: Tensor, y: Tensor) -> Tensor:
        return loss({"a": o[:, :1], "b": o[:, 1:]}, y)

    near(ggn(Two(), loss, (x, y)).dense(), dense_ggn(Joined(), x, y, joined))
    given = settings()["mse"]
    data = (x, given.targets)
    weights = torch.cat(
        [torch.full_like(p, p.ndim > 1).reshape(-1) for p in model.parameters()]
    ).detach()
    for made in (hessian, ggn):
        extra = (
            made(model, Cost("mse", penalty=L2(0.3)), data).dense()
            - made(model, "mse", data).dense()
        )
        near(extra, torch.diag(0.6 * weights))


def test_a_plain_function_and_frozen_or_chosen_parameters() -> None:
    point = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)

    def fun(x: Tensor) -> Tensor:
        return (x.sin() @ x).exp().sum()

    expected = FUNCTIONAL.hessian(fun, point).reshape(4, 4)
    near(hessian_of(fun, point).dense(), expected)
    assert not bool(hessian_of(lambda x: x.sum(), point).dense().any())
    model, x = net("mlp")
    given = settings()["cross_entropy"]
    data = (x, given.targets)
    whole = hessian(model, given.loss, data)
    matrix, layers = whole.dense(), whole.layers
    assert list(layers) == ["0", "2"]
    places = layers["2"]
    block = whole.block("2")
    near(block.dense(), matrix[places][:, places])
    near((whole.shifted(2.0)).block("2").dense(), matrix[places][:, places] + 2 * torch.eye(12))
    near(hessian(model, given.loss, data, parameters=["2.weight", "2.bias"]).dense(), block.dense())
    model.get_submodule("0").requires_grad_(False)
    near(hessian(model, given.loss, data).dense(), block.dense())
