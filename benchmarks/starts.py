"""Twelve starts on many networks: the tables of docs/init.md.

drift: how far activations and gradients go from the first hidden layer to the last, in nats, added up without
signs, of networks of 10, 50 and 200 layers: mean over the seeds. It is deterministic.

reach: steps of SGD with momentum until the loss on 512 rows of the digits falls to a target, for each start
on each network: the best learning rate of five by one seed, then the median over other seeds. Beside it the
start that `thalweg.init.compare` recommends, which trains nothing, and its ratio to the best of the twelve,
with those of the usual start and of the one with the fewest linear steps; and where LSUV is not compared.
"too hopeful" is by what factor the linear steps put a start too far ahead of the usual one. A start is
followed for 1.5 times the steps of the best one before it, at most for the budget, and no further where by
half of that it has lost less than a tenth of its loss; what has not arrived is marked by ">". --others takes
further networks, --judges those whose kinds played no part in making the recommendation; --also adds a start.

    python benchmarks/starts.py [drift] [reach] [--seeds 5] [--steps 600] [--only relu]
        [--others | --judges] [--also START]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from _contest import print_table
from _start_judges import JUDGES, Problem
from _start_networks import NETWORKS, OTHERS, Build, plain, residual
from torch import Tensor, nn

from thalweg import init
from thalweg.errors import TaskError
from thalweg.init.compare import AS_BUILT, Started
from thalweg.objective.losses import as_loss
from thalweg.tasks import load_task

STARTS = [
    "orthogonal|bias",
    "orthogonal|bias|lsuv",
    "glorot|bias",
    "he|bias",
    "random_walk|bias",
    "sparse|bias",
    "lecun|bias",
    "he|bias|scaled_branches",
    "he|bias|zero_branches",
    "he|fixup",
    AS_BUILT,
    "truncated_normal:std=0.02|bias",
]
USUAL = "orthogonal|bias|lsuv"
BATCH, ROWS = 64, 512
RATES = (0.03, 0.01, 0.1, 0.003, 0.001)
"""The likely ones first: a rate is not followed further than the best before it."""
EVERY = 5
FOLLOWED = 1.5
"""How many times the steps of the best start another one is followed."""
LEFT = 0.9
"""The part of its loss that a run must have gone below by half of what it is followed."""

KINDS: dict[str, Callable[[int], Build]] = {
    "tanh": lambda depth: plain(depth, nn.Tanh),
    "ReLU": lambda depth: plain(depth, nn.ReLU),
    "GELU": lambda depth: plain(depth, nn.GELU),
    "residual": residual,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=["drift", "reach"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", default="", help="a word in the name of a network")
    parser.add_argument("--also", action="append", default=[], help="a further start")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--others", action="store_true", help="the second dozen of networks")
    which.add_argument("--judges", action="store_true", help="the networks that judge")
    given = parser.parse_args()
    STARTS.extend(given.also)
    torch.set_flush_denormal(True)  # dead networks are slow otherwise
    torch.set_num_threads(1)  # small products; and a neighbour's work then disturbs less
    for section in given.sections:
        if section == "drift":
            drift(given.seeds)
        elif section == "reach":
            networks = OTHERS if given.others else NETWORKS
            problems = {name: Problem(build) for name, build in networks.items()}
            reach(given.seeds, given.steps, given.only, JUDGES if given.judges else problems)
        else:
            parser.error(f"{section} is no section: drift or reach")


def digits() -> tuple[Tensor, Tensor]:
    train = load_task("digits").data.train
    return train.inputs.flatten(1), train.targets  # type: ignore[attr-defined]


def compared(
    problem: Problem, names: Sequence[str], x: Tensor, y: Tensor, seeds: int
) -> init.InitComparison:
    loss = as_loss(problem.loss)
    return init.compare(problem.build, names, x[:256], y[:256], loss, targets=y, seeds=seeds)


def drift(seeds: int) -> None:
    """Print the drift of each start by activation and depth."""
    x, y = digits()
    columns = [(kind, depth) for kind in KINDS for depth in (10, 50, 200)]
    cells = {}
    for kind, depth in columns:
        for name in STARTS:
            try:
                problem = Problem(KINDS[kind](depth))
                (started,) = compared(problem, [name], x, y, seeds).started
                cells[name, kind, depth] = _nats(started.drift)
            except TaskError:  # it is for branches, and there are none
                cells[name, kind, depth] = "–"
    rows = [[name, *(cells[name, kind, depth] for kind, depth in columns)] for name in STARTS]
    titles = [f"{kind} {depth}" for kind, depth in columns]
    print_table(f"Drift, nats, mean of {seeds} seeds", ["start", *titles], rows)


def _nats(spread: object) -> str:
    mean = math.nan if spread is None else spread.mean  # type: ignore[attr-defined]
    return "dead" if not math.isfinite(mean) else f"{mean:.1f}"


def reach(seeds: int, steps: int, word: str, problems: Mapping[str, Problem]) -> None:
    """Print the steps to the target of each start on each network, and of the one that is recommended."""
    problems = {name: each for name, each in problems.items() if word.lower() in name.lower()}
    counts: dict[str, dict[str, Count]] = {}
    rows = []
    for network, problem in problems.items():
        x, y = problem.data(*digits())
        counts[network] = of_starts(problem, seeds, steps, x, y)
        rows.append([network, *judged(problem, counts[network], x, y)])
        print(*rows[-1], sep="  ", flush=True)
    table = [[s, *(str(counts[n].get(s, "–")) for n in problems)] for s in STARTS]
    print_table(f"Steps to the target, median of {seeds} seeds", ["start", *problems], table)
    with_all = ["recommended", "×", "usual ×", "fewest linear ×"]
    without = ["without LSUV", "×", "orthogonal ×"]
    titles = ["network", "best", "steps", *with_all, *without, "too hopeful"]
    print_table("The recommended start, and the usual one everywhere", titles, rows)


def of_starts(problem: Problem, seeds: int, steps: int, x: Tensor, y: Tensor) -> dict[str, Count]:
    """Return the steps of each start that has something to do on the network."""
    counts: dict[str, Count] = {}
    for name in STARTS:
        if _matches(name, problem, x, y):
            arrived = [each.steps for each in counts.values() if each.arrived]
            most = int(min([steps, *(FOLLOWED * each for each in arrived)]))
            counts[name] = _counted(Trainee(problem, name, x, y), seeds, most)
    return counts


def judged(problem: Problem, counts: Mapping[str, Count], x: Tensor, y: Tensor) -> list[str]:
    """Return the best start, its steps, the recommended one, and how many times as many it, the usual one and
    the one with the fewest linear steps took; the first two without LSUV; and how far the forecast was wrong.
    """
    found = compared(problem, list(counts), x, y, 3)
    unscaled = dataclasses.replace(
        found, started=tuple(s for s in found.started if s.name != USUAL)
    )
    forecast = _forecast(found.started)
    fewest = min(forecast, key=lambda name: forecast[name], default="none")
    chosen, other = ((*each.recommended, "none")[0] for each in (found, unscaled))
    left = {each.name: counts[each.name] for each in unscaled.started}
    return [
        *(_best(counts), str(counts[_best(counts)])),
        *(chosen, *(_ratio(name, counts) for name in (chosen, USUAL, fewest))),
        *(other, *(_ratio(name, left) for name in (other, USUAL.removesuffix("|lsuv")))),
        f"{_hope(forecast, counts):.1f}",
    ]


def _best(counts: Mapping[str, Count]) -> str:
    return min(counts, key=lambda name: (not counts[name].arrived, counts[name].steps))


def _ratio(name: str, counts: Mapping[str, Count]) -> str:
    """Return how many times the steps of the best start another one took."""
    if name not in counts:
        return "–"
    mark = "" if counts[name].arrived else ">"
    return f"{mark}{counts[name].steps / counts[_best(counts)].steps:.2f}"


def _forecast(started: Sequence[Started]) -> dict[str, float]:
    """Return the mean of the logarithm of the linear steps, where there are any."""
    return {
        each.name: statistics.fmean(map(math.log1p, each.steps)) for each in started if each.steps
    }


def _hope(forecast: Mapping[str, float], counts: Mapping[str, Count]) -> float:
    """Return by what factor the linear steps put a start too far ahead of the usual one, of those that
    arrived: 1 where no such start is put ahead, infinite where the usual one is said never to arrive.
    """
    wrong = {
        n: each - math.log(counts[n].steps) for n, each in forecast.items() if counts[n].arrived
    }
    usual = wrong.get(USUAL, math.nan)
    known = [each for each in wrong.values() if each < math.inf]
    return max((math.exp(usual - each) for each in known), default=math.nan)


def _matches(name: str, problem: Problem, x: Tensor, y: Tensor) -> bool:
    """Whether a start is for something that the network has."""
    if name == AS_BUILT:
        return True
    strategy = init.find_strategy(name)
    try:
        init.apply(problem.build(), strategy, x[:256], y[:256], loss=problem.loss)
    except TaskError:
        return False
    return True


@dataclass(frozen=True)
class Count:
    """The median of the steps to the target; or how far it was followed without arriving."""

    steps: float
    arrived: bool

    def __str__(self) -> str:
        return f"{'' if self.arrived else '>'}{self.steps:.0f}"


def _counted(trainee: Trainee, seeds: int, most: int) -> Count:
    tuned = []
    limit = most
    for rate in RATES:
        count, left = trainee.until(rate, 1000, limit)
        tuned.append((count, left, rate))
        limit = min(limit, int(count))
    count, _, rate = min(tuned)
    if count > most:
        return Count(most, arrived=False)
    found: list[float] = []
    while len(found) < seeds and sum(each > most for each in found) <= seeds // 2:
        found.append(trainee.until(rate, len(found), most)[0])
    middle = statistics.median(found) if len(found) == seeds else math.inf
    return Count(min(middle, most), arrived=middle <= most)


@dataclass(frozen=True)
class Trainee:
    """A network with one of the starts."""

    problem: Problem
    start: str
    x: Tensor
    y: Tensor

    def until(self, rate: float, seed: int, most: int) -> tuple[float, float]:
        """Return the steps to the target, more than the budget where it is not reached, and the last loss."""
        torch.manual_seed(seed)
        model = self._begun(seed)
        rate *= self.problem.faster
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        loss = as_loss(self.problem.loss)
        last, begun = math.inf, self._loss(model)
        for step in range(1, most + 1):
            rows = torch.randint(len(self.x), (BATCH,))
            value = loss(model(self.x[rows]), self.y[rows])
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % EVERY == 0:
                last = self._loss(model)
                if last <= self.problem.target:
                    return step, last
                hopeless = step > most / 2 and last > LEFT * begun
                if not math.isfinite(last) or hopeless:
                    break
        return most + 1, last if math.isfinite(last) else math.inf

    def _begun(self, seed: int) -> nn.Module:
        model = self.problem.build()
        if self.start != AS_BUILT:
            first = torch.randint(len(self.x), (256,))
            x, y = self.x[first], self.y[first]
            strategy = init.find_strategy(self.start)
            init.apply(model, strategy, x, y, seed=seed, loss=self.problem.loss)
        return model

    @torch.no_grad()
    def _loss(self, model: nn.Module) -> float:
        return float(as_loss(self.problem.loss)(model(self.x[:ROWS]), self.y[:ROWS]))


if __name__ == "__main__":
    main()
