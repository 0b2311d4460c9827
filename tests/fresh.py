"""Processes that have imported PyTorch and nothing of ours, forked from one that has.

Importing PyTorch takes seconds of a core. What a test needs a process of its own for costs only itself here.

    done = fresh.run("import sys; sys.exit(3)")
    assert done.returncode == 3

The code runs as `python -c` runs it, in a session of its own, with the environment and the working folder of
the test. Options of the interpreter, and variables that PyTorch or Python read when they start, are those of
the test process: code sets warnings and threads itself. Where the code ends, the process does, without a word
to `atexit` and to threads, unless `to_the_end` asks for it: to take all of PyTorch down takes seconds, too.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]


class Fresh:
    """The process that forks; it is started when it is first needed."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def run(
        self, code: str, *arguments: str, to_the_end: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run code; return its exit code, or the negative number of a signal, and what it printed."""
        if not hasattr(os, "fork"):
            command = [sys.executable, "-c", code, *arguments]
            return subprocess.run(command, capture_output=True, text=True)
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.fresh"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory(prefix="thalweg-fresh-") as folder:
            printed = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
            asked = {
                "code": code,
                "to_the_end": to_the_end,
                "arguments": arguments,
                "environment": dict(os.environ),
                "path": sys.path,
                "folder": os.getcwd(),
                **printed,
            }
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            answer = self._server.stdout.readline()
            assert answer, "the process that forks has ended"
            texts = [Path(path).read_text(encoding="utf-8") for path in printed.values()]
        return subprocess.CompletedProcess(["-c", *arguments], int(answer), *texts)

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()  # it ends where nothing more is asked


def serve() -> dict[str, Any] | None:
    """Fork a child for each line that asks for one; return in the child what is asked, else None."""
    import torch._dynamo  # noqa: F401  the first optimizer of a process imports it

    gc.collect()
    gc.freeze()  # what a child does not look at is not copied

    for line in sys.stdin:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
            child = os.fork()
        if child == 0:
            asked: dict[str, Any] = json.loads(line)
            return asked
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def become(asked: dict[str, Any]) -> None:
    """Leave the process as `python -c` finds it."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT), number)
    os.dup2(nothing, 0)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["-c", *asked["arguments"]]
    sys.path[:] = ["", *asked["path"]]
    sys.modules["__main__"] = types.ModuleType("__main__")


def run_and_leave(code: types.CodeType) -> NoReturn:
    """Run code and end the process at once."""
    ended: object = None
    try:
        exec(code, vars(sys.modules["__main__"]))
    except SystemExit as exit:
        ended = exit.code
    except BaseException:
        traceback.print_exc()
        ended = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended if isinstance(ended, int) else int(ended is not None))


if __name__ == "__main__":
    asked_for = serve()
    if asked_for is None:
        os._exit(0)
    else:
        become(asked_for)
        given = compile(asked_for["code"], "<string>", "exec")
        if asked_for["to_the_end"]:
            gc.unfreeze()  # or extensions say at the end that something leaked
            exec(given, vars(sys.modules["__main__"]))
        else:
            run_and_leave(given)
