"""Routes: one optimizer, a chain for each kind of parameter."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RERUN, RESUMED, close, same
from tests.model.models import GPT, Adapted, TiedLSTM
from thalweg import Optimizer, chain, optim, route, rule
from thalweg.errors import RuleError
from thalweg.optim.routing.route import Routing
from thalweg.optim.routing.table import routes_of
from thalweg.rules import adam, clip_by_global_norm, decay, descend, lion, momentum, signum
from thalweg.rules.adam import adamw
from thalweg.schedules import linear

STEPS = 3


def tokens() -> Tensor:
    return torch.arange(12).reshape(2, 6) % 7


def net(seed: int = 0, **kwargs: Any) -> GPT:
    torch.manual_seed(seed)
    return GPT(tied=False, blocks=1, **kwargs)


def train(model: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = STEPS) -> None:
    for _ in range(steps):
        for p in model.parameters():
            p.grad = None
        loss = functional.cross_entropy(model(tokens()).flatten(0, 1), tokens().flatten())
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()


def numbers(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def parts(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The hidden matrices, and the rest."""
    hidden = {"attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"}
    named = list(model.named_parameters())
    inner = [p for n, p in named if any(n.endswith(h) for h in hidden)]
    return inner, [p for _, p in named if all(p is not q for q in inner)]


BOTH = route(hidden=lion(), rest=adamw(weight_decay=0.1))


def test_an_optimizer_with_routes_steps_as_one_for_each_route_does() -> None:
    together, apart = net(), net()
    optimizer = Optimizer(together, BOTH, lr=1e-2)
    hidden, rest = parts(apart)
    train(together, optimizer)
    train(
        apart, Optimizer(hidden, lion, lr=1e-2), Optimizer(rest, adamw(weight_decay=0.1), lr=1e-2)
    )
    same(numbers(together), numbers(apart), because=RERUN)
    assert [group["route"] for group in optimizer.param_groups] == ["hidden", "rest"]


