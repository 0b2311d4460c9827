"""Twelve starts on many networks: the tables of docs/init.md.

drift: how far activations and gradients go from the first hidden layer to the last, in nats, added up without
signs, of networks of 10, 50 and 200 layers: mean over the seeds. It is deterministic.

reach: steps of SGD with momentum until the loss on 512 rows of the digits falls to a target, for each start
on each network: the best learning rate of five by one seed, then the median over other seeds. Beside it the
start that `thalweg.init.compare` recommends, which looks at one batch and trains nothing, and its ratio to
the best of the twelve. A start that never gets there counts as the budget, and is marked.

    python benchmarks/starts.py [drift] [reach] [--seeds 5] [--steps 600] [--only relu]
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence

import torch
from _contest import print_table
from torch import Tensor, nn

from thalweg import init
from thalweg.errors import TaskError
from thalweg.init.compare import AS_BUILT
from thalweg.objective.losses import as_loss
from thalweg.tasks import load_task

STARTS = (
    AS_BUILT,
    "truncated_normal:std=0.02|bias",
    "lecun|bias",
    "glorot|bias",
    "he|bias",
    "sparse|bias",
    "random_walk|bias",
    "orthogonal|bias",
    "he|bias|scaled_branches",
    "he|bias|zero_branches",
    "he|fixup",
    "orthogonal|bias|lsuv",
)
WIDTH, BATCH, ROWS = 64, 64, 512
TARGET = 0.2
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
EVERY = 10

Build = Callable[[], nn.Module]


class Residual(nn.Module):
    """x + a branch of two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + self.branch(x)  # type: ignore[no-any-return]


def plain(depth: int, activation: type[nn.Module], norm: bool = False) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers.append(nn.Linear(WIDTH, WIDTH))
            layers += [nn.LayerNorm(WIDTH)] if norm else []
            layers.append(activation())
        return nn.Sequential(*layers, nn.Linear(WIDTH, 10))

    return build


def residual(depth: int) -> Build:
    blocks = depth // 2
    return lambda: nn.Sequential(
        nn.Linear(WIDTH, WIDTH), *(Residual(WIDTH) for _ in range(blocks)), nn.Linear(WIDTH, 10)
    )


def convolutions(depth: int) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
        for k in range(depth):
            layers += [nn.Conv2d(12 if k else 1, 12, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 16, 10))

    return build


KINDS: dict[str, Callable[[int], Build]] = {
    "tanh": lambda depth: plain(depth, nn.Tanh),
    "ReLU": lambda depth: plain(depth, nn.ReLU),
    "GELU": lambda depth: plain(depth, nn.GELU),
    "residual": residual,
}

NETWORKS: dict[str, Build] = {
    "2 ReLU": plain(2, nn.ReLU),
    "10 ReLU": plain(10, nn.ReLU),
    "20 ReLU": plain(20, nn.ReLU),
    "40 ReLU": plain(40, nn.ReLU),
    "10 tanh": plain(10, nn.Tanh),
    "40 tanh": plain(40, nn.Tanh),
    "20 GELU": plain(20, nn.GELU),
    "20 leaky ReLU": plain(20, lambda: nn.LeakyReLU(0.1)),  # type: ignore[arg-type]
    "20 ReLU, layer norm": plain(20, nn.ReLU, norm=True),
    "residual, 5 blocks": residual(10),
    "residual, 25 blocks": residual(50),
    "6 convolutions": convolutions(6),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=["drift", "reach"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", default="", help="a word in the name of a network")
    given = parser.parse_args()
    torch.set_num_threads(1)  # small products; and a neighbour's work then disturbs less
    for section in given.sections:
        if section == "drift":
            drift(given.seeds)
        elif section == "reach":
            reach(given.seeds, given.steps, given.only)
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


def reach(seeds: int, steps: int, word: str) -> None:
    """Print the steps to the target of each start on each network, and of the one that is recommended."""
    x, y = digits()
    networks = {name: build for name, build in NETWORKS.items() if word.lower() in name.lower()}
    counts: dict[tuple[str, str], float] = {}
    rows = []
    for network, build in networks.items():
        able = [name for name in STARTS if _matches(name, build, x)]
        for name in able:
            counts[name, network] = _steps(name, build, seeds, steps, x, y)
        recommended = compared(build, able, x, y, 5).recommended
        best = min(able, key=lambda name: counts[name, network])
        chosen = recommended[0] if recommended else "none"
        ratio = counts.get((chosen, network), math.nan) / counts[best, network]
        rows.append([network, best, _told(counts[best, network], steps), chosen, f"{ratio:.2f}"])
        print(*rows[-1], sep="  ", flush=True)
    table = [
        [name, *(_told(counts.get((name, n), math.nan), steps) for n in networks)]
        for name in STARTS
    ]
    title = f"Steps to a loss of {TARGET}, median of {seeds} seeds"
    print_table(title, ["start", *networks], table)
    print_table("The recommended start", ["network", "best", "steps", "recommended", "×"], rows)


def _matches(name: str, build: Build, x: Tensor) -> bool:
    """Whether a start is for something that the network has."""
    if name == AS_BUILT:
        return True
    try:
        init.apply(build(), init.find_strategy(name), x[:256])
    except TaskError:
        return False
    return True


def _told(count: float, steps: int) -> str:
    if math.isnan(count):
        return "–"
    return f">{steps}" if count > steps else f"{count:.0f}"


def _steps(name: str, build: Build, seeds: int, steps: int, x: Tensor, y: Tensor) -> float:
    tuned = []
    most = steps
    for rate in RATES:
        count, left = _until(name, build, rate, 1000, most, x, y)
        tuned.append((count, left, rate))
        most = min(most, int(count))  # a slower rate need not be followed further
    rate = min(tuned)[2]
    return statistics.median(
        _until(name, build, rate, seed, steps, x, y)[0] for seed in range(seeds)
    )


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
    last = math.inf
    for step in range(1, most + 1):
        rows = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % EVERY == 0:
            with torch.no_grad():
                last = float(nn.functional.cross_entropy(model(x[:ROWS]), y[:ROWS]))
            if last <= TARGET:
                return step, last
            if not math.isfinite(last):
                break
    return most + 1, last if math.isfinite(last) else math.inf


if __name__ == "__main__":
    main()
