"""Operations that are calls of libdevice, and what it calls them."""

from __future__ import annotations

from thalweg.engine.program.ops import TRANSCENDENTAL

LIBRARY = {
    **{name: name for name in (*TRANSCENDENTAL, "pow", "atan2", "hypot", "copysign", "fmod")},
    "round": "nearbyint",
}
"""Its functions are exact to an ulp or two, where Triton's own exp and sin are quick ones."""
del LIBRARY["cbrt"]  # libdevice of AMD has none
