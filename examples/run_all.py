"""Run every example, as CI does; stop with an error if one fails."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = (
    "drop_in",
    "own_rule",
    "around_the_step",
    "routing",
    "linear_regression",
    "from_csv",
    "lecture_mnist",
    "race_digits",
    "poisson",
    "strategies",
)
COMMANDS = (
    ["train", str(HERE / "my_task.py"), "--optimizer", "adam", "--lr", "0.01", "--epochs", "5"],
)


def main() -> None:
    calls = [[sys.executable, "-W", "error", str(HERE / f"{name}.py")] for name in PROGRAMS]
    calls += [[sys.executable, "-W", "error", "-m", "thalweg", *command] for command in COMMANDS]
    with tempfile.TemporaryDirectory() as folder:
        # programs write where they are run, and to the temporary folder
        for call in calls:
            print(f"── {' '.join(Path(part).name for part in call[1:])}", flush=True)
            subprocess.run(call, check=True, cwd=folder, env={**os.environ, "TMPDIR": folder})


if __name__ == "__main__":
    main()
