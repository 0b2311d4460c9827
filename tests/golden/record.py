"""What the scripts of this folder share: stepping a library's optimizer, and writing its file."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.files import write_text

from .problem import KEPT, SCHEDULES, STEPS, Array, flat, gradient, rate, start

FOLDER = Path(__file__).parent
Step = Callable[[list[Array], float], list[Array]]
"""Takes the gradients and the learning rate, and returns the point after the step."""


@dataclass(frozen=True)
class Entry:
    """An optimizer of a library with options, to be run under one or both schedules."""

    name: str
    make: Callable[..., Any]
    lr: float
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    schedules: Sequence[str] = SCHEDULES
    optimizer: str = ""
    """What the library calls it, where `make` is not called so."""


def points(step: Step, lr: float, schedule: str) -> dict[str, list[float]]:
    """Follow an optimizer and return the points to keep, by step."""
    point, kept = start(), {}
    for t in range(1, STEPS + 1):
        moved = step(gradient(t, point), rate(t, lr, schedule))
        point = [np.array(new, dtype=np.float64, copy=True) for new in moved]
        if t in KEPT:
            kept[str(t)] = flat(point)
    return kept


def torch_points(entry: Entry, schedule: str) -> dict[str, Any]:
    """Follow an optimizer that is written for PyTorch; one with a `train` switch also at its average.

    Some libraries keep numbers of their own in PyTorch's default type, so that is float64 as well.
    """
    import torch

    torch.set_default_dtype(torch.float64)
    parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in start()]
    optimizer = entry.make(parameters, lr=entry.lr, **entry.options)
    if hasattr(optimizer, "train"):
        optimizer.train()

    def step(gradients: list[Array], lr: float) -> list[Array]:
        for group in optimizer.param_groups:
            group["lr"] = lr
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = torch.from_numpy(g.copy())
        optimizer.step()
        return [p.detach().numpy() for p in parameters]

    made: dict[str, Any] = {"points": points(step, entry.lr, schedule)}
    if hasattr(optimizer, "eval"):
        optimizer.eval()
        made["evaluated"] = flat([p.detach().numpy() for p in parameters])
    return made


def write(
    library: str,
    command: str,
    entries: Iterable[Entry],
    follow: Callable[[Entry, str], dict[str, Any]] = torch_points,
    beside: Sequence[str] = ("torch", "numpy"),
) -> None:
    """Run all entries of a library and write its file, whole or not at all."""
    head = {
        "beside": {name: importlib.metadata.version(name) for name in beside},
        "library": library,
        "made_with": command,
        "version": importlib.metadata.version(library),
    }
    runs = [
        {
            "lr": entry.lr,
            "name": entry.name,
            "note": entry.note,
            "optimizer": entry.optimizer or entry.make.__name__,
            "options": entry.options,
            "schedule": schedule,
            **follow(entry, schedule),
        }
        for entry in entries
        for schedule in entry.schedules
    ]
    write_text(FOLDER / f"{library.replace('-', '_')}.json", _text(head, runs))
    print(f"{library} {head['version']}: {len(runs)} runs")


def _text(head: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    """JSON with the facts of a run in one line and each kept point in another, for readable diffs."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(head.items())]
    return (
        "{\n" + ",\n".join([*lines, '"runs": [\n' + ",\n".join(map(_run, runs)) + "\n]"]) + "\n}\n"
    )


def _run(run: dict[str, Any]) -> str:
    facts = {key: value for key, value in run.items() if key not in ("points", "evaluated")}
    kept = ",\n".join(f"  {json.dumps(t)}: {json.dumps(p)}" for t, p in run["points"].items())
    average = f',\n "evaluated": {json.dumps(run["evaluated"])}' if "evaluated" in run else ""
    return json.dumps(facts, sort_keys=True)[:-1] + f',\n "points": {{\n{kept}}}{average}}}'
