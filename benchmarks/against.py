"""Time `optimizer.step()` of this checkout beside another one, such as the last commit, with cold caches.

    git worktree add /tmp/before HEAD~1
    python benchmarks/against.py /tmp/before
    python benchmarks/against.py /tmp/before --sets tiny --optimizers Adam --samples 100

Each checkout has a process of its own, and the two take turns. Before every sample PyTorch's optimizer of
the same name steps the same parameters, so that the caches hold other things, as after a backward pass. A
ratio above 1 says that this checkout is slower.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from _contest import Contestant, print_table
from _sets import SETS, parameters_with_gradients

OPTIMIZERS = {
    "Adam": ("Adam", {}),
    "AdamW amsgrad": ("AdamW", {"amsgrad": True}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
}
SHORTEST = 0.004
"""Seconds; shorter steps are timed several at a time, as `benchmarks/step.py` does it."""
SMALL = ("mlp", "small", "tiny")
HERE = Path(__file__).resolve().parents[1]


def serve(set_name: str, optimizer: str) -> None:
    """Take a step for each line of the input, and print the seconds that it took."""
    from thalweg import optim

    name, options = OPTIMIZERS[optimizer]
    params = parameters_with_gradients(set_name)
    ours = getattr(optim, name)(params, **options)
    theirs = getattr(torch.optim, name)(params, foreach=True, **options)
    for _ in range(3):
        ours.step()
        theirs.step()
    contestant = Contestant("step", ours.step)
    contestant.sample()
    contestant.repeats = max(1, round(SHORTEST / contestant.samples[0]))
    for _ in sys.stdin:
        theirs.step()
        contestant.sample()
        print(contestant.samples[-1], flush=True)


def started(tree: Path, set_name: str, optimizer: str) -> subprocess.Popen[str]:
    """Start a process that steps with the package of a checkout."""
    return subprocess.Popen(
        [sys.executable, __file__, str(tree), "--serve", set_name, optimizer],
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def compared(other: Path, set_name: str, optimizer: str, samples: int) -> list[list[float]]:
    """Return the seconds of the steps of the other checkout, and of this one."""
    servers = [started(tree, set_name, optimizer) for tree in (other, HERE)]
    times: list[list[float]] = [[], []]
    for _ in range(samples):
        for server, found in zip(servers, times, strict=True):
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write("step\n")
            server.stdin.flush()
            found.append(float(server.stdout.readline()))
    for server in servers:
        server.communicate()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--sets", default=",".join(SMALL), help=f"of {', '.join(SETS)}")
    parser.add_argument("--optimizers", default=",".join(OPTIMIZERS))
    parser.add_argument("--samples", type=int, default=200, help="steps of each checkout")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(*options.serve)
    rows = []
    for set_name in options.sets.split(","):
        for optimizer in options.optimizers.split(","):
            times = compared(options.other.resolve(), set_name, optimizer, options.samples)
            before, after = map(statistics.median, times)
            fastest = min(times[1]) / min(times[0])
            cells = (f"{1e6 * before:.0f}", f"{1e6 * after:.0f}", f"{after / before:.2f}")
            rows.append([set_name, optimizer, *cells, f"{fastest:.2f}"])
    columns = ["set", "optimizer", "other µs", "this µs", "this : other", "of the fastest"]
    print_table("A step with cold caches, median", columns, rows)
    return None


if __name__ == "__main__":
    main()
