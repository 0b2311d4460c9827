"""Twelve starts on many networks: the tables of docs/init.md.

drift: how far activations and gradients go from the first hidden layer to the last, in nats, added up without
signs, of networks of 10, 50 and 200 layers: mean over the seeds. It is deterministic.

reach: steps of SGD with momentum until the loss on 512 rows of the digits falls to a target, for each start
on each network: the best learning rate of five by one seed, then the median over other seeds. Beside it the
start that `thalweg.init.compare` recommends, which trains nothing, and its ratio to the best of the twelve. A
start is followed for 1.5 times the steps of the best one before it, at most for the budget, and no further
where by half of that it has lost less than a tenth of its loss; what has not arrived is marked by ">". With
--others the networks are those that played no part in making the recommendation; --also adds a start.

    python benchmarks/starts.py [drift] [reach] [--seeds 5] [--steps 600] [--only relu] [--others]
        [--also START]
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from _contest import print_table
from _start_networks import NETWORKS, OTHERS, Build, plain, residual
from torch import Tensor, nn

from thalweg import init
from thalweg.errors import TaskError
from thalweg.init.compare import AS_BUILT
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
BATCH, ROWS = 64, 512
TARGET = 0.2
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
    parser.add_argument("--others", action="store_true", help="the networks that judge")
    given = parser.parse_args()
    STARTS.extend(given.also)
    torch.set_flush_denormal(True)  # dead networks are slow otherwise
    torch.set_num_threads(1)  # small products; and a neighbour's work then disturbs less
    for section in given.sections:
        if section == "drift":
            drift(given.seeds)
        elif section == "reach":
            reach(given.seeds, given.steps, given.only, OTHERS if given.others else NETWORKS)
        else:
            parser.error(f"{section} is no section: drift or reach")


def digits() -> tuple[Tensor, Tensor]:
    train = load_task("digits").data.train
    return train.inputs.flatten(1), train.targets  # type: ignore[attr-defined]


def compared(
    build: Build, names: Sequence[str], x: Tensor, y: Tensor, seeds: int
) -> init.InitComparison:
    loss = as_loss("cross_entropy")
    return init.compare(build, names, x[:256], y[:256], loss, targets=y, seeds=seeds)


def drift(seeds: int) -> None:
    """Print the drift of each start by activation and depth."""
    x, y = digits()
    columns = [(kind, depth) for kind in KINDS for depth in (10, 50, 200)]
    cells = {}
    for kind, depth in columns:
        for name in STARTS:
            try:
                (started,) = compared(KINDS[kind](depth), [name], x, y, seeds).started
                cells[name, kind, depth] = _nats(started.drift)
            except TaskError:  # it is for branches, and there are none
                cells[name, kind, depth] = "–"
    rows = [[name, *(cells[name, kind, depth] for kind, depth in columns)] for name in STARTS]
    titles = [f"{kind} {depth}" for kind, depth in columns]
    print_table(f"Drift, nats, mean of {seeds} seeds", ["start", *titles], rows)


def _nats(spread: object) -> str:
    mean = math.nan if spread is None else spread.mean  # type: ignore[attr-defined]
    return "dead" if not math.isfinite(mean) else f"{mean:.1f}"


def reach(seeds: int, steps: int, word: str, networks: Mapping[str, Build]) -> None:
    """Print the steps to the target of each start on each network, and of the one that is recommended."""
    x, y = digits()
    networks = {name: build for name, build in networks.items() if word.lower() in name.lower()}
    counts: dict[str, dict[str, Count]] = {}
    rows = []
    for network, build in networks.items():
        counts[network] = of_starts(build, seeds, steps, x, y)
        rows.append([network, *judged(build, counts[network], x, y)])
        print(*rows[-1], sep="  ", flush=True)
    table = [[s, *(str(counts[n].get(s, "–")) for n in networks)] for s in STARTS]
    title = f"Steps to a loss of {TARGET}, median of {seeds} seeds"
    print_table(title, ["start", *networks], table)
    print_table("The recommended start", ["network", "best", "steps", "recommended", "×"], rows)


def of_starts(build: Build, seeds: int, steps: int, x: Tensor, y: Tensor) -> dict[str, Count]:
    """Return the steps of each start that has something to do on the network."""
    counts: dict[str, Count] = {}
    for name in STARTS:
        if _matches(name, build, x, y):
            arrived = [each.steps for each in counts.values() if each.arrived]
            most = int(min([steps, *(FOLLOWED * each for each in arrived)]))
            counts[name] = _counted(name, build, seeds, most, x, y)
    return counts


def judged(build: Build, counts: Mapping[str, Count], x: Tensor, y: Tensor) -> list[str]:
    """Return the best start, its steps, the recommended one and how many times as many it took."""
    best = min(counts, key=lambda name: (not counts[name].arrived, counts[name].steps))
    recommended = compared(build, list(counts), x, y, 3).recommended
    if not recommended:
        return [best, str(counts[best]), "none", "–"]
    chosen = counts[recommended[0]]
    ratio = f"{'' if chosen.arrived else '>'}{chosen.steps / counts[best].steps:.2f}"
    return [best, str(counts[best]), recommended[0], ratio]


def _matches(name: str, build: Build, x: Tensor, y: Tensor) -> bool:
    """Whether a start is for something that the network has."""
    if name == AS_BUILT:
        return True
    try:
        init.apply(build(), init.find_strategy(name), x[:256], y[:256], loss="cross_entropy")
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


def _counted(name: str, build: Build, seeds: int, most: int, x: Tensor, y: Tensor) -> Count:
    tuned = []
    limit = most
    for rate in RATES:
        count, left = _until(name, build, rate, 1000, limit, x, y)
        tuned.append((count, left, rate))
        limit = min(limit, int(count))
    count, _, rate = min(tuned)
    if count > most:
        return Count(most, arrived=False)
    found: list[float] = []
    while len(found) < seeds and sum(each > most for each in found) <= seeds // 2:
        found.append(_until(name, build, rate, len(found), most, x, y)[0])
    middle = statistics.median(found) if len(found) == seeds else math.inf
    return Count(min(middle, most), arrived=middle <= most)


def _until(
    name: str, build: Build, rate: float, seed: int, most: int, x: Tensor, y: Tensor
) -> tuple[float, float]:
    """Return the steps to the target (more than the budget where it is not reached), and the last loss."""
    torch.manual_seed(seed)
    model = build()
    if name != AS_BUILT:
        first = torch.randint(len(x), (256,))
        init.apply(
            model, init.find_strategy(name), x[first], y[first], seed=seed, loss="cross_entropy"
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    last, begun = math.inf, _loss(model, x, y)
    for step in range(1, most + 1):
        rows = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % EVERY == 0:
            last = _loss(model, x, y)
            if last <= TARGET:
                return step, last
            hopeless = step > most / 2 and last > LEFT * begun
            if not math.isfinite(last) or hopeless:
                break
    return most + 1, last if math.isfinite(last) else math.inf


@torch.no_grad()
def _loss(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float(nn.functional.cross_entropy(model(x[:ROWS]), y[:ROWS]))


if __name__ == "__main__":
    main()
