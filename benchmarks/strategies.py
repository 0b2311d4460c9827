"""Races of strategies at equal cost, where each may win: the tables of docs/strategies.md.

easy: the digits by a net that learns them as it is drawn.
deep: the digits by five hidden layers of sigmoids, which from PyTorch's start hardly learn.
noisy: four labels of ten drawn anew, in the training set alone.
few: whether a digit is odd, by 40 rows, beside a model that knows the ten digits from others.
residual: the digits by twelve residual blocks.

    python benchmarks/strategies.py [easy] [deep] [noisy] [few] [residual] [--seeds 8]

Adam, tuned over three learning rates on 2 seeds for each strategy, judged on other seeds; every trial has the
same budget of gradient-equivalents. A teacher or a source that a strategy is given costs nothing there.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg import Task, fit, load_task, optim, race
from thalweg.race import Entrant
from thalweg.strategies import (
    Strategy,
    copied_layers,
    curriculum,
    distillation,
    freezing,
    growing_batches,
    hints,
    net2net,
    plain,
    pretraining,
    stochastic_depth,
    transfer,
)
from thalweg.tasks import Data, Target

RATES = (1e-2, 3e-2, 1e-1)
Strategies = Mapping[str, Strategy | None]


@dataclass(frozen=True)
class Case:
    """A task, the strategies that race on it, and the epochs of a trial."""

    task: Task
    strategies: Strategies
    epochs: int
    rates: tuple[float, ...] = RATES


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return linear layers of these widths with an activation between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def curricula() -> Strategies:
    """Return the curricula, and the controls that show whether it is their order that helps."""
    return {
        "easy first": curriculum(),
        "hard first": curriculum(order="hard"),
        "drawn order": curriculum(order="random"),
        "mixture": curriculum(sampling="stochastic"),
        "self-paced": curriculum("self"),
    }


def easy() -> Case:
    """Return the digits by a net that learns them as it is drawn."""
    strategies: Strategies = {
        "none": None,
        "plain": plain(),
        "two parts": plain(parts=2),
        **curricula(),
        "supervised": pretraining(),
        "autoencoders": pretraining("unsupervised"),
        "net2net": net2net(lambda: mlp(64, 16, 16, 10)),
        "copied layers": copied_layers(lambda: mlp(64, 32, 10), {"0": "0"}),
        "distillation": distillation(lambda: mlp(64, 64, 10), share=0.3),
        "growing batches": growing_batches(),
        "freezing": freezing({"0": (0, 0.5)}),
    }
    return Case(load_task("digits").replace(model=lambda: mlp(64, 32, 32, 10)), strategies, 10)


def deep() -> Case:
    """Return the digits by a net that is hard to train as it is drawn."""

    def sigmoids(*widths: int) -> nn.Sequential:
        return mlp(64, *widths, 10, activation=nn.Sigmoid)

    digits = load_task("digits")
    teacher = fit(
        digits.replace(model=lambda: sigmoids(64)), "adam", lr=1e-2, epochs=20, progress=False
    ).model
    strategies: Strategies = {
        "none": None,
        "supervised": pretraining(),
        "autoencoders": pretraining("unsupervised"),
        "copied layers": copied_layers(lambda: sigmoids(32, 32), {"0": "0", "2": "2"}),
        "hints": hints(teacher, "0", "4"),
        "distillation": distillation(teacher),
        "easy first": curriculum(),
        "freezing": freezing({"0": (0.5, 1)}),
    }
    task = digits.replace(model=lambda: sigmoids(*[32] * 5), target=Target("accuracy", 0.8))
    return Case(task, strategies, 25, (3e-3, *RATES))


def noisy() -> Case:
    """Return the digits with wrong labels in the training set."""
    x, y = _digits()
    train, check = slice(None, 1200), slice(1200, None)
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(1200, generator=generator) < 0.4
    labels = y[train].clone()
    labels[wrong] = torch.randint(10, (int(wrong.sum()),), generator=generator)
    data = Data.arrays(x[train], labels, validation=(x[check], y[check]))
    task = load_task("digits").replace(
        data=data, model=lambda: mlp(64, 64, 10), target=Target("accuracy", 0.9)
    )
    strategies: Strategies = {
        "none": None,
        **curricula(),
        "distillation": distillation(lambda: mlp(64, 64, 10), share=0.3),
        "growing batches": growing_batches(),
    }
    return Case(task, strategies, 15)


def few() -> Case:
    """Return whether a digit is odd by a few rows, where a model knows the ten digits from others."""
    x, y = _digits()
    train, check, known = slice(0, 40), slice(40, 640), slice(640, None)

    def model(outputs: int) -> Callable[[], nn.Module]:
        return lambda: mlp(64, 64, 64, outputs)

    ten = load_task("digits").replace(
        data=Data.arrays(x[known], y[known]), model=model(10), target=None
    )
    source = fit(ten, "adam", lr=1e-2, epochs=20, progress=False).model
    task = ten.replace(
        data=Data.arrays(x[train], y[train] % 2, validation=(x[check], y[check] % 2)),
        model=model(2),
        batch_size=8,
        target=Target("accuracy", 0.9),
    )
    hidden = ("0", "2")
    strategies: Strategies = {
        "none": None,
        "frozen, thawed": transfer(source, hidden),
        "slow copies": transfer(source, hidden, share=0, rates={"0": 0.1, "2": 0.1}),
        "copied alone": transfer(source, hidden, share=0),
        "autoencoders": pretraining("unsupervised"),
    }
    return Case(task, strategies, 20, (1e-3, 3e-3, *RATES))


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with what the branch makes of it."""
        return x + self.branch(x)


def residual() -> Case:
    """Return the digits by a deep residual net."""
    blocks = 12

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(64, 32), *(Block(32) for _ in range(blocks)), nn.Linear(32, 10)
        )

    strategies: Strategies = {
        "none": None,
        "stochastic depth": stochastic_depth(tuple(f"{k + 1}.branch" for k in range(blocks))),
        "growing batches": growing_batches(),
        "freezing": freezing({"1": (0, 0.5), "2": (0, 0.5)}),
        "distillation": distillation(lambda: mlp(64, 64, 10), share=0.3),
    }
    task = load_task("digits").replace(model=model)
    return Case(task, strategies, 10, (1e-3, 3e-3, 1e-2, 3e-2))


def _digits() -> tuple[Tensor, Tensor]:
    """Return all rows of the digits in a drawn order."""
    data = load_task("digits").data
    sets = [data.train, data.validation]
    x = torch.cat([torch.as_tensor(each.inputs) for each in sets])  # type: ignore[union-attr]
    y = torch.cat([torch.as_tensor(each.targets) for each in sets])  # type: ignore[union-attr]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    return x[order], y[order]


CASES = {"easy": easy, "deep": deep, "noisy": noisy, "few": few, "residual": residual}


def main() -> None:
    """Race the strategies of the chosen cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, default=8, help="that judge")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.cases:
        case = CASES[name]()
        entrants = [
            Entrant(each, optim.Adam, lrs=case.rates, strategy=strategy)
            for each, strategy in case.strategies.items()
        ]
        print(f"\n{name}")
        print(
            race(
                *(case.task, entrants),
                epochs=case.epochs,
                seeds=2,
                final_seeds=options.seeds,
                more_seeds=0,
                out=None,
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
