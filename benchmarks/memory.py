"""Measure the peak extra memory of a step as a share of the parameters' bytes. Linux only.

    python benchmarks/memory.py
    python benchmarks/memory.py --sets gpt2 --optimizers Adam --json memory.json
    python benchmarks/memory.py --kept       what optimizers of matrices keep beside their states

Each contestant has a process of its own, in which two steps come first. Then Linux' high-water mark
of resident memory is reset (`/proc/self/clear_refs`), a step is taken, and the mark is read
(`VmHWM` in `/proc/self/status`): what it exceeds the resident memory before the step by is memory
that the step needed for a while. It counts every allocator, and page by page. So that a freed block
cannot hide in the heap and serve the next step unseen, the process runs with a fixed mmap threshold
and without trimming delay (`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`). The largest of
several steps counts.

What is kept between steps is the resident memory after some steps, less that before the optimizer was made
and the bytes of its states. Steps of a tiny matrix come first: they load and allocate what is there once.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from _contest import print_table

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Adam": ("Adam", {}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
    "RMSprop momentum": ("RMSprop", {"momentum": 0.9}),
    "AdamW amsgrad": ("AdamW", {"amsgrad": True}),
}
OF_MATRICES = ("Adafactor", "Muon", "SOAP", "Shampoo")
SIZES = [(256, 256)] * 16
HAS_FUSED = {"Adam", "AdamW", "SGD"}
CONTESTANTS = ("loop", "foreach", "fused", "thalweg")
STATUS = Path("/proc/self/status")
STEPS = 5


def resident(field: str) -> int:
    """Return `VmRSS` (now) or `VmHWM` (the high-water mark) in bytes."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def measure_here(set_name: str, optimizer: str, contestant: str) -> dict[str, int]:
    import torch
    from _sets import parameters_with_gradients

    name, options = OPTIMIZERS[optimizer]
    parameters = parameters_with_gradients(set_name)
    if contestant == "thalweg":
        from thalweg import optim

        one = getattr(optim, name)(parameters, **options)
    else:
        choice = {
            "loop": {"foreach": False},
            "foreach": {"foreach": True},
            "fused": {"fused": True},
        }
        one = getattr(torch.optim, name)(parameters, **options, **choice[contestant])
    one.step()
    one.step()
    extra = 0
    for _ in range(STEPS):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        one.step()
        extra = max(extra, resident("VmHWM") - before)
    return {"extra": extra, "parameters": sum(p.nbytes for p in parameters)}


def measure_kept_here(optimizer: str) -> dict[str, int]:
    import torch
    from torch.nn import Parameter

    from thalweg import optim

    def stepped(parameters: list[Any]) -> Any:
        one = getattr(optim, optimizer)(parameters)
        for _ in range(12):  # with a refresh
            one.step()
        gc.collect()
        return one

    tiny, parameters = ([Parameter(torch.randn(s)) for s in sizes] for sizes in ([(8, 8)], SIZES))
    for p in (*tiny, *parameters):
        p.grad = torch.randn_like(p)
    stepped(tiny)
    before = resident("VmRSS")
    one = stepped(parameters)
    after = resident("VmRSS")
    states = sum(x.nbytes for state in one.state.values() for x in state.values())
    size = sum(p.nbytes for p in parameters)
    return {"kept": after - before - states, "states": states, "parameters": size}


def measure_apart(*what: str) -> dict[str, int]:
    command = [sys.executable, __file__, "--here", *what]
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sets", default="resnet50,gpt2")
    parser.add_argument("--optimizers", default=",".join(OPTIMIZERS), help=", ".join(OPTIMIZERS))
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help=", ".join(CONTESTANTS))
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--kept", action="store_true", help="of optimizers of matrices, for 16 of 256 × 256"
    )
    parser.add_argument("--here", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        measure = measure_here if len(options.here) > 1 else measure_kept_here
        print(json.dumps(measure(*options.here)))
        return 0
    if options.kept:
        found = {name: measure_apart(name) for name in OF_MATRICES}
        shares = [
            (name, *(f"{each[kind] / each['parameters']:.2f}" for kind in ("states", "kept")))
            for name, each in found.items()
        ]
        title = "Kept between steps, in multiples of the parameters' bytes"
        print_table(title, ["optimizer", "states", "beside them"], shares)
        return 0
    records: list[dict[str, Any]] = []
    rows = []
    contestants = options.contestants.split(",")
    for set_name in options.sets.split(","):
        for optimizer in options.optimizers.split(","):
            cells = []
            for contestant in contestants:
                if contestant == "fused" and OPTIMIZERS[optimizer][0] not in HAS_FUSED:
                    cells.append("–")
                    continue
                found = measure_apart(set_name, optimizer, contestant)
                records.append(
                    {"set": set_name, "optimizer": optimizer, "contestant": contestant, **found}
                )
                cells.append(f"{found['extra'] / found['parameters']:.2%}")
            rows.append([optimizer, set_name, *cells])
    print_table(
        "Peak extra memory of a step, as a share of the parameters' bytes",
        ["optimizer", "set", *contestants],
        rows,
    )
    if options.json:
        options.json.write_text(json.dumps(records, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
