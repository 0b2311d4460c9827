"""Print the table of `thalweg/engine/cpu/functions/vector_table.py`, from measurements of this machine.

    python -m tests.engine.cpu.function_table            about 20 minutes
    python -m tests.engine.cpu.function_table exp tanh   of these functions

Every candidate of SLEEF and libmvec is compared with the true values, first everywhere, then around the
worst points; timed; and called with hard neighbours, as an element must have the same bits among any. Taken
is, of each library, the fastest function that stays within 2 units in the last place (ulp) of the truth and
is faster than the C library's. Where no function of float32 is, those of float64 stand in, as "wide". What is
left out and why goes to the other output.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from tests.engine.cpu.function_errors import (
    ARITY,
    Candidate,
    candidates,
    first_beside_others,
    measure,
    nanoseconds,
)
from thalweg.engine.cpu.functions.vector_table import Measured
from thalweg.engine.cpu.functions.vectors import find, is_printed
from thalweg.engine.cpu.processor import processor

TABLES = {"AVX2": "x86-64-v3", "SSE": "x86-64-v2"}
BOUNDS = dict.fromkeys((("sin", "float64"), ("cos", "float64"), ("tan", "float64")), 15.0)
"""Up to where SLEEF reduces an angle in one way (TRIGRANGEMAX2 of its sources)."""
NEAR, MORE = 1.7, 10
"""A function with a greater error is tried on so many times as many points."""
LIMITS = {"float32": 1.97, "float64": 1.9}
"""What is taken has a smaller error, somewhat below what is promised: no sample holds the worst number."""
Counts = dict[str, int]


def rows(ops: list[str], counts: Counts) -> Iterator[tuple[str, str, list[Measured]]]:
    """Yield what is taken of each function, for the processor that is compiled for."""
    for op in ops:
        if not is_printed(op, "float32", processor()):
            single = taken(op, "float32", counts)
            yield op, "float32", single
            if not single:
                yield op, "wide", taken(op, "wide", counts)
        yield op, "float64", taken(op, "float64", counts)


def taken(op: str, kind: str, counts: Counts) -> list[Measured]:
    """Return the functions that are taken, the fastest first."""
    dtype = "float64" if kind == "wide" else kind
    real = "float32" if kind == "wide" else dtype
    suffix = "f" if real == "float32" else ""
    limit = nanoseconds(Candidate(op, real, f"{op}{suffix}", 1))
    found = []
    for candidate in candidates(op, dtype):
        if not find(candidate.symbol):
            continue
        bound = BOUNDS.get((op, kind), 0.0) if candidate.symbol.startswith("Sleef") else 0.0
        taken_ns = nanoseconds(candidate)
        ulp, where = measure(candidate, counts[real], kind)
        if NEAR < ulp <= LIMITS[real]:
            ulp, where = measure(candidate, MORE * counts[real], kind)
        beside = first_beside_others(candidate, bound)
        reason = ""
        if ulp > LIMITS[real]:
            reason = f"{ulp:.2f} ulp at {where}"
        elif beside is not None:
            reason = f"other bits of {beside!r} beside other numbers"
        elif taken_ns >= limit:
            reason = f"the C library takes {limit:.2f} ns"
        print(
            f"{candidate.symbol:26} {kind:8} {ulp:8.2f} ulp {taken_ns:7.2f} ns  {reason}",
            file=sys.stderr,
            flush=True,
        )
        if not reason:
            found.append((taken_ns, Measured(candidate.symbol, round(ulp, 2), bound)))
    fastest: dict[bool, Measured] = {}
    for _, measured in sorted(found):
        fastest.setdefault(measured.symbol.startswith("Sleef"), measured)
    return list(fastest.values())


def printed(measured: Measured) -> str:
    bound = f", {measured.bound}" if measured.bound else ""
    return f'Measured("{measured.symbol}", {measured.ulp:.2f}{bound})'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("functions", nargs="*")
    parser.add_argument("--tables", default=",".join(TABLES), help="separated by commas")
    parser.add_argument("--float32", type=int, default=60_000, help="points of each kind")
    parser.add_argument("--float64", type=int, default=300, help="points of each kind")
    given = parser.parse_args()
    counts = {"float32": given.float32, "float64": given.float64}
    for name in given.tables.split(","):
        os.environ["THALWEG_CPU"] = TABLES[name]
        print(f"{name}: Table = {{", flush=True)
        for op, kind, found in rows(given.functions or list(ARITY), counts):
            if found:
                inside = "".join(f"        {printed(m)},\n" for m in found)
                print(f'    ("{op}", "{kind}"): (\n{inside}    ),', flush=True)
        print("}", flush=True)


if __name__ == "__main__":
    main()
