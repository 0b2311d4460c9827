"""Run every example, as CI does; stop with an error if one fails."""

from __future__ import annotations

import gc
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

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

Call = list[str]
"""The arguments of Python: a file or `-m` and a module, and its own."""


def run(call: Call, folder: str) -> int:
    """Run a call in a process that starts in a folder, and return how it ended."""
    environment = {**os.environ, "TMPDIR": folder}
    command = [sys.executable, "-W", "error", *call]
    return subprocess.run(command, cwd=folder, env=environment).returncode


def run_forked(call: Call, folder: str) -> int:
    """Do the same in a child of this process, which has imported PyTorch: most examples take less time."""
    child = os.fork()
    if child == 0:
        become(call, folder)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def become(call: Call, folder: str) -> NoReturn:
    """Run a call in this process, and end it."""
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    warnings.simplefilter("error")
    code: int | str | None = 1
    try:
        if call[0] == "-m":
            sys.argv = call[1:]
            runpy.run_module(call[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = call
            runpy.run_path(call[0], run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    way: Callable[[Call, str], int] = run
    if sys.platform == "linux":
        import torch._dynamo  # noqa: F401  the first optimizer of a process imports it

        gc.freeze()  # what a child does not look at is not copied
        way = run_forked
    calls = [[str(HERE / f"{name}.py")] for name in PROGRAMS]
    calls += [["-m", "thalweg", *command] for command in COMMANDS]
    with tempfile.TemporaryDirectory() as folder:
        # programs write where they are run, and to the temporary folder
        for call in calls:
            shown = " ".join(Path(part).name for part in call)
            print(f"── {shown}", flush=True)
            ended = way(call, folder)
            if ended:
                raise SystemExit(f"{shown} ended with {ended}")
    gc.unfreeze()  # or extensions say at the end that something leaked


if __name__ == "__main__":
    main()
