"""How often the claims of a race are wrong, and how small a difference they can see.

Simulated races, whose truth is known, go through the judge; nothing trains. Each has eight final seeds.
The logarithm of a time to the target has a part of standard deviation 0.25 that is shared by all who train
from the same seed, and drops out of pairs, and one of 0.25 of its own. Each rate comes from `--races` races:
with 300 of them, one of 5 % is known to ± 1.3 % (its standard error). The cells of the table run side by
side, one process a core. Then whole races are run, tuning and all: see `_whole_races.py`.

    python benchmarks/claims.py [--races 200]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from _whole_races import print_whole_races
from numpy.typing import NDArray

from thalweg.race.judging.claims import Claim
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.judging.reached import Goal
from thalweg.race.trials.records import Curve, TrialRecord

SEEDS, SPREAD = 8, 0.25
TYPICAL, BUDGET = 100_000, 10_000_000
"""The steps to the target of an entrant at ratio 1, and those of a trial: far more than any needs."""
SIZES = (2, 6, 10)
GOAL = Goal("accuracy", "max", 0.9)
Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]
"""Makes noise for so many entrants: a table of (entrants, seeds), to be added to logarithms of times."""


@dataclass(frozen=True)
class World:
    """What races are drawn from: the noise, the evaluation interval in steps, and the budget of a trial."""

    noise: Draw
    interval: float = 1.0
    budget: float = BUDGET


def log_normal(rng: np.random.Generator, entrants: int) -> Array:
    return SPREAD * rng.standard_normal((entrants, SEEDS))


def heavy_tails(rng: np.random.Generator, entrants: int) -> Array:
    return 0.6 * SPREAD * rng.standard_t(2, (entrants, SEEDS))


def skewed(rng: np.random.Generator, entrants: int) -> Array:
    return SPREAD * rng.exponential(size=(entrants, SEEDS))


def opposite_skews(rng: np.random.Generator, entrants: int) -> Array:
    """Equal geometric means, with a tail above for one and below for the next."""
    way = np.where(np.arange(entrants) % 2, 1.0, -1.0)[:, None]
    return SPREAD * way * (rng.exponential(size=(entrants, SEEDS)) - 1)


def one_noisy(times: float) -> Draw:
    """The last entrant's times spread so many times as much."""

    def draw(rng: np.random.Generator, entrants: int) -> Array:
        spread = np.full((entrants, 1), SPREAD)
        spread[-1] *= times
        return spread * rng.standard_normal((entrants, SEEDS))

    return draw


WORLDS = {
    "log-normal": World(log_normal),
    "heavy tails (t, 2 degrees)": World(heavy_tails),
    "skewed alike": World(skewed),
    "one with 2 times the spread": World(one_noisy(2)),
    "one with 4 times the spread": World(one_noisy(4)),
    "ties (six evaluations to the target)": World(log_normal, interval=TYPICAL / 6),
    "a third of the trials miss": World(log_normal, budget=1.15 * TYPICAL),
    "opposite skews": World(opposite_skews),
}
UNEQUAL = ("log-normal", "heavy tails (t, 2 degrees)", "one with 4 times the spread")
BESIDE = ("log-normal", "one with 2 times the spread", "one with 4 times the spread")


def races(world: World, ratios: Sequence[float], number: int, seed: int = 0) -> Iterator[Judgement]:
    """Judge so many races of entrants whose geometric means have these ratios."""
    rng = np.random.default_rng(seed)
    names = [f"e{k}" for k in range(len(ratios))]
    for _ in range(number):
        shared = SPREAD * rng.standard_normal(SEEDS)
        logs = np.log(ratios)[:, None] + shared + world.noise(rng, len(ratios))
        steps = np.ceil(TYPICAL * np.exp(logs) / world.interval) * world.interval
        records = [
            trial(name, s, float(steps[k, s]), world.budget)
            for k, name in enumerate(names)
            for s in range(SEEDS)
        ]
        yield judge(records, names, GOAL)


def trial(entrant: str, seed: int, steps: float, budget: float) -> TrialRecord:
    """A final trial that meets the target after so many steps, if they are within the budget."""
    hit = steps <= budget
    at = round(steps if hit else budget)
    curve = Curve((1,), (at,), (1.0,), (float(at),), (0.1,), (0.95 if hit else 0.5,))
    return TrialRecord(
        f"{entrant} {seed}",
        entrant,
        0.1,
        seed,
        "finished",
        stage="final",
        steps=round(budget),
        gradients=budget,
        final=0.95 if hit else 0.5,
        curve=curve,
    )


@dataclass(frozen=True)
class Cell:
    """Races of one kind: what was found in how many of them."""

    told: float
    covered: float
    disagree: int
    left_out: float
    winner: float
    in_set: float
    first_pair: float


