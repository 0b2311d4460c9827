"""What cannot be linked is refused before LLVM ends the process, and what is stored is not trusted for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh import Fresh
from thalweg.engine.cpu import kernel_cache, native
from thalweg.engine.cpu.object_file import symbols
from thalweg.engine.cpu.processor import processor
from thalweg.errors import EngineError

pytestmark = pytest.mark.skipif(
    native.symbols(native._compile("", processor())) is None,
    reason="names are read from ELF files only",
)

TEXT = 'define void @"step"(ptr %"call") {{ store i64 {number}, ptr %"call" ret void }}'
NEEDY = """
declare void @"{needed}"()
define void @"{name}"(ptr %"call") {{ call void @"{needed}"() ret void }}
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that were stored for other tests are no use here."""
    monkeypatch.setenv("THALWEG_CACHE", str(tmp_path))
    monkeypatch.setattr(native, "_kernels", {})


def called(kernel: native.Kernel) -> int:
    """Return the number that a kernel stores."""
    import ctypes

    stored = ctypes.c_int64()
    kernel.call(ctypes.addressof(stored))
    return stored.value


def test_the_names_of_an_object_file() -> None:
    code = native._compile(NEEDY.format(name="mine", needed="exp"), processor())
    found = symbols(code)
    assert found is not None
    assert (found.defined, found.needed) == ({"mine"}, {"exp"})


def test_a_broken_object_file_is_told() -> None:
    code = native._compile(NEEDY.format(name="mine", needed="exp"), processor())
    for size in (6, 60, 70, len(code) - 1):
        with pytest.raises(ValueError, match="broken"):
            symbols(code[:size])
    assert symbols(b"MZ") is None


def test_a_kernel_that_needs_what_the_process_lacks_is_an_error() -> None:
    """LLVM would end the process."""
    text = NEEDY.format(name="step", needed="no_such_function_anywhere")
    with pytest.raises(EngineError, match=r"lacks no_such_function_anywhere.*engine='eager'"):
        native.kernel(text, "step")


def test_a_kernel_without_its_function_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"does not define nothing_\w+.*engine='eager'"):
        native.kernel(TEXT.format(number=1), "nothing")


def test_no_kernel_at_address_0_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the names of an object file cannot be read."""
    monkeypatch.setattr(native, "symbols", lambda code: None)
    with pytest.raises(EngineError, match=r"has no function nothing_\w+.*engine='eager'"):
        native.kernel(TEXT.format(number=1), "nothing")


NUMBERS = iter(range(100, 200))


def junk(name: str) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(200)


def no_object_file(name: str) -> bytes:
    return b"nonsense"


def nothing(name: str) -> bytes:
    return b""


def another_kernel(name: str) -> bytes:
    return native._compile(TEXT.format(number=0), processor())


def from_another_library(name: str) -> bytes:
    return native._compile(NEEDY.format(name=name, needed="no_such_function_anywhere"), processor())


@pytest.mark.parametrize(
    "stored", [junk, no_object_file, nothing, another_kernel, from_another_library]
)
def test_stored_code_that_cannot_be_linked_is_compiled_anew(stored) -> None:  # type: ignore[no-untyped-def]
    number = next(NUMBERS)
    text = TEXT.format(number=number)
    key = native._key(text, processor())
    planted = stored(f"step_{key[:32]}")
    kernel_cache.write_kernel(key, planted)
    assert kernel_cache.read_kernel(key) == planted
    assert called(native.kernel(text, "step")) == number
    assert kernel_cache.read_kernel(key) != planted


def test_what_was_compiled_is_loaded_by_the_next_process(fresh: Fresh) -> None:
    text = TEXT.format(number=7)
    native.kernel(text, "step")
    code = (
        "from thalweg.engine.cpu import native\n"
        "native._compile = None\n"
        f"native.kernel({text!r}, 'step')\n"
    )
    fresh.run(code).check_returncode()


FORK = """
import os, threading, time, warnings
from thalweg.engine.cpu import native
from thalweg.engine.cpu.processor import processor

warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads
inside, compile_, of_llvm = threading.Event(), native._compile, threading.Lock()

def slowly(text, chosen):
    with of_llvm:  # llvmlite holds a lock around each of its calls
        inside.set()
        time.sleep(0.3)
        return compile_(text, chosen)

native._compile = slowly
thread = threading.Thread(target=native.kernel, args=({first!r}, "step"))
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    native.kernel({second!r}, "step")
    os._exit(7)
thread.join()
native.kernel({third!r}, "step")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(native.os, "fork"), reason="this system has no fork")
def test_a_child_forked_while_another_thread_compiles_can_compile(fresh: Fresh) -> None:
    first, second, third = (TEXT.format(number=k) for k in range(3))
    done = fresh.run(FORK.format(first=first, second=second, third=third))
    assert done.returncode == 0, done.stderr
