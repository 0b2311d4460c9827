"""Processes forked from one that has imported PyTorch end as those of `python -c` do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fresh import Fresh


def test_it_has_the_arguments_the_folder_and_the_environment_of_the_test(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_GIVEN", "given")
    code = "import os, sys; print(os.getcwd(), os.environ['THALWEG_GIVEN'], *sys.argv)"
    done = fresh.run(code, "a", "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path} given -c a b\n"


def test_it_ends_by_an_exit_an_error_or_a_signal(fresh: Fresh) -> None:
    assert fresh.run("import sys; sys.exit(3)").returncode == 3
    code = "import atexit; atexit.register(print, 'bye'); raise ValueError('said')"
    for to_the_end, said in ((False, ""), (True, "bye\n")):
        done = fresh.run(code, to_the_end=to_the_end)
        assert (done.returncode, done.stdout) == (1, said)
        assert done.stderr.endswith("ValueError: said\n")
    if os.name == "posix":
        killed = fresh.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        assert killed.returncode == -9


def test_it_has_imported_nothing_of_ours(fresh: Fresh) -> None:
    code = "import sys; print([name for name in sys.modules if name.startswith('thalweg')])"
    assert fresh.run("import sys; assert 'torch._dynamo' in sys.modules").returncode == 0
    assert fresh.run(code).stdout == "[]\n"
    assert fresh.run("import thalweg.optim").returncode == 0
    assert fresh.run(code).stdout == "[]\n"
