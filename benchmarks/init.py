"""What the start of a model does: the figures of docs/init.md.

drift: the log of the root mean square of activations and gradients, from the first layer to the last of 50
ReLU layers, in nats, median over the seeds with the least and the largest. It is deterministic.

transfer: the best learning rate of Adam by the width of a network, under the standard parametrization (he)
and under μP with the narrowest width as its base: for each seed the rate, of doublings of one another, with
the lowest loss on the digits after so many steps, and how many doublings it is from the narrowest width's.
How far that moves with the width is what a user would have to tune again. The last column is the loss at the
rate that is best for the narrowest width in the median.

epochs: epochs to a training loss on the digits, of a network of ten ReLU layers and SGD with momentum, from
PyTorch's own draw, he, LSUV and GradInit: the best learning rate for each, then the median over other seeds
with the least and the largest, and the seconds that the start itself takes. The starts take turns.

    python benchmarks/init.py [drift] [transfer] [epochs] [--seeds 8] [--steps 200] [--widths 64,256,1024]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from _contest import print_table
from torch import Tensor, nn

from thalweg import init
from thalweg.init.compare import AS_BUILT
from thalweg.objective.losses import as_loss
from thalweg.tasks import load_task

DEPTH = 50
STARTS = (AS_BUILT, "he|bias", "orthogonal|bias", "random_walk|bias", "orthogonal|lsuv")
TRAINED = (AS_BUILT, "he|bias", "orthogonal|lsuv", "he|bias|gradinit:optimizer=sgd,lr=0.01")
RATES = (0.01, 0.03, 0.1)
LOSS, MOST = 0.1, 30
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=["drift", "transfer", "epochs"])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--widths", default="64,256,1024")
    given = parser.parse_args()
    torch.set_num_threads(1)  # small products; and a neighbour's work then disturbs less
    for section in given.sections:
        if section == "drift":
            drift(given.seeds)
        elif section == "transfer":
            transfer(given.seeds, given.steps, [int(w) for w in given.widths.split(",")])
        elif section == "epochs":
            epochs(given.seeds)
        else:
            parser.error(f"{section} is no section: drift, transfer or epochs")


def stack_of(depth: int, into: int, width: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(depth):
        layers += [nn.Linear(width if k else into, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, out))


def digits() -> tuple[Tensor, Tensor]:
    train = load_task("digits").data.train
    return train.inputs.flatten(1), train.targets  # type: ignore[attr-defined]


def drift(seeds: int) -> None:
    """Print how far activations and gradients go from the first layer to the last."""
    x, y = digits()
    x, y = x[:256], y[:256]
    loss = as_loss("cross_entropy")
    rows = []
    for width in (64, 256):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
        for seed in range(seeds):
            for name in STARTS:
                found[name].append(_drift_of(name, width, seed, x, y, loss))
        for name, runs in found.items():
            forward, backward = zip(*runs, strict=True)
            rows.append([str(width), name, spread(forward), spread(backward)])
    title = f"Drift over {DEPTH} ReLU layers, nats, {seeds} seeds: median (least to largest)"
    print_table(title, ["width", "start", "activations", "gradients, downwards"], rows)


def _drift_of(
    name: str, width: int, seed: int, x: Tensor, y: Tensor, loss: Callable[..., Tensor]
) -> tuple[float, float]:
    torch.manual_seed(seed)
    model = stack_of(DEPTH, x.shape[1], width, 10)
    if name != AS_BUILT:
        init.apply(model, init.find_strategy(name), x, y, seed=seed)
    given: list[Tensor] = []
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(
                lambda _, __, out: (out.retain_grad(), given.append(out))[1]
            )
    loss(model(x), y).backward()

    def log_rms(values: Tensor) -> float:
        square = float(values.double().square().mean())
        return math.log(square) / 2 if square else -math.inf

    gradients = [each.grad for each in given]
    assert gradients[0] is not None
    assert gradients[-2] is not None
    return (
        log_rms(given[-2].detach()) - log_rms(given[0].detach()),
        log_rms(gradients[0]) - log_rms(gradients[-2]),
    )


def transfer(seeds: int, steps: int, widths: Sequence[int]) -> None:
    """Print the best learning rate of Adam by width, with and without μP."""
    x, y = digits()
    rates = [2.0**k for k in range(-13, -2)]
    ways = ("standard", "μP")
    losses: dict[tuple[str, int, float], list[float]] = {}
    for seed in range(seeds):
        for width in widths:
            for rate in rates:
                for way in ways:
                    last = _after(way, width, widths[0], rate, seed, steps, x, y)
                    losses.setdefault((way, width, rate), []).append(last)
    table = [
        [way, str(w), *_moved(losses, way, w, widths[0], rates)] for way in ways for w in widths
    ]
    title = (
        f"Adam on the digits, loss after {steps} steps, {seeds} seeds: median (least to largest)"
    )
    headings = ["", "width", "best rate, log₂", "moved, doublings", "its loss"]
    print_table(title, [*headings, "loss at the narrowest's rate"], table)


def _moved(
    losses: Mapping[tuple[str, int, float], Sequence[float]],
    way: str,
    width: int,
    narrowest: int,
    rates: Sequence[float],
) -> list[str]:
    """Return the best rate of each seed, how far it is from the narrowest width's, and what it gives."""
    seeds = range(len(losses[way, width, rates[0]]))
    best = [min(rates, key=lambda rate: losses[way, width, rate][k]) for k in seeds]
    base = [min(rates, key=lambda rate: losses[way, narrowest, rate][k]) for k in seeds]
    common = min(rates, key=lambda rate: statistics.median(losses[way, narrowest, rate]))
    return [
        spread([math.log2(rate) for rate in best], ".0f"),
        spread([math.log2(rate / from_) for rate, from_ in zip(best, base, strict=True)], "+.0f"),
        spread([losses[way, width, rate][k] for k, rate in zip(seeds, best, strict=True)], ".4f"),
        spread(losses[way, width, common], ".4f"),
    ]


