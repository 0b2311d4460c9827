"""`init.apply`: which layers a strategy matches, the order of several, the report, what is refused."""

from __future__ import annotations

import doctest
import inspect
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from tests.exact import RERUN, differs, same
from thalweg import TaskError, init
from thalweg.init.strategies.strategy import DEFINITIONS
from thalweg.model.layers import layers_of
from thalweg.model.trace import traced


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = x + self.down(functional.gelu(self.up(self.norm(x))))
        return h


class Words(nn.Module):
    """An embedding, two residual blocks, an output."""

    def __init__(self, *, branching: bool = False) -> None:
        super().__init__()
        self.table, self.blocks = nn.Embedding(9, 8), nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 9)
        self.branching = branching

    def forward(self, x: Tensor) -> Tensor:
        h = self.blocks(self.table(x))
        if self.branching and h.sum() > 1e9:  # torch.fx cannot follow
            h = 2 * h
        out: Tensor = self.head(h)
        return out


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)
    )


BATCH = torch.arange(6).reshape(2, 3)


@pytest.mark.parametrize("batch", [None, BATCH], ids=["fx", "batch"])
def test_kinds_activations_and_branch_ends_are_found(batch: Tensor | None) -> None:
    found = traced(Words(), batch)
    kinds = {layer.name: (layer.kind, layer.activation, layer.branch_end) for layer in found.layers}
    assert kinds == {
        "table": ("embedding", None, False),
        "blocks.0.norm": ("norm", None, False),
        "blocks.0.up": ("hidden", "gelu", False),
        "blocks.0.down": ("hidden", "linear", True),
        "blocks.1.norm": ("norm", None, False),
        "blocks.1.up": ("hidden", "gelu", False),
        "blocks.1.down": ("hidden", "linear", True),
        "head": ("output", "linear", False),
    }
    assert found.by == ("torch.fx" if batch is None else "a batch")
    assert {layer.branches for layer in found.layers if layer.kind == "hidden"} == {2}


def test_a_model_that_branches_is_recorded_or_guessed_which_is_said() -> None:
    model = Words(branching=True)
    guessed = init.apply(model, init.he())
    assert "a guess: give a batch x" in guessed.by
    assert "blocks.0.up" in guessed.unfound
    assert "Not found for blocks.0.up" in str(guessed)
    recorded = init.apply(model, init.he(), x=BATCH)
    assert recorded.by == "a batch"
    assert recorded.unfound == ()


def test_fans_of_convolutions_groups_and_transposes() -> None:
    model = nn.ModuleList(
        [
            nn.Conv2d(6, 4, 3),
            nn.Conv2d(6, 4, 3, groups=2),
            nn.ConvTranspose2d(6, 4, 4, stride=2),
            nn.ConvTranspose2d(6, 4, 3, groups=2),
        ]
    )
    fans = [(layer.fan_in, layer.fan_out) for layer in layers_of(model)]
    assert fans == [(54, 36), (27, 18), (24, 64), (27, 18)]


