"""Whether a model that has grown still computes the same."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.kept import undisturbed
from thalweg.objective.blame import blame
from thalweg.objective.nested import describe_batch, mapped, tensors_in

HIDDEN = "Its forward pass does something with the units that its calls do not show."


def check_runs(model: nn.Module, x: Any, what: str) -> None:
    """Raise TaskError where a model cannot be run on rows of its task."""
    try:
        _outputs(model, x)
    except Exception as error:  # the user's own
        raise TaskError(
            f"{what} cannot be run on rows of the training set, {describe_batch(x)}. {blame(error)}"
        ) from error


def check_same(model: nn.Module, grown: nn.Module, x: Any, how: str, why: str = HIDDEN) -> None:
    """Raise TaskError where a grown model does not give the same on a batch, in evaluation mode.

    Far apart is what differs by more than √ε of the largest output, ε being that of the numbers' type: a
    sum of copies in another order differs by some ε.
    """
    before = _outputs(model, x)
    try:
        now = _outputs(grown, x)
    except Exception as error:  # the user's own forward pass: anything can be written in it
        raise TaskError(
            f"The model cannot be made {how}: it does not run then. {blame(error)} What its forward pass "
            "reads of a layer, and sizes that are written in it as numbers, do not grow."
        ) from error
    for one, other in zip(before, now, strict=False):
        if one.shape != other.shape or _apart(one, other):
            raise TaskError(
                f"The model cannot be made {how}: it would compute something else on x. {why}"
            )


def _outputs(model: nn.Module, x: Any) -> list[Tensor]:
    own = copy.deepcopy(model).eval()
    with undisturbed(own), torch.no_grad():
        return [t for t in tensors_in(own(mapped(x, torch.clone))) if t.is_floating_point()]


def _apart(one: Tensor, other: Tensor) -> bool:
    bound = torch.finfo(one.dtype).eps ** 0.5 * (1 + float(one.abs().max())) if one.numel() else 0.0
    return not torch.allclose(one, other, rtol=0, atol=bound, equal_nan=True)