def _after(
    way: str, width: int, base: int, rate: float, seed: int, steps: int, x: Tensor, y: Tensor
) -> float:
    torch.manual_seed(seed)
    model = stack_of(3, x.shape[1], width, 10)
    init.apply(model, init.he() | init.bias(), seed=seed)
    if way == "μP":
        mup = init.mup(model, base=stack_of(3, x.shape[1], base, 10))
        optimizer = torch.optim.Adam(mup.groups(model, lr=rate))
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        last = float(nn.functional.cross_entropy(model(x), y))
    return last if math.isfinite(last) else math.inf


def epochs(seeds: int) -> None:
    """Print the epochs to a training loss by start."""
    x, y = digits()
    tuned: dict[str, list[tuple[float, float]]] = {name: [] for name in TRAINED}
    for rate in RATES:
        for name in TRAINED:
            runs = [_until(name, rate, 1000 + seed, x, y)[0] for seed in range(2)]
            tuned[name].append((statistics.median(runs), rate))
    counts: dict[str, list[float]] = {name: [] for name in TRAINED}
    took: dict[str, list[float]] = {name: [] for name in TRAINED}
    for seed in range(seeds):
        for name in TRAINED:
            count, seconds = _until(name, min(tuned[name])[1], seed, x, y)
            counts[name].append(count)
            took[name].append(seconds)
    rows = [
        [
            *(name, f"{min(tuned[name])[1]:g}", spread(counts[name], ".1f")),
            f"{statistics.median(took[name]):.3f} s",
        ]
        for name in TRAINED
    ]
    title = (
        f"SGD on the digits, ten layers of 64: epochs to a training loss of {LOSS}, {seeds} seeds"
    )
    print_table(
        title, ["start", "rate", "epochs: median (least to largest)", "starting takes"], rows
    )


def _until(name: str, rate: float, seed: int, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the epochs until the loss of the whole set is low, in quarters, and the seconds of the start."""
    torch.manual_seed(seed)
    model = stack_of(10, x.shape[1], 64, 10)
    begun = time.perf_counter()
    if name != AS_BUILT:
        batch = torch.randint(len(x), (256,))
        strategy = init.find_strategy(name)
        init.apply(model, strategy, x[batch], y[batch], seed=seed, loss="cross_entropy")
    seconds = time.perf_counter() - begun
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    quarter = max(1, len(x) // BATCH // 4)
    for step in range(1, MOST * 4 * quarter + 1):
        rows = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % quarter == 0:
            with torch.no_grad():
                if float(nn.functional.cross_entropy(model(x), y)) <= LOSS:
                    return step / (4 * quarter), seconds
    return math.inf, seconds


def spread(values: Sequence[float], how: str = "+.2f") -> str:
    return f"{statistics.median(values):{how}} ({min(values):{how}} to {max(values):{how}})"


if __name__ == "__main__":
    main()
