"""The engines that there are, and in which order a plan asks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from thalweg.engine.backend import Backend
from thalweg.engine.cpu.backend import Fused
from thalweg.engine.eager.backend import Eager
from thalweg.engine.foreach.backend import Foreach
from thalweg.engine.triton.backend import Triton

Engine = Literal["auto", "eager", "fused", "foreach", "triton"]
"""What a user asks for. "auto" takes the fastest engine that can step a parameter; "fused", "foreach" and
"triton" fail where such an engine cannot run a program, and leave the parameters that it cannot take to the
next one."""

ON_DEVICE = ("foreach", "triton")
"""Those that can keep step numbers on the device."""

_FUSED, _FOREACH, _EAGER = Fused(), Foreach(), Eager()
_ASKED: dict[Engine, tuple[Backend, ...]] = {
    # Triton joins them when its kernels have been measured on a GPU
    "auto": (_FUSED, _FOREACH, _EAGER),
    "fused": (_FUSED, _FOREACH, _EAGER),
    "triton": (Triton(), _FOREACH, _EAGER),
    "foreach": (_FOREACH, _EAGER),
    "eager": (_EAGER,),
}


def backends(engine: Engine) -> tuple[Backend, ...]:
    """Return the engines to ask for a step, the first that can step a parameter first."""
    return _ASKED[engine]


def is_required(engine: Engine) -> bool:
    """Whether the first engine must be able to run every program."""
    return engine not in ("auto", "eager")


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist."""
    if engine not in get_args(Engine):
        raise ValueError(f"engine must be one of {', '.join(get_args(Engine))}, got {engine!r}.")


def has_parameter_on_cpu(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a parameter of the param groups is on the CPU, where no graph is captured."""
    return any(p.device.type == "cpu" for group in groups for p in group["params"])


def engine_on_device(engine: Engine, groups: Sequence[Mapping[str, Any]]) -> Engine:
    """Return the engine that keeps step numbers on the device, where that was asked for.

    "auto" is lists where no parameter of the param groups is on the CPU: there they are its first engine.

    Raises:
        ValueError: none of those that were asked for can.
    """
    here = has_parameter_on_cpu(groups)
    if engine == "auto" and not here:
        return "foreach"
    if engine not in ON_DEVICE:
        but = ", with a parameter on the CPU" if engine == "auto" else ""
        raise ValueError(
            f"capturable=True needs engine='foreach' or engine='triton', got engine={engine!r}{but}."
        )
    return engine
