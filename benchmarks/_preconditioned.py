"""Ten steps of SOAP, Shampoo and Adafactor: thalweg's, pytorch_optimizer's and torch.optim's.

    python benchmarks/_preconditioned.py        three sets of matrices, some minutes

Ten steps are one interval of refreshes. pytorch_optimizer takes part where it can be imported; it is no
dependency: `pip install --no-deps --target FOLDER pytorch_optimizer`, then PYTHONPATH=FOLDER.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import torch
from _contest import print_table
from solvers_speed import Timed
from torch.nn import Parameter

from thalweg import optim
from thalweg.tasks import load_task

INTERVAL = 10
Size = tuple[int, ...]
Made = dict[str, dict[str, Callable[..., torch.optim.Optimizer]]]


def sets() -> dict[str, list[Size]]:
    """Return the sizes of the parameters of each set."""
    model = load_task("char_transformer").build()
    return {
        "char_transformer": [tuple(p.shape) for p in model.parameters()],
        "64 matrices of 64 × 64": [(64, 64)] * 64,
        "4 matrices of 512 × 512": [(512, 512)] * 4,
    }


def optimizers() -> Made:
    """Return for each rule its contestants by name; thalweg's is the first."""
    found: Made = {
        "SOAP": {"thalweg": lambda ps: optim.SOAP(ps, every=INTERVAL)},
        "Shampoo": {"thalweg": lambda ps: optim.Shampoo(ps, every=INTERVAL, grafting="sgd")},
        "Adafactor": {"thalweg": optim.Adafactor, "torch.optim": torch.optim.Adafactor},
    }
    if importlib.util.find_spec("pytorch_optimizer") is not None:
        theirs: Any = importlib.import_module("pytorch_optimizer")
        found["SOAP"]["pytorch_optimizer"] = lambda ps: theirs.SOAP(
            ps, precondition_frequency=INTERVAL
        )
        found["Shampoo"]["pytorch_optimizer"] = lambda ps: theirs.ScalableShampoo(
            ps, start_preconditioning_step=INTERVAL, preconditioning_compute_steps=INTERVAL
        )
        found["Adafactor"]["pytorch_optimizer"] = theirs.AdaFactor
    return found


def interval_of(make: Callable[..., torch.optim.Optimizer], sizes: Sequence[Size]) -> Any:
    """Return a function that makes the steps of one interval, after a first one that is not timed."""
    generator = torch.Generator().manual_seed(0)
    params = [Parameter(torch.randn(s, generator=generator)) for s in sizes]
    optimizer = make(params)
    drawn = [[torch.randn(s, generator=generator) for s in sizes] for _ in range(3)]

    def run() -> None:
        for step in range(INTERVAL):
            for p, g in zip(params, drawn[step % 3], strict=True):
                p.grad = g
            optimizer.step()

    run()
    run()  # what is planned and compiled is there
    return run


def measured(sizes: Sequence[Size], rule: str, seconds: float = 6.0) -> dict[str, float]:
    """Return the processor seconds of a step of each contestant of a rule, taken in turns."""
    contestants = [
        Timed(name, interval_of(make, sizes)) for name, make in optimizers()[rule].items()
    ]
    while sum(each.spent for each in contestants) < seconds or len(contestants[0].samples) < 3:
        for each in contestants:
            each.sample()
    return {each.name: each.median / INTERVAL for each in contestants}


def main() -> None:
    """Print a table for each set."""
    torch.set_num_threads(1)
    for name, sizes in sets().items():
        rows = []
        for rule in optimizers():
            found = measured(sizes, rule)
            ours = found["thalweg"]
            rows += [
                (rule, who, f"{1e3 * seconds:.3f}", f"{seconds / ours:.2f}")
                for who, seconds in found.items()
            ]
        columns = ("rule", "contestant", "ms a step", "times thalweg's")
        print_table(f"{name}: {len(sizes)} parameters", columns, rows)


if __name__ == "__main__":
    main()
