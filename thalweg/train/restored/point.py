"""Where a model is evaluated: at the average that its optimizer keeps, if it keeps one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.errors import DataError
from thalweg.kept import modes_kept
from thalweg.train.optimizers.known import with_inner


class EvaluationPoint:
    """Moves the model of a run to the point where it is to be evaluated, and back.

    For an optimizer without an average (`ema`, `polyak`, `swa`, schedule-free descent) that is where
    the parameters are, and nothing is done.

    The running statistics of batch normalization belong to the parameters that were trained. For the
    average they are computed again, as `torch.optim.swa_utils.update_bn` does, by one pass over the training
    set. Layers in evaluation mode keep theirs.

    Args:
        optimizer: of thalweg, or another one, or one that wraps another as its `optimizer`.
        model: the model whose parameters it steps.
        inputs: gives the inputs of the training set, batch by batch, the same at each call.
        isolated: makes a context that restores the random generators, and inside of which the same
            numbers are drawn each time (dropout).
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        inputs: Callable[[], Iterable[Any]],
        isolated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._optimizer: Any = _with_average(optimizer)
        self._model = model
        self._inputs = inputs
        self._isolated = isolated
        self._is_there = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether the model is evaluated at another point than the one where it is trained."""
        return self._optimizer is not None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the model there, and afterwards back, bit for bit. Inside another such context this does
        nothing.
        """
        if self._optimizer is None or self._is_there:
            yield
            return
        self._is_there = True
        buffers = dict(self._model.named_buffers()) if self._has_statistics() else {}
        kept = {name: buffer.clone() for name, buffer in buffers.items()}
        try:
            with self._optimizer.evaluating():
                self._recompute_statistics()
                yield
        finally:
            self._is_there = False
            with torch.no_grad():
                for name, buffer in buffers.items():
                    buffer.copy_(kept[name])

    def go(self, *, recompute: bool = True) -> None:
        """Move the model there for good; `optimizer.train()` moves the parameters back.

        Args:
            recompute: whether batch normalization needs its statistics there.
        """
        if self._optimizer is None:
            return
        self._optimizer.eval()
        if recompute:
            self._recompute_statistics()

    def _has_statistics(self) -> bool:
        return any(map(_keeps_statistics, self._model.modules()))

    def _recompute_statistics(self) -> None:
        if not self._has_statistics():
            return
        with modes_kept(self._model):
            self._model.train()  # a model may override this to leave some layers in evaluation mode
            layers: list[Any] = [
                module
                for module in self._model.modules()
                if _keeps_statistics(module) and module.training
            ]
            momenta = [layer.momentum for layer in layers]
            try:
                for layer in layers:
                    layer.reset_running_stats()
                    layer.momentum = None  # for PyTorch this means: average over all batches
                if layers:
                    self._run_through()
            finally:
                for layer, momentum in zip(layers, momenta, strict=True):
                    layer.momentum = momentum

    def _run_through(self) -> None:
        batches = 0
        with torch.no_grad(), self._isolated():
            for inputs in self._inputs():
                self._model(inputs)
                batches += 1
        if not batches:
            raise DataError(
                "Batch normalization needs its statistics computed again at the average, but the "
                "training set yields no batch: it can be run through only once."
            )


def _keeps_statistics(module: Any) -> bool:
    return isinstance(module, _BatchNorm) and module.track_running_stats


def _with_average(optimizer: Any) -> Any:
    """Return the optimizer that keeps an average, among this one and those that it wraps, or None."""
    return next(
        (own for own in with_inner(optimizer) if getattr(own, "keeps_average", False)), None
    )
