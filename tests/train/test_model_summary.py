"""The table of a model's layers, and that the model is left as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg
from tests.exact import same
from thalweg.errors import TaskError
from thalweg.tasks import load_task, mlp
from thalweg.train import summary


class Tied(nn.Module):
    """An embedding whose weights are those of the output layer, and a scale of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 10)
        self.out.weight = self.embed.weight
        self.out.bias.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("calls", torch.zeros(1))
        self.unused = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        torch.rand(1)
        return self.out(self.norm(self.embed(x))) * self.scale


def test_rows_and_totals() -> None:
    found = summary(Tied(), torch.tensor([1, 2, 3]))
    rows = {row.name: row for row in found.layers}
    assert list(rows) == ["(the model)", "embed", "norm", "out", "unused"]
    assert [row.parameters for row in found.layers] == [1, 40, 8, 10, 0]
    assert [row.trainable for row in found.layers] == [1, 40, 8, 0, 0]
    assert (rows["out"].tied, rows["embed"].tied) == (40, 0)
    assert (found.parameters, found.trainable) == (59, 49)
    assert found.parameter_bytes == 4 * 59
    assert found.buffer_bytes == 4 * (4 + 4 + 1) + 8  # batch norm counts in int64
    assert (rows["embed"].output, rows["unused"].output) == (((3, 4),), ())
    assert rows["out"].output == rows["(the model)"].output == ((3, 10),)


def test_parameters_are_those_of_the_model() -> None:
    for name in ("digits", "char_transformer"):
        task = load_task(name)
        model = task.build()
        inputs, _ = task.data.train.first(2)
        found = summary(model, inputs)
        assert found.parameters == sum(p.numel() for p in model.parameters())
        assert all(row.output or row.kind == "Dropout" for row in found.layers if row.parameters)
    several = summary(nn.LSTM(3, 5, batch_first=True), (2, 7, 3))
    assert several.layers[0].output == ((2, 7, 5), (1, 2, 5), (1, 2, 5))


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(Tied(), nn.Dropout().eval(), nn.BatchNorm1d(10))
    before = copy.deepcopy(model.state_dict())
    buffers = [id(buffer) for buffer in model.buffers()]
    modes = [module.training for module in model.modules()]
    state, x = torch.get_rng_state(), torch.tensor([1, 2, 3])
    for _ in range(2):
        summary(model, x)
    with pytest.raises(TaskError):
        summary(model, torch.tensor([100]))
    for name, value in model.state_dict().items():
        same(value, before[name], because="nothing was written")
    assert [id(buffer) for buffer in model.buffers()] == buffers
    assert [module.training for module in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    same(torch.get_rng_state(), state, because="nothing was drawn")


def test_lazy_layers_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.ReLU())
    assert summary(model).parameters == 0
    assert summary(model, np.zeros((2, 5), np.float32)).parameters == 18
    assert nn.parameter.is_lazy(model[0].weight)


def test_text_and_html() -> None:
    model = nn.Sequential(*mlp([4, 3, 2]))
    lines = str(summary(model)).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "trainable"]
    assert lines[2].split() == ["0", "Linear", "15", "15"]
    assert lines[-2:] == [
        "Sequential: 23 parameters, 23 of them trainable",
        "92 bytes of parameters",
    ]
    page = thalweg.summary(Tied(), torch.tensor([1, 2]))._repr_html_()
    assert "<td>10 (+ 40 tied)</td>" in page
    assert page.count("<tr>") == 6


def test_what_cannot_be_run() -> None:
    with pytest.raises(
        TaskError, match=r"cannot be run on x\. Its layer 1, Linear.* was given shape \(2, 5\)"
    ):
        summary(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), torch.zeros(2, 5))
    with pytest.raises(TaskError, match=r"takes an nn\.Module; got Task\. Build it first"):
        summary(load_task("digits"))  # type: ignore[arg-type]
