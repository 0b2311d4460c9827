"""Freezing the running statistics of batch normalization."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_batch_norm(model: nn.Module, frozen: bool = True) -> Iterator[None]:
    """Leave the running mean, the running variance and the batch count of batch normalization as they are.

    Inside, layers in training mode normalize by the statistics of the batch as before, but do not record
    them; layers in evaluation mode, and models without batch normalization, are unaffected. With
    `frozen=False` nothing is changed, which saves a branch in a closure:

        def closure():
            optimizer.zero_grad()
            with frozen_batch_norm(model, optimizer.second_pass):
                loss = loss_fn(model(x), y)
            loss.backward()
            return loss

    >>> import torch
    >>> model = torch.nn.BatchNorm1d(1)
    >>> with frozen_batch_norm(model):
    ...     _ = model(torch.tensor([[1.0], [3.0]]))
    >>> model.running_mean
    tensor([0.])
    """
    # without this flag PyTorch's layers in training mode neither read nor write the running statistics
    layers = [
        layer
        for layer in model.modules()
        if frozen and isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
