"""Keys of trials: another key for whatever changes the trial, the same one for whatever does not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import same
from tests.race.tasks import line
from thalweg import chain, meta, optim, rule, rules, schedules
from thalweg.hashing import bytes_of
from thalweg.objective import L2, Cost
from thalweg.race import Entrant, Point, RacePlan, Trial
from thalweg.race.entrants.space import uniform
from thalweg.race.trials.keys import Keys
from thalweg.tasks import Data, Target, Task

ENTRANT = Entrant("sgd", optim.SGD, {"momentum": 0.9}, (0.1,))
CIRCUMSTANCES = {"model": "Linear", "metric": "mse", "versions": {}, "machine": "here"}


def plan(entrant: Entrant, **changes: Any) -> RacePlan:
    parts: dict[str, Any] = {"trials": 1, "tuning_seeds": (0,), "final_seeds": (1,), "epochs": 3}
    return RacePlan((entrant,), batch_size=16, **(parts | changes))


def key(
    entrant: Entrant = ENTRANT,
    task: Task | None = None,
    point: Point = Point(0.1),  # noqa: B008 - a value
    circumstances: dict[str, Any] | None = None,
    trial: dict[str, Any] | None = None,
    **of_plan: Any,
) -> str:
    keys = Keys.of(task or line(), plan(entrant, **of_plan), circumstances or CIRCUMSTANCES)
    whole = {"seed": 0, "epochs": 3, "stage": "tuning"} | (trial or {})
    return keys.key(Trial(entrant, point, **whole))


def test_the_same_trial_has_the_same_key() -> None:
    assert key() == key()


def changed_data() -> Any:
    data = line().data
    inputs, targets = data.validation.inputs, data.validation.targets  # type: ignore[union-attr]
    return type(data)(data.train, (inputs, targets + 1e-3))


class Doubling(nn.Linear):
    """A linear layer with another forward pass, but the very same parameters and repr."""

    def forward(self, input: Any) -> Any:
        return 2 * super().forward(input)

    def extra_repr(self) -> str:
        return nn.Linear(1, 1).extra_repr()


OTHERS: dict[str, dict[str, Any]] = {
    "rate": {"point": Point(0.2)},
    "hyperparameter searched": {"point": Point(0.1, (("dampening", 0.5),))},
    "seed": {"trial": {"seed": 1}},
    "epochs": {"trial": {"epochs": 4}},
    "batch size": {"batch_size_": 8},
    "name": {"entrant": replace(ENTRANT, name="other")},
    "fixed hyperparameter": {"entrant": replace(ENTRANT, hyperparameters={"momentum": 0.8})},
    "schedule": {"entrant": replace(ENTRANT, schedule="cosine")},
    "initialization": {"entrant": replace(ENTRANT, initialization="zeros")},
    "optimizer": {"entrant": replace(ENTRANT, factory=torch.optim.RMSprop)},
    "task's name": {"task": line(name="other")},
    "validation data": {"task": line(data=changed_data())},
    "loss": {"task": line(cost=Cost("l1_loss", metrics="mse"))},
    "penalty": {"task": line(cost=Cost("mse", metrics="mse", penalty=L2(0.1)))},
    "model's forward pass": {"task": line(model=lambda: Doubling(1, 1))},
    "model's precision": {"task": line(model=lambda: nn.Linear(1, 1).double())},
    "model's initial weights": {"task": line(model=lambda: halved(nn.Linear(1, 1)))},
    "metric": {"circumstances": CIRCUMSTANCES | {"metric": "loss"}},
    "versions": {"circumstances": CIRCUMSTANCES | {"versions": {"torch": "99"}}},
    "machine": {"circumstances": CIRCUMSTANCES | {"machine": "there"}},
}


def halved(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)
    return model


@pytest.mark.parametrize("what", OTHERS)
def test_what_changes_a_trial_changes_its_key(what: str) -> None:
    change = dict(OTHERS[what])
    if "batch_size_" in change:
        keys = Keys.of(line(), replace(plan(ENTRANT), batch_size=8), CIRCUMSTANCES)
        assert keys.key(Trial(ENTRANT, Point(0.1), 0, 3)) != key()
    else:
        assert key(**change) != key()


def test_threads_change_the_key() -> None:
    keys = Keys.of(line(), plan(ENTRANT), CIRCUMSTANCES)
    trial = Trial(ENTRANT, Point(0.1), 0, 3)
    assert replace(keys, threads=2).key(trial) != keys.key(trial) == key()


@pytest.mark.parametrize(
    "change",
    [
        {"task": line(target=None)},
        {"task": line(target=Target("mse", 0.5))},
        {"trials": 9},
        {"tuning_seeds": (0, 5, 6)},
        {"final_seeds": (7, 8)},
        {"epochs": 9},  # those of the trial count: halving has several
        {"search": "halving"},
        {"trial": {"stage": "final"}},
    ],
)
def test_what_does_not_change_a_trial_does_not_change_its_key(change: dict[str, Any]) -> None:
    assert key(**change) == key()


def test_the_rates_of_an_entrant_and_the_other_entrants_do_not_matter() -> None:
    wider = replace(ENTRANT, lrs=(0.01, 0.1))
    other = Entrant("adam", optim.Adam, lrs=(0.1,))
    both = replace(plan(wider), entrants=(other, wider))
    keys = Keys.of(line(), both, CIRCUMSTANCES)
    assert keys.key(Trial(wider, Point(0.1), 0, 3)) == key()


# -- functions of the user's, which an edit changes but for their names ----------------------------


def edited(
    make: Callable[[float], Any], first: float = 1.0, second: float = 2.0
) -> tuple[Any, Any]:
    """What the same text gives before and after a number in it was edited."""
    before, after = make(first), make(second)
    for function in (before, after):
        if hasattr(function, "__qualname__"):
            function.__name__ = function.__qualname__ = "mine"
    return before, after


def step_size(scale: float) -> Any:
    return lambda params, lr: torch.optim.SGD(params, scale * lr)


def step_size_searched(scale: float) -> Any:
    """Needs a hyperparameter that has no default."""

    def mine(params: Any, lr: float, momentum: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(params, scale * lr, momentum=momentum)

    return mine


def sharpness(rho: float) -> Any:
    return lambda params, lr: meta.SAM(torch.optim.SGD(params, lr), rho=rho)


def history(size: float) -> Any:
    return lambda params, lr: torch.optim.LBFGS(params, lr * size, max_iter=2)


def the_rule(scale: float) -> Any:
    @rule
    def mine(g: Any) -> Any:
        """Mine."""
        return scale * g

    return mine


def the_chain(scale: float) -> Any:
    return chain(rules.clip_by_norm(1e6), the_rule(scale))


@pytest.mark.parametrize(
    "make", [step_size, step_size_searched, sharpness, history, the_rule, the_chain]
)
def test_an_edited_optimizer_is_another_one(make: Any) -> None:
    before, after = edited(make)
    search = {"momentum": uniform(0.1, 0.9)} if make is step_size_searched else {}
    entrants = [Entrant("mine", f, lrs=(0.1,), search=search) for f in (before, before, after)]
    first, again, other = (key(entrant) for entrant in entrants)
    assert first == again != other


def test_an_edited_schedule_initialization_and_loss_are_others() -> None:
    def schedule(end: float) -> Any:
        return lambda lr, steps: schedules.linear(lr, lr / end, steps)

    def draw(scale: float) -> Any:
        return lambda model: [p.fill_(scale) for p in model.parameters()]

    def loss(scale: float) -> Any:
        return lambda outputs, targets: scale * nn.functional.mse_loss(outputs, targets)

    def metric(scale: float) -> Any:
        return lambda outputs, targets: scale * (outputs - targets).abs().mean().item()

    for before, after in (
        [key(replace(ENTRANT, schedule=f)) for f in edited(schedule)],
        [key(replace(ENTRANT, initialization=f)) for f in edited(draw)],
        [key(task=line(cost=f, target=None)) for f in edited(loss)],
        [key(task=line(cost=Cost("mse", metrics=f), target=None)) for f in edited(metric)],
    ):
        assert before != after


def test_an_entrant_that_raises_has_a_key_of_its_error() -> None:
    def raising(message: str) -> Entrant:
        def mine(params: Any, lr: float) -> Any:
            raise OSError(message)

        return Entrant("mine", mine, lrs=(0.1,))

    assert key(raising("a")) == key(raising("a")) != key(raising("b"))


def test_objects_are_told_apart_by_what_they_say_and_not_by_where_they_lie() -> None:
    class Thing:
        pass

    def mine(params: Any, lr: float, thing: Any) -> Any:
        return torch.optim.SGD(params, lr)

    one, two = (Entrant("mine", mine, {"thing": Thing()}, (0.1,)) for _ in range(2))
    assert key(one) == key(two)
    partial = functools.partial(torch.optim.SGD, momentum=0.9)
    assert key(Entrant("mine", partial, lrs=(0.1,))) == key(
        Entrant("mine", functools.partial(torch.optim.SGD, momentum=0.9), lrs=(0.1,))
    )


def test_the_random_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    key(replace(ENTRANT, initialization="normal"))
    same(torch.random.get_rng_state(), before, because="no random number was drawn")


def test_one_row_cut_from_a_matrix_is_read_as_its_copy() -> None:
    matrix = torch.arange(12.0).reshape(1, 12)
    column = matrix[:, ::4][:, 0]
    assert column.stride() != (1,)
    assert bytes_of(column) == bytes_of(column.clone(memory_format=torch.contiguous_format))
    assert bytes_of(matrix.T) == matrix.numpy().tobytes()


class Pairs(torch.utils.data.Dataset[Any]):
    """The line as a data set; some of its labels are changed, or noise is added to each drawing."""

    def __init__(self, changed: int = 0, noise: float = 0.0) -> None:
        data = line().data
        self.inputs, targets = data.train.inputs, data.train.targets  # type: ignore[attr-defined]
        self.targets = targets.clone()
        self.targets[len(targets) - changed :] += 1
        self.noise = noise

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, k: int) -> Any:
        return self.inputs[k] + self.noise * torch.randn(1), self.targets[k]


def of_pairs(**parts: Any) -> str:
    data = Data.dataset(Pairs(**parts), validation=Pairs())
    return key(task=line(data=data))


def test_an_edited_data_set_of_pytorch_is_another() -> None:
    assert of_pairs() == of_pairs()
    assert of_pairs() != of_pairs(changed=8)


def test_rows_that_are_drawn_anew_do_not_change_the_key() -> None:
    assert of_pairs(noise=0.1) == of_pairs(noise=0.1)
