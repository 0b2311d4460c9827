"""A trained model as a program that runs without the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from tests.exact import same
from tests.train.helpers import blobs, quiet
from thalweg.errors import TaskError
from thalweg.tasks import Data, Task


def scaled(model: Any = None) -> Task:
    generator = torch.Generator().manual_seed(0)
    x = 5 + 3 * torch.randn(40, 3, generator=generator)
    data = Data.arrays(x, 100 * x.sum(1, keepdim=True), scale="standard", scale_targets=True)
    return Task(
        data, "mse", model or (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    )


def test_a_program_takes_any_number_of_rows_in_the_units_of_the_data(tmp_path: Path) -> None:
    run = quiet(scaled(), epochs=20)
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    for rows in (1, 2, 17):
        x = 5 + torch.randn(rows, 3)
        # the same operations, compiled or not, in float32
        torch.testing.assert_close(program(x), run.predict(x), rtol=1e-5, atol=1e-3)


def test_a_set_of_the_task_is_predicted_in_the_units_of_the_data() -> None:
    task = scaled()
    x = 5 + 3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    run = quiet(task, epochs=5)
    torch.testing.assert_close(
        torch.from_numpy(run.predict("train")), run.predict(x), rtol=1e-5, atol=1e-3
    )
    weighted = Task(
        Data.arrays(x, x[:, :1], weights=torch.ones(40)), "mse", lambda: nn.Linear(3, 1)
    )
    assert quiet(weighted, epochs=1).predict("train").shape == (40, 1)


@pytest.mark.full
def test_onnx_gives_the_same_outputs(tmp_path: Path) -> None:
    import onnx
    import onnx.reference

    run = quiet(scaled(), epochs=20)
    model = onnx.load(run.export(tmp_path / "model.onnx"))
    onnx.checker.check_model(model)
    evaluator = onnx.reference.ReferenceEvaluator(model)
    for rows in (2, 17):
        x = 5 + torch.randn(rows, 3)
        (said,) = evaluator.run(None, {model.graph.input[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(said), run.predict(x), rtol=1e-5, atol=1e-3)


class Sum(nn.Module):
    """Adds up what it finds in a tuple or mapping, with a row of outputs for each row."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.word = nn.Linear(3, 1), nn.Embedding(5, 1)

    def forward(self, inputs: Any) -> torch.Tensor:
        if isinstance(inputs, Mapping):
            inputs = inputs["x"], inputs["tokens"]["ids"]
        return self.number(inputs[0]) + self.word(inputs[1]).sum(1)


def several(by_name: bool) -> Any:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 3, generator=generator)
    ids = torch.randint(5, (9, 4), generator=generator)
    return {"x": x, "tokens": {"ids": ids}} if by_name else (x, ids)


def of_several(inputs: Any) -> Task:
    rows = [
        (torch.utils._pytree.tree_map(lambda part: part[k], inputs), torch.ones(1))  # noqa: B023
        for k in range(9)
    ]
    return Task(DataLoader(rows, 4), "mse", Sum)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_name", [False, True])
def test_several_inputs(tmp_path: Path, by_name: bool) -> None:
    inputs = several(by_name)
    run = quiet(of_several(inputs), epochs=2)
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    for rows in (1, 2, 9):
        x = torch.utils._pytree.tree_map(lambda part: part[:rows], inputs)  # noqa: B023
        torch.testing.assert_close(program(x), run.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.full
@pytest.mark.parametrize(
    ("by_name", "names"), [(False, ["input_0", "input_1"]), (True, ["x", "tokens.ids"])]
)
def test_onnx_has_an_input_for_each(tmp_path: Path, by_name: bool, names: list[str]) -> None:
    import onnx
    import onnx.reference

    inputs = several(by_name)
    run = quiet(of_several(inputs), epochs=2)
    model = onnx.load(run.export(tmp_path / "model.onnx"))
    onnx.checker.check_model(model)
    assert [each.name for each in model.graph.input] == names
    evaluator = onnx.reference.ReferenceEvaluator(model)
    for rows in (2, 9):
        x = torch.utils._pytree.tree_map(lambda part: part[:rows], inputs)  # noqa: B023
        leaves = [part.numpy() for part in torch.utils._pytree.tree_leaves(x)]
        (said,) = evaluator.run(None, dict(zip(names, leaves, strict=True)))
        torch.testing.assert_close(torch.from_numpy(said), run.predict(x), rtol=1e-5, atol=1e-6)


def test_an_input_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    class Ignoring(Sum):
        def forward(self, inputs: Any) -> torch.Tensor:
            return super().forward((inputs["x"], inputs["ids"]))

    x, ids = several(by_name=False)
    rows = [({"x": x[k], "ids": ids[k], "note": "a text"}, torch.ones(1)) for k in range(9)]
    run = quiet(Task(DataLoader(rows, 4), "mse", Ignoring), epochs=1)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match=r"the input 'note\.0' as str"):
        run.export(tmp_path / "model.pt2")


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        return y if y.sum() > 0 else -y


class Drawing(Branching):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x)
        return out + torch.rand_like(out)


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [
        (None, "model.bin", r"a file \.pt2 or \.onnx"),
        (Branching, "model.pt2", "torch.export cannot trace it"),
        (Drawing, "model.pt2", "gives other outputs than the model"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path: Path, model: Any, name: str, words: str) -> None:
    run = quiet(scaled(model), epochs=1)
    with pytest.raises(TaskError, match=words):
        run.export(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    run = quiet(blobs(), epochs=1)
    run.model.train()
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.export(tmp_path / "model.pt2")
    assert run.model.training
    same(dict(run.model.state_dict()), before, because="nothing was computed with it that stays")
