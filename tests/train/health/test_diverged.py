from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.train.helpers import blobs, quiet
from thalweg.errors import DivergedError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import FitDivergedError
from thalweg.train.health.diverged import likely_cause

X = np.linspace(-1, 1, 12).reshape(-1, 1)


def _line(model: object = None, cost: str = "mse") -> Task:
    return Task(Data.arrays(X, X), Cost(cost), model or (lambda: nn.Linear(1, 1).double()))  # type: ignore[arg-type]


def test_a_learning_rate_that_is_too_high() -> None:
    with pytest.raises(DivergedError) as caught:
        quiet(_line(), torch.optim.SGD, lr=1e6, epochs=100, batch_size=4)
    error = caught.value
    assert isinstance(error, FitDivergedError)
    message = str(error)
    assert f"at step {error.step} (epoch {error.epoch}) with lr 1e+06" in message
    assert "learning rate is too high (the loss had grown from " in message
    assert message.endswith("`thalweg lr TASK`, in Python find_lr(task, optimizer), suggests one.")
    assert error.run.stopped == "diverged"
    assert error.run.steps == error.step - 1
    assert error.run.epochs == error.epoch - 1 == len(error.run.history) > 0
    # the loss was found before a step was taken with it, so the parameters are those before
    assert all(torch.isfinite(p).all() for p in error.run.model.parameters())


def test_a_tenth_of_the_rate_is_advised_only_where_it_may_train() -> None:
    def said(losses: list[float], lr: float) -> str:
        ones = torch.ones(1, 1)
        return likely_cause(losses, lr, nn.Linear(1, 1), (ones, ones))

    assert "Try lr 3, or clip the gradient." in said([1.0, 1e9], 30.0)
    assert "If not, lr 3 may help." in said([1.0, 1.0], 30.0)
    for lr in (1e30, float("inf")):
        for losses in ([1.0, 1e9], [1.0, 1.0]):
            assert "`thalweg lr TASK`" in said(losses, lr)
            assert "Try lr" not in said(losses, lr)


def test_before_any_update() -> None:
    class Log(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(super().forward(x) * 0)

    with pytest.raises(
        DivergedError,
        match=r"at step 1 .*The model: Log.* gives (NaN|infin)|The loss: mse_loss is not finite",
    ):
        quiet(_line(lambda: Log(1, 1).double()))


def test_initial_weights_that_are_not_finite() -> None:
    def model() -> nn.Module:
        net = nn.Linear(1, 1).double()
        nn.init.constant_(net.bias, float("nan"))
        return net

    with pytest.raises(DivergedError, match="its initial parameters bias are not finite"):
        quiet(_line(model))


def test_a_nan_in_a_batch_of_a_data_set() -> None:
    rows = [(torch.tensor([float(i)]), torch.tensor([1.0])) for i in range(6)]
    rows[5] = (torch.tensor([float("nan")]), torch.tensor([1.0]))
    task = _line().replace(data=Data(rows_as_dataset(rows)))  # type: ignore[arg-type]
    with pytest.raises(DivergedError, match="the inputs of this batch hold NaN"):
        quiet(task, batch_size=2, shuffle="never", lr=1e-3)


def rows_as_dataset(
    rows: list[tuple[Tensor, Tensor]],
) -> torch.utils.data.Dataset[tuple[Tensor, Tensor]]:
    class Rows(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return rows[index]

    return Rows()


def test_out_of_the_blue() -> None:
    class Sometimes(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Sometimes.calls += self.training
            return super().forward(x) + (float("inf") if Sometimes.calls == 3 else 0)

    with pytest.raises(DivergedError, match=r"step 3 .*had been .* the step before"):
        quiet(_line(lambda: Sometimes(1, 1).double()), lr=1e-3, batch_size=None)


def test_the_checkpoint_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(DivergedError):
        quiet(_line(), torch.optim.SGD, lr=1e6, epochs=100, batch_size=4, checkpoint=path)
    assert path.is_file()
    with pytest.raises(DivergedError):  # and resuming comes to the same end
        quiet(
            _line(), torch.optim.SGD, lr=1e6, epochs=100, batch_size=4, checkpoint=path, resume=True
        )


def test_a_divergent_loss_that_is_finite_does_not_stop() -> None:
    assert (
        quiet(blobs(model=lambda: nn.Linear(2, 3).double()), torch.optim.SGD, lr=1e3).epochs == 10
    )
