"""Models of any class grow wider and deeper, and compute the same; what cannot is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RESUMED, same
from tests.strategies.killed import killed_and_resumed
from tests.strategies.models import GROWN, Convolutions, Residual, lived, pictures
from tests.train.helpers import quiet, same_run
from thalweg.errors import TaskError
from thalweg.strategies import deepened, net2net, pretraining, widened

BOUND = 1e-12
"""In float64, of outputs of the order 1: a unit's share may be a third, so that no product is exact."""


def far(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float((a(x) - b(x)).abs().max())


def far_in_both_modes(grown: nn.Module, model: nn.Module, x: Tensor) -> float:
    """Batch statistics of a copied unit are those of the unit."""
    apart = far(grown, model, x)
    return max(apart, far(grown.train(), model.train(), x))


@pytest.mark.parametrize("name", GROWN)
def test_a_wider_model_of_any_class_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    case = GROWN[name]
    model, x = lived(case.make(), *case.shape)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    wide = widened(model, case.widths, seed=1, x=x[:2])
    same(model.state_dict(), before, because="the model itself is left alone")
    for layer, width in {**case.widths, **case.alike}.items():
        assert width in wide.get_submodule(layer).weight.shape[:2], layer  # type: ignore[index, union-attr]
    assert far_in_both_modes(wide, model, x) < BOUND
    wide(x).sum().backward()
    assert all(p.grad is not None for p in wide.parameters())


@pytest.mark.parametrize("name", [name for name, case in GROWN.items() if case.deepen])
def test_a_deeper_model_of_any_class_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    case = GROWN[name]
    model, x = lived(case.make(), *case.shape)
    deep = deepened(model, case.deepen, x[:2])
    assert type(deep) is type(model)
    for layer in case.deepen:
        assert len(deep.get_submodule(layer)) == 3  # type: ignore[arg-type]
    assert far_in_both_modes(deep, model, x) < BOUND


class Drawn(nn.Module):
    """Blocks of convolutions on 4 × 4 pictures, each with a sum, a concatenation or a gate, or plain."""

    def __init__(self, kinds: list[str], widths: list[int], norm: bool) -> None:
        super().__init__()
        self.kinds = kinds
        wide = [2 + kinds[:k].count("cat") * 2 for k in range(len(kinds) + 1)]
        self.first = nn.Conv2d(2, 2, 1)
        self.inner = nn.ModuleList(
            nn.Conv2d(wide[k], widths[k], 3, padding=1) for k in range(len(kinds))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) if norm else nn.Identity() for w in widths)
        self.outer = nn.ModuleList(
            nn.Conv2d(w, 2 if kind == "cat" else wide[k], 3, padding=1)
            for k, (kind, w) in enumerate(zip(kinds, widths, strict=True))
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(wide[-1] * 16, 3), nn.GELU(), nn.Linear(3, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for kind, inner, norm, outer in zip(
            self.kinds, self.inner, self.norms, self.outer, strict=True
        ):
            h = outer(torch.relu(norm(inner(x))))
            if kind == "sum":
                x = x + h
            elif kind == "cat":
                x = torch.cat([h, x], 1)
            else:
                x = torch.sigmoid(h) * x if kind == "gate" else functional.silu(h)
        return self.head(functional.avg_pool2d(x, 3, 1, 1))


@settings(max_examples=12)
@given(data=st.data())
def test_drawn_models_keep_their_function(data: st.DataObject) -> None:
    kinds = data.draw(
        st.lists(st.sampled_from(["sum", "cat", "gate", "plain"]), min_size=1, max_size=3)
    )
    sizes = st.integers(1, 4)
    widths = data.draw(st.lists(sizes, min_size=len(kinds), max_size=len(kinds)))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    model, x = lived(Drawn(kinds, widths, data.draw(st.booleans())), 2, 4, 4)
    names = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    chosen = data.draw(st.lists(st.sampled_from(names[:-1]), min_size=1, max_size=3, unique=True))
    try:
        wide = widened(model, dict.fromkeys(chosen, data.draw(st.integers(4, 7))), x=x[:2])
    except TaskError as error:
        if "in number or order" not in str(error):
            raise
        return  # a sum with a concatenation: copies would come in another order
    deep = deepened(wide, ["norms.0"], x[:2])
    assert far_in_both_modes(deep, model, x) < BOUND


class Wrong(nn.Module):
    """What cannot grow, for one reason each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.norm, self.pairs = nn.LayerNorm(4), nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)
        self.tied = nn.Linear(4, 3)
        self.tied.weight = nn.Parameter(torch.ones(3, 4))
        self.also = nn.Linear(4, 3)
        self.also.weight = self.tied.weight
        self.computed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
        self.shift, self.twice = nn.Parameter(torch.ones(4)), nn.Linear(3, 3)
        self.fixed, self.hidden = nn.Linear(3, 4), nn.Linear(3, 5)
        self.onwards = nn.Linear(4, 3)
        self.unused = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.a(x)))
        h = h + self.b(h)
        y = self.c(torch.tanh(self.pairs(h)) * self.shift) + x
        y = self.twice(self.twice(y)) + self.tied(h) + self.also(h)
        y = y + self.onwards(self.computed(x))
        y = y + functional.normalize(self.hidden(x)).sum()
        return self.last(self.fixed(y).reshape(len(x), 4))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 4), nn.Linear(2, 4)
        self.c = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.a(x) + self.b(x).flip(1))


@pytest.mark.parametrize(
    ("make", "layer", "message"),
    [
        (Wrong, "a", r"'a' cannot be widened: layer 'norm' behind it, LayerNorm, may mix"),
        (
            Wrong,
            "b",
            "the function 'add' behind it joins its units with what does",
        ),
        (Wrong, "c", "joins its units with what does not grow along"),
        (
            Wrong,
            "pairs",
            "the function 'mul' behind it joins its units with what does not grow",
        ),
        (Wrong, "computed", "its weight is computed from others"),
        (Wrong, "tied", "joins its units with what does not grow along"),
        (Wrong, "hidden", "the function 'normalize' behind it may mix its units"),
        (Wrong, "fixed", r"does not run then. test_growth.py, line \d+: RuntimeError: shape"),
        (Wrong, "last", "its units are outputs of the model"),
        (Wrong, "unused", "the model does not call it on x"),
        (Wrong, "norm", "Layer 'norm' is LayerNorm: a linear or convolutional layer"),
        (Wrong, "lst", "no layer 'lst'. Did you mean 'last'"),
        (Branches, "a", "joins its units with others of layer 'b', in number or order"),
    ],
)
def test_what_cannot_be_widened_is_named_with_the_reason(
    make: Callable[[], nn.Module], layer: str, message: str
) -> None:
    model = make()
    x = torch.randn(2, 2 if make is Branches else 3)
    with pytest.raises(TaskError, match=message):
        widened(model, {layer: 9}, x=x)


class Shared(nn.Module):
    """One weight in two layers, and one activation in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(8, 2)
        self.b.weight = self.a.weight
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([self.act(self.a(x)), self.act(self.b(x))], 1))


def test_what_is_shared_is_not_grown_and_said() -> None:
    x = torch.randn(2, 3)
    with pytest.raises(TaskError, match="layers 'a' and 'b' have one parameter in common"):
        widened(Shared(), {"a": 5}, x=x)
    with pytest.raises(TaskError, match="behind layer 'act': it is called 2 times"):
        deepened(Shared(), ["act"], x)
    with pytest.raises(TaskError, match="behind layer 'c', Linear: it is to be ReLU"):
        deepened(Shared(), ["c"], x)
    with pytest.raises(
        TaskError, match=r"a parameter without a shape, 0.weight: its layer is lazy"
    ):
        deepened(nn.Sequential(nn.LazyLinear(3), nn.ReLU()), ["1"], x)
    with pytest.raises(TaskError, match=r"no layer 'acs'.* Did you mean 'act'"):
        deepened(Shared(), ["acs"], x)
    with pytest.raises(
        TaskError, match=r"'linear1'.* it does not run then. AttributeError: .*weight"
    ):
        deepened(
            nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), ["linear1"], torch.randn(2, 3, 4)
        )


