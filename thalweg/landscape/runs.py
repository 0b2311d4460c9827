"""The points of saved runs: the path of each where it was kept, else where it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from thalweg.errors import TaskError, sentence
from thalweg.train.folder.layout import MODEL, PATH
from thalweg.train.folder.path import read_path
from thalweg.train.folder.reading import SavedRun

MOST_POINTS = 64
"""Points of a path that are drawn and evaluated."""


@dataclass(frozen=True)
class Way:
    """The points of one run (points, parameters) with their steps; one point where only the end is known."""

    name: str
    optimizer: str
    points: Tensor
    steps: tuple[int, ...]

    @property
    def moved(self) -> float:
        """The distance from the first point to the last."""
        return float((self.points[-1] - self.points[0]).norm())


def ways_of(runs: Sequence[SavedRun], model: nn.Module) -> list[Way]:
    """Return the ways of runs, in the order of the parameters of a model.

    Raises:
        TaskError: the runs are of several tasks or models, or a file is missing or damaged.
    """
    tasks = {run.task_name for run in runs}
    if len(tasks) > 1:
        raise TaskError(
            f"The runs are of several tasks: {', '.join(sorted(tasks))}. One plane has one loss."
        )
    return [_way(run, model) for run in runs]


def _way(run: SavedRun, model: nn.Module) -> Way:
    named = [(name, tuple(p.shape)) for name, p in model.named_parameters()]
    if (run.folder / PATH).is_file():
        path = read_path(run.folder)
        if list(zip(path.names, path.shapes, strict=True)) != named:
            raise TaskError(_other(run.folder / PATH))
        chosen = thinned(len(path.steps), MOST_POINTS)
        points, steps = path.points[chosen], tuple(path.steps[k] for k in chosen)
    else:
        points, steps = _end(run, named), (int(run.record.get("steps") or 0),)
    if not bool(points.isfinite().all()):
        raise TaskError(f"The run {run.folder} has parameters that are not finite: it diverged.")
    return Way(run.name, run.optimizer_name, points, steps)


def _end(run: SavedRun, named: Sequence[tuple[str, tuple[int, ...]]]) -> Tensor:
    file: Path = run.folder / MODEL
    if not file.is_file():
        raise TaskError(
            f"The run {run.folder} has neither {MODEL} nor {PATH}: it has not ended. Go on with it: "
            f"thalweg runs resume {run.name}."
        )
    try:
        weights = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise TaskError(f"The weights {file} cannot be read: {sentence(error)}") from error
    if any(name not in weights or tuple(weights[name].shape) != shape for name, shape in named):
        raise TaskError(_other(file))
    return torch.cat([weights[name].flatten().float() for name, _ in named])[None]


def _other(file: Path) -> str:
    return f"{file} holds the parameters of another model than the task's."


def thinned(count: int, most: int) -> list[int]:
    """Return at most so many places of `count`, the first and the last among them.

    >>> thinned(5, 9), thinned(9, 3)
    ([0, 1, 2, 3, 4], [0, 4, 8])
    """
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def names_of(paths: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each way of a record: its optimizer's, and the run's where several have that.

    >>> names_of([{"optimizer": "sgd", "run": "a"}, {"optimizer": "sgd", "run": "b"}])
    ['sgd (a)', 'sgd (b)']
    """
    optimizers = [path["optimizer"] for path in paths]
    return [
        path["optimizer"]
        if optimizers.count(path["optimizer"]) == 1
        else f"{path['optimizer']} ({path['run']})"
        for path in paths
    ]
