"""A card says what is so: figures are measured on optimizers that step, words are all there."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, differs, is_same, same
from tests.optim.kronecker import OF_MODELS as MODEL_NAMES
from tests.optim.solvers import SOLVERS as SOLVER_NAMES
from tests.optim.sparse import SPARSE_ONLY
from thalweg import optim, rule, rules
from thalweg.errors import EngineError, TaskError
from thalweg.optim.cards.by_name import card, find
from thalweg.optim.cards.card import Card
from thalweg.optim.cards.known import OF_MODELS, OPTIMIZERS, RULES, SOLVERS
from thalweg.optim.cards.of_callable import describe_callable

OPTIMIZER_NAMES = sorted(set(optim.__all__) - {"Optimizer", *SOLVER_NAMES, *MODEL_NAMES})
DENSE = sorted(set(OPTIMIZER_NAMES) - set(SPARSE_ONLY))


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((4, 3), (5, 1))  # some optimizers refuse vectors
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def stepped(optimizer: Any, params: list[nn.Parameter], factor: float = 1.0) -> list[Tensor]:
    """Step a few times by the gradients of a quadratic, those of the last parameter times `factor`."""
    for _ in range(4):
        for k, p in enumerate(params):
            p.grad = 3 * p.detach() * (factor if k else 1.0) + 0.1
        optimizer.step()
    return [p.detach().clone() for p in params]


def test_there_is_a_card_for_every_name() -> None:
    assert sorted(OPTIMIZERS) == OPTIMIZER_NAMES
    assert sorted(SOLVERS) == sorted(SOLVER_NAMES)
    assert sorted(OF_MODELS) == sorted(MODEL_NAMES)
    assert sorted(RULES) == sorted(rules.__all__)
    assert all(OPTIMIZERS[name] is getattr(optim, name) for name in OPTIMIZER_NAMES)


@pytest.mark.parametrize("name", [*SOLVER_NAMES, *MODEL_NAMES])
def test_every_solver_has_a_complete_card(name: str) -> None:
    found = card(name)
    assert (found.name, found.kind, found.cost) == (name, "optimizer", None)
    assert re.search(r"[←=]", found.equation)
    assert found.year is not None
    assert '"' in found.paper
    fields = (found.paper, found.defaults, found.use, found.deviations, found.text.fields["Cost"])
    assert all(text.endswith(".") for text in fields)
    first = "model" if name in MODEL_NAMES else "params"
    assert found.signature.startswith(f"{name}({first}, ")
    assert "optimizer.step(" in found.example
    json.dumps(found.as_dict())


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_every_optimizer_has_a_complete_card(name: str) -> None:
    found = card(name)
    assert found.name == name
    assert re.search(r"[←=]", found.equation)
    assert found.year is not None
    assert 1900 < found.year <= 2026
    assert str(found.year) in found.paper
    assert '"' in found.paper  # the title of the paper
    for field in ("paper", "defaults", "use", "deviations"):
        text = getattr(found, field)
        assert len(text) > 4, field
        assert not re.match(r"(Paper|Defaults|Use|Deviations):", text), field
        assert text.endswith("."), field
    assert found.title.endswith(".")
    assert found.signature.startswith(f"{name}(params, lr=")


@pytest.mark.parametrize("name", rules.__all__)
def test_every_rule_has_a_title_and_an_equation(name: str) -> None:
    found = card(f"rules.{name}")
    assert found.name == name
    assert found.title.endswith(".")
    assert re.search(r"[←=]", found.equation)
    after = "acts after the step" in found.kind
    assert after == RULES[name].kind.after_step
    assert ("learning rate inside" in found.kind) == RULES[name].kind.lr_inside
    assert set(re.findall(r"(\w+)=", found.signature)) <= set(RULES[name].signature.hyperparameters)


def test_summaries_tell_optimizers_apart() -> None:
    summaries = [card(name).summary for name in OPTIMIZER_NAMES]
    assert len(set(summaries)) == len(summaries)
    assert all(summary[0].isupper() for summary in summaries)


# -- figures ------------------------------------------------------------------------------------------


def kept(optimizer: Any, p: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the states of a parameter, the count of its steps aside."""
    for name, value in optimizer.state[p].items():
        if name != "step":
            yield name, value


