from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thalweg.objective.blame import blame, place


def error_of(function: object) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function()  # type: ignore[operator]
    return caught.value


def test_the_innermost_line_of_the_users_code_is_named() -> None:
    def fails() -> None:
        torch.zeros(2) @ torch.zeros(3)

    line = fails.__code__.co_firstlineno + 1
    assert blame(error_of(fails)).startswith(f"test_blame.py, line {line}: RuntimeError: ")


def test_lines_of_installed_packages_are_passed_over() -> None:
    def fails() -> None:
        np.linalg.inv(np.zeros((2, 2)))  # raised deep inside NumPy

    line = fails.__code__.co_firstlineno + 1
    assert place(error_of(fails)) == f"test_blame.py, line {line}: "


def test_without_any_line_of_the_user() -> None:
    assert place(ValueError("x")) == ""
    assert blame(ValueError()) == "ValueError."
    assert blame(ValueError("Is it?")) == "ValueError: Is it?"


def test_the_line_of_a_syntax_error(tmp_path: Path) -> None:
    source = "a = 1\nb = (\n"
    error = error_of(lambda: compile(source, tmp_path / "mine.py", "exec"))
    assert blame(error) == "mine.py, line 2: '(' was never closed: b = (."


def test_of_a_workers_traceback_the_last_line_is_said() -> None:
    text = "Caught KeyError in worker 0.\nOriginal Traceback (most recent call last):\n  x\nKeyError: 3"
    assert blame(KeyError(3)) == "KeyError: 3."
    assert blame(RuntimeError(text)) == "RuntimeError: KeyError: 3."
