"""Optimizers by name, their hyperparameters, and the task's own budget."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import torch

from tests.exact import RERUN, same
from tests.train.helpers import blobs, quiet, same_run
from thalweg import chain, optim, rules
from thalweg.errors import TaskError
from thalweg.optim.named import named_optimizers
from thalweg.schedules import cosine, warmup
from thalweg.tasks import Data
from thalweg.train import Recipe, fit
from thalweg.train.optimizers.choice import SETTINGS, choose


@pytest.mark.parametrize(
    ("name", "factory", "hyperparameters"),
    [
        ("adam", optim.Adam, {}),
        ("AdamW", optim.AdamW, {"weight_decay": 0.1, "betas": (0.8, 0.99)}),
        ("momentum", optim.SGD, {"momentum": 0.9}),
        ("lion", optim.Lion, {"weight_decay": 0.1}),
    ],
)
def test_a_name_stands_for_its_class(name: str, factory: Any, hyperparameters: Any) -> None:
    given = {k: v for k, v in hyperparameters.items() if k != "momentum"}
    by_name = quiet(blobs(), name, epochs=2, **given)
    by_class = quiet(blobs(), factory, epochs=2, **hyperparameters)
    same_run(by_name, by_class, because=RERUN)
    assert type(by_name.optimizer) is factory


def test_hyperparameters_go_to_what_the_optimizer_is() -> None:
    for given in (torch.optim.SGD, rules.momentum, chain(rules.momentum)):
        run = quiet(blobs(), given, epochs=1, momentum=0.5)
        assert run.optimizer.param_groups[0]["momentum"] == 0.5


def test_every_named_optimizer_has_the_hyperparameters_of_its_name() -> None:
    for name in named_optimizers():
        assert choose(name, {}).factory is named_optimizers()[name].factory


def test_a_schedule_in_the_name_spans_the_run() -> None:
    run = quiet(blobs(), "adam+warmup-cosine", lr=0.1, epochs=4)
    assert run.steps == 20
    by_hand = quiet(blobs(), "adam", lr=warmup(cosine(0.1, steps=19), 1), epochs=4)
    same_run(run, by_hand, because=RERUN)


def test_a_schedule_counts_updates_where_batches_are_gathered() -> None:
    recipe = Recipe(blobs(), "adam+linear", 0.1, epochs=4, batch_size=8, accumulate=2)
    run = recipe.fit(progress=False)
    schedule: Any = recipe.rate
    assert run.steps == 12  # of five batches an epoch: two, two and one
    same(schedule(12), 0.0, because="it is the end of the schedule")


@pytest.mark.parametrize(
    ("optimizer", "settings", "words"),
    [
        ("adma", {}, "adam"),
        ("adam+cosin", {}, "cosine"),
        ("adam+cosine", {"lr": None}, "needs a number as lr"),
        ("adam+cosine", {"lr": cosine(0.1, steps=3)}, "needs a number as lr"),
        ("adam", {"weight_deacy": 0.1}, "weight_decay"),
        ("adam", {"epoch": 3}, "Did you mean 'epochs'"),
        (torch.optim.SGD, {"momentun": 0.9}, "momentum"),
        (rules.momentum, {"momentun": 0.9}, "momentum"),
        (lambda params, lr: torch.optim.SGD(params, lr), {"momentum": 0.9}, "no hyperparameter"),
        ("lbfgs+cosine", {"lr": 0.5}, "not a schedule. A schedule instead"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(
    optimizer: Any, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(TaskError, match=words):
        quiet(blobs(), optimizer, **settings)


def test_the_budget_is_the_tasks_own() -> None:
    task = dataclasses.replace(blobs(), epochs=3, batch_size=7)
    run = fit(task, "adam", progress=False)
    assert (run.epochs, run.steps) == (3, 15)
    assert fit(task, "lbfgs", lr=1.0, progress=False).recipe.batch_size is None
    assert fit(task, "adam", batch_size=None, epochs=1, progress=False).steps == 1


@pytest.mark.parametrize("name", ["rprop", "DeltaBarDelta", "rprop+cosine"])
def test_rules_for_full_batches_take_all_rows_where_no_batch_is_asked_for(name: str) -> None:
    """A sign that turns by the noise of a batch would tell them that they had stepped too far."""
    task = dataclasses.replace(blobs(), batch_size=7)
    assert Recipe(task, name, lr=0.01).batch_size is None
    assert Recipe(task, name, lr=0.01, batch_size=4).batch_size == 4
    assert Recipe(task, "adam").batch_size == 7


def test_a_schedule_in_the_name_needs_the_number_of_rows() -> None:
    rows = [(torch.randn(4, 2).double(), torch.tensor([0, 1, 2, 0])) for _ in range(3)]

    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(rows)

    task = blobs(data=Data(torch.utils.data.DataLoader(Stream(), batch_size=None)))
    with pytest.raises(TaskError, match="how many steps the run has"):
        quiet(task, "adam+cosine")


def test_the_settings_of_fit_are_the_known_ones() -> None:
    given = [
        name for name, p in inspect.signature(fit).parameters.items() if p.kind is p.KEYWORD_ONLY
    ]
    assert sorted(given) == sorted(SETTINGS)
    both = {
        (own, name)
        for own, each in named_optimizers().items()
        for name in inspect.signature(each.factory).parameters
        if name in SETTINGS and name != "lr"
    }
    assert both == {("sgld", "seed")}  # that of the run; for the noise, functools.partial