def test_a_residual_net_grows_into_that_of_the_task() -> None:
    small = lambda: Residual(4, 5, 6).double()  # noqa: E731
    strategy = net2net(small, deepen=("blocks.1.bn1",), share=0.5)

    def big() -> nn.Module:
        torch.manual_seed(1)
        model = Residual(7, 8, 9)
        inner = nn.Conv2d(8, 8, 3, padding=1)
        model.blocks[1].bn1 = nn.Sequential(model.blocks[1].bn1, nn.ReLU(), inner)
        return model

    run = quiet(pictures(big), "sgd", lr=1e-9, strategy=strategy, epochs=2)
    assert [stage.name for stage in run.stages] == ["small", "grown"]
    with pytest.raises(
        TaskError,
        match=r"'blocks.1.bn2', BatchNorm2d, where .* layer 'blocks.1.conv2', Conv2d",
    ):
        quiet(pictures(big), strategy=net2net(small))
    with pytest.raises(TaskError, match=r"'blocks.0.conv1', Conv2d, where .* 'bn1', Batch"):
        quiet(pictures(Convolutions), strategy=net2net(small))
    narrow = net2net(lambda: Residual(9, 5, 6).double())
    with pytest.raises(TaskError, match="Layer 'stem' has 9 units; it can become wider, got 4"):
        quiet(pictures(Residual), strategy=narrow)


@pytest.mark.parametrize(
    ("strategy", "after"),
    [
        (net2net(lambda: Residual(3, 3, 4).double()), 11),
        (pretraining(), 6),
        (pretraining("unsupervised"), 6),
    ],
    ids=str,
)
def test_models_of_any_class_go_on_bit_for_bit(strategy: Any, after: int, tmp_path: Path) -> None:
    task, file = pictures(Residual, rows=16), tmp_path / "kept.safetensors"
    resumed = killed_and_resumed(task, strategy, after, file, epochs=6)
    same_run(resumed, quiet(task, strategy=strategy, epochs=6), because=RESUMED)
