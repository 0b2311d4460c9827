"""Compile kernels with LLVM for this processor, and keep the machine code in a cache folder.

The folder is the user's cache folder, or the one that `THALWEG_CACHE` names. A file is its machine code
behind a SHA-256 of it, written to a temporary name and renamed, so processes that start at once, a full disk
or a kill leave no broken kernel; a folder that cannot be written only means compiling again.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import platformdirs

from thalweg.engine.threads import Kernel

_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Return the folder of compiled kernels."""
    given = os.environ.get("THALWEG_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("thalweg", appauthor=False))


def compilations() -> int:
    """Return how many kernels this process has compiled or loaded so far."""
    return len(_kernels)


_kernels: dict[str, Kernel] = {}
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # another thread of the parent may have held the lock
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


def kernel(text: str, name: str) -> Kernel:
    """Return the compiled function `name` of an LLVM text, from memory, the cache folder, or anew."""
    key = _key(text)
    with _lock:
        if key not in _kernels:
            # several modules share one process-wide engine, so each function gets a name of its own
            unique = f"{name}_{key[:32]}"
            _kernels[key] = _load(
                _machine_code(text.replace(f'"{name}"', f'"{unique}"'), key), unique
            )
        return _kernels[key]


def has_symbol(name: str) -> bool:
    """Whether a C function can be linked; LLVM ends the process where one cannot."""
    _engine()  # LLVM looks into this process only once an engine is there
    return llvm.address_of_symbol(name) is not None


def _key(text: str) -> str:
    parts = (text, llvmlite.__version__, *_processor())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _processor() -> tuple[str, str, str]:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return (
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
    )


def _target_machine() -> Any:
    triple, name, features = _processor()
    target = llvm.Target.from_triple(triple)
    return target.create_target_machine(cpu=name, features=features, opt=3, jit=True)


@cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())


def _machine_code(text: str, key: str) -> bytes:
    path = cache_folder() / f"{key}.kernel"
    stored = _read(path)
    if stored is None:
        stored = _compile(text)
        _write(path, stored)
    return stored


def _compile(text: str) -> bytes:
    machine = _target_machine()
    module = llvm.parse_assembly(text)
    module.triple = _processor()[0]
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)  # type: ignore[no-any-return]


def _load(code: bytes, name: str) -> Kernel:
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(name)
    return Kernel(address, _PROTOTYPE(address))


def _read(path: Path) -> bytes | None:
    """Return stored machine code, or None where there is none or it is not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, code = data[:_DIGEST], data[_DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path, code: bytes) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".kernel-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
