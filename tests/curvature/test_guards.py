"""What a product must not change, and what it must notice."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.curvature.nets import Recurrent, dense_hessian, mlp, net
from tests.exact import same
from thalweg.curvature import fisher, ggn, hessian, hessian_of, noise_scale
from thalweg.errors import DataError, EngineError, TaskError

UNCHANGED = "nothing wrote to it"


def normed() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.4), nn.Linear(4, 3)
    ).double()


def rows(count: int = 8) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 3, dtype=torch.float64), torch.arange(count) % 3


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(*rows()), batch_size=3, **options)


def state(model: nn.Module, generator: torch.Generator) -> dict[str, Any]:
    return {
        "weights": copy.deepcopy(dict(model.state_dict())),
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False)["state"]["key"],
        "python": random.getstate(),
        "own": generator.get_state(),
    }


@pytest.mark.parametrize("training", [True, False, None])
@pytest.mark.parametrize("make", [hessian, ggn, fisher])
def test_a_product_changes_nothing(make: Callable[..., Any], training: bool | None) -> None:
    model = normed()
    model.get_submodule("1").eval()  # a mode of its own
    for p in list(model.parameters())[:2]:
        p.grad = torch.ones_like(p)
    generator = torch.Generator().manual_seed(5)
    shuffled, some = loader(shuffle=True, generator=generator), rows(4)
    before = state(model, generator)
    a = make(model, "cross_entropy", shuffled, training=training)
    found = a @ torch.ones(a.shape[0], dtype=torch.float64)
    assert bool(found.any())
    assert not found.requires_grad
    assert a.mode
    noise_scale(model, "cross_entropy", [some] * 3, training=training)
    same(state(model, generator), before, because=UNCHANGED)


class NoisyRows(Dataset[Any]):
    """Rows with noise from a generator of the data set's own, by the function `draw`."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw = draw
        self.x, self.y = rows()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        return self.x[place] + self.draw(), self.y[place]