@pytest.mark.parametrize("name", DENSE)
def test_states_and_passes_are_those_of_a_step(name: str) -> None:
    cost = card(name).cost
    assert cost is not None
    params = parameters(torch.float32)
    optimizer = OPTIMIZERS[name](params)  # type: ignore[call-arg]
    stepped(optimizer, params)
    of_shape = {n: v for n, v in kept(optimizer, params[0]) if v.shape == params[0].shape}
    assert set(cost.states) == set(of_shape)
    assert cost.bytes * 12 == sum(v.numel() * v.element_size() for v in of_shape.values())
    others = {n for n, _ in kept(optimizer, params[0])} - set(of_shape)
    assert {*cost.numbers, *cost.matrices} == others
    assert cost.problem is None
    passes = re.findall(r"(\d+) pass", optimizer.plan())
    assert set(passes) == {str(cost.passes)}  # a line for each form


@pytest.mark.parametrize("name", DENSE)
def test_tensors_are_coupled_where_the_card_says_so(name: str) -> None:
    cost = card(name).cost
    assert cost is not None
    ends = []
    for factor in (1.0, -2.0):
        params = parameters()
        optimizer = OPTIMIZERS[name](params)  # type: ignore[call-arg]
        ends.append(stepped(optimizer, params, factor))
    differs(ends[0][1], ends[1][1])
    alone = is_same(ends[0][0], ends[1][0], because="it does not look at the other tensor")
    assert alone != cost.couples


