"""A model in evaluation mode, for as long as it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from thalweg.kept import modes_kept


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode without gradients; each module gets its own mode back."""
    with modes_kept(model), torch.no_grad():
        model.eval()
        yield