class NoisyModel(nn.Module):
    """Adds noise to its inputs from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp().double()
        self.generator = torch.Generator().manual_seed(4)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype)
        out: Tensor = self.inner(x + noise)
        return out


def test_generators_of_any_kind_draw_the_same_in_each_product() -> None:
    drawing: list[tuple[Any, Callable[[], float]]] = []
    modern, old, plain = np.random.default_rng(1), np.random.RandomState(2), random.Random(3)
    drawing += [(modern, modern.normal), (old, old.normal), (plain, lambda: plain.gauss(0, 1))]
    for generator, draw in drawing:
        data = DataLoader(NoisyRows(draw), batch_size=3)
        before = copy.deepcopy(generator)
        a = hessian(mlp().double(), "cross_entropy", data)
        v = torch.ones(a.shape[0], dtype=torch.float64)
        same(a @ v, a @ v, because="each product draws the same")
        assert generator_draws(generator) == generator_draws(before), "it is left as it was"


def test_a_generator_of_the_model_or_the_loss_draws_the_same_in_each_product() -> None:
    model, own = NoisyModel(), torch.Generator().manual_seed(6)

    def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
        noise = torch.randn(outputs.shape, generator=own, dtype=outputs.dtype)
        return ((outputs - noise) ** 2).mean()

    x, y = rows()
    held = (model.generator, own)
    before = [generator.get_state() for generator in held]
    for model_of, loss in ((model, "cross_entropy"), (mlp().double(), noisy)):
        a = hessian(model_of, loss, [(x[:4], y[:4]), (x[4:], y[4:])])
        v = torch.ones(a.shape[0], dtype=torch.float64)
        same(a @ v, a @ v, because="each product draws the same")
    own_hessian = hessian_of(lambda z: (torch.rand(3, generator=own) * z**2).sum(), torch.ones(3))
    v = torch.ones(3)
    same(own_hessian @ v, own_hessian @ v, because="the function is computed once")
    same([generator.get_state() for generator in held], before, because=UNCHANGED)


def generator_draws(generator: Any) -> float:
    return float(generator.random())


def test_what_draws_at_random_is_one_matrix() -> None:
    model = normed()
    a = hessian(model, "cross_entropy", loader(shuffle=True, drop_last=True))
    assert a.mode == (
        "training mode, batch norm by each batch's statistics, dropout by the same masks in each product"
    )
    matrix = a.dense()
    torch.rand(3)  # between two products anything may be drawn
    v = torch.randn(a.shape[0], dtype=torch.float64)
    assert float((a @ v - matrix @ v).abs().max()) < 1e-12
    assert float((matrix - matrix.mT).abs().max()) < 1e-12
    assert hessian(model, "cross_entropy", rows(), training=False).mode == (
        "evaluation mode, batch norm by running statistics, dropout off"
    )


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_in_both_modes_is_what_the_mode_computes(training: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Tanh(), nn.Linear(2, 3)).double()
    x, y = rows(5)
    a = hessian(model, "cross_entropy", (x, y), training=training)
    frozen = copy.deepcopy(model).train(training)
    expected = dense_hessian(frozen, x, y, nn.functional.cross_entropy)
    assert float((a.dense() - expected).abs().max()) < 1e-12


def test_data_that_can_be_read_once_are_refused() -> None:
    model, x = net("mlp")
    y = torch.arange(6) % 3
    with pytest.raises(DataError, match=r"only once.*list"):
        hessian(model, "cross_entropy", iter([(x, y)]))

    class Exhausted:
        def __init__(self) -> None:
            self.once = iter([(x, y), (x, y)])

        def __iter__(self) -> Iterator[Any]:
            return self.once

    a = hessian(model, "cross_entropy", Exhausted())
    v = torch.ones(a.shape[0], dtype=torch.float64)
    assert bool((a @ v).any())
    with pytest.raises(DataError, match="gave no batch"):
        a @ v
    with pytest.raises(DataError, match="gave no batch"):
        hessian(model, "cross_entropy", []) @ v
    with pytest.raises(DataError, match="A batch must be"):
        hessian(model, "cross_entropy", [x, x]) @ v
    with pytest.raises(DataError, match="one batch"):
        hessian(model, "cross_entropy", x)


def test_data_that_change_between_products_are_noticed() -> None:
    model, x = net("mlp")
    y = torch.arange(6) % 3

    class Growing:
        rows = 3

        def __iter__(self) -> Iterator[Any]:
            self.rows += 1
            yield x[: self.rows], y[: self.rows]

    a = hessian(model, "cross_entropy", Growing())
    v = torch.ones(a.shape[0], dtype=torch.float64)
    a @ v
    with pytest.raises(DataError, match="changed between two products"):
        a @ v


def test_weights_that_do_not_belong_to_the_rows_are_refused() -> None:
    model, x = net("mlp")
    y = torch.arange(6) % 3
    for weights, message in (
        (torch.ones(5), r"The weights of a batch must be one number for each row, of shape \(6,\)"),
        ([1.0] * 6, r"of shape \(6,\); got list"),
        (-torch.ones(6), "finite numbers ≥ 0; got -1"),
    ):
        with pytest.raises(DataError, match=message):
            hessian(model, "cross_entropy", (x, y, weights))


def test_data_in_which_nothing_counts_are_an_error() -> None:
    model, x = net("mlp")
    ignored = torch.full((6,), -100)
    a = hessian(model, "cross_entropy", (x, ignored))
    with pytest.raises(DataError, match="Nothing in the data counts"):
        a @ torch.ones(a.shape[0], dtype=torch.float64)


@pytest.mark.parametrize("make", [hessian, ggn, fisher])
def test_a_kept_graph_is_not_used_for_another_point_mode_or_batch(make: Callable[..., Any]) -> None:
    model: Any = normed()
    x, y = rows()
    a = make(model, "cross_entropy", (x, y))
    v = torch.ones(a.shape[0], dtype=torch.float64)

    def fresh() -> Tensor:
        found: Tensor = make(model, "cross_entropy", (x, y)) @ v
        return found

    model.eval()
    a @ v
    spent = a.gradients
    a @ v
    assert abs(a.gradients - spent - a.product_cost) < 1e-9, "the graph was kept"
    changes: list[Callable[[], Any]] = [
        lambda: model.get_submodule("0").weight.data.mul_(1.5),  # unseen by PyTorch's count
        lambda: model.get_submodule("1").running_var.mul_(2),
        lambda: x.mul_(0.5),
    ]
    if make is hessian:  # the others do not depend on the targets
        changes.append(lambda: y.copy_(y.roll(1)))
    for change in changes:
        before = a @ v
        change()
        after = a @ v
        assert float((after - fresh()).abs().max()) < 1e-12
        assert float((after - before).abs().max()) > 1e-6
    a.release()
    assert float((a @ v - fresh()).abs().max()) < 1e-12


def test_products_of_several_vectors_build_the_graph_once() -> None:
    model, x = net("mlp")
    y = torch.arange(6) % 3
    a = hessian(model, "cross_entropy", [(x[:4], y[:4]), (x[4:], y[4:])])
    a @ torch.ones(a.shape[0], 5, dtype=torch.float64)
    assert (a.products, a.gradients) == (5, 1 + 5 * 2)
    a @ torch.ones(a.shape[0], dtype=torch.float64)
    assert (a.products, a.gradients) == (6, 2 + 6 * 2)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_products_need_no_gradients_switched_on(context: Callable[[], Any]) -> None:
    model, x = net("mlp")
    data = (x, torch.arange(6) % 3)
    v = torch.ones(24, dtype=torch.float64)
    expected = hessian(model, "cross_entropy", data) @ v
    with context():
        found = hessian(model, "cross_entropy", data) @ torch.ones(24, dtype=torch.float64)
    assert float((found - expected).abs().max()) < 1e-12


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return 2 * g * ctx.saved_tensors[0]


class Squares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(x)  # type: ignore[no-any-return,no-untyped-call]


@pytest.mark.parametrize("matrix", [ggn, fisher, hessian])
def test_a_layer_that_can_be_differentiated_once_is_refused(matrix: Callable[..., Any]) -> None:
    """J of the layers below it would silently be 0."""
    model = nn.Sequential(nn.Linear(2, 2), Squares(), nn.Linear(2, 2))
    data = (torch.ones(3, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(EngineError, match=r"Square, marked once_differentiable, has no second"):
        matrix(model, "cross_entropy", data).dense()


def test_an_operation_without_a_second_derivative_is_named() -> None:
    with pytest.raises(EngineError, match=r"Square, marked once_differentiable, has no second"):
        hessian_of(lambda x: Square.apply(x).sum(), torch.ones(2)) @ torch.ones(2)  # type: ignore[no-untyped-call]
    q = torch.ones(1, 1, 2, 4)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with pytest.raises(EngineError, match="_flash_attention_for_cpu_backward has no second"):
        hessian_of(lambda x: (flash(x, q, q)[0] ** 2).sum(), q) @ torch.ones(8)


def test_a_whole_attention_layer_and_a_recurrent_one_in_both_modes() -> None:
    torch.manual_seed(0)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.TransformerEncoderLayer(4, 2, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x)[:, 0, :3]
            return out

    y = torch.tensor([0, 1])
    for model, x in ((Layer(), torch.randn(2, 3, 4)), (Recurrent(), torch.randn(2, 3, 2))):
        for training in (True, False):
            a = hessian(model, "cross_entropy", (x, y), training=training)
            v, w = torch.randn(2, a.shape[0])
            left, right = float(w @ (a @ v)), float(v @ (a @ w))
            assert abs(left - right) < 1e-4 * (abs(left) + 1)


def test_what_is_wrong_is_said() -> None:
    model, x = net("mlp")
    data = (x, torch.arange(6) % 3)
    a = hessian(model, "cross_entropy", data)
    with pytest.raises(TaskError, match=r"24 × 24.*\(23,\)"):
        a @ torch.ones(23, dtype=torch.float64)
    with pytest.raises(TaskError, match="convert"):
        a @ torch.ones(24)
    with pytest.raises(TaskError, match=r"no layer '7'. There are: '0', '2'"):
        a.block("7")
    with pytest.raises(TaskError, match=r"no parameter '0.weigth'. Did you mean '0.weight'"):
        hessian(model, "cross_entropy", data, parameters=["0.weigth"])
    with pytest.raises(TypeError, match=r"A.shifted"):
        a + 1.0  # type: ignore[operator]
    with pytest.raises(TaskError, match="above its limit of 10"):
        a.dense(10)
    with pytest.raises(TaskError, match="huber_loss is not known"):
        fisher(model, "huber", (x, x)) @ torch.ones(24, dtype=torch.float64)
    with pytest.raises(TaskError, match="kind must be"):
        fisher(model, "mse", (x, x), kind="exakt")  # type: ignore[arg-type]
    mixed = nn.Sequential(mlp(), nn.Linear(3, 3).double())
    with pytest.raises(TaskError, match="one type on one device"):
        hessian(mixed, "mse", (x, x))
    with pytest.raises(TaskError, match="no parameter that requires"):
        hessian(mlp().requires_grad_(False), "mse", (x, x))
