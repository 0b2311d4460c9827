"""Forks: they leave the run as it was, and tell remedies that help from those that do not."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.doctor.helpers import batches, generators, net
from tests.exact import same
from thalweg import optim
from thalweg.doctor.confirm import confirmed, helps
from thalweg.doctor.forks.fork import Forks, OutOfBudgetError
from thalweg.doctor.forks.leaving import elsewhere, leaving, with_momentum
from thalweg.doctor.forks.origin import Origin
from thalweg.doctor.forks.remedies import (
    advice,
    averaged,
    clipped,
    equal_rates,
    half_dropout,
    judged_as_classes,
    larger_batches,
    left_out,
    perturbed,
    rectified,
    scaled_decay,
    scaled_rate,
    shuffled,
    standardized,
    widened,
)
from thalweg.doctor.forks.thawing import thawed
from thalweg.doctor.undisturbed import modes_of
from thalweg.doctor.verdict import Effect, Remedy, Verdict
from thalweg.init import he

REMEDIES = {
    remedy.name: remedy
    for remedy in (
        scaled_rate(0.1, from_start=False),
        scaled_rate(10.0, from_start=True),
        clipped(1.0),
        scaled_decay(0.1),
        rectified(),
        shuffled(),
        larger_batches(2),
        standardized(),
        perturbed(),
        averaged(),
        widened(),
        equal_rates(),
        left_out((3,)),
        judged_as_classes(),
        half_dropout(),
        with_momentum(),
        elsewhere(1.0, math.inf),
        thawed(3, under=math.inf, least=0.9),
        leaving({"0.weight": torch.ones(24, 8) / 192**0.5}, math.inf),
    )
}


def forked(
    lr: float = 0.1, budget: float = 1e4, kind: type = torch.optim.SGD, dropout: float = 0.0
) -> Forks:
    model = net(nn.Tanh).insert(1, nn.Dropout(dropout))
    optimizer = kind(model.parameters(), lr=lr)
    start = Origin(model, optimizer, 0)
    kept = list(enumerate(batches(16, 8)))
    return Forks(
        model, optimizer, functional.cross_entropy, start, start, kept,
        budget=budget, modes=modes_of(model), end=start,
    )  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.parametrize("kind", [torch.optim.AdamW, optim.Adam])
def test_every_remedy_leaves_the_run_as_it_was(
    name: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.doctor.forks.fork.ALPHA", 0.6)  # two forks will do
    monkeypatch.setattr("thalweg.doctor.forks.fork.STEPS", 3)
    forks = forked(0.01, kind=kind, dropout=0.1)
    forks.model(torch.zeros(2, 8)).sum().backward()
    forks.optimizer.step()
    model, optimizer = forks.model, forks.optimizer
    kept = {
        "weights": {n: p.detach().clone() for n, p in model.state_dict().items()},
        "state": copy.deepcopy(optimizer.state_dict()["state"]),
        "groups": [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "generators": generators(),
    }  # fmt: skip
    modules, parameters = list(model.modules()), list(model.parameters())
    effect = forks.effect(REMEDIES[name])
    assert effect is not None
    assert effect.forks == 2
    same(
        {
            "weights": dict(model.state_dict()),
            "state": optimizer.state_dict()["state"],
            "groups": [
                {k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups
            ],
            "gradients": [p.grad for p in model.parameters()],
            "generators": generators(),
        },
        kept,
        because="a copy",
    )
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))


def test_a_remedy_that_helps_is_told_from_one_that_does_not() -> None:
    forks = forked(lr=1e-3)
    faster, slower = scaled_rate(100.0, from_start=True), scaled_rate(0.1, from_start=True)
    better, worse = forks.effect(faster), forks.effect(slower)
    assert better is not None
    assert worse is not None
    assert better.low <= better.ratio <= better.high < 0.9
    assert helps(faster, better)
    assert not helps(slower, worse)
    assert better.before == worse.before > better.with_remedy
    assert forks.spent > 0


def test_both_arms_clip_as_the_run_does() -> None:
    forks = forked()
    forks.clip = 1e-9
    effect = forks.effect(scaled_rate(10.0, from_start=True))
    assert effect is not None
    assert effect.without == pytest.approx(effect.before, rel=0.05), "two forks are measured before"
    assert effect.with_remedy == pytest.approx(effect.without, rel=1e-4)


def test_a_remedy_must_come_under_the_loss_that_it_is_given() -> None:
    better = scaled_rate(100.0, from_start=True)
    effect = forked(lr=1e-3).effect(better)
    assert effect is not None
    assert helps(better, effect)
    assert effect.worst >= effect.with_remedy
    for under, is_help in ((effect.worst * 1.01, True), (effect.with_remedy * 0.5, False)):
        assert helps(dataclasses.replace(better, under=under), effect) == is_help


@pytest.mark.parametrize(("chance", "is_help"), [(0.9, True), (0.1, False)])
def test_less_dropout_helps_where_there_is_too_much(chance: float, is_help: bool) -> None:
    """Without it the loss of training would be lower in any case: both arms are measured without."""
    effect = forked(lr=0.3, dropout=chance).effect(half_dropout())
    assert effect is not None
    assert helps(half_dropout(), effect) == is_help, str(effect)


def test_intervals_hold_for_all_remedies_that_are_tried_for_one_symptom() -> None:
    forks = forked(lr=1e-3)
    remedy = scaled_rate(100.0, from_start=True)
    alone, one_of_three = forks.effect(remedy), forks.effect(remedy, 3)
    assert alone is not None
    assert one_of_three is not None
    assert (alone.forks, one_of_three.forks) == (6, 7), "2^(1 - n) is at most .05 and .05 / 3"
    assert one_of_three.low <= alone.low <= alone.high <= one_of_three.high


def test_a_loss_that_is_not_finite_counts_as_the_worst() -> None:
    forks = forked(lr=1e12)
    remedy = scaled_rate(1e-13, from_start=True)
    effect = forks.effect(remedy)
    assert effect is not None
    assert effect.high < 1e-2


def test_what_cannot_be_tried_stays_suspected() -> None:
    forks = forked(budget=1.0)
    with pytest.raises(OutOfBudgetError):
        forks.effect(scaled_rate(0.1, from_start=True))
    assert forks.effect(advice("look", "look there")) is None
    told: dict[str, Exception] = {}
    suspected = [Verdict("a", remedy=scaled_rate(0.1, from_start=True)), Verdict("b")]
    assert confirmed(suspected, forks, (), told.__setitem__) == suspected
    assert "budget is spent" in str(told["forks"])
    assert confirmed(suspected, None, (), told.__setitem__) == suspected


def test_a_remedy_that_fails_is_told_and_others_are_tried() -> None:
    def fail(_: object) -> None:
        raise KeyError("no such layer")

    told: dict[str, Exception] = {}
    good = scaled_rate(100.0, from_start=True)
    verdict = Verdict("a", remedy=Remedy("bad", "bad", change=fail), others=(good,))
    (judged,) = confirmed([verdict], forked(lr=1e-3), (), told.__setitem__)
    assert (judged.status, judged.remedy) == ("confirmed", good)
    assert list(told) == ["the remedy “bad”"]


def test_what_a_remedy_does_not_better_becomes_information() -> None:
    verdict = Verdict("a", remedy=clipped(1e6))
    (judged,) = confirmed([verdict], forked(), (), lambda *_: None)
    assert (judged.kind, judged.status) == ("information", "refuted")
    assert judged.effect is not None
    assert not judged.is_fault


def judged(*tried: tuple[Remedy, Effect]) -> Verdict:
    """Return the verdict by effects that forks are said to have had."""
    effects = {remedy.words: effect for remedy, effect in tried}
    forks = forked()
    forks.effect = lambda remedy, of=1: effects[remedy.words]  # type: ignore[method-assign]
    remedies = [remedy for remedy, _ in tried]
    verdict = Verdict("a", remedy=remedies[0], others=tuple(remedies[1:]))
    (found,) = confirmed([verdict], forks, (), lambda *_: None)
    return found


def test_a_remedy_that_helps_is_not_hidden_by_one_that_may() -> None:
    uncertain = Effect("loss", 1.0, 0.7, 0.4, 1.2, 40, 6, before=1.0)
    certain = Effect("loss", 1.0, 0.8, 0.7, 0.9, 160, 6, before=1.0)
    may, does = clipped(1.0), clipped(2.0)
    for tried in ([(may, uncertain), (does, certain)], [(does, certain), (may, uncertain)]):
        found = judged(*tried)
        assert (found.status, found.remedy) == ("confirmed", does)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.9, 1.01, "cannot be told"), (1.0, 1.1, "refuted"), (0.9, 0.99, "confirmed")],
)
def test_where_any_effect_is_enough_forks_must_exclude_one(
    low: float, high: float, status: str
) -> None:
    effect = Effect("loss", 1.0, (low * high) ** 0.5, low, high, 160, 6, before=1.0)
    assert judged((widened(), effect)).status == status
    if status == "cannot be told":
        assert judged((clipped(1.0), effect)).status == "refuted"


@pytest.mark.parametrize(("guessed", "status"), [(0.0, "confirmed"), (2.3, "refuted")])
def test_what_another_loss_has_learned_is_judged_by_its_own_guessing(
    guessed: float, status: str
) -> None:
    effect = Effect("loss", 2e-3, 1e-3, 0.4, 0.6, 40, 10, before=3.0)
    assert judged((judged_as_classes(guessed), effect)).status == status


def test_what_is_learned_already_needs_no_remedy() -> None:
    verdict = Verdict("a", remedy=scaled_rate(100.0, from_start=True))
    for guessed, status in ((None, "confirmed"), (1.4, "confirmed"), (1e3, "refuted")):
        (judged,) = confirmed([verdict], forked(lr=1e-3), (), lambda *_: None, guessed)
        assert judged.status == status, "a loss of 1.4 is nothing beside one of 1000"


def test_a_consequence_of_a_confirmed_fault_becomes_a_warning() -> None:
    from thalweg.doctor.symptoms.numbers import NonFiniteNumbers

    cause = Verdict("lr_too_high", status="confirmed")
    follows = Verdict("non_finite", status="confirmed")
    _, told = confirmed([cause, follows], None, (NonFiniteNumbers(),), lambda *_: None)
    assert told.kind == "warning"
    assert told.words.endswith("It may follow from lr_too_high.")


def test_a_remedy_for_slow_runs_helps_where_the_loss_falls_much_faster() -> None:
    little = Effect("loss", 2.30, 2.20, 0.95, 0.97, 40, 6, before=2.302)
    quick = scaled_rate(10.0, from_start=False)
    assert helps(quick, little)
    assert not helps(dataclasses.replace(quick, for_speed=False), little)
    assert not helps(quick, dataclasses.replace(little, high=1.01))


def test_a_schedule_does_not_set_a_rate_again_that_a_fork_has_set() -> None:
    from thalweg.schedules import cosine

    model = net()
    optimizer = optim.SGD(model.parameters(), lr=cosine(0.1, steps=50))
    start = Origin(model, optimizer, 0)
    kept = list(enumerate(batches(16, 8)))
    forks = Forks(
        model,
        optimizer,
        functional.cross_entropy,
        start,
        start,
        kept,
        lr=0.05,
        modes=modes_of(model),
    )
    assert forks.effect(scaled_rate(0.1, from_start=True)) is not None
    optimizer.step()


def test_a_start_is_put_back_with_the_optimizers_state() -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    start = Origin(model, optimizer, 0)
    before = {n: p.clone() for n, p in model.state_dict().items()}
    for x, y in batches(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    start.enter(model, optimizer, lr=0.3)
    same(dict(model.state_dict()), before, because="a copy")
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.3


def test_he_is_a_strategy_that_a_remedy_can_name() -> None:
    from thalweg.doctor.forks.remedies import started

    assert started(he(), "he", "start by He").settings == {"init": "he"}
