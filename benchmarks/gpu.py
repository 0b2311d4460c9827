"""What there is to know of thalweg on a GPU, in one run of about five minutes on a fresh machine.

    python benchmarks/gpu.py                        tests, steps, fit and race on "cuda"
    python benchmarks/gpu.py --only steps --sets resnet50,gpt2 --json gpu.json
    python benchmarks/gpu.py --device cpu           a rehearsal: small sizes, kernels in Triton's interpreter

    tests   tests/engine/triton/test_on_a_gpu.py, by pytest
    steps   milliseconds a step of thalweg's engine, of torch fused and foreach, on the same gradients; what
            the host alone takes to return; and GB/s beside those of a copy measured in the same run
    fit     digits_cnn for a few epochs on the CPU and on the device, same seed: the curves must stay together
    race    270 runs with their models on the CPU and on the device, stacked, and there one by one, too

Each part stands alone: one that fails says why, and the others go on. Without a GPU nothing is measured, and
the script says so; `--device cpu` shows that its parts run, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from _contest import print_table
from _sets import SETS
from step import HAS_FUSED, choice, traffic
from torch.nn import Parameter

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("tests", "steps", "fit", "race")
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {"weight_decay": 0.01}),
    "SGD momentum": ("SGD", {"momentum": 0.9}),
    "Adagrad": ("Adagrad", {}),
    "LAMB": ("LAMB", {}),
}
TOGETHER = 10
"""Steps between two waits for the device: a training loop does not wait after each."""
EPOCHS = 4
APART = 0.05
"""How far two curves may be apart, as a share of the first loss. The same float32 sums in another order
differ by some 1e-7, and training multiplies that; two seeds differ by several times as much as this."""
ENTRANTS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
RACE: dict[str, Any] = {
    "lrs": [0.001, 0.003, 0.006, 0.01, 0.02, 0.03, 0.06, 0.1, 0.3],
    "seeds": 4,
    "final_seeds": 9,
    "epochs": 3,
}
"""6 entrants at 9 rates on 4 seeds, then each on 9 others: 270 runs."""
SMALL_RACE: dict[str, Any] = {"lrs": [0.01, 0.03], "seeds": 1, "final_seeds": 2, "epochs": 1}
OTHERWISE = 0.1
"""The share of runs that may end with an accuracy further apart than APART: at the largest rates training
multiplies differences of rounding until they show."""

Record = dict[str, Any]


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


# -- tests ------------------------------------------------------------------------------------------


def tests(options: argparse.Namespace) -> Record:
    """Run the tests of a GPU; in a rehearsal they run in the interpreter."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider"]
    chosen = str(ROOT / "tests" / "engine" / "triton" / "test_on_a_gpu.py")
    few = ["-k", "few"] if options.device == "cpu" else []
    done = subprocess.run([*command, chosen, *few], cwd=ROOT, capture_output=True, text=True)
    print("\n".join(done.stdout.splitlines()[-15:]), done.stderr[-2000:])
    if done.returncode:
        raise RuntimeError(f"pytest ended with {done.returncode}")
    return {"last line": done.stdout.splitlines()[-1]}


# -- steps ------------------------------------------------------------------------------------------


def built(optimizer: str, params: list[Parameter], device: str) -> dict[str, Any]:
    """Return the contestants of an optimizer."""
    from thalweg import optim
    from thalweg.engine.triton.available import triton_problem

    name, options = OPTIMIZERS[optimizer]
    engine: Any = "triton" if triton_problem() is None else "auto"
    ours = getattr(optim, name)
    found = {"thalweg": ours(params, engine=engine, **options)}
    if engine == "triton" and "capturable" in inspect.signature(ours).parameters:
        found["thalweg capturable"] = ours(params, engine=engine, capturable=True, **options)
    found["thalweg eager"] = ours(params, engine="eager", **options)
    if hasattr(torch.optim, name):
        theirs = getattr(torch.optim, name)
        found["torch foreach"] = theirs(params, foreach=True, **options)
        if name in HAS_FUSED:
            found["torch fused"] = theirs(params, fused=True, **options)
    return found


