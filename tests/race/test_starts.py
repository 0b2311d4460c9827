"""A small race of starts: who takes part, and what is said of it."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from thalweg import Cost, Data, Target, Task, TaskError
from thalweg.race import Race
from thalweg.race.starts import StartRace, start_settings


def tiny() -> Task:
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    data = Data.arrays(x, (x.sum(1) > 0).long(), validation=0.25)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    return Task(
        data, Cost("cross_entropy"), model, target=Target("loss", 0.6), epochs=25, batch_size=8
    )


def test_a_start_that_cannot_learn_loses_with_an_interval() -> None:
    settings = start_settings(tiny(), ["default", "zeros|bias"], "sgd", 2)
    contest = Race(tiny(), **settings, stack=False, workers=1)
    contest.run()
    found = StartRace(contest.result(), "sgd")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    # where all is zero, no gradient passes a layer: only the last bias learns
    assert document["may_be_best"] == ["default"], document["verdict"]
    assert [row[0] for row in document["rows"]] == ["default", "zeros|bias"]
    assert document["rows"][1][2] == "0 of 8"
    assert document["budget"]["equal"] is True
    (evidence,) = document["evidence"]
    assert evidence.startswith("default is better than zeros|bias: ")
    assert "interval" in evidence
    assert document["verdict"] in str(found)
    assert evidence in str(found)


def test_who_takes_part_and_for_how_long() -> None:
    settings = start_settings(tiny(), ["default", "he:gain=2|bias"])
    assert [each.name for each in settings["entrants"]] == ["default", "he:gain=2|bias"]
    assert [each.init for each in settings["entrants"]] == [None, "he:gain=2|bias"]
    assert settings["epochs"] == 2  # a tenth of 25
    assert start_settings(tiny().replace(epochs=3), ["default"])["epochs"] == 1
    for names, optimizer in ((["hee"], "adam"), (["he"], "adamm")):
        with pytest.raises(TaskError, match="Did you mean"):
            start_settings(tiny(), names, optimizer)
