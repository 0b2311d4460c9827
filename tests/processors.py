"""Run the numerical tests as other processors would: other instructions, other numbers of threads.

    python tests/processors.py [options of pytest]

One machine stands for several. Of tests with many cases, each variation runs one in four of those that
`make test` runs, since it is instructions that vary here, not cases.

ATEN_CPU_CAPABILITY chooses the kernels of PyTorch, ONEDNN_MAX_CPU_ISA and MKL_CBWR those of the libraries
below it, THALWEG_CPU those of the fused engine. What this processor cannot run is left out, and said to be.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import torch

NUMERICAL = (
    "tests/engine",
    "tests/optim/references",
    "tests/optim/test_around.py",
    "tests/optim/test_coupled.py",
    "tests/optim/test_distributed.py",
    "tests/optim/test_gradients.py",
    "tests/optim/test_hypergradients.py",
    "tests/optim/test_parameters.py",
    "tests/optim/test_state.py",
    "tests/optim/test_state_edited.py",
    "tests/optim/test_trajectories.py",
    "tests/optim/test_weight_decay.py",
    "tests/meta",
    "tests/objective",
    "tests/train",
    "tests/tasks",
)
LEVELS = ("DEFAULT", "AVX2", "AVX512")
Variation = dict[str, str]

X86: list[tuple[str, Variation]] = [
    (
        "DEFAULT",
        {
            "ATEN_CPU_CAPABILITY": "default",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "MKL_CBWR": "COMPATIBLE",
            "THALWEG_CPU": "x86-64-v2",
            "THALWEG_TEST_THREADS": "1",
        },
    ),
    (
        "AVX2",
        {
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "THALWEG_CPU": "x86-64-v3",
            "THALWEG_TEST_THREADS": "2",
        },
    ),
    ("AVX512", {"THALWEG_CPU": "x86-64-v4", "THALWEG_TEST_THREADS": "1"}),
]
"""What each needs, and what it sets."""


def variations() -> list[Variation]:
    """Return those that this machine can run; on another architecture, a second thread."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return [{"THALWEG_TEST_THREADS": "2"}]
    own = torch.backends.cpu.get_cpu_capability()
    known = LEVELS[: LEVELS.index(own) + 1] if own in LEVELS else LEVELS[:1]
    for needed, variation in X86:
        if needed not in known:
            print(f"left out, as this processor has no {needed}: {words(variation)}", flush=True)
    return [variation for needed, variation in X86 if needed in known]


def words(variation: Variation) -> str:
    return " ".join(f"{name}={value}" for name, value in variation.items())


def main(arguments: list[str]) -> int:
    """Run the tests under each variation; return 1 where one failed."""
    failed = []
    for variation in variations():
        print(f"\n{words(variation)}", flush=True)
        command = [sys.executable, "-m", "pytest", *NUMERICAL, *arguments]
        if subprocess.run(
            command, env=os.environ | {"THALWEG_TEST_SAMPLE": "4"} | variation
        ).returncode:
            failed.append(variation)
    for variation in failed:
        print(f"failed: {words(variation)} python -m pytest …", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
