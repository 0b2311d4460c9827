"""The path of a run: its parameters at some of its steps, in a file of bounded size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, sentence
from thalweg.train.callbacks import Callback, Training
from thalweg.train.folder.arrays import UNREADABLE, read_arrays, write_arrays
from thalweg.train.folder.layout import PATH
from thalweg.train.history import Epoch

SCHEMA = "thalweg.path/1"
MOST_BYTES = 2**27
MOST_POINTS = 256
_FEWEST = 8
"""Points that a path must have room for."""
_GROWTH = 1.25
"""After an epoch the file is written again where it would have so many times the points of before."""


@dataclass(frozen=True)
class RunPath:
    """Points of a run (points, parameters) with their steps; `names` and `shapes` of the parameters."""

    points: Tensor
    steps: tuple[int, ...]
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


class KeepPath(Callback):
    """Keeps the parameters of a run at some of its steps, for pictures of the way that it took.

    Points are thinned: where there are too many, every second is dropped, and from then on every second step
    of those before is kept. The first and the last are always there. Where
    a strategy makes the model larger, the path begins again.

    Args:
        folder: the run's; the file in it is `path.safetensors`.
        most_bytes: the size of the file. Points are float32; float16 where fewer than 8 would fit.

    Raises:
        TaskError: not even 8 points fit.

    >>> import tempfile
    >>> from thalweg import fit, load_task
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit(
    ...         load_task("digits"), "adam", epochs=1, callbacks=[KeepPath(folder)], progress=False
    ...     )
    ...     read_path(folder).steps[-1] == run.steps
    True
    """

    def __init__(self, folder: str | os.PathLike[str], *, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self.most_bytes = Path(folder), most_bytes
        self._points: list[Tensor] = []
        self._steps: list[int] = []
        self._stride, self._most, self._written = 1, MOST_POINTS, 0
        self._dtype = torch.float32

    def start(self, training: Training) -> None:
        """Keep the first point, or go on with the file where the run is resumed."""
        self._begin(sum(p.numel() for p in training.model.parameters()))
        if training.step:
            self._take_up(training)
        if not self._steps or self._steps[-1] != training.step:
            self._keep(training)

    def step(self, training: Training, loss: float) -> None:
        """Keep a point where one is due."""
        if training.step % self._stride == 0:
            self._keep(training)

    def epoch(self, training: Training, record: Epoch) -> None:
        """Write the file where it has grown much."""
        if len(self._steps) >= _GROWTH * self._written and self._written < self._most:
            self._write(training.model)

    def end(self, training: Training) -> None:
        """Keep the point where the model is to be used, and write the file."""
        if self._steps and self._steps[-1] == training.step:
            self._points.pop(), self._steps.pop()
        self._keep(training)
        self._write(training.model)

    def _begin(self, count: int) -> None:
        """Begin a path of so many parameters, with none of the points before."""
        self._dtype, fitting = torch.float32, self.most_bytes // (4 * max(count, 1))
        if fitting < _FEWEST:
            self._dtype, fitting = torch.float16, self.most_bytes // (2 * count)
        if fitting < _FEWEST:
            raise TaskError(
                f"A path of {count:,} parameters needs {2 * _FEWEST * count:,} bytes at least, and "
                f"most_bytes is {self.most_bytes:,}. Give more, or leave the path out."
            )
        self._most = min(fitting, MOST_POINTS)
        self._points, self._steps, self._stride, self._written = [], [], 1, 0

    def _keep(self, training: Training) -> None:
        point = torch.cat([p.detach().flatten() for p in training.model.parameters()])
        if self._points and len(point) != len(self._points[0]):
            self._begin(len(point))  # a strategy has made the model larger: its path begins here
        if len(self._points) >= self._most:
            del self._points[1::2], self._steps[1::2]
            self._stride *= 2
        self._points.append(point.to("cpu", self._dtype))
        self._steps.append(training.step)

    def _take_up(self, training: Training) -> None:
        try:
            before = read_path(self.folder)
        except TaskError:
            return  # killed before it was written: the path begins here
        places = [k for k, step in enumerate(before.steps) if step <= training.step]
        self._points = [before.points[k].to(self._dtype) for k in places]
        self._steps = [before.steps[k] for k in places]
        gaps = [b - a for a, b in zip(self._steps, self._steps[1:], strict=False)]
        self._stride = max(gaps[:-1], default=1)

    def _write(self, model: nn.Module) -> None:
        named = list(model.named_parameters())
        shapes = [list(p.shape) for _, p in named]
        self._written = len(self._steps)
        write_path(
            self.folder,
            RunPath(
                torch.stack(self._points),
                tuple(self._steps),
                tuple(name for name, _ in named),
                tuple(map(tuple, shapes)),
            ),
        )


def write_path(folder: str | os.PathLike[str], path: RunPath) -> Path:
    """Write a path into the folder of a run; return the file.

    Raises:
        CheckpointError: it cannot be written.
    """
    lists = {"names": list(path.names), "shapes": [list(shape) for shape in path.shapes]}
    arrays = {"points": path.points, "steps": torch.tensor(path.steps)}
    return write_arrays(Path(folder) / PATH, "path", SCHEMA, arrays, lists)


def read_path(folder: str | os.PathLike[str]) -> RunPath:
    """Return the path in the folder of a run, its points as float32.

    Raises:
        TaskError: there is none, or the file was edited.
    """
    file = Path(folder) / PATH
    try:
        schema, arrays, (names, shapes) = read_arrays(
            file, ("names", "shapes"), ("points", "steps")
        )
        path = RunPath(
            arrays["points"].float(),
            tuple(map(int, arrays["steps"].tolist())),
            tuple(map(str, names)),
            tuple(tuple(map(int, shape)) for shape in shapes),
        )
        count = sum(int(torch.Size(shape).numel()) for shape in path.shapes)
        fits = path.points.shape == (len(path.steps), count) and len(path.names) == len(path.shapes)
    except UNREADABLE as error:
        raise TaskError(
            f"The path {file} cannot be read: {sentence(error)} Record one: thalweg train … --keep-path."
        ) from error
    if schema != SCHEMA or not fits or not path.steps:
        raise TaskError(f"{file} holds no path of the schema {SCHEMA!r}, or it was edited.")
    return path
