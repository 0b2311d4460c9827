"""Which trials train together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Container, Iterable
from typing import Any

from thalweg.race.trials.plan import Trial, Unit


def stacks(
    trials: Iterable[tuple[str, Trial]], size: int, alone: Container[str] = (), shares: int = 1
) -> list[Unit]:
    """Return the units in which trials (with their keys) train: stacks of up to `size`.

    Trials of as many epochs and of one batch size go together, in the order given, in stacks that
    differ by one trial at most, as many as can be dealt out in equal `shares`. Entrants named in
    `alone` train one by one.

    >>> import torch
    >>> from thalweg.race.entrants.known import Entrant
    >>> from thalweg.race.trials.point import Point
    >>> sgd = Entrant("sgd", torch.optim.SGD)
    >>> trials = [(str(seed), Trial(sgd, Point(0.1), seed, epochs=3)) for seed in range(5)]
    >>> [[key for key, _ in unit] for unit in stacks(trials, size=3)]
    [['0', '1'], ['2', '3', '4']]
    >>> [len(unit) for unit in stacks(trials, size=8, shares=2)]
    [2, 3]
    """
    units: list[Unit] = []
    alike: dict[Any, list[tuple[str, Trial]]] = {}
    for key, trial in trials:
        if trial.entrant.name in alone or size < 2:
            units.append(((key, trial),))
        else:
            alike.setdefault((trial.epochs, trial.entrant.batch_size), []).append((key, trial))
    for together in alike.values():
        count = min(len(together), shares * math.ceil(len(together) / (size * shares)))
        cuts = [round(k * len(together) / count) for k in range(count + 1)]
        units += [tuple(together[a:b]) for a, b in itertools.pairwise(cuts)]
    return units