def copy_speed(device: str, size: int) -> float:
    """Return the GB/s, read and written, of copies of `size` bytes."""
    source = torch.empty(size // 4, device=device)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(12):
        synchronize(device)
        start = time.perf_counter()
        target.copy_(source)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size / min(seconds[2:]) / 1e9


def steps(options: argparse.Namespace) -> Record:
    """Time the steps of all contestants in turns."""
    rehearsal = options.device == "cpu"
    machine = "the CPU, a rehearsal" if rehearsal else torch.cuda.get_device_name()
    print(f"{machine}; torch {torch.__version__}")
    copied = copy_speed(options.device, 2**22 if rehearsal else 2**30)
    print(f"a copy on {options.device}: {copied:,.0f} GB/s, read and written")
    seconds = options.seconds / (len(options.sets) * len(options.optimizers))
    records = []
    for set_name in options.sets:
        shapes = [(5, 3), (1030,), ()] if rehearsal else list(SETS[set_name]())
        params = [Parameter(torch.randn(s, device=options.device)) for s in shapes]
        for p in params:
            p.grad = torch.randn_like(p)
        rows = []
        for optimizer in options.optimizers:
            contestants = built(optimizer, params, options.device)
            times, host = contest(contestants, options.device, seconds)
            for name, each in times.items():
                speed = traffic(contestants[name]) / each / 1e9
                record = {"set": set_name, "optimizer": optimizer, "contestant": name}
                record |= {"ms": 1e3 * each, "host ms": 1e3 * host[name], "GB/s": speed}
                record["share of a copy"] = speed / copied
                records.append(record)
                cells = (f"{1e3 * each:.3f}", f"{1e3 * host[name]:.3f}", f"{speed:,.0f}")
                rows.append([optimizer, name, *cells, f"{speed / copied:.2f}"])
            plan = contestants["thalweg"].plan().splitlines()[0]
            print(f"{set_name}, {optimizer}: {plan}")
        columns = ("optimizer", "contestant", "ms a step", "of the host", "GB/s", "copy = 1")
        print_table(f"{set_name}: {len(params)} tensors", columns, rows)
    return {"device": machine, "copy GB/s": copied, "records": records}


def contest(
    contestants: dict[str, Any], device: str, seconds: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median seconds of a step, and what the host needs for it, interleaved."""
    for each in contestants.values():  # compiles, and makes the states
        each.step()
        each.step()
    synchronize(device)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    host: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 3:
        for name, each in contestants.items():
            start = time.perf_counter()
            for _ in range(TOGETHER):
                each.step()
            returned = time.perf_counter() - start
            synchronize(device)
            times[name].append((time.perf_counter() - start) / TOGETHER)
            host[name].append(returned / TOGETHER)
    medians = {name: statistics.median(found) for name, found in times.items()}
    return medians, {name: statistics.median(found) for name, found in host.items()}


# -- training ---------------------------------------------------------------------------------------


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let no convolution round its float32 to the 10 bits of TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def fit(options: argparse.Namespace) -> Record:
    """Train the same on the CPU and on the device; the curves must stay together."""
    import thalweg

    task = thalweg.load_task("digits_cnn")
    curves, seconds = [], []
    with exact_float32():
        for device in ("cpu", options.device):
            start = time.perf_counter()
            run = thalweg.fit(
                task, "adam", lr=0.01, epochs=EPOCHS, seed=1, device=device, progress=False
            )
            seconds.append(time.perf_counter() - start)
            curves.append(run.history.column("train_loss"))
    most = max(abs(a - b) for a, b in zip(*curves, strict=True)) / curves[0][0]
    print(f"training losses: {curves[0]} on the CPU, {curves[1]} on {options.device}")
    print(f"apart by {most:.1e} of the first (at most {APART}); seconds: {seconds}")
    if not most <= APART:
        raise RuntimeError(
            f"the curves are apart by {most:.2e} of the first loss, more than {APART}"
        )
    return {"curves": curves, "apart": most, "seconds": seconds}


def race(options: argparse.Namespace) -> Record:
    """Race with the models on the CPU and on the device: the same trials must end alike."""
    from thalweg.race import Race

    small = options.device == "cpu"
    settings: Record = dict(SMALL_RACE if small else RACE, more_seeds=0, out=None, progress=None)
    entrants = ENTRANTS[:2] if small else ENTRANTS
    ways = (("cpu", None), (options.device, 270), (options.device, False))
    found: Record = {"ways": [], "seconds": [], "stacking": [], "results": [], "apart": []}
    first: dict[Any, float | None] = {}
    with exact_float32():
        for device, stack in ways:
            contest = Race("digits_cnn", entrants, device=device, stack=stack, **settings)
            start = time.perf_counter()
            contest.run()
            found["seconds"].append(time.perf_counter() - start)
            result = contest.result()
            ended = {_trial(record): record.final for record in result.records}
            first = first or ended
            found["ways"].append(f"{device}, stack={stack}")
            found["stacking"].append(contest.stacking.why)
            found["results"].append(str(result))
            found["apart"].append(_apart(first, ended))
            print(
                f"{found['ways'][-1]}: {len(ended)} runs in {found['seconds'][-1]:.1f} s "
                f"({found['stacking'][-1]}); of those that the first race has, too, a share of "
                f"{found['apart'][-1]:.3f} ends with another accuracy\n{found['results'][-1]}"
            )
    most = max(found["apart"])
    if not most <= OTHERWISE:
        raise RuntimeError(
            f"a share of {most:.3f} of the runs ends otherwise than on the CPU, more than {OTHERWISE}"
        )
    return found


def _trial(record: Any) -> tuple[Any, ...]:
    """Return what says which run a record is of."""
    return record.entrant, record.lr, record.seed


def _apart(first: dict[Any, float | None], ended: dict[Any, float | None]) -> float:
    """Return the share of the runs of both races whose accuracies are further apart than rounding."""
    both = [(first[key], ended[key]) for key in first.keys() & ended.keys()]
    other = [a != b if a is None or b is None else abs(a - b) > APART for a, b in both]
    return sum(other) / len(other)


# -- all --------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", type=choice(PARTS), default=[*PARTS])
    parser.add_argument("--sets", type=choice([*SETS]), default=["small", "resnet50", "gpt2"])
    parser.add_argument("--optimizers", type=choice([*OPTIMIZERS]), default=[*OPTIMIZERS])
    parser.add_argument("--seconds", type=float, default=90.0, help="for all steps that are timed")
    parser.add_argument("--json", type=Path, help="also write what was found to this file")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.device == "cpu" and importlib.util.find_spec("triton") is not None:
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    # a race forks its workers, which cannot use CUDA if this process has begun to: ask the driver's library
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here: nothing was measured. --device cpu rehearses the parts.")
        return 1
    document: Record = {"torch": torch.__version__, "failed": []}
    for part in options.only:
        print(f"\n== {part}", flush=True)
        if len(options.only) > 1:
            document[part], failed = alone(part, options)
        else:
            document[part], failed = tried(part, options)
        document["failed"] += [part] if failed else []
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.device == "cpu" and len(options.only) > 1:
        print("\nA rehearsal on the CPU: nothing was measured.")
    return 1 if document["failed"] else 0


def alone(part: str, options: argparse.Namespace) -> tuple[Record, bool]:
    """Run a part in a process of its own; return what it found, and whether it failed."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        given = ["--device", options.device, "--only", part, "--json", str(found)]
        given += ["--sets", ",".join(options.sets), "--seconds", str(options.seconds)]
        given += ["--optimizers", ",".join(options.optimizers)]
        done = subprocess.run([sys.executable, __file__, *given])
        document: Record = json.loads(found.read_text()) if found.exists() else {}
    return document.get(part, {}), done.returncode != 0


def tried(part: str, options: argparse.Namespace) -> tuple[Record, bool]:
    parts = {"tests": tests, "steps": steps, "fit": fit, "race": race}
    try:
        return parts[part](options), False
    except Exception as error:
        traceback.print_exc()
        print(f"{part}: not measured: {error}")
        return {"not measured": str(error)}, True


if __name__ == "__main__":
    sys.exit(main())
