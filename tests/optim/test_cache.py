"""The kernel cache: shared by processes that start at once, broken, or nowhere to be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fresh import Fresh

SCRIPT = """
import torch
from thalweg import engine, optim

p = torch.nn.Parameter(torch.ones(50))
p.grad = torch.ones(50)
optim.Adam([p], lr=0.5, engine="fused").step()
assert torch.allclose(p, torch.full((50,), 0.5), atol=1e-5), p
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "THALWEG_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.full
def test_processes_that_start_at_once_share_a_cache(tmp_path: Path) -> None:
    for process in [start(tmp_path) for _ in range(3)]:
        finish(process)
    kept = files(tmp_path)
    assert kept
    times = [path.stat().st_mtime_ns for path in kept]
    finish(start(tmp_path))
    assert files(tmp_path) == kept
    assert [path.stat().st_mtime_ns for path in kept] == times


@pytest.mark.full
def test_a_broken_cache_is_compiled_anew(tmp_path: Path) -> None:
    """Empty, truncated or foreign files are not an error."""
    finish(start(tmp_path))
    for damage in (empty, truncated, foreign):
        kept = files(tmp_path)
        assert kept
        for path in kept:
            path.write_bytes(damage(path.read_bytes()))
        finish(start(tmp_path))


def empty(content: bytes) -> bytes:
    return b""


def truncated(content: bytes) -> bytes:
    return content[: 2 * len(content) // 3]


def foreign(content: bytes) -> bytes:
    return b"\x00nonsense\xff" * 50


def test_nowhere_to_write_is_no_error(
    tmp_path: Path, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path / "file" / "cache"))
    done = fresh.run("import warnings\nwarnings.simplefilter('error')\n" + SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
