"""What an optimizer keeps in memory: parameters, gradients and states, in bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.matrix.states import matrix_state_sizes
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.keeping import Keeping, KeptStates
from thalweg.optim.stepping.shell import of_itself

Size = tuple[torch.dtype, int]
"""The dtype of a state and its bytes."""


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of the parameters of an optimizer, of their gradients and of its states."""

    count: int
    """How many numbers the parameters hold."""
    parameters: int
    gradients: int
    """Of the gradients that are there now; a released or absent one takes none."""
    states: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By name and dtype, as they are, or as the first step will make them."""

    @property
    def state(self) -> int:
        """Bytes of all states."""
        return sum(sum(of.values()) for of in self.states.values())

    @property
    def total(self) -> int:
        """Bytes of parameters, gradients and states."""
        return self.parameters + self.gradients + self.state

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of state for each number of the parameters."""
        return self.state / max(1, self.count)

    def as_dict(self) -> dict[str, Any]:
        """Return all that as plain data."""
        return {
            "count": self.count,
            "parameters": self.parameters,
            "gradients": self.gradients,
            "states": {name: dict(of) for name, of in self.states.items()},
            "total": self.total,
            "state_bytes_per_parameter": self.state_bytes_per_parameter,
        }

    def __str__(self) -> str:
        rows = [("parameters", "", self.parameters), ("gradients", "", self.gradients)]
        rows += [(n, dtype, b) for n, of in self.states.items() for dtype, b in of.items()]
        rows.append(("total", "", self.total))
        width = max(len(name) for name, _, _ in rows)
        lines = [
            f"{name:<{width}}  {dtype:<9}{b:>16,} bytes{b / max(1, self.count):>9.2f} a parameter"
            for name, dtype, b in rows
        ]
        return "\n".join(lines)


class KeepsStates:
    """What an optimizer has that may keep its states in fewer bits."""

    param_groups: list[Group]
    state: Any
    keeping: Keeping = Keeping()

    def _reader(self, group: Group, p: Tensor | None = None) -> Any:
        raise NotImplementedError

    @of_itself
    def memory(self) -> MemoryUse:
        """Return the bytes of parameters, gradients and states, by state and dtype.

        >>> import torch
        >>> from thalweg import optim
        >>> weight = torch.nn.Parameter(torch.zeros(100, 100))
        >>> print(optim.Adam([weight], state_dtype="bfloat16").memory())
        parameters                     40,000 bytes     4.00 a parameter
        gradients                           0 bytes     0.00 a parameter
        exp_avg     bfloat16           20,000 bytes     2.00 a parameter
        exp_avg_sq  bfloat16           20,000 bytes     2.00 a parameter
        total                          80,000 bytes     8.00 a parameter
        """
        return memory_use(self.param_groups, self.state, self.state_sizes)

    def kept_states(self, group: Group, p: Tensor) -> KeptStates:
        """Return how the states of a parameter of a group are kept."""
        kept: KeptStates = self._reader(group, p).kept(p)
        return kept

    def state_sizes(self, group: Group, p: Tensor) -> dict[str, Size]:
        """Return the dtype and the bytes of each state of a parameter, as the first step makes them."""
        reader = self._reader(group, p)
        others = matrix_state_sizes(reader.matrix_states, reader.program.seen, p)
        return {**reader.kept(p).sizes(p), **others}


def memory_use(
    groups: Sequence[Group],
    state: Mapping[Any, Any],
    sizes_of: Callable[[Group, Tensor], Mapping[str, Size]],
) -> MemoryUse:
    """Return what the parameters of these groups, their gradients and their states take."""
    params = [(group, p) for group in groups for p in group["params"]]
    found: dict[str, dict[str, int]] = {}
    for group, p in params:
        entries = state.get(p)
        entries = entries if isinstance(entries, dict) else {}
        expected = sizes_of(group, p) if p.requires_grad else {}
        for name in (*expected, *(n for n in entries if n not in expected)):
            size = _size(entries.get(name)) or expected.get(name)
            if size is not None:
                dtype, each = size
                of = found.setdefault(name, {})
                label = str(dtype).removeprefix("torch.")
                of[label] = of.get(label, 0) + each
    return MemoryUse(
        sum(p.numel() for _, p in params),
        sum(p.nbytes for _, p in params),
        sum(p.grad.nbytes for _, p in params if p.grad is not None and not p.grad.is_sparse),
        found,
    )


def _size(entry: Any) -> Size | None:
    """Return the dtype and the bytes of a state tensor; step numbers are not tensors of the parameter's."""
    if not isinstance(entry, Tensor) or entry.ndim == 0:
        return None
    return entry.dtype, entry.nbytes
