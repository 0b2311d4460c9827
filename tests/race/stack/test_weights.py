"""Sets whose rows have weights train in a stack as they do alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from tests.race.stack.subjects import (
    SETTING,
    assert_same,
    classes,
    entrant,
    stacked,
    task,
    trials,
)
from thalweg import optim
from thalweg.objective import L2, Cost
from thalweg.objective.weighted import Weighted
from thalweg.race import race
from thalweg.race.stack.choice import worth_it
from thalweg.race.stack.data import Batches
from thalweg.race.stack.errors import StackError
from thalweg.race.stack.reasons import why_not
from thalweg.race.trials.plan import Setting
from thalweg.tasks import Data, Task
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.source import ArraySource
from thalweg.tasks.sources.weighted import WeightedSource

UNIT = trials([entrant(optim.SGD), entrant(optim.Adam)], [0.1], (0, 1), epochs=2)
WHOLE = Setting(batch_size=None, metric="loss", direction="min")
LOSS = Setting(batch_size=8, metric="loss", direction="min")


def weighted(y: Any = None, zeros: int = 3) -> Data:
    """The three classes, with a weight for each row: some are 0, the first rows among them."""
    parts: dict[str, Any] = {}
    left_out = {"train": zeros, "validation": 3}
    for name in ("train", "validation"):
        source = classes().split(name)
        assert isinstance(source, ArraySource)
        weights = 0.5 + torch.arange(source.rows) % 4
        weights[: left_out[name]] = 0.0
        targets = source.targets if y is None else y(source)
        parts[name] = (source.inputs, targets, weights)
    return Data(parts["train"], parts["validation"])


def ignoring(source: ArraySource) -> Tensor:
    return source.targets.where(torch.arange(source.rows) % 5 > 0, -100)


def real(source: ArraySource) -> Tensor:
    return source.inputs[:, :3].float()  # the loss wants them in float64


COSTS: dict[str, tuple[Cost, Any]] = {
    "classes": (Cost("cross_entropy", metrics=["accuracy", "f1_macro"]), None),
    "classes, some ignored": (Cost("cross_entropy", metrics="accuracy"), ignoring),
    "weights of classes": (Cost("cross_entropy", class_weights=[1.0, 3.0, 0.5]), ignoring),
    "a sum": (Cost(nn.CrossEntropyLoss(reduction="sum")), None),
    "real numbers and a penalty": (Cost("mse", metrics="mae", penalty=L2(1e-2)), real),
    "probabilities": (Cost("bce_with_logits"), lambda source: real(source).sigmoid()),
}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("setting", [LOSS, WHOLE], ids=["batches", "all rows"])
def test_they_train_as_alone(name: str, setting: Setting) -> None:
    cost, y = COSTS[name]
    assert_same(task(cost=cost, data=weighted(y)), UNIT, setting)


@pytest.mark.parametrize("shuffle", ["epoch", "once", "never"])
@pytest.mark.parametrize("size", [8, None])
def test_the_batches_are_those_of_a_run(shuffle: Any, size: int | None) -> None:
    source, seeds = weighted().train, (0, 1, 0)
    assert isinstance(source, WeightedSource)
    together = Batches(source, seeds, size, shuffle).epoch(2)
    alone = [source.batches(size, Order(seed, shuffle), 2) for seed in seeds]
    for batch, *others in zip(together, *alone, strict=True):
        assert batch.rows == len(others[0][0])
        for row, (inputs, targets) in enumerate(others):
            mine, its = batch.of(row)
            assert isinstance(its, Weighted)
            for one, other in [
                (mine, inputs),
                (its.targets, targets.targets),
                (its.weights, targets.weights),
            ]:
                same(one, other, because="rows of the set, copied")


def test_weights_of_one_set_alone() -> None:
    plain, some = classes(), weighted()
    assert_same(task(data=Data(some.train, plain.validation)), UNIT)
    assert_same(task(data=Data(plain.train, some.validation)), UNIT)


def test_a_batch_in_which_nothing_counts_is_left_to_single_runs() -> None:
    with pytest.raises(StackError, match="nothing that counts"):
        stacked(task(data=weighted(zeros=36)), UNIT, SETTING)


def test_a_race_stacks_them() -> None:
    given = task(data=weighted(), name="weighted", batch_size=8)
    assert why_not(given, [trial for _, trial in UNIT], SETTING) is None
    assert "Error" not in worth_it(given, [trial for _, trial in UNIT], SETTING).why
    settings: Any = {"lrs": [0.05], "seeds": 2, "epochs": 1, "out": None}
    together = race(given, ["sgd", "adam"], stack=4, **settings)
    alone = race(given, ["sgd", "adam"], stack=False, **settings)
    for mine, other in zip(together.records, alone.records, strict=True):
        assert mine.status == other.status == "finished"
        assert (mine.stacked > 1, other.stacked) == (True, 1)
        assert mine.final == pytest.approx(other.final, rel=1e-9)


def test_a_loss_without_rows_is_refused_in_the_same_words() -> None:
    def own(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.sum(1) - targets).square().mean()

    given = Task(weighted(), own, lambda: nn.Linear(4, 3).double())
    assert "gives no loss of each row" in str(why_not(given, [UNIT[0][1]], LOSS))
