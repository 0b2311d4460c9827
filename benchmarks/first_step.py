"""Time what comes before the second step: importing thalweg, building an optimizer, the first step.

    python benchmarks/first_step.py python benchmarks/first_step.py --sets resnet50 --optimizers
    Adam,RAdam --repeats 5 --json first.json

Each measurement is a fresh process. The import is what `import thalweg` adds to `import torch`.
*Cold* has an empty kernel cache (`THALWEG_CACHE` points to a new folder), *cached* the cache that
the cold process has left. The second step is shown for scale.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _contest import print_table

OPTIMIZERS = {
    "Adam": {},
    "SGD": {"momentum": 0.9},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "NAdam": {},
    "RAdam": {},
}
COLUMNS = ("import", "construction", "first step", "second step")


def measure_here(set_name: str, optimizer: str) -> dict[str, float]:
    """Take all times in this process, which must not have imported torch yet."""
    from time import perf_counter

    import torch

    start = perf_counter()
    from thalweg import optim

    imported = perf_counter()
    from _sets import parameters_with_gradients

    parameters = parameters_with_gradients(set_name)
    # What torch does once in a process is no part of the measurement: it starts its threads, and
    # imports its compiler with the first optimizer of any kind.
    torch.optim.SGD([torch.nn.Parameter(torch.ones(100_000))])
    torch.ones(100_000).add_(1.0)
    before = perf_counter()
    one = getattr(optim, optimizer)(parameters, **OPTIMIZERS[optimizer])
    built = perf_counter()
    one.step()
    first = perf_counter()
    one.step()
    second = perf_counter()
    times = (imported - start, built - before, first - built, second - first)
    return dict(zip(COLUMNS, times, strict=True))


def measure_apart(set_name: str, optimizer: str, cache: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--here", set_name, optimizer]
    environment = {**os.environ, "THALWEG_CACHE": cache}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {column: statistics.median(run[column] for run in runs) for column in COLUMNS}


def measure(set_name: str, optimizer: str, repeats: int) -> dict[str, dict[str, float]]:
    """Return the median times of cold and of cached processes, taken in turn."""
    cold, cached = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(measure_apart(set_name, optimizer, cache))
            cached.append(measure_apart(set_name, optimizer, cache))
    return {"cold": medians(cold), "cached": medians(cached)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sets", default="mlp,resnet50")
    parser.add_argument("--optimizers", default=",".join(OPTIMIZERS), help=", ".join(OPTIMIZERS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure_here(*options.here)))
        return 0
    records, rows = [], []
    for set_name in options.sets.split(","):
        for optimizer in options.optimizers.split(","):
            for cache, times in measure(set_name, optimizer, options.repeats).items():
                records.append({"set": set_name, "optimizer": optimizer, "cache": cache, **times})
                cells = [f"{times[column]:.4f}" for column in COLUMNS]
                rows.append([optimizer, set_name, cache, *cells])
    print_table(
        "Seconds, medians of fresh processes", ["optimizer", "set", "cache", *COLUMNS], rows
    )
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
