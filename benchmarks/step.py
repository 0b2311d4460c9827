"""Time `optimizer.step()` of thalweg, of torch.optim and of pytorch_optimizer side by side.

    python benchmarks/step.py            all sets and optimizers, about 8 minutes
    python benchmarks/step.py --sets mlp,small --optimizers Adam --seconds 20
    python benchmarks/step.py --json results.json
    python benchmarks/step.py --engine foreach --contestants foreach,thalweg    PyTorch's foreach and ours
    python benchmarks/step.py --engine foreach --sets char_transformer --optimizers Muon,Adafactor

The last one is for optimizers of matrices, which are measured only where they are asked for: there thalweg's
eager engine takes part, too, and Muon steps the matrices alone. `--processor-time` measures that in the place
of the time of day.

Optimizers that PyTorch has not are compared with pytorch_optimizer's of the same name, where that is
installed (`pip install --no-deps pytorch_optimizer`), and with thalweg's Adam.

A step is the user's whole call, with hooks, param groups and step counts. All contestants of a set
share the parameters and their gradients and have states of their own; they run interleaved. GB/s
counts what a step must read and write at the least: each parameter read and written, each gradient
read, each state tensor read and written.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _contest import Contestant, Neighbours, contest, print_table
from _sets import SETS, parameters_with_gradients
from torch.nn import Parameter
from torch.optim import Optimizer

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Adam": ("Adam", {}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
    "Adagrad": ("Adagrad", {}),
    "RMSprop momentum": ("RMSprop", {"momentum": 0.9}),
    "NAdam": ("NAdam", {}),
    "Adadelta": ("Adadelta", {}),
    "Adamax": ("Adamax", {}),
    "RAdam": ("RAdam", {}),
    "AdamW amsgrad": ("AdamW", {"amsgrad": True}),
}
FAMILY: dict[str, str] = {
    "Lion": "Lion",
    "Adan": "Adan",
    "AdaBelief": "AdaBelief",
    "LAMB": "Lamb",
    "AdEMAMix": "AdEMAMix",
}
"""Optimizers that PyTorch has not, and what pytorch_optimizer calls them."""
MATRICES = ("Muon", "Adafactor")
"""Optimizers of matrices that PyTorch has, too."""
OWN_RULE = "own rule"
HAS_FUSED = {"Adam", "AdamW", "SGD", "Adagrad"}
TORCH = ("loop", "foreach", "fused")
FAMILY_COLUMNS = (
    "optimizer",
    "pytorch_optimizer loop",
    "foreach",
    "thalweg",
    "best peer : thalweg",
    "time : Adam",
    "GB/s : Adam",
)
MATRIX_COLUMNS = (
    "optimizer",
    "torch loop",
    "torch foreach",
    "thalweg eager",
    "thalweg",
    "best torch : thalweg",
    "eager : thalweg",
)
PEERS = ("peer loop", "peer foreach")
EAGER = "thalweg eager"
CONTESTANTS = (*TORCH, *PEERS, EAGER, "thalweg")
# Large sets get the larger part of the time: one step of a loop takes a second or two there.
WEIGHTS = {"mlp": 1, "small": 2, "tiny": 2, "resnet50": 4, "gpt2": 9, "char_transformer": 2}

Record = dict[str, Any]
Build = Callable[[list[Parameter]], Optimizer]


def own_rule(parameters: list[Parameter], engine: str) -> Optimizer:
    """Build what a user writes: Lion (Chen et al. 2023) as a rule of three lines."""
    import thalweg

    @thalweg.rule
    def lion(g, m, *, beta1=0.9, beta2=0.99):  # type: ignore[no-untyped-def]
        direction = torch.sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g
        return direction, m

    return thalweg.Optimizer(parameters, lion(), lr=1e-4, engine=engine)


def builders(optimizer: str, wanted: Sequence[str], engine: str) -> dict[str, Build]:
    """Return how to build each contestant of an optimizer; `engine` is what steps thalweg's."""
    if optimizer == OWN_RULE:
        own = functools.partial(own_rule, engine=engine)
        return {**builders("Adam", ["thalweg"], engine), OWN_RULE: own}
    if optimizer in FAMILY:
        return family(optimizer, wanted, engine)
    if optimizer in MATRICES:
        return of_matrices(optimizer, wanted, engine)
    name, options = OPTIMIZERS[optimizer]
    theirs = getattr(torch.optim, name)
    found: dict[str, Build] = {
        "loop": functools.partial(theirs, foreach=False, **options),
        "foreach": functools.partial(theirs, foreach=True, **options),
    }
    if name in HAS_FUSED:
        found["fused"] = functools.partial(theirs, fused=True, **options)
    if "thalweg" in wanted:
        from thalweg import optim

        found["thalweg"] = functools.partial(getattr(optim, name), engine=engine, **options)
    return {name: build for name, build in found.items() if name in wanted}


