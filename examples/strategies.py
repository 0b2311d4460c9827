"""Race strategies at equal cost: a curriculum, pretraining, and a control that changes nothing.

python examples/strategies.py

`benchmarks/strategies.py` has more of them, on five tasks: the tables of docs/strategies.md.
"""

from __future__ import annotations

import itertools

from torch import nn

from thalweg import load_task, optim, race
from thalweg.race import Entrant
from thalweg.strategies import Strategy, curriculum, plain, pretraining


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


STRATEGIES: dict[str, Strategy | None] = {
    "none": None,
    "plain": plain(),
    "easy first": curriculum(),
    "supervised": pretraining(),
}


def main() -> None:
    """Race Adam on the digits by each strategy."""
    task = load_task("digits").replace(model=lambda: mlp(64, 32, 32, 10))
    entrants = [
        Entrant(name, optim.Adam, lrs=(1e-2, 3e-2, 1e-1), strategy=strategy)
        for name, strategy in STRATEGIES.items()
    ]
    print(race(task, entrants, epochs=8, seeds=1, final_seeds=2, out=None, more_seeds=0))


if __name__ == "__main__":
    main()
