from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.objective import Cost, Metric
from thalweg.objective.join import JoinError, join_batches

Pair = namedtuple("Pair", "logits hidden")
SIZES = (5, 1, 3)
WHOLE = torch.arange(18.0).reshape(9, 2)


@dataclass
class Output:
    logits: Tensor
    name: str = "net"


def check(whole: Any, parts: list[Any]) -> None:
    found = join_batches(parts, SIZES)
    assert type(found) is type(whole)
    assert str(found) == str(whole)


def test_every_structure() -> None:
    parts = WHOLE.split(SIZES)
    check(WHOLE, list(parts))
    check(Pair(WHOLE, {"a": (WHOLE, 3)}), [Pair(x, {"a": (x, 3)}) for x in parts])
    check([WHOLE, None], [[x, None] for x in parts])
    check(OrderedDict(y=WHOLE), [OrderedDict(y=x) for x in parts])
    check(Output(WHOLE), [Output(x) for x in parts])
    check((WHOLE, torch.tensor(3.0)), [(x, torch.tensor(3.0)) for x in parts])


def test_a_list_of_one_entry_a_row_is_chained() -> None:
    boxes = [{"boxes": torch.full((k, 4), float(k))} for k in range(9)]
    names = [f"image {k}" for k in range(9)]
    ends = [(0, 5), (5, 6), (6, 9)]
    check(boxes, [boxes[a:b] for a, b in ends])
    check(names, [names[a:b] for a, b in ends])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([torch.ones(2, 3), torch.ones(2, 4)], r"shapes \(2, 3\) and \(2, 4\)"),
        ([{"a": [torch.ones(2, 3)]}, {"a": [torch.ones(2, 4)]}], r"at \['a'\]\[0\]"),
        ([(torch.tensor(1.0),), (torch.tensor(2.0),)], "one number a batch"),
        ([{"a": 1}, {"b": 1}], "other keys"),
        ([1, 2], "a int that changes"),
        ([torch.ones(2), None], "NoneType and Tensor in different batches"),
        ([(1,), (1, 2)], "tuples of different lengths"),
        ([nn.utils.rnn.pack_sequence([torch.ones(2)])] * 2, "packed sequences"),
    ],
)
def test_what_cannot_be_joined(parts: list[Any], message: str) -> None:
    with pytest.raises(JoinError, match=message):
        join_batches(parts, [2, 2])


def f1(outputs: Any, targets: Any) -> Tensor:
    predicted = (outputs[0] > 0).double()
    return 2 * (predicted * targets["y"]).sum() / (predicted.sum() + targets["y"].sum())


def test_a_metric_of_the_whole_set_sees_it_whole_whatever_its_structure() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(9, generator=generator)
    targets = torch.tensor([1.0, 0, 0, 0, 0, 1, 1, 1, 0])
    expected = f1((outputs,), {"y": targets}).item()
    cost = Cost(
        lambda o, t: o[0].mean(),
        metrics=[
            Metric("f1", f1, additive=False),
            Metric("mean", lambda o, t: o[0].mean()),
        ],
    )
    for make in (lambda o: (o, 2 * o), lambda o: Pair(o, None), lambda o: [o, {"deep": o}]):
        meter = cost.meter()
        for o, t in zip(outputs.split(SIZES), targets.split(SIZES), strict=True):
            meter.add(0.0, make(o), {"y": t}, len(t))
        scores = meter.scores()
        assert scores["f1"] == pytest.approx(expected, rel=1e-12)
        assert scores["mean"] == pytest.approx(outputs.mean().item(), rel=1e-6)


def test_what_cannot_be_joined_says_what_to_do() -> None:
    metric = Metric("f1", lambda o, t: 0.0, additive=False)
    meter = Cost(lambda o, t: o[0].mean(), metrics=metric).meter()
    for n in (2, 3):
        meter.add(0.0, (torch.ones(4, n),), torch.ones(4), 4)
    with pytest.raises(
        TaskError, match=r"metric f1 is one of the whole set, and the outputs of.*Pad"
    ):
        meter.scores()


def test_a_mean_over_batches_takes_them_as_they_are() -> None:
    metric = Metric("mean", lambda o, t: o.data.mean(), weight=lambda o, t: len(o.data))
    meter = Cost(lambda o, t: o.data.mean(), metrics=metric).meter()
    for n in (2, 3):
        packed = nn.utils.rnn.pack_sequence([torch.full((n,), float(n))])
        meter.add(0.0, packed, None, 1)
    assert meter.scores()["mean"] == pytest.approx((2 * 2 + 3 * 3) / 5)
