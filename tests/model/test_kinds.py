"""The kind of each parameter, for models as users write them; the tables are pinned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.exact import same
from tests.model.models import GPT, Adapted, Block, MoE, ResNet, TiedLSTM
from thalweg.errors import TaskError
from thalweg.model.kinds import PARAMETER_KINDS, PART_OF, kinds_of

_BLOCK = {
    "transformer.h.0.ln_1.weight": "norm",
    "transformer.h.0.ln_1.bias": "norm",
    "transformer.h.0.attn.c_attn.weight": "qkv",
    "transformer.h.0.attn.c_attn.bias": "bias",
    "transformer.h.0.attn.c_proj.weight": "hidden",
    "transformer.h.0.attn.c_proj.bias": "bias",
    "transformer.h.0.ln_2.weight": "norm",
    "transformer.h.0.ln_2.bias": "norm",
    "transformer.h.0.mlp.c_fc.weight": "hidden",
    "transformer.h.0.mlp.c_fc.bias": "bias",
    "transformer.h.0.mlp.c_proj.weight": "hidden",
    "transformer.h.0.mlp.c_proj.bias": "bias",
}
_AROUND = {"transformer.ln_f.weight": "norm", "transformer.ln_f.bias": "norm"}
PINNED: dict[str, tuple[Callable[[], nn.Module], dict[str, str]]] = {
    "tied GPT-2": (
        lambda: GPT(tied=True, blocks=1),
        {
            "transformer.wte.weight": "tied",
            "transformer.wpe.weight": "embedding",
            **_BLOCK,
            **_AROUND,
        },
    ),
    "GPT-2": (
        lambda: GPT(tied=False, blocks=1),
        {
            "transformer.wte.weight": "embedding",
            "transformer.wpe.weight": "embedding",
            **_BLOCK,
            **_AROUND,
            "lm_head.weight": "head",
        },
    ),
    "ResNet": (
        ResNet,
        {
            "conv1.weight": "input",
            "bn1.weight": "norm",
            "bn1.bias": "norm",
            **{
                f"layer1.{block}.{name}": kind
                for block in (0, 1)
                for name, kind in {
                    "conv1.weight": "convolution",
                    "bn1.weight": "norm",
                    "bn1.bias": "norm",
                    "conv2.weight": "convolution",
                    "bn2.weight": "norm",
                    "bn2.bias": "norm",
                }.items()
            },
            "fc.weight": "head",
            "fc.bias": "bias",
        },
    ),
    "MoE": (
        MoE,
        {
            "pos_emb": "embedding",
            "tok_embeddings.weight": "embedding",
            "norm.weight": "norm",
            "gate.weight": "hidden",
            "experts.w1": "experts",
            "experts.w2": "experts",
            "experts.b1": "bias",
            "output.weight": "head",
        },
    ),
    "LoRA": (
        Adapted,
        {
            "up.lora_A": "lora",
            "up.lora_B": "lora",
            "up.base_layer.weight": "input",
            "up.base_layer.bias": "bias",
            "down.lora_A": "lora",
            "down.lora_B": "lora",
            "down.base_layer.weight": "hidden",
            "down.base_layer.bias": "bias",
            "classifier.weight": "head",
            "classifier.bias": "bias",
        },
    ),
    "tied LSTM": (
        TiedLSTM,
        {
            "encoder.weight": "tied",
            "rnn.weight_ih_l0": "recurrent",
            "rnn.weight_hh_l0": "recurrent",
            "rnn.bias_ih_l0": "bias",
            "rnn.bias_hh_l0": "bias",
            "decoder.bias": "bias",
        },
    ),
    "PyTorch's encoder layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        {
            "self_attn.in_proj_weight": "qkv",
            "self_attn.in_proj_bias": "bias",
            "self_attn.out_proj.weight": "hidden",
            "self_attn.out_proj.bias": "bias",
            "linear1.weight": "hidden",
            "linear1.bias": "bias",
            "linear2.weight": "hidden",
            "linear2.bias": "bias",
            **{f"norm{k}.{what}": "norm" for k in (1, 2) for what in ("weight", "bias")},
        },
    ),
    "a block alone": (
        lambda: Block(4),
        {name.removeprefix("transformer.h.0."): kind for name, kind in _BLOCK.items()}
        | {"mlp.c_proj.weight": "head"},  # the last layer of what it was given, a guess
    ),
}


def table(model: nn.Module) -> dict[str, str]:
    return {each.name: each.kind for each in kinds_of(model)}


@pytest.mark.parametrize("name", PINNED)
def test_the_kinds_of_a_model_are_these(name: str) -> None:
    build, kinds = PINNED[name]
    assert table(build()) == kinds


def test_every_kind_is_explained_and_a_special_case_is_of_another() -> None:
    assert {kind for _, kinds in PINNED.values() for kind in kinds.values()} <= set(PARAMETER_KINDS)
    assert set(PART_OF) | set(PART_OF.values()) <= set(PARAMETER_KINDS)


def test_three_equal_blocks_lie_in_a_fused_projection_and_gates_in_a_recurrent_weight() -> None:
    blocks = {each.name: each.blocks for each in (*kinds_of(Block(4)), *kinds_of(TiedLSTM()))}
    assert blocks["attn.c_attn.weight"] == 3
    assert blocks["attn.c_proj.weight"] == 1
    assert blocks["rnn.weight_hh_l0"] == 4


class HeadFirst(nn.Module):
    """Its output layer is defined before the others, and has no name that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.middle = nn.Linear(4, 4)
        self.first = nn.Linear(3, 4)
        self.seen: list[Tensor] | Tensor = []

    def forward(self, x: Tensor) -> Any:
        self.seen = x
        return self.last(self.middle(self.first(x).relu()).relu())