def cell(world: str, ratios: Sequence[float], number: int, seed: int = 0) -> Cell:
    """Judge races, of which entrant 0 is (one of) the fastest."""
    judged = list(races(WORLDS[world], ratios, number, seed))
    return Cell(
        told=share(any(is_told(c) for c in j.claims) for j in judged),
        covered=share(covered(j, ratios) for j in judged),
        disagree=sum((1.0 not in c.effect) != is_told(c) for j in judged for c in j.claims),
        left_out=share("e0" not in j.may_be_best for j in judged),
        winner=share(len(j.may_be_best) == 1 for j in judged),
        in_set=share(len(j.may_be_best) for j in judged),
        first_pair=share(j.claims[0].outcome == "better" for j in judged),
    )


def is_told(claim: Claim) -> bool:
    return claim.outcome != "not distinguishable"


def covered(judgement: Judgement, ratios: Sequence[float]) -> bool:
    """Whether the intervals of all pairs hold the true ratio, but for the rounding of steps."""
    true = {f"e{k}": ratio for k, ratio in enumerate(ratios)}
    return all(
        c.effect.low * (1 - 1e-4) <= true[c.first] / true[c.second] <= c.effect.high * (1 + 1e-4)
        for c in judgement.claims
    )


def share(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def detectable(entrants: int, number: int) -> float:
    """How many times as long the others must take for the winner to be named in 80 % of races."""
    low, high = 1.2, 2.4
    for _ in range(6):
        ratio = math.sqrt(low * high)
        if cell("log-normal", [1.0, *[ratio] * (entrants - 1)], number, seed=3).winner < 0.8:
            low = ratio
        else:
            high = ratio
    return math.sqrt(low * high)


class Cells:
    """Runs cells side by side, and prints a row of them as soon as it is there."""

    def __init__(self, pool: ProcessPoolExecutor, number: int) -> None:
        self.number = number
        self._pool = pool
        self._rows: list[tuple[str, str, str, list[Future[Cell]]]] = []

    def row(self, claim: str, what: str, field: str, cells: list[Future[Cell]]) -> None:
        """Plan a row: a field of each cell."""
        self._rows.append((claim, what, field, cells))

    def of(
        self, world: str, ratios: Callable[[int], Sequence[float]], seed: int
    ) -> list[Future[Cell]]:
        """Start a cell for each number of entrants."""
        return [self._pool.submit(cell, world, ratios(k), self.number, seed) for k in SIZES]

    def print(self) -> None:
        """Print the rows in their order, each as soon as it is there."""
        print(f"| what is measured | races of | {' | '.join(f'{k} entrants' for k in SIZES)} |")
        print("|---|---|---|---|---|")
        for claim, what, field, cells in self._rows:
            found = [f"{getattr(each.result(), field):.3f}" for each in cells]
            print(f"| {claim} | {what} | {' | '.join(found)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--races", type=int, default=200)
    number = parser.parse_args().races
    with ProcessPoolExecutor() as pool:
        cells = Cells(pool, number)
        ratios = [pool.submit(detectable, k, number) for k in reversed(SIZES)][::-1]
        everything = plan(cells)
        cells.print()
        wrong = sum(each.result().disagree for each in everything)
        print(f"| pairs whose interval and verdict disagree | all of the above | {wrong} | | |")
        found = " | ".join(f"{ratio.result():.2f}" for ratio in ratios)
        print(f"| the winner is named in 80 % of races | one faster than the others by | {found} |")
        print_whole_races(pool, number)


def plan(cells: Cells) -> list[Future[Cell]]:
    """Start all cells and plan their rows."""
    started = []
    for world in WORLDS:
        row = cells.of(world, lambda k: [1.0] * k, 0)
        cells.row("any pair told apart", f"equals: {world}", "told", row)
        cells.row("one of the best left out of the set", f"equals: {world}", "left_out", row)
        cells.row("a winner named", f"equals: {world}", "winner", row)
        started += row
    for world in UNEQUAL:
        row = cells.of(world, lambda k: np.geomspace(1, 2, k).tolist(), 1)
        cells.row("all intervals hold their ratios", f"ratios 1 to 2: {world}", "covered", row)
        cells.row("the best left out of the set", f"ratios 1 to 2: {world}", "left_out", row)
        cells.row("entrants in the set", f"ratios 1 to 2: {world}", "in_set", row)
        started += row
    for world in BESIDE:
        row = cells.of(world, lambda k: [1.0, 1.7, *[1.3] * (k - 2)], 2)
        cells.row("the first pair told apart", f"ratios 1, 1.7, 1.3, …: {world}", "first_pair", row)
        started += row
    return started


if __name__ == "__main__":
    main()