def family(optimizer: str, wanted: Sequence[str], engine: str) -> dict[str, Build]:
    """Return how to build the contestants of an optimizer that PyTorch has not, and Adam beside them."""
    found: dict[str, Build] = {}
    try:
        import pytorch_optimizer
    except ImportError:
        pass
    else:
        theirs = getattr(pytorch_optimizer, FAMILY[optimizer])
        found["peer loop"] = functools.partial(theirs, foreach=False)
        found["peer foreach"] = functools.partial(theirs, foreach=True)
    from thalweg import optim

    found["thalweg"] = functools.partial(getattr(optim, optimizer), engine=engine)
    chosen = {name: build for name, build in found.items() if name in wanted}
    return {"Adam": functools.partial(optim.Adam, engine=engine), **chosen}


def of_matrices(optimizer: str, wanted: Sequence[str], engine: str) -> dict[str, Build]:
    """Return how to build the contestants of an optimizer of matrices."""
    from thalweg import optim

    theirs, ours = getattr(torch.optim, optimizer), getattr(optim, optimizer)
    found: dict[str, Build] = {"loop": theirs}
    if optimizer != "Muon":  # PyTorch's has a loop alone
        found["loop"] = functools.partial(theirs, foreach=False)
        found["foreach"] = functools.partial(theirs, foreach=True)
    found[EAGER] = functools.partial(ours, engine="eager")
    found["thalweg"] = functools.partial(ours, engine=engine)
    return {name: build for name, build in found.items() if name in wanted}


def traffic(optimizer: Optimizer) -> int:
    """Return the bytes that a step must read and write."""
    total = 0
    for group in optimizer.param_groups:
        for p in group["params"]:
            states = [s for s in optimizer.state[p].values() if isinstance(s, torch.Tensor)]
            tensors = 1 + sum(s.shape == p.shape and s.dim() > 0 for s in states)
            total += (2 * tensors + 1) * p.nbytes
    return total


def measure(
    set_name: str,
    optimizer: str,
    parameters: list[Parameter],
    wanted: Sequence[str],
    seconds: float,
    repeats: int,
    engine: str,
    clock: Callable[[], float],
) -> list[Record]:
    """Time all contestants of one optimizer on one set."""
    if optimizer == "Muon":
        parameters = [p for p in parameters if p.ndim == 2]
    built = {name: build(parameters) for name, build in builders(optimizer, wanted, engine).items()}
    contestants = [Contestant(name, one.step, clock=clock) for name, one in built.items()]
    contest(contestants, seconds, most=repeats)
    return [
        {
            "set": set_name,
            "optimizer": optimizer,
            "contestant": c.name,
            "median_ms": 1e3 * c.median,
            "fastest_ms": 1e3 * min(c.samples),
            "samples": len(c.samples),
            "steps": len(c.samples) * c.repeats,
            "GB/s": traffic(built[c.name]) / c.median / 1e9,
        }
        for c in contestants
    ]


def row(records: Sequence[Record]) -> list[str]:
    """Return one line of the table of torch against thalweg."""
    by_name = {record["contestant"]: record for record in records}

    def cell(name: str) -> str:
        return f"{by_name[name]['median_ms']:.4g}" if name in by_name else "–"

    cells = [records[0]["optimizer"], *map(cell, (*TORCH, "thalweg"))]
    peers = [record["median_ms"] for name, record in by_name.items() if name in TORCH]
    ours = by_name.get("thalweg")
    ratio = f"{min(peers) / ours['median_ms']:.2f} ×" if peers and ours else "–"
    return [*cells, ratio, f"{ours['GB/s']:.1f}" if ours else "–"]


def family_row(records: Sequence[Record]) -> list[str]:
    """Return one line of the table of pytorch_optimizer against thalweg."""
    by_name = {record["contestant"]: record for record in records}
    cells = [f"{by_name[n]['median_ms']:.4g}" if n in by_name else "–" for n in (*PEERS, "thalweg")]
    peers = [by_name[n]["median_ms"] for n in PEERS if n in by_name]
    ours, adam = by_name.get("thalweg"), by_name["Adam"]
    if ours is None:
        return [records[0]["optimizer"], *cells, "–", "–", "–"]
    return [
        records[0]["optimizer"],
        *cells,
        f"{min(peers) / ours['median_ms']:.1f} ×" if peers else "–",
        f"{ours['median_ms'] / adam['median_ms']:.2f}",
        f"{ours['GB/s'] / adam['GB/s']:.2f}",
    ]


