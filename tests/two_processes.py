"""Two processes that talk to each other, for what is trained in several."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Callable
from typing import Any

import torch


def in_two_processes(
    work: Callable[..., dict[str, Any]], folder: pathlib.Path, *arguments: Any
) -> list[dict[str, Any]]:
    """Return what `work(rank, *arguments)` finds in each of two processes of one group, by rank."""
    torch.multiprocessing.spawn(_run, (str(folder), work, arguments), nprocs=2)  # type: ignore[no-untyped-call]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def _run(
    rank: int, folder: str, work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=600),
    )
    found = work(rank, *arguments)
    pathlib.Path(folder, f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
