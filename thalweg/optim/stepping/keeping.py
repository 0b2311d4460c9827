"""How an optimizer keeps its states and rounds its parameters: in which dtypes, and what stays wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.engine.language.places import RulePlace
from thalweg.engine.memory import zeros_like
from thalweg.engine.program.coded import blocks_of, decode, encode
from thalweg.engine.program.formats import REMAINDER
from thalweg.engine.program.program import Program
from thalweg.engine.program.stored import stored
from thalweg.errors import EngineError

StateDtype = Literal["float32", "bfloat16", "int8"]
Rounding = Literal["nearest", "stochastic", "remainder"]

STATE_DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}
ROUNDINGS = ("nearest", "stochastic", "remainder")
SMALLEST = 4096
"""Tensors with fewer elements keep float32 instead of 8 bits: they are few, and often sensitive."""
SCALE = "{}_scale"
"""What the scales of a state of 8 bits are called."""

_WIDE: Mapping[str, tuple[str, ...]] = {
    "dog": ("start",),
    "prodigy": ("start",),
    "lookahead": ("slow",),
    "rprop": ("previous", "step_size"),
    "delta_bar_delta": ("rate",),
}
"""States that stay wide, by rule: points, of which small differences are taken, and step sizes, which grow by
factors. So does every point at which a model is evaluated."""
_NOT_IN_8_BITS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("amsgrad", "amsgrad_hat", "amsgrad_paper", "amsgrad_unbiased"), ("v_max",)
)
"""A largest value so far would gather what rounding adds."""


@dataclass(frozen=True)
class Keeping:
    """How states are kept, and how parameters of bfloat16 are rounded."""

    state_dtype: str | None = None
    """None is the parameter's dtype."""
    rounding: str = "nearest"

    @property
    def is_plain(self) -> bool:
        """Whether everything is kept as the parameter is."""
        return self.state_dtype is None and self.rounding == "nearest"


PLAIN = Keeping()


@dataclass(frozen=True, eq=False)
class KeptStates:
    """The states of a parameter as they are kept, and the program that steps them so."""

    program: Program
    names: tuple[str, ...]
    """Those of the program in order, then the scales of coded ones."""
    dtypes: tuple[torch.dtype | None, ...]
    """For each of the program's states; None is the parameter's, or whatever a user put there."""

    def complete(self, state: dict[str, Any], p: Tensor) -> None:
        """Make the states that are missing, and convert the others as `convert` does.

        Raises:
            EngineError: a state has another shape than its parameter.
        """
        for name, dtype in zip(self.names, self.dtypes, strict=False):
            found = state.get(name)
            if found is not None and found.shape != p.shape:
                raise EngineError(
                    f"The state {name!r} of a parameter of shape {tuple(p.shape)} has shape "
                    f"{tuple(found.shape)}. Was the state dict saved for another model?"
                )
            if found is None and name not in self._coded:
                state[name] = zeros_like(p, dtype)
        self.convert(state, p)
        for name in self._coded:
            if name not in state:
                state[name] = zeros_like(p, torch.int8)
                state[SCALE.format(name)] = torch.zeros(blocks_of(p.numel()), device=p.device)

    def sizes(self, p: Tensor) -> dict[str, tuple[torch.dtype, int]]:
        """Return the dtype and the bytes of each state of a parameter, as `complete` makes them."""
        found = {}
        for name, dtype in zip(self.names, self.dtypes, strict=False):
            chosen = dtype or p.dtype
            found[name] = (chosen, chosen.itemsize * p.numel())
            if name in self._coded:
                found[SCALE.format(name)] = (torch.float32, 4 * blocks_of(p.numel()))
        return found

    @cached_property
    def _coded(self) -> tuple[str, ...]:
        return tuple(self.names[k] for k in self.program.coded)

    def convert(self, state: dict[str, Any], p: Tensor) -> None:
        """Convert the states that are kept in another form."""
        for name, dtype in zip(self.names, self.dtypes, strict=False):
            found = state.get(name)
            if not isinstance(found, Tensor) or found.shape != p.shape:
                continue
            scale = SCALE.format(name)
            if name in self._coded:
                _encode(state, name, scale, p)
                continue
            if scale in state:
                state[name] = found = decode(state[name], state.pop(scale), p)
            wanted = dtype or _widened(found, p)
            if wanted is not None and found.dtype != wanted:
                state[name] = zeros_like(p, wanted).copy_(found)


