"""What was watched, as arrays that are written to the folder of a run."""

from __future__ import annotations

import numpy as np
import torch

from thalweg.doctor.watched import Floats, Watched
from thalweg.train.folder.gauges import Gauges

BY_PARAMETER = ("gradient", "update", "weight", "unchanged")


def gauges_of(watched: Watched) -> Gauges:
    """Return the samples of updates and of layers as arrays; passes with other calls than the first are
    left out.
    """
    count = len(watched.parameters)
    updates = [s for s in watched.updates if len(s.update) == count]
    passes = list(watched.layers)
    names = tuple(call.name for call in passes[0].calls) if passes else ()
    alike = [p for p in passes if tuple(call.name for call in p.calls) == names]
    arrays: dict[str, Floats] = {
        "steps": np.array([s.step for s in updates], dtype=np.int64),
        "lr": np.array([s.lr for s in updates], dtype=np.float64),
        "loss": watched.losses.first(),
        "layer_steps": np.array([p.step for p in alike], dtype=np.int64),
    }
    for name in BY_PARAMETER:
        rows = [getattr(s, name) for s in updates]
        arrays[name] = np.array(rows, dtype=np.float64).reshape(len(updates), count)
    for name in ("output", "gradient"):
        table = [[getattr(call, name) for call in p.calls] for p in alike]
        arrays[f"layer_{name}"] = np.array(table, dtype=np.float64).reshape(len(alike), len(names))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Gauges(tensors, tuple(p.name for p in watched.parameters), names)
