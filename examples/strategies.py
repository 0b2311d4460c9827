"""Race strategies at equal cost: curricula and their controls, pretraining, a net that grows.

python examples/strategies.py          a small race, in about a minute
python examples/strategies.py --full   the table of docs/strategies.md
"""

from __future__ import annotations

import itertools
import sys

from torch import nn

from thalweg import load_task, optim, race
from thalweg.race import Entrant
from thalweg.strategies import (
    Strategy,
    copied_layers,
    curriculum,
    distillation,
    net2net,
    plain,
    pretraining,
)


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


STRATEGIES: dict[str, Strategy | None] = {
    "none": None,
    "plain": plain(),
    "two parts": plain(parts=2),
    "easy first": curriculum(),
    "hard first": curriculum(order="hard"),
    "drawn order": curriculum(order="random"),
    "mixture": curriculum(sampling="stochastic"),
    "self-paced": curriculum("self"),
    "supervised": pretraining(),
    "autoencoders": pretraining("unsupervised"),
    "net2net": net2net(lambda: mlp(64, 16, 16, 10)),
    "copied layers": copied_layers(lambda: mlp(64, 32, 10), {"0": "0"}),
    "distillation": distillation(lambda: mlp(64, 64, 10), share=0.3),
}


def main() -> None:
    """Race Adam on the digits by each strategy."""
    full = "--full" in sys.argv
    task = load_task("digits").replace(model=lambda: mlp(64, 32, 32, 10))
    names = list(STRATEGIES) if full else ["none", "plain", "easy first"]
    entrants = [
        Entrant(name, optim.Adam, lrs=(1e-2, 3e-2, 1e-1), strategy=STRATEGIES[name])
        for name in names
    ]
    seeds = {"seeds": 2, "final_seeds": 8} if full else {"seeds": 1, "final_seeds": 2}
    print(race(task, entrants, **seeds, epochs=10 if full else 3, out=None, more_seeds=0))


if __name__ == "__main__":
    main()
