from __future__ import annotations

import pytest

from thalweg.errors import TaskError
from thalweg.objective import Scores
from thalweg.train import Epoch, History


def test_columns() -> None:
    history = History(
        [
            Epoch(1, 5, 0.5, 0.1, Scores(1.0, 0.25, {"accuracy": 0.5}), Scores(2.0)),
            Epoch(2, 10, 1.0, 0.1, Scores(0.5, 0.125, {"accuracy": 0.75}), Scores(1.0)),
        ]
    )
    assert history.column("train_accuracy") == [0.5, 0.75]
    assert history.column("validation_loss") == [2.0, 1.0]
    assert history.column("penalty") == [0.25, 0.125]
    assert [record.train_loss for record in history[:1]] == [1.0]
    with pytest.raises(TaskError, match="Did you mean 'validation_loss'"):
        history.column("validation_los")
    assert History().column("anything") == []
