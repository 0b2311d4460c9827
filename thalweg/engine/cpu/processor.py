"""The processor that kernels are compiled for: this one, or a level of x86-64 that `THALWEG_CPU` names.

A level lets one machine show what another computes: `THALWEG_CPU=x86-64-v2` compiles without AVX and without
fused multiply-add. Levels are those of the x86-64 psABI.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from thalweg.errors import EngineError

LEVELS = dict(
    zip(
        ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"),
        accumulate(
            (
                ("sse2",),
                ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"),
                ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
                ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
            )
        ),
        strict=True,
    )
)
"""What a processor must have for each level, by LLVM's names."""


class Processor(NamedTuple):
    """What LLVM is told about a processor."""

    triple: str
    name: str
    features: str


def processor() -> Processor:
    """Return the processor to compile for.

    Raises:
        EngineError: if `THALWEG_CPU` names no level, or one that this processor cannot run.
    """
    level = os.environ.get("THALWEG_CPU", "")
    return _level(level) if level else host()


def levels() -> tuple[str, ...]:
    """Return the levels that this processor can run."""
    return tuple(level for level in LEVELS if not _missing(level))


@cache
def host() -> Processor:
    """Return the processor of this machine."""
    _start()
    return Processor(
        llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    )


def has_feature(chosen: Processor, feature: str) -> bool:
    """Whether a processor has a feature, by LLVM's name."""
    if chosen.name in LEVELS:
        return feature in LEVELS[chosen.name]
    return f"+{feature}" in chosen.features.split(",")


def target_machine(chosen: Processor) -> Any:
    """Return LLVM's code generator for a processor."""
    _start()
    target = llvm.Target.from_triple(chosen.triple)
    return target.create_target_machine(cpu=chosen.name, features=chosen.features, opt=3, jit=True)


@cache
def _start() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _missing(level: str) -> list[str]:
    _start()
    found = llvm.get_host_cpu_features()
    return [feature for feature in LEVELS[level] if not found.get(feature)]


@cache
def _level(level: str) -> Processor:
    can = ", ".join(levels()) or "none"
    if level not in LEVELS:
        raise EngineError(
            f"THALWEG_CPU={level} names no level of a processor. This one can run: {can}. Without "
            "THALWEG_CPU, kernels are compiled for this processor as it is."
        )
    if missing := _missing(level):
        raise EngineError(
            f"THALWEG_CPU={level} needs {', '.join(missing)}, which this processor lacks. It can run: "
            f"{can}. Without THALWEG_CPU, kernels are compiled for this processor as it is."
        )
    return Processor(llvm.get_process_triple(), level, "")
