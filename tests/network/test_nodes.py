"""The nodes of a model: FLOPs, parameters and edges of known layers, and folding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.network.folding import Block, folded
from thalweg.network.nodes import TREE, Node, network_of
from thalweg.network.record import graph_record
from thalweg.train.folder.gauges import Gauges

B, T, D, HEADS = 2, 8, 32, 4


class Attention(nn.Module):
    """A residual block as in a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(D)
        self.qkv = nn.Linear(D, 3 * D)
        self.out = nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        parts = [
            t.view(*t.shape[:2], HEADS, -1).transpose(1, 2)
            for t in self.qkv(self.norm(x)).chunk(3, -1)
        ]
        mixed = nn.functional.scaled_dot_product_attention(*parts)
        out: Tensor = x + self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Blocks(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.first = nn.Linear(D, D)
        self.blocks = nn.ModuleList(Attention() for _ in range(count))
        self.last = nn.Linear(D, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.last(x)
        return out


@pytest.mark.parametrize(
    ("layer", "x", "flops"),
    [
        (nn.Linear(64, 10), torch.zeros(4, 64), 2 * 4 * 64 * 10),
        (nn.Conv2d(3, 8, 5, padding=2), torch.zeros(2, 3, 16, 16), 2 * 2 * 16 * 16 * 8 * 3 * 25),
        (nn.Conv2d(8, 8, 3, groups=4), torch.zeros(1, 8, 6, 6), 2 * 16 * 8 * 2 * 9),
        (nn.ReLU(), torch.zeros(4, 4), 0),
        (nn.LayerNorm(4), torch.zeros(4, 4), 0),
    ],
)  # fmt: skip
def test_flops_of_a_layer_are_those_of_its_equation(
    layer: nn.Module, x: Tensor, flops: int
) -> None:
    (*_, node) = network_of(layer, x).nodes
    assert (node.label, node.flops) == (type(layer).__name__, flops)
    assert node.parameters == sum(p.numel() for p in layer.parameters())


def test_attention_is_counted_on_every_machine() -> None:
    nodes = network_of(Attention(), torch.zeros(B, T, D)).nodes
    by_label = {node.label: node for node in nodes}
    mixing = 2 * (2 * B * T * T * D)  # products with the keys and with the values, over all heads
    assert by_label["scaled_dot_product_attention"].flops == mixing
    assert by_label["add"].inputs == (0, 4)
    assert [node.label for node in nodes] == [
        "input", "LayerNorm", "Linear", "scaled_dot_product_attention", "Linear", "add",
    ]  # fmt: skip


def test_repeated_blocks_are_one_with_their_number() -> None:
    nodes = network_of(Blocks(12), torch.zeros(B, T, D)).nodes
    found = folded(nodes)
    assert found.blocks == (Block(2, 5, 12),)
    assert [node.module for node in found.nodes] == [
        "", "first", "blocks.0.norm", "blocks.0.qkv", "", "blocks.0.out", "", "last",
    ]  # fmt: skip
    assert found.nodes[6].inputs == (1, 5)
    assert found.nodes[7].inputs == (6,)
    assert sorted(k for group in found.stands_for for k in group) == list(range(len(nodes)))


def test_blocks_of_other_sizes_or_wiring_are_not_folded() -> None:
    sizes = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 8), nn.Tanh())
    assert folded(network_of(sizes, torch.zeros(1, 4)).nodes).blocks == ()
    alike = [Node("input", "", "", ())]
    for place in (0, 2, 4):
        alike += [Node("Linear", "a", "", (place,)), Node("add", "", "", (place, place + 1))]
    assert folded(alike).blocks == (Block(1, 2, 3),)
    alike[-1] = Node("add", "", "", (3, 5))  # past the block before
    assert folded(alike).blocks == (Block(1, 2, 2),)


def test_totals_are_those_of_the_model_folded_or_not() -> None:
    model = Blocks(3)
    both = [graph_record(model, torch.zeros(B, T, D), name="t", fold=f) for f in (True, False)]
    for record in both:
        assert sum(node["parameters"] for node in record["nodes"]) == record["parameters"]
        assert sum(n["flops"] for n in record["nodes"]) == pytest.approx(record["flops"])
    assert (
        both[0]["flops"]
        == both[1]["flops"]
        == 8 * (2 * D * D + 2 * D * 5) + 3 * 8 * (2 * D * 3 * D + 4 * T * D + 2 * D * D)
    )


def test_the_way_back_has_a_product_for_each_gradient() -> None:
    one = nn.Linear(8, 4)
    model = nn.Sequential(one, nn.Tanh(), nn.Linear(4, 6))
    x = torch.zeros(5, 8)
    first, last = 2 * 5 * 8 * 4, 2 * 5 * 4 * 6
    # the input of the first layer needs no gradient: only its weights have one
    assert network_of(model, x).backward == first + 2 * last
    one.requires_grad_(False)
    assert network_of(model, x).backward == last
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_(False)
    assert network_of(model, x).backward is None
    attention = network_of(Attention(), torch.zeros(B, T, D, requires_grad=True))
    assert attention.backward == 2 * sum(node.flops for node in attention.nodes)


def test_a_layer_that_is_called_twice_has_its_parameters_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(torch.sigmoid(self.layer(x)))
            return out

    nodes = network_of(Twice(), torch.zeros(1, 4)).nodes
    assert [node.parameters for node in nodes if node.module] == [20, 0]


def test_a_model_that_cannot_be_traced_is_its_modules_in_order() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.a(x) if x.sum() > 0 else self.b(x)
            return out

    found = network_of(Branches())
    assert (found.by, [n.module for n in found.nodes]) == (TREE, ["a", "b"])
    recorded = network_of(Branches(), torch.ones(1, 2))
    assert (recorded.by, [n.module for n in recorded.nodes]) == ("a batch", ["", "a"])
    with pytest.raises(TaskError, match="cannot be run on the batch"):
        network_of(Branches(), torch.ones(1, 3))


def test_lazy_layers_are_known_once_the_batch_has_run() -> None:
    model = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    record = graph_record(model, torch.zeros(3, 1), name="lazy")
    assert (record["parameters"], record["flops"]) == (7, 8)


def gauges_of(model: nn.Module, **rms: float) -> Gauges:
    names = [name for name, _ in model.named_parameters()]
    arrays: dict[str, Any] = {
        name: torch.full((3, len(names)), value, dtype=torch.float64) for name, value in rms.items()
    }
    return Gauges({**arrays, "steps": torch.tensor([1, 2, 3])}, names, ())


def test_gauges_are_norms_of_all_parameters_of_a_node() -> None:
    model = nn.Sequential(nn.Linear(3, 5))
    gauges = gauges_of(model, gradient=0.5, update=0.01, weight=2.0)
    record = graph_record(model, torch.zeros(1, 3), name="t", gauges=gauges)
    node = record["nodes"][1]
    assert node["gauges"]["gradient"] == pytest.approx([0.5 * 20**0.5] * 2)
    assert node["gauges"]["ratio"] == pytest.approx([0.005] * 2)
    assert record["steps"] == [1, 3]
    with pytest.raises(TaskError, match=r"no parameter '0\.weight'"):
        graph_record(nn.Linear(3, 5), torch.zeros(1, 3), name="t", gauges=gauges)
