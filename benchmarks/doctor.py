"""How far the doctor is to be believed: faults planted at random, and healthy runs that look ill.

Each patient (`_patients.py`, `_unlisted.py`, `_healthy.py`) is a kind; a seed draws its data, network,
optimizer and the place of the fault. Thresholds may be set by the draws before; what counts is the last one,
whose seeds are others. A plant that turns out no worse than its twin without the fault (by .05 in the metric
or 10 % in the loss) is no fault there: it is counted apart. Beside the doctor stand the rules of four other
tools (`_peers.py`).

    python benchmarks/doctor.py [--draw first|second|third|fourth|fifth|sixth|seventh|all] [--seeds 3] \
        [--only WORD] [--processes 2] [--by-hand] [--no-peers]
    python benchmarks/doctor.py --patients        # whether plants are worse, and healthy runs learn
    python benchmarks/doctor.py --overhead [--steps 2000] [--budget 0.05]
    python benchmarks/doctor.py --looks           # what the parts of a look take
"""

from __future__ import annotations

import argparse
import collections
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from _examined import PATIENTS, Examined, examined
from _peers import PEERS
from _watched_speed import print_looks, print_overhead

SEEDS = {
    "first": 0,
    "second": 20_000,
    "third": 30_000,
    "fourth": 40_000,
    "fifth": 50_000,
    "sixth": 60_000,
    "seventh": 70_000,
}
"""The first seed of each draw: thresholds were set on the first; each other one was judged once with all
frozen, and used for mending from then on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draw", choices=(*SEEDS, "all"), default="all")
    parser.add_argument("--seeds", type=int, default=3, help="draws of each plant")
    parser.add_argument("--only", default="", help="a word in the name or the cause")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--by-hand", action="store_true", help="watch a loop instead of `fit`")
    parser.add_argument("--patients", action="store_true", help="check the patients themselves")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--looks", action="store_true")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--budget", type=float, default=0.05)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.overhead:
        print_overhead(options.steps, options.budget)
        return
    if options.looks:
        print_looks()
        return
    draws = tuple(SEEDS) if options.draw == "all" else (options.draw,)
    for draw in draws:
        jobs = _jobs(SEEDS[draw], options.seeds, options.only)
        print(f"\n{draw} draw, seeds from {SEEDS[draw]}: {len(jobs)} runs")
        if options.patients:
            _mapped(_checked, jobs, options.processes)
            continue
        work = functools.partial(examined, peers=not options.no_peers, by_hand=options.by_hand)
        _summary([each for each in _mapped(work, jobs, options.processes) if each is not None])


def _jobs(first: int, seeds: int, word: str) -> list[tuple[str, int]]:
    """Return the runs: so many of each plant, one of each healthy patient."""
    return [
        (name, first + k)
        for name, each in PATIENTS.items()
        if word in f"{name} {each.cause}"
        for k in range(1 if each.cause is None else seeds)
    ]


def _mapped(
    work: Callable[[str, int], Examined | None], jobs: Sequence[tuple[str, int]], processes: int
) -> list[Examined | None]:
    """Do the work, in several processes, and print each result when it is there."""
    if processes == 1:
        return [_print(work(*job)) for job in jobs]
    with ProcessPoolExecutor(processes, get_context("fork")) as pool:
        return [_print(each) for each in pool.map(work, *zip(*jobs, strict=True))]


def _print(found: Examined | None) -> Examined | None:
    if found is not None:
        patient = found.patient
        real = "" if found.harm is None else "harm" if found.harm else "none"
        print(
            f"{patient.cause or 'healthy':18} {found.name[:36]:36} {found.seed:6} {real:4} "
            f"{found.seconds:5.1f} s  {', '.join(found.faults) or '-'} | {', '.join(found.told) or '-'}",
            flush=True,
        )
        for what in found.unwatched:
            print(f"{'':20}not watched: {what[:90]}")
    return found


def _checked(name: str, seed: int) -> None:
    """Print whether a plant is worse than its twin, or a healthy run learns."""
    patient = PATIENTS[name]
    outcome = patient.make(seed).fit()
    said = "no loss is finite"
    if outcome.losses:
        said = f"{outcome.losses[0]:.3g} -> {outcome.losses[-1]:.3g}"
        said += f", {outcome.metrics[-1]:.3f}" if outcome.metrics else ""
    verdict = f"learns: {outcome.learned}"
    if patient.twin is not None:
        twin = patient.twin(seed).fit()
        verdict = f"worse: {outcome.worse_than(twin)} (twin {twin.losses[-1]:.3g})"
    print(
        f"{patient.cause or 'healthy':18} {name[:36]:36} {seed:6} {verdict:30} {said}", flush=True
    )


def _summary(found: Sequence[Examined]) -> None:
    """Print the rates of the doctor and of the others, with intervals."""
    plants = [e for e in found if e.patient.cause not in (None, "unlisted") and e.harm]
    unlisted = [e for e in found if e.patient.cause == "unlisted" and e.harm]
    healthy = [e for e in found if e.patient.is_healthy]
    informed = [e for e in found if e.patient.information]
    harmless = [e for e in found if e.harm is False]
    tried = [e for e in (*plants, *unlisted) if e.helped is not None]
    print("\nThe doctor, with 95 % intervals")
    _rate("planted faults detected", [bool(e.faults) for e in plants])
    _rate("  cause named first", [e.faults[:1] == (e.patient.cause,) for e in plants])
    _rate("  cause named among the faults", [e.patient.cause in e.faults for e in plants])
    _rate("kinds no list names, detected", [bool(e.faults) for e in unlisted])
    _rate("false alarms in healthy runs", [bool(e.faults) for e in healthy])
    _rate("remedy makes the run better", [bool(e.helped) for e in tried])
    _rate("  of those judged by a new training", [bool(e.helped) for e in tried if e.by_retraining])
    _rate("information told", [e.patient.cause in e.told for e in informed])
    _rate("called ill, though the plant did no harm", [bool(e.faults) for e in harmless])
    _confusion(plants)
    print(f"\n{'rules of':20} {'detected':>14} {'named':>14} {'unlisted':>14} {'false alarms':>14}")
    for tool in PEERS:
        told = [(e, e.peers.get(tool, ())) for e in found if e.peers]
        rates = (
            [bool(what) for e, what in told if e in plants],
            [e.patient.cause in what for e, what in told if e in plants],
            [bool(what) for e, what in told if e in unlisted],
            [bool(what) for e, what in told if e in healthy],
        )
        print(f"{tool:20} " + " ".join(f"{sum(each):6} of {len(each):<4}" for each in rates))


def _rate(name: str, hits: Sequence[bool]) -> None:
    if hits:
        low, high = wilson(sum(hits), len(hits))
        share = sum(hits) / len(hits)
        print(f"{name:42} {sum(hits):4} of {len(hits):4}  {share:6.1%}  ({low:.1%} to {high:.1%})")


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.959964, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _confusion(plants: Iterable[Examined]) -> None:
    """Print what was named first for each cause."""
    named: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for each in plants:
        named[str(each.patient.cause)][each.faults[0] if each.faults else "nothing"] += 1
    print("\nNamed first, by cause")
    for cause, counts in named.items():
        print(
            f"  {cause:20} {', '.join(f'{name} {count}' for name, count in counts.most_common())}"
        )


if __name__ == "__main__":
    main()