def test_a_link_before_all_routes_clips_by_the_norm_of_the_whole_model() -> None:
    model = net()
    clipped = route(hidden=momentum(), rest=descend(), before=clip_by_global_norm(1e-3))
    optimizer = Optimizer(model, clipped, lr=1.0)
    generator = torch.Generator().manual_seed(1)
    grads = {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
    for name, p in model.named_parameters():
        p.grad = grads[name]
    norm = float(torch.cat([g.double().flatten() for g in grads.values()]).norm())
    expected = {n: p - grads[n] * (1e-3 / norm) for n, p in numbers(model).items()}
    optimizer.step()
    assert len(optimizer.plan().splitlines()) == 2  # two programs, one norm
    close(numbers(model), expected, ulps=8, because="a norm is summed in another order")


def test_routes_with_equal_chains_are_one_program_with_numbers_of_their_own() -> None:
    model = net()
    routing = route(hidden=adam(beta2=0.9), rest=adam(), lr_factors={"hidden": 0.5})
    optimizer = Optimizer(model, routing, lr=1e-2)
    apart = net()
    hidden, rest = parts(apart)
    train(model, optimizer)
    train(apart, optim.Adam(hidden, 5e-3, (0.9, 0.9)), optim.Adam(rest, 1e-2))
    same(numbers(model), numbers(apart), because=RERUN)
    assert len(optimizer.plan().splitlines()) == 1


def test_an_optimizers_class_brings_its_rules_with_their_numbers() -> None:
    half = functools.partial(optim.AdamW, betas=(0.5, 0.9), weight_decay=0.2)
    routing = route(hidden=half, rest=optim.Lion)
    assert routing.chains["hidden"].hyperparameters == {
        "beta1": 0.5,
        "beta2": 0.9,
        "eps": 1e-8,
        "weight_decay": 0.2,
    }
    model, apart = net(), net()
    hidden, rest = parts(apart)
    train(model, Optimizer(model, routing, lr=1e-2))
    train(apart, half(hidden, lr=1e-2), optim.Lion(rest, lr=1e-2))
    same(numbers(model), numbers(apart), because=RERUN)


# -- which parameter takes which route ----------------------------------------------------------------


def ways(model: nn.Module, routing: Routing) -> dict[str, str]:
    return {row.name: row.route for row in Optimizer(model, routing).routes().rows}


def test_a_pattern_goes_before_a_kind_and_a_kind_before_what_it_is_part_of() -> None:
    found = ways(
        net(),
        route({"*.mlp.*": lion()}, hidden=signum(), qkv=adam(), embedding=adam(), rest=adam()),
    )
    inner = {n.removeprefix("transformer.h.0."): way for n, way in found.items()}
    assert inner["mlp.c_fc.weight"] == inner["mlp.c_fc.bias"] == "*.mlp.*"
    assert inner["attn.c_attn.weight"] == "qkv"
    assert inner["attn.c_proj.weight"] == "hidden"
    assert inner["attn.c_proj.bias"] == inner["ln_1.weight"] == "rest"
    assert found["transformer.wte.weight"] == "embedding"
    assert found["lm_head.weight"] == "rest"


def test_a_tied_matrix_is_an_embedding_and_matched_by_all_its_names() -> None:
    assert ways(TiedLSTM(), route(embedding=lion(), rest=adam()))["encoder.weight"] == "embedding"
    assert (
        ways(TiedLSTM(), route(embedding=lion(), tied=lion(), rest=adam(), may_be_empty=True))[
            "encoder.weight"
        ]
        == "tied"
    )
    by_name = ways(TiedLSTM(), route({"decoder.*": lion()}, rest=adam()))
    assert by_name["encoder.weight"] == by_name["decoder.bias"] == "decoder.*"


def test_frozen_parameters_need_no_route_but_take_one_that_fits() -> None:
    found = ways(Adapted(), route(lora=lion(), head=adam(), bias=adam()))
    assert {n for n, way in found.items() if way == "lora"} == {
        f"{layer}.lora_{factor}" for layer in ("up", "down") for factor in "AB"
    }
    assert "up.base_layer.weight" not in found
    assert "up.base_layer.weight" in ways(Adapted(), route(lora=lion(), rest=adam()))


def test_named_parameters_will_do_where_only_names_are_asked_for() -> None:
    routing = route({"*.weight": lion()}, rest=adam())
    assert Optimizer(net().named_parameters(), routing).param_groups[0]["route"] == "*.weight"
    with pytest.raises(RuleError, match=r"the kinds hidden are found from its layers"):
        Optimizer(net().named_parameters(), BOTH)
    with pytest.raises(RuleError, match=r"routes are for a model"):
        Optimizer(net().parameters(), routing)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no route": (
        {"hidden": lion()},
        r"no route takes 'transformer.wte.weight' \(embedding\), .* and 8 more",
    ),
    "two patterns": (
        {"patterns": {"*.c_fc.*": lion(), "*.weight": adam()}, "rest": adam()},
        r"'transformer.h.0.mlp.c_fc.weight' matches '\*.c_fc.\*' and '\*.weight'",
    ),
    "a kind that is not there": (
        {"convolution": lion(), "rest": adam()},
        r"(?i)the route 'convolution' matches no parameter of the model, which has kinds embedding, norm",
    ),
    "a pattern that matches nothing": (
        {"patterns": {"*.attention.*": lion()}, "rest": adam()},
        r"(?i)the route '\*.attention.\*' matches no parameter of the model, which has names such as 'tr",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_routes_that_do_not_fit_the_model_are_refused_with_names(name: str) -> None:
    given, message = WRONG[name]
    patterns = given.get("patterns")
    kinds = {n: v for n, v in given.items() if n != "patterns"}
    with pytest.raises(RuleError, match=message):
        Optimizer(net(), route(patterns, **kinds))


def test_a_head_that_is_tied_is_named_in_the_message() -> None:
    with pytest.raises(RuleError, match=r"output layer is the embedding, of the kind \"tied\""):
        Optimizer(TiedLSTM(), route(head=lion(), rest=adam()))


def test_what_is_no_route_is_refused_where_it_is_written() -> None:
    with pytest.raises(
        RuleError, match=r"No parameters are of the kind 'heads'. Did you mean 'head'"
    ):
        route(heads=lion(), rest=adam())
    with pytest.raises(RuleError, match=r"(?i)the pattern 'hidden' is a kind"):
        route({"hidden": lion()})
    with pytest.raises(RuleError, match=r"(?i)the route 'rest' is <class 'torch.optim"):
        route(rest=torch.optim.SGD)
    with pytest.raises(RuleError, match=r"(?i)the route 'rest' sets lr"):
        route(rest=functools.partial(optim.Adam, lr=0.1))
    with pytest.raises(RuleError, match=r"lr_factors has 'head', which is not a route"):
        route(rest=adam(), lr_factors={"head": 0.1})
    with pytest.raises(RuleError, match=r"lr_factors\['rest'\] is -1"):
        route(rest=adam(), lr_factors={"rest": -1})
    with pytest.raises(RuleError, match=r"needs at least one route"):
        route()
    with pytest.raises(ValueError, match=r"Invalid beta1: 2"):
        Optimizer(net(), route(hidden=lion(beta1=2.0), rest=adam()))


# -- it is an optimizer of PyTorch --------------------------------------------------------------------


def test_a_state_is_found_by_names_and_routes_whatever_their_order() -> None:
    model = net()
    optimizer = Optimizer(model, BOTH, lr=1e-2)
    train(model, optimizer)
    saved = copy.deepcopy(optimizer.state_dict())
    other = copy.deepcopy(model)
    turned = route(rest=adamw(weight_decay=0.1), hidden=lion())
    resumed = Optimizer(reversed_order(other), turned, lr=1e-2)
    resumed.load_state_dict(saved)
    train(model, optimizer)
    train(other, resumed)
    same(numbers(other), numbers(model), because=RESUMED)
    assert [group["route"] for group in resumed.param_groups] == ["rest", "hidden"]


def reversed_order(model: nn.Module) -> nn.Module:
    """Let a model name its modules in another order."""
    model._modules = dict(reversed(model._modules.items()))
    return model


def test_a_state_of_other_routes_is_refused() -> None:
    saved = Optimizer(net(), BOTH).state_dict()
    with pytest.raises(
        ValueError, match=r"has the routes hidden, rest, this optimizer has head, rest"
    ):
        Optimizer(net(), route(head=lion(), rest=adam())).load_state_dict(saved)


def test_a_group_from_outside_takes_the_route_that_it_names_or_the_rest() -> None:
    optimizer = Optimizer(
        net(), route(hidden=lion(), rest=adam(), lr_factors={"hidden": 0.1}), lr=1.0
    )
    new = [("new", nn.Parameter(torch.ones(2, 2))), ("newer", nn.Parameter(torch.ones(2)))]
    optimizer.add_param_group({"params": new[:1], "route": "hidden", "beta1": 0.5})
    optimizer.add_param_group({"params": new[1:]})
    first, last = optimizer.param_groups[-2:]
    assert (first["lr"], first["beta1"], first["beta2"]) == (0.1, 0.5, 0.99)
    assert (last["route"], last["lr"], last["eps"]) == ("rest", 1.0, 1e-8)
    with pytest.raises(
        RuleError, match=r"route='hiden', which there is not. Did you mean 'hidden'"
    ):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "route": "hiden"})
    strict = Optimizer(Adapted(), route(lora=lion(), head=adam(), bias=adam()))
    with pytest.raises(RuleError, match=r'needs an entry "route"'):
        strict.add_param_group({"params": [("new", nn.Parameter(torch.ones(1)))]})


