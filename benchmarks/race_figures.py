"""How true the figures beside a race's claims are: seconds, budget curves, widths of rates, medians.

Simulated races, whose truth is known, as in `claims.py`; nothing trains. Each row gives the figure as it was
reckoned before and as it is now.

    python benchmarks/race_figures.py [--races 300] [--section seconds]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from claims import (
    BUDGET,
    GOAL,
    SEEDS,
    SIZES,
    SPREAD,
    TYPICAL,
    Array,
    covered,
    is_told,
    share,
    trial,
)

from thalweg.race.entrants.entrant import Entrant
from thalweg.race.judging.judge import Judgement, judge
from thalweg.race.search.base import Score
from thalweg.race.search.grid import GridSearch
from thalweg.statistics import (
    SharedError,
    attainable,
    budget_curve,
    median_interval,
    sensitivity,
    width_interval,
)

TURNS = 11
"""Turns in which a race times a step."""
TUNING_SEEDS, POINTS = 3, 9
RATES = tuple(10.0 ** (k / 2) for k in range(-6, 1))
"""Two learning rates a decade, as the grids of races have them."""
Row = tuple[str, ...]

# -- seconds ----------------------------------------------------------------------------------------------

ERRORS = {
    "exact": (0.0, 0.0),
    "0.05": (0.05, 0.0),
    "0.10": (0.10, 0.0),
    "0.20": (0.20, 0.0),
    "0.05, and a drift of 0.03 that no turn shows": (0.05, 0.03),
}
"""The log standard deviation of the seconds of a step that the turns show, and that which they do not."""


def timed_races(
    ratios: Sequence[float], shown: float, hidden: float, number: int, *, carried: bool
) -> Iterator[Judgement]:
    """Judge races by seconds, whose steps were timed with an error that all seeds share."""
    rng = np.random.default_rng(4)
    names = [f"e{k}" for k in range(len(ratios))]
    for _ in range(number):
        noise = rng.standard_normal(SEEDS) + rng.standard_normal((len(ratios), SEEDS))
        steps = np.ceil(TYPICAL * np.exp(SPREAD * noise))
        error = math.hypot(shown, hidden) * rng.standard_normal(len(ratios))
        turns = shown * rng.standard_normal((len(ratios), TURNS))
        seconds = np.array(ratios) * np.exp(error)
        yield judge(
            [
                trial(name, s, float(steps[k, s]), BUDGET)
                for k, name in enumerate(names)
                for s in range(SEEDS)
            ],
            names,
            GOAL,
            "seconds",
            step_seconds=dict(zip(names, seconds.tolist(), strict=True)),
            step_errors={
                name: SharedError.of(row.tolist()) if carried else None
                for name, row in zip(names, turns, strict=True)
            },
        )


def timed_cell(entrants: int, shown: float, hidden: float, number: int) -> list[str]:
    """Level, coverage and power of races by seconds: before, and now."""
    found: list[list[float]] = []
    for carried in (False, True):
        make = partial(timed_races, shown=shown, hidden=hidden, number=number, carried=carried)
        equals = list(make([1.0] * entrants))
        ratios = np.geomspace(1, 2, entrants).tolist()
        unequal = list(make(ratios))
        apart = list(make([1.0, 1.7, *[1.3] * (entrants - 2)]))
        found.append(
            [
                share(any(is_told(c) for c in j.claims) for j in equals),
                share("e0" not in j.may_be_best for j in equals),
                share(covered(j, ratios) for j in unequal),
                share(j.claims[0].outcome == "better" for j in apart),
            ]
        )
    return [f"{before:.3f} → {now:.3f}" for before, now in zip(*found, strict=True)]


def seconds(pool: ProcessPoolExecutor, number: int) -> Iterator[Row]:
    """Races by seconds."""
    yield ("log-sd of the seconds of a step", *(f"{k} entrants" for k in SIZES))
    cells = {
        (name, k): pool.submit(timed_cell, k, *errors, number)
        for name, errors in ERRORS.items()
        for k in SIZES
    }
    what = ("a false claim, of equals", "a best one left out, of equals")
    what += (
        "all intervals hold, ratios 1 to 2",
        "entrants 1 and 2 told apart, ratios 1, 1.7, 1.3, …",
    )
    for place, measured in enumerate(what):
        for name in ERRORS:
            yield (f"{measured}: {name}", *(cells[name, k].result()[place] for k in SIZES))


# -- budget curves ------------------------------------------------------------------------------------------

VALLEYS: dict[str, Callable[[float], float]] = {
    "all points alike": lambda decades: 0.0,
    "2 times a decade from the best": lambda decades: math.log(2) * abs(decades),
    "10 times a decade from the best": lambda decades: math.log(10) * abs(decades),
}
"""The log of the true cost, so many decades from the best rate."""


def tuned(valley: Callable[[float], float], rng: np.random.Generator) -> tuple[Array, Array, int]:
    """Tune a grid of seven rates and two that it places: costs (seeds, points), true ones, how many drawn."""
    best = rng.uniform(-2.25, -0.75)
    shared = SPREAD * rng.standard_normal(TUNING_SEEDS)
    search = GridSearch(Entrant("e", _never, lrs=RATES), trials=POINTS, epochs=1)
    costs, true = list[Array](), list[float]()
    while asks := search.ask():
        scores = []
        for ask in asks:
            true.append(valley(math.log10(ask.point.lr) - best))
            costs.append(np.exp(true[-1] + shared + SPREAD * rng.standard_normal(TUNING_SEEDS)))
            scores.append(Score(float(np.median(costs[-1])), 0, 0))
        search.tell(scores)
    return np.array(costs).T, np.exp(true), len(RATES)


def _never(params: object, lr: float) -> None:
    raise AssertionError("no optimizer is built")


def budget_cell(name: str, number: int) -> Array:
    """What curves of 1, 3, 7 and 9 points show, as a share of what so many points are truly worth."""
    rng = np.random.default_rng(5)
    shown, worth = [], []
    for _ in range(number):
        costs, true, drawn = tuned(VALLEYS[name], rng)
        medians = np.median(costs, axis=0)
        folds = [np.median(np.delete(costs, seed, axis=0), axis=0) for seed in range(TUNING_SEEDS)]
        shown.append(
            [
                budget_curve(medians).expected,
                budget_curve(costs, selected_by=folds, drawn=drawn).expected,
            ]
        )
        worth.append(budget_curve(true, selected_by=medians, drawn=drawn).expected)
    ratio: Array = np.mean(shown, axis=0) / np.mean(worth, axis=0)
    return ratio[:, [0, 2, 6, 8]]


def budgets(pool: ProcessPoolExecutor, number: int) -> Iterator[Row]:
    """Budget curves: the figure shown, over what the point that is chosen is truly worth."""
    yield ("shown / true, of so many points", "1", "3", "7", "9")
    cells = {name: pool.submit(budget_cell, name, number) for name in VALLEYS}
    for name, cell in cells.items():
        yield (name, *(f"{before:.2f} → {now:.2f}" for before, now in cell.result().T))


# -- widths of learning rates -------------------------------------------------------------------------------

WIDTHS = [(width, spread) for width in (0.6, 1.2) for spread in (0.1, 0.25)]


def width_cell(width: float, spread: float, number: int) -> Row:
    """The widths that are seen, and how often the interval holds the true one."""
    rng, decades = np.random.default_rng(6), np.log10(RATES)
    seen, ends, holds = [], [], []
    for _ in range(number):
        true = math.log(2) * np.abs(decades + 1.5) / (width / 2)
        noise = rng.standard_normal((TUNING_SEEDS, 1))
        noise = noise + rng.standard_normal((TUNING_SEEDS, len(RATES)))
        interval = width_interval(RATES, np.exp(true + spread * noise))
        assert interval is not None
        seen.append(interval.estimate)
        ends.append((interval.low, interval.high))
        holds.append(sensitivity(RATES, np.exp(true)).width in interval)
    low, high = np.quantile(seen, [0.025, 0.975])
    middle = np.median(ends, axis=0)
    return (f"{low:.2f}–{high:.2f}", f"{middle[0]:.2f}–{middle[1]:.2f}", f"{share(holds):.3f}")


def widths(pool: ProcessPoolExecutor, number: int) -> Iterator[Row]:
    """Widths of the good learning rates, in decades."""
    yield (
        "true width, log-sd of costs",
        "seen in 95 % of races",
        "median interval",
        "it holds the true one",
    )
    cells = [pool.submit(width_cell, *world, number) for world in WIDTHS]
    for (width, spread), cell in zip(WIDTHS, cells, strict=True):
        yield (f"{width:.2f}, {spread:.2f}", *cell.result())


# -- medians ------------------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "log-normal, log-sd 0.25": (lambda rng, n: np.exp(0.25 * rng.standard_normal(n)), 1.0),
    "log-normal, log-sd 1": (lambda rng, n: np.exp(rng.standard_normal(n)), 1.0),
    "exponential": (lambda rng, n: rng.exponential(size=n), math.log(2)),
    "heavy tails (t, 2 degrees)": (lambda rng, n: 1000 + rng.standard_t(2, n), 1000.0),
}


def median_cell(name: str, seeds: int, number: int) -> str:
    """Coverage with order statistics and interpolated, and how much narrower the latter are."""
    rng = np.random.default_rng(7)
    draw, true = SHAPES[name]
    before, now, widths = [], [], []
    # the greatest depth whose order statistics cover 95 %
    depth = max(
        k
        for k in range(1, seeds // 2 + 1)
        if 1 - 2 * sum(math.comb(seeds, i) for i in range(k)) / 2**seeds >= 0.95
    )
    for _ in range(number):
        times = np.sort(draw(rng, seeds))
        interval = median_interval(times)
        outer = times[depth - 1], times[seeds - depth]
        before.append(outer[0] <= true <= outer[1])
        now.append(true in interval)
        widths.append((interval.high - interval.low) / (outer[1] - outer[0]))
    return f"{share(before):.3f} → {share(now):.3f}, {100 * (1 - np.mean(widths)):.0f} % narrower"


def medians(pool: ProcessPoolExecutor, number: int) -> Iterator[Row]:
    """How often the 95 % interval of a median holds it."""
    seeds = (6, 8, 12)
    assert attainable(seeds[0]) >= 0.95
    yield ("the interval holds the true median", *(f"{n} seeds" for n in seeds))
    for name in SHAPES:  # a few milliseconds a hundred: so many more
        yield (name, *(median_cell(name, n, 20 * number) for n in seeds))


SECTIONS = {"seconds": seconds, "budgets": budgets, "widths": widths, "medians": medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--races", type=int, default=300)
    parser.add_argument("--section", choices=SECTIONS, default=None)
    given = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        for name in [given.section] if given.section else SECTIONS:
            head, *rows = SECTIONS[name](pool, given.races)
            print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
            for row in rows:
                print(f"| {' | '.join(row)} |")
            print(flush=True)


if __name__ == "__main__":
    main()
