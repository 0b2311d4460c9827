"""μP: rules by the shapes of a small model; the best rate of a narrow network holds for a wide one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import same
from thalweg import TaskError, init, optim


def net(width: int, blocks: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, width), nn.ReLU()]
    for _ in range(blocks):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ("adam", {"0": (1, 1), "2": (0.25, 4), "6": (0.25, 4)}),
        ("sgd", {"0": (4, 0.25), "2": (1, 1), "6": (0.25, 4)}),
    ],
)
def test_the_rules_are_those_of_table_3(
    rates: str, expected: dict[str, tuple[float, float]]
) -> None:
    model = net(64)
    before = model[6].weight.detach().clone()
    mup = init.mup(model, base=net(16), rates=rates)  # type: ignore[arg-type]
    rows = {row.name: row for row in mup.rows}
    for name, (rate, decay) in expected.items():
        row = rows[f"{name}.weight"]
        assert (row.rate, row.decay) == (rate, decay)
    assert rows["2.bias"].rate == (1 if rates == "adam" else 4)
    assert (rows["6.bias"].role, rows["6.bias"].rate) == ("fixed", 1)
    same(model[6].weight.detach(), before / 2, because="a half is exact")


def test_the_groups_hold_every_parameter_once() -> None:
    model = net(64)
    mup = init.mup(model, base=net(16))
    groups = mup.groups(model, lr=0.01, weight_decay=0.1)
    assert sorted(map(id, model.parameters())) == sorted(id(p) for g in groups for p in g["params"])
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.01, 0.1), (0.0025, 0.4)]
    assert "weight_decay" not in mup.groups(model, lr=0.01)[0]
    optimizer = optim.AdamW(groups)
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()


def test_embeddings_convolutions_and_equal_widths() -> None:
    class Words(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.table = nn.Embedding(9, width)
            self.up = nn.ConvTranspose1d(width, 2 * width, 3)
            self.head = nn.Linear(2 * width, 9)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.up(self.table(x).mT).mT)
            return out

    rows = {row.name: row for row in init.mup(Words(12), base=Words(4)).rows}
    assert {n: (r.role, r.width) for n, r in rows.items() if n.endswith("weight")} == {
        "table.weight": ("input", 3),
        "up.weight": ("hidden", 3),
        "head.weight": ("output", 3),
    }
    assert {(r.scale, r.rate) for r in init.mup(net(16), base=net(16)).rows} == {(1, 1)}


def test_other_models_are_refused() -> None:
    with pytest.raises(TaskError, match=r"of one alone: 8\.bias, 8\.weight"):
        init.mup(net(16), base=net(16, 3))
    with pytest.raises(TaskError, match=r"base must be an nn\.Module"):
        init.mup(net(16), base=16)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="'adam' or 'sgd'"):
        init.mup(net(16), base=net(16), rates="lion")  # type: ignore[arg-type]


def outputs_moved(width: int, *, by_mup: bool) -> float:
    """How far the outputs move in two steps of Adam, after which the features have moved, too."""
    model = net(width)
    init.apply(model, init.he() | init.bias())
    groups = init.mup(model, base=net(32)).groups(model, lr=0.0003)
    optimizer = optim.Adam(groups if by_mup else list(model.parameters()), lr=0.0003)
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    before = model(x).detach()
    for _ in range(2):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), torch.arange(32) % 4).backward()
        optimizer.step()
    return float((model(x).detach() - before).square().mean().sqrt())


def test_the_first_steps_move_the_outputs_alike_at_every_width() -> None:
    mup = [outputs_moved(width, by_mup=True) for width in (32, 512)]
    standard = [outputs_moved(width, by_mup=False) for width in (32, 512)]
    assert 0.4 < mup[1] / mup[0] < 2.5
    assert standard[1] / standard[0] > 4, "16 times as wide: up to 16 times as far"


GRID = [2.0**k for k in range(-13, -3)]


def best_rate(width: int, *, by_mup: bool) -> int:
    """The place in the grid of the rate with the lowest loss after 120 steps of Adam, over 3 seeds."""
    x = torch.randn(512, 8, generator=torch.Generator().manual_seed(1))
    teacher = torch.randn(8, 16, generator=torch.Generator().manual_seed(2))
    y = (x @ teacher).sin().reshape(512, 4, 4).sum(2).argmax(1)
    losses = []
    for lr in GRID:
        total = 0.0
        for seed in range(3):
            model = net(width)
            init.apply(model, init.he() | init.bias(), seed=seed)
            groups: list[dict[str, object]] = [{"params": list(model.parameters())}]
            if by_mup:
                groups = init.mup(model, base=net(64)).groups(model, lr=lr)
            optimizer = torch.optim.Adam(groups, lr=lr)
            order = torch.Generator().manual_seed(seed)
            tail = []
            for step in range(120):
                rows = torch.randint(512, (64,), generator=order)
                loss = functional.cross_entropy(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step >= 100:
                    tail.append(float(loss.detach()))
            total += sum(tail) / len(tail)
        losses.append(total if math.isfinite(total) else math.inf)
    return losses.index(min(losses))


@pytest.mark.full
def test_the_best_rate_of_width_64_holds_at_512_by_mup_alone() -> None:
    narrow = best_rate(64, by_mup=True)
    assert abs(best_rate(512, by_mup=True) - narrow) <= 1
    assert narrow - best_rate(512, by_mup=False) >= 2, "the standard one drifts to smaller rates"
