"""The kernels in Triton's interpreter: the other files of this folder, in a process that asks for it.

Triton decides whether it interprets when it is imported, so it is asked for before Python starts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg.engine.triton.available import triton_problem

from .interpreter import HAS_TRITON, IS_ASKED

pytestmark = [
    pytest.mark.skipif(not HAS_TRITON, reason=str(triton_problem())),
    pytest.mark.skipif(IS_ASKED, reason="this is the process of the interpreter"),
]
FOLDER = Path(__file__).parent
FILES = (
    "test_cases.py",
    "test_interpreted.py",
    "test_capturable.py",
    "test_vocabulary.py",
    "test_random_rules.py",
)


def run(*arguments: str, least: int) -> None:
    """Run tests as a process of its own; all of at least so many must pass, and none be skipped."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=FOLDER.parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1", "THALWEG_TEST_EXAMPLES": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= least, done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout


def test_a_few() -> None:
    few = ("test_cases.py", "test_capturable.py")
    run(*(str(FOLDER / name) for name in few), "-m", "not full", least=10)


@pytest.mark.full
@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        "bfloat16",
        pytest.param("float32", marks=pytest.mark.every),
        pytest.param("float16", marks=pytest.mark.every),
    ],
)
def test_every_case(dtype: str) -> None:
    run(str(FOLDER / FILES[0]), "-m", "full", "-k", dtype, least=30)


@pytest.mark.full
def test_those_of_a_gpu() -> None:
    run(str(FOLDER / "test_on_a_gpu.py"), "-m", "not full", "-k", "few", least=7)


@pytest.mark.full
@pytest.mark.parametrize("name", FILES[1:])
def test_the_rest(name: str) -> None:
    # the interpreter takes seconds for what a kernel does in microseconds: of the vocabulary one case in nine
    chosen = "not full and not every" if name == "test_vocabulary.py" else "not every"
    run(str(FOLDER / name), "-m", chosen, least=2)
