"""Compile kernels with LLVM for this processor, link them into this process, and keep their machine code.

A kernel comes from memory, from the kernel cache, or is compiled again. Machine code is asked for the names
it defines and needs before LLVM links it: what LLVM cannot find there ends the process.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from functools import cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from thalweg.engine.cpu import kernel_cache
from thalweg.engine.cpu.object_file import symbols
from thalweg.engine.cpu.processor import Processor, host, processor, target_machine
from thalweg.engine.cpu.threads import Kernel
from thalweg.errors import EngineError

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_SPEED = 3
"""The level of LLVM's passes."""

_kernels: dict[str, Kernel] = {}
_loops: dict[str, Kernel] = {}
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A fork waits until nothing is compiled: a child could not go on with what another thread began, and
    # would wait for ever for the lock that llvmlite holds around each of its calls.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def compiled_kernels() -> int:
    """Return how many kernels this process has compiled or loaded so far."""
    return len(_kernels)


def kernel(text: str, name: str) -> Kernel:
    """Return the compiled function `name` of an LLVM text: from memory, the cache folder, or the compiler.

    Raises:
        EngineError: if the kernel cannot be linked into this process.
    """
    return _known(text, name, _kernels)


def loop(text: str, name: str) -> Kernel:
    """Return what prepares a step, compiled like a kernel, but not counted as one.

    Raises:
        EngineError: if it cannot be linked into this process.
    """
    return _known(text, name, _loops)


def _known(text: str, name: str, known: dict[str, Kernel]) -> Kernel:
    with _lock:
        chosen = processor()
        key = _key(text, chosen)
        if key not in known:
            # several modules share one process-wide engine, so each function gets a name of its own
            unique = f"{name}_{key[:32]}"
            known[key] = _made(key, text.replace(f'"{name}"', f'"{unique}"'), unique, chosen)
        return known[key]


def has_symbol(name: str) -> bool:
    """Whether a C function can be linked; LLVM ends the process where one cannot."""
    with _lock:
        _engine()  # LLVM looks into this process only once an engine is there
        return llvm.address_of_symbol(name) is not None


def _key(text: str, chosen: Processor) -> str:
    version = ".".join(map(str, llvm.llvm_version_info))
    parts = (text, llvmlite.__version__, version, f"O{_SPEED}, inlined", *chosen)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _engine() -> Any:
    machine = target_machine(host())
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _made(key: str, text: str, name: str, chosen: Processor) -> Kernel:
    stored = kernel_cache.read_kernel(key)
    if stored is not None and _problem(stored, name) is None:
        return _load(stored, name)
    code = _compile(text, chosen)
    problem = _problem(code, name)
    if problem is not None:
        raise EngineError(
            f"A kernel was compiled, but {problem}. Use engine='eager', which needs no kernels."
        )
    made = _load(code, name)
    kernel_cache.write_kernel(key, code)
    return made


def _compile(text: str, chosen: Processor) -> bytes:
    machine = target_machine(chosen)
    module = llvm.parse_assembly(text)
    module.triple = chosen.triple
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=_SPEED)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(_inlined(module, builder))  # type: ignore[no-any-return]


def _inlined(module: Any, builder: Any) -> Any:
    """Put the functions of vectors into the loops. Only now: the vectorizer looks for calls of them."""
    text = str(module)
    if " noinline " not in text:
        return module
    inlined = llvm.parse_assembly(text.replace(" noinline ", " alwaysinline "))
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.run(inlined, builder)
    return inlined


def _problem(code: bytes, name: str) -> str | None:
    """Return why machine code cannot be linked, or None. Only of ELF files the names are known."""
    if not _is_object_file(code):
        return "LLVM cannot read it"
    try:
        known = symbols(code)
    except ValueError as error:
        return str(error)
    if known is None:
        return None
    if name not in known.defined:
        return f"it does not define {name}"
    missing = sorted(needed for needed in known.needed if not has_symbol(needed))
    return f"the C library lacks {', '.join(missing)}" if missing else None


def _is_object_file(code: bytes) -> bool:
    """Whether LLVM can read it. llvmlite hands out a null pointer where it cannot, and raises nothing."""
    file = llvm.ObjectFileRef.from_data(code)
    return ctypes.cast(file, ctypes.c_void_p).value is not None


def _load(code: bytes, name: str) -> Kernel:
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(name)
    if not address:
        raise EngineError(
            f"A kernel was linked, but has no function {name}. Use engine='eager', which needs no kernels."
        )
    return Kernel(address, _PROTOTYPE(address))
