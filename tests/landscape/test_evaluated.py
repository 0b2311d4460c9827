"""The loss at points of a plane, contour lines, and the path that a run keeps."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from tests.exact import RERUN, RESUMED, same
from thalweg.doctor import RecordGauges
from thalweg.errors import TaskError
from thalweg.landscape.contours import contour, image_of, levels_of
from thalweg.landscape.evaluated import LossAt, coarse_first, evaluated
from thalweg.objective import L2, Cost
from thalweg.strategies import net2net
from thalweg.tasks import Data, Task
from thalweg.train import fit
from thalweg.train.callbacks import Callback, Checkpoint
from thalweg.train.folder.gauges import read_gauges
from thalweg.train.folder.path import KeepPath, read_path, write_path


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))


def made() -> tuple[nn.Module, Cost, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    x = torch.randn(16, 3)
    return normed(), Cost("mse", penalty=L2(0.1)), (x, x[:, :1])


def test_the_loss_is_a_function_of_the_parameters_alone() -> None:
    model, cost, batch = made()
    loss = LossAt(model, cost, batch)
    point = parameters_to_vector(model.parameters()).detach() * 1.5
    first = loss(point)
    loss(point * 3)
    assert loss(point) == first
    with torch.no_grad():  # batch norm by the batch, dropout off, the penalty counted
        for p in model.parameters():
            p.mul_(1.5)
        model[1].running_mean.fill_(7)  # type: ignore[index]
        model.eval()
        model[1].train()  # type: ignore[index]
        expected = float(cost.objective(model, *batch))
    assert first == pytest.approx(expected, rel=1e-6)
    assert LossAt(model, cost, batch)(point) == pytest.approx(expected, rel=1e-6)


def test_a_loss_that_cannot_be_computed_says_why() -> None:
    model, cost, (_, y) = made()
    loss = LossAt(model, cost, (torch.zeros(16, 5), y))
    point = parameters_to_vector(model.parameters()).detach()
    with pytest.raises(TaskError, match="cannot be computed on rows of the training set"):
        evaluated(loss, [lambda: point], workers=1)


def test_points_are_evaluated_in_their_order_whatever_the_threads() -> None:
    makers = [lambda k=k: torch.tensor(float(k)) for k in range(50)]
    told: list[int] = []
    found, interrupted = evaluated(
        lambda p: float(p) ** 2, makers, lambda done, of: told.append(done), workers=3
    )
    assert found == [k * k for k in range(50)]
    assert not interrupted
    assert told == sorted(told)
    assert told[-1] == 50


def test_ctrl_c_keeps_what_is_computed() -> None:
    def stop(done: int, of: int) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    makers = [lambda k=k: torch.tensor(float(k)) for k in range(50)]
    found, interrupted = evaluated(float, makers, stop, workers=2)
    assert interrupted
    assert 5 <= sum(value is not None for value in found) < 50


def test_the_coarse_picture_comes_first_and_every_cell_once() -> None:
    cells = list(coarse_first(17, 20))
    assert sorted(cells) == [(i, j) for i in range(17) for j in range(20)]
    assert all(i % 8 == j % 8 == 0 for i, j in cells[: 3 * 3])


def test_contour_lines_of_a_cone_are_circles() -> None:
    size, radius = 41, 12.0
    rows = [[math.hypot(x - 20, y - 20) for x in range(size)] for y in range(size)]
    (line,) = contour({"xs": range(size), "ys": range(size), "loss": rows}, radius)
    assert (line[0] == line[-1]).all()
    far = np.hypot(line[:, 0] - 20, line[:, 1] - 20)
    assert (
        np.abs(far - radius).max() < 0.02
    )  # it is linear along rays alone, and cells are of size 1


def test_cells_without_numbers_have_no_lines() -> None:
    gap = {"xs": [0, 1, 2], "ys": [0, 1], "loss": [[0, 1, None], [0, 1, 1]]}
    (line,) = contour(gap, 0.5)
    assert (line[:, 0] == 0.5).all()
    assert levels_of([[None, None], [None, None]]) == []
    assert levels_of([[1.0, 1.0], [1.0, 1.0]]) == []
    assert image_of([[None, math.inf], [1.0, 2.0]], "#0b5f8a").startswith("data:image/png;base64,")
    levels = levels_of([[1.0, 10.0], [100.0, 1000.0]], 2)
    assert levels == pytest.approx([10.0, 100.0])  # equal steps of the logarithm


def line(**parts: Any) -> Task:
    x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    return Task(
        Data.arrays(x, 2 * x), Cost("mse"), lambda: nn.Linear(1, 1), batch_size=5, epochs=4, **parts
    )


class Seen(Callback):
    """The parameters after each step."""

    def __init__(self) -> None:
        self.points: dict[int, Tensor] = {}

    def start(self, training: Any) -> None:
        self.step(training, 0.0)

    def step(self, training: Any, loss: float) -> None:
        self.points[training.step] = parameters_to_vector(training.model.parameters()).detach()


def test_the_path_is_that_of_the_run_and_thinned_to_its_bound(tmp_path: Path) -> None:
    seen = Seen()
    run = fit(line(), "sgd", lr=0.1, keep_path=tmp_path, callbacks=[seen], progress=False)
    path = read_path(tmp_path)
    assert path.steps == tuple(range(17))
    kept = {k: path.points[k] for k in range(17)}
    same(kept, {k: seen.points[k] for k in kept}, because="copies of the same parameters")
    assert path.shapes == ((1, 1), (1,))
    last = parameters_to_vector(run.model.parameters()).detach()
    same(path.points[-1], last, because="copies of the same parameters")
    keep = KeepPath(tmp_path / "b", most_bytes=8 * 8)
    fit(line(), "sgd", lr=0.1, callbacks=[keep], progress=False)
    short = read_path(tmp_path / "b")
    assert short.steps == (0, 4, 8, 12, 16)
    thinned = [seen.points[step] for step in short.steps]
    same(list(short.points), thinned, because=RERUN)
    with pytest.raises(TaskError, match="needs 32 bytes at least"):
        fit(line(), "sgd", callbacks=[KeepPath(tmp_path, most_bytes=31)], progress=False)


def test_a_resumed_run_goes_on_with_its_path(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    fit(line(), "sgd", lr=0.1, keep_path=whole, progress=False)
    for epochs in (2, 4):
        keep = Checkpoint(tmp_path / "c.safetensors", resume=True)
        fit(
            *(line(), "sgd"), lr=0.1, epochs=epochs, keep_path=tmp_path, callbacks=[keep],
            progress=False,
        )  # fmt: skip
    assert read_path(tmp_path).steps == read_path(whole).steps
    same(read_path(tmp_path).points, read_path(whole).points, because=RESUMED)


def test_a_damaged_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="--keep-path"):
        read_path(tmp_path)
    fit(line(), "sgd", keep_path=tmp_path, progress=False)
    path = read_path(tmp_path)
    write_path(tmp_path, type(path)(path.points[:, :1], path.steps, path.names, path.shapes))
    with pytest.raises(TaskError, match="was edited"):
        read_path(tmp_path)


def test_a_path_begins_anew_where_a_strategy_makes_the_model_larger(tmp_path: Path) -> None:
    def chain(*sizes: int) -> nn.Module:
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        return nn.Sequential(layers[0], nn.ReLU(), *layers[1:])

    x = np.linspace(-1, 1, 20, dtype="float32").reshape(-1, 1)
    task = Task(Data.arrays(x, x), Cost("mse"), lambda: chain(1, 4, 1), batch_size=5, epochs=4)
    strategy = net2net(lambda: chain(1, 2, 1), share=0.5)
    record = RecordGauges(tmp_path, every=2)
    fit(
        *(task, "sgd"), lr=0.1, strategy=strategy, keep_path=tmp_path, callbacks=[record],
        progress=False,
    )  # fmt: skip
    path = read_path(tmp_path)
    assert path.points.shape == (len(path.steps), 13)
    assert 0 < path.steps[0] < path.steps[-1] == 16
    steps = read_gauges(tmp_path).arrays["steps"].tolist()
    assert steps[0] == 1
    assert steps[-1] == 16
    assert any(step > path.steps[0] for step in steps[:-1]), "both stages"