@pytest.mark.parametrize("groups", [1, 2])
def test_the_matrix_of_a_transposed_convolution_goes_there_and_back(groups: int) -> None:
    conv = nn.ConvTranspose1d(4, 6, 3, groups=groups, bias=False)
    (layer,) = layers_of(conv)
    before = conv.weight.detach().clone()
    matrix = layer.matrix().clone()
    layer.put(matrix)
    same(conv.weight.detach(), before, because="only moved")
    # a single input channel of 1 reaches unit u by the column of that channel
    x = torch.zeros(1, 4, 1)
    x[0, 0] = 1
    units = 6 // groups
    taps = matrix[:units].reshape(units, 4 // groups, 3)[:, 0]
    torch.testing.assert_close(conv(x)[0, :units].detach(), taps)


def test_a_later_strategy_wins_where_both_match() -> None:
    model = net()
    report = init.apply(model, init.he() | init.scaled_normal(0.01).on("output") | init.norm())
    chosen = {row.name: row.strategy for row in report.rows}
    assert chosen == {
        "0.weight": "he",
        "2.weight": "norm",
        "2.bias": "norm",
        "3.weight": "he",
        "5.weight": "scaled_normal:std=0.01,on=output",
    }
    assert report.untouched == ("0.bias", "3.bias", "5.bias")
    gains = [row.gain for row in report.rows if row.strategy == "he"]
    assert gains == pytest.approx([2**0.5, 5 / 3])


def test_layers_are_matched_by_name_too() -> None:
    model = Words()
    rows = init.apply(model, init.he().on("blocks.*.down", "head")).rows
    assert [row.name for row in rows] == [
        *("blocks.0.down.weight", "blocks.1.down.weight", "head.weight")
    ]


def test_the_report_shows_the_spread_before_and_after() -> None:
    model = net()
    before = float(model[0].weight.detach().double().std(correction=0))
    report = init.apply(model, init.orthogonal() | init.bias(0.25))
    row = report.rows[0]
    assert (row.fan_in, row.fan_out, row.before) == (4, 8, pytest.approx(before))
    assert row.after == pytest.approx(float(model[0].weight.detach().double().std(correction=0)))
    assert "all 0.25" in str(report)
    assert "<td>0.weight</td>" in report._repr_html_()
    assert report.to_dict()["rows"][1]["value"] == 0.25


def test_the_same_seed_gives_the_same_numbers_whatever_else_there_is() -> None:
    a, b = net(), net()
    init.apply(a, init.he())
    torch.manual_seed(7)
    init.apply(b.double(), init.he() | init.bias())
    same(a[0].weight.detach(), b[0].weight.detach().float(), because="the same draws, rounded once")
    init.apply(b, init.he(), seed=1)
    differs(a[0].weight.detach(), b[0].weight.detach().float())


def test_no_seed_draws_from_torch_s_generator_and_a_seed_leaves_it() -> None:
    def fresh(seed: int | None) -> tuple[Tensor, Tensor]:
        model = net()
        torch.manual_seed(3)
        init.apply(model, init.he(), seed=seed)
        return model[0].weight.detach(), torch.rand(2)

    same(fresh(None), fresh(None), because=RERUN)
    drawn = fresh(0)[1]
    torch.manual_seed(3)
    same(drawn, torch.rand(2), because="nothing was drawn between")


def test_frozen_tied_and_parametrized_weights() -> None:
    model = Words()
    model.head.weight = model.table.weight  # type: ignore[assignment]
    model.blocks[0].up.weight.requires_grad_(False)  # type: ignore[union-attr,index]
    before = model.head.weight.detach().clone()
    report = init.apply(model, init.he())
    same(model.head.weight.detach(), before, because="it is the embedding's, which he leaves")
    assert "blocks.0.up.weight (frozen)" in report.untouched
    assert "head shares the weight of table." in report.remarks
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4, bias=False)), nn.ReLU())
    init.apply(normed, init.orthogonal(gain=1.0))
    weight = normed[0].weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(4), atol=1e-5, rtol=0)


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.zeros(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.mixing


def test_a_weight_of_the_user_s_own_module_is_listed_and_can_be_matched() -> None:
    model = nn.Sequential(Opaque(), nn.Linear(3, 3))
    assert "0.mixing" in init.apply(model, init.he()).untouched
    assert init.apply(model, init.scaled_normal(1.0).on("other")).rows[0].name == "0.mixing"


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made: nn.Module = torch.jit.script(net())
    return made


@pytest.mark.parametrize(
    ("model", "strategy", "message"),
    [
        (nn.ReLU(), init.he(), "ReLU has no parameters"),
        (nn.LazyLinear(3), init.he(), "weight has no shape yet.*Run the model on a batch"),
        (nn.Linear(2, 2, device="meta"), init.he(), "device meta"),
        (nn.Linear(2, 2, dtype=torch.complex64), init.he(), "weight is complex"),
        (nn.Linear(2, 2), init.forget_gate(), "forget_gate matches nothing: it is for recurrent"),
        (net(), init.he().on("hiden"), "matches nothing.*'hidden'.*0 .hidden., 2 .norm."),
        (net(), init.he().on("conv*"), "matches nothing"),
        (net(), "he", "must be one of thalweg.init"),
        (3, init.he(), "takes an nn.Module; got int"),
        (scripted(), init.he(), "compiled by torch.jit.*Start the model before"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_what_cannot_be_started_is_refused(model: object, strategy: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        init.apply(model, strategy)  # type: ignore[arg-type]


def test_a_batch_that_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(TaskError, match=r"cannot be run on the batch of inputs\. .*are passed"):
        init.apply(net(), init.he(), x=torch.zeros(2, 5))
    with pytest.raises(TaskError, match="seed must be an integer"):
        init.apply(net(), init.he(), seed=-1)


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_every_strategy_is_documented_and_its_examples_run(name: str) -> None:
    function = DEFINITIONS[name].function
    summary = (inspect.getdoc(function) or "").split("\n\n")[0]
    assert summary.endswith((".", ".)")), name
    for parameter in DEFINITIONS[name].parameters:
        assert f"{parameter}:" in (function.__doc__ or ""), f"{name} does not explain {parameter}"
    finder = doctest.DocTestFinder(recurse=False)
    for test in finder.find(function, name, globs=dict(function.__globals__)):
        assert doctest.DocTestRunner().run(test).failed == 0


SET = init.he() | init.bias(3.0)


@pytest.mark.parametrize(
    "strategy",
    [
        SET,
        init.output_bias([5, 1], zero_weights=True),
        init.norm(2.0, 1.0),
        init.he() | init.fixup(),
        init.orthogonal() | init.lsuv(),
        init.orthogonal() | init.search(trials=3),
        init.orthogonal() | init.gradinit(steps=2),
        init.he() | init.autoencoder(steps=2),
        init.variance("*", form="std"),
        init.parameter("*", 3.0),
    ],
    ids=repr,
)
def test_no_strategy_sets_what_is_frozen(strategy: init.InitChain) -> None:
    model = nn.Sequential(
        *(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()),
        nn.Linear(8, 2),
    )
    frozen = ["0.weight", "1.weight", "3.bias", "5.bias"]
    for name in frozen:
        model.get_parameter(name).requires_grad_(False)
    before = {name: model.get_parameter(name).clone() for name in frozen}
    noise = torch.Generator().manual_seed(0)
    x, y = torch.randn(32, 4, generator=noise), torch.arange(32) % 2
    report = init.apply(model, strategy, x=x, y=y, loss="cross_entropy")
    for name, value in before.items():
        same(model.get_parameter(name), value, because="it is frozen")
        assert f"{name} (frozen)" in report.untouched


def test_the_bias_of_a_frozen_weight_is_set() -> None:
    model = net()
    model[0].weight.requires_grad_(False)
    weight = model[0].weight.clone()
    init.apply(model, SET)
    same(model[0].weight, weight, because="it is frozen")
    same(model[0].bias.detach(), torch.full((8,), 3.0), because="the bias is not")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (init.he(), "init.he.*frozen.*: 0.weight, 0.bias.*requires_grad"),
        (init.he() | init.bias(), "init.he.*init.bias.*frozen.*: 0.weight, 0.bias.*requires_grad"),
        (init.output_bias([1.0, 2.0]), "init.output_bias: .*frozen.*requires_grad"),
        (init.lsuv(), "init.lsuv: .*frozen.*requires_grad"),
        (init.search(), "init.search: no layer's weight can be scaled: each of 0.*is frozen"),
        (init.gradinit(), "init.gradinit: no layer's weight can be scaled: each of 0.*is frozen"),
        (init.parameter("*", 1.0), "init.parameter: 0.weight.*frozen.*requires_grad"),
        (init.variance("0.bias"), "init.variance: 0.bias is frozen"),
    ],
    ids=repr,
)
def test_where_all_is_frozen_the_error_says_so(strategy: init.InitStrategy, message: str) -> None:
    model = net().requires_grad_(False)
    with pytest.raises(TaskError, match=message):
        init.apply(
            model, strategy, x=torch.ones(6, 4), y=torch.zeros(6).long(), loss="cross_entropy"
        )


def test_a_computed_weight_has_no_factor_of_gradinit() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 2)))
    with pytest.raises(TaskError, match=r"gradinit.*each of 0 is computed by a parametrization"):
        init.apply(
            model,
            init.gradinit(),
            x=torch.ones(6, 4),
            y=torch.zeros(6).long(),
            loss="cross_entropy",
        )


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (init.gradinit(steps=2), r"gradinit.*y has 5 rows, but x a tensor of shape \(6, 4\)"),
        (init.search(trials=2), r"loss of the model's outputs cannot be computed.*target"),
    ],
    ids=repr,
)
def test_targets_that_do_not_suit_the_batch_are_refused(
    strategy: init.InitStrategy, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        init.apply(
            net(), strategy, x=torch.ones(6, 4), y=torch.zeros(5).long(), loss="cross_entropy"
        )


def test_a_model_that_cannot_be_run_with_other_parameters_is_an_error_that_says_so() -> None:
    wrapped = nn.DataParallel(net())
    with pytest.raises(TaskError, match=r"cannot be run on the batch of inputs.*DataParallel"):
        init.apply(
            wrapped,
            init.gradinit(steps=2),
            x=torch.ones(6, 4),
            y=torch.zeros(6).long(),
            loss="cross_entropy",
        )


def test_a_module_in_two_places_keeps_its_parameters() -> None:
    twice = nn.Linear(4, 4)
    model = nn.Sequential(twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(4, 2))
    model[4].weight = nn.Parameter(twice.weight[:2].detach().clone())
    own = dict(model.named_parameters())
    noise = torch.Generator().manual_seed(0)
    x, y = torch.randn(32, 4, generator=noise), torch.arange(32) % 2
    init.apply(model, init.he() | init.gradinit(steps=3), x=x, y=y, loss="cross_entropy")
    assert {name: id(p) for name, p in model.named_parameters()} == {
        name: id(p) for name, p in own.items()
    }
    assert twice.weight.is_leaf
    assert twice.weight.requires_grad


def test_a_parametrization_that_draws_does_so_by_the_seed() -> None:
    def drawn(seed: int) -> tuple[Tensor, Tensor]:
        model = nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 5, bias=False)))
        torch.manual_seed(seed)
        init.apply(model, init.he())
        return model[0].parametrizations.weight[0].base.clone(), torch.rand(2)

    (a, _), (b, after) = drawn(1), drawn(2)
    same(a, b, because=RERUN)
    torch.manual_seed(2)
    same(after, torch.rand(2), because="PyTorch's generator was put back")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_an_empty_layer_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(0, 4), nn.ReLU(), nn.Linear(4, 2))
    report = init.apply(model, init.he() | init.bias(1.0))
    assert [row.name for row in report.rows] == ["2.weight", "2.bias"]


def test_what_is_not_finite_and_not_touched_is_no_error() -> None:
    model = nn.Sequential(Opaque(), nn.Linear(3, 3))
    model[0].mixing.data.fill_(-torch.inf)  # a mask
    init.apply(model, init.he())


def test_a_model_that_gradinit_cannot_differentiate_twice() -> None:
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2))
    with pytest.raises(TaskError, match=r"gradinit.*no second derivative.*init\.search"):
        init.apply(model, init.gradinit(steps=2), x=BATCH, y=torch.arange(2), loss="cross_entropy")
