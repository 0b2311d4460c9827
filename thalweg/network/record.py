"""A model's graph as plain data: nodes, folded blocks, totals, and what gauges of a run say of each node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.network.folding import Folded, folded
from thalweg.network.nodes import Network, Node, network_of
from thalweg.network.verdicts import elsewhere, of_nodes
from thalweg.train.folder.gauges import Gauges

SCHEMA = "thalweg.graph/1"
_FEW = 16
"""Nodes that one sees at a glance, each by itself."""
_LAST = 10
"""Samples at the end of a run whose median colours a node."""


def graph_record(
    model: nn.Module,
    x: Any,
    *,
    name: str,
    gauges: Gauges | None = None,
    fold: bool = True,
    verdicts: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """Return the graph of a model as plain data; FLOPs are those for one row.

    Those of nodes and `flops` are of the forward pass; `flops_backward` is of all gradients of parameters.

    Args:
        model: the module.
        x: a batch as it takes it.
        name: of the task.
        gauges: those of a run of this model, by which nodes may be coloured.
        fold: whether repeated blocks are shown once, where there are more than 16 nodes.
        verdicts: those of the doctor, as `read_verdicts` gives them.

    Raises:
        TaskError: the model cannot be run on the batch, or the gauges are of another model.
    """
    network = network_of(model, x)
    found = (
        folded(network.nodes) if fold and len(network.nodes) > _FEW else _as_it_is(network.nodes)
    )
    by_parameter = None if gauges is None else _of_parameters(gauges, model)
    nodes = [
        _row(network, found, place, by_parameter, verdicts) for place in range(len(found.nodes))
    ]
    return {
        "schema": SCHEMA,
        "task": name,
        "model": network.kind,
        "found_by": network.by,
        "rows": network.rows,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "flops": sum(node.flops for node in network.nodes) / max(network.rows, 1),
        "flops_backward": None
        if network.backward is None
        else network.backward / max(network.rows, 1),
        "calls": len(network.nodes),
        "steps": None if gauges is None else _steps(gauges),
        "nodes": nodes,
        "elsewhere": elsewhere(network.nodes, verdicts),
        "blocks": [{"begin": b.begin, "size": b.size, "repeats": b.repeats} for b in found.blocks],
    }


def _as_it_is(nodes: Sequence[Node]) -> Folded:
    return Folded(tuple(nodes), (), tuple((place,) for place in range(len(nodes))))


def _row(
    network: Network,
    found: Folded,
    place: int,
    by_parameter: dict[str, tuple[float, float, float]] | None,
    verdicts: Sequence[dict[str, str]],
) -> dict[str, Any]:
    node = found.nodes[place]
    group = [network.nodes[k] for k in found.stands_for[place]]
    return {
        "label": node.label,
        "name": node.module,
        "within": node.within,
        "inputs": list(node.inputs),
        "shapes": [list(shape) for shape in node.shapes],
        "repeats": len(group),
        "names": [each.module for each in group if each.module],
        "parameters": sum(each.parameters for each in group),
        "flops": sum(each.flops for each in group) / max(network.rows, 1),
        "verdicts": of_nodes(group, verdicts),
        "gauges": {} if by_parameter is None else _gauged(group, by_parameter),
    }


def _gauged(
    group: Sequence[Node], known: dict[str, tuple[float, float, float]]
) -> dict[str, list[float]]:
    """Return least and largest norm of the gradient and ratio of update to weight among equal nodes."""
    norms, ratios = [], []
    for node in group:
        own = [known[name] for name in node.own if name in known]
        if not own:
            continue
        gradient, update, weight = (math.sqrt(sum(v[k] for v in own)) for k in range(3))
        norms.append(gradient)
        if weight > 0:
            ratios.append(update / weight)
    found = {"gradient": norms, "ratio": ratios}
    return {
        name: [min(values), max(values)]
        for name, values in found.items()
        if values and all(map(math.isfinite, values))
    }


def _of_parameters(gauges: Gauges, model: nn.Module) -> dict[str, tuple[float, float, float]]:
    """Return the squared norms of gradient, update and weight of each parameter, late in the run."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    missing = [name for name in gauges.parameters if name not in tensors]
    if missing or not gauges.parameters:
        raise TaskError(
            "The gauges are of another model"
            + (f": this one has no parameter {missing[0]!r}." if missing else ": they are empty.")
        )
    sizes = torch.tensor([tensors[name].numel() for name in gauges.parameters])
    squares = []
    for name in ("gradient", "update", "weight"):
        rows = gauges.arrays[name][-_LAST:]
        if rows.ndim != 2 or rows.shape[1] != len(sizes) or not len(rows):
            raise TaskError(f"The gauges hold no samples of {name!r}, or were edited.")
        squares.append((rows.median(0).values ** 2 * sizes).tolist())
    triples = zip(*squares, strict=True)
    return dict(zip(gauges.parameters, triples, strict=True))


def _steps(gauges: Gauges) -> list[int]:
    """Return the first and last step of the samples that colour the nodes."""
    steps = gauges.arrays["steps"][-_LAST:].tolist()
    return [int(steps[0]), int(steps[-1])] if steps else []
