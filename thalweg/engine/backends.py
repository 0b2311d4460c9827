"""The engines that there are, and in which order a plan asks them."""

from __future__ import annotations

from typing import Literal, get_args

from thalweg.engine.backend import Backend
from thalweg.engine.cpu.backend import Fused
from thalweg.engine.eager.backend import Eager
from thalweg.engine.triton.backend import Triton

Engine = Literal["auto", "eager", "fused", "triton"]
"""What a user asks for: "auto" fuses what it can; "fused" (on the CPU) and "triton" (on a GPU) fail where a
program cannot be fused."""

_FUSED, _TRITON, _EAGER = Fused(), Triton(), Eager()
_ORDER: dict[Engine, tuple[Backend, ...]] = {
    "auto": (_FUSED, _TRITON, _EAGER),
    "eager": (_EAGER,),
    "fused": (_FUSED, _EAGER),
    "triton": (Triton(required=True), _EAGER),
}


def backends(engine: Engine) -> tuple[Backend, ...]:
    """Return the engines to ask for a step, the first that can step a parameter first."""
    return _ORDER[engine]


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist."""
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}")