def matrix_row(records: Sequence[Record]) -> list[str]:
    """Return one line of the table of optimizers of matrices."""
    by_name = {record["contestant"]: record["median_ms"] for record in records}
    names = ("loop", "foreach", EAGER, "thalweg")
    cells = [f"{by_name[n]:.4g}" if n in by_name else "–" for n in names]
    ours = by_name.get("thalweg")
    ratios = [
        f"{min(times) / ours:.2f} ×" if times and ours else "–"
        for times in ([by_name[n] for n in some if n in by_name] for some in (TORCH, [EAGER]))
    ]
    return [records[0]["optimizer"], *cells, *ratios]


def print_own_rule(records: Sequence[Record]) -> None:
    rows = []
    for set_name in dict.fromkeys(record["set"] for record in records):
        adam, own = (r["GB/s"] for r in records if r["set"] == set_name)
        rows.append([set_name, f"{adam:.1f}", f"{own:.1f}", f"{own / adam:.2f}"])
    columns = ["set", "Adam GB/s", "own rule GB/s", "own rule : Adam"]
    print_table(
        "A rule of three lines of the user's own, next to Adam, both by thalweg", columns, rows
    )


def choice(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        by_key = {name.lower(): name for name in known}
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name.lower() not in by_key]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of: {', '.join(known)}")
        return [by_key[name.lower()] for name in names]

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    usual = [*OPTIMIZERS, *FAMILY, OWN_RULE]
    everything = [*usual, *MATRICES]
    parser.add_argument(
        "--sets",
        type=choice([*SETS]),
        default=[name for name in SETS if name != "char_transformer"],
        help=f"of {', '.join(SETS)}",
    )
    parser.add_argument(
        "--optimizers",
        type=choice(everything),
        default=usual,
        help=f"of {', '.join(everything)}",
    )
    parser.add_argument("--engine", default="auto", help="what steps thalweg's optimizers")
    parser.add_argument("--processor-time", action="store_true", help="measure this time")
    parser.add_argument("--contestants", type=choice(CONTESTANTS), default=[*CONTESTANTS])
    parser.add_argument(
        "--repeats", type=int, default=200, help="samples of each contestant at most"
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="time for all measurements")
    parser.add_argument(
        "--json", type=Path, help="also write the records to this file ('-': only print them)"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    quiet = options.json is not None and str(options.json) == "-"
    unit = options.seconds / (len(options.optimizers) * sum(WEIGHTS[name] for name in options.sets))
    records: list[Record] = []
    neighbours = Neighbours()
    for set_name in options.sets:
        parameters = parameters_with_gradients(set_name)
        lines, others, matrices = [], [], []
        for optimizer in options.optimizers:
            seconds = unit * WEIGHTS[set_name]
            found = measure(
                set_name,
                optimizer,
                parameters,
                options.contestants,
                seconds,
                options.repeats,
                options.engine,
                time.process_time if options.processor_time else time.perf_counter,
            )
            gc.collect()
            records += found
            if optimizer in FAMILY:
                others.append(family_row(found))
            elif optimizer in MATRICES:
                matrices.append(matrix_row(found))
            elif optimizer != OWN_RULE:
                lines.append(row(found))
        count = sum(p.numel() for p in parameters)
        title = f"{set_name}: {len(parameters)} tensors, {count:,} parameters; median ms a step"
        columns = [
            "optimizer",
            *(f"torch {name}" for name in TORCH),
            "thalweg",
            "best torch : thalweg",
            "GB/s",
        ]
        if lines and not quiet:
            print_table(title, columns, lines)
        if others and not quiet:
            print_table(title, FAMILY_COLUMNS, others)
        if matrices and not quiet:
            print_table(title, MATRIX_COLUMNS, matrices)
    own = [record for record in records if record["optimizer"] == OWN_RULE]
    if own and not quiet:
        print_own_rule(own)
    if warning := neighbours.warning():
        print(f"\n{warning}", file=sys.stderr)
    document = {
        "used by others": neighbours.share,
        "engine": options.engine,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "records": records,
    }
    if quiet:
        json.dump(document, sys.stdout, indent=1)
    elif options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
