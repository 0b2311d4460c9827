"""What cannot be stacked is refused with a reason, and nothing is disturbed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import same
from tests.race.stack.subjects import SETTING, classes, entrant, task, trials
from thalweg import optim
from thalweg.meta import SAM, Accumulate
from thalweg.objective import Cost
from thalweg.race.entrants.known import Entrant, known_entrants
from thalweg.race.stack import reasons, run_stack, why_not
from thalweg.race.trials.plan import Setting, Trial
from thalweg.rules import ema
from thalweg.tasks import Data, Task, load_task, mlp
from thalweg.train.optimizers.known import needs_model

ADAM = entrant(optim.Adam)


def _trials(*entrants: Entrant) -> list[Trial]:
    return [trial for _, trial in trials(entrants or (ADAM,), [0.1], [0, 1])]


def _why(subject: Task, *entrants: Entrant) -> str:
    reason = why_not(subject, _trials(*entrants), SETTING)
    assert reason is not None
    assert reason.endswith(".")
    assert "\n" not in reason
    return reason


class Around(nn.Module):
    """A layer, and around it what is to be refused."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)


class Branches(Around):
    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y if y.sum() > 0 else -y


class Counts(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.layer.weight.mean().item()


class Recurrent(Around):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.lstm(x[:, None])[0][:, 0])


class InPlace(Around):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 3, dtype=x.dtype).add_(self.layer(x))


class Own(Around):
    """Noise in training, from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return y + torch.rand(3, generator=self.own) if self.training else y


class Shuffles(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, torch.randperm(3)]


class Secret(Around):
    """Random numbers that are neither parameters nor buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = torch.randn(3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.secret


def cumulative() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (Branches, "branches on the data"),
        (Counts, "number of Python"),
        (Recurrent, "aten::lstm"),
        (InPlace, "in place"),
        (Own, "other noise"),
        (Shuffles, "randperm"),
        (Secret, "other outputs"),
        (cumulative, "number of Python"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_models(model: Any, word: str) -> None:
    assert word in _why(task(model))


def test_an_operation_without_a_stacked_form_of_its_own() -> None:
    reason = _why(task(cost=Cost("multi_margin_loss", metrics="accuracy")))
    assert "multi_margin_loss" in reason


def test_a_loss_that_branches() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        value = functional.cross_entropy(outputs, targets)
        return value if value > 1 else 2 * value

    assert "branches" in _why(task(cost=Cost(loss, metrics="accuracy")))


def test_data_that_are_no_arrays() -> None:
    data = classes()
    pairs = torch.utils.data.TensorDataset(data.train.inputs, data.train.targets)
    subject = task(data=Data.dataset(torch.utils.data.Subset(pairs, range(44))))
    assert "a stack draws its batches from arrays in memory" in _why(subject)


def test_a_model_elsewhere() -> None:
    class Away(Around):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    subject = task(lambda: Away().to("meta"))
    assert "device meta" in _why(subject)


def _sam(params: Any, lr: float) -> Any:
    return SAM(torch.optim.SGD(params, lr=lr))


def _averaged(params: Any, lr: float) -> Any:
    return optim.SGD(params, lr, after=ema(0.9))


class Draws(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        torch.rand(1)
        return super().step(closure)


class Forgets(torch.optim.SGD):
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Keep them."""


@pytest.mark.parametrize(
    ("factory", "word"),
    [
        (torch.optim.LBFGS, "several times in a step"),
        (_sam, "several times in a step"),
        (Draws, "global generator"),
        (Forgets, "zero_grad"),
    ],
)
def test_entrants(factory: Any, word: str) -> None:
    bad = entrant(factory, "bad")
    assert word in _why(task(), bad)
    found = reasons(task(), _trials(ADAM, bad, entrant(optim.SGD)), SETTING)
    assert found.task is None
    assert list(found.entrants) == ["bad"]


def test_an_average_and_batch_normalisation() -> None:
    normed = task(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)))
    assert "batch normalization" in _why(normed, entrant(_averaged))
    assert why_not(normed, _trials(ADAM), SETTING) is None
    assert why_not(task(), _trials(entrant(_averaged)), SETTING) is None


def test_an_entrant_that_fails_is_no_reason() -> None:
    def refuses(params: Any, lr: float) -> Any:
        raise ValueError("not today")

    assert why_not(task(), _trials(entrant(refuses), ADAM), SETTING) is None


def test_what_can_be_stacked() -> None:
    every = [each for each in known_entrants().values() if each.batch_size == "race"]
    plain = [each for each in every if not needs_model(each.factory)]
    assert why_not(task(), _trials(*plain), SETTING) is None
    assert "KFAC reads the layers" in str(why_not(task(), _trials(*every), SETTING))
    assert why_not(task(lambda: mlp([4, 6, 3], dropout=0.5)), _trials(), SETTING) is None
    accumulating = entrant(lambda p, lr: Accumulate(optim.SGD(p, lr), 2), "accumulate")
    assert why_not(task(), _trials(accumulating), SETTING) is None


def test_tasks_of_the_house() -> None:
    for name in ("digits", "digits_vae", "deep_linear"):
        assert why_not(load_task(name), _trials(), SETTING) is None


@pytest.mark.parametrize("model", [None, Branches, lambda: mlp([4, 6, 3], dropout=0.5)])
def test_random_numbers_are_left_alone(model: Any) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    why_not(task(model), _trials(), SETTING)
    same(before, torch.get_rng_state(), because="no random number was drawn")


def test_what_works_in_place_does_not_reach_the_data() -> None:
    class Halving(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.mul_(0.5))

    for model in (
        lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 1)),
        lambda: Halving(4, 1),
    ):
        x = torch.full((24, 4), -1.0)
        data = Data.arrays(x, torch.ones(24, 1), validation=(x.clone(), torch.ones(24, 1)))
        alike = Task(data, "mse", model)
        for size in (None, 8):
            setting = Setting(batch_size=size, metric="loss", direction="min")
            unit = trials([Entrant("sgd", torch.optim.SGD)], [0.01, 0.02], [0, 1], epochs=1)
            why_not(alike, [trial for _, trial in unit], setting)
            run_stack(alike, unit, setting)
        for source in (data.train, data.validation):
            assert (source.inputs == -1).all()  # type: ignore[union-attr]
