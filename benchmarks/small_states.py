"""Measure what states in bfloat16 and 8 bits cost and save: seconds a step, its peak, steps.

    python benchmarks/small_states.py step
    python benchmarks/small_states.py step --sets gpt2 --optimizers AdamW --seconds 20
    python benchmarks/small_states.py peak
    python benchmarks/small_states.py race --sets digits

`step` times steps of one optimizer with states of each dtype on the same float32 parameters, interleaved,
and says how many bytes of state a parameter has. `peak` (Linux only) is the high-water mark of resident
memory over three steps of backward and update, above what the process had before the parameters were made,
as a share of that of PyTorch's fused AdamW in float32. Gradients are constants that come with the backward
pass; there are no activations. Each contestant has a process of its own. `race` trains tasks by AdamW with
states of each dtype, and says whether they can be told apart by the steps to the target.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _contest import Contestant, Neighbours, contest, print_table
from memory import resident

STATES = ("float32", "bfloat16", "int8")
RACES = {"digits": ((1e-2, 3e-2), 2, 16), "char_transformer": ((3e-3,), 1, 6)}
"""For a task: learning rates, seeds that tune, seeds that judge."""
PEAKS: dict[str, dict[str, Any]] = {
    "torch, float32": {"torch": True},
    "float32, states bfloat16": {"state_dtype": "bfloat16"},
    "bfloat16, states bfloat16": {"state_dtype": "bfloat16", "rounding": "stochastic"},
    "bfloat16, states int8": {"state_dtype": "int8", "rounding": "stochastic"},
    "bfloat16, states bfloat16, released": {
        "state_dtype": "bfloat16",
        "rounding": "stochastic",
        "release": True,
    },
}


def step_times(sets: list[str], optimizers: list[str], seconds: float) -> list[dict[str, Any]]:
    from _sets import parameters_with_gradients

    from thalweg import optim

    records = []
    for set_name in sets:
        parameters = parameters_with_gradients(set_name)
        for name in optimizers:
            kept = {d: getattr(optim, name)(parameters, lr=1e-5, state_dtype=d) for d in STATES}
            contestants = [Contestant(d, one.step) for d, one in kept.items()]
            contest(contestants, seconds)
            for each in contestants:
                use = kept[each.name].memory()
                records.append(
                    {
                        "set": set_name,
                        "optimizer": name,
                        "states": each.name,
                        "milliseconds": 1000 * each.median,
                        "ratio": each.median / contestants[0].median,
                        "bytes": use.state_bytes_per_parameter,
                    }
                )
            del kept, contestants
            gc.collect()
    return records


def peak_here(set_name: str, contestant: str) -> int:
    import torch
    from _sets import SETS

    from thalweg import optim
    from thalweg.meta import release_gradients

    class Touch(torch.autograd.Function):
        """0, with a gradient that is made in the backward pass and of which nobody keeps a copy."""

        @staticmethod
        def forward(ctx: Any, p: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(p)
            return p.new_zeros(())

        @staticmethod
        def backward(ctx: Any, _: torch.Tensor) -> torch.Tensor:
            (p,) = ctx.saved_tensors
            return torch.full_like(p, 0.01)

    touch: Any = Touch.apply
    options = dict(PEAKS[contestant])
    ours, release = not options.pop("torch", False), options.pop("release", False)
    dtype = torch.bfloat16 if contestant.startswith("bfloat16") else torch.float32

    def train(shapes: list[tuple[int, ...]], steps: int) -> None:
        params = [torch.nn.Parameter(torch.full(shape, 0.01, dtype=dtype)) for shape in shapes]
        one: Any = optim.AdamW(params, **options) if ours else torch.optim.AdamW(params, fused=True)
        if release:
            release_gradients(one)
        for _ in range(steps):
            loss: Any = torch.stack([touch(p) for p in params]).sum()
            loss.backward()
            one.step()
            one.zero_grad()

    train([(64, 128), (7,)], 3)  # what is loaded and compiled is no memory of a step
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    train(list(SETS[set_name]()), 3)
    return resident("VmHWM") - before


def peaks(sets: list[str]) -> list[dict[str, Any]]:
    records = []
    # what is freed goes back to the system, as `memory.py` explains
    thresholds = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    environment = {**os.environ, **dict.fromkeys(thresholds, "65536")}
    for set_name in sets:
        first = None
        for contestant in PEAKS:
            command = [sys.executable, __file__, "peak", "--here", set_name, contestant]
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            found = int(done.stdout)
            first = first or found
            records.append(
                {"set": set_name, "contestant": contestant, "bytes": found, "ratio": found / first}
            )
    return records


def race_states(tasks: Sequence[str]) -> None:
    """Race AdamW with states of each dtype; 16 seeds judge on the digits, 6 on larger tasks."""
    import torch

    from thalweg import load_task, optim, race
    from thalweg.race import Entrant

    torch.set_num_threads(1)
    for task in tasks:
        rates, seeds, judges = RACES.get(task, ((3e-3, 1e-2), 1, 6))
        entrants = [
            Entrant(states, functools.partial(optim.AdamW, state_dtype=states), lrs=rates)  # type: ignore[arg-type]
            for states in STATES
        ]
        found = race(
            *(load_task(task), entrants),
            seeds=seeds, final_seeds=judges, more_seeds=0, out=None,
        )  # fmt: skip
        print(f"{task}\n{found}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["step", "peak", "race"])
    parser.add_argument("--sets", help="default: resnet50,gpt2; gpt2 for peak; digits")
    parser.add_argument("--optimizers", default="Adam")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each contest")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(peak_here(*options.here))
        return 0
    usual = {"step": "resnet50,gpt2", "peak": "gpt2", "race": "digits"}
    sets = (options.sets or usual[options.what]).split(",")
    if options.what == "race":
        race_states(sets)
        return 0
    if options.what == "step":
        neighbours = Neighbours()
        records = step_times(sets, options.optimizers.split(","), options.seconds)
        print_table(
            "Steps with states of each dtype",
            ["optimizer", "set", "states", "ms", "ratio", "bytes a parameter"],
            [
                [
                    *(str(r[key]) for key in ("optimizer", "set", "states")),
                    f"{r['milliseconds']:.1f}",
                    f"{r['ratio']:.2f}",
                    f"{r['bytes']:.2f}",
                ]
                for r in records
            ],
        )
        print(neighbours.warning() or "")
    else:
        records = peaks(sets)
        print_table(
            "Peak of parameters, gradients and states",
            ["contestant", "set", "MB", "ratio"],
            [
                [r["contestant"], r["set"], f"{r['bytes'] / 1e6:.0f}", f"{r['ratio']:.3f}"]
                for r in records
            ],
        )
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
