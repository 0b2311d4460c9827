"""What products with curvature cost beside a gradient, and the density of a Hessian.

Of digits_cnn and of a wide net: a gradient of one batch, and products with Hessian, Gauss-Newton matrix
and Fisher information on the kept graph, one at a time and sixteen in a call that builds the graph, in
processor time on one thread, interleaved. Beside them those of curvlinops where it is installed. The
memory is what the kept graph holds.

    python benchmarks/curvature.py             about 2 minutes
    python benchmarks/curvature.py --quick     a few seconds a net, without the density
    python benchmarks/curvature.py --density   the density of digits_cnn's Hessian after 5 epochs, as JSON
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
from collections.abc import Callable
from typing import Any

import torch
from _contest import Contestant, contest
from solvers_speed import Timed
from torch import nn

from thalweg.curvature import density, fisher, ggn, hessian
from thalweg.tasks import load_task
from thalweg.train import fit

SEVERAL = 16


def nets() -> dict[str, tuple[nn.Module, Any, Any]]:
    """Return models with a batch of 128 rows each."""
    torch.manual_seed(0)
    task = load_task("digits_cnn")
    x, y = next(iter(task.data.train.batches(128)))
    wide = nn.Sequential(
        nn.Linear(64, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 10)
    )
    return {"digits_cnn": (task.build().eval(), x, y), "wide": (wide, x.reshape(128, -1), y)}


def contestants(model: nn.Module, x: Any, y: Any) -> list[Contestant]:
    """Return a gradient, and products of each kind."""
    loss = nn.functional.cross_entropy
    parameters = list(model.parameters())
    found = [Timed("gradient", lambda: torch.autograd.grad(loss(model(x), y), parameters))]
    for make in (hessian, ggn, fisher):
        a = make(model, "cross_entropy", (x, y))
        v = torch.randn(a.shape[0])
        found.append(Timed(f"{make.__name__} @ v", _product(a, v)))
        found.append(Timed(f"{make.__name__} @ V", _afresh(a, torch.randn(a.shape[0], SEVERAL))))
    return found + _curvlinops(model, x, y)


def _product(a: Any, v: torch.Tensor) -> Callable[[], object]:
    return lambda: a @ v


def _afresh(a: Any, v: torch.Tensor) -> Callable[[], object]:
    def run() -> object:
        a.release()
        return a @ v

    return run


def _curvlinops(model: nn.Module, x: Any, y: Any) -> list[Contestant]:
    """Return the Hessian's and the Gauss-Newton product of curvlinops, where it is installed."""
    if importlib.util.find_spec("curvlinops") is None:
        return []
    import curvlinops

    given = (model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)])
    n = sum(p.numel() for p in model.parameters())
    return [
        Timed(f"curvlinops {kind} @ v", _product(getattr(curvlinops, kind)(*given), torch.randn(n)))
        for kind in ("HessianLinearOperator", "GGNLinearOperator")
    ]


def kept_megabytes(model: nn.Module, x: Any, y: Any) -> float:
    """Return by how much the process grew while a graph was built and kept."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    a = hessian(model, "cross_entropy", (x, y))
    a @ torch.randn(a.shape[0])
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Print a table for each net, or the density."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--density", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.density:
        run = fit(load_task("digits_cnn"), "adam", epochs=5)
        batch = next(iter(run.task.data.train.batches(1024)))
        a = hessian(run.model, run.task.cost, batch, training=False)
        print(json.dumps(density(a, steps=40, probes=6).to_dict()))
        return
    for name, (model, x, y) in nets().items():
        n = sum(p.numel() for p in model.parameters())
        grown = kept_megabytes(model, x, y)
        each = contestants(model, x, y)
        contest(each, 8 if options.quick else 60)
        print(
            f"{name}, {n} parameters, batch of {len(x)}; a kept graph took {grown:.0f} MB at most"
        )
        gradient = each[0].median
        for contestant in each:
            count = SEVERAL if contestant.name.endswith("@ V") else 1
            share = contestant.median / gradient / count
            print(f"  {contestant.name:<40}{share:6.2f} gradients a product")


if __name__ == "__main__":
    main()