def test_schedules_and_schedulers_reach_every_route() -> None:
    half = route(hidden=lion(), rest=adam(beta1=linear(0.9, 0.0, 9)), lr_factors={"hidden": 0.5})
    optimizer = Optimizer(net(), half, lr=linear(1.0, 0.0, 4))
    for _ in range(3):
        optimizer.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]
    assert optimizer.param_groups[1]["beta1"] == pytest.approx(0.7, rel=1e-6)  # 0.9·(1 − 2/9)
    plain = Optimizer(net(), BOTH, lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(plain, 1, 0.5)
    plain.step()
    scheduler.step()
    assert [group["lr"] for group in plain.param_groups] == [0.5, 0.5]


def test_a_loss_scaler_and_copies_go_with_routes() -> None:
    model = net()
    optimizer = Optimizer(model, BOTH, lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    loss = functional.cross_entropy(model(tokens()).flatten(0, 1), tokens().flatten())
    torch.autograd.backward(scaler.scale(loss))
    scaler.step(optimizer)
    scaler.update()
    apart = net()
    train(apart, Optimizer(apart, BOTH, lr=1e-2), steps=1)
    close(numbers(model), numbers(apart), ulps=4, because="8 times a gradient and back")
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert copied.routes() == optimizer.routes()
        assert copied.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_the_table_says_how_each_parameter_is_stepped() -> None:
    model = net()
    optimizer = Optimizer(model, BOTH, lr=1e-2)
    before = optimizer.routes()
    rows = {row.name: row for row in before.rows}
    row = rows["transformer.h.0.attn.c_attn.weight"]
    assert (row.kind, row.route, row.shape, row.lr, row.decay) == (
        "qkv",
        "hidden",
        (24, 8),
        1e-2,
        None,
    )
    assert rows["lm_head.weight"].decay == 0.1
    assert before.chains["hidden"] == "lion()"
    assert before.chains["rest"] == "chain(adam(), decay(weight_decay=0.1))"
    train(model, optimizer, steps=1)
    assert optimizer.routes() == before  # states take what was foretold
    assert before.state_bytes == optimizer.memory().state
    assert "lm_head.weight" in str(before)
    assert before._repr_html_().startswith("<table>")
    assert [r["name"] for r in before.to_dict()["parameters"]] == [r.name for r in before.rows]


def test_an_optimizer_of_one_chain_has_a_table_too() -> None:
    table = Optimizer([torch.ones(2, requires_grad=True)], chain(lion, decay(0.3))).routes()
    assert [(row.name, row.route, row.decay) for row in table.rows] == [
        ("parameter 0", "group 0", 0.3)
    ]


def test_small_states_are_counted_as_they_are_kept() -> None:
    optimizer = Optimizer(net(), BOTH, state_dtype="bfloat16")
    assert optimizer.routes().state_bytes == optimizer.memory().state
    rows = {row.name: row for row in optimizer.routes().rows}
    assert rows["lm_head.weight"].state_bytes == 2 * 2 * 11 * 8


@pytest.mark.parametrize("kind", [optim.SOAP, optim.Shampoo])
def test_the_table_knows_the_forms_of_a_rule_that_depend_on_the_size(kind: Any) -> None:
    model = net()
    optimizer = kind(model, lr=1e-3)
    before = routes_of(optimizer, model)
    train(model, optimizer, steps=1)
    assert routes_of(optimizer, model) == before
    routed = Optimizer(net(), route(hidden=kind, rest=adamw()))
    assert routed.routes().rows[0].route == "hidden"


def test_the_chain_of_an_optimizer_with_routes_is_asked_of_its_routing() -> None:
    assert Optimizer(net(), adam).chain.states == ("m", "v")
    with pytest.raises(AttributeError, match=r"optimizer.routing.chains"):
        _ = Optimizer(net(), BOTH).chain


@rule
def foreign(g: Any, *, beta1: float = 5.0) -> Any:
    """A rule of a user's, whose beta1 means something else."""
    return beta1 * g


def test_ranges_are_known_of_this_packages_rules_alone() -> None:
    Optimizer(net(), route(hidden=lion(), rest=foreign()))
    with pytest.raises(ValueError, match=r"Invalid beta2"):
        Optimizer(net(), route(hidden=lion(beta2=3.0), rest=foreign()))


def test_hyperparameters_are_called_by_their_route() -> None:
    changed = BOTH.with_values({"hidden.beta1": 0.5})
    assert changed.chains["hidden"].hyperparameters["beta1"] == 0.5
    assert changed.chains["rest"].hyperparameters == BOTH.chains["rest"].hyperparameters
    assert "hidden.beta1" in BOTH.hyperparameters
    with pytest.raises(RuleError, match=r"no hyperparameter 'hidden.beta'. Did you mean"):
        BOTH.with_values({"hidden.beta": 0.5})
    assert repr(route({"*.a": lion()}, rest=adam(), lr_factors={"rest": 2.0})) == (
        "route({'*.a': chain(lion(beta1=0.9, beta2=0.99))}, "
        "rest=chain(adam(beta1=0.9, beta2=0.999, eps=1e-08)), lr_factors={'rest': 2.0})"
    )
