"""What a loss compares: rows with their own targets, with those of others, or with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.doctor.helpers import batches, net, report
from thalweg.doctor.checks import check_outputs, check_pairs
from thalweg.doctor.symptoms.outputs import ConstantOutputs, WrongOutputs
from thalweg.doctor.symptoms.pairs import MixedLoss, UnpairedLoss
from thalweg.doctor.watched import OutputCheck, PairCheck, Watched

BOTH = [UnpairedLoss(), MixedLoss()]
Loss = Callable[[Tensor, Tensor], Tensor]


def watched(loss_name: str = "") -> Watched:
    model = net()
    return Watched(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_name=loss_name)


def classes(loss: Loss) -> PairCheck | None:
    return check_pairs(watched(), loss, batches(1)[0])


def numbers(loss: Loss) -> PairCheck | None:
    """Look at a loss of one output a row, with targets as a column."""
    x, _ = batches(1)[0]
    own = watched()
    own.model = nn.Sequential(own.model, nn.Linear(4, 1), nn.Flatten(0))
    return check_pairs(own, loss, (x, x[:, :1]))


def wrong_axis(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.nll_loss(functional.log_softmax(outputs, dim=0), targets)


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, torch.tensor([1.0, 2.0, 5.0, 0.1]))


def summed(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="sum")


@pytest.mark.parametrize("loss", [functional.cross_entropy, weighted, summed])
def test_a_mean_or_a_sum_of_rows_mixes_nothing(loss: Loss) -> None:
    assert classes(loss) == PairCheck(is_unpaired=False, mixes_rows=False)


def test_a_softmax_over_the_rows_is_told() -> None:
    assert classes(wrong_axis) == PairCheck(is_unpaired=False, mixes_rows=True)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = report(model, optimizer, batches(4), loss=wrong_axis, symptoms=BOTH, forks=0.0)
    assert [v.symptom for v in found.faults] == ["mixed_loss"]
    assert "contrastive" in found["mixed_loss"].words


def shifted(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy, and more for batches of several rows: no mean of rows, and as good."""
    return functional.cross_entropy(outputs, targets) + 20.0 * (len(outputs) > 1)


@pytest.mark.parametrize(("loss", "status"), [(wrong_axis, "confirmed"), (shifted, "refuted")])
def test_a_loss_that_mixes_rows_is_a_fault_where_cross_entropy_learns_more(
    loss: Loss, status: str
) -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    found = report(model, optimizer, batches(60), loss=loss, symptoms=[MixedLoss()])
    assert found["mixed_loss"].status == status, str(found)


def test_a_loss_of_shares_is_looked_at_within_them() -> None:
    own = watched()
    own.model = nn.Sequential(own.model, nn.Sigmoid())
    x, _ = batches(1)[0]
    loss = functional.binary_cross_entropy
    found = check_pairs(own, loss, (x, torch.rand(len(x), 4).round()))
    assert found == PairCheck(is_unpaired=False, mixes_rows=False)


def test_a_row_less_a_column_is_told() -> None:
    def broadcast(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    def root(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets[:, 0]).square().mean().sqrt()

    pairs = numbers(broadcast)
    assert pairs == PairCheck(is_unpaired=True, mixes_rows=False)
    own = watched()
    own.pairs = pairs
    assert [v.symptom for s in BOTH for v in s.looks(own)] == ["unpaired_loss"]
    assert numbers(root) == PairCheck(is_unpaired=False, mixes_rows=False)


def test_outputs_that_are_minimised_may_be_constant() -> None:
    own = watched()
    own.check = seen(spread=0.0)
    assert ConstantOutputs().looks(own)
    own.pairs = numbers(lambda outputs, _: outputs.square().mean())
    assert own.pairs == PairCheck(is_unpaired=False, mixes_rows=False, targets_matter=False)
    assert not ConstantOutputs().looks(own)


def test_what_is_no_pair_of_tensors_is_not_looked_at() -> None:
    x, y = batches(1)[0]
    assert check_pairs(watched(), functional.cross_entropy, (x, (y, y))) is None
    assert check_pairs(watched(), functional.cross_entropy, (x[:4], y[:4])) is None


@pytest.mark.parametrize(("highest", "is_told"), [(3.0, True), (0.0, False)])
def test_outputs_above_0_are_no_log_probabilities(highest: float, is_told: bool) -> None:
    own = watched("nll_loss")
    own.check = seen(range=(-5.0, highest))
    assert bool(WrongOutputs().looks(own)) == is_told


def seen(**parts: Any) -> OutputCheck:
    plain = {
        "spread": 1.0,
        "size": 1.0,
        "is_random": False,
        "mixes_rows": False,
        "made_by": "",
        "loss": 1.0,
        "shuffled": 2.0,
        "targets": (0.0, 3.0),
        "range": (0.0, 1.0),
    }
    return OutputCheck(**{**plain, **parts})


def test_outputs_that_are_not_finite_are_not_looked_at() -> None:
    own = watched()
    with torch.no_grad():
        own.model[-1].bias.fill_(torch.nan)  # type: ignore[index]
    assert check_outputs(own, functional.cross_entropy, batches(1)) is None