@pytest.mark.parametrize(
    ("name", "arguments", "states"),
    [
        ("SGD", "momentum=0.9", ("momentum_buffer",)),
        ("RMSprop", "momentum=0.9", ("square_avg", "momentum_buffer")),
        ("RMSprop", "centered=True", ("square_avg", "grad_avg")),
        ("Adam", "amsgrad=True", ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")),
    ],
)
def test_arguments_that_change_the_states_are_found(
    name: str, arguments: str, states: tuple[str, ...]
) -> None:
    assert card(name).variants[arguments].states == states


def test_arguments_that_do_not_are_left_out() -> None:
    assert set(card("Adam").variants) == {"amsgrad=True"}
    assert set(card("SGD").variants) == {"momentum=0.9"}
    assert card("Lion").variants == {}


def test_what_cannot_be_fused_is_said() -> None:
    @rule
    def strange(g):  # type: ignore[no-untyped-def]
        """Strange: update = lgamma(g)."""
        return torch.lgamma(g)

    found = card(strange)
    assert (found.summary, found.example) == ("Strange: update = lgamma(g)", "")
    assert found.cost is not None
    assert "lgamma" in (found.cost.problem or "")
    assert found.cost.as_dict()["fused"] is False


# -- how it is called ---------------------------------------------------------------------------------


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_each_decay_and_dialect_can_be_given(name: str) -> None:
    found, kind = card(name), OPTIMIZERS[name]
    usual: list[list[Tensor]] = []
    for decay in (None, *found.decays):
        given = {} if decay is None else {"decay": decay}
        params = parameters()
        optimizer = kind(params, lr=0.01, weight_decay=0.1, **given) if found.decays else None  # type: ignore[call-arg]
        usual.append(stepped(optimizer, params) if optimizer is not None else params)
    if found.decays:  # the first one is the default
        same(usual[0], usual[1], because=RERUN)
        others = usual[2:]  # the second may do the same, as inside and l2 do in schedule-free SGD
        equal = [is_same(usual[0], end, because="they may mean the same") for end in others]
        assert sum(equal) <= 1
    else:
        assert "weight_decay" not in inspect.signature(kind).parameters
    for dialect in found.dialects:
        kind(parameters(), dialect=dialect)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", DENSE)
def test_the_point_of_evaluation_is_there_where_the_card_says_so(name: str) -> None:
    params = parameters()
    arguments = {"t0": 0.0} if name == "ASGD" else {}  # by default it averages from step 10⁶ on
    optimizer = OPTIMIZERS[name](params, **arguments)  # type: ignore[call-arg]
    stepped(optimizer, params)
    if card(name).evaluates_elsewhere:
        before = params[0].detach().clone()
        with optimizer.evaluating():
            differs(params[0], before)
    else:
        with pytest.raises(EngineError), optimizer.evaluating():
            pass


@pytest.mark.parametrize("name", [*DENSE, *(f"rules.{name}" for name in rules.__all__)])
def test_examples_run(name: str) -> None:
    model = nn.Linear(3, 2)
    names: dict[str, Any] = {"model": model}
    exec(card(name).example, names)
    before = model.weight.detach().clone()
    model(torch.eye(3)).pow(2).sum().backward()
    for _ in range(2):
        names["optimizer"].step()
    differs(before, model.weight)
    short = name.removeprefix("rules.")
    assert short in card(name).example


# -- finding ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("adam", optim.Adam),
        (" ADAM ", optim.Adam),
        ("thalweg.optim.Adam", optim.Adam),
        ("rules.adam", rules.adam),
        ("Rules.Adam", rules.adam),
        ("ema", rules.ema),
        ("trust_ratio", rules.trust_ratio),
        ("DADAPTADAM", optim.DAdaptAdam),
    ],
)
def test_names_are_found_in_any_case(name: str, found: Any) -> None:
    assert find(name) is found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Lyon", "No optimizer and no rule is called 'Lyon'. Did you mean 'Lion'"),
        ("rules.emma", "Did you mean 'ema'"),
        ("optim.ema", "is called 'optim.ema'"),
        ("zzzzzz", "is called 'zzzzzz'.$"),
        ("Optimizer", "is called 'Optimizer'"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        card(name)


@pytest.mark.parametrize("thing", [torch.optim.Adam, optim.Optimizer, int, 3])
def test_what_has_no_card_is_refused(thing: Any) -> None:
    with pytest.raises(TaskError, match="has no card"):
        card(thing)


# -- shape --------------------------------------------------------------------------------------------


def test_a_chain_of_rules_shows_the_equation_of_each() -> None:
    found = card("LAMB")
    assert found.links == ("adam", "trust_ratio")
    assert [block.label for block in found.blocks if block.label] == ["adam", "trust_ratio"]
    assert card("rules.adam").equation in found.equation
    assert card("rules.trust_ratio").equation in found.equation
    assert card("NesterovRMSprop").links == (
        "rmsprop(eps_inside=True)",
        "accumulate_inside(nesterov=True)",
    )
    assert card("ScheduleFreeSGD").links == ("l2", "schedule_free")
    assert "update = g + λ·p" in card("ScheduleFreeSGD").equation


@pytest.mark.parametrize("name", ["Lion", "SGD", "Prodigy", "ema", "rules.adam"])
def test_as_plain_data_it_is_json(name: str) -> None:
    found = card(name)
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["name"] == found.name
    assert document["equation"] == found.equation
    assert document["cost"]["state_bytes_per_parameter"] == 4 * len(document["cost"]["states"])
    assert set(document["variants"]) == set(found.variants)


def test_arguments_without_effect_are_not_shown() -> None:
    shown = card("Adam").signature
    assert not re.search("foreach|fused", shown)
    assert "capturable=False" in shown
    assert "differentiable=False" in shown
    assert "capturable=False" in card("Lion").signature
    assert "amsgrad=False" in shown
    assert "decay=None" in shown


def test_rules_that_make_the_step_themselves_are_shown_so() -> None:
    inside = [name for name in rules.__all__ if RULES[name].kind.lr_inside]
    assert {"schedule_free", "accumulate_inside", "heavy_ball"} <= set(inside)
    for name in inside:
        example = card(f"rules.{name}").example
        assert "Optimizer(model, " in example
        assert not re.search("before=|after=|optim\\.", example)
    assert "chain(descend(), schedule_free())" in card("schedule_free").example


def test_results_that_leave_no_room_stand_below() -> None:
    def thing() -> None:
        """Thing.

        >>> "a" * 30 + "b"
        'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'
        >>> x = "a" * 60
        >>> [x]
        ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']
        """

    code = describe_callable(thing, "thing").example.splitlines()[1:]
    assert code[0] == f'"a" * 30 + "b"  # {"a" * 30 + "b"!r}'
    assert code[1:3] == ['x = "a" * 60', "[x]"]
    assert code[3].startswith("# ['aaa")


def test_other_things_are_described_by_their_docstring() -> None:
    class Thing:
        """A thing (Author 2003): it is = 1.

        Source: elsewhere, 2004.

        >>> Thing(3)
        3
        """

        def __init__(self, number: int = 3) -> None: ...

    found = describe_callable(Thing, "thing")
    assert isinstance(found, Card)
    assert (found.kind, found.year, found.cost) == ("thing", 2004, None)
    assert found.signature.startswith("Thing(number=3)")
    assert found.example.endswith("import Thing\nThing(3)  # 3")
    assert found.as_dict()["cost"] is None
