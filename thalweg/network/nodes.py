"""The calls of a model as nodes: shapes, parameters, FLOPs; what only reshapes is passed over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thalweg.errors import TaskError
from thalweg.model.graph import INPUT, Call, CallGraph, graph_of
from thalweg.network.backward import BackwardCost
from thalweg.objective.nested import tensors_in

TREE = "the order of the modules"
"""How a graph was found where the model could neither be recorded nor traced."""
_RESHAPES = frozenset(
    [
        "__get__",
        "__getitem__",
        "chunk",
        "contiguous",
        "detach",
        "expand",
        "flatten",
        "movedim",
        "permute",
        "ravel",
        "reshape",
        "select",
        "split",
        "squeeze",
        "t",
        "to",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
        "view",
        "view_as",
        "clone",
        "float",
        "type",
    ]
)
"""Functions that give the same numbers in another shape."""


@dataclass(frozen=True)
class Node:
    """A call of a layer or function: `parameters` and `flops` are its own, of one call and the whole batch.

    `module` is empty for a function. `inputs` are places of earlier nodes. `own` are the names of the
    parameters; those that an earlier node has already are counted there.
    """

    label: str
    module: str
    within: str
    inputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    own: tuple[str, ...] = ()
    parameters: int = 0
    flops: int = 0
    sizes: tuple[tuple[int, ...], ...] = ()

    @property
    def is_function(self) -> bool:
        """Whether it is not a layer, but for what the model is given."""
        return not self.module and self.label != INPUT


@dataclass(frozen=True)
class Network:
    """The nodes of a model in the order of its calls, and how they were found."""

    kind: str
    nodes: tuple[Node, ...]
    by: str
    rows: int
    backward: int | None = None
    """FLOPs of the gradients of all trainable parameters, for the batch; None where they are not known."""


def network_of(model: nn.Module, x: Any = None) -> Network:
    """Return the nodes of a model, recorded on a batch.

    FLOPs are those that PyTorch counts: 2 for a multiplication with its addition in products, convolutions
    and attention, 0 for what works element by element. The backward pass is run, and counted as a whole:
    most products have two of their size there; the first layer, whose input needs no gradient, has one.
    Without a batch the model is traced by `torch.fx`, and there are neither shapes nor FLOPs; where that
    fails, or a compiled model shows no calls, the nodes are its modules in their order, one after the other.

    Raises:
        TaskError: the model cannot be run on the batch.

    >>> import torch
    >>> found = network_of(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), torch.zeros(2, 4))
    >>> [(node.label, node.shapes, node.parameters, node.flops) for node in found.nodes[1:]]
    [('Linear', ((2, 8),), 40, 128), ('ReLU', ((2, 8),), 0, 0)]
    """
    back = BackwardCost()
    graph = _graph(model, x, back)
    rows = 0 if x is None else next((len(t) for t in tensors_in(x) if t.ndim), 1)
    kind = type(model).__name__
    if graph is None or not any(call.module is not None for call in graph.calls):
        return Network(kind, _in_order(model), TREE, rows)
    nodes = _without_reshapes([_node(model, call) for call in graph.calls], graph.returned)
    return Network(kind, _each_parameter_once(model, nodes), graph.by, rows, back.flops)


def _graph(model: nn.Module, x: Any, back: BackwardCost) -> CallGraph | None:
    if x is None:
        return graph_of(model)
    try:
        # the CPU's kernel of attention is not counted; its path by products is
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            count = counter.get_total_flops
            return graph_of(model, x, partial(back.run, count), count)
    except TaskError:
        raise
    except Exception:  # a module that takes no hooks, as a compiled one
        return graph_of(model)


def _node(model: nn.Module, call: Call) -> Node:
    if call.module is None:
        label = "input" if call.label == INPUT else call.label.strip("_") or call.label
        return Node(label, "", call.within, call.inputs, call.shapes, flops=call.spent)
    module = dict(model.named_modules())[call.module]
    known = [(name, p) for name, p in module.named_parameters()]
    prefix = f"{call.module}." if call.module else ""
    return Node(
        call.label,
        call.module or "(the model)",
        call.within,
        call.inputs,
        call.shapes,
        tuple(f"{prefix}{name}" for name, _ in known),
        flops=call.spent,
        sizes=tuple(tuple(p.shape) for _, p in known),
    )


def _in_order(model: nn.Module) -> tuple[Node, ...]:
    """Return the layers of a model one after the other, whatever its forward pass does."""
    calls: list[Node] = []
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)) or not any(module.children()):
            kind = getattr(module, "original_name", type(module).__name__)
            inputs = (len(calls) - 1,) if calls else ()
            calls.append(replace(_node(model, Call(kind, name, inputs, {})), label=str(kind)))
    return _each_parameter_once(model, calls)


def _without_reshapes(nodes: Sequence[Node], returned: Sequence[int]) -> list[Node]:
    """Return the nodes without functions that only reshape, or that lead nowhere."""
    used = set(returned)
    for place in reversed(range(len(nodes))):
        if place in used or nodes[place].module:
            used.update(nodes[place].inputs)
    stands_for: dict[int, tuple[int, ...]] = {}
    kept: list[Node] = []
    for place, node in enumerate(nodes):
        inputs = tuple(dict.fromkeys(k for i in node.inputs for k in stands_for[i]))
        passes = node.label.rstrip("_") in _RESHAPES or f"__{node.label}__" in _RESHAPES
        if not node.module and node.inputs and (place not in used or (passes and not node.flops)):
            stands_for[place] = inputs
            continue
        stands_for[place] = (len(kept),)
        kept.append(replace(node, inputs=inputs))
    return kept


def _each_parameter_once(model: nn.Module, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Count each parameter at the first node that has it: a layer may be called twice, a weight be tied."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    seen: set[int] = set()
    counted = []
    for node in nodes:
        new = [tensors[name] for name in node.own if id(tensors[name]) not in seen]
        seen.update(map(id, new))
        counted.append(replace(node, parameters=sum(math.prod(p.shape) for p in new)))
    return tuple(counted)
