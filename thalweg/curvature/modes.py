"""What a product must not change, and what must be the same in each: modes, buffers, gradients, random
numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.errors import EngineError, ThalwegError
from thalweg.generators import Generator, generators_in, generators_of, keeper, kept
from thalweg.objective.cost import Cost

_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_DROPOUT = (
    *(
        nn.Dropout,
        nn.Dropout1d,
        nn.Dropout2d,
        nn.Dropout3d,
        nn.AlphaDropout,
        nn.FeatureAlphaDropout,
    ),
    *(nn.RNNBase, nn.MultiheadAttention),
)


class RandomNumbers:
    """The random numbers that each product draws: those that followed when this was made.

    Dropout, and a loader that shuffles or augments, so give the same in each product, and the operator is
    one matrix. The generators are the global ones of PyTorch, NumPy and Python, and `own`.
    """

    def __init__(self, own: Sequence[Generator]) -> None:
        self._own = own
        self._then, self._own_then = self._states(), [keeper(each) for each in own]

    @classmethod
    def of(cls, model: nn.Module, cost: Cost, data: Any) -> RandomNumbers:
        """Return those of a model, a cost and the data, with generators that any of them holds."""
        return cls([*generators_of(data, cost), *generators_in(model)])

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Draw them inside the block; at the end the generators are as they were before it."""
        before = self._states()
        with kept(self._own):
            self._set(self._then)
            for restore in self._own_then:
                restore()
            try:
                yield
            finally:
                self._set(before)

    def _states(self) -> list[Any]:
        started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        cuda = torch.cuda.get_rng_state_all() if started else []
        numpy = np.random.get_state(legacy=False)
        return [torch.get_rng_state(), numpy, random.getstate(), cuda]

    def _set(self, states: list[Any]) -> None:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if states[3]:
            torch.cuda.set_rng_state_all(states[3])


@contextmanager
def in_mode(model: nn.Module, training: bool | None) -> Iterator[None]:
    """Put each module of a model in a mode, None for its own, and each back at the end."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        if training is not None:
            for module, _ in modes:
                module.training = training
        yield
    finally:
        for module, was in modes:
            module.training = was


@contextmanager
def twice_differentiable(model: nn.Module | None = None) -> Iterator[None]:
    """Compute attention by the path that has a second derivative, gradients on, inside the block.

    Raises EngineError, naming the operation, where one has no second derivative.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if model is not None and any(isinstance(each, nn.RNNBase) for each in model.modules()):
            # cuDNN's recurrent layers have no second derivative; PyTorch's own do
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        try:
            yield
        except ThalwegError:
            raise
        except RuntimeError as error:
            named = _without_second_derivative(str(error))
            if named is None:
                raise
            raise EngineError(_NO_SECOND.format(named=named)) from error


def refuse_once_differentiable(value: Tensor) -> None:
    """Raise EngineError where a value was computed by a function that can be differentiated only once.

    PyTorch notices that where the gradient that reaches the function depends on the parameters; where it
    does not, the second derivative would silently be 0.
    """
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        made_by: Any = getattr(node, "_forward_cls", None)
        if getattr(getattr(made_by, "backward", None), "__code__", None) is _ONCE:
            raise EngineError(
                _NO_SECOND.format(named=f"{made_by.__name__}, marked once_differentiable,")
            )
        waiting += [each for each, _ in node.next_functions]


_ONCE = once_differentiable(lambda ctx: None).__code__
"""All functions that are marked once_differentiable run this code."""
_NO_SECOND = (
    "The operation {named} has no second derivative in PyTorch, so the model has no products with its "
    "Hessian by double backward. Write it with operations that have one; "
    "torch.nn.functional.scaled_dot_product_attention is computed by its math path here."
)


def _without_second_derivative(said: str) -> str | None:
    """Return the name of the operation of which PyTorch says that it has no derivative.

    >>> _without_second_derivative("derivative for aten::_fused_backward is not implemented")
    'aten::_fused_backward'
    """
    before, found, _ = said.partition(" is not implemented")
    if found and "derivative for " in before:
        return before.rpartition("derivative for ")[2]
    if "once_differentiable" in said:
        return "of a torch.autograd.Function, marked once_differentiable,"
    return None


def kept_graph_key(model: nn.Module, tensors: Callable[[], Iterator[Tensor]]) -> tuple[Any, ...]:
    """Return what a kept graph depends on other than the parameters' values: modes, and the batch's
    tensors.
    """
    modes = tuple(module.training for module in model.modules())
    return modes, tuple((id(each), each._version) for each in tensors())


def describe_modes(model: nn.Module, training: bool | None) -> str:
    """Return in which mode a model is, and what depends on that: batch norm and dropout.

    >>> describe_modes(nn.Sequential(nn.Linear(1, 1), nn.Dropout()).eval(), None)
    'evaluation mode, dropout off'
    """
    with in_mode(model, training):
        modes = {module.training for module in model.modules()}
        mode = (
            "mixed modes"
            if len(modes) > 1
            else f"{'training' if True in modes else 'evaluation'} mode"
        )
        parts = [mode]
        norms = [module for module in model.modules() if isinstance(module, _BATCH_NORM)]
        if norms:
            by_batch = {m.training or m.running_mean is None for m in norms}
            words = {True: "each batch's statistics", False: "running statistics"}
            parts.append("batch norm by " + " and ".join(words[each] for each in sorted(by_batch)))
        drops = [m for m in model.modules() if isinstance(m, _DROPOUT) and _probability(m) > 0]
        if drops:
            on = any(module.training for module in drops)
            parts.append("dropout by the same masks in each product" if on else "dropout off")
    return ", ".join(parts)


def _probability(module: nn.Module) -> float:
    found = getattr(module, "p", getattr(module, "dropout", 0.0))
    return float(found) if isinstance(found, (int, float)) else 0.0