def test_the_calls_of_a_model_say_more_than_the_order_of_definition() -> None:
    kinds = table(HeadFirst())
    assert kinds["last.weight"] == "head"
    assert kinds["middle.weight"] == "hidden"
    assert kinds["first.weight"] == "input"


def test_a_look_at_a_model_leaves_it_as_it_was() -> None:
    model = nn.Sequential(HeadFirst(), nn.Dropout(), nn.BatchNorm1d(2))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    kinds_of(model)
    assert model[0].seen == []  # no symbol of the tracer
    same(torch.get_rng_state(), before, because="nothing was drawn")
    assert int(model.get_buffer("2.num_batches_tracked")) == 0


class Untraceable(nn.Module):
    def __init__(self, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        if x.sum() > 0:
            return x
        return -x


def test_where_calls_are_not_known_names_say_what_a_head_is_and_else_the_order_a_guess() -> None:
    layers = {"policy_head": nn.Linear(4, 2), "value_head": nn.Linear(4, 1)}
    named = kinds_of(Untraceable(body=nn.Linear(3, 4), inner=nn.Linear(4, 4), **layers))
    heads = {each.name: each.by for each in named if each.kind == "head"}
    assert heads == {"policy_head.weight": "name", "value_head.weight": "name"}
    plain = kinds_of(Untraceable(one=nn.Linear(3, 4), two=nn.Linear(4, 4), three=nn.Linear(4, 2)))
    found = {each.name: (each.kind, each.by) for each in plain if each.name.endswith("weight")}
    assert found == {
        "one.weight": ("input", "order"),
        "two.weight": ("hidden", "type"),
        "three.weight": ("head", "order"),
    }


def test_the_last_of_repeated_blocks_is_no_head() -> None:
    blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    kinds = table(Untraceable(tokens=nn.Embedding(5, 4), blocks=blocks))
    assert [kinds[f"blocks.{k}.weight"] for k in range(3)] == ["hidden"] * 3


def test_one_layer_alone_is_the_output_layer() -> None:
    assert table(nn.Linear(3, 2)) == {"weight": "head", "bias": "bias"}


def test_a_parametrized_weight_is_of_its_layers_kind() -> None:
    inner = parametrizations.orthogonal(nn.Linear(4, 4))
    kinds = table(nn.Sequential(nn.Linear(3, 4), inner, nn.Linear(4, 2)))
    assert kinds["1.parametrizations.weight.original"] == "hidden"
    normed = parametrizations.weight_norm(nn.Linear(4, 4))
    kinds = table(nn.Sequential(nn.Linear(3, 4), normed, nn.Linear(4, 2)))
    assert kinds["1.parametrizations.weight.original1"] == "hidden"
    assert kinds["1.parametrizations.weight.original0"] == "other"


def test_a_parameter_without_a_shape_is_refused() -> None:
    with pytest.raises(TaskError, match=r"'0.weight' has no shape yet"):
        kinds_of(nn.Sequential(nn.LazyLinear(3)))