def _widened(found: Any, p: Tensor) -> torch.dtype | None:
    """Return the dtype of a parameter that is wider than a state of few bits, which was loaded."""
    if found is None or found.dtype not in (torch.bfloat16, torch.int8):
        return None
    return p.dtype if p.dtype in (torch.float32, torch.float64) else None


def _encode(state: dict[str, Any], name: str, scale: str, p: Tensor) -> None:
    found = state[name]
    if found.dtype != torch.int8 or scale not in state:
        codes, state[scale] = encode(found, p)
        state[name] = zeros_like(p, torch.int8).copy_(codes)
    elif state[scale].shape != (blocks_of(p.numel()),):
        raise EngineError(
            f"The state {scale!r} of a parameter with {p.numel():,} elements has shape "
            f"{tuple(state[scale].shape)}, not {(blocks_of(p.numel()),)}. Was the state dict saved for "
            "another model?"
        )


def kept_states(
    keeping: Keeping,
    places: Sequence[RulePlace],
    program: Program,
    state_names: Mapping[str, str],
    p: Tensor,
) -> KeptStates:
    """Return how the states of a parameter are kept, by the program of its group."""
    names = tuple(state_names.get(s, s) for s in program.states)
    forms: list[str] = ["plain"] * len(names)
    dtypes: list[torch.dtype | None] = [None] * len(names)
    if keeping.state_dtype is not None and p.is_floating_point():
        wide, not_coded = staying_wide(places)
        for k, own in enumerate(program.states):
            small = own not in wide
            if keeping.state_dtype == "bfloat16" and small:
                forms[k], dtypes[k] = "bfloat16", torch.bfloat16
            elif keeping.state_dtype == "int8" and small and own not in not_coded:
                if p.numel() >= SMALLEST:
                    forms[k], dtypes[k] = "int8", torch.int8
                    names += (SCALE.format(names[k]),)
                else:
                    dtypes[k] = torch.float32
            elif p.dtype != torch.float64 or keeping.state_dtype == "float32":
                dtypes[k] = torch.float32
    parameter = keeping.rounding if p.dtype == torch.bfloat16 else "plain"
    if parameter == REMAINDER:
        names = (*names[: len(forms)], REMAINDER, *names[len(forms) :])
        dtypes.append(torch.int16)
    made = stored(program, forms, "plain" if parameter == "nearest" else parameter)
    return KeptStates(made, names, tuple(dtypes))


def convert_all(
    groups: Sequence[dict[str, Any]],
    state: Mapping[Any, Any],
    kept_of: Callable[[dict[str, Any], Tensor], KeptStates],
) -> None:
    """Convert the states of all parameters, which were loaded, to the form in which they are kept here."""
    for group in groups:
        for p in group["params"]:
            found = state.get(p)
            if isinstance(found, dict):
                kept_of(group, p).convert(found, p)


def staying_wide(places: Sequence[RulePlace]) -> tuple[set[str], set[str]]:
    """Return the states of a chain that are never made small, and those that are not in 8 bits."""
    wide: set[str] = set()
    not_coded: set[str] = set()
    for place in places:
        rule = place.rule
        evaluation = rule.evaluation.names if rule.evaluation else ()
        own = {name for name in evaluation if name in rule.signature.states}
        wide |= {place.names[s] for s in (*own, *_WIDE.get(rule.name, ()))}
        not_coded |= {place.names[s] for s in _NOT_IN_8_BITS.get(rule.name, ())}
    return wide, not_coded


def keeping_of(state_dtype: Any, rounding: Any, differentiable: bool = False) -> Keeping:
    """Return how an optimizer keeps its states, checked.

    Raises:
        ValueError: an unknown dtype or rounding, or a differentiable step.
    """
    if state_dtype is not None and state_dtype not in STATE_DTYPES:
        raise ValueError(
            f"state_dtype={state_dtype!r}; it must be one of {', '.join(STATE_DTYPES)}, or None for the "
            "parameter's own."
        )
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding={rounding!r}; it must be one of {', '.join(ROUNDINGS)}.")
    keeping = Keeping(state_dtype, rounding)
    if differentiable and not keeping.is_plain:
        raise ValueError(
            "A differentiable step rounds nothing: leave out state_dtype and rounding, or "
            "differentiable=True."
        )
    return keeping
