"""Kernels for another processor than this one: what `THALWEG_CPU` names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thalweg.engine.cpu import kernel_cache, native, processor
from thalweg.engine.cpu.processor import LEVELS, host, levels
from thalweg.errors import EngineError

X86 = host().triple.startswith("x86_64")
TEXT = """
define void @"step"(ptr %"call") {
  %"x" = load <8 x double>, ptr %"call"
  %"y" = fadd <8 x double> %"x", %"x"
  store <8 x double> %"y", ptr %"call"
  ret void
}
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "_kernels", {})
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    monkeypatch.delenv("THALWEG_CPU", raising=False)


def test_without_a_word_kernels_are_for_this_processor() -> None:
    assert processor.processor() == host()
    assert host().name


@pytest.mark.skipif(not X86, reason="levels are x86-64's")
def test_each_level_needs_more_than_the_one_below() -> None:
    assert levels()[0] == "x86-64"
    for lower, upper in zip(list(LEVELS), list(LEVELS)[1:], strict=False):
        assert set(LEVELS[lower]) < set(LEVELS[upper])


@pytest.mark.parametrize("level", levels())
def test_each_level_has_machine_code_of_its_own(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.kernel(TEXT, "step")
    monkeypatch.setenv("THALWEG_CPU", level)
    chosen = processor.processor()
    key = native._key(TEXT, chosen)
    assert kernel_cache.read_kernel(key) is None
    native.kernel(TEXT, "step")
    stored = kernel_cache.read_kernel(key)
    assert stored is not None
    assert key != native._key(TEXT, host())


@pytest.mark.skipif("x86-64-v3" not in levels(), reason="needs two levels that differ here")
def test_levels_differ_in_their_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = []
    for level in ("x86-64-v2", "x86-64-v3"):
        monkeypatch.setenv("THALWEG_CPU", level)
        codes.append(native._compile(TEXT, processor.processor()))
    assert codes[0] != codes[1]


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_CPU", "pentium")
    with pytest.raises(EngineError, match=r"THALWEG_CPU=pentium names no level.*can run: .*"):
        native.kernel(TEXT, "step")


@pytest.mark.skipif(not X86, reason="levels are x86-64's")
def test_a_level_that_this_processor_cannot_run_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first instruction of another kind would end the process."""
    monkeypatch.setitem(LEVELS, "x86-64-v9", ("sse2", "hovering"))
    monkeypatch.setenv("THALWEG_CPU", "x86-64-v9")
    with pytest.raises(EngineError, match=r"needs hovering, which this processor lacks.*x86-64,"):
        native.kernel(TEXT, "step")


TESTS = ("fused_equals_eager", "vocabulary", "constants")
CHOSEN = (
    "(same and float32) or (each_spelling and auto and not bfloat16) "
    "or (constants_in_a_rule and float32)"
)


@pytest.mark.full
@pytest.mark.skipif(not X86, reason="levels are x86-64's")
def test_both_engines_agree_at_the_lowest_level() -> None:
    """Random rules, each operation, odd numbers, where even `floor` is a call of the C library.

    `tests/processors.py` runs the levels above, with more of the tests.
    """
    here = Path(__file__).parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
            *(str(here / f"test_{name}.py") for name in TESTS),
            *("-k", CHOSEN),
        ],
        cwd=here.parent.parent,
        env={**os.environ, "THALWEG_CPU": "x86-64", "THALWEG_TEST_EXAMPLES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
