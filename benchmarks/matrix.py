"""What a step of Muon takes: thalweg's, its variants, and torch.optim.Muon, interleaved, in processor time.

    python benchmarks/matrix.py                        one layer of GPT-2 small, and small matrices
    python benchmarks/matrix.py --layers 12            all hidden matrices of GPT-2 small: some minutes
    python benchmarks/matrix.py --sets char_transformer
    python benchmarks/matrix.py --threads 2 --json results.json

Sets are the hidden matrices of a model with random gradients. Contestants: torch.optim.Muon; the dialect
"torch", the same products with the same roundings; products in float32; and these in Gram space. For each
variant the error is printed that its polynomials make against the same polynomials in float64, relative, and
how far singular values above 1 % of the norm are from 1 at most.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _contest import Contestant, Neighbours, print_table
from solvers_speed import Timed
from torch import Tensor
from torch.nn import Parameter

from thalweg import newton_schulz, optim
from thalweg.engine.matrix.orthogonal import has_bfloat16_products
from thalweg.tasks import load_task

VARIANTS: dict[str, dict[str, str]] = {
    "dialect torch": {},
    "float32": {"precision": "full"},
    "float32, Gram space": {"precision": "full", "space": "gram"},
}
TORCH = "torch.optim.Muon"
FEWEST = 1
BASES = {"dialect torch": TORCH, "float32": TORCH, "float32, Gram space": "float32"}
GPT2_LAYER = ((2304, 768), (768, 768), (3072, 768), (768, 3072))


def sets(layers: int) -> dict[str, list[tuple[int, ...]]]:
    """Return the sizes of the matrices of each set."""
    model = load_task("char_transformer").build()
    hidden = [tuple(p.shape) for n, p in model.named_parameters() if p.ndim == 2 and "blocks" in n]
    known = hidden or [tuple(p.shape) for p in model.parameters() if p.ndim == 2]
    return {
        f"GPT-2 small, {layers} of 12 layers": [s for _ in range(layers) for s in GPT2_LAYER],
        "char_transformer": known,
        "64 matrices of 32 × 32": [(32, 32)] * 64,
    }


def parameters(sizes: Sequence[tuple[int, ...]]) -> list[Parameter]:
    """Return parameters with gradients, the same for every contestant."""
    generator = torch.Generator().manual_seed(0)
    made = [Parameter(torch.randn(s, generator=generator)) for s in sizes]
    for p in made:
        p.grad = torch.randn(p.shape, generator=generator)
    return made


def contestants(sizes: Sequence[tuple[int, ...]]) -> list[Contestant]:
    """Return a step of each."""
    found: list[Contestant] = []
    if hasattr(torch.optim, "Muon"):
        found.append(Timed(TORCH, torch.optim.Muon(parameters(sizes)).step))
    for name, options in VARIANTS.items():
        group: dict[str, Any] = {"params": parameters(sizes), **options}
        step = optim.Muon([group]).step
        step()  # plans and compiles
        found.append(Timed(name, step))
    return found


@functools.cache
def exact(size: tuple[int, ...]) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """Return a matrix, the same polynomials of it in float64, and its decomposition."""
    x = torch.randn(size, generator=torch.Generator().manual_seed(1))
    wide = x.double()
    decomposed = torch.linalg.svd(wide, full_matrices=False)
    return x, newton_schulz(wide, precision="full"), decomposed


def errors(sizes: Sequence[tuple[int, ...]], options: dict[str, str]) -> tuple[float, float]:
    """Return the largest error against float64, and how far singular values are from 1, over all sizes."""
    worst, away = 0.0, 0.0
    for size in dict.fromkeys(sizes):
        x, expected, (u, s, v) = exact(size)
        got = newton_schulz(x, **options).double()
        worst = max(worst, float((got - expected).norm() / expected.norm()))
        values = ((u.T @ got) * v).sum(1)[s > 0.01 * s.norm()]
        away = max(away, float((values - 1).abs().max()) if len(values) else 0.0)
    return worst, away


def measured(name: str, sizes: Sequence[tuple[int, ...]], seconds: float) -> list[dict[str, Any]]:
    """Time the contestants of a set; return a row for each."""
    found = contestants(sizes)
    start = time.process_time()
    while time.process_time() - start < seconds or len(found[0].samples) < FEWEST:
        for each in found:
            each.sample()  # in turns: what disturbs the machine disturbs all of them
    of = {each.name: each.median for each in found}
    rows = []
    for each in found:
        base = BASES.get(each.name)
        error, away = errors(sizes, VARIANTS[each.name]) if each.name in VARIANTS else (None, None)
        rows.append(
            {
                "set": name,
                "contestant": each.name,
                "seconds": each.median,
                "samples": len(each.samples),
                "times as fast as": base if base in of else None,
                "ratio": of[base] / each.median if base in of else None,
                "error": error,
                "singular values from 1": away,
            }
        )
    return rows


def processor() -> str:
    """Return the name of the processor, and whether it has instructions for bfloat16."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    has = has_bfloat16_products(torch.device("cpu"))
    return f"{name}, {'with' if has else 'without'} instructions for bfloat16"


def _number(x: float | None, form: Callable[[float], str]) -> str:
    return "" if x is None else form(x)


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=1, help="of GPT-2 small, 1 to 12")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each set, about")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sets", default="", help="parts of the names of sets, comma separated")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{processor()}; {given.threads} thread(s); PyTorch {torch.__version__}")
    neighbours, rows = Neighbours(), []
    for name, sizes in sets(given.layers).items():
        if given.sets and not any(part in name for part in given.sets.split(",")):
            continue
        own = measured(name, sizes, given.seconds)
        rows += own
        columns = ("step", "ms", "times as fast as", "error", "singular values from 1")
        table = [
            (
                row["contestant"],
                f"{1e3 * row['seconds']:.3f}",
                _number(row["ratio"], ("{:.2f} " + str(row["times as fast as"])).format),
                _number(row["error"], "{:.1e}".format),
                _number(row["singular values from 1"], "{:.2f}".format),
            )
            for row in own
        ]
        print_table(f"{name}: {len(sizes)} matrices", columns, table)
    if (warning := neighbours.warning()) is not None:
        print(warning)
    if given.json:
        Path(given.json).write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
